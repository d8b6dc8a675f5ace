"""Market data larger than memory: the axes are known, rows are read when they are asked for.

1. `Dataset` opens the files, gives columns their roles and reads the keys once: the dates and symbols of the whole
   data, the labels of its groups, and whether rows come in the order of dates (`_Survey`).
2. A `Reader` gives any dates as a dense `Panel`. Where rows are ordered by date it goes on from where it stopped, so
   that consecutive reads decode each row once, whatever the size of the row groups; otherwise each read decodes the row
   groups that hold its dates.
3. Two rows for one cell are found as they are met, and named with their files and rows.

The panels are those that reading everything at once would give, cut to the dates.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import polars as pl

from fama_fast.errors import DataError, UnknownName, nearest_name
from fama_fast.panel.columns import Columns, assign_columns
from fama_fast.panel.digest import Content, read_through, value_warnings
from fama_fast.panel.ingest import numbers, read_when
from fama_fast.panel.keys import read_dates, read_symbols
from fama_fast.panel.panel import GroupField, Panel, read_dtype
from fama_fast.panel.parquet import Batch, ParquetFiles, RowGroup
from fama_fast.panel.reading import Reading, ReadingOptions, reading_of
from fama_fast.types import DERIVED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fama_fast.types import BoolArray, FloatArray, IntArray

    Join = Callable[[Panel], Panel]

_MICROSECONDS_A_DAY = 86_400_000_000
_SHOWN = 5
_MEMORY = 1 << 30  # for reading everything once, when nobody says how much


def _moments(column: pl.Series, batch: Batch) -> IntArray:
    """Dates as microseconds since 1970, local clock time."""
    read = read_dates(column, source=batch.file.name, locate=batch.locate)
    if isinstance(read.dtype, pl.Date):
        return read.to_physical().to_numpy().astype(np.int64) * _MICROSECONDS_A_DAY
    return read.to_physical().to_numpy().astype(np.int64)


@dataclass
class _Survey:
    """What a pass over the keys finds.

    Attributes:
        moments: (T,) dates in microseconds. symbols: (N,) sorted names. labels: of each group, sorted.
        spans: first and last moment of each row group. ordered: rows come in the order of dates.
    """

    moments: IntArray
    symbols: pl.Series
    labels: dict[str, tuple[str, ...]]
    spans: list[tuple[int, int]]
    ordered: bool
    rows: int


def _survey(files: ParquetFiles, columns: Columns, low: int | None, high: int | None) -> _Survey:
    moments: IntArray = np.empty(0, dtype=np.int64)
    names: pl.Series = pl.Series([], dtype=pl.String)
    labels = {g: pl.Series([], dtype=pl.String) for g in columns.groups}
    spans: list[tuple[int, int]] = []
    ordered, last = True, -(2**63)
    total = 0
    wanted = list(dict.fromkeys([columns.date, columns.symbol, *columns.groups.values()]))
    for group in files.groups:
        first_seen, last_seen = 2**63 - 1, -(2**63)
        for batch in files.batches(group, wanted, threads=True):
            table = batch.table
            when = _moments(table[columns.date], batch)
            steps = np.flatnonzero(when[1:] != when[:-1])
            ordered = ordered and bool(when[0] >= last) and bool(np.all(when[steps + 1] > when[steps]))
            last = int(when[-1])
            heads = np.unique(when[np.concatenate(([0], steps + 1))])
            first_seen, last_seen = min(first_seen, int(heads[0])), max(last_seen, int(heads[-1]))
            inside = _inside(heads, low, high)
            found = read_symbols(table[columns.symbol], source=batch.file.name, locate=batch.locate)
            if not inside.all():
                keep = _inside(when, low, high)
                total += int(keep.sum())
                found, table = found.filter(pl.Series(keep)), table.filter(pl.Series(keep))
            else:
                total += len(when)
            moments = np.union1d(moments, heads[inside])
            names = pl.concat([names, found.rename("").unique()]).unique()
            for name, column in columns.groups.items():
                texts = _group_texts(table[column]).unique().drop_nulls().rename("")
                labels[name] = pl.concat([labels[name], texts]).unique()
        spans.append((first_seen, last_seen))
    if moments.size == 0:
        if files.rows == 0:
            raise DataError(f"{files.source}: no rows")
        raise DataError(f"{files.source}: no rows between the dates asked for")
    return _Survey(
        moments, names.sort(), {g: tuple(s.sort().to_list()) for g, s in labels.items()}, spans, ordered, total
    )


def _inside(when: IntArray, low: int | None, high: int | None) -> BoolArray:
    keep: BoolArray = np.ones(when.shape, dtype=np.bool_)
    if low is not None:
        keep &= when >= low
    if high is not None:
        keep &= when < high
    return keep


def _group_texts(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars().replace("", None)


def _microseconds(when: np.datetime64) -> int:
    return int(when.astype("datetime64[us]").astype(np.int64))


class Dataset:
    """A Parquet data set that is read in parts; it has the axes and the names of a `Panel`, and no values.

    Attributes:
        dates, symbols: as of a `Panel`. fields, supplied_fields, groups: names. has_universe: members differ by date.
        ordered: rows come in the order of dates, so that one pass reads them all. rows: how many there are.
        dtype: of the fields of panels that are read. reading: how they are read. warnings: columns that play no part.
        source: the path.
    """

    def __init__(
        self,
        path: str | Path | ParquetFiles,
        *,
        fields: Iterable[str] | None = None,
        groups: Iterable[str] | None = None,
        universe: str | None = None,
        dtype: Any = np.float64,
        join: Join | None = None,
        reading: Reading | None = None,
        **options: Unpack[ReadingOptions],
    ) -> None:
        """Opens a Parquet file, folder (hive-partitioned or not), glob or URI and reads its keys.

        Args:
            fields, groups, universe, dtype, reading, options: as for `panel_from_frame`.
            join: what to add to each panel that is read (a universe, group fields), on its dates alone.

        Raises:
            DataError: as `panel_from_frame`; duplicate rows and text in place of numbers are found when they are read.
        """
        self.dtype = read_dtype(dtype)
        self.reading = reading or reading_of(**options)
        start, end = self.reading.start, self.reading.end
        self.files = path if isinstance(path, ParquetFiles) else ParquetFiles(path)
        self.source = self.files.source
        names = None if fields is None else tuple(fields)
        group_names = None if groups is None else tuple(groups)
        self.columns = assign_columns(
            self.files.schema,
            fields=names,
            groups=group_names,
            universe=universe,
            reading=self.reading,
            source=self.source,
        )
        self.warnings = self.columns.unused
        low = None if start is None else _microseconds(read_when(start, "start"))
        # A plain last date takes in all its hours.
        high = None if end is None else _microseconds(read_when(end, "end").astype("datetime64[D]") + 1)
        self._survey = _survey(self.files, self.columns, low, high)
        self.moments = self._survey.moments
        midnight = bool(np.all(self.moments % _MICROSECONDS_A_DAY == 0))
        dates = self.moments.astype("datetime64[us]")
        self.dates = dates.astype("datetime64[D]") if midnight else dates
        self.symbols = np.asarray(self._survey.symbols.to_list(), dtype=object)
        self.join = join
        self._content: Content | None = None
        self._example: Panel | None = None
        if join is not None:
            blank = np.full((1, self.symbols.size), np.nan)
            own = {g: GroupField(blank, labels) for g, labels in self._survey.labels.items()}
            empty = Panel(self.dates[:1], self.symbols, {}, groups=own, source=self.source, dtype=self.dtype)
            self._example = join(empty)
            self.warnings = (*self.warnings, *self._example.warnings)

    @property
    def shape(self) -> tuple[int, int]:
        """(T dates, N symbols)."""
        return self.dates.size, self.symbols.size

    @property
    def rows(self) -> int:
        """Rows of the data between the dates asked for."""
        return self._survey.rows

    @property
    def ordered(self) -> bool:
        """Rows come in the order of dates."""
        return self._survey.ordered

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last date of each row group of `files`, microseconds since 1970."""
        return self._survey.spans

    @property
    def supplied_fields(self) -> tuple[str, ...]:
        """Numeric fields that the data carries."""
        joined = () if self._example is None else self._example.supplied_fields
        return tuple(dict.fromkeys((*self.columns.fields, *joined)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Supplied fields, then those that can be derived from them."""
        have = self.supplied_fields
        extra = (d.name for d in DERIVED_FIELDS.values() if d.name not in have and all(i in have for i in d.inputs))
        return (*have, *extra)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group fields."""
        joined = () if self._example is None else self._example.groups
        return tuple(dict.fromkeys((*self.columns.groups, *joined)))

    @property
    def has_universe(self) -> bool:
        """Whether members are told apart from others."""
        joined = self._example is not None and self._example.universe is not None
        return self.columns.universe is not None or joined

    @property
    def sessions(self) -> IntArray:
        """(T,) number of each row's session; see `Panel.sessions`."""
        return Panel(self.dates, self.symbols[:1], {}).sessions

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.upper() in self.fields

    def group(self, name: str) -> None:
        """Refuses a group field that the data lacks.

        Raises:
            UnknownName: with the nearest one.
        """
        if name.upper() not in self.groups:
            have = f"it has {', '.join(self.groups)}" if self.groups else "it has none: join a group file"
            raise UnknownName(
                f"the data has no group field {name!r} ({have})", suggestion=nearest_name(name, self.groups)
            )

    def need(self, name: str) -> None:
        """Refuses a field that the data lacks.

        Raises:
            UnknownName: with the nearest one.
        """
        if name not in self:
            raise UnknownName(
                f"the data has no field {name!r} (it has {', '.join(self.fields)})",
                suggestion=nearest_name(name, self.fields),
            )

    def slice_dates(self, start: int, stop: int) -> Dataset:
        """Rows [start, stop) as a data set of their own, of the same symbols and labels; nothing is read.

        Its `rows` and `spans` stay those of the whole.
        """
        part = copy.copy(self)
        part.dates, part.moments = self.dates[start:stop], self.moments[start:stop]
        part._content = None
        return part

    def read_through(self, memory: int) -> None:
        """Reads every value once, within about `memory` bytes: `data_hash` is known then, and all `warnings`.

        Raises:
            DataError: from reading.
        """
        if self._content is None:
            self._content = read_through(self, memory)
            joined = () if self._example is None else self._example.warnings
            self.warnings = (*self.columns.unused, *self._content.warnings, *joined)

    @property
    def data_hash(self) -> str:
        """What `Panel.data_hash` is of these data in memory; the first time, everything is read.

        Raises:
            DataError: from reading.
        """
        self.read_through(_MEMORY)
        assert self._content is not None
        return self._content.hash

    def reader(self, fields: Iterable[str] | None = None, groups: Iterable[str] | None = None) -> Reader:
        """A reader of these fields and groups (None: all) and of the universe."""
        return Reader(
            self, self.supplied_fields if fields is None else fields, self.groups if groups is None else groups
        )

    def panel(self) -> Panel:
        """All of it in memory.

        Raises:
            DataError: as `panel_from_frame`.
        """
        reader = self.reader()
        found = reader.read(0, len(self.dates))
        said = value_warnings(
            self.columns.fields, reader.infinite, {f for f in self.columns.fields if np.isfinite(found[f]).any()}
        )
        joined = () if self._example is None else self._example.warnings
        found.warnings = (*self.columns.unused, *said, *joined)
        return found

    def __repr__(self) -> str:
        t, n = self.shape
        return f"Dataset({self.source}: {t} dates x {n} symbols, {self.dates[0]}..{self.dates[-1]})"


@dataclass
class _Cell:
    """Where the rows of one batch go: dates and columns of the panel being filled."""

    batch: Batch
    table: pl.DataFrame
    rows: IntArray | None  # of the batch, None for all
    when: IntArray


@dataclass
class Reader:
    """Reads dates of a data set as panels; for one thread at a time."""

    data: Dataset
    fields: Iterable[str]
    groups: Iterable[str]
    infinite: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = self.data.columns
        self._fields = {f: columns.fields[f] for f in dict.fromkeys(self.fields) if f in columns.fields}
        self._groups = {g: columns.groups[g] for g in dict.fromkeys(self.groups) if g in columns.groups}
        mask = [] if columns.universe is None else [columns.universe]
        self._wanted = list(
            dict.fromkeys([columns.date, columns.symbol, *self._fields.values(), *self._groups.values(), *mask])
        )
        self._symbols = pl.Enum(self.data._survey.symbols)
        self._labels = {g: pl.Enum(pl.Series(self.data._survey.labels[g], dtype=pl.String)) for g in self._groups}
        self._next = 0
        self._stream: Iterator[_Cell] | None = None
        self._left: _Cell | None = None

    def read(self, start: int, stop: int) -> Panel:
        """Rows [start, stop) of the data as a panel of its own.

        Raises:
            DataError: two rows for one (date, symbol), text in place of numbers, a file that cannot be read.
        """
        data = self.data
        shape = (stop - start, len(data.symbols))
        size = shape[0] * shape[1]
        fields = {f: np.full(size, np.nan, dtype=data.dtype) for f in self._fields}
        groups = {g: np.full(size, np.nan) for g in self._groups}
        mask = np.zeros(size, dtype=np.bool_) if data.columns.universe is not None else None
        seen = np.zeros(size, dtype=np.bool_)
        written = 0
        for cell in self._cells(start, stop):
            at = self._place(cell, start)
            seen[at] = True
            written += at.size
            for name, column in self._fields.items():
                fields[name][at] = self._numbers(name, column, cell)
            for name, column in self._groups.items():
                codes = _group_texts(cell.table[column]).cast(self._labels[name]).to_physical().cast(pl.Float64)
                groups[name][at] = codes.to_numpy()
            if mask is not None:
                mask[at] = self._members(cell)
        if np.count_nonzero(seen) != written:
            raise DataError(self._duplicates(start, stop))
        # What the survey saw has a row on every date; a file that shrank since would show here.
        panel = Panel(
            data.dates[start:stop],
            data.symbols,
            {f: _frozen(v.reshape(shape)) for f, v in fields.items()},
            groups={g: GroupField(v.reshape(shape), data._survey.labels[g]) for g, v in groups.items()},
            universe=None if mask is None else mask.reshape(shape),
            warnings=data.columns.unused,
            source=data.source,
            dtype=data.dtype,
            copy=False,
        )
        return panel if data.join is None else data.join(panel)

    def _numbers(self, name: str, column: str, cell: _Cell) -> FloatArray:
        locate = cell.batch.locate
        if cell.rows is not None:
            rows = cell.rows

            def locate(row: int) -> str:
                return cell.batch.locate(int(rows[row]))

        values = numbers(cell.table[column], cell.batch.file.name, locate)
        bad = ~np.isfinite(values)
        if bad.any():
            infinite = int(np.isinf(values[bad]).sum())
            if infinite:
                self.infinite[name] = self.infinite.get(name, 0) + infinite
            # One kind of missing value, to the bit: the data's hash is of bits.
            values = np.where(bad, np.nan, values)
        if self.data.dtype == np.float32:
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float32)
            narrow[np.isinf(narrow)] = np.nan
            return narrow  # type: ignore[return-value]
        return values

    def _members(self, cell: _Cell) -> BoolArray:
        name = self.data.columns.universe
        assert name is not None
        values = cell.table[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        odd = (values != 0.0) & (values != 1.0)
        if odd.any():
            row = int(np.flatnonzero(odd)[0])
            where = cell.batch.locate(row if cell.rows is None else int(cell.rows[row]))
            raise DataError(f"{self.data.source}: universe column {name!r}, {where}: {values[row]} is neither 0 nor 1")
        members: BoolArray = np.equal(values, 1.0)
        return members

    def _place(self, cell: _Cell, start: int) -> IntArray:
        """Flat cells of the rows in a panel whose first date is `start`."""
        when = cell.when
        heads = np.concatenate(([0], np.flatnonzero(when[1:] != when[:-1]) + 1))
        dates = np.searchsorted(self.data.moments, when[heads]) - start
        row = np.repeat(dates, np.diff(np.append(heads, when.size)))
        names = cell.table[self.data.columns.symbol].cast(pl.String)
        column = names.cast(self._symbols).to_physical().to_numpy()
        cells: IntArray = row.astype(np.int64) * len(self.data.symbols) + column
        return cells

    def _cells(self, start: int, stop: int) -> Iterator[_Cell]:
        low, high = int(self.data.moments[start]), int(self.data.moments[stop - 1])
        if not self.data.ordered:
            groups = self._meeting(low, high)
            for cell in self._decode(groups):
                kept, _ = _cut(cell, low, high)
                if kept is not None:
                    yield kept
            return
        if self._stream is None or start != self._next:
            self._left = None
            self._stream = self._decode(self._meeting(low, 2**63 - 1))
        self._next = stop
        left, self._left = self._left, None
        for cell in chain(() if left is None else (left,), self._stream):
            kept, self._left = _cut(cell, low, high)
            if kept is not None:
                yield kept
            if self._left is not None:
                return

    def _meeting(self, low: int, high: int) -> list[RowGroup]:
        """Row groups that may hold dates of [low, high]."""
        spans = self.data._survey.spans
        groups = self.data.files.groups
        return [g for g, (first, last) in zip(groups, spans, strict=True) if first <= high and last >= low]

    def _decode(self, groups: Sequence[RowGroup]) -> Iterator[_Cell]:
        for group in groups:
            for batch in self.data.files.batches(group, self._wanted):
                yield _Cell(batch, batch.table, None, _moments(batch.table[self.data.columns.date], batch))

    def _duplicates(self, start: int, stop: int) -> str:
        """A sentence that names the first repeated keys of these dates and their rows."""
        rows_at: dict[int, list[str]] = {}
        low, high = int(self.data.moments[start]), int(self.data.moments[stop - 1])
        counts = np.zeros((stop - start) * len(self.data.symbols), dtype=np.int32)
        for second in (False, True):
            for cell in self._decode(self._meeting(low, high)):
                kept, _ = _cut(cell, low, high)
                if kept is None:
                    continue
                at = self._place(kept, start)
                if not second:
                    np.add.at(counts, at, 1)
                    continue
                for i in np.flatnonzero(counts[at] > 1).tolist():
                    key = int(at[i])
                    if key in rows_at or len(rows_at) < _SHOWN:
                        row = i if kept.rows is None else int(kept.rows[i])
                        rows_at.setdefault(key, []).append(kept.batch.locate(row))
        n = len(self.data.symbols)
        shown = "; ".join(
            f"({self.data.dates[start + key // n]}, {self.data.symbols[key % n]}) in {', '.join(at[:_SHOWN])}"
            for key, at in rows_at.items()
        )
        keys = int((counts > 1).sum())
        noun = "key is" if keys == 1 else "keys are"
        rest = "; ..." if keys > len(rows_at) else ""
        return f"{self.data.source}: {keys:,} (date, symbol) {noun} in more than one row: {shown}{rest}"


def _cut(cell: _Cell, low: int, high: int) -> tuple[_Cell | None, _Cell | None]:
    """The rows of [low, high], None if there are none; and, if there are any, the rows behind `high`."""
    when = cell.when
    first, last = int(when.min()), int(when.max())
    if first >= low and last <= high:
        return cell, None
    return _where(cell, (when >= low) & (when <= high)), _where(cell, when > high) if last > high else None


def _where(cell: _Cell, keep: BoolArray) -> _Cell | None:
    chosen = np.flatnonzero(keep)
    if chosen.size == 0:
        return None
    table = cell.table.filter(pl.Series(keep))
    return _Cell(cell.batch, table, chosen if cell.rows is None else cell.rows[chosen], cell.when[chosen])


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array
