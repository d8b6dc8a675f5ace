"""Market data files, found and opened lazily: a CSV or Parquet file, a directory of them, or a glob.

It says what is wrong with a path or a file (missing, empty, of another kind, corrupt, unlike its
neighbours) and gives a LazyFrame; what the columns mean is decided elsewhere.
"""

from __future__ import annotations

import csv
import glob
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError, nearest_name
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.keys import Locate, plain_row
from fama_fast.panel.names import SYMBOL_NAMES, plain
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.panel.text_values import MISSING_TOKENS
from fama_fast.terminal import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PARQUET = (".parquet", ".pq")
CSV = (".csv",)


@dataclass(frozen=True)
class Scan:
    """Files opened lazily, their rows in the order of `files`; `locate` names a row's file and number."""

    frame: pl.LazyFrame
    files: tuple[Path, ...]
    locate: Locate


def find_files(path: str | Path) -> tuple[Path, ...]:
    """The data files that a file, directory or glob stands for, sorted by name.

    Raises:
        DataError: nothing there (with the nearest existing name), a directory without data files or with both
            kinds, a file that is neither CSV nor Parquet, an empty file.
    """
    place = Path(path).expanduser()
    text = str(place)
    if place.is_dir():
        files = [f for f in sorted(place.iterdir()) if _kind(f) and f.is_file() and not f.name.startswith(".")]
        if not files:
            raise DataError(f"{path}: the directory holds no .parquet or .csv file")
    elif place.exists():
        files = [place]
    elif glob.has_magic(text):
        # Path.glob takes no absolute pattern.
        hits = sorted(glob.glob(text, recursive=True))  # noqa: PTH207
        files = [Path(f) for f in hits if Path(f).is_file()]
        if not files:
            raise DataError(f"{path}: no file matches this pattern{_near(place)}")
    else:
        raise DataError(f"{path}: no such file{_near(place)}")
    for file in files:
        if not is_text(file):
            raise DataError(f"{file}: the name is not UTF-8 text, and such a file cannot be opened: rename it")
        if not _kind(file):
            raise DataError(f"{file}: neither CSV nor Parquet (expected a name ending in .csv, .parquet or .pq)")
        if file.stat().st_size == 0:
            raise DataError(f"{file}: the file is empty")
    kinds = {_kind(f) for f in files}
    if len(kinds) > 1:
        raise DataError(f"{path}: both CSV and Parquet files; name one kind, such as {Path(path) / '*.parquet'}")
    return tuple(files)


def scan(path: str | Path, reading: Reading = PLAIN) -> Scan:
    """Opens the files of `path` lazily as one frame.

    All files must have the same columns, in any order, numbers where the first has numbers. `reading` says how they are
    read, where they do not say so themselves.

    Raises:
        DataError: see `find_files`; a file that cannot be read, or whose columns differ from the first one's.
    """
    files = find_files(path)
    parquet = _kind(files[0]) == "parquet"
    frames = [_scan_parquet(f) if parquet else _scan_csv(f, reading) for f in files]
    first = _schema(frames[0], files[0])
    for file, frame in zip(files[1:], frames[1:], strict=True):
        same_columns(first, files[0], _schema(frame, file), file)
    if len(files) == 1:
        return Scan(frames[0], files, plain_row)
    together = pl.concat([f.select(list(first)) for f in frames], how="vertical_relaxed")
    return Scan(together, files, _locator(files, frames))


