"""Training, validation and test rows, kept apart by date.

A label reaches horizon + entry_lag rows ahead, or as far as a target says. So that many rows are dropped from
the end of a split (the purge), and `embargo` more from the start of the next, so that what a model saw in one
says nothing of the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import shown, whole
from fama_fast.data.labels import check_days
from fama_fast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from fama_fast.types import IntArray

MIN_ROWS = 2
"""Fewest rows with a label in a split: a standard deviation needs two."""


@dataclass(frozen=True)
class Splits:
    """Row slices of a panel with `n_dates` rows; the rows between them belong to no split.

    `purge` rows, as many as a label looks ahead, are left out before each border, `embargo` rows after it.
    """

    train: slice
    valid: slice
    test: slice
    purge: int
    embargo: int
    n_dates: int

    def as_dict(self) -> dict[str, tuple[int, int]]:
        """First and one-past-last row of each split."""
        return {
            name: (part.start, part.stop)
            for name, part in (("train", self.train), ("valid", self.valid), ("test", self.test))
        }

    def describe(self, dates: Sequence[Any]) -> str:
        """One line that gives each split's first and last date and its rows."""
        return ", ".join(
            f"{name} {dates[first]}..{dates[stop - 1]} ({stop - first} days)"
            for name, (first, stop) in self.as_dict().items()
        )


def date_splits(
    n_dates: int,
    *,
    horizon: int = 1,
    entry_lag: int = 1,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    embargo: int = 0,
    sessions: IntArray | None = None,
    reach: int | None = None,
) -> Splits:
    """Splits rows 0..n_dates - 1 into train, validation and test, in that order.

    The borders stand at the given fractions of all rows. No label of a split uses a price of a later one:
    `train.stop - 1 + horizon + entry_lag < valid.start`, and so on. The labels of the last horizon +
    entry_lag rows of the test split do not exist.

    Args:
        fractions: positive, summing to 1. embargo: rows left out after each border, at least 0.
        sessions: (n_dates,) number of each row's session (`Panel.sessions`): borders move to the end of the session
            that they would cut.
        reach: rows that labels look ahead, in place of horizon + entry_lag.

    Raises:
        ConfigError: fractions, horizon, lag or embargo out of range.
        DataError: too few dates for two labelled rows in each split; the message gives the least number.
    """
    purge = check_days(horizon, "horizon", 1) + check_days(entry_lag, "entry_lag", 0)
    if reach is not None:
        purge = check_days(reach, "reach", 1)
    gap = check_days(embargo, "embargo", 0)
    n_dates = whole(n_dates, "n_dates", 0)
    try:
        parts = tuple(float(f) for f in fractions)
    except (TypeError, ValueError):
        parts = ()
    if len(parts) != 3 or not all(0 < f < 1 for f in parts) or not math.isclose(sum(parts), 1.0, abs_tol=1e-6):
        raise ConfigError(f"split fractions must be three positive numbers that sum to 1, not {shown(fractions)}")
    splits = _cut(n_dates, parts, purge, gap, sessions)
    if not _enough(splits) and sessions is not None and _enough(_cut(n_dates, parts, purge, gap)):
        raise DataError(
            f"{n_dates} rows in {len(np.unique(sessions))} sessions are too few to split "
            f"{parts[0]:g}/{parts[1]:g}/{parts[2]:g} with a purge of {purge} and an embargo of {gap} between sessions"
        )
    if not _enough(splits):
        raise DataError(
            f"{n_dates} dates are too few to split {parts[0]:g}/{parts[1]:g}/{parts[2]:g} with a purge of "
            f"{purge} and an embargo of {gap}: at least {_least(parts, purge, gap)} are needed"
        )
    return splits


def _cut(n_dates: int, parts: tuple[float, ...], purge: int, embargo: int, sessions: IntArray | None = None) -> Splits:
    first = round(n_dates * parts[0])
    second = round(n_dates * (parts[0] + parts[1]))
    if sessions is not None:
        first, second = (
            int(np.searchsorted(sessions, sessions[border - 1], side="right")) if border else 0
            for border in (first, second)
        )
    return Splits(
        slice(0, max(0, first - purge)),
        slice(first + embargo, max(first + embargo, second - purge)),
        slice(second + embargo, max(second + embargo, n_dates)),
        purge,
        embargo,
        n_dates,
    )


def _enough(splits: Splits) -> bool:
    rows = [stop - start for start, stop in splits.as_dict().values()]
    return min(rows[0], rows[1], rows[2] - splits.purge) >= MIN_ROWS


def _least(parts: tuple[float, ...], purge: int, embargo: int) -> int:
    # The largest number that fails is below this bound; rounding makes the answer a search, not a formula.
    n = max(4, math.ceil((purge + embargo + MIN_ROWS + 1) / min(parts)) + 2)
    while _enough(_cut(n - 1, parts, purge, embargo)):
        n -= 1
    return n
