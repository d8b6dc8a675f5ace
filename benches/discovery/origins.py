"""Rolling origins: each test year after training on all dates before it, the last year of them for validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.measure.market_rows import Rows, split_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel

LEAST_DATES = 100  # of a test year


@dataclass(frozen=True)
class Origin:
    """Where a test year begins, as rows of the data.

    Attributes:
        valid: first row of the validation year. test: first row of the test year. stop: the row after its last.
    """

    year: int
    valid: int
    test: int
    stop: int

    @property
    def fractions(self) -> list[float]:
        """`splits.fractions` of data that end with the test year."""
        first, second = self.valid / self.stop, self.test / self.stop
        return [first, second - first, 1.0 - second]

    def rows(self, reach: int) -> Rows:
        """The splits, labels that reach so many rows ahead purged."""
        return Rows(slice(0, self.valid - reach), slice(self.valid, self.test - reach), slice(self.test, self.stop))

    def checked(self, panel: Panel, config: MiningConfig) -> Panel:
        """The data that end with the test year.

        Raises:
            RuntimeError: a run with these settings would split them elsewhere.
        """
        cut = panel.slice_dates(0, self.stop)
        want, found = self.rows(config.predicted.rows_ahead(cut.sessions)), split_rows(cut, config)
        if found != want:
            raise RuntimeError(f"the splits of {self.year} are {found}, not {want}")
        return cut


def years_of(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """(T,) calendar year of each date."""
    return dates.astype("datetime64[Y]").astype(np.int64) + 1970


def origins(panel: Panel, first: int, years: list[int] | None = None) -> list[Origin]:
    """The test years of the data, ascending: from `first` on, with two years of data before and dates enough.

    Raises:
        SystemExit: a year that was asked for is none of them.
    """
    year = years_of(np.asarray(panel.dates).astype("datetime64[D]"))
    found = []
    for y in range(max(first, int(year[0]) + 2), int(year[-1]) + 1):
        valid, test, stop = (int(np.searchsorted(year, v)) for v in (y - 1, y, y + 1))
        if stop - test >= LEAST_DATES:
            found.append(Origin(y, valid, test, stop))
    known = {o.year for o in found}
    for y in years or ():
        if y not in known:
            raise SystemExit(f"error: {y} is no test year of these data: {', '.join(map(str, sorted(known)))}")
    return [o for o in found if years is None or o.year in years]
