"""Opens the data at a path with the reader of their kind: the one place where the kind is decided.

A path may hold rows (files with a row for each date and symbol), one file a symbol, wide tables (one a field) or a
qlib folder; the reader's `layout` says which.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.errors import DataError
from fama_fast.panel.io.cells import BLOCK_CELLS, WHOLE_CELLS
from fama_fast.panel.io.csv_files import CsvFiles
from fama_fast.panel.io.csv_table import csv_columns, read_csv
from fama_fast.panel.io.folder import is_uri, list_files
from fama_fast.panel.io.hive import hive_columns
from fama_fast.panel.io.layout import Head, layout_of
from fama_fast.panel.io.parquet_files import Footers, ParquetFiles
from fama_fast.panel.io.qlib_bin import QlibFolder, is_qlib, qlib_near
from fama_fast.panel.io.wide import WideTables, csv_table, parquet_table

if TYPE_CHECKING:
    from fama_fast.panel.io.folder import Listing
    from fama_fast.panel.io.layout import Layout
    from fama_fast.panel.io.source import RowSource
    from fama_fast.panel.io.wide import WideTable
    from fama_fast.panel.reading import Reading


def open_rows(path: str | Path, reading: Reading, *, whole: bool = False) -> RowSource:
    """Open the data at a path, of any layout.

    Args:
        whole: all of it is wanted at once and may be held in memory; otherwise it is read in parts.

    Raises:
        DataError: nothing there, a layout that is not known or not clear, files that cannot be read.
    """
    cells = WHOLE_CELLS if whole else BLOCK_CELLS
    if not is_uri(path) and is_qlib(path):
        return QlibFolder(path, block_cells=cells)
    try:
        listing = list_files(path)
    except DataError as error:
        near = None if is_uri(path) else qlib_near(path)
        raise error if near is None else DataError(f"{error}; {near} is a qlib folder") from None
    if listing.kind == "csv" and listing.one and not whole:
        raise DataError(
            f"{path}: of one file, only Parquet can be read part by part: write the data as Parquet once "
            "(fama-fast data convert)"
        )
    if listing.kind == "csv":
        spelled = zip(listing.files, hive_columns(listing.files), strict=True)
        heads = [Head(p, (*csv_columns(Path(p.path), reading), *keys)) for p, keys in spelled]
        return open_files(listing, layout_of(listing, heads, reading), reading, whole=whole)
    footers = Footers(listing, reading)
    return open_files(listing, layout_of(listing, footers.heads, reading), reading, whole=whole, footers=footers)


def open_files(
    listing: Listing, layout: Layout, reading: Reading, *, whole: bool = False, footers: Footers | None = None
) -> RowSource:
    """Open files of a known layout.

    Raises:
        DataError: files that cannot be read, or whose columns do not go together.
    """
    cells = WHOLE_CELLS if whole else BLOCK_CELLS
    if layout.kind == "wide":
        return WideTables(listing.source, layout.text, _tables(listing, reading, footers), reading, block_cells=cells)
    if listing.kind == "csv":
        return CsvFiles(listing, layout, reading, lambda file: read_csv(file, reading), keep=whole)
    return ParquetFiles(footers or Footers(listing, reading), layout, reading)


def _tables(listing: Listing, reading: Reading, footers: Footers | None) -> list[WideTable]:
    if footers is None:
        return [csv_table(p.name, p.stem, read_csv(Path(p.path), reading, wide=True)) for p in listing.files]
    if not footers.local:
        raise DataError(f"{listing.source}: wide tables are read from this machine only: copy them here")
    files = zip(listing.files, footers.files, strict=True)
    return [parquet_table(p.name, p.stem, p.path, f.schema) for p, f in files]
