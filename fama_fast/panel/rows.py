"""Decodes rows of data that are read in parts, a batch at a time, each with its moment, and cuts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.panel.keys import microseconds, read_dates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fama_fast.panel.io.source import Batch, RowSource
    from fama_fast.types import BoolArray, IntArray


@dataclass(frozen=True)
class Rows:
    """A selection of rows of one batch.

    Attributes:
        batch: they are of it. table: their columns. numbers: which of its rows they are, None for all. when: the moment
            of each in microseconds since 1970, at the market's clock. group: the number of their row group; before: its
            rows before the batch.
    """

    batch: Batch
    table: pl.DataFrame
    numbers: IntArray | None
    when: IntArray
    group: int
    before: int

    @property
    def places(self) -> IntArray:
        """The numbers of the rows in their row group."""
        return self.before + (np.arange(self.when.size) if self.numbers is None else self.numbers)

    def locate(self, row: int) -> str:
        """Name of the place of the 0-based row, for messages."""
        return self.batch.locate(row if self.numbers is None else int(self.numbers[row]))

    def where(self, keep: BoolArray) -> Rows | None:
        """The rows that `keep` is true for; None if there are none."""
        chosen = np.flatnonzero(keep)
        if chosen.size == 0:
            return None
        if chosen.size == self.when.size:
            return self
        numbers = chosen if self.numbers is None else self.numbers[chosen]
        table = self.table.filter(pl.Series(keep))
        return Rows(self.batch, table, numbers, self.when[chosen], self.group, self.before)

    def cut(self, low: int, high: int) -> tuple[Rows | None, Rows | None]:
        """The rows of [low, high], None if there are none; and, if there are any, those after `high`."""
        when = self.when
        first, last = int(when.min()), int(when.max())
        if first >= low and last <= high:
            return self, None
        return self.where((when >= low) & (when <= high)), self.where(when > high) if last > high else None


_NONE: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Excluded:
    """Rows to leave out: of these moments (ascending), and, by the number of a row group, these rows of it."""

    moments: IntArray = field(default_factory=lambda: _NONE)
    rows: Mapping[int, IntArray] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.moments.size > 0 or len(self.rows) > 0


@dataclass(frozen=True)
class Decoder:
    """Decodes the rows to use.

    Attributes:
        date: the column of dates. zone: stamps are moved to its clock, as `keys.read_dates` does. excluded: what does
            not count.
    """

    files: RowSource
    date: str
    zone: str | None = None
    excluded: Excluded = Excluded()

    def rows(self, groups: Iterable[int], columns: Sequence[str], *, threads: bool = False) -> Iterator[Rows]:
        """The rows of some row groups, in their order; `columns` must have the dates.

        Raises:
            DataError: a file that cannot be read; what is no date, with its file and row.
        """
        for number in groups:
            without = self.excluded.rows.get(number)
            before = 0
            for batch in self.files.batches(self.files.groups[number], columns, threads=threads):
                table = batch.table
                if not table.height:
                    continue
                dates = read_dates(table[self.date], source=self.files.source, locate=batch.locate, zone=self.zone)
                decoded: Rows | None = Rows(batch, table, None, microseconds(dates), number, before)
                before += table.height
                if self.excluded.moments.size and decoded is not None:
                    decoded = decoded.where(~_within(decoded.when, self.excluded.moments))
                if without is not None and decoded is not None:
                    decoded = decoded.where(~_within(decoded.places, without))
                if decoded is not None:
                    yield decoded


def _within(values: IntArray, ascending: IntArray) -> BoolArray:
    """Mask of the values that are among others, which ascend."""
    at = np.minimum(np.searchsorted(ascending, values), ascending.size - 1)
    inside: BoolArray = ascending[at] == values
    return inside
