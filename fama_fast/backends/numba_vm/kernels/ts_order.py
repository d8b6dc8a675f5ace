"""Rolling extremes, their ages, ranks and quantiles.

Extremes run on half-blocks (see `blocks`). The rank of today counts the window's values below it, eight symbols at
once. Quantiles keep each symbol's window sorted: one removal and one insertion a day, which rewrite a window of up to
`SHORT` days whole (`_swap`); longer ones are searched.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, first_block
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store, tallied, tally

SHORT = 128


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


@inlined
def _swap(window, size, old, new):
    """One value for another in a sorted window that ends in infinities, which stand for "no value".

    All of it is rewritten, eight values at a time: between the two each takes its neighbour's place, elsewhere it keeps
    its own. There is no search, whose jumps no processor foresees. window[-1] is below all values; what is read behind
    `size` is infinite.
    """
    gone, come = splat(old), splat(new)
    if new > old:
        for k in range(0, size, LANES):
            here, after = load(window, k), load(window, k + 1)
            nearer = select(after < come, after, come)
            store(window, k, select((here < gone) | (here > nearer), here, nearer))
    else:
        for k in range((size - 1) // LANES * LANES, -1, -LANES):
            here, before = load(window, k), load(window, k - 1)
            nearer = select(before > come, before, come)
            store(window, k, select((here > gone) | (here < nearer), here, nearer))


@inlined
def _replace(window, n, old, new):
    """The same where the window is long: only what lies between the two values moves. Returns how many there are."""
    if old < np.inf and new < np.inf:
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
    elif old < np.inf:
        n -= 1
        for k in range(_position(window, n + 1, old), n):
            window[k] = window[k + 1]
    elif new < np.inf:
        at = _position(window, n, new)
        for k in range(n, at, -1):
            window[k] = window[k - 1]
        window[at] = new
        n += 1
    return n


def quantile(slots, dims, params):
    """Quantile q of the window's present values, linear between order statistics (type 7, NumPy's default)."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, q, least = dims[ROWS], int(params[0]), params[1], params[2]
    window = as_doubles(dims[SCRATCH] + 8 * LANES)
    short = d <= SHORT
    for lane in range(LANES):
        n = 0
        window[-1] = -np.inf
        for k in range(d + 2 * LANES):
            window[k] = np.inf
        for t in range(rows):
            # Minus zero is zero: which of two equal values a window keeps must not show.
            new = x[t * LANES + lane] + 0.0
            old = x[(t - d) * LANES + lane] + 0.0 if t >= d else np.nan
            new = new if new == new else np.inf
            old = old if old == old else np.inf
            if short:
                if old != new:
                    _swap(window, d, old, new)
                n += (1 if new < np.inf else 0) - (1 if old < np.inf else 0)
            else:
                n = _replace(window, n, old, new)
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
