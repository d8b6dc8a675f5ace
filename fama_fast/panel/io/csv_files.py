"""Reads CSV files with a row for each date and symbol, as a `RowSource`: each file is one group and is read whole.

The type of a column of a text file is only known from its values, so every file is read once when the set is opened.
How one file is read is decided in `csv_table`.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.io.alignment import Alignment
from fama_fast.panel.io.hive import hive_columns
from fama_fast.panel.io.layout import symbol_constants
from fama_fast.panel.io.source import Batch, File, RowGroup, in_file, lazy_frame
from fama_fast.panel.key_columns import key_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.panel.io.folder import Listing
    from fama_fast.panel.io.layout import Layout
    from fama_fast.panel.reading import Reading

    ReadCsv = Callable[[Path], pl.DataFrame]


_FEW = 16  # files, of which reading several at once would save nothing
_AT_ONCE = 4
_FORMS = ((r"\d{4}-\d\d-\d\d", "%Y-%m-%d"), (r"\d{8}", "%Y%m%d"), (r"\d{4}/\d\d/\d\d", "%Y/%m/%d"))


class CsvFiles:
    """The CSV files of a path, in the order of their names.

    Attributes: as of `RowSource`.
    """

    def __init__(self, listing: Listing, layout: Layout, reading: Reading, read: ReadCsv, *, keep: bool) -> None:
        """Reads all files once to learn what their columns are.

        Args:
            read: gives the rows of one file. keep: hold them in memory, to be read but once.

        Raises:
            DataError: a file that cannot be read, or whose columns differ from the others'.
        """
        self.source, self.layout = listing.source, layout.text
        self._read, self._date = read, reading.date
        self._kept: dict[str, pl.DataFrame] = {}
        files: list[File] = []
        rows: list[int] = []
        tables = self._tables([Path(p.path) for p in listing.files], at_once=keep)
        for place, spelled, table in zip(listing.files, hive_columns(listing.files), tables, strict=True):
            if keep:
                self._kept[place.path] = table
            # A column of the file itself is closer to the data than the name of its folder.
            constants: dict[str, str | int | None] = {k: v for k, v in spelled.items() if k not in table.columns}
            constants |= symbol_constants(layout, place)
            schema = {c: pl.Null() if table[c].null_count() == table.height else t for c, t in table.schema.items()}
            schema |= {k: pl.Int64() if isinstance(v, int) else pl.String() for k, v in constants.items()}
            files.append(File(place.name, place.path, constants, None, schema, alone=not place.below))
            rows.append(table.height)
        self._aligned = Alignment(list(zip(files, rows, strict=True)), reading)
        self.files = self._aligned.files
        self.schema = self._aligned.schema
        self.warnings = self._aligned.warnings
        count = dict(zip((f.path for f in files), rows, strict=True))
        self.groups = tuple(RowGroup(f, 0, count[f.path], 0) for f in self.files if count[f.path])

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(group.rows for group in self.groups)

    def batches(self, group: RowGroup, columns: Sequence[str], *, threads: bool = False) -> Iterator[Batch]:
        """The rows of one file, at once.

        Raises:
            DataError: the file cannot be read, or has changed.
        """
        file = group.file
        held = self._kept.get(file.path)
        table = self._rows_of(Path(file.path)) if held is None else held
        if table.height != group.rows or not set(self._aligned.stored(file, columns)) <= set(table.columns):
            raise DataError(f"{file.name}: the file has changed while it was read")
        yield Batch(table.with_columns(self._aligned.shape(file, columns)).select(columns), file, 0)

    def frame(self) -> pl.LazyFrame:
        """All rows as one frame."""
        return lazy_frame(self)

    def _tables(self, files: Sequence[Path], *, at_once: bool) -> Iterator[pl.DataFrame]:
        """The rows of each file; several are read at once where all are to be held anyway."""
        if not at_once or len(files) < _FEW:
            yield from map(self._rows_of, files)
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                yield from pool.map(self._rows_of, files)
            finally:
                pool.shutdown(cancel_futures=True)

    def _rows_of(self, file: Path) -> pl.DataFrame:
        """A file's rows; dates that are all written in one plain form are dates, which are quicker to work with."""
        table = self._read(file)
        date = key_column(table.columns, "date", self._date)
        if date is None or table.is_empty() or not isinstance(table.schema[date], pl.String):
            return table
        first = table[date][0] or ""
        form = next((f for pattern, f in _FORMS if re.fullmatch(pattern, first)), None)
        dates = None if form is None else table[date].str.to_date(form, strict=False)
        return table if dates is None or dates.null_count() else table.with_columns(dates)

    def locate(self, group: RowGroup, row: int) -> str:
        """Name of the place of the 0-based `row` of a group, for messages."""
        return in_file(group.file, group.first_row + row)

    def fingerprint(self) -> Iterator[str]:
        """The files' bytes, hashed."""
        for file in self.files:
            yield hashlib.blake2b(Path(file.path).read_bytes(), digest_size=16).hexdigest()
