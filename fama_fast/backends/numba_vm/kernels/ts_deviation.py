"""Deviations from a window's mean, and the entropy of a window.

Distances from the mean are taken from each half-block's first present value, so a large level costs no digit.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, as_integers, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, select, splat, store

_LARGE = 2.0**900  # times the number of bars it is still a number


@inlined
def _add(v, base, total, count):
    """One more day of a half: the sum of distances from its first present value, and their number."""
    gone = missing(v)
    base = select(gone, base, select(count == 0.0, v, base))
    total = select(gone, total, total + (v - base))
    return base, total, count + select(gone, splat(0.0), splat(1.0))


def av_diff(slots, dims, params):
    """Today minus the mean of the window's present days."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    suffix = as_doubles(dims[SCRATCH])
    zero, nothing = splat(0.0), splat(np.nan)
    block = first_block(dims, d)
    while block < rows:
        older, total, count = zero, zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            older, total, count = _add(load(x, t * LANES), older, total, count)
            at = (t - block + d) * 2 * LANES
            store(suffix, at, total)
            store(suffix, at + LANES, count)
        base, total, count = zero, zero, zero
        for t in range(clip_low(block), min(block + d, rows)):
            today = load(x, t * LANES)
            base, total, count = _add(today, base, total, count)
            first = t - d + 1
            if first < 0 and least >= d:
                store(out, t * LANES, nothing)
                continue
            first = clip_low(first)
            s, n = total, count
            if first < block:
                at = (first - block + d) * 2 * LANES
                n2 = load(suffix, at + LANES)
                s = s + select(n2 > 0.0, load(suffix, at) + (older - base) * n2, zero)
                n = n + n2
            # Where today is missing, so is the result: the newer half holds a present day otherwise.
            store(out, t * LANES, select(n >= least, finite((today - base) - s / n), nothing))
        block += d


def mad(slots, dims, params):
    """The mean distance of the window's present days from their mean."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    zero, nothing = splat(0.0), splat(np.nan)
    for t in range(rows):
        if t < d - 1 and least >= d:
            store(out, t * LANES, nothing)
            continue
        begin = clip_low(t - d + 1)
        base, total, count = zero, zero, zero
        for k in range(begin, t + 1):
            base, total, count = _add(load(x, k * LANES), base, total, count)
        offset = total / count
        distance = zero
        for k in range(begin, t + 1):
            v = load(x, k * LANES)
            distance = distance + select(missing(v), zero, absolute((v - base) - offset))
        # A constant window has distances of exactly zero: its values equal the base.
        store(out, t * LANES, select(count >= least, finite(distance / count), nothing))


@inlined
def _bar(v, low, spread, buckets, factor, slack):
    """The bar of v: floor((v - low) * buckets / spread), the last one for the highest value.

    A product is faster than a quotient but rounded otherwise: it is believed where `slack` more or less is the same
    bar.
    """
    guess = (v - low) * factor
    bar = int(guess - slack)
    if bar == min(int(guess + slack), buckets - 1):
        return bar
    distance = v - low
    if spread > _LARGE:
        distance, spread = distance / _LARGE, spread / _LARGE
    place = distance * buckets / spread
    return int(place) if place < buckets else buckets - 1


def entropy(slots, dims, params):
    """Shannon entropy of the histogram of the window's present days: log n - sum(c log c) / n.

    As long as the window's extremes stay, only the days that enter and leave change the counts and the sum of c log c,
    both whole numbers (the sum in units of 1 / `unit`), so nothing drifts; else the days are counted anew. A new
    extreme is known at once; where one leaves, the window is searched for the next.

    Lanes are counted one by one: all eight at once cost more (docs/decisions/008-small-choices-of-speed.md).
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, buckets, least = dims[ROWS], int(params[0]), int(params[1]), params[2]
    terms = as_integers(dims[SCRATCH])
    logs = as_doubles(dims[SCRATCH] + 8 * (d + 1))
    counts = as_integers(dims[SCRATCH] + 16 * (d + 1))
    # A sum stays below 2^61, also while the window holds a day too many: its extremes lie in different bars.
    unit = 2.0 ** (60.0 - math.ceil(math.log2(d * math.log(d) + 1.0)))
    terms[0], logs[0] = 0, 0.0
    for c in range(1, d + 1):
        logs[c] = math.log(c)
        terms[c] = int(c * logs[c] * unit)
    for lane in range(LANES):
        low, high, spread, factor, slack, n, total = np.inf, -np.inf, 0.0, 0.0, 0.0, 0, 0
        bounded, counted = True, False
        for t in range(rows):
            here = t * LANES + lane
            v = x[here]
            if v == v:
                n += 1
                if not low <= v <= high:
                    low, high = min(low, v), max(high, v)
                    counted = False
                elif counted:
                    bar = _bar(v, low, spread, buckets, factor, slack)
                    c = counts[bar]
                    total += terms[c + 1] - terms[c]
                    counts[bar] = c + 1
            if t >= d:
                v = x[here - d * LANES]
                if v == v:
                    n -= 1
                    if not low < v < high:
                        bounded = counted = False
                    elif counted:
                        bar = _bar(v, low, spread, buckets, factor, slack)
                        c = counts[bar]
                        total += terms[c - 1] - terms[c]
                        counts[bar] = c - 1
            if n < least:
                out[here] = np.nan
                continue
            if not counted:
                first = clip_low(t - d + 1) * LANES + lane
                if not bounded:
                    low, high = np.inf, -np.inf
                    for k in range(first, here + 1, LANES):
                        v = x[k]
                        low = v if v < low else low
                        high = v if v > high else high
                    bounded = True
                spread = high - low
                if spread == 0.0 or not spread < np.inf:
                    out[here] = 0.0 if spread == 0.0 else np.nan
                    continue
                # No product of extreme numbers is believed: it may overflow where the quotient does not, or otherwise.
                factor, slack = (buckets / spread, 1e-9) if 1e-290 < spread < 1e290 else (0.0, 2.0)
                for b in range(buckets):
                    counts[b] = 0
                for k in range(first, here + 1, LANES):
                    v = x[k]
                    if v == v:
                        counts[_bar(v, low, spread, buckets, factor, slack)] += 1
                total = 0
                for b in range(buckets):
                    total += terms[counts[b]]
                counted = True
            out[here] = logs[n] - total / unit / n
