"""Compiled loops over dates behind `evaluation.spread`: the outer tenths of sorted values, and how they change.

Each function works on rows [start, stop) and writes only those, as those of `stats` do.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import as_doubles, as_unsigned
from fama_fast.backends.numba_vm.caching import njit_cached
from fama_fast.backends.numba_vm.kernels.legs import in_bottom, in_top, leg_words, mark, spread_of, traded_between


@njit_cached
def spread_rows(x, x_order, x_count, y, y_order, y_count, min_pairs, start, stop, legs, out):  # type: ignore[no-untyped-def]
    """The legs of each row over the cells in both orders, and the spread of y between them; NaN below min_pairs.

    x, y and their orders: as `stats.sort_rows` leaves them. legs: (T, 2, words) uint64 of zeros, filled with the top
    and the bottom leg. out: (T,).
    """
    n = x.shape[1]
    words = leg_words(n)
    columns = np.empty(n + 1, np.int64)
    inside = np.empty(n, np.bool_)
    for t in range(start, stop):
        inside[:] = False
        for k in range(y_count[t]):
            inside[y_order[t, k]] = True
        pairs = 0
        for k in range(x_count[t]):
            c = x_order[t, k]
            columns[pairs] = c
            pairs += 1 if inside[c] else 0
        out[t] = np.nan
        if pairs < min_pairs:
            continue
        top = as_unsigned(legs.ctypes.data + 16 * t * words)
        bottom = as_unsigned(legs.ctypes.data + 16 * t * words + 8 * words)
        first = 0
        while first < pairs:
            end = first + 1
            while end < pairs and x[t, columns[end]] == x[t, columns[first]]:
                end += 1
            if not in_bottom(first + end - pairs, pairs):
                break
            for k in range(first, end):
                mark(bottom, columns[k])
            first = end
        end = pairs
        while end > 0:
            first = end - 1
            while first > 0 and x[t, columns[first - 1]] == x[t, columns[end - 1]]:
                first -= 1
            if not in_top(first + end - pairs, pairs):
                break
            for k in range(first, end):
                mark(top, columns[k])
            end = first
        out[t] = spread_of(top, bottom, words, as_doubles(y.ctypes.data + 8 * t * n))


@njit_cached
def traded_rows(legs, span, start, stop, out):  # type: ignore[no-untyped-def]
    """out[t]: what is traded between the legs of row t - span and those of row t; NaN where that is not known.

    legs: (T, 2, words) uint64. out: (T,).
    """
    words = legs.shape[2]
    for t in range(start, stop):
        out[t] = np.nan
        if t >= span:
            now, then = legs.ctypes.data + 16 * t * words, legs.ctypes.data + 16 * (t - span) * words
            out[t] = traded_between(
                as_unsigned(now),
                as_unsigned(now + 8 * words),
                as_unsigned(then),
                as_unsigned(then + 8 * words),
                words,
            )
