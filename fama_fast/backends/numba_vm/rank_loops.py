"""Compiled loops over ranks: within groups of a date, and their mean where values are equal.

They walk the order that `stats.sort_rows` left. Each works on rows [start, stop) and writes only those.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.caching import njit_cached


@njit_cached
def _doubled_ranks_by_group(values, order, count, t, wanted, group, sizes, starts, place, columns, rank):  # type: ignore[no-untyped-def]
    """rank[i] = 2 r - n - 1 of each wanted cell of row t among those of its group, tied ones their mean.

    wanted: (N,) int64, t where a cell counts. group: (N,) int64. sizes: (G,) cells a group. The rest is room.
    """
    total = 0
    for g in range(sizes.shape[0]):
        starts[g] = place[g] = total
        total += sizes[g]
    for k in range(count[t]):
        i = order[t, k]
        if wanted[i] == t:
            columns[place[group[i]]] = i
            place[group[i]] += 1
    for g in range(sizes.shape[0]):
        n, first = sizes[g], starts[g]
        k = 0
        while k < n:
            end = k + 1
            while end < n and values[t, columns[first + end]] == values[t, columns[first + k]]:
                end += 1
            for j in range(k, end):
                rank[columns[first + j]] = k + end - n
            k = end


@njit_cached
def rank_correlation_by_group(x, x_order, x_count, y, y_order, y_count, codes, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Spearman correlation of each row within each group over the cells in both orders; out: (T, G) float64.

    NaN below min_pairs or constant. Ranks are whole numbers, as in `stats.rank_correlation`, so sums are exact.
    """
    n, n_groups = x.shape[1], out.shape[1]
    in_y = np.full(n, -1, np.int64)
    both = np.full(n, -1, np.int64)
    group = np.zeros(n, np.int64)
    columns = np.empty(n, np.int64)
    x_rank = np.empty(n, np.int64)
    y_rank = np.empty(n, np.int64)
    sizes = np.zeros(n_groups, np.int64)
    starts = np.zeros(n_groups, np.int64)
    place = np.zeros(n_groups, np.int64)
    xx = np.zeros(n_groups, np.int64)
    yy = np.zeros(n_groups, np.int64)
    xy = np.zeros(n_groups, np.int64)
    for t in range(start, stop):
        sizes[:] = 0
        xx[:] = 0
        yy[:] = 0
        xy[:] = 0
        for k in range(y_count[t]):
            in_y[y_order[t, k]] = t
        for k in range(x_count[t]):
            i = x_order[t, k]
            if in_y[i] == t and math.isfinite(codes[t, i]):
                both[i] = t
                group[i] = np.int64(codes[t, i])
                sizes[group[i]] += 1
        _doubled_ranks_by_group(x, x_order, x_count, t, both, group, sizes, starts, place, columns, x_rank)
        _doubled_ranks_by_group(y, y_order, y_count, t, both, group, sizes, starts, place, columns, y_rank)
        for k in range(x_count[t]):
            i = x_order[t, k]
            if both[i] == t:
                g = group[i]
                xx[g] += x_rank[i] * x_rank[i]
                yy[g] += y_rank[i] * y_rank[i]
                xy[g] += x_rank[i] * y_rank[i]
        for g in range(n_groups):
            out[t, g] = np.nan
            if sizes[g] >= min_pairs and xx[g] > 0 and yy[g] > 0:
                out[t, g] = xy[g] / math.sqrt(np.float64(xx[g]) * np.float64(yy[g]))


@njit_cached
def average_ranks(values, order, count, start, stop, out):  # type: ignore[no-untyped-def]
    """Ranks r/n in (0, 1] of each row's ordered cells, tied ones their mean. out: (T, N) float64, NaN elsewhere."""
    for t in range(start, stop):
        out[t, :] = np.nan
        m = count[t]
        k = 0
        while k < m:
            end = k + 1
            while end < m and values[t, order[t, end]] == values[t, order[t, k]]:
                end += 1
            rank = (k + end + 1) / (2.0 * m)
            for j in range(k, end):
                out[t, order[t, j]] = rank
            k = end
