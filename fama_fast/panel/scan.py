"""Market data opened lazily as one frame of rows, and how a CSV file is read.

Which files a path stands for and how they are laid out is decided in `io`; what the columns mean elsewhere.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.io.source import locator
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.keys import Locate, plain_row
from fama_fast.panel.names import SYMBOL_NAMES, plain
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.panel.text_values import MISSING_TOKENS

if TYPE_CHECKING:
    from pathlib import Path

    from fama_fast.panel.io.frames import MarketData
    from fama_fast.panel.io.source import RowSource


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
        """What was let pass so far."""
        return () if self.rows is None else self.rows.warnings


def scan(data: MarketData, reading: Reading = PLAIN) -> Scan:
    """Opens market data of any layout (see `io.open`) lazily as one frame of rows.

    Args:
        data: a path or URI, a long frame of polars or pandas, or a dict of wide ones (see `io.frames`).
        reading: how they are read, where they do not say so themselves.

    Raises:
        DataError: see `io.folder.list_files` and `io.layout.layout_of`; a file that cannot be read, or whose columns
            are not the others'.
    """
    from fama_fast.panel.io.frames import is_path, scan_frames
    from fama_fast.panel.io.open import open_rows

    if not is_path(data):
        return scan_frames(data, reading)
    rows = open_rows(data, reading, whole=True)
    one = len(rows.groups) == 1 and rows.groups[0].file.path and not rows.layout
    return Scan(rows.frame(), plain_row if one else locator(rows), rows.layout, rows)


def scan_table(path: str | Path, reading: Reading = PLAIN) -> Scan:
    """Opens a plain table, such as one of groups or of members: a CSV or Parquet file, or a folder of parts of it.

    Raises:
        DataError: as `scan`.
    """
    from fama_fast.panel.io.folder import list_files
    from fama_fast.panel.io.layout import Layout
    from fama_fast.panel.io.open import open_files

    listing = list_files(path)
    rows = open_files(listing, Layout("rows", listing.text), reading, whole=True)
    return Scan(rows.frame(), plain_row if listing.one else locator(rows))


def csv_columns(file: Path, reading: Reading) -> tuple[str, ...]:
    """The names in a CSV file's header."""
    return tuple(_header(file)[0])


def read_csv(file: Path, reading: Reading) -> pl.DataFrame:
    """All rows of a CSV file."""
    return collect(_scan_csv(file, reading), str(file))


def collect(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Runs a lazy frame; a failure to read is a DataError that names `source`."""
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{source}: cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _header(file: Path) -> tuple[list[str], str]:
    """The names in a CSV file's first line, and what separates them."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(65536)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    if raw[:4] == b"PAR1" or b"\0" in raw:
        raise DataError(f"{file}: not a CSV text file (it holds binary data)")
    header = raw.decode("utf-8-sig", errors="replace").partition("\n")[0]
    separator = next((s for s in (",", ";", "\t", "|") if s in header), ",")
    return next(csv.reader([header.rstrip("\r")], delimiter=separator), []), separator


def _scan_csv(file: Path, reading: Reading) -> pl.LazyFrame:
    names, separator = _header(file)
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
