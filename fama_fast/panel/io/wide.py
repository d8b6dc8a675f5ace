"""Reads wide tables: one a field, dates down, a column a symbol.

Tables of one set need not have the same dates and symbols: the rows are those of the union. A table of numbers becomes
a field, one of true and false a mark (a universe), one of texts a group. Which files are wide tables is decided in
`io.layout`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel.calendar import span_of
from fama_fast.panel.columns import is_text
from fama_fast.panel.io.cells import BLOCK_CELLS, CellSource
from fama_fast.panel.io.layout import wide_dates
from fama_fast.panel.io.unreadable import UNREADABLE
from fama_fast.panel.key_columns import no_column
from fama_fast.panel.keys import microseconds, read_dates
from fama_fast.panel.names import is_row_number
from fama_fast.panel.reading import KEYS
from fama_fast.panel.zones import to_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fama_fast.panel.reading import Reading
    from fama_fast.types import FloatArray, IntArray

_SHOWN = 5


@dataclass(frozen=True)
class WideTable:
    """One wide table before it is aligned with others.

    Attributes:
        name: for messages. field: what it holds. schema: its columns. read: some of its columns, rows [first, first +
            count) of them (count None: to the end).
    """

    name: str
    field: str
    schema: Mapping[str, pl.DataType]
    read: Callable[[Sequence[str], int, int | None], pl.DataFrame]
    fingerprint: Callable[[], str]


def held_table(name: str, field: str, frame: pl.DataFrame) -> WideTable:
    """A `WideTable` of a table in memory."""

    def read(columns: Sequence[str], first: int, count: int | None) -> pl.DataFrame:
        return frame.select(columns).slice(first, count)

    def fingerprint() -> str:
        return hashlib.blake2b(frame.hash_rows().to_numpy().tobytes(), digest_size=16).hexdigest()

    return WideTable(name, field, dict(frame.schema), read, fingerprint)


def csv_table(name: str, field: str, frame: pl.DataFrame) -> WideTable:
    """A `WideTable` of a CSV file; a column of numbers is one whatever it is called (CODE is a company, too)."""
    for column in [c for c, t in frame.schema.items() if isinstance(t, pl.String)]:
        values = frame[column].cast(pl.Float64, strict=False)
        if values.null_count() == frame[column].null_count():
            frame = frame.with_columns(values)
    return held_table(name, field, frame)


def parquet_table(name: str, field: str, path: str, schema: Mapping[str, pl.DataType]) -> WideTable:
    """A `WideTable` of a Parquet file of this machine, of which only the rows asked for are read."""

    def read(columns: Sequence[str], first: int, count: int | None) -> pl.DataFrame:
        try:
            # A glob in a file's own name must not be expanded again.
            frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(columns)
            return frame.slice(first, count).collect()
        except UNREADABLE as error:
            raise DataError(f"{name}: cannot be read: {str(error).splitlines()[0]}") from error

    def fingerprint() -> str:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()

    return WideTable(name, field, schema, read, fingerprint)


@dataclass
class _Placed:
    """A table aligned with the union of dates and symbols.

    Attributes:
        columns: those that hold symbols. at: the union's column of each. rows: (T,) the table's row of each date of the
            union, -1 where it has none.
    """

    table: WideTable
    columns: list[str]
    at: IntArray
    rows: IntArray
    kind: pl.DataType


class WideTables(CellSource):
    """Reads wide tables as the rows of one data set."""

    def __init__(
        self, source: str, layout: str, tables: Sequence[WideTable], reading: Reading, *, block_cells: int = BLOCK_CELLS
    ) -> None:
        """Lays the tables over each other.

        Raises:
            DataError: no column of dates, two rows of one date, text among numbers, two columns of one symbol.
        """
        self._notes: list[str] = []
        dates = [_dates_of(t, reading) for t in tables]
        union = _union([d for _, d in dates])
        symbols: dict[str, int] = {}
        self._placed: dict[str, _Placed] = {}
        for table, (date, own) in zip(tables, dates, strict=True):
            if table.field.strip().lower() in KEYS:
                raise DataError(
                    f"{table.name}: a wide table cannot be called {table.field!r}: the rows have their keys"
                )
            named = _symbol_columns(table, date)
            at = np.array([symbols.setdefault(s, len(symbols)) for s in named], dtype=np.int64)
            rows = self._rows(table, own, union, reading)
            columns = list(named.values())
            self._placed[table.field] = _Placed(table, columns, at, rows, _kind_of(table, columns))
        super().__init__(
            source, layout, union, list(symbols), {f: p.kind for f, p in self._placed.items()}, block_cells=block_cells
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was let pass."""
        return (*self._notes, *super().warnings)

    def numbers(self, field: str, low: int, high: int) -> FloatArray:
        """(dates, N) values of a field on dates [low, high), NaN where missing."""
        placed = self._placed[field]
        out = np.full((high - low, len(self.symbols)), np.nan)
        there, table = self._slice(placed, low, high)
        if table is not None:
            values = table.select(pl.all().cast(pl.Float64)).to_numpy()
            out[np.ix_(there, placed.at)] = values
        return out

    def labels(self, field: str, low: int, high: int) -> pl.Series:
        """Texts of a field on dates [low, high), symbol after symbol."""
        placed = self._placed[field]
        texts = np.full((len(self.symbols), high - low), None, dtype=object)
        there, table = self._slice(placed, low, high)
        if table is not None:
            for at, column in zip(placed.at.tolist(), placed.columns, strict=True):
                texts[at, there] = table[column].cast(pl.String).to_list()
        return pl.Series(field, texts.ravel().tolist(), dtype=pl.String)

    def fingerprint(self) -> Iterator[str]:
        """Hash of the tables' bytes."""
        for placed in self._placed.values():
            yield f"{placed.table.field} {placed.table.fingerprint()}"

    def _slice(self, placed: _Placed, low: int, high: int) -> tuple[IntArray, pl.DataFrame | None]:
        """Which dates of [low, high) the table has, counted from `low`, and its rows of them in their order."""
        rows = placed.rows[low:high]
        there: IntArray = np.flatnonzero(rows >= 0)
        if not there.size:
            return there, None
        wanted = rows[there]
        first = int(wanted.min())
        read_rows = placed.table.read(placed.columns, first, int(wanted.max()) - first + 1)
        return there, read_rows if np.all(np.diff(wanted) == 1) else read_rows[wanted - first]

    def _rows(self, table: WideTable, own: pl.Series, union: pl.Series, reading: Reading) -> IntArray:
        """The table's row of each date of the union."""
        rows: IntArray = np.full(len(union), -1, dtype=np.int64)
        at = np.searchsorted(union.to_physical().to_numpy(), own.cast(union.dtype).to_physical().to_numpy())
        order = np.arange(len(own)) if reading.duplicates == "last" else np.arange(len(own))[::-1]
        rows[at[order]] = order
        repeated = np.flatnonzero(np.bincount(at, minlength=len(union)) > 1)
        zone = reading.timezone
        clock = union if zone is None or isinstance(union.dtype, pl.Date) else to_zone(union, zone)
        # What is not asked for is not judged; either row will do.
        repeated = repeated[span_of(reading).holds(microseconds(clock)[repeated]) | (reading.history > 0)]
        if repeated.size:
            self._judge(table, own, at, repeated, reading)
        return rows

    def _judge(self, table: WideTable, own: pl.Series, at: IntArray, repeated: IntArray, reading: Reading) -> None:
        """Decide on rows of one date: identical ones are kept once, with a count; others are refused, unless the caller
        said which to keep."""
        everything = table.read(list(table.schema), 0, None)
        differing: dict[str, list[str]] = {}
        for date in repeated.tolist():
            rows = np.flatnonzero(at == date)
            if everything.drop(date_of(table, reading))[rows].n_unique() > 1:
                differing[str(own[int(rows[0])])] = [f"row {r + 1:,}" for r in rows.tolist()]
        if differing and reading.duplicates == "error":
            noun = "date is" if len(differing) == 1 else "dates are"
            more = "; ..." if len(differing) > _SHOWN else ""
            some = (f"{date} in {', '.join(at[:_SHOWN])}" for date, at in list(differing.items())[:_SHOWN])
            raise DataError(
                f"{table.name}: {len(differing):,} {noun} in more than one row, and the rows differ: "
                f"{'; '.join(some)}{more} (--duplicates first or last keeps one of them; in Python duplicates=)",
                details={
                    "duplicates": [{"date": date, "rows": at} for date, at in differing.items()],
                    "count": len(differing),
                },
            )
        noun = "date is" if repeated.size == 1 else "dates are"
        self._notes.append(f"{table.name}: {repeated.size:,} {noun} in more than one row, of which one is kept")


