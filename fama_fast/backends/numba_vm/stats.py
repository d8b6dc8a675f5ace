"""Compiled loops behind `fama_fast.evaluation`: order of each row, and what follows from two orders.

One sort a row serves everything: ranks over any subset of the row (complete pairs, members, symbols present
on two days) come from walking the sorted indices and skipping what is not in the subset. Doubled, centred
ranks are whole numbers (2 r - n - 1), so their sums are exact, the result does not depend on the order of
summation, and "constant" means a sum of exactly zero.

Each function works on rows [start, stop) and writes only those, so callers may split the rows over threads at
will. It knows nothing of expressions, labels or splits.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from fama_fast.backends.numba_vm.abi import as_doubles, as_small, as_unsigned
from fama_fast.backends.numba_vm.caching import njit_cached
from fama_fast.backends.numba_vm.kernels.correlation import pearson, pick_pairs
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size
from fama_fast.backends.numba_vm.kernels.sinks import rank_ic_row, rank_ic_scratch


@njit_cached
def sort_rows(x, mask, start, stop, order, count):  # type: ignore[no-untyped-def]
    """Column indices of the finite (and masked-in) cells of each row by ascending value, ties by column.

    x: (T, N) float64. mask: (T, N) bool, or (0, 0) for all. order: (T, N) int32 out, first count[t] entries of a row
    are valid. count: (T,) int64 out. The sort is the engine's (`kernels.radix.order_row`).
    """
    n = x.shape[1]
    masked = mask.shape[0] > 0
    scratch = np.empty(scratch_size(n))
    row = np.empty(n)
    for t in range(start, stop):
        for i in range(n):
            v = x[t, i]
            row[i] = v if v - v == 0.0 else np.nan
        if masked:
            for i in range(n):
                if not mask[t, i]:
                    row[i] = np.nan
        m, order_at, low = order_row(as_doubles(row.ctypes.data), n, scratch.ctypes.data)
        entries = as_unsigned(order_at)
        for k in range(m):
            order[t, k] = np.int32(entries[k] & low)
        count[t] = m


@njit_cached
def find_ties(values, order, count, out):  # type: ignore[no-untyped-def]
    """out[t]: 1.0 where two of row t's values in its order are equal, else left as it is.

    values: (T, N) float64. order: (T, N) int32, the first count[t] of row t are valid. out: (T,) float64.
    """
    n = values.shape[1]
    for t in range(values.shape[0]):
        row, columns = as_doubles(values.ctypes.data + 8 * t * n), as_small(order.ctypes.data + 4 * t * n)
        equal = 0
        for k in range(1, count[t]):
            equal |= 1 if row[columns[k]] == row[columns[k - 1]] else 0
        if equal:
            out[t] = 1.0


@njit_cached
def rank_ic_rows(x, mask, y, y_order, y_count, y_tied, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Spearman correlation of each row of unsorted x with a sorted y, as `rank_correlation` has it to the bit.

    x: (T, N) float64. mask: (T, N) bool, or (0, 0) for all. y, y_order, y_count: as `sort_rows` leaves them. y_tied:
    (T,) from `find_ties`. A factor met once is cheaper this way than sorted first: its order is not kept.
    """
    n = x.shape[1]
    masked = mask.shape[0] > 0
    scratch = np.empty(rank_ic_scratch(n))
    row = np.empty(n)
    inside = np.empty(n, np.bool_)
    for t in range(start, stop):
        known = 0
        for i in range(n):
            v = x[t, i]
            row[i] = v if v - v == 0.0 else np.nan
            known += 1 if y[t, i] - y[t, i] == 0.0 else 0
        if masked:
            for i in range(n):
                if not mask[t, i]:
                    row[i] = np.nan
        if known != y_count[t]:  # y was sorted over a universe of its own
            inside[:] = False
            for k in range(y_count[t]):
                inside[y_order[t, k]] = True
            for i in range(n):
                if not inside[i]:
                    row[i] = np.nan
        out[t], _ = rank_ic_row(
            as_doubles(row.ctypes.data),
            n,
            as_doubles(y.ctypes.data + 8 * t * n),
            as_small(y_order.ctypes.data + 4 * t * n),
            y_count[t],
            y_tied[t] != 0.0,
            min_pairs,
            scratch.ctypes.data,
        )


