"""Values with their labels: dense arrays as frames with dates and symbols, long or wide, of Polars or of pandas.

Polars is imported when a frame is made, pandas only where a frame of pandas is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.arguments import numbers, shown
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl

    from fama_fast.panel.presence import DensePanel
    from fama_fast.types import BoolArray, FloatArray

Library = Literal["polars", "pandas"]
LIBRARIES = ("polars", "pandas")
KEYS = ("date", "symbol")
VALUE = "value"
"""The column of values that have no name."""


def read_library(frame: Any) -> Library | None:
    """The library whose frame is asked for; None where none is.

    Raises:
        ConfigError: another one.
    """
    if frame is None or frame in LIBRARIES:
        kept: Library | None = frame
        return kept
    raise ConfigError(f'frame must be "polars" or "pandas", not {shown(frame)}')


def check_names(names: Sequence[str]) -> None:
    """Refuses names of columns of values of which two are equal, or one is that of a key.

    Raises:
        ConfigError: the name that clashes.
    """
    twice = next((n for i, n in enumerate(names) if n in names[:i] or n in KEYS), None)
    if twice is not None:
        raise ConfigError(f"two columns would be called {twice!r}: give every expression a name of its own")


def plain_dates(dates: Any) -> Any:
    """The dates for Polars: days where all are midnights, else microseconds."""
    days = dates.astype("datetime64[D]")
    return days if bool((days == dates).all()) else dates.astype("datetime64[us]")


def long_frame(
    dates: Any,
    symbols: Sequence[Any],
    values: Mapping[str, FloatArray],
    present: BoolArray,
    *,
    days: bool | None = None,
) -> pl.DataFrame:
    """The values as a long frame: columns date, symbol and one an expression, by date and symbol.

    Rows are the cells where the data have a symbol or an expression has a value. days: dates are days (None: see).
    """
    import polars as pl

    keep = present
    for array in values.values():
        keep = keep | np.isfinite(array)
    row, column = np.nonzero(keep)
    when = plain_dates(dates) if days is None else dates.astype("datetime64[D]" if days else "datetime64[us]")
    # Codes of an Enum, not gathered texts: each name is written once.
    return pl.DataFrame(
        {
            "date": pl.Series("date", when).gather(row),
            "symbol": pl.Series("symbol", [str(s) for s in symbols], dtype=pl.String).gather(column),
            **{name: pl.Series(name, array[keep], nan_to_null=True) for name, array in values.items()},
        }
    )


def panel_frame(panel: DensePanel) -> pl.DataFrame:
    """The panel as a long frame sorted by date and symbol: `date`, `symbol`, supplied fields and groups in lower case.

    Missing is null. Cells in which every supplied field is missing have no row. A universe becomes
    `in_universe`.
    """
    import polars as pl

    n_dates, n_symbols = panel.shape
    fields = {name: panel[name].ravel() for name in panel.supplied_fields}
    keep = np.ones(n_dates * n_symbols, dtype=bool)
    if fields:
        keep = np.logical_or.reduce([~np.isnan(v) for v in fields.values()])
    row, column = np.divmod(np.flatnonzero(keep), n_symbols)
    data: dict[str, pl.Series] = {
        "date": pl.Series(panel.dates[row]),
        "symbol": pl.Series([str(s) for s in panel.symbols], dtype=pl.String).gather(column),
    }
    for name, values in fields.items():
        data[name.lower()] = pl.Series(values[keep]).fill_nan(None)
    for name in panel.groups:
        data[name.lower()] = _labels(panel, name, keep)
    if panel.universe is not None:
        data["in_universe"] = pl.Series(panel.universe.ravel()[keep])
    return pl.DataFrame(data)


def _labels(panel: DensePanel, name: str, keep: BoolArray) -> pl.Series:
    """A group's labels of the cells to keep, of (T * N)."""
    import polars as pl

    group = panel.group(name)
    codes = group.codes.ravel()[keep]
    index = pl.Series(np.where(np.isnan(codes), -1, codes).astype(np.int64)).replace(-1, None)
    labels = pl.Series([*group.labels], dtype=pl.String)
    return labels.gather(index) if len(labels) else index.cast(pl.String)


