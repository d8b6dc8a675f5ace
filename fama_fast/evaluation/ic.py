"""The information coefficient of a factor, date by date.

It knows arrays only: no panel, no expression, no split.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.evaluation.rows import SortedRows, mask_matrix, matrix, over_rows, same_shape, sorted_rows

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

MIN_PAIRS = 3
MOST_PAIRS = 1_000_000_000


def rank_ic(
    values: Any,
    forward_returns: Any,
    *,
    universe: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> FloatArray:
    """Daily RankIC: Spearman's rank correlation (average ties) of values and forward returns across symbols.

    Only complete pairs of members count; the ranks are taken among them. Infinite numbers are missing.

    Args:
        values: (T, N) factor values, or a `SortedRows` of them.
        forward_returns: (T, N) labels, or a `SortedRows` of them (saves a sort when many factors share
            labels).
        universe: (T, N) bool, members only; None means every symbol.
        min_pairs: fewer complete pairs on a date make it NaN.
        threads: cores to use, all by default; the result is bit-identical at any number.

    Returns:
        (T,) float64 in [-1, 1]; NaN where there are too few pairs or either side is constant.

    Raises:
        DataError: shapes differ or are not two-dimensional.

    Source: Spearman (1904); as factor score: Grinold and Kahn, Active Portfolio Management, ch. 10 (IC).
    """
    from fama_fast.backends.numba_vm import stats

    fewest = max(2, whole(min_pairs, "min_pairs", 0, MOST_PAIRS))
    y = sorted_rows(forward_returns, threads=threads, name="forward returns")
    if not isinstance(values, SortedRows):
        array = matrix(values)
        mask = mask_matrix(universe, array.shape)
        same_shape(y.values, array.shape, "forward returns")
        out = np.empty(len(array))
        over_rows(
            lambda a, b: stats.rank_ic_rows(array, mask, y.values, y.order, y.count, y.tied, fewest, a, b, out),
            array.shape,
            threads,
        )
        return out
    x = sorted_rows(values, universe)  # raises where a universe is given: it belongs to the sorting
    same_shape(y.values, x.values.shape, "forward returns")
    out = np.empty(len(x.values))
    over_rows(
        lambda a, b: stats.rank_correlation(x.values, x.order, x.count, y.values, y.order, y.count, fewest, a, b, out),
        x.values.shape,
        threads,
    )
    return out


def ic(
    values: Any,
    forward_returns: Any,
    *,
    universe: Any = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> FloatArray:
    """Daily IC: Pearson's correlation of values and forward returns across symbols.

    Arguments, result and errors as for `rank_ic`, but both are plain arrays. A side is constant when its
    maximum equals its minimum exactly.

    Source: Grinold and Kahn, Active Portfolio Management, ch. 10.
    """
    from fama_fast.backends.numba_vm import stats

    fewest = max(2, whole(min_pairs, "min_pairs", 0, MOST_PAIRS))
    x, y = matrix(values), matrix(forward_returns, "forward returns")
    same_shape(y, x.shape, "forward returns")
    mask = mask_matrix(universe, x.shape)
    out = np.empty(x.shape[0])
    over_rows(
        lambda a, b: stats.correlation(x, y, mask, fewest, a, b, out),
        x.shape,
        threads,
    )
    return out


def coverage_adjusted(rank_ic: float, scored_coverage: float) -> float:
    """RankIC over the whole universe of a factor that has values for a share of it only, the others in the middle.

    A forecast earns in proportion to its IC times the square root of its breadth (Grinold 1989). By RankIC alone
    `RET^0.1 * VOLUME`, which half of the symbols have no value of, takes the place of volume over everyone.
    """
    return rank_ic * math.sqrt(scored_coverage)