@njit_cached
def rank_correlation(x, x_order, x_count, y, y_order, y_count, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Spearman correlation of each row over the cells in both orders; NaN below min_pairs or constant.

    Rows are read through pointers: checks of negative indices would double the cost of these gathers. Sums of doubled
    ranks are whole numbers below 2^53 up to 300,000 symbols, so that they are exact as float64.
    """
    n = x.shape[1]
    columns_of = np.empty(n + 1, np.int32)
    rank_of = np.empty(n + 1, np.float64)
    for t in range(start, stop):
        # Taken anew for each row: numba frees an array after its last use, and a pointer is no use of it.
        columns, x_rank = as_small(columns_of.ctypes.data), as_doubles(rank_of.ctypes.data)
        x_row, y_row = as_doubles(x.ctypes.data + 8 * t * n), as_doubles(y.ctypes.data + 8 * t * n)
        x_columns, y_columns = as_small(x_order.ctypes.data + 4 * t * n), as_small(y_order.ctypes.data + 4 * t * n)
        n_x, n_y = x_count[t], y_count[t]
        # Missing: not in y; infinite: in y alone.
        for c in range(n):
            x_rank[c] = np.nan
        for k in range(n_y):
            x_rank[y_columns[k]] = np.inf
        pairs = 0
        for k in range(n_x):
            c = x_columns[k]
            columns[pairs] = c
            pairs += 1 if x_rank[c] == np.inf else 0
        out[t] = np.nan
        if pairs < min_pairs:
            continue
        xx = 0.0
        k = 0
        while k < pairs:
            value = x_row[columns[k]]
            end = k + 1
            while end < pairs and x_row[columns[end]] == value:
                end += 1
            rank = float(k + end - pairs)
            for j in range(k, end):
                x_rank[columns[j]] = rank
            xx += rank * rank * (end - k)
            k = end
        found = 0
        for k in range(n_y):
            c = y_columns[k]
            columns[found] = c
            found += 1 if x_rank[c] < np.inf else 0
        xy, yy = 0.0, 0.0
        k = 0
        while k < pairs:
            value = y_row[columns[k]]
            total = x_rank[columns[k]]
            end = k + 1
            while end < pairs and y_row[columns[end]] == value:
                total += x_rank[columns[end]]
                end += 1
            rank = float(k + end - pairs)
            xy += rank * total
            yy += rank * rank * (end - k)
            k = end
        if xx > 0.0 and yy > 0.0:
            out[t] = xy / math.sqrt(xx * yy)


@njit_cached
def correlation(x, y, mask, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Pearson correlation of each row over complete (masked-in) pairs; NaN below min_pairs or constant."""
    n = x.shape[1]
    masked = mask.shape[0] > 0
    row, some_x, some_y = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1 + 8)
    for t in range(start, stop):
        for i in range(n):
            row[i] = x[t, i] if not masked or mask[t, i] else np.nan
        # Taken anew for each row: numba frees an array after its last use, and a pointer is no use of it.
        own, other = as_doubles(some_x.ctypes.data), as_doubles(some_y.ctypes.data)
        pairs = pick_pairs(as_doubles(row.ctypes.data), as_doubles(y.ctypes.data + 8 * t * n), n, own, other)
        lanes = as_doubles(some_y.ctypes.data + 8 * (n + 1))
        out[t] = pearson(own, other, pairs, lanes) if pairs >= min_pairs else np.nan


@njit_cached
def rank_change(values, order, count, start, stop, out):  # type: ignore[no-untyped-def]
    """Mean |r_t / n_t - r_{t-1} / n_{t-1}| over the cells in the orders of both days; NaN where none is."""
    n = values.shape[1]
    today = np.full(n, np.nan)
    before = np.full(n, np.nan)
    for t in range(max(0, start - 1), stop):
        m = count[t]
        today[:] = np.nan
        k = 0
        while k < m:
            end = k + 1
            while end < m and values[t, order[t, end]] == values[t, order[t, k]]:
                end += 1
            rank = (k + end + 1) / (2.0 * m)
            for j in range(k, end):
                today[order[t, j]] = rank
            k = end
        if t >= start:
            total, both = 0.0, 0
            for i in range(n):
                change = abs(today[i] - before[i])
                if change == change:  # noqa: PLR0124  (NaN: absent on one of the days)
                    total += change
                    both += 1
            out[t] = total / both if both else np.nan
        before, today = today, before


@njit_cached
def centre_ranks(shares, sign, start, stop, out):  # type: ignore[no-untyped-def]
    """sign (r - (n + 1) / 2) / n of the n finite cells of each row, from r / n; NaN where missing.

    shares: (T, N) float64. sign: 1 or -1. out: (T, N) float32.
    """
    columns = shares.shape[1]
    for t in range(start, stop):
        count = 0
        for c in range(columns):
            v = shares[t, c]
            count += 1 if v - v == 0.0 else 0
        middle = 0.5 + 0.5 / max(count, 1)
        for c in range(columns):
            out[t, c] = np.float32(sign * (shares[t, c] - middle))


