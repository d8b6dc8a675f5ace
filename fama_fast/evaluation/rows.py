"""Rows of a (T, N) array in sorted order, and running a compiled row loop over all cores.

The order of a row is computed once and serves RankIC at every horizon, turnover and coverage. This module
imports numba only when something is computed.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.backends.numba_vm.threads import default_threads, run_together
from fama_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.types import BoolArray, FloatArray, IntArray

_SMALL = 50_000  # cells below which starting threads costs more than the work


def matrix(values: Any, name: str = "values") -> FloatArray:
    """`values` as a read-only C-contiguous (T, N) float64 view (a copy only where the layout demands one).

    Raises:
        DataError: not two-dimensional, or not numeric.
    """
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers: {error}") from error
    if np.ndim(values) != 2:
        raise DataError(f"{name} must be a (dates, symbols) array, not of shape {np.shape(values)}")
    out: FloatArray = frozen(array)
    return out


def mask_matrix(universe: Any, shape: tuple[int, ...], name: str = "universe") -> BoolArray:
    """The universe as a read-only (T, N) bool view, or an array of shape (0, 0) for None (everyone is a
    member).

    Raises:
        DataError: its shape is not `shape`.
    """
    if universe is not None:
        same_shape(universe, shape, name)
    out: BoolArray = frozen(
        np.empty((0, 0), dtype=np.bool_) if universe is None else np.ascontiguousarray(universe, dtype=np.bool_)
    )
    return out


def same_shape(array: Any, shape: tuple[int, ...], name: str) -> None:
    """Raises DataError when `array` does not have this shape."""
    if np.shape(array) != shape:
        raise DataError(f"{name} has shape {np.shape(array)}, not that of the values, {shape}")


def frozen(array: Any) -> Any:
    """A read-only view: compiled functions then meet one array type, whatever the caller's flags were."""
    view = array.view()
    view.flags.writeable = False
    return view


def over_rows(work: Callable[[int, int], object], shape: tuple[int, ...], threads: int | None = None) -> None:
    """Call `work(start, stop)` on consecutive chunks of rows, on several threads when it pays.

    `work` writes only its own rows, so the result is the same at any thread count.
    """
    n_rows, n_columns = shape
    workers = default_threads() if threads is None else max(1, threads)
    if workers == 1 or n_rows * n_columns < _SMALL:
        work(0, n_rows)
        return
    # Several chunks a thread even out rows of unequal cost.
    edges = np.linspace(0, n_rows, min(n_rows, 4 * workers) + 1).astype(int).tolist()
    chunks = list(pairwise(edges))
    numbers = itertools.count()  # next() on it is atomic

    def take() -> None:
        for i in numbers:
            if i >= len(chunks):
                return
            work(*chunks[i])

    run_together(take, workers)


@dataclass(frozen=True)
class SortedRows:
    """A (T, N) array with the ascending order of each row.

    Attributes:
        values: (T, N) float64, read-only.
        order: (T, N) int32; the first count[t] entries of row t are the columns of its finite (and member)
            cells.
        count: (T,) int64.
    """

    values: FloatArray
    order: Any
    count: IntArray

    @classmethod
    def of(cls, values: Any, universe: Any = None, *, threads: int | None = None, name: str = "values") -> SortedRows:
        """Sort the rows of `values` (T, N) over the members of `universe`; infinite cells are missing."""
        from fama_fast.backends.numba_vm import stats

        array = matrix(values, name)
        mask = mask_matrix(universe, array.shape)
        order = np.empty(array.shape, dtype=np.int32)
        count = np.zeros(array.shape[0], dtype=np.int64)
        over_rows(lambda a, b: stats.sort_rows(array, mask, a, b, order, count), array.shape, threads)
        return cls(array, frozen(order), frozen(count))

    @functools.cached_property
    def tied(self) -> FloatArray:
        """(T,) 1 where two of a row's values are equal, else 0."""
        from fama_fast.backends.numba_vm.run import SortedLabels

        return SortedLabels(self.values, self.order, self.count).tied

    def part(self, rows: slice) -> SortedRows:
        """Some consecutive rows, as views."""
        return SortedRows(self.values[rows], self.order[rows], self.count[rows])


def sorted_rows(values: Any, universe: Any = None, *, threads: int | None = None, name: str = "values") -> SortedRows:
    """`values` itself when it is sorted already (`universe` must then be None), else `SortedRows.of`."""
    if isinstance(values, SortedRows):
        if universe is not None:
            raise DataError(f"{name} are already sorted over their universe: give it when they are sorted")
        return values
    return SortedRows.of(values, universe, threads=threads, name=name)
