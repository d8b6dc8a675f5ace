"""Pearson's correlation of one date's pairs, for sinks and for `stats.correlation` alike: the same bits in both.

Sums run over four lanes, pair i in lane i modulo 4, so that an addition need not wait for the one before.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import helper, inlined
from fama_fast.backends.numba_vm.kernels.far import scale_for

# A spread so far below the level would drown in the rounding of the mean: what differs is then taken from the lowest.
_NARROW = 2.0**-16


@inlined
def pick_pairs(row, label, columns, x, y):
    """Copy the columns where both are finite to x and y, in their order; returns how many."""
    pairs = 0
    for c in range(columns):
        a, b = row[c], label[c]
        x[pairs], y[pairs] = a, b
        # Always written, counted only where both are there: no branch to predict.
        pairs += 1 if a - a == 0.0 and b - b == 0.0 else 0
    return pairs


@helper
def shift_and_scale(low, high):
    """What to take from a row's values, and by which power of two to multiply the rest, so that no digit is lost."""
    largest = max(abs(low), abs(high))
    if high - low <= _NARROW * largest:
        return low, scale_for(high - low)
    return 0.0, scale_for(largest)


@helper
def pearson(x, y, pairs):
    """Pearson's correlation of x[0..pairs) and y[0..pairs), which are finite; missing where one of them is constant.

    A side is constant when its maximum equals its minimum exactly. x and y are overwritten.
    """
    x_low, x_high, y_low, y_high = np.inf, -np.inf, np.inf, -np.inf
    for i in range(pairs):
        a, b = x[i], y[i]
        x_low = a if a < x_low else x_low
        x_high = a if a > x_high else x_high
        y_low = b if b < y_low else y_low
        y_high = b if b > y_high else y_high
    if pairs == 0 or x_low == x_high or y_low == y_high:
        return np.nan
    x_shift, x_scale = shift_and_scale(x_low, x_high)
    y_shift, y_scale = shift_and_scale(y_low, y_high)
    for i in range(pairs):
        x[i], y[i] = (x[i] - x_shift) * x_scale, (y[i] - y_shift) * y_scale
    whole = pairs - pairs % 4
    x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = 0.0
    for i in range(0, whole, 4):
        x0 += x[i]
        x1 += x[i + 1]
        x2 += x[i + 2]
        x3 += x[i + 3]
        y0 += y[i]
        y1 += y[i + 1]
        y2 += y[i + 2]
        y3 += y[i + 3]
    for i in range(whole, pairs):
        x0 += x[i]
        y0 += y[i]
    x_mean, y_mean = ((x0 + x1) + (x2 + x3)) / pairs, ((y0 + y1) + (y2 + y3)) / pairs
    xx0 = xx1 = xx2 = xx3 = yy0 = yy1 = yy2 = yy3 = xy0 = xy1 = xy2 = xy3 = 0.0
    for i in range(0, whole, 4):
        a0, a1, a2, a3 = x[i] - x_mean, x[i + 1] - x_mean, x[i + 2] - x_mean, x[i + 3] - x_mean
        b0, b1, b2, b3 = y[i] - y_mean, y[i + 1] - y_mean, y[i + 2] - y_mean, y[i + 3] - y_mean
        xx0 += a0 * a0
        xx1 += a1 * a1
        xx2 += a2 * a2
        xx3 += a3 * a3
        yy0 += b0 * b0
        yy1 += b1 * b1
        yy2 += b2 * b2
        yy3 += b3 * b3
        xy0 += a0 * b0
        xy1 += a1 * b1
        xy2 += a2 * b2
        xy3 += a3 * b3
    for i in range(whole, pairs):
        a0, b0 = x[i] - x_mean, y[i] - y_mean
        xx0 += a0 * a0
        yy0 += b0 * b0
        xy0 += a0 * b0
    size = math.sqrt((xx0 + xx1) + (xx2 + xx3)) * math.sqrt((yy0 + yy1) + (yy2 + yy3))
    return min(1.0, max(-1.0, ((xy0 + xy1) + (xy2 + xy3)) / size)) if size > 0.0 else np.nan
