"""Opens market data in memory: a long frame, or wide ones, one a field, of Polars, of pandas or of what speaks Arrow.

`polars_frame` is the one place where a frame of another library becomes one of Polars. What gives its columns through
the Arrow PyCapsule interface (a table of pyarrow, DuckDB, ibis, cuDF, ...) is read by Arrow; pandas alone has an index,
of which `pandas_frames` makes columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import polars as pl

from fama_fast.errors import DataError, listed
from fama_fast.panel.io.arrow_types import polars_table
from fama_fast.panel.io.cells import WHOLE_CELLS
from fama_fast.panel.io.pandas_frames import by_field, is_pandas, with_columns_alone
from fama_fast.panel.io.source import locator
from fama_fast.panel.io.wide import WideTables, held_table
from fama_fast.panel.key_columns import key_column, may_have_key
from fama_fast.panel.keys import plain_row
from fama_fast.panel.market_data import TAKEN

if TYPE_CHECKING:
    from fama_fast.panel.io.source import Scan
    from fama_fast.panel.reading import Reading


def scan_frames(data: Any, reading: Reading) -> Scan:
    """Open a long frame, or wide ones by the names of their fields, as rows.

    Raises:
        DataError: something else; a wide frame without the name of its field; tables that do not go together.
    """
    from fama_fast.panel.io.source import Scan

    if isinstance(data, Mapping):
        return _wide({str(name): _table(name, frame) for name, frame in data.items()}, reading)
    if is_pandas(data) and getattr(getattr(data, "columns", None), "nlevels", 1) == 2:
        return _wide({name: _table(name, frame) for name, frame in by_field(data, reading).items()}, reading)
    frame = polars_frame(data, reading)
    if frame is None:
        raise DataError(f"market data must be {TAKEN}, not {type(data).__name__}{_advice(data)}")
    if isinstance(frame, pl.LazyFrame):
        return Scan(frame, plain_row)
    dates = key_column(frame.columns, "date", reading.date)
    no_symbols = reading.symbol is None and not may_have_key(frame.columns, "symbol")
    if no_symbols and dates is not None and frame.width > 1:
        raise DataError(
            f"frame: there is no symbol column (columns: {listed(frame.columns)}); if its columns are symbols (a wide "
            "table), say which field it holds: {'close': frame}"
        )
    return Scan(frame.lazy(), plain_row)


def polars_frame(data: Any, reading: Reading | None = None) -> pl.DataFrame | pl.LazyFrame | None:
    """A data frame of any library as one of Polars, its rows in their order; None for what is no frame.

    Args:
        data: a frame of Polars, which is returned as it is, or of pandas, whose index becomes columns in front; or
            anything with the Arrow PyCapsule interface.
        reading: how its key columns are called, where a pandas index has levels whose names do not say it.

    Raises:
        DataError: columns that cannot be read, or two of one name.
    """
    if isinstance(data, pl.DataFrame | pl.LazyFrame):
        return data
    if is_pandas(data):
        plain = with_columns_alone(data, reading)
        return None if plain is None else pl.from_pandas(plain)
    if isinstance(data, pl.Series) or not (hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")):
        return None
    return _from_arrow(data, universal=reading is not None and reading.timezone is not None)


def _from_arrow(data: Any, *, universal: bool) -> pl.DataFrame:
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{type(data).__name__}: Arrow cannot read it as a table: {first} (a stream is read once: give a table, or "
            "a new reader)"
        ) from error
    names = table.schema.names
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise DataError(f"the frame has two columns {twice!r}")
    return polars_table(table, "frame", universal=universal)


def _wide(frames: Mapping[str, pl.DataFrame], reading: Reading) -> Scan:
    from fama_fast.panel.io.source import Scan

    if not frames:
        raise DataError("a dict of wide frames holds none")
    tables = [held_table(name, name, frame) for name, frame in frames.items()]
    text = f"wide table{'s' * (len(tables) != 1)}: {listed(frames, 5)}"
    rows = WideTables("frames", text, tables, reading, block_cells=WHOLE_CELLS)
    return Scan(rows.frame(), locator(rows), text, rows)


def _table(name: Any, data: Any) -> pl.DataFrame:
    frame = polars_frame(data)
    if frame is None:
        raise DataError(
            f"{name}: a wide table must be a Polars or pandas data frame or an Arrow table, dates down and symbols "
            f"across, not {type(data).__name__}{_advice(data, name)}"
        )
    return frame.collect() if isinstance(frame, pl.LazyFrame) else frame


def _advice(data: Any, name: str = "CLOSE") -> str:
    """A way to give data of this kind after all, for messages; empty where none is known."""
    if hasattr(data, "supplied_fields"):
        return ": it is made already, and needs no reading"
    if isinstance(data, PathLike):
        return ": give str(path) or a pathlib.Path"
    if getattr(data, "ndim", 0) == 2 and hasattr(data, "__array__"):
        return f": an array has no dates and no symbols; say them with ff.Panel(dates, symbols, {{{name!r}: array}})"
    if is_pandas(data) or isinstance(data, pl.Series):
        return (
            ": a series of one field needs a name and an index of dates and symbols (series.rename('close').to_frame())"
        )
    if isinstance(data, list | tuple) or (hasattr(data, "dtype") and getattr(data.dtype, "names", None)):
        return ": make a frame of rows or columns with polars.DataFrame(data)"
    return ""
