"""Writes values that are not to stay in memory: to a Parquet or CSV file, a folder of Parquet files, or a function.

Chunks arrive in the order of dates. A file appears whole at the end or not at all, and so does a folder. What the
columns hold is in the metadata of each Parquet file under the key `ABOUT`, as JSON, and beside a CSV file in one more
(`beside`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import atomic_write, ensure_writable
from fama_fast.errors import OutputError
from fama_fast.panel.labelled import check_names, long_frame

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.engine.alpha import Alpha
    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray, FloatArray

_GROUP_BYTES = 32 << 20  # of a row group before compression: what writing needs beside the values
_FILES = (".parquet", ".pq", ".csv")
ABOUT = "fama_fast"


@dataclass(frozen=True)
class Chunk:
    """Values of all expressions on consecutive dates.

    Attributes:
        start: number of the first date in the data. dates: (rows,). symbols: (N,). names: of the expressions.
        values: of each expression, (rows, N), NaN where missing; they are the receiver's to keep.
        present: (rows, N) bool, where the data have a symbol.
    """

    start: int
    dates: Any
    symbols: Any
    names: tuple[str, ...]
    values: list[FloatArray]
    present: BoolArray


@dataclass(frozen=True)
class Written:
    """A summary of what was written: the place (None: a function took it), rows, the names of the value columns,
    chunks."""

    path: Path | None
    rows: int
    columns: tuple[str, ...]
    chunks: int


Output = str | Path | Callable[[Chunk], object]


def about(
    names: Sequence[str], alphas: Sequence[Alpha], source: Source, min_coverage: float | None = None
) -> dict[str, Any]:
    """Metadata of the columns in a file of values, as plain data.

    `columns` has by name: expression (as it was written), dialect, canonical, fingerprint, and the name that was given
    (None where the column is called by its canonical text). `data` has their source and extent.
    """
    days = source.dates.astype("datetime64[D]").astype(str)
    return {
        "columns": {
            name: {
                "name": None if name == alpha.canonical else name,
                "expression": alpha.text,
                "dialect": alpha.dialect,
                "canonical": alpha.canonical,
                "fingerprint": alpha.fingerprint,
            }
            for name, alpha in zip(names, alphas, strict=True)
        },
        "data": {
            "source": source.source,
            "dates": len(days),
            "symbols": len(source.symbols),
            "first": str(days[0]) if len(days) else None,
            "last": str(days[-1]) if len(days) else None,
        },
        "min_coverage": min_coverage,
    }


def beside(path: Path) -> Path:
    """Path of the metadata beside a CSV file: values.csv.json of values.csv."""
    return path.with_name(f"{path.name}.json")


def write_frame(frame: pl.DataFrame, path: Path, said: Mapping[str, Any]) -> None:
    """A frame as a Parquet or CSV file, with what is said of its columns where `Writer` puts it.

    Raises:
        OutputError: it cannot be written.
    """
    import polars as pl
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".csv":
        with atomic_write(beside(path)) as note, atomic_write(path) as temporary:
            note.write_text(_json_text(said), encoding="utf-8")
            frame.write_csv(temporary)
        return
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    with atomic_write(path) as temporary:
        pq.write_table(table.replace_schema_metadata({ABOUT: _json_text(said)}), temporary, compression="zstd")


def _json_text(said: Mapping[str, Any]) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


@dataclass
class Writer:
    """Writes chunks; use it as a context manager, and `finish` it at the end. `about` is the metadata of the columns.

    Raises:
        OutputError: a place that cannot be written. ConfigError: names that clash.
    """

    output: Output
    names: tuple[str, ...]
    days: bool
    about: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    chunks: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        check_names(self.names)
        self._parquet: Any = None
        self._csv: Any = None
        self._folder: Path | None = None
        self._path: Path | None = None
        if not callable(self.output):
            self._path = Path(self.output).expanduser()
            self._suffix = self._path.suffix.lower()
            if self._suffix in _FILES:
                ensure_writable(self._path)
                if self._suffix == ".csv":
                    ensure_writable(beside(self._path))
            elif self._suffix and not self._path.is_dir():
                raise OutputError(f"cannot write {self._path}: the name must end in {', '.join(_FILES)} or be a folder")
            else:
                _ensure_free(self._path)

    def __enter__(self) -> Writer:
        if self._path is not None and self._suffix in _FILES:
            if self._suffix == ".csv":
                # Entered first, so that it comes into place after the values that it speaks of.
                note = self._stack.enter_context(atomic_write(beside(self._path)))
                note.write_text(_json_text(self.about), encoding="utf-8")
            self._temporary = self._stack.enter_context(atomic_write(self._path))
        elif self._path is not None:
            self._folder = self._stack.enter_context(_new_folder(self._path))
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._close()
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def put(self, chunk: Chunk) -> None:
        """Write one chunk."""
        self.chunks += 1
        if callable(self.output):
            self.rows += int(chunk.present.sum())
            self.output(chunk)
            return
        if self._folder is not None:
            self._temporary = self._folder / f"part-{self.chunks - 1:05}.parquet"
        width = max(1, len(chunk.symbols) * (len(chunk.names) + 3) * 8)
        step = max(1, _GROUP_BYTES // width)
        for at in range(0, len(chunk.dates), step):
            rows = slice(at, at + step)
            values = {n: v[rows] for n, v in zip(chunk.names, chunk.values, strict=True)}
            frame = long_frame(chunk.dates[rows], chunk.symbols, values, chunk.present[rows], days=self.days)
            self.rows += frame.height
            try:
                self._write(frame)
            except OSError as error:
                raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        if self._folder is not None:
            self._close()

    def _write(self, frame: pl.DataFrame) -> None:
        if self._path is not None and self._suffix == ".csv":
            if self._csv is None:
                self._csv = self._temporary.open("wb")
                frame.write_csv(self._csv)
            else:
                frame.write_csv(self._csv, include_header=False)
            return
        import polars as pl
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._parquet is None:
            # Factor values do not repeat: a dictionary of them would only cost time.
            said = {ABOUT: _json_text(self.about)}
            self._parquet = pq.ParquetWriter(
                self._temporary,
                table.schema.with_metadata({**(table.schema.metadata or {}), **said}),
                compression="zstd",
                compression_level=1,
                use_dictionary=["date", "symbol"],
            )
        self._parquet.write_table(table, row_group_size=max(1, table.num_rows))

    def _close(self) -> None:
        for opened in (self._parquet, self._csv):
            if opened is not None:
                opened.close()
        self._parquet = self._csv = None

    def finish(self) -> Written:
        """Complete the file; it appears when the context manager is left."""
        self._close()
        return Written(self._path, self.rows, self.names, self.chunks)


def _ensure_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"cannot write {folder}: the folder is not empty")
    if not folder.parent.is_dir():
        raise OutputError(f"cannot write {folder}: the folder {folder.parent} does not exist")


class _new_folder:  # noqa: N801  (a context manager, used like a function)
    """A folder beside its target, moved into place when the block ends well, removed otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> Path:
        try:
            self._made = Path(tempfile.mkdtemp(dir=self._target.parent, prefix=f".{self._target.name[:64]}."))
        except OSError as error:
            raise OutputError(f"cannot write {self._target}: {error.strerror}") from error
        return self._made

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            return
        try:
            self._made.chmod(0o755)
            self._made.replace(self._target)
        except OSError as error:
            shutil.rmtree(self._made, ignore_errors=True)
            raise OutputError(f"cannot write {self._target}: {error.strerror}") from error