def date_of(table: WideTable, reading: Reading) -> str:
    """The column of dates: one that is called so, or the first one."""
    dates = wide_dates(list(table.schema), reading)
    if dates is None:
        raise DataError(no_column(table.name, "date", reading.date or "date", table.schema))
    return dates


def _dates_of(table: WideTable, reading: Reading) -> tuple[str, pl.Series]:
    column = date_of(table, reading)
    raw = table.read([column], 0, None)[column]
    if raw.is_empty():
        return column, pl.Series(column, [], dtype=pl.Date)
    # With a time zone, rows are moved to it later, from UTC.
    return column, read_dates(raw, source=table.name, zone=None if reading.timezone is None else "UTC")


def _union(dates: Sequence[pl.Series]) -> pl.Series:
    distinct = {d.dtype for d in dates if len(d)}
    if not distinct:
        return pl.Series("date", [], dtype=pl.Date)
    if len(distinct) > 1:
        dates = [d.cast(pl.Datetime("us")) for d in dates]
    return pl.concat([d.rename("date") for d in dates if len(d)]).unique().sort()


def _symbol_columns(table: WideTable, date: str) -> dict[str, str]:
    """Columns by their symbol."""
    columns: dict[str, str] = {}
    for column, dtype in table.schema.items():
        # Row numbers, as a table has them that was written with its index.
        if column == date or (is_row_number(column) and dtype.is_integer()):
            continue
        symbol = column.strip()
        if not symbol:
            raise DataError(f"{table.name}: a column has no name, and so no symbol")
        if symbol in columns:
            raise DataError(
                f"{table.name}: columns {quoted(columns[symbol])} and {quoted(column)} would both be "
                f"the symbol {quoted(symbol)}"
            )
        columns[symbol] = column
    if not columns:
        raise DataError(f"{table.name}: a wide table has a column for each symbol, and this one has none")
    return columns


