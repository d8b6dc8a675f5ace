"""Parquet data sets as row groups that can be read one after another: files, folders (hive-partitioned or not), globs,
URIs.

Batches of rows are decoded one at a time, only the columns asked for, so memory stays small whatever the size of a row
group. It says what is wrong with a path or a file; what the columns mean is decided elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.scan import PARQUET, find_files, same_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BATCH_ROWS = 131_072
"""Rows decoded at a time."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HIVE = re.compile(r"([A-Za-z_][\w ]*)=(.*)\Z")
_WHOLE = re.compile(r"[+-]?\d+\Z")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class File:
    """One Parquet file: its name for messages, its place in a file system, the columns that its folders spell."""

    name: str
    path: str
    constants: Mapping[str, str | int | None]
    metadata: Any
    schema: Mapping[str, pl.DataType]


@dataclass(frozen=True)
class RowGroup:
    """One row group; `first_row` is the number of its first row in its file."""

    file: File
    index: int
    rows: int
    first_row: int


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows of one file, columns as asked for."""

    table: pl.DataFrame
    file: File
    first_row: int

    def locate(self, row: int) -> str:
        """Where the 0-based `row` of the batch lies, for messages."""
        return f"{self.file.name} row {self.first_row + row + 1:,}"


class ParquetFiles:
    """The Parquet files of a path, in the order of their names, all with the same columns.

    Attributes:
        source: the path as given. schema: columns and types, those of hive folders included. groups: all row groups.
    """

    def __init__(self, path: str | Path) -> None:
        """Finds the files and reads their footers.

        Raises:
            DataError: nothing there, CSV files, a file that is empty or corrupt or whose columns differ.
        """
        self.source = str(path)
        self._filesystem, places = _find(path)
        hive = [_hive_columns(place, self.source) for _, place in places]
        types = _hive_types(hive)
        files = [
            self._open(name, place, _constants(keys, types)) for (name, place), keys in zip(places, hive, strict=True)
        ]
        first = files[0]
        for file in files[1:]:
            if file.schema != first.schema:
                same_columns(first.schema, Path(first.name), file.schema, Path(file.name))
        self.files: tuple[File, ...] = tuple(files)
        self.schema: dict[str, pl.DataType] = dict(first.schema)
        self.groups = tuple(group for file in files for group in _row_groups(file))

    @property
    def rows(self) -> int:
        """Rows in all files, from their footers."""
        return sum(group.rows for group in self.groups)

    def _open(self, name: str, place: str, constants: Mapping[str, str | int | None]) -> File:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._filesystem.open_input_file(place) as opened:
                found = pq.ParquetFile(opened)
                metadata, empty = found.metadata, found.schema_arrow.empty_table()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{name}: not a Parquet file, or a corrupt one: {_first_line(error)}") from error
        table = pl.from_arrow(empty)
        assert isinstance(table, pl.DataFrame)
        schema: dict[str, pl.DataType] = dict(table.schema)
        # A column of the file itself is closer to the data than the name of its folder.
        kept = {k: v for k, v in constants.items() if k not in schema}
        schema.update({k: pl.Int64() if isinstance(v, int) else pl.String() for k, v in kept.items()})
        return File(name, place, kept, metadata, schema)

    def batches(self, group: RowGroup, columns: Sequence[str], *, threads: bool = False) -> Iterator[Batch]:
        """The rows of one row group, `BATCH_ROWS` at a time.

        Raises:
            DataError: the file cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = group.file
        stored = [c for c in columns if c not in file.constants]
        texts = [c for c in stored if isinstance(file.schema[c], pl.String)]
        at = group.first_row
        try:
            with self._filesystem.open_input_file(file.path) as opened:
                # A buffered stream a column, not the whole row group at once; texts as codes, which they are on disk.
                found = pq.ParquetFile(
                    opened,
                    metadata=file.metadata,
                    read_dictionary=texts,
                    buffer_size=1 << 20,
                    pre_buffer=False,
                )
                for raw in found.iter_batches(
                    BATCH_ROWS, row_groups=[group.index], columns=stored, use_threads=threads
                ):
                    table = pl.from_arrow(raw)
                    assert isinstance(table, pl.DataFrame)
                    if file.constants:
                        made = {c: v for c, v in file.constants.items() if c in columns}
                        lits = [pl.lit(v, dtype=file.schema[c]).alias(c) for c, v in made.items()]
                        table = (
                            table.with_columns(lits)
                            if stored
                            else pl.select(
                                *(pl.repeat(v, raw.num_rows, dtype=file.schema[c]).alias(c) for c, v in made.items())
                            )
                        )
                    yield Batch(table, file, at)
                    at += raw.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file.name}: cannot be read: {_first_line(error)}") from error


