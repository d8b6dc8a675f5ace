"""Compiled loops behind `fama_fast.evaluation`: order of each row, and what follows from two orders.

One sort a row serves everything: ranks over any subset of the row (complete pairs, members, symbols present
on two days) come from walking the sorted indices and skipping what is not in the subset. Doubled, centred
ranks are whole numbers (2 r - n - 1), so their sums are exact, the result does not depend on the order of
summation, and "constant" means a sum of exactly zero.

Each function works on rows [start, stop) and writes only those, so callers may split the rows over threads at
will. It knows nothing of expressions, labels or splits.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.caching import njit_cached

# Mixing a uint64 with a Python integer makes numba fall back to float64, so every constant has its type.
_SIGN = np.uint64(0x8000000000000000)
_EXPONENT = np.uint64(0x7FF0000000000000)
_BYTE = np.uint64(0xFF)
_ZERO = np.uint64(0)


@njit_cached
def _radix_passes(first, last, keys, index, keys_next, index_next, m):  # type: ignore[no-untyped-def]
    """Stable passes over bytes first..last-1 of m keys; returns the four arrays, the sorted pair in front."""
    histogram = np.zeros((8, 256), np.int32)
    for k in range(m):
        key = keys[k]
        for d in range(first, last):
            histogram[d, np.int64((key >> np.uint64(8 * d)) & _BYTE)] += 1
    for d in range(first, last):
        shift = np.uint64(8 * d)
        if histogram[d, np.int64((keys[0] >> shift) & _BYTE)] == m:
            continue
        total = 0
        for v in range(256):
            c = histogram[d, v]
            histogram[d, v] = total
            total += c
        for k in range(m):
            key = keys[k]
            digit = np.int64((key >> shift) & _BYTE)
            place = histogram[d, digit]
            histogram[d, digit] = place + 1
            keys_next[place] = key
            index_next[place] = index[k]
        keys, keys_next = keys_next, keys
        index, index_next = index_next, index
    return keys, index, keys_next, index_next


@njit_cached
def sort_rows(bits, mask, start, stop, order, count):  # type: ignore[no-untyped-def]
    """Column indices of the finite (and masked-in) cells of each row by ascending value, ties by column.

    bits: (T, N) uint64, the float64 values' bit patterns. mask: (T, N) bool, or (0, 0) for all.
    order: (T, N) int32 out, first count[t] entries of a row are valid. count: (T,) int64 out.
    Least-significant-byte radix sort on order-preserving integer keys. The upper half of a key nearly always
    decides, so it is sorted alone; only a row that this leaves out of order gets the passes over all bytes.
    """
    n = bits.shape[1]
    masked = mask.shape[0] > 0
    keys = np.empty(n, np.uint64)
    keys_next = np.empty(n, np.uint64)
    index = np.empty(n, np.int32)
    index_next = np.empty(n, np.int32)
    for t in range(start, stop):
        m = 0
        for i in range(n):
            b = bits[t, i]
            if (b & _EXPONENT) == _EXPONENT or (masked and not mask[t, i]):
                continue
            # Minus zero equals zero; negative numbers order by the complement of their pattern.
            keys[m] = _SIGN if (b << np.uint64(1)) == _ZERO else (~b if (b & _SIGN) != _ZERO else b | _SIGN)
            index[m] = i
            m += 1
        count[t] = m
        if m == 0:
            continue
        keys, index, keys_next, index_next = _radix_passes(4, 8, keys, index, keys_next, index_next, m)
        inversions = 0
        for k in range(1, m):
            inversions += keys[k - 1] > keys[k]
        if inversions:
            keys, index, keys_next, index_next = _radix_passes(0, 8, keys, index, keys_next, index_next, m)
        for k in range(m):
            order[t, k] = index[k]


@njit_cached
def rank_correlation(x, x_order, x_count, y, y_order, y_count, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Spearman correlation of each row over the cells in both orders; NaN below min_pairs or constant."""
    n = x.shape[1]
    in_y = np.full(n, -1, np.int64)  # the last row in which a cell was in y's order
    in_both = np.full(n, -1, np.int64)
    columns = np.empty(n + 1, np.int32)
    ordered = np.empty(n + 1, np.float64)
    x_rank = np.empty(n, np.int64)
    for t in range(start, stop):
        for k in range(y_count[t]):
            in_y[y_order[t, k]] = t
        pairs = 0
        for k in range(x_count[t]):
            i = x_order[t, k]
            columns[pairs] = i
            ordered[pairs] = x[t, i]
            pairs += in_y[i] == t
        out[t] = np.nan
        if pairs < min_pairs:
            continue
        xx = 0
        k = 0
        while k < pairs:
            end = k + 1
            while end < pairs and ordered[end] == ordered[k]:
                end += 1
            rank = k + end - pairs
            for j in range(k, end):
                x_rank[columns[j]] = rank
                in_both[columns[j]] = t
            xx += rank * rank * (end - k)
            k = end
        found = 0
        for k in range(y_count[t]):
            i = y_order[t, k]
            columns[found] = i
            ordered[found] = y[t, i]
            found += in_both[i] == t
        xy = yy = 0
        k = 0
        while k < pairs:
            end = k + 1
            while end < pairs and ordered[end] == ordered[k]:
                end += 1
            rank = k + end - pairs
            for j in range(k, end):
                xy += rank * x_rank[columns[j]]
            yy += rank * rank * (end - k)
            k = end
        if xx > 0 and yy > 0:
            out[t] = xy / math.sqrt(np.float64(xx) * np.float64(yy))


@njit_cached
def _exponent_scale(largest):  # type: ignore[no-untyped-def]
    """A power of two that brings `largest` near 1: scaling by it is exact, and squares cannot overflow."""
    return math.ldexp(1.0, -min(max(math.frexp(largest)[1], -1000), 1000))


@njit_cached
def correlation(x, y, mask, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Pearson correlation of each row over complete (masked-in) pairs; NaN below min_pairs or constant."""
    n = x.shape[1]
    masked = mask.shape[0] > 0
    for t in range(start, stop):
        pairs = 0
        x_low, x_high, y_low, y_high = np.inf, -np.inf, np.inf, -np.inf
        for i in range(n):
            a, b = x[t, i], y[t, i]
            if (masked and not mask[t, i]) or not (math.isfinite(a) and math.isfinite(b)):
                continue
            pairs += 1
            x_low, x_high = min(x_low, a), max(x_high, a)
            y_low, y_high = min(y_low, b), max(y_high, b)
        out[t] = np.nan
        if pairs < min_pairs or pairs == 0 or x_low == x_high or y_low == y_high:
            continue
        x_scale = _exponent_scale(max(abs(x_low), abs(x_high)))
        y_scale = _exponent_scale(max(abs(y_low), abs(y_high)))
        x_sum = y_sum = 0.0
        for i in range(n):
            a, b = x[t, i], y[t, i]
            if (masked and not mask[t, i]) or not (math.isfinite(a) and math.isfinite(b)):
                continue
            x_sum += a * x_scale
            y_sum += b * y_scale
        x_mean, y_mean = x_sum / pairs, y_sum / pairs
        xx = yy = xy = 0.0
        for i in range(n):
            a, b = x[t, i], y[t, i]
            if (masked and not mask[t, i]) or not (math.isfinite(a) and math.isfinite(b)):
                continue
            da, db = a * x_scale - x_mean, b * y_scale - y_mean
            xx += da * da
            yy += db * db
            xy += da * db
        spread = math.sqrt(xx) * math.sqrt(yy)
        if spread > 0.0:
            out[t] = min(1.0, max(-1.0, xy / spread))


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
