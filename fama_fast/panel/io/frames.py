"""Opens market data in memory: a long frame of polars or pandas, or wide ones, one a field.

A pandas frame may have its keys in the index, and columns in two levels, fields and symbols, as yfinance gives several
tickers: that is a set of wide tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import polars as pl

from fama_fast.errors import DataError, listed
from fama_fast.panel.io.cells import WHOLE_CELLS
from fama_fast.panel.io.layout import known_field
from fama_fast.panel.io.source import locator
from fama_fast.panel.io.wide import WideTables, held_table
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.keys import plain_row

if TYPE_CHECKING:
    from fama_fast.panel.io.source import Scan
    from fama_fast.panel.reading import Reading


class PandasFrame(Protocol):
    """Protocol of a pandas data frame, as far as it is used here."""

    @property
    def columns(self) -> Any:
        """The names."""

    @property
    def index(self) -> Any:
        """The rows' labels."""


MarketData = str | Path | pl.DataFrame | pl.LazyFrame | PandasFrame | Mapping[str, Any]
"""A path or URI, a long frame, or wide frames by the names of their fields."""


def is_path(data: MarketData | None) -> TypeGuard[str | Path]:
    """Whether data are given by a path or URI, rather than in memory."""
    return isinstance(data, str | Path)


def is_pandas(data: Any) -> bool:
    """Whether an object is a pandas data frame; pandas is not imported for it."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def scan_frames(data: Any, reading: Reading) -> Scan:
    """Open a long frame, or wide ones by the names of their fields, as rows.

    Raises:
        DataError: something else; a wide frame without the name of its field; tables that do not go together.
    """
    from fama_fast.panel.io.source import Scan

    if isinstance(data, pl.LazyFrame):
        return Scan(data, plain_row)
    if isinstance(data, Mapping):
        return _wide({str(name): _table(name, frame) for name, frame in data.items()}, reading)
    if is_pandas(data) and getattr(data.columns, "nlevels", 1) == 2:
        return _wide(_by_field(data, reading), reading)
    frame = _polars(data)
    if frame is None:
        raise DataError(
            "market data must be a path, a polars or pandas data frame, or a dict of wide ones by their fields, not "
            f"{type(data).__name__}"
        )
    dates = key_column(frame.columns, "date", reading.date)
    if reading.symbol is None and key_column(frame.columns, "symbol") is None and dates is not None and frame.width > 1:
        raise DataError(
            f"frame: there is no symbol column (columns: {listed(frame.columns)}); if its columns are symbols (a wide "
            "table), say which field it holds: {'close': frame}"
        )
    return Scan(frame.lazy(), plain_row)


def _wide(frames: Mapping[str, pl.DataFrame], reading: Reading) -> Scan:
    from fama_fast.panel.io.source import Scan

    if not frames:
        raise DataError("a dict of wide frames holds none")
    tables = [held_table(name, name, frame) for name, frame in frames.items()]
    text = f"wide table{'s' * (len(tables) != 1)}: {listed(frames, 5)}"
    rows = WideTables("frames", text, tables, reading, block_cells=WHOLE_CELLS)
    return Scan(rows.frame(), locator(rows), text, rows)


def _table(name: Any, data: Any) -> pl.DataFrame:
    frame = _polars(data.collect() if isinstance(data, pl.LazyFrame) else data)
    if frame is None:
        raise DataError(f"{name}: a wide table must be a polars or pandas data frame, not {type(data).__name__}")
    return frame


def _polars(data: Any) -> pl.DataFrame | None:
    """A data frame of polars or pandas as one of polars, the index in front; None for anything else."""
    if isinstance(data, pl.DataFrame):
        return data
    if not is_pandas(data):
        return None
    # Row numbers that nobody named say nothing.
    numbered = type(data.index).__name__ == "RangeIndex" and data.index.name is None
    plain = data if numbered else data.reset_index()
    plain = plain.set_axis([str(c) for c in plain.columns], axis=1)
    if not plain.columns.is_unique:
        raise DataError(f"the frame has two columns {plain.columns[plain.columns.duplicated()][0]!r}")
    return pl.from_pandas(plain)


def _by_field(data: Any, reading: Reading) -> dict[str, pl.DataFrame]:
    """The wide tables of a frame whose columns are pairs of a field and a symbol, in either order."""
    levels = [data.columns.get_level_values(i).unique() for i in (0, 1)]
    known = [sum(known_field(str(name), reading) is not None for name in level) for level in levels]
    level = 0 if known[0] >= known[1] else 1
    if not known[level]:
        raise DataError(
            f"frame: the columns have two levels, and neither names a field such as close (the first has "
            f"{listed(map(str, levels[0]), 5)})"
        )
    return {str(name): _table(name, data.xs(name, axis=1, level=level)) for name in levels[level]}
