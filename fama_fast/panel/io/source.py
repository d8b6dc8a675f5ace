"""The protocol of readers of market data: rows (date, symbol, values) in groups that are read one by one.

`RowSource` is the one protocol for Parquet and CSV files, wide tables and qlib folders. `Dataset` reads its groups part
by part; `lazy_frame` makes one frame of them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fama_fast.panel.keys import Locate


@dataclass(frozen=True)
class File:
    """One data file: its name for messages, its place in a file system, the columns that its name and folders spell.

    Attributes:
        path: empty where rows come of several files at once. metadata: the reader's own.
        schema: columns of the data set that the file has, with their types. alone: it is all of the data.
    """

    name: str
    path: str
    constants: Mapping[str, str | int | None] = field(default_factory=dict)
    metadata: Any = None
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)
    alone: bool = False


@dataclass(frozen=True)
class RowGroup:
    """Some consecutive rows of a data set; `first_row` is the number of the first one in its file."""

    file: File
    index: int
    rows: int
    first_row: int


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows of one group, columns as asked for; `where` names a row that has no number in a file."""

    table: pl.DataFrame
    file: File
    first_row: int
    where: Callable[[int], str] | None = None

    def locate(self, row: int) -> str:
        """Name of the place of the 0-based `row` of the batch, for messages."""
        return in_file(self.file, self.first_row + row) if self.where is None else self.where(row)


def in_file(file: File, row: int) -> str:
    """Name of a row in messages: `b.csv row 3` for the 0-based row 2, or `row 3` of a file that is all of the data."""
    return f"row {row + 1:,}" if file.alone else f"{file.name} row {row + 1:,}"


class RowSource(Protocol):
    """Protocol of rows of market data in groups, all with the same columns."""

    @property
    def source(self) -> str:
        """The path as given."""

    @property
    def layout(self) -> str:
        """The layout of the data there, for the first line that is printed: `12 files; 1 left out (README.md)`."""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Columns and types."""

    @property
    def groups(self) -> tuple[RowGroup, ...]:
        """All groups, in their order."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was let pass, as far as it has been read."""

    def batches(self, group: RowGroup, columns: Sequence[str], *, threads: bool = False) -> Iterator[Batch]:
        """The rows of one group, some at a time.

        Raises:
            DataError: the files cannot be read.
        """

    def locate(self, group: RowGroup, row: int) -> str:
        """Name of the place of the 0-based `row` of a group, for messages."""

    def frame(self) -> pl.LazyFrame:
        """All rows as one frame that reads only the columns asked for."""

    def fingerprint(self) -> Iterator[str]:
        """Texts that identify the data: they differ where the data differ, without reading all values if possible."""


def lazy_frame(source: RowSource) -> pl.LazyFrame:
    """All rows of a source as a frame that reads only the columns asked for."""
    from polars.io.plugins import register_io_source

    schema = source.schema

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if columns is None else columns
        left = n_rows
        for group in source.groups:
            for batch in source.batches(group, wanted, threads=True):
                table = batch.table.select(pl.col(c).cast(schema[c]) for c in wanted)
                if predicate is not None:
                    table = table.filter(predicate)
                yield table if left is None else table.head(left)
                if left is not None:
                    left -= min(left, table.height)
                    if not left:
                        return

    return register_io_source(read, schema=schema)


def locator(source: RowSource) -> Callable[[int], str]:
    """A function that names the file and number of a row of `lazy_frame`."""
    ends = list(accumulate(g.rows for g in source.groups))

    def locate(row: int) -> str:
        at = bisect_right(ends, row)
        return source.locate(source.groups[at], row - (ends[at - 1] if at else 0))

    return locate


@dataclass(frozen=True)
class Scan:
    """Market data opened lazily as rows.

    Attributes:
        frame: the rows. locate: names a row's file and number. layout: how the data lie there, for the first line that
            is printed; empty for a plain file. rows: the reader, of more than a plain file.
    """

    frame: pl.LazyFrame
    locate: Locate
    layout: str = ""
    rows: RowSource | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was let pass so far."""
        return () if self.rows is None else self.rows.warnings
