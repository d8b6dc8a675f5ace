"""Reads the axes of a panel, and the names of its fields and groups, as a caller gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fama_fast.arguments import shown
from fama_fast.errors import DataError


def read_panel_dates(dates: Any) -> Any:
    """(T,) datetime64, read-only, of dates that ascend without repeats.

    Raises:
        DataError: no dates, some missing, or in another order.
    """
    array = np.array(dates, copy=True)
    if not np.issubdtype(array.dtype, np.datetime64):
        raise DataError(f"panel dates must be datetime64, not {array.dtype}")
    if array.ndim != 1:
        raise DataError(f"panel dates must be a list of dates, not of shape {array.shape}")
    if bool(np.isnat(array).any()):
        raise DataError(f"panel dates must be dates: {np.count_nonzero(np.isnat(array))} are missing (NaT)")
    if array.size > 1 and not bool(np.all(array[1:] > array[:-1])):
        raise DataError("panel dates must ascend without repeats")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array


def read_panel_symbols(symbols: Any) -> Any:
    """(N,) names as text.

    Raises:
        DataError: no list of names, or one that is there twice.
    """
    if isinstance(symbols, str) or not hasattr(symbols, "__iter__"):
        raise DataError(f"panel symbols must be a list of names, not {shown(symbols)}")
    array = np.asarray([str(s) for s in symbols], dtype=object)
    if len(set(array)) != array.size:
        raise DataError("panel symbols must be unique")
    return array


def by_upper_name(values: Any, what: str) -> dict[str, Any]:
    """The mapping with its names in upper case.

    Raises:
        DataError: no mapping, or names that are no text.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise DataError(f"panel {what} must be a mapping from names, such as {{'CLOSE': array}}, not {shown(values)}")
    return {name.upper(): value for name, value in values.items()}
