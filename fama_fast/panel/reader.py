"""Reads dates of a data set as panels, decoding rows on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel.columns import is_text
from fama_fast.panel.groups import GroupField
from fama_fast.panel.io.source import locator
from fama_fast.panel.keys import read_symbols
from fama_fast.panel.panel import Panel
from fama_fast.panel.survey import Survey, meeting
from fama_fast.panel.text_values import labels_of
from fama_fast.panel.values import field_values, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fama_fast.panel.columns import Columns
    from fama_fast.panel.rows import Decoder, Rows
    from fama_fast.types import BoolArray, FloatArray, IntArray

    Join = Callable[[Panel], Panel]


class Readable(Protocol):
    """What a `Reader` needs of a data set (`dataset.Dataset`): its axes, how its rows are decoded, whom to report
    to."""

    source: str
    columns: Columns
    survey: Survey
    decoder: Decoder
    dates: Any
    symbols: Any
    moments: IntArray
    dtype: Any
    join: Join | None

    @property
    def ordered(self) -> bool: ...
    def notice(self, name: str, start: int, values: FloatArray, infinite: IntArray | None) -> None: ...
    def notice_members(self, start: int, universe: BoolArray) -> None: ...


@dataclass
class Reader:
    """Reads dates of a data set as panels, and reports to `data.notice` what it let pass; for one thread at a time."""

    data: Readable
    fields: Iterable[str]
    groups: Iterable[str]

    def __post_init__(self) -> None:
        columns = self.data.columns
        self._fields = {f: columns.fields[f] for f in dict.fromkeys(self.fields) if f in columns.fields}
        self._groups = {g: columns.groups[g] for g in dict.fromkeys(self.groups) if g in columns.groups}
        mask = [] if columns.universe is None else [columns.universe]
        read = replace(columns, fields=self._fields).read if self._fields else []
        self._wanted = list(dict.fromkeys([columns.date, columns.symbol, *read, *self._groups.values(), *mask]))
        self._symbols = pl.Enum(self.data.survey.symbols)
        self._labels = {g: pl.Enum(pl.Series(self.data.survey.labels[g], dtype=pl.String)) for g in self._groups}
        self._next = 0
        self._stream: Iterator[Rows] | None = None
        self._left: Rows | None = None

    def read(self, start: int, stop: int) -> Panel:
        """Rows [start, stop) of the data as a panel of its own.

        Raises:
            DataError: text in place of numbers, a file that cannot be read, or that has changed.
        """
        data = self.data
        shape = (stop - start, len(data.symbols))
        size = shape[0] * shape[1]
        fields = {f: np.full(size, np.nan, dtype=data.dtype) for f in self._fields}
        groups = {g: np.full(size, np.nan) for g in self._groups}
        mask = np.zeros(size, dtype=np.bool_) if data.columns.universe is not None else None
        seen = np.zeros(size, dtype=np.bool_)
        infinite: dict[str, IntArray] = {}
        written = 0
        for rows in self._rows(start, stop):
            at = self._place(rows, start)
            seen[at] = True
            written += at.size
            for name in self._fields:
                values, wild = self._numbers(name, rows)
                fields[name][at] = values
                if wild is not None:
                    counts = infinite.setdefault(name, np.zeros(shape[0], dtype=np.int64))
                    np.add.at(counts, at[wild] // shape[1], 1)
            for name, column in self._groups.items():
                codes = labels_of(rows.table[column]).cast(self._labels[name]).to_physical().cast(pl.Float64)
                groups[name][at] = codes.to_numpy()
            if mask is not None:
                mask[at] = self._members(rows)
        if np.count_nonzero(seen) != written:
            # The survey left one row a cell.
            raise DataError(f"{data.source}: the files have changed while they were read")
        for name, flat in fields.items():
            data.notice(name, start, flat.reshape(shape), infinite.get(name))
        # What the survey saw has a row on every date; a file that shrank since would show here.
        panel = Panel(
            data.dates[start:stop],
            data.symbols,
            {f: _frozen(v.reshape(shape)) for f, v in fields.items()},
            groups={g: GroupField.view(v.reshape(shape), data.survey.labels[g]) for g, v in groups.items()},
            universe=None if mask is None else mask.reshape(shape),
            warnings=data.columns.said,
            source=data.source,
            dtype=data.dtype,
            copy=False,
        )
        panel = panel if data.join is None else data.join(panel)
        if panel.universe is not None:
            data.notice_members(start, panel.universe)
        return panel

    def _numbers(self, name: str, rows: Rows) -> tuple[FloatArray, BoolArray | None]:
        """The field's values, and which were infinite and are missing, if there are any."""
        column = self.data.columns.fields[name]
        if is_text(rows.table.schema[column]):
            self._refuse_text(column)
        values = field_values(rows.table, self.data.columns, name, self.data.source, rows.locate)
        bad = ~np.isfinite(values)
        wild: BoolArray | None = None
        if bad.any():
            wild = np.isinf(values)
            wild = wild if wild.any() else None
            # One kind of missing value, to the bit: the data's hash is of bits.
            values = np.where(bad, np.nan, values)
        if self.data.dtype == np.float32:
            with np.errstate(over="ignore"):
                narrow = values.astype(np.float32)
            narrow[np.isinf(narrow)] = np.nan
            return narrow, wild  # type: ignore[return-value]
        return values, wild

    def _members(self, rows: Rows) -> BoolArray:
        name = self.data.columns.universe
        assert name is not None
        values = rows.table[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        odd = (values != 0.0) & (values != 1.0)
        if odd.any():
            row = int(np.flatnonzero(odd)[0])
            where = rows.locate(row)
            raise DataError(
                f"{self.data.source}: universe column {quoted(name)}, {where}: {values[row]} is neither 0 nor 1"
            )
        members: BoolArray = np.equal(values, 1.0)
        return members

    def _refuse_text(self, column: str) -> None:
        """Refuse a column of texts; the rows that make it one may be others than those being read."""
        files = self.data.decoder.files
        numbers(files.frame().select(column).collect()[column], self.data.source, locator(files))

    def _place(self, rows: Rows, start: int) -> IntArray:
        """Flat cells of the rows in a panel whose first date is `start`."""
        when = rows.when
        heads = np.concatenate(([0], np.flatnonzero(when[1:] != when[:-1]) + 1))
        dates = np.searchsorted(self.data.moments, when[heads]) - start
        row = np.repeat(dates, np.diff(np.append(heads, when.size)))
        names = read_symbols(rows.table[self.data.columns.symbol], source=self.data.source, locate=rows.locate)
        column = names.cast(self._symbols).to_physical().to_numpy()
        cells: IntArray = row.astype(np.int64) * len(self.data.symbols) + column
        return cells

    def _rows(self, start: int, stop: int) -> Iterator[Rows]:
        low, high = int(self.data.moments[start]), int(self.data.moments[stop - 1])
        if not self.data.ordered:
            for rows in self._decode(low, high):
                wanted, _ = rows.cut(low, high)
                if wanted is not None:
                    yield wanted
            return
        if self._stream is None or start != self._next:
            self._left = None
            self._stream = self._decode(low, 2**63 - 1)
        self._next = stop
        left, self._left = self._left, None
        for rows in chain(() if left is None else (left,), self._stream):
            wanted, self._left = rows.cut(low, high)
            if wanted is not None:
                yield wanted
            if self._left is not None:
                return

    def _decode(self, low: int, high: int) -> Iterator[Rows]:
        """Decode rows of the row groups that may hold dates of [low, high]."""
        return self.data.decoder.rows(meeting(self.data.survey.spans, low, high), self._wanted)


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array
