"""The order of each row of an array, checked: compiled loops follow it without a look at where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import frozen, numbers
from fama_fast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.types import FloatArray, IntArray


def checked_order(values: Any, order: Any, count: Any) -> tuple[FloatArray, NDArray[np.int32], IntArray]:
    """Values (T, N), the columns of each row in an order, and how many of these count, as read-only arrays.

    Raises:
        DataError: arrays of other shapes, a count above N, a column that there is not.
    """
    rows: FloatArray = numbers(values, "values", ndim=2)
    columns = numbers(order, "order", shape=rows.shape, copy=True)
    counts = numbers(count, "count", shape=rows.shape[:1])
    n = rows.shape[1]
    if not bool(((counts >= 0) & (counts <= n) & (np.floor(counts) == counts)).all()):
        raise DataError(f"count must be of cells in each row, 0 to {n}")
    unused = np.arange(n) >= counts[:, None]
    if not bool((unused | (columns >= 0) & (columns < n) & (np.floor(columns) == columns)).all()):
        raise DataError(f"order must hold numbers of columns, 0 to {n - 1}")
    columns[unused] = 0
    return frozen(rows), frozen(columns.astype(np.int32)), frozen(counts.astype(np.int64))
