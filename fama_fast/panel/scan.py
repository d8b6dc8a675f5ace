"""Opens market data lazily as one frame of rows.

Which files a path stands for and how they are laid out is decided in `io`; what the columns mean elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import DataError
from fama_fast.panel.io.source import Scan, locator
from fama_fast.panel.io.unreadable import UNREADABLE
from fama_fast.panel.keys import plain_row
from fama_fast.panel.market_data import is_path
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from fama_fast.panel.market_data import MarketData


def scan(data: MarketData, reading: Reading = PLAIN) -> Scan:
    """Open market data of any layout (see `io.open`) lazily as one frame of rows.

    Args:
        data: a path or URI, or data in memory (see `market_data.MarketData` and `io.frames`).
        reading: how they are read, where they do not say so themselves.

    Raises:
        DataError: see `io.folder.list_files` and `io.layout.layout_of`; a file that cannot be read, or whose columns
            are not the others'.
    """
    from fama_fast.panel.io.frames import scan_frames
    from fama_fast.panel.io.open import open_rows

    if not is_path(data):
        return scan_frames(data, reading)
    rows = open_rows(data, reading, whole=True)
    one = len(rows.groups) == 1 and rows.groups[0].file.path and not rows.layout
    return Scan(rows.frame(), plain_row if one else locator(rows), rows.layout, rows)


def scan_table(path: str | Path, reading: Reading = PLAIN) -> Scan:
    """Open a plain table, such as one of groups or of members: a CSV or Parquet file, or a folder of parts of it.

    Raises:
        DataError: as `scan`.
    """
    from fama_fast.panel.io.folder import list_files
    from fama_fast.panel.io.layout import Layout
    from fama_fast.panel.io.open import open_files

    listing = list_files(path)
    rows = open_files(listing, Layout("rows", listing.text), reading, whole=True)
    return Scan(rows.frame(), plain_row if listing.one else locator(rows))


def collect(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Run a lazy frame; a failure to read is a DataError that names `source`."""
    try:
        return frame.collect()
    except UNREADABLE as error:
        raise DataError(f"{source}: cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
