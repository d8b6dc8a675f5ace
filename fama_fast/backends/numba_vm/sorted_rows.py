"""Rows of a (T, N) array in sorted order, and running a compiled row loop over all cores.

The order of a row is computed once and serves RankIC at every horizon, turnover and coverage. This module
imports numba only when something is computed.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fama_fast.arguments import frozen, numbers, shown, truths, whole
from fama_fast.backends.numba_vm.orders import checked_order
from fama_fast.backends.numba_vm.threads import run_together, thread_count
from fama_fast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.types import BoolArray, FloatArray, IntArray

_SMALL = 50_000  # cells below which starting threads costs more than the work


def matrix(values: Any, name: str = "values") -> FloatArray:
    """`values` as a read-only C-contiguous (T, N) float64 view (a copy only where the layout demands one).

    Raises:
        DataError: not two-dimensional, or not numeric.
    """
    out: FloatArray = frozen(numbers(values, name, ndim=2))
    return out


def mask_matrix(universe: Any, shape: tuple[int, ...], name: str = "universe") -> BoolArray:
    """The universe as a read-only (T, N) bool view, or an array of shape (0, 0) for None (everyone is a
    member).

    Raises:
        DataError: its shape is not `shape`, or it is not of booleans.
    """
    if universe is None:
        nobody: BoolArray = frozen(np.empty((0, 0), dtype=np.bool_))
        return nobody
    mask = truths(universe, name)
    same_shape(mask, shape, name)
    out: BoolArray = frozen(mask)
    return out


def same_shape(array: Any, shape: tuple[int, ...], name: str) -> None:
    """Raises DataError when `array` does not have this shape."""
    if np.shape(array) != shape:
        raise DataError(f"{name} has shape {np.shape(array)}, not that of the values, {shape}")


def checked_rows(rows: slice | None, n_dates: int) -> tuple[int, int]:
    """First row and one behind the last of a slice of consecutive rows; None is all of them.

    Raises:
        ConfigError: not a slice of whole numbers, or one that leaves rows out.
    """
    if rows is None:
        return 0, n_dates
    if not isinstance(rows, slice) or rows.step not in (None, 1):
        raise ConfigError(f"rows must be a slice of consecutive rows, such as slice(0, 100), not {shown(rows)}")
    for bound in (rows.start, rows.stop):
        if bound is not None:
            whole(bound, "a bound of rows")
    start, stop, _ = rows.indices(n_dates)
    return start, max(start, stop)


def chosen_rows(rows: slice | IntArray | None, n_dates: int) -> slice | IntArray:
    """Rows to summarise, as an index: consecutive ones, or the numbers of any, ascending; None is all of them.

    Raises:
        ConfigError: not a slice of consecutive rows, and no ascending row numbers of the data.
    """
    if rows is None or isinstance(rows, slice):
        return slice(*checked_rows(rows, n_dates))
    numbers = rows if isinstance(rows, np.ndarray) else np.empty((0, 0))
    right = numbers.ndim == 1 and numbers.dtype.kind in "iu" and bool(np.all(numbers[1:] > numbers[:-1]))
    if not right or (numbers.size and not 0 <= int(numbers[0]) <= int(numbers[-1]) < n_dates):
        raise ConfigError(f"rows must be ascending numbers of the data's {n_dates} dates, not {shown(rows)}")
    return numbers.astype(np.int64)


def over_rows(work: Callable[[int, int], object], shape: tuple[int, ...], threads: int | None = None) -> None:
    """Call `work(start, stop)` on consecutive chunks of rows, on several threads when it pays.

    `work` writes only its own rows, so the result is the same at any thread count.
    """
    n_rows, n_columns = shape
    workers = thread_count(threads)
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

    Raises:
        DataError: other arrays than these. `SortedRows.of` makes them.
    """

    trusted: ClassVar[bool] = True  # nobody need look where its order leads

    values: FloatArray
    order: Any
    count: IntArray

    def __post_init__(self) -> None:
        for name, array in zip(
            ("values", "order", "count"), checked_order(self.values, self.order, self.count), strict=True
        ):
            object.__setattr__(self, name, array)

    @classmethod
    def made(cls, values: FloatArray, order: Any, count: IntArray) -> SortedRows:
        """Of arrays that are right by their making: nothing is looked at."""
        rows = object.__new__(cls)
        for name, array in (("values", values), ("order", order), ("count", count)):
            object.__setattr__(rows, name, array)
        return rows

    @classmethod
    def of(cls, values: Any, universe: Any = None, *, threads: int | None = None, name: str = "values") -> SortedRows:
        """Sort the rows of `values` (T, N) over the members of `universe`; infinite cells are missing."""
        from fama_fast.backends.numba_vm import stats

        array = matrix(values, name)
        mask = mask_matrix(universe, array.shape)
        order = np.empty(array.shape, dtype=np.int32)
        count = np.zeros(array.shape[0], dtype=np.int64)
        over_rows(lambda a, b: stats.sort_rows(array, mask, a, b, order, count), array.shape, threads)
        return cls.made(array, frozen(order), frozen(count))

    @functools.cached_property
    def tied(self) -> FloatArray:
        """(T,) 1 where two of a row's values are equal, else 0."""
        from fama_fast.backends.numba_vm.run_memory import SortedLabels

        return SortedLabels(self.values, self.order, self.count).tied

    def part(self, rows: slice) -> SortedRows:
        """Some consecutive rows, as views.

        Raises:
            ConfigError: not a slice, or one that leaves rows out.
        """
        rows = slice(*checked_rows(rows, len(self.values)))
        return SortedRows.made(self.values[rows], self.order[rows], self.count[rows])


def sorted_rows(values: Any, universe: Any = None, *, threads: int | None = None, name: str = "values") -> SortedRows:
    """`values` itself when it is sorted already (`universe` must then be None), else `SortedRows.of`."""
    if isinstance(values, SortedRows):
        if universe is not None:
            raise DataError(f"{name} are already sorted over their universe: give it when they are sorted")
        return values
    return SortedRows.of(values, universe, threads=threads, name=name)