@njit_cached
def double_ranks(ranks, known, start, stop, whole, scales):  # type: ignore[no-untyped-def]
    """2 n times centred ranks, which is whole, of each row's n finite cells; 0 where missing or not known.

    ranks: (T, N) float32. known: (T, N) bool, or (0, 0) for all. whole: (T, N) int16 or int32 out.
    scales: (T,) out, 1 / (2 n).
    """
    columns = ranks.shape[1]
    masked = known.shape[0] > 0
    for t in range(start, stop):
        count = 0
        for c in range(columns):
            r = ranks[t, c]
            count += 1 if r - r == 0.0 else 0
        doubled = 2.0 * max(count, 1)
        scales[t] = 1.0 / doubled
        factor = np.float32(doubled)
        for c in range(columns):
            r = ranks[t, c]
            whole[t, c] = np.rint(r * factor) if r - r == 0.0 and (not masked or known[t, c]) else np.float32(0.0)


@njit_cached
def _short_product(a, b):  # type: ignore[no-untyped-def]
    # In 32 bits all the way and from the first cell on (a start would be checked for negative numbers at every cell),
    # so that the compiler makes vectors of them (docs/decisions/008-small-choices-of-speed.md).
    part = np.int32(0)
    for c in range(a.shape[0]):
        part = np.int32(part + np.int32(a[c]) * np.int32(b[c]))
    return np.int64(part)


@njit_cached
def _wide_product(a, b):  # type: ignore[no-untyped-def]
    total = 0
    for c in range(a.shape[0]):
        total += np.int64(a[c]) * np.int64(b[c])
    return total


@njit_cached
def rank_products(own, own_scales, other, other_scales, stretch, sums):  # type: ignore[no-untyped-def]
    """Add, date by date, the products of some factors' whole ranks with another's to the sums of the date's stretch.

    own: (M, T, N) int16 or int32 of whole ranks, 0 where missing. own_scales: (M, T). other: (T, N) of the same type.
    other_scales: (T,). stretch: (T,) int64, the column of `sums` that a date belongs to, or -1. sums: (M, stretches).
    A date's sum of whole numbers below N is exact in any order.
    """
    m, dates, n = own.shape
    short = (2**31 - 1) // (n * n)  # products whose sum fits 32 bits; none with more than 46,340 symbols
    for t in range(dates):
        at = stretch[t]
        if at < 0:
            continue
        b = other[t]
        for i in range(m):
            a = own[i, t]
            total = 0
            if short == 0:
                total = _wide_product(a, b)
            else:
                for start in range(0, n, short):
                    total += _short_product(a[start : start + short], b[start : start + short])
            sums[i, at] += float(total) * (own_scales[i, t] * other_scales[t])


@njit_cached
def label_products(own, own_scales, label, stretch, sums):  # type: ignore[no-untyped-def]
    """Add, date by date, the products of some factors' ranks with a label to the sums of the date's stretch.

    own, own_scales, stretch, sums: as `rank_products` has them. label: (T, N) float64, 0 where missing. A date is added
    up in the order of the symbols, so that cuts between dates change no bit.
    """
    m, dates, n = own.shape
    for t in range(dates):
        at = stretch[t]
        if at < 0:
            continue
        y = label[t]
        for i in range(m):
            a = own[i, t]
            total = 0.0
            for c in range(n):
                total += float(a[c]) * y[c]
            sums[i, at] += total * own_scales[i, t]


@njit_cached
def blend_rows(ranks, weights, start, stop, total, mean, count):  # type: ignore[no-untyped-def]
    """Add a factor's present ranks to two forecasts: times its weight of the date to `total`, as they are to `mean`.

    ranks: (T, N) float32, missing NaN. weights: (T,). total, mean: (T, N) float64. count: (T, N), of factors present.
    """
    n = ranks.shape[1]
    for t in range(start, stop):
        weight = weights[t]
        for c in range(n):
            r = float(ranks[t, c])
            there = r == r  # noqa: PLR0124  (NaN: missing)
            total[t, c] += weight * r if there else 0.0
            mean[t, c] += r if there else 0.0
            count[t, c] += 1.0 if there else 0.0


@functools.partial(njit_cached, fastmath=frozenset({"reassoc", "contract", "nsz"}))
def inner_products(rows, other, out):  # type: ignore[no-untyped-def]
    """Inner product of each of the rows (M, D) with another (D,), all float32, added in float64.

    Sums may be split over lanes, the same way for every pair: a pair has its bits whatever else is in the call.
    """
    for i in range(rows.shape[0]):
        total = 0.0
        for c in range(other.shape[0]):
            total += float(rows[i, c]) * float(other[c])
        out[i] = total
