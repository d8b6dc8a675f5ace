"""Reads Parquet files with a row for each date and symbol, as row groups that can be read one after another.

Batches of rows are decoded one at a time, only the columns asked for, so memory stays small whatever the size of a row
group. It says what is wrong with a file; which files there are is decided in `io.folder`, what the columns mean
elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.columns import is_text
from fama_fast.panel.io.alignment import Alignment
from fama_fast.panel.io.arrow_types import is_foreign, polars_table, polars_types
from fama_fast.panel.io.folder import first_line
from fama_fast.panel.io.hive import hive_columns
from fama_fast.panel.io.layout import Head, symbol_constants
from fama_fast.panel.io.source import Batch, File, RowGroup, in_file, lazy_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fama_fast.panel.io.folder import Listing, Place
    from fama_fast.panel.io.layout import Layout
    from fama_fast.panel.reading import Reading

BATCH_ROWS = 131_072
"""Rows decoded at a time."""

_PATH = "__file__"
_MOST_SCANS = 32


class Footers:
    """The footers of Parquet files, read once: columns and row groups, and the columns that folders spell."""

    def __init__(self, listing: Listing, reading: Reading) -> None:
        """Reads them.

        Raises:
            DataError: a file that is corrupt, or has a column that cannot be read.
        """
        import pyarrow.fs

        self.listing = listing
        self.local = listing.filesystem is None
        self.filesystem = listing.filesystem or pyarrow.fs.LocalFileSystem()
        self.universal = reading.timezone is not None
        self.foreign = False
        self._known: tuple[Any, dict[str, pl.DataType]] | None = None
        spelled = hive_columns(listing.files)
        self.files = [self._open(place, keys) for place, keys in zip(listing.files, spelled, strict=True)]

    @property
    def heads(self) -> list[Head]:
        """The names of each file's columns."""
        files = zip(self.listing.files, self.files, strict=True)
        return [Head(p, tuple(f.schema), {c for c, t in f.schema.items() if is_text(t)}) for p, f in files]

    def _open(self, place: Place, constants: Mapping[str, str | int | None]) -> File:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.filesystem.open_input_file(place.path) as opened:
                file = pq.ParquetFile(opened)
                metadata, own = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{place.name}: not a Parquet file, or a corrupt one: {first_line(error)}") from error
        schema = dict(self._types(own, place.name))
        # A column of the file itself is closer to the data than the name of its folder.
        spelled = {k: v for k, v in constants.items() if k not in schema}
        schema.update({k: pl.Int64() if isinstance(v, int) else pl.String() for k, v in spelled.items()})
        return File(place.name, place.path, spelled, metadata, schema, alone=not place.below)

    def _types(self, arrow: Any, name: str) -> dict[str, pl.DataType]:
        """Columns and types of an Arrow schema; most files of a set have that of the one before."""
        if self._known is None or not self._known[0].equals(arrow):
            self.foreign = self.foreign or is_foreign(arrow)
            self._known = arrow, polars_types(arrow, name, universal=self.universal)
        return self._known[1]


