"""Reads tables of dates x symbols, one a field, as rows: shared by wide tables and qlib folders.

Dates are read in blocks. A cell is a row where one of the fields of numbers has a value; which cells those are is found
once, when the source is opened, so that rows do not hang on the columns that are asked for. A date without any row is
no market day, and is counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.panel.io.source import Batch, File, RowGroup, lazy_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fama_fast.types import BoolArray, FloatArray, IntArray

BLOCK_CELLS = 1 << 20
"""Cells (dates x symbols) of a block, of each field, where data are read in parts."""
WHOLE_CELLS = 1 << 24
"""Where all of them are wanted at once."""

_SHOWN = 3


class CellSource(ABC):
    """Reads rows from tables that are read in blocks of dates.

    Attributes: as of `RowSource`; and
        dates: (T,) Date or Datetime, ascending. symbols: (N,) names. kinds: the type of each field: Float64 for
            numbers, Boolean for marks, String for labels.
    """

    def __init__(
        self,
        source: str,
        layout: str,
        dates: pl.Series,
        symbols: Sequence[str],
        kinds: Mapping[str, pl.DataType],
        *,
        block_cells: int = BLOCK_CELLS,
    ) -> None:
        """Finds which cells are rows; everything is read once.

        Raises:
            DataError: from reading.
        """
        self.source, self.layout = source, layout
        self.dates, self.symbols, self.kinds = dates, list(symbols), dict(kinds)
        self._names = pl.Series("symbol", self.symbols, dtype=pl.Enum(self.symbols))
        self.schema: dict[str, pl.DataType] = {"date": dates.dtype, "symbol": self._names.dtype, **self.kinds}
        file = File(source, "", {}, None, self.schema)
        step = max(1, block_cells // max(1, len(self.symbols)))
        self._edges = [(i, min(i + step, len(dates))) for i in range(0, len(dates), step)]
        self._cells: list[Any] = []
        groups: list[RowGroup] = []
        empty: list[int] = []
        for index, (low, high) in enumerate(self._edges):
            present = self.present(low, high)
            self._cells.append(np.packbits(present))
            groups.append(RowGroup(file, index, int(np.count_nonzero(present)), 0))
            empty += (np.flatnonzero(~present.any(axis=1)) + low).tolist()
        self.groups = tuple(g for g in groups if g.rows)
        self._empty = [dates[i] for i in empty]

    @abstractmethod
    def numbers(self, field: str, low: int, high: int) -> FloatArray:
        """(dates, N) values of a field of numbers or marks on dates [low, high), NaN where missing."""

    @abstractmethod
    def labels(self, field: str, low: int, high: int) -> pl.Series:
        """Texts of a field of labels on dates [low, high), symbol after symbol, null where missing."""

    def present(self, low: int, high: int) -> BoolArray:
        """(dates, N) mask of the cells of dates [low, high) that are rows."""
        plain = [f for f, kind in self.kinds.items() if isinstance(kind, pl.Float64)]
        marks = [f for f, kind in self.kinds.items() if not isinstance(kind, pl.String)]
        present: BoolArray = np.zeros((high - low, len(self.symbols)), dtype=np.bool_)
        for field in plain or marks:
            present |= ~np.isnan(self.numbers(field, low, high))
        if not marks:
            width = high - low
            for field in self.kinds:
                known = self.labels(field, low, high).is_not_null().to_numpy()
                present |= known.reshape(len(self.symbols), width).T
        return present

    @abstractmethod
    def fingerprint(self) -> Iterator[str]:
        """Texts that identify the data: they differ where the data differ."""

    @property
    def rows(self) -> int:
        """Number of cells that have a value."""
        return sum(g.rows for g in self.groups)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was let pass."""
        if not self._empty:
            return ()
        n = len(self._empty)
        shown = ", ".join(map(str, self._empty[:_SHOWN])) + (", ..." if n > _SHOWN else "")
        noun = "date has no value and is no market day" if n == 1 else "dates have no value and are no market days"
        return (f"{n:,} {noun}: {shown}",)

    def batches(self, group: RowGroup, columns: Sequence[str], *, threads: bool = False) -> Iterator[Batch]:
        """The rows of one block of dates, at once, by date and then symbol.

        Raises:
            DataError: a file cannot be read.
        """
        low, high = self._edges[group.index]
        at = self._rows_of(group)
        width = len(self.symbols)
        series: dict[str, pl.Series] = {}
        for name in columns:
            if name == "date":
                series[name] = self.dates.slice(low, high - low).gather(at // width)
            elif name == "symbol":
                series[name] = self._names.gather(at % width)
            elif isinstance(self.kinds[name], pl.String):
                series[name] = self.labels(name, low, high).gather(at % width * (high - low) + at // width)
            else:
                values = pl.Series(name, self.numbers(name, low, high).ravel()[at], nan_to_null=True)
                series[name] = values.cast(self.kinds[name])
        table = pl.DataFrame({name: series[name].rename(name) for name in columns})
        yield Batch(table, group.file, 0, lambda row: self.locate(group, row))

    def locate(self, group: RowGroup, row: int) -> str:
        """Name of the cell that a row of a group is, for messages."""
        cell = int(self._rows_of(group)[row])
        low, _ = self._edges[group.index]
        return f"{self.symbols[cell % len(self.symbols)]} on {self.dates[low + cell // len(self.symbols)]}"

    def frame(self) -> pl.LazyFrame:
        """All rows as one frame that reads only the columns asked for."""
        return lazy_frame(self)

    def _rows_of(self, group: RowGroup) -> IntArray:
        """Numbers of the flat cells of the block that are rows."""
        low, high = self._edges[group.index]
        bits = np.unpackbits(self._cells[group.index], count=(high - low) * len(self.symbols))
        cells: IntArray = np.flatnonzero(bits)
        return cells
