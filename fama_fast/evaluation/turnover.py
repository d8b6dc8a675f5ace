"""Daily turnover and autocorrelation of a factor's ranks, and its coverage of the universe.

It knows arrays only: no panel, no expression, no split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import whole
from fama_fast.evaluation.ic import MIN_PAIRS, rank_ic
from fama_fast.evaluation.rows import mask_matrix, matrix, over_rows, sorted_rows

if TYPE_CHECKING:
    from fama_fast.types import FloatArray


def rank_turnover(values: Any, universe: Any = None, *, threads: int | None = None) -> FloatArray:
    """Daily turnover of ranks: mean |rank_t - rank_(t-1)| over the symbols that have a value on both days.

    Ranks are r/n in (0, 1] with average ties, among all members with a value that day. A random reshuffle
    every day gives about 1/3, a factor that never moves 0.

    Args:
        values: (T, N), or a `SortedRows` (then its universe is already in it).
        universe: (T, N) bool or None.

    Returns:
        (T,) float64; NaN on the first date and where no symbol has a value on both days.

    Source: defined here; it is portfolio turnover |w_t - w_(t-1)| (Grinold and Kahn, Active Portfolio
    Management, ch. 16) with ranks in place of weights, averaged instead of summed so that it does not grow
    with the universe.
    """
    from fama_fast.backends.numba_vm import stats

    rows = sorted_rows(values, universe, threads=threads)
    out = np.empty(rows.values.shape[0])
    over_rows(
        lambda a, b: stats.rank_change(rows.values, rows.order, rows.count, a, b, out),
        rows.values.shape,
        threads,
    )
    return out


def rank_autocorrelation(
    values: Any,
    universe: Any = None,
    *,
    lag: int = 1,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> FloatArray:
    """Daily rank autocorrelation: Spearman's correlation of the values of date t with those of date t - lag.

    Over symbols that are members with a value on both dates. (T,) float64; NaN for the first `lag` dates.

    Source: the factor rank autocorrelation of alphalens (Quantopian, 2016).
    """
    lag = whole(lag, "lag", 0)
    rows = sorted_rows(values, universe, threads=threads)
    n_dates = rows.values.shape[0]
    out = np.full(n_dates, np.nan)
    if lag < n_dates:
        today, before = rows.part(slice(lag, None)), rows.part(slice(None, n_dates - lag))
        out[lag:] = rank_ic(today, before, min_pairs=min_pairs, threads=threads)
    return out


def coverage(values: Any, universe: Any = None) -> FloatArray:
    """Daily coverage: the share of the universe's members that have a (finite) value.

    Args:
        values: (T, N). universe: (T, N) bool, for instance the panel's universe or where a symbol has a
            price; None counts every symbol.

    Returns:
        (T,) float64 in [0, 1]; NaN on dates without a member.
    """
    array = matrix(values)
    mask = mask_matrix(universe, array.shape)
    present = np.isfinite(array)
    if mask.size:
        return share(np.count_nonzero(present & mask, axis=1), np.count_nonzero(mask, axis=1))
    return share(np.count_nonzero(present, axis=1), np.full(array.shape[0], array.shape[1]))


def share(part: Any, whole: Any) -> FloatArray:
    """part / whole, NaN where the whole is zero."""
    whole = np.asarray(whole, dtype=np.float64)
    out: FloatArray = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return out
