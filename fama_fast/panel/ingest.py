"""A long frame (one row a date and symbol) becomes a dense panel.

Steps: give the columns their roles (`columns`), collect only those needed, read the keys (`keys`), find each
row's cell, refuse two rows for one cell, write each column into its array. All of it works on whole columns.
It knows nothing of membership files, group files or the simulator (see `fama_fast.data`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import polars as pl

from fama_fast.errors import DataError, listed
from fama_fast.panel.columns import Columns, assign_columns
from fama_fast.panel.keys import Locate, dates_to_numpy, plain_row, read_dates, read_symbols
from fama_fast.panel.noticed import unpriced, value_warnings
from fama_fast.panel.panel import GroupField, Panel, read_dtype
from fama_fast.panel.reading import Reading, ReadingOptions, reading_of
from fama_fast.panel.scan import Scan, collect, scan
from fama_fast.panel.text_values import labels_of, no_group
from fama_fast.panel.values import field_values
from fama_fast.panel.values import numbers as numbers  # noqa: PLC0414  (part of this module's interface)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fama_fast.types import BoolArray, FloatArray, IntArray

When = str | int | dt.date | dt.datetime
"""A date as a caller may write it: a date, `2015-01-31` or 20150131."""

_SHOWN = 5


@dataclass(frozen=True)
class Grid:
    """The dense shape of a frame and the flat cell (date * N + symbol) of each of its rows.

    `dates` and `symbols` are sorted and unique.
    """

    dates: pl.Series
    symbols: pl.Series
    cells: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dates), len(self.symbols)

    def spread(self, values: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """One value a row into a (T, N) array, NaN where there is no row."""
        out = np.full(self.shape[0] * self.shape[1], np.nan, dtype=dtype)
        out[self.cells] = values
        return out.reshape(self.shape)


def panel_from_frame(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    fields: Iterable[str] | None = None,
    universe: str | None = None,
    groups: Iterable[str] | None = None,
    source: str = "frame",
    locate: Locate = plain_row,
    dtype: Any = np.float64,
    reading: Reading | None = None,
    **options: Unpack[ReadingOptions],
) -> Panel:
    """A dense panel from a long frame; only the columns needed are collected.

    Column names are matched case-insensitively. `date` and `symbol` are required; `datetime`, `timestamp`,
    `time`, `trade_date`, ... and `ticker`, `code`, `instrument`, ... stand in for them where exactly one is
    present, and other names for fields (`vol`, `px_last`) for those (see `panel.names`). Numeric columns become
    fields in upper case (booleans 1 and 0), text columns become group fields (but for those that hold numbers as
    text, or a label of their own for nearly every row), and a boolean (or 0/1) column called `universe`,
    `in_universe` or `member` becomes the universe. Dates may be Date, Datetime, ISO text or whole numbers
    yyyymmdd. Null, NaN and infinite values are missing; infinite ones, and prices of zero or below, are counted in
    `Panel.warnings`.

    Args:
        fields: field names wanted, None for all; RET, VWAP and ADV{d} stand for what they are derived from.
        universe: the boolean column to use as the universe.
        groups: names of the group columns wanted, None for every text column; a numeric one may be named too.
        source: where the data came from, for messages and `Panel.source`.
        locate: says where a row lies, for messages.
        dtype: of the fields, float64 or float32.
        reading: how the frame is read; or `options`, which make one (`date=`, `symbol=`, `start=`, `end=`, `columns=`,
            ...: see `reading.Reading`).

    Raises:
        DataError: no rows, unreadable or null keys, two rows for one (date, symbol), text in place of
        numbers.
        UnknownName: a field or group that the data lacks.
    """
    kept_as = read_dtype(dtype)
    how = reading or reading_of(**options)
    lazy = frame.lazy()
    schema = dict(collect_schema(lazy, source))
    names = None if fields is None else tuple(fields)
    group_names = None if groups is None else tuple(groups)
    columns = assign_columns(schema, fields=names, groups=group_names, universe=universe, reading=how, source=source)
    if group_names is not None:
        kept = {k: v for k, v in columns.fields.items() if v not in columns.groups.values() or k in (names or ())}
        columns = replace(columns, fields=kept)
    if names is None and not columns.fields:
        raise DataError(f"{source}: there is no column of numbers (columns: {listed(schema)})")
    table = collect(lazy.select(columns.needed), source)
    if table.is_empty():
        raise DataError(f"{source}: no rows")

    grid, table = _lay_out(table, columns, how.start, how.end, source, locate)
    grouped, said = group_fields(table, columns, grid, all_of_them=group_names is None)
    dense: dict[str, FloatArray] = {}
    infinite: dict[str, int] = {}
    below: dict[str, int] = {}
    for name in columns.fields:
        values = field_values(table, columns, name, source, locate)
        infinite[name] = int(np.isinf(values).sum())
        with np.errstate(over="ignore"):
            dense[name] = grid.spread(values, kept_as)
        found = unpriced(name, dense[name])
        below[name] = 0 if found is None else int(found.sum())
    known = [name for name, values in dense.items() if np.isfinite(values).any()]
    warnings = [*columns.said, *said, *value_warnings(dense, infinite, known, below)]
    return Panel(
        dates_to_numpy(grid.dates),
        grid.symbols.to_list(),
        dense,
        universe=None if columns.universe is None else _mask(table[columns.universe], grid, source, locate),
        groups=grouped,
        warnings=warnings,
        source=source,
        dtype=kept_as,
    )


def panel_from_parquet(path: str | Path, **options: Any) -> Panel:
    """A dense panel from a long Parquet (or CSV) file, directory or glob; options as in `panel_from_frame`.

    Raises:
        DataError: also for a file that is missing, empty, corrupt or of another kind.
    """
    own = {k: options.pop(k) for k in ("fields", "universe", "groups", "source", "dtype") if k in options}
    how = options.pop("reading", None) or reading_of(**options)
    return panel_from_scan(scan(path, how), how, **{"source": str(path), **own})


def panel_from_scan(found: Scan, reading: Reading, **options: Any) -> Panel:
    """A dense panel of data that have been opened; options as in `panel_from_frame`."""
    panel = panel_from_frame(found.frame, locate=found.locate, reading=reading, **options)
    panel.layout = found.layout
    panel.warnings = (*found.warnings, *panel.warnings)
    return panel


def collect_schema(frame: pl.LazyFrame, source: str) -> dict[str, pl.DataType]:
    """Names and types of a lazy frame's columns; what Polars cannot resolve is a DataError."""
    try:
        return dict(frame.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]}") from error


