"""Labels, the forward returns that a factor is to predict, and their shuffled null.

A factor known at the close of day t is traded at the close of day t + entry_lag and left at the close
`horizon` days later. `entry_lag=1` leaves a day to act on the value; 0 is the convention of the FAMA paper,
which enters at the very close that the value was computed from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import shown
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray, FloatArray, IntArray

MIN_MEMBERS = 10
"""Members that a universe must have on a date for it to be scored."""


MOST_DAYS = 1_000_000_000


def check_days(value: object, name: str, minimum: int) -> int:
    """`value` as a whole number of days.

    Raises:
        ConfigError: not a whole number, or below `minimum`.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not minimum <= int(value) <= MOST_DAYS:  # type: ignore[call-overload]
        raise ConfigError(f"{name} must be a whole number of days, at least {minimum}, not {shown(value)}")
    return int(value)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Sessions:
    """A horizon in sessions: `Sessions(1)` exits at the same bar of the next session."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} session{'' if self.count == 1 else 's'}"


Horizon = int | str | Sessions
"""Rows held (days, or bars of intraday data), or sessions: "2 sessions"."""

_SESSIONS = re.compile(r"\s*(\d+)\s*sessions?\s*\Z", re.IGNORECASE)
_ROWS = re.compile(r"\s*(\d+)\s*(?:bars?|days?)?\s*\Z", re.IGNORECASE)


def read_horizon(value: Horizon) -> int | Sessions:
    """Parse a horizon as rows or sessions: 5, "5", "5 bars" and "5 days" are five rows, "2 sessions" are two sessions.

    Raises:
        ConfigError: another text, a number below 1.
    """
    if isinstance(value, str):
        match = _SESSIONS.match(value)
        if match:
            return Sessions(check_days(int(match[1]), "horizon", 1))
        plain = _ROWS.match(value)
        if not plain:
            raise ConfigError(
                f'a horizon is a number of rows, such as 5, or of sessions, "2 sessions", not {shown(value)}'
            )
        return check_days(int(plain[1]), "horizon", 1)
    if isinstance(value, Sessions):
        return Sessions(check_days(value.count, "horizon", 1))
    return check_days(value, "horizon", 1)


def label_exits(sessions: IntArray, horizon: Horizon, entry_lag: int) -> IntArray:
    """(T,) the row at whose close the position known at each row is exited; T where the data end before.

    Args:
        sessions: (T,) number of each row's session (`Panel.sessions`). horizon, entry_lag: as for `forward_returns`.
    """
    held = read_horizon(horizon)
    lag = check_days(entry_lag, "entry_lag", 0)
    dates = sessions.size
    entry = np.arange(dates, dtype=np.int64) + lag
    if isinstance(held, int):
        return np.minimum(entry + held, dates)
    first = np.flatnonzero(np.concatenate(([True], sessions[1:] != sessions[:-1])))
    bounds = np.append(first, dates)
    inside = np.minimum(entry, dates - 1)
    target = sessions[inside] + held.count
    known = (entry < dates) & (target < first.size)
    target = np.where(known, target, 0)
    # The bar of the same number; a shorter session is left at its last bar.
    bar = inside - first[sessions[inside]]
    exits = np.minimum(first[target] + bar, bounds[target + 1] - 1)
    return np.where(known, exits, dates)


def label_span(sessions: IntArray, horizon: Horizon, entry_lag: int) -> int:
    """Largest number of rows that a label looks ahead: what splits purge, and a chunk of dates must have after it."""
    held = read_horizon(horizon)
    if isinstance(held, int):
        return held + check_days(entry_lag, "entry_lag", 0)
    exits = label_exits(sessions, held, entry_lag)
    ahead = np.where(exits < sessions.size, exits - np.arange(sessions.size), 0)
    return int(ahead.max(initial=0))


def forward_returns(panel: Panel, horizon: Horizon = 1, entry_lag: int = 1) -> FloatArray:
    """Forward returns: row t holds close[t + entry_lag + horizon] / close[t + entry_lag] - 1.

    Args:
        panel: T dates x N symbols with the field CLOSE. Days are rows, that is market days, or bars of intraday data.
        horizon: rows held, at least 1; or sessions, such as "1 session": left at the close of the bar with the same
            number in the session that many later, or of that session's last bar where it is shorter.
        entry_lag: rows between knowing and entering, at least 0.

    Returns:
        (T, N) float64, simple returns (0.01 is one percent); NaN where either close is missing or is zero or below,
        which is no price, and in rows whose entry or exit lies behind the data's end.

    Raises:
        ConfigError: a horizon or lag that is not a whole number in its range.
        UnknownName: the data has no CLOSE.
    """
    return returns_to(panel["CLOSE"], label_exits(panel.sessions, horizon, entry_lag), entry_lag)


def scored_returns(
    panel: Panel, horizon: Horizon = 1, entry_lag: int = 1, *, min_members: int = MIN_MEMBERS
) -> FloatArray:
    """`forward_returns`, missing on the dates that are not scored: see `only_scored`."""
    return only_scored(forward_returns(panel, horizon, entry_lag), panel.universe, min_members)


def only_scored(labels: FloatArray, universe: BoolArray | None, min_members: int) -> FloatArray:
    """The labels (T, N), missing on dates on which a universe has fewer than `min_members` members.

    A rank among a handful of members says nothing, and a mean over dates would count it like one among hundreds.
    Without a universe every date is scored.
    """
    few = unscored(universe, min_members)
    if not few.any():
        return labels
    out = labels.copy()
    out[few] = np.nan
    return out


def unscored(universe: BoolArray | None, min_members: int) -> BoolArray:
    """(T,) mask of the dates on which a universe has fewer than `min_members` members; empty without a universe."""
    if universe is None:
        return np.zeros(0, dtype=np.bool_)
    few: BoolArray = np.count_nonzero(universe, axis=1) < min_members
    return few


def say_unscored(dates: int, of: int, min_members: int) -> tuple[str, ...]:
    """A sentence about dates that are not scored, if there are any."""
    if not dates:
        return ()
    what = "date is" if dates == 1 else "dates are"
    return (f"{dates:,} of {of:,} {what} not scored: the universe has fewer than {min_members} members (min_members)",)


def returns_to(close: FloatArray, exits: IntArray, entry_lag: int) -> FloatArray:
    """close[exits[t]] / close[t + entry_lag] - 1 for the rows t of `exits`, NaN where a row lies behind the last one.

    A close of zero or below is missing.

    Args:
        close: (rows, N), at least as many as `exits`. exits: (T,) rows of `close`.
    """
    rows = exits.size
    out = np.full((rows, close.shape[1]), np.nan)
    known = np.flatnonzero(exits < len(close))
    if known.size == 0:
        return out
    stop = int(known[-1]) + 1
    if known.size == stop and np.all(np.diff(exits[:stop]) == 1):
        before, after = close[entry_lag : entry_lag + stop], close[exits[0] : exits[0] + stop]
        target = out[:stop]
    else:
        before, after = close[known + entry_lag], close[exits[known]]
        target = np.empty(before.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(after, before, out=target, dtype=np.float64)
        target -= 1.0
    target[~(np.isfinite(target) & (before > 0.0) & (after > 0.0))] = np.nan
    if target.base is not out:
        out[known] = target
    return out


def shuffled_labels(labels: FloatArray, splits: Sequence[slice], rng: np.random.Generator, block: int) -> FloatArray:
    """Labels (T, N) whose rows are permuted within each split, in blocks of `block` neighbouring dates.

    Rows outside the splits have no label, as nothing there may be scored.
    """
    out = np.full(labels.shape, np.nan)
    for rows in splits:
        n = rows.stop - rows.start
        # The first block begins anywhere, wrapped round, so that dates do not always part at the same places.
        turned = np.roll(np.arange(n), -int(rng.integers(n)))
        parts = [turned[i : i + block] for i in range(0, n, block)]
        order = np.concatenate([parts[i] for i in rng.permutation(len(parts))])
        out[rows] = labels[rows][order]
    return out