def collect(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Runs a lazy frame; a failure to read is a DataError that names `source`."""
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{source}: cannot be read: {_first_line(error)}") from error


def _kind(file: Path) -> str | None:
    suffix = file.suffix.lower()
    return "parquet" if suffix in PARQUET else "csv" if suffix in CSV else None


def _near(place: Path) -> str:
    folder = place.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    if folder != place.parent:
        return f" (there is no directory {place.parent})"
    try:
        names = [f.name for f in folder.iterdir() if not f.name.startswith(".")]
    except OSError:
        return ""
    near = nearest_name(place.name, names)
    return f"; did you mean {folder / near}?" if near else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _schema(frame: pl.LazyFrame, file: Path) -> dict[str, pl.DataType]:
    try:
        return dict(frame.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file}: cannot be read: {_first_line(error)}") from error


def _scan_parquet(file: Path) -> pl.LazyFrame:
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    if head != b"PAR1":
        raise DataError(f"{file}: not a Parquet file, or a corrupt one")
    # A glob in a file's own name must not be expanded again.
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def _scan_csv(file: Path, reading: Reading) -> pl.LazyFrame:
    try:
        with file.open("rb") as opened:
            raw = opened.read(65536)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    if raw[:4] == b"PAR1" or b"\0" in raw:
        raise DataError(f"{file}: not a CSV text file (it holds binary data)")
    header = raw.decode("utf-8-sig", errors="replace").partition("\n")[0]
    separator = next((s for s in (",", ";", "\t", "|") if s in header), ",")
    names = next(csv.reader([header.rstrip("\r")], delimiter=separator), [])
    twice = next((n for n in names if n and names.count(n) > 1), None)
    if twice is not None:
        raise DataError(f"{file}: the header has two columns {twice!r}")
    # Symbols stay text: 000001 is not 1, and TRUE is a company.
    key = key_column(names, "symbol", reading.symbol)
    keys = {n: pl.String for n in names if plain(n) in SYMBOL_NAMES or n == key}
    try:
        frame = pl.scan_csv(
            file,
            separator=separator,
            schema_overrides=keys,
            # The whole file decides a column's type: a late letter in a price column must not be a surprise.
            infer_schema_length=None,
            glob=False,
        )
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file}: cannot be read as CSV: {_first_line(error)}") from error
    # Blank lines, and lines of bare commas as spreadsheets leave them, are no rows.
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    texts = [n for n, t in schema.items() if isinstance(t, pl.String) and n not in keys]
    return frame.with_columns(_as_number(n) for n in _numeric_texts(frame, texts, file))


def _as_number(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text.is_in(MISSING_TOKENS)).then(None).otherwise(text).cast(pl.Float64).alias(name)


def _numeric_texts(frame: pl.LazyFrame, texts: list[str], file: Path) -> list[str]:
    """Text columns that hold only numbers and words for "no value", at least one number among them."""
    if not texts:
        return []
    checks: list[pl.Expr] = []
    for name in texts:
        text = pl.col(name).str.strip_chars()
        number = text.cast(pl.Float64, strict=False).is_not_null() & ~text.is_in(MISSING_TOKENS)
        word = text.is_not_null() & ~text.is_in(MISSING_TOKENS) & ~number
        checks.append((number.any() & ~word.any()).alias(name))
    row = collect(frame.select(checks), str(file)).row(0, named=True)
    return [name for name in texts if row[name]]


def _class_of(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "numbers"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    return str(dtype)


def same_columns(
    first: Mapping[str, pl.DataType], first_file: Path, other: Mapping[str, pl.DataType], file: Path
) -> None:
    """Refuses a file whose columns are not those of the first, or are of another kind."""
    for names, holder in ((first, first_file), (other, file)):
        reference = other if names is first else first
        missing = [n for n in names if n not in reference]
        if missing:
            raise DataError(
                f"{file}: columns differ from {first_file}: only {holder.name} has {', '.join(map(repr, missing))}"
            )
    for name, dtype in first.items():
        a, b = _class_of(dtype), _class_of(other[name])
        if a != b and not isinstance(other[name], pl.Null) and not isinstance(dtype, pl.Null):
            raise DataError(f"{file}: column {name!r} is {b}, but {a} in {first_file}")


def _locator(files: tuple[Path, ...], frames: list[pl.LazyFrame]) -> Callable[[int], str]:
    ends: list[int] = []

    def locate(row: int) -> str:
        # Counted only when an error needs it.
        if not ends:
            ends.extend(accumulate(collect(f.select(pl.len()), str(files[0])).item() for f in frames))
        at = bisect_right(ends, row)
        before = ends[at - 1] if at else 0
        return f"{files[at].name} row {row - before + 1:,}"

    return locate