def read_when(value: When, option: str) -> np.datetime64:
    """A date as callers write it, to compare with panel dates.

    Raises:
        DataError: not a date.
    """
    if isinstance(value, dt.date):
        return np.datetime64(value)
    column = pl.Series(option, [value])
    when: np.datetime64 = dates_to_numpy(read_dates(column, source="dates", locate=lambda _: "the value"))[0]
    return when


def lay_out(dates: pl.Series, symbols: pl.Series) -> Grid:
    """The grid of rows with these keys (already read by `keys`)."""
    days = dates.unique().sort()
    names = symbols.unique().sort()
    row = np.searchsorted(days.to_physical().to_numpy(), dates.to_physical().to_numpy())
    # An Enum over the sorted names is a dictionary encoding whose codes are positions.
    column = symbols.cast(pl.Enum(names)).to_physical().to_numpy()
    return Grid(days, names, row.astype(np.int64) * len(names) + column)


def duplicate_rows(grid: Grid) -> tuple[IntArray, int]:
    """Row numbers, ascending, of rows that share their key with another; and how many keys repeat."""
    per_cell = np.bincount(grid.cells, minlength=0)
    repeated = per_cell[grid.cells] > 1
    return np.flatnonzero(repeated), int((per_cell > 1).sum())


def _lay_out(
    table: pl.DataFrame, columns: Columns, start: When | None, end: When | None, source: str, locate: Locate
) -> tuple[Grid, pl.DataFrame]:
    dates = read_dates(table[columns.date], source=source, locate=locate)
    symbols = read_symbols(table[columns.symbol], source=source, locate=locate)
    grid = lay_out(dates, symbols)
    rows, keys = duplicate_rows(grid)
    if keys:
        raise DataError(describe_duplicates(dates, symbols, rows, keys, source, locate))
    if start is None and end is None:
        return grid, table
    when = dates_to_numpy(dates)
    keep = np.ones(when.size, dtype=bool)
    if start is not None:
        keep &= when >= read_when(start, "start")
    if end is not None:
        # A plain last date takes in all its hours.
        keep &= when.astype("datetime64[D]") <= read_when(end, "end")
    if not keep.any():
        raise DataError(
            f"{source}: no rows between {start or 'the start'} and {end or 'the end'} "
            f"(the data runs from {grid.dates[0]} to {grid.dates[-1]})"
        )
    mask = pl.Series(keep)
    return lay_out(dates.filter(mask), symbols.filter(mask)), table.filter(mask)


def describe_duplicates(
    dates: pl.Series, symbols: pl.Series, rows: IntArray, keys: int, source: str, locate: Locate = plain_row
) -> str:
    """A sentence that names the first repeated keys with their rows, and how many there are."""
    found: dict[tuple[object, str], list[int]] = {}
    for row in rows.tolist():
        key = (dates[row], symbols[row])
        if key in found or len(found) < _SHOWN:
            found.setdefault(key, []).append(row)
        if len(found) == _SHOWN and row > 1000 + max(r[0] for r in found.values()):
            break
    shown = "; ".join(
        f"({day}, {name}) in {', '.join(locate(r) for r in at[:_SHOWN])}" for (day, name), at in found.items()
    )
    noun = "key is" if keys == 1 else "keys are"
    rest = "; ..." if keys > len(found) else ""
    return f"{source}: {keys:,} (date, symbol) {noun} in more than one row: {shown}{rest}"


def _mask(column: pl.Series, grid: Grid, source: str, locate: Locate) -> BoolArray:
    values = column.cast(pl.Float64).fill_null(0.0).to_numpy()
    odd = (values != 0.0) & (values != 1.0)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(f"{source}: universe column {column.name!r}, {locate(row)}: {values[row]} is neither 0 nor 1")
    return np.equal(grid.spread(values), 1.0)


def group_field(column: pl.Series, grid: Grid) -> tuple[GroupField, int]:
    """A column of text as a group; and how many rows have a label."""
    texts = labels_of(column)
    labels = texts.drop_nulls().unique().sort()
    codes = texts.cast(pl.Enum(labels)).to_physical().cast(pl.Float64).to_numpy()
    return GroupField(grid.spread(codes), tuple(labels.to_list())), len(texts) - texts.null_count()


def group_fields(
    table: pl.DataFrame, columns: Columns, grid: Grid, *, all_of_them: bool
) -> tuple[dict[str, GroupField], list[str]]:
    """The group fields; where nobody asked for one by name, without those that are none, and a sentence about each."""
    found: dict[str, GroupField] = {}
    said: list[str] = []
    for name, column in columns.groups.items():
        group, rows = group_field(table[column], grid)
        reason = no_group(name, column, group.labels, rows=rows, symbols=len(grid.symbols)) if all_of_them else None
        if reason is None:
            found[name] = group
        else:
            said.append(reason)
    return found, said
