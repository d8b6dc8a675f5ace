"""Deviations from a window's mean, and the entropy of a window.

Distances from the mean are taken from each half-block's first present value, so a large level costs no digit.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, select, splat, store


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
def _bucket(v, low, spread, buckets):
    place = (v - low) * buckets / spread
    return int(place) if place < buckets else buckets - 1


def entropy(slots, dims, params):
    """Shannon entropy of the histogram of the window's present days: log n - sum(c log c) / n.

    As long as the window's extremes stay, only the days that enter and leave change the counts, which are whole
    numbers; else they are made anew.
    """
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, buckets, least = dims[ROWS], int(params[0]), int(params[1]), params[2]
    terms = as_doubles(dims[SCRATCH])
    counts = as_doubles(dims[SCRATCH] + 8 * (d + 1))
    terms[0] = 0.0
    for c in range(1, d + 1):
        terms[c] = c * math.log(c)
    for lane in range(LANES):
        low, high, n, counted = 0.0, 0.0, 0, False
        for t in range(rows):
            here = t * LANES + lane
            v = x[here]
            if v == v:
                n += 1
                counted = counted and low <= v <= high
                if counted:
                    counts[_bucket(v, low, high - low, buckets)] += 1.0
            if t >= d:
                v = x[here - d * LANES]
                if v == v:
                    n -= 1
                    counted = counted and low < v < high
                    if counted:
                        counts[_bucket(v, low, high - low, buckets)] -= 1.0
            if n < least:
                out[here] = np.nan
                continue
            if not counted:
                low, high = np.inf, -np.inf
                first = clip_low(t - d + 1) * LANES + lane
                for k in range(first, here + 1, LANES):
                    v = x[k]
                    if v == v:
                        low, high = min(low, v), max(high, v)
                spread = high - low
                if spread == 0.0 or not spread < np.inf:
                    out[here] = 0.0 if spread == 0.0 else np.nan
                    continue
                for b in range(buckets):
                    counts[b] = 0.0
                for k in range(first, here + 1, LANES):
                    v = x[k]
                    if v == v:
                        counts[_bucket(v, low, spread, buckets)] += 1.0
                counted = True
            total = 0.0
            for b in range(buckets):
                total += terms[int(counts[b])]
            out[here] = math.log(n) - total / n
