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
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_njit: Callable[[Any], Any] = numba.njit(cache=True, nogil=True, error_model="numpy")

# Mixing a uint64 with a Python integer makes numba fall back to float64, so every constant has its type.
_SIGN = np.uint64(0x8000000000000000)
_EXPONENT = np.uint64(0x7FF0000000000000)
_BYTE = np.uint64(0xFF)
_ZERO = np.uint64(0)


@_njit
def sort_rows(bits, mask, start, stop, order, count):  # type: ignore[no-untyped-def]
    """Column indices of the finite (and masked-in) cells of each row by ascending value, ties by column.

    bits: (T, N) uint64, the float64 values' bit patterns. mask: (T, N) bool, or (0, 0) for all.
    order: (T, N) int32 out, first count[t] entries of a row are valid. count: (T,) int64 out.
    Least-significant-byte radix sort on order-preserving integer keys; bytes that all keys share are skipped.
    """
    n = bits.shape[1]
    masked = mask.shape[0] > 0
    keys = np.empty(n, np.uint64)
    keys_next = np.empty(n, np.uint64)
    index = np.empty(n, np.int32)
    index_next = np.empty(n, np.int32)
    histogram = np.empty((8, 256), np.int32)
    for t in range(start, stop):
        m = 0
        histogram[:] = 0
        for i in range(n):
            b = bits[t, i]
            if (b & _EXPONENT) == _EXPONENT or (masked and not mask[t, i]):
                continue
            # Minus zero equals zero; negative numbers order by the complement of their pattern.
            key = _SIGN if (b << np.uint64(1)) == _ZERO else (~b if (b & _SIGN) != _ZERO else b | _SIGN)
            keys[m] = key
            index[m] = i
            m += 1
            for d in range(8):
                histogram[d, np.int64((key >> np.uint64(8 * d)) & _BYTE)] += 1
        count[t] = m
        if m == 0:
            continue
        for d in range(8):
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
        for k in range(m):
            order[t, k] = index[k]


@_njit
def _centred_ranks(row, order, count, chosen, n, out):  # type: ignore[no-untyped-def]
    """Doubled centred average ranks of the chosen cells of a row into `out`; returns their sum of squares."""
    seen = 0
    squares = 0
    k = 0
    while k < count:
        value = row[order[k]]
        end = k
        size = 0
        while end < count and row[order[end]] == value:
            size += chosen[order[end]]
            end += 1
        rank = 2 * seen + size - n
        for j in range(k, end):
            if chosen[order[j]]:
                out[order[j]] = rank
        squares += rank * rank * size
        seen += size
        k = end
    return squares


@_njit
def rank_correlation(x, x_order, x_count, y, y_order, y_count, min_pairs, start, stop, out):  # type: ignore[no-untyped-def]
    """Spearman correlation of each row over the cells in both orders; NaN below min_pairs or constant."""
    n = x.shape[1]
    chosen = np.zeros(n, np.int64)
    ranks_x = np.empty(n, np.int64)
    ranks_y = np.empty(n, np.int64)
    for t in range(start, stop):
        chosen[:] = 0
        for k in range(x_count[t]):
            chosen[x_order[t, k]] = 1
        pairs = 0
        for k in range(y_count[t]):
            i = y_order[t, k]
            chosen[i] += 1
            pairs += chosen[i] == 2
        for i in range(n):
            chosen[i] = 1 if chosen[i] == 2 else 0
        out[t] = np.nan
        if pairs < min_pairs:
            continue
        xx = _centred_ranks(x[t], x_order[t], x_count[t], chosen, pairs, ranks_x)
        yy = _centred_ranks(y[t], y_order[t], y_count[t], chosen, pairs, ranks_y)
        if xx == 0 or yy == 0:
            continue
        xy = 0
        for i in range(n):
            if chosen[i]:
                xy += ranks_x[i] * ranks_y[i]
        out[t] = xy / math.sqrt(np.float64(xx) * np.float64(yy))


@_njit
def _exponent_scale(largest):  # type: ignore[no-untyped-def]
    """A power of two that brings `largest` near 1: scaling by it is exact, and squares cannot overflow."""
    return math.ldexp(1.0, -min(max(math.frexp(largest)[1], -1000), 1000))


@_njit
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


@_njit
def rank_change(values, order, count, start, stop, out):  # type: ignore[no-untyped-def]
    """Mean |r_t / n_t - r_{t-1} / n_{t-1}| over the cells in the orders of both days; NaN where none is."""
    n = values.shape[1]
    everyone = np.ones(n, np.int64)
    doubled = np.empty(n, np.int64)
    today = np.empty(n, np.float64)
    before = np.full(n, np.nan)
    for t in range(max(0, start - 1), stop):
        m = count[t]
        _centred_ranks(values[t], order[t], m, everyone, m, doubled)
        today[:] = np.nan
        for k in range(m):
            i = order[t, k]
            today[i] = (doubled[i] + m + 1) / (2.0 * m)
        if t >= start:
            total, both = 0.0, 0
            for i in range(n):
                change = abs(today[i] - before[i])
                if change == change:  # noqa: PLR0124  (NaN: absent on one of the days)
                    total += change
                    both += 1
            out[t] = total / both if both else np.nan
        before, today = today, before
