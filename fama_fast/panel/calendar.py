"""The market's calendar: the dates asked for, and dates on which hardly any symbol has a row.

A symbol is alive from the first to the last date that it has a row on. One stray row on a day without trading makes
that day a date, on which everybody else is missing, and with it every window that holds it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.keys import dates_to_numpy, read_dates, shown_moment

if TYPE_CHECKING:
    from fama_fast.panel.reading import Reading
    from fama_fast.types import BoolArray, IntArray

When = str | int | dt.date | dt.datetime
"""A date as a caller may write it: a date, `2015-01-31` or 20150131."""
THIN_SHARE = 0.25
"""A date is thin when fewer than this share of the living symbols have a row."""
_SHOWN = 5


@dataclass(frozen=True)
class Attendance:
    """Number of symbols on each date (T,): those that have a row, `present`, and those between their first and last
    row, `alive`."""

    present: IntArray
    alive: IntArray

    @classmethod
    def of(cls, present: IntArray, first: IntArray, last: IntArray) -> Attendance:
        """The counts from the first and last date (N,) that each symbol has a row on, as rows of the calendar."""
        dates = present.size
        born = np.bincount(first, minlength=dates)
        gone = np.bincount(last + 1, minlength=dates + 1)[:dates]
        return cls(present, np.cumsum(born - gone))

    @classmethod
    def of_cells(cls, cells: IntArray, shape: tuple[int, int]) -> Attendance:
        """The counts from flat cells (date * N + symbol) that have a row, in any order, repeated or not; no symbol
        without one."""
        there = np.zeros(shape[0] * shape[1], dtype=np.bool_)
        there[cells] = True
        table = there.reshape(shape)
        first = table.argmax(axis=0)
        last = shape[0] - 1 - table[::-1].argmax(axis=0)
        return cls.of(np.count_nonzero(table, axis=1), first, last)

    @property
    def thin(self) -> BoolArray:
        """(T,) mask of the dates on which few of the living symbols have a row."""
        few: BoolArray = self.present < THIN_SHARE * self.alive
        return few

    def where(self, keep: BoolArray) -> Attendance:
        """The counts of some of the dates."""
        return Attendance(self.present[keep], self.alive[keep])

    def fewer_than(self, min_symbols: float | None) -> BoolArray:
        """(T,) mask of the dates with a row of fewer symbols: than this number or, below 1, than this share of the
        living; None asks for none."""
        if min_symbols is None:
            return np.zeros(self.present.shape, dtype=np.bool_)
        least = min_symbols * self.alive if min_symbols < 1 else min_symbols
        fewer: BoolArray = self.present < least
        return fewer


def thin_dates(dates: Any, found: Attendance) -> tuple[str, ...]:
    """A sentence about the thin dates, if there are any.

    Args:
        dates: (T,) datetime64 of the calendar.
    """
    thin = np.flatnonzero(found.thin)
    if not thin.size:
        return ()
    one = thin.size == 1
    noun, them = ("date has", "it") if one else ("dates have", "them")
    said = (
        f"thin_dates: {thin.size:,} {noun} a row of fewer than a quarter of the living symbols, and windows that "
        f"hold {them} are missing; --min-symbols leaves {them} out: {_shown(dates, found, thin)}"
    )
    return (said,)


def left_out(
    dates: Any, found: Attendance, dropped: BoolArray, min_symbols: float | None, source: str
) -> tuple[str, ...]:
    """A sentence about the dates that `min_symbols` leaves out of the calendar, if there are any.

    Raises:
        DataError: no date is left.
    """
    rows = np.flatnonzero(dropped)
    if not rows.size or min_symbols is None:
        return ()
    wanted = f"{min_symbols:g}" if min_symbols >= 1 else f"{min_symbols:.4g} of those alive"
    if rows.size == dropped.size:
        most = int(found.present.max())
        raise DataError(f"{source}: min_symbols {wanted}: no date has a row of so many symbols (the most is {most:,})")
    noun = "date is" if rows.size == 1 else "dates are"
    said = (
        f"{rows.size:,} {noun} left out, with a row of fewer symbols than min_symbols, {wanted}: "
        f"{_shown(dates, found, rows)}"
    )
    return (said,)


def _shown(dates: Any, found: Attendance, rows: IntArray) -> str:
    parts = (f"{shown_moment(dates[r])} ({found.present[r]:,} of {found.alive[r]:,})" for r in rows[:_SHOWN].tolist())
    return ", ".join(parts) + (", ..." if rows.size > _SHOWN else "")


def span_of(reading: Reading, known: IntArray | None = None) -> Span:
    """The span of moments that `reading` asks for; `known` as for `Span`.

    Raises:
        DataError: a start or end that is no date.
    """
    low = None if reading.start is None else _microseconds(read_when(reading.start, "start"))
    # A plain last date takes in all its hours.
    high = None if reading.end is None else _microseconds(read_when(reading.end, "end").astype("datetime64[D]") + 1)
    return Span(low, high, reading.history, known)


def no_rows(reading: Reading, source: str, first: np.datetime64, last: np.datetime64) -> DataError:
    """The error that the data, which run from `first` to `last`, have no rows on the dates asked for."""
    asked = f"between {reading.start or 'the start'} and {reading.end or 'the end'}"
    span = f"from {shown_moment(first)} to {shown_moment(last)}"
    return DataError(f"{source}: no rows {asked} (the data runs {span})")


def read_when(value: When, option: str) -> np.datetime64:
    """Parse a date as callers write it, to compare with panel dates.

    Raises:
        DataError: not a date.
    """
    if isinstance(value, dt.datetime):
        return np.datetime64(value.replace(tzinfo=None))  # at the clock that it carries
    if isinstance(value, dt.date):
        return np.datetime64(value)
    column = pl.Series(option, [value])
    when: np.datetime64 = dates_to_numpy(read_dates(column, source="dates", locate=lambda _: "the value"))[0]
    return when


def _microseconds(when: np.datetime64) -> int:
    return int(when.astype("datetime64[us]").astype(np.int64))


class Span:
    """The moments [low, high) that are read, `history` dates before `start` among them; None is no limit.

    Of the dates before `start` only those on market days are history: `widen` takes more of them, until there are as
    many as asked for.
    """

    def __init__(self, start: int | None, stop: int | None, history: int = 0, known: IntArray | None = None) -> None:
        """`known` are the distinct moments of the data, ascending; needed where there is history to keep."""
        self.low, self.high = start, stop
        self._before = np.empty(0, dtype=np.int64)
        if start is not None and history and known is not None:
            asked = known >= start if stop is None else (known >= start) & (known < stop)
            # Without a date that was asked for there is nothing to look back from.
            self._before = known[known < start] if asked.any() else self._before
        self._history, self._taken = history, 0
        self._take(history)

    def _take(self, more: int) -> None:
        self._taken = min(self._before.size, self._taken + more)
        if self._taken:
            self.low = int(self._before[-self._taken])

    def widen(self, moments: IntArray, dropped: BoolArray) -> bool:
        """Take more history, since some of the calendar's (T,) `moments` were dropped; returns whether more dates were
        taken."""
        if self._taken == self._before.size:
            return False
        remaining = int(np.count_nonzero(~dropped & (moments <= self._before[-1])))
        if remaining < self._history:
            self._take(self._history - remaining)
        return remaining < self._history

    def holds(self, moments: IntArray) -> BoolArray:
        """Mask of the moments that lie within."""
        keep: BoolArray = np.ones(moments.shape, dtype=np.bool_)
        if self.low is not None:
            keep &= moments >= self.low
        if self.high is not None:
            keep &= moments < self.high
        return keep
