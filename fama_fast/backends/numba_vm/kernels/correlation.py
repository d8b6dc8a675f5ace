"""Pearson's correlation of one date's pairs, for sinks and for `stats.correlation` alike: the same bits in both.

Sums run over eight lanes, pair i in lane i modulo 8, so that an addition need not wait for the one before.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import helper, inlined
from fama_fast.backends.numba_vm.kernels.far import scale_for
from fama_fast.backends.numba_vm.kernels.radix import lowest_and_highest
from fama_fast.backends.numba_vm.simd import LANES, load, splat, store

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


@inlined
def _total(lanes, vector):
    """Sum over the lanes, always in the same order."""
    store(lanes, 0, vector)
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))


@helper
def _moved(x, pairs, shift, scale, lanes):
    """Subtract and scale x[0..pairs) where it lies; returns the mean."""
    whole = pairs - pairs % LANES
    sums = splat(0.0)
    for i in range(0, whole, LANES):
        v = (load(x, i) - splat(shift)) * splat(scale)
        store(x, i, v)
        sums = sums + v
    total = _total(lanes, sums)
    for i in range(whole, pairs):
        x[i] = (x[i] - shift) * scale
        total += x[i]
    return total / pairs


@helper
def pearson(x, y, pairs, lanes):
    """Pearson's correlation of x[0..pairs) and y[0..pairs), which are finite; missing where one of them is constant.

    A side is constant when its maximum equals its minimum exactly. x and y are overwritten; lanes: eight doubles to
    write to.
    """
    x_low, x_high = lowest_and_highest(x, pairs, lanes)
    y_low, y_high = lowest_and_highest(y, pairs, lanes)
    if pairs == 0 or x_low == x_high or y_low == y_high:
        return np.nan
    x_shift, x_scale = shift_and_scale(x_low, x_high)
    y_shift, y_scale = shift_and_scale(y_low, y_high)
    x_mean = _moved(x, pairs, x_shift, x_scale, lanes)
    y_mean = _moved(y, pairs, y_shift, y_scale, lanes)
    whole = pairs - pairs % LANES
    xx_sums, yy_sums, xy_sums = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, whole, LANES):
        a, b = load(x, i) - splat(x_mean), load(y, i) - splat(y_mean)
        xx_sums, yy_sums, xy_sums = xx_sums + a * a, yy_sums + b * b, xy_sums + a * b
    xx, yy, xy = _total(lanes, xx_sums), _total(lanes, yy_sums), _total(lanes, xy_sums)
    for i in range(whole, pairs):
        da, db = x[i] - x_mean, y[i] - y_mean
        xx += da * da
        yy += db * db
        xy += da * db
    size = math.sqrt(xx) * math.sqrt(yy)
    return min(1.0, max(-1.0, xy / size)) if size > 0.0 else np.nan