def _kind_of(table: WideTable, columns: Sequence[str]) -> pl.DataType:
    """The kind of values in the table: numbers, true and false, or texts.

    Raises:
        DataError: text among numbers; the message names the first one.
    """
    texts = [c for c in columns if is_text(table.schema[c])]
    texts = [c for c in texts if table.read([c], 0, None)[c].null_count() < table.read([c], 0, None).height]
    others = [
        c
        for c in columns
        if c not in texts and not isinstance(table.schema[c], pl.Null) and not is_text(table.schema[c])
    ]
    if texts and others:
        values = table.read([texts[0]], 0, None)[texts[0]].cast(pl.String)
        bad = values.is_not_null() & values.cast(pl.Float64, strict=False).is_null()
        row = next(iter((bad if bad.any() else values.is_not_null()).arg_true().to_list()), 0)
        raise DataError(
            f"{table.name}: column {quoted(texts[0])} holds text, not numbers: row {row + 1:,} is {quoted(values[row])}"
        )
    if texts:
        return pl.String()
    for column in others:
        if not (table.schema[column].is_numeric() or isinstance(table.schema[column], pl.Boolean)):
            raise DataError(f"{table.name}: column {quoted(column)} has type {table.schema[column]}, not numbers")
    marks = bool(others) and all(isinstance(table.schema[c], pl.Boolean) for c in others)
    return pl.Boolean() if marks else pl.Float64()