def is_uri(path: str | Path) -> bool:
    """`s3://...` and the like, rather than a local path."""
    return isinstance(path, str) and _URI.match(path) is not None


def needs_parts(path: str | Path) -> bool:
    """Whether `path` is a URI or a folder of folders, which `panel.scan` does not open."""
    if is_uri(path):
        return True
    place = Path(path).expanduser()
    return place.is_dir() and any(_HIVE.match(p.name) and p.is_dir() for p in place.iterdir())


def _find(path: str | Path) -> tuple[Any, list[tuple[str, str]]]:
    """A pyarrow file system, and (name for messages, place in it) of each file."""
    import pyarrow.fs

    if is_uri(path):
        return _find_remote(str(path))
    local = pyarrow.fs.LocalFileSystem()
    place = Path(path).expanduser()
    if place.is_dir():
        inside = sorted(f for f in place.rglob("*") if f.suffix.lower() in PARQUET and f.is_file())
        files: Sequence[Path] = [f for f in inside if not _hidden(f.relative_to(place).parts)]
        if not files:
            files = find_files(place)  # says what is there instead
    else:
        files = find_files(path)
    if files[0].suffix.lower() not in PARQUET:
        raise DataError(f"{path}: only Parquet can be read part by part: write the data as Parquet once")
    for file in files:
        if file.stat().st_size == 0:
            raise DataError(f"{file}: the file is empty")
    base = place if place.is_dir() else None
    return local, [(str(f.relative_to(base)) if base else str(f), str(f)) for f in files]


def _find_remote(uri: str) -> tuple[Any, list[tuple[str, str]]]:
    import pyarrow as pa
    import pyarrow.fs

    pattern = None
    if "*" in uri:
        head, _, _ = uri.partition("*")
        pattern, uri = uri, head.rpartition("/")[0]
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, ValueError, OSError) as error:
        filesystem, root = _fsspec(uri, error)
    try:
        info = filesystem.get_file_info(root)
        if info.type == pyarrow.fs.FileType.File:
            return filesystem, [(uri, root)]
        found = filesystem.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{uri}: cannot be opened: {_first_line(error)}") from error
    places = sorted(
        i.path
        for i in found
        if i.is_file
        and PurePosixPath(i.path).suffix.lower() in PARQUET
        and not _hidden(PurePosixPath(i.path[len(root) :]).parts)
    )
    if pattern is not None:
        scheme_free = pattern[len(uri) :].lstrip("/")
        places = [p for p in places if PurePosixPath(p).match(scheme_free)]
    if not places:
        raise DataError(f"{pattern or uri}: no Parquet file there")
    return filesystem, [(p, p) for p in places]


def _fsspec(uri: str, error: Exception) -> tuple[Any, str]:
    import pyarrow.fs

    try:
        import fsspec
    except ImportError:
        scheme = uri.partition("://")[0]
        hint = f"{scheme}:// needs the package fsspec (and the one that it names for {scheme})"
        raise DataError(f"{uri}: cannot be opened: {_first_line(error)}; {hint}") from error
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError, OSError) as failure:
        raise DataError(f"{uri}: cannot be opened: {_first_line(failure)}") from failure
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), root


def _hidden(parts: Sequence[str]) -> bool:
    return any(p.startswith((".", "_")) for p in parts)


def _hive_columns(place: str, source: str) -> dict[str, str]:
    """`key=value` folders of a path, below the folder that was asked for."""
    root = source.partition("*")[0]
    at = place.find(root) if not is_uri(source) else -1
    below = place[at + len(root) :] if at >= 0 else place
    found = {}
    for part in PurePosixPath(Path(below).as_posix()).parts[:-1]:
        hit = _HIVE.match(part)
        if hit:
            found[hit[1]] = unquote(hit[2])
    return found


def _hive_types(hive: Sequence[Mapping[str, str]]) -> dict[str, type]:
    """int where every value of a key is a whole number without a leading zero."""
    values: dict[str, set[str]] = {}
    for keys in hive:
        for key, value in keys.items():
            values.setdefault(key, set()).add(value)
    return {
        key: int if all(_WHOLE.match(v) and not (v.startswith("0") and len(v) > 1) for v in texts) else str
        for key, texts in values.items()
    }


def _constants(keys: Mapping[str, str], types: Mapping[str, type]) -> dict[str, str | int | None]:
    return {k: None if v == _HIVE_NULL else int(v) if types[k] is int else v for k, v in keys.items()}


def _row_groups(file: File) -> Iterator[RowGroup]:
    at = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if rows:
            yield RowGroup(file, index, rows, at)
        at += rows


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
