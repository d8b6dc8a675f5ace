"""Rolling sums, means, and third and fourth moments.

Strict windows (every day present) run on half-blocks (see `blocks`) of values minus a shift c: the first row of the
block that the window ends in, which lies in every such window. A missing day makes every half that holds it missing by
itself. Relaxed windows (min_periods) count what is present and shift by the same row where it is present.

Third and fourth moments take two passes over the window.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, helper, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.far import (
    exponent,
    scale_of,
)
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat, sqrt, store

SUM, MEAN = 0, 1
VARIANCE, DEVIATION, Z_SCORE = 0, 1, 2
SKEWNESS, KURTOSIS = 0, 1


@inlined
def _sums_strict(slots, dims, params, what):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    nothing, share = splat(np.nan), splat(1.0 / d)  # a product a row costs less than a division
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            shift = load(x, block * LANES)
            running = splat(0.0)
            for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
                running = running + (load(x, t * LANES) - shift)
                store(suffix, (t - block + d) * LANES, running)
            running = splat(0.0)
            for t in range(block, min(block + d, rows)):
                running = running + (load(x, t * LANES) - shift)
                first = t - d + 1
                if first >= 0:
                    total = running
                    if first < block:
                        total = total + load(suffix, (first - block + d) * LANES)
                    if what == MEAN:
                        value = total * share + shift
                    else:
                        value = total + shift * float(d)
                    store(out, t * LANES, finite(value))
        # A block that began before the first row holds no end of a complete window.
        block += d


@inlined
def _sums_relaxed(slots, dims, params, what, least):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    zero, nothing, share = splat(0.0), splat(np.nan), splat(1.0 / d)
    block = first_block(dims, d)
    while block < rows:
        start = clip_low(block)
        anchor = load(x, start * LANES)
        shift = select(missing(anchor), zero, anchor)
        if block < 0:
            shift = zero
        running, count = zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES)
            gone = missing(v)
            running = running + select(gone, zero, v - shift)
            count = count + select(gone, zero, splat(1.0))
            at = (t - block + d) * 2 * LANES
            store(suffix, at, running)
            store(suffix, at + LANES, count)
        running, count = zero, zero
        for t in range(start, min(block + d, rows)):
            v = load(x, t * LANES)
            gone = missing(v)
            running = running + select(gone, zero, v - shift)
            count = count + select(gone, zero, splat(1.0))
            first = clip_low(t - d + 1)
            total, n = running, count
            if first < block:
                at = (first - block + d) * 2 * LANES
                total = total + load(suffix, at)
                n = n + load(suffix, at + LANES)
            if what == MEAN:
                # A whole window's mean has the bits of the strict form.
                value = select(n == float(d), total * share, total / n) + shift
            else:
                value = total + shift * n
            store(out, t * LANES, select(n >= least, finite(value), nothing))
        block += d


def sum_(slots, dims, params):
    _sums_strict(slots, dims, params, SUM)


def sum_relaxed(slots, dims, params):
    _sums_relaxed(slots, dims, params, SUM, params[1])


def mean(slots, dims, params):
    _sums_strict(slots, dims, params, MEAN)


def mean_relaxed(slots, dims, params):
    _sums_relaxed(slots, dims, params, MEAN, params[1])


@inlined
def _powers(x, begin, end, shift, offset, scale, scaled):
    """Sums of the second, third and fourth powers of distances from the mean, times `scale` where they are scaled."""
    zero = splat(0.0)
    m2, m3, m4 = zero, zero, zero
    for k in range(begin, end):
        v = load(x, k * LANES)
        e = select(missing(v), zero, (v - shift) - offset)
        if scaled:
            e = e * scale
        square = e * e
        m2 = m2 + square
        m3 = m3 + square * e
        m4 = m4 + square * square
    return m2, m3, m4


@helper
def _powers_far(x, begin, end, shift, offset, size):
    return _powers(x, begin, end, shift, offset, scale_of(exponent(size)), True)


@inlined
def _higher(slots, dims, params, what):
    """Bias-corrected skewness or excess kurtosis (as pandas), by two passes over the window."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    smallest = 3.0 if what == SKEWNESS else 4.0
    need = splat(least if least > smallest else smallest)
    # Between these squares, third and fourth powers lose nothing.
    lowest, highest = (2.0**-600, 2.0**600) if what == SKEWNESS else (2.0**-440, 2.0**440)
    for t in range(rows):
        if t < d - 1 and least >= d:
            store(out, t * LANES, nothing)
            continue
        begin = clip_low(t - d + 1)
        shift, count, total = zero, zero, zero
        low, high = splat(np.inf), splat(-np.inf)
        for k in range(begin, t + 1):
            v = load(x, k * LANES)
            gone = missing(v)
            shift = select(gone, shift, select(count == 0.0, v, shift))
            total = total + select(gone, zero, v - shift)
            count = count + select(gone, zero, one)
            low = select(v < low, v, low)
            high = select(v > high, v, high)
        offset = total / count
        n = count
        good = (n >= need) & (low < high)
        m2, m3, m4 = _powers(x, begin, t + 1, shift, offset, one, False)
        far = good & ((m2 < lowest) | (m2 > highest))
        if any_lane(far):
            s2, s3, s4 = _powers_far(x, begin, t + 1, shift, offset, high - low)
            m2, m3, m4 = select(far, s2, m2), select(far, s3, m3), select(far, s4, m4)
        variance = m2 / n
        if what == SKEWNESS:
            value = (m3 / n) / (variance * sqrt(variance)) * (sqrt(n * (n - one)) / (n - 2.0))
        else:
            ratio = (m4 / n) / (variance * variance)
            value = (n - one) / ((n - 2.0) * (n - 3.0)) * ((n + one) * ratio - 3.0 * (n - one))
        store(out, t * LANES, select(good, finite(value), nothing))


def skew(slots, dims, params):
    _higher(slots, dims, params, SKEWNESS)


def kurt(slots, dims, params):
    _higher(slots, dims, params, KURTOSIS)
