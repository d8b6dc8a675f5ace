"""Rolling extremes, their ages, ranks and quantiles.

Extremes run on half-blocks (see `blocks`). The rank of today counts the window's values below it, eight symbols at
once. Quantiles keep each symbol's window sorted: one removal and one insertion a day.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, first_block
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store, tallied, tally


@inlined
def _extreme(slots, dims, params, side, age):
    """Maximum (side 1) or minimum (side -1) of the window, or the days since it (latest on ties)."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    strict = least >= d
    suffix = as_doubles(dims[SCRATCH])
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    lowest = splat(-np.inf)
    block = first_block(dims, d)
    while block < rows:
        best, where, count = lowest, zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES) * side
            count = count + select(missing(v), zero, one)
            better = v > best
            best = select(better, v, best)
            at = (t - block + d) * 3 * LANES
            store(suffix, at, best)
            if age:
                where = select(better, splat(float(t)), where)
                store(suffix, at + LANES, where)
            store(suffix, at + 2 * LANES, count)
        best, where, count = lowest, zero, zero
        for t in range(clip_low(block), min(block + d, rows)):
            v = load(x, t * LANES) * side
            count = count + select(missing(v), zero, one)
            better = v >= best
            best = select(better, v, best)
            if age:
                where = select(better, splat(float(t)), where)
            first = t - d + 1
            value, place, n = best, where, count
            if first < block and block > 0:
                at = (clip_low(first) - block + d) * 3 * LANES
                older = load(suffix, at)
                n = n + load(suffix, at + 2 * LANES)
                if age:
                    place = select(older > value, load(suffix, at + LANES), place)
                value = select(older > value, older, value)
            if strict and first < 0:
                store(out, t * LANES, nothing)
            elif age:
                store(out, t * LANES, select(n >= least, splat(float(t)) - place, nothing))
            else:
                store(out, t * LANES, select(n >= least, value * side, nothing))
        block += d


def max_(slots, dims, params):
    _extreme(slots, dims, params, 1.0, False)


def min_(slots, dims, params):
    _extreme(slots, dims, params, -1.0, False)


def argmax(slots, dims, params):
    _extreme(slots, dims, params, 1.0, True)


def argmin(slots, dims, params):
    _extreme(slots, dims, params, -1.0, True)


def rank(slots, dims, params):
    """Average rank of today among the window's present values, divided by their number.

    Twice the rank is the number of values below today's plus that of values not above it, plus 1: two comparisons a day
    of the window, counted in whole numbers.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    zero, nothing = splat(0.0), splat(np.nan)
    strict = least >= d
    run = zero  # present days up to today without a gap
    for t in range(rows):
        today = load(x, t * LANES)
        begin = clip_low(t - d + 1)
        below, upto, present = zero, zero, zero
        if strict:
            run = select(missing(today), zero, run + 1.0)
            if t < d - 1:
                store(out, t * LANES, nothing)
                continue
            for k in range(begin, t + 1):
                v = load(x, k * LANES)
                below = tally(below, v < today)
                upto = tally(upto, v <= today)
            twice = tallied(below) + tallied(upto) + 1.0
            store(out, t * LANES, select(run >= d, twice * 0.5 / float(d), nothing))
        else:
            for k in range(begin, t + 1):
                v = load(x, k * LANES)
                below = tally(below, v < today)
                upto = tally(upto, v <= today)
                present = tally(present, v == v)
            count = tallied(present)
            twice = tallied(below) + tallied(upto) + 1.0
            good = (count >= least) & (today == today)
            store(out, t * LANES, select(good, twice * 0.5 / count, nothing))


@inlined
def _position(window, n, value):
    """First index in the sorted window whose value is not below `value`."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


def quantile(slots, dims, params):
    """Quantile q of the window's present values, linear between order statistics (type 7, NumPy's default)."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, q, least = dims[ROWS], int(params[0]), params[1], params[2]
    window = as_doubles(dims[SCRATCH])
    for lane in range(LANES):
        n = 0
        for t in range(rows):
            new = x[t * LANES + lane]
            old = x[(t - d) * LANES + lane] if t >= d else np.nan
            if old == old and new == new:
                # One value takes the other's place: only what lies between the two moves.
                k = _position(window, n, old)
                if new > old:
                    while k + 1 < n and window[k + 1] < new:
                        window[k] = window[k + 1]
                        k += 1
                else:
                    while k > 0 and window[k - 1] > new:
                        window[k] = window[k - 1]
                        k -= 1
                window[k] = new
            elif old == old:
                n -= 1
                for k in range(_position(window, n + 1, old), n):
                    window[k] = window[k + 1]
            elif new == new:
                at = _position(window, n, new)
                for k in range(n, at, -1):
                    window[k] = window[k - 1]
                window[at] = new
                n += 1
            value = np.nan
            if n >= least and n > 0 and (t >= d - 1 or least < d):
                place = q * (n - 1)
                low = int(place)
                share = place - low
                value = window[low]
                if share > 0.0 and low + 1 < n:
                    gap = window[low + 1] - value
                    value = value + gap * share
                    value = value if value - value == 0.0 else np.nan
            out[t * LANES + lane] = value