class ParquetFiles:
    """The Parquet files of a path, in the order of their names, as a `RowSource`.

    Attributes:
        source: the path as given. layout: how the files lie there. local: on this machine. schema: columns and types,
            those of hive folders and of file names included. groups: all row groups. warnings: which columns are
            missing where.
    """

    def __init__(self, footers: Footers, layout: Layout, reading: Reading) -> None:
        """Lays the files' columns side by side.

        Raises:
            DataError: a file's columns differ from the others'.
        """
        self._filesystem = footers.filesystem
        self.local = footers.local
        self._universal, self._foreign = footers.universal, footers.foreign
        self.source, self.layout = footers.listing.source, layout.text
        self.files: tuple[File, ...] = tuple(
            _with_constants(file, symbol_constants(layout, place))
            for file, place in zip(footers.files, footers.listing.files, strict=True)
        )
        self._aligned = Alignment([(f, f.metadata.num_rows) for f in self.files], reading)
        self.schema = self._aligned.schema
        self.warnings = self._aligned.warnings
        self.groups = tuple(group for file in self._aligned.files for group in _row_groups(file))

    @property
    def rows(self) -> int:
        """Rows in all files, from their footers."""
        return sum(group.rows for group in self.groups)

    def batches(self, group: RowGroup, columns: Sequence[str], *, threads: bool = False) -> Iterator[Batch]:
        """The rows of one row group, `BATCH_ROWS` at a time.

        Raises:
            DataError: the file cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = group.file
        stored = self._aligned.stored(file, columns)
        texts = [c for c in stored if isinstance(file.schema[c], pl.String)]
        shape = self._aligned.shape(file, columns)
        at = group.first_row
        try:
            with self._filesystem.open_input_file(file.path) as opened:
                # A buffered stream a column, not the whole row group at once; texts as codes, which they are on disk.
                parquet = pq.ParquetFile(
                    opened,
                    metadata=file.metadata,
                    read_dictionary=texts,
                    buffer_size=1 << 20,
                    pre_buffer=False,
                )
                for raw in parquet.iter_batches(
                    BATCH_ROWS, row_groups=[group.index], columns=stored, use_threads=threads
                ):
                    for text in texts:
                        # A damaged page may hold what is no text, which Polars would take unseen.
                        raw.column(text).validate(full=True)
                    # Without any column a frame would not know how many rows there are.
                    table = (
                        polars_table(raw, file.name, universal=self._universal)
                        if stored
                        else pl.DataFrame({"": pl.repeat(0, raw.num_rows, eager=True)})
                    )
                    yield Batch(table.with_columns(shape).select(columns), file, at)
                    at += raw.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file.name}: cannot be read: {first_line(error)}") from error

    def frame(self) -> pl.LazyFrame:
        """All rows as one frame that reads only the columns asked for."""
        runs: list[list[File]] = []
        for file in self._aligned.files:
            if runs and self._aligned.same(runs[-1][0], file):
                runs[-1].append(file)
            else:
                runs.append([file])
        # Polars takes long for a frame of many scans.
        if not self.local or self._foreign or len(runs) > _MOST_SCANS:
            return lazy_frame(self)
        return pl.concat([self._scan(run) for run in runs], how="vertical")

    def _scan(self, run: Sequence[File]) -> pl.LazyFrame:
        """Files with the same columns as one frame."""
        first, paths = run[0], [f.path for f in run]
        spelled = bool(first.constants) and len(run) > 1
        # A glob in a file's own name must not be expanded again.
        frame = pl.scan_parquet(
            paths, glob=False, hive_partitioning=False, include_file_paths=_PATH if spelled else None
        )
        columns = list(self.schema)
        shape = self._aligned.shape(first, columns)
        if spelled:
            own = {c: [f.constants[c] for f in run] for c in first.constants}
            shape = [e for e in shape if e.meta.output_name() not in own]
            for column, values in own.items():
                want = self.schema[column]
                texts = [v if v is None else str(v) for v in values] if isinstance(want, pl.String) else values
                series = pl.Series(column, texts, dtype=want)
                shape.append(pl.col(_PATH).replace_strict(paths, series, return_dtype=want).alias(column))
        return frame.with_columns(shape).select(columns)

    def locate(self, group: RowGroup, row: int) -> str:
        """Name of the place of the 0-based `row` of a group, for messages."""
        return in_file(group.file, group.first_row + row)

    def fingerprint(self) -> Iterator[str]:
        """The files' footers: sizes and, as a rule, least and greatest values of each column chunk."""
        for file in self.files:
            footer = file.metadata.to_dict()
            footer.pop("created_by", None)
            yield json.dumps(footer, sort_keys=True, default=str)


def _with_constants(file: File, more: Mapping[str, str]) -> File:
    if not more:
        return file
    schema = {**file.schema, **dict.fromkeys(more, pl.String())}
    return replace(file, constants={**file.constants, **more}, schema=schema)


def _row_groups(file: File) -> Iterator[RowGroup]:
    at = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if rows:
            yield RowGroup(file, index, rows, at)
        at += rows
