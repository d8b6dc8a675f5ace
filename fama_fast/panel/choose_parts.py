"""Chooses the rows to use of data that are read in parts, from passes over the keys, as `choose` does in memory.

The first pass learns the dates, the symbols and where rows share their key (`survey`). Only where dates leave the
calendar or rows are left out is there another; rows that share a key are read with all their columns, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.calendar import left_out, no_rows, span_of, thin_dates
from fama_fast.panel.duplicates import Duplicated, Repeated
from fama_fast.panel.keys import MICROSECONDS_A_DAY, read_symbols, shown_moment
from fama_fast.panel.rows import Decoder, Excluded
from fama_fast.panel.survey import Survey, meeting, survey
from fama_fast.panel.zones import check_order, moved, odd_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fama_fast.panel.columns import Columns
    from fama_fast.panel.io.source import RowSource
    from fama_fast.panel.reading import Reading
    from fama_fast.panel.rows import Rows
    from fama_fast.types import IntArray

_ROWS = 1 << 18  # that share a date with rows of one key, looked at together


@dataclass(frozen=True)
class ChosenKeys:
    """The rows to use, by their keys: what decodes them, what was found of them, and sentences about the others."""

    decoder: Decoder
    survey: Survey
    warnings: tuple[str, ...]


def choose_keys(files: RowSource, columns: Columns, reading: Reading) -> ChosenKeys:
    """Choose the rows to use.

    Raises:
        DataError: a key that cannot be read; no rows that count; rows of one key that differ.
    """
    if not files.rows:
        raise DataError(f"{files.source}: no rows")
    plain = Decoder(files, columns.date)
    zone, clock = _clock(plain, reading)
    decoder = replace(plain, zone=zone)
    span = span_of(reading, _moments(decoder) if reading.history and reading.start is not None else None)
    while True:
        keys = survey(decoder, columns, span)
        if not keys.moments.size:
            first, last = min(s[0] for s in keys.spans), max(s[1] for s in keys.spans)
            raise no_rows(reading, files.source, *dates_of(np.array([first, last])))
        attendance = keys.attendance
        dropped = attendance.fewer_than(reading.min_symbols)
        if not span.widen(keys.moments, dropped):
            break
    clock = clock or odd_hours(keys.moments, files.schema[columns.date])
    said = left_out(dates_of(keys.moments), attendance, dropped, reading.min_symbols, files.source)
    excluded = Excluded(keys.moments[dropped])
    duplicated = Duplicated(reading.duplicates)
    shared = np.setdiff1d(keys.repeated, excluded.moments)
    if shared.size:
        counted = replace(decoder, excluded=excluded)
        excluded = replace(excluded, rows=_left_out_rows(counted, columns, keys, shared, duplicated))
        duplicated.refuse(files.source)
    if excluded:
        decoder = replace(decoder, excluded=excluded)
        keys = survey(decoder, columns, span)
    thin = thin_dates(dates_of(keys.moments), attendance.where(~dropped))
    return ChosenKeys(decoder, keys, (*clock, *said, *thin, *duplicated.warnings))


def dates_of(moments: IntArray) -> Any:
    """Moments as datetime64: of days where all are at midnight."""
    dates = moments.astype("datetime64[us]")
    return dates.astype("datetime64[D]") if bool(np.all(moments % MICROSECONDS_A_DAY == 0)) else dates


def _clock(decoder: Decoder, reading: Reading) -> tuple[str | None, tuple[str, ...]]:
    """The zone that stamps are moved to, and a sentence about it."""
    zone = reading.timezone
    if zone is None:
        return None, ()
    if bool(np.all(_moments(decoder) % MICROSECONDS_A_DAY == 0)):
        return None, moved(zone, midnight=True)
    check_order(_moments(replace(decoder, zone="UTC")), zone, decoder.files.source)
    return zone, moved(zone, midnight=False)


def _moments(decoder: Decoder) -> IntArray:
    """The distinct moments of all rows, ascending."""
    moments: IntArray = np.empty(0, dtype=np.int64)
    for rows in decoder.rows(range(len(decoder.files.groups)), [decoder.date], threads=True):
        moments = np.union1d(moments, rows.when)
    return moments


@dataclass
class _Found:
    """Rows of some dates, from all row groups, in the order of the data."""

    rows: list[Rows]

    def __post_init__(self) -> None:
        self._starts = np.cumsum([0, *(r.when.size for r in self.rows)])

    def locate(self, row: int) -> str:
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.rows[at].locate(row - int(self._starts[at]))

    def places(self, chosen: IntArray) -> Iterator[tuple[int, IntArray]]:
        """The rows chosen, by row group."""
        for rows, start, stop in zip(self.rows, self._starts, self._starts[1:], strict=False):
            own = chosen[(chosen >= start) & (chosen < stop)] - start
            if own.size:
                yield rows.group, rows.places[own]


def _left_out_rows(
    decoder: Decoder, columns: Columns, found: Survey, shared: IntArray, duplicated: Duplicated
) -> dict[int, IntArray]:
    """Rows, by row group, that share their key with another and are left out. `shared`: the moments of all such
    keys."""
    out: dict[int, list[IntArray]] = {}
    symbols = pl.Enum(found.symbols)
    moments = np.setdiff1d(found.moments, decoder.excluded.moments)
    calendar = dates_of(moments)
    counts = found.counts[np.searchsorted(found.moments, shared)]
    for window in np.split(shared, np.flatnonzero(np.diff(np.cumsum(counts) // _ROWS)) + 1):
        kept = list(_rows_of(decoder, columns, found, window))
        there = _Found(kept)
        names = pl.concat(
            read_symbols(r.table[columns.symbol], source=decoder.files.source, locate=r.locate).cast(symbols)
            for r in kept
        )
        when = np.concatenate([r.when for r in kept])
        cells = np.searchsorted(window, when) * len(found.symbols) + names.to_physical().to_numpy()
        rows = np.flatnonzero(np.bincount(cells)[cells] > 1)
        table = pl.concat([r.table for r in kept], how="vertical_relaxed").drop(columns.date, columns.symbol)
        keep = duplicated.judge(
            cells[rows], table[rows], _described(there, calendar[np.searchsorted(moments, when)], names, rows)
        )
        for group, places in there.places(rows[~keep]):
            out.setdefault(group, []).append(places)
    return {group: np.sort(np.concatenate(places)) for group, places in out.items()}


def _rows_of(decoder: Decoder, columns: Columns, found: Survey, window: IntArray) -> Iterator[Rows]:
    """The rows of these moments, with all columns that are used."""
    low, high = int(window[0]), int(window[-1])
    for rows in decoder.rows(meeting(found.spans, low, high), columns.needed):
        inside, _ = rows.cut(low, high)
        rows_inside = None if inside is None else inside.where(np.isin(inside.when, window))
        if rows_inside is not None:
            yield rows_inside


def _described(found: _Found, dates: Any, names: pl.Series, shared: IntArray) -> Callable[[IntArray], Repeated]:
    def describe(group: IntArray) -> Repeated:
        at = shared[group]
        return Repeated(shown_moment(dates[at[0]]), names[int(at[0])], tuple(found.locate(r) for r in at.tolist()))

    return describe