def values_frame(panel: DensePanel, values: Any) -> pl.DataFrame:
    """Values computed on a panel as a long frame: `date`, `symbol` and a column for each array.

    Args:
        values: (T, N), whose column is called `value`; or such arrays by the names of their columns. Rows are the cells
            where the panel has a symbol or an array has a value; missing is null.

    Raises:
        DataError: an array of another shape. ConfigError: names that clash.
    """
    arrays = _arrays(panel, values)
    check_names(list(arrays))
    return long_frame(panel.dates, panel.symbols, arrays, trading(panel))


def wide_frames(panel: DensePanel, values: Any = None) -> dict[str, pl.DataFrame]:
    """Wide frames by name: `date`, and a column for each symbol.

    Args:
        values: as of `values_frame`; None for the panel's own fields, groups and universe, in lower case, as
            `load_market_data` takes them back.

    Raises:
        DataError: an array of another shape.
    """
    import polars as pl

    when = pl.Series("date", plain_dates(panel.dates))
    symbols = [str(s) for s in panel.symbols]
    if "date" in symbols:
        raise DataError("a symbol is called 'date', as the column of dates is: ask for a long frame")

    def wide(columns: Mapping[str, Any]) -> pl.DataFrame:
        return pl.DataFrame({"date": when, **columns})

    def numeric(array: FloatArray) -> pl.DataFrame:
        return wide({s: pl.Series(s, array[:, j], nan_to_null=True) for j, s in enumerate(symbols)})

    if values is not None:
        return {name: numeric(array) for name, array in _arrays(panel, values).items()}
    tables = {name.lower(): numeric(panel[name]) for name in panel.supplied_fields}
    everything = np.ones(panel.shape, dtype=np.bool_).ravel()
    for name in panel.groups:
        texts = _labels(panel, name, everything)
        tables[name.lower()] = wide({s: texts.gather_every(len(symbols), j) for j, s in enumerate(symbols)})
    if panel.universe is not None:
        tables["in_universe"] = wide({s: panel.universe[:, j] for j, s in enumerate(symbols)})
    return tables


def pandas_long(frame: pl.DataFrame) -> pd.DataFrame:
    """A long frame of Polars as one of pandas, with an index of `date` and `symbol`.

    Raises:
        ConfigError: pandas is not installed.
    """
    return _pandas(frame).set_index(list(KEYS))


def pandas_wide(frame: pl.DataFrame) -> pd.DataFrame:
    """A wide frame of Polars as one of pandas: dates in the index, columns called `symbol`.

    Raises:
        ConfigError: pandas is not installed.
    """
    return _pandas(frame).set_index("date").rename_axis(columns="symbol")


def _pandas(frame: pl.DataFrame) -> pd.DataFrame:
    try:
        import pandas as _installed  # noqa: F401
    except ImportError:
        raise ConfigError('pandas is not installed: pip install pandas, or ask for frame="polars"') from None
    return frame.to_pandas()


def _arrays(panel: DensePanel, values: Any) -> dict[str, FloatArray]:
    named = values if isinstance(values, Mapping) else {VALUE: values}
    arrays: dict[str, FloatArray] = {}
    for name, array in named.items():
        if not isinstance(name, str):
            raise ConfigError(f"the name of a column of values is text, not {shown(name)}")
        kind = np.float32 if getattr(array, "dtype", None) == np.float32 else np.float64
        arrays[name] = numbers(array, f"values {name!r}", dtype=kind)
        if arrays[name].shape != panel.shape:
            raise DataError(
                f"values {name!r} have shape {arrays[name].shape}, not (dates, symbols) = {panel.shape} of the panel"
            )
    return arrays
