"""Converts a long frame (one row a date and symbol) to a dense panel.

Steps: give the columns their roles (`columns`), collect only those needed, choose the rows that count and find the cell
of each (`choose`), write each column into its array. All of it works on whole columns.
It knows nothing of membership files, group files or the simulator (see `fama_fast.data`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import polars as pl

from fama_fast.errors import DataError, listed, quoted
from fama_fast.panel.choose import choose_rows
from fama_fast.panel.columns import Columns, assign_columns
from fama_fast.panel.groups import GroupField
from fama_fast.panel.io.unreadable import UNREADABLE
from fama_fast.panel.keys import Locate, dates_to_numpy, plain_row
from fama_fast.panel.market_data import is_path
from fama_fast.panel.noticed import unpriced, value_warnings
from fama_fast.panel.panel import Panel, read_dtype
from fama_fast.panel.reading import Reading, ReadingOptions, reading_of
from fama_fast.panel.scan import collect, scan
from fama_fast.panel.text_values import labels_of, no_group
from fama_fast.panel.values import field_values
from fama_fast.panel.values import numbers as numbers  # noqa: PLC0414  (part of this module's interface)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.panel.grid import Grid
    from fama_fast.panel.io.source import Scan
    from fama_fast.panel.market_data import MarketData
    from fama_fast.types import BoolArray, FloatArray

_COLUMNS, _CELLS = 400, 4_000_000  # of groups that are read at a time


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
        DataError: no rows, unreadable or null keys, rows of one (date, symbol) that differ, text in place of
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
        numeric = {k: v for k, v in columns.fields.items() if v not in columns.groups.values() or k in (names or ())}
        columns = replace(columns, fields=numeric)
    if names is None and not columns.fields:
        raise DataError(f"{source}: there is no column of numbers (columns: {listed(schema)})")
    table = collect(lazy.select(columns.needed), source)
    if table.is_empty():
        raise DataError(f"{source}: no rows")

    chosen = choose_rows(table, columns, how, source, locate)
    chosen.duplicated.refuse(source)
    grid, table, locate = chosen.grid, chosen.rows.table, chosen.rows.locate
    grouped, said = group_fields(table, columns, grid, all_of_them=group_names is None)
    dense: dict[str, FloatArray] = {}
    infinite: dict[str, int] = {}
    below: dict[str, int] = {}
    for name in columns.fields:
        values = field_values(table, columns, name, source, locate)
        infinite[name] = int(np.isinf(values).sum())
        with np.errstate(over="ignore"):
            dense[name] = grid.spread(values, kept_as)
        unpriced_rows = unpriced(name, dense[name])
        below[name] = 0 if unpriced_rows is None else int(unpriced_rows.sum())
    known = {name for name, values in dense.items() if np.isfinite(values).any()}
    warnings = [*columns.said, *said, *chosen.warnings, *value_warnings(dense, infinite, known, below)]
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


def panel_from_data(data: MarketData, **options: Any) -> Panel:
    """A dense panel from market data of any kind: a path, or frames in memory; options as in `panel_from_frame`.

    Args:
        data: a file, directory, glob or URI; a long frame of Polars (lazy or not), of pandas (its keys as columns or
            index levels, in either order) or of anything with the Arrow PyCapsule interface; or a dict of wide frames
            by field, dates down and symbols across.

    Raises:
        DataError: also for a file that is missing, empty, corrupt or of another kind, and for data of a kind that
            cannot be read: the message says how to give them.
    """
    own = {k: options.pop(k) for k in ("fields", "universe", "groups", "source", "dtype") if k in options}
    how = options.pop("reading", None) or reading_of(**options)
    source = str(data) if is_path(data) else "frame"
    return panel_from_scan(scan(data, how), how, **{"source": source, **own})


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
    except UNREADABLE as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]}") from error


def _mask(column: pl.Series, grid: Grid, source: str, locate: Locate) -> BoolArray:
    values = column.cast(pl.Float64).fill_null(0.0).to_numpy()
    odd = (values != 0.0) & (values != 1.0)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"{source}: universe column {quoted(column.name)}, {locate(row)}: {values[row]} is neither 0 nor 1"
        )
    return np.equal(grid.spread(values), 1.0)


def group_fields(
    table: pl.DataFrame, columns: Columns, grid: Grid, *, all_of_them: bool
) -> tuple[dict[str, GroupField], list[str]]:
    """The group fields; where nobody asked for one by name, without those that are none, and a sentence about each."""
    fields: dict[str, GroupField] = {}
    said: list[str] = []
    names = list(columns.groups)
    # Many columns at once, for there may be thousands, but not all cells at once.
    at_once = max(1, min(_COLUMNS, _CELLS // max(1, table.height)))
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        texts = table.select(labels_of(pl.col(columns.groups[name])).alias(name) for name in part)
        labels = texts.select(pl.all().drop_nulls().unique().sort().implode()).row(0)
        known = dict(zip(part, (tuple(each) for each in labels), strict=True))
        if all_of_them:
            for name in part:
                rows = table.height - texts[name].null_count()
                reason = no_group(name, columns.groups[name], known[name], rows=rows, symbols=len(grid.symbols))
                if reason is not None:
                    said.append(reason)
                    del known[name]
        codes = texts.select(
            pl.col(name).cast(pl.Enum(each)).to_physical().cast(pl.Float64) for name, each in known.items()
        )
        fields |= {name: GroupField.view(grid.spread(codes[name].to_numpy()), each) for name, each in known.items()}
    return fields, said
