"""Chooses the rows of a long frame to use: those of the dates asked for, on market days, one a date and symbol.

In this order: stamps become dates of the market, rows outside the dates asked for are cut before anything else about
them is judged, dates on which too few symbols have a row leave the calendar, and rows that share their key with others
are judged. `survey` and `resolve` do the same for data that are read in parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.panel.calendar import Attendance, left_out, no_rows, span_of, thin_dates
from fama_fast.panel.duplicates import Duplicated, Repeated
from fama_fast.panel.grid import Grid, duplicate_rows, lay_out
from fama_fast.panel.keys import (
    Locate,
    dates_to_numpy,
    microseconds,
    plain_dates,
    read_dates,
    read_symbols,
    shown_moment,
)
from fama_fast.panel.zones import check_order, moved, odd_hours

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.panel.columns import Columns
    from fama_fast.panel.reading import Reading
    from fama_fast.types import BoolArray, IntArray


@dataclass(frozen=True)
class Rows:
    """A selection of rows of a frame: their numbers in it, their columns, their keys as read."""

    numbers: IntArray
    table: pl.DataFrame
    dates: pl.Series
    symbols: pl.Series
    find: Locate

    def where(self, keep: BoolArray) -> Rows:
        """The rows that `keep` is true for."""
        if keep.all():
            return self
        mask = pl.Series(keep)
        dates, symbols = self.dates.filter(mask), self.symbols.filter(mask)
        return Rows(self.numbers[keep], self.table.filter(mask), dates, symbols, self.find)

    def locate(self, row: int) -> str:
        """Name of the place of the 0-based row in the data, for messages."""
        return self.find(int(self.numbers[row]))


@dataclass(frozen=True)
class Chosen:
    """The rows to use, their cells, and what was let pass.

    Attributes:
        rows: one a cell of `grid`. attendance: of the dates of the grid. duplicated: what was found of rows that share
            a key; it has refused none.
        clock, dropped, thin: sentences about stamps, about dates that left the calendar, and about thin ones.
    """

    rows: Rows
    grid: Grid
    attendance: Attendance
    duplicated: Duplicated
    clock: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def thin(self) -> tuple[str, ...]:
        """A sentence about the thin dates, if there are any."""
        return thin_dates(dates_to_numpy(self.grid.dates), self.attendance)

    @property
    def warnings(self) -> tuple[str, ...]:
        """All sentences."""
        return (*self.clock, *self.dropped, *self.thin, *self.duplicated.warnings)


def choose_rows(table: pl.DataFrame, columns: Columns, reading: Reading, source: str, locate: Locate) -> Chosen:
    """Choose the rows of a frame to use.

    Args:
        table: the columns that are used, keys among them; at least one row.

    Raises:
        DataError: a key that cannot be read; no rows that count. Rows that differ are reported in `duplicated`.
    """
    days, clock = _market_dates(table[columns.date], reading, source, locate)
    moments = microseconds(days)
    span = span_of(reading, np.unique(moments) if reading.history else None)
    while True:
        inside = span.holds(moments)
        if not inside.any():
            raise no_rows(reading, source, *dates_to_numpy(pl.Series([days.min(), days.max()], dtype=days.dtype)))
        rows = _keyed(table, columns, days, inside, source, locate)
        grid = lay_out(rows.dates, rows.symbols)
        attendance = Attendance.of_cells(grid.cells, grid.shape)
        dropped = attendance.fewer_than(reading.min_symbols)
        if not span.widen(microseconds(grid.dates), dropped):
            break
    clock = clock or odd_hours(microseconds(grid.dates), table[columns.date].dtype)
    said = left_out(dates_to_numpy(grid.dates), attendance, dropped, reading.min_symbols, source)
    if said:
        rows = rows.where(~dropped[grid.cells // grid.shape[1]])
        rows = replace(rows, dates=plain_dates(rows.dates))
        grid, attendance = lay_out(rows.dates, rows.symbols), attendance.where(~dropped)
    duplicated = Duplicated(reading.duplicates)
    shared = duplicate_rows(grid)
    if shared.size:
        keep: BoolArray = np.ones(grid.cells.size, dtype=np.bool_)
        values = rows.table.drop(columns.date, columns.symbol)[shared]
        keep[shared] = duplicated.judge(grid.cells[shared], values, _described(rows, shared))
        rows, grid = rows.where(keep), Grid(grid.dates, grid.symbols, grid.cells[keep])
    return Chosen(rows, grid, attendance, duplicated, clock, said)


def _market_dates(
    column: pl.Series, reading: Reading, source: str, locate: Locate
) -> tuple[pl.Series, tuple[str, ...]]:
    """Dates of all rows on the market's clock, and a sentence where a zone was asked for."""
    days = read_dates(column, source=source, locate=locate)
    zone = reading.timezone
    if zone is None:
        return days, ()
    if isinstance(days.dtype, pl.Date):
        return days, moved(zone, midnight=True)
    universal = read_dates(column, source=source, locate=locate, zone="UTC")
    check_order(np.unique(microseconds(universal)), zone, source)
    return read_dates(column, source=source, locate=locate, zone=zone), moved(zone, midnight=False)


def _keyed(
    table: pl.DataFrame, columns: Columns, days: pl.Series, inside: BoolArray, source: str, locate: Locate
) -> Rows:
    """The rows inside the span, with their symbols read: those of others are not judged."""
    every = Rows(np.arange(table.height), table, days, table[columns.symbol], locate).where(inside)
    symbols = read_symbols(every.symbols, source=source, locate=every.locate)
    return replace(every, dates=plain_dates(every.dates), symbols=symbols)


def _described(rows: Rows, shared: IntArray) -> Callable[[IntArray], Repeated]:
    def describe(group: IntArray) -> Repeated:
        at = shared[group].tolist()
        return Repeated(
            shown_moment(dates_to_numpy(rows.dates[at[:1]])[0]), rows.symbols[at[0]], tuple(rows.locate(r) for r in at)
        )

    return describe
