"""Lays factor values of any kind out over the dates and symbols of market data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, shown
from fama_fast.errors import DataError
from fama_fast.panel.key_columns import key_column
from fama_fast.panel.labelled import VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.types import FloatArray

PERIOD = re.compile(r"(\d+(D|h|H|m|min|T|s|S))+\Z")
"""The name of a column of forward returns in alphalens's `factor_data`."""


def is_factor_data(columns: Sequence[str]) -> bool:
    """Whether columns are those of alphalens's `factor_data`: a factor, its quantile, and returns of some period."""
    return "factor" in columns and "factor_quantile" in columns and any(PERIOD.match(c) for c in columns)


def laid_out(values: Any, dates: Any, symbols: Any, notes: dict[str, str]) -> dict[str, FloatArray]:
    """Factor values of any kind as arrays (T, N) over the dates and symbols of the data, by name.

    Args:
        values: an array, a frame (long or wide, of Polars, pandas or Arrow), or a mapping from names to these. A single
            array, and a wide frame, is called `value`; of alphalens's `factor_data` the factor is taken.
        dates, symbols: (T,) and (N,), of the data. notes: gets a sentence about values on other dates or of other
            symbols, which are left out.

    Raises:
        DataError: values that cannot be read, of another shape, or that share no date or symbol with the data.
    """
    if not isinstance(values, Mapping):
        return _one(VALUE, values, dates, symbols, notes)
    out: dict[str, FloatArray] = {}
    for name, item in values.items():
        found = _one(str(name), item, dates, symbols, notes)
        if len(found) > 1:
            raise DataError(f"{name}: the frame has {len(found)} columns of numbers, and a factor is one of them")
        out[str(name)] = next(iter(found.values()))
    return out


def _one(name: str, item: Any, dates: Any, symbols: Any, notes: dict[str, str]) -> dict[str, FloatArray]:
    import polars as pl

    from fama_fast.panel.io.frames import polars_frame
    from fama_fast.panel.io.pandas_frames import is_pandas

    if is_pandas(item) and not hasattr(item, "columns") and item.index.nlevels > 1:
        item = item.to_frame(name if item.name is None else str(item.name))
    frame = polars_frame(item)
    if frame is None:
        shape = (len(dates), len(symbols))
        if getattr(item, "ndim", 2 if isinstance(item, list | tuple) else 0) != 2:
            raise DataError(
                f"{name}: factor values are an array (dates, symbols), a frame of Polars, pandas or Arrow, or an "
                f"expression, not {shown(item)}"
            )
        array = numbers(item, f"values {name!r}")
        if array.shape != shape:
            raise DataError(
                f"values {name!r} have shape {array.shape}, not (dates, symbols) = {shape} of the data; a frame with "
                "dates and symbols is laid out over them"
            )
        return {name: array}
    return _of_frame(name, frame.collect() if isinstance(frame, pl.LazyFrame) else frame, dates, symbols, notes)


def _of_frame(name: str, frame: Any, dates: Any, symbols: Any, notes: dict[str, str]) -> dict[str, FloatArray]:
    import polars as pl

    from fama_fast.panel import Panel

    symbol = key_column(frame.columns, "symbol")
    if symbol is None:
        panel, columns = Panel.from_frame({VALUE: frame}), [name]
    else:
        date = key_column(frame.columns, "date")
        if date is None:
            raise DataError(f"{name}: there is no date column (columns: {', '.join(frame.columns)})")
        others = [(c, t) for c, t in frame.schema.items() if c not in (date, symbol)]
        columns = [c for c, t in others if t.is_numeric() or t == pl.Boolean]
        if is_factor_data(columns):
            columns = ["factor"]
        if not columns:
            raise DataError(f"{name}: there is no column of numbers (columns: {', '.join(frame.columns)})")
        # Names of factors are no names of fields: `vol` stays what it is called.
        plain = [pl.col(c).alias(f"value_{i}") for i, c in enumerate(columns)]
        panel = Panel.from_frame(frame.select(pl.col(date).alias("date"), pl.col(symbol).alias("symbol"), *plain))
    rows, there = _places(panel.dates.astype("datetime64[us]"), dates.astype("datetime64[us]"))
    at = {str(s): j for j, s in enumerate(symbols)}
    known = np.array([str(s) in at for s in panel.symbols], dtype=np.bool_)
    if not there.any() or not known.any():
        raise DataError(
            f"{name}: the values share no {'date' if known.any() else 'symbol'} with the data: they are of "
            f"{panel.dates[0]} to {panel.dates[-1]} and symbols such as {panel.symbols[0]}, the data of "
            f"{dates[0]} to {dates[-1]} and symbols such as {symbols[0]}"
        )
    left = [
        f"{count:,} {what}"
        for count, what in ((np.count_nonzero(~there), "dates"), (np.count_nonzero(~known), "symbols"))
        if count
    ]
    if left:
        notes[f"all values of {name}"] = f"{' and '.join(left)} of the values are not in the data"
    where = np.array([at[str(s)] for s in panel.symbols[known]], dtype=np.int64)
    out: dict[str, FloatArray] = {}
    for column, supplied in zip(columns, panel.supplied_fields, strict=True):
        array = np.full((len(dates), len(symbols)), np.nan)
        array[np.ix_(rows[there], where)] = panel[supplied][np.ix_(there, known)]
        out[column] = array
    return out


def _places(own: Any, others: Any) -> tuple[Any, Any]:
    """Where each of `own` stands in `others`, both ascending, and whether it is there at all."""
    at = np.searchsorted(others, own)
    there = at < len(others)
    there[there] = others[at[there]] == own[there]
    return at, there
