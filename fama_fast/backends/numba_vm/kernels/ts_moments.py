"""Rolling sums, means, deviations and higher moments.

Strict windows (every day present) run on half-blocks (see `blocks`) of values minus a shift c: the first row of the
block that the window ends in. That row lies in every such window, so |mean - c| is at most sqrt(n) deviations and the
textbook formula for the variance loses at most a factor n, while a constant window gives deviations of exactly zero,
whatever its level. A missing day makes every half that holds it missing by itself.

Relaxed windows (min_periods) count what is present (see `gaps`) and shift by the same row where it is present. Where it
is not, sums do without, and variances need another day that their window holds: the older half's last present day for
windows that reach back to it, the newer half's first present day for the others.

Third and fourth moments take two passes over the window.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.gaps import first_present, last_present, roll
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat, sqrt, store

SUM, MEAN = 0, 1
VARIANCE, DEVIATION, Z_SCORE = 0, 1, 2
SKEWNESS, KURTOSIS = 0, 1


@inlined
def _sums_strict(slots, dims, params, what):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    nothing, share = splat(np.nan), splat(1.0 / d)  # a division would take a third of the time
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


@inlined
def _dispersion(what, squares, n, mean, today):
    """Variance, deviation or z-score from the sum of squared deviations of n values around their mean."""
    variance = squares / (n - 1.0)
    variance = select(variance > 0.0, variance, select(variance <= 0.0, splat(0.0), splat(np.nan)))
    if what == VARIANCE:
        return finite(variance)
    deviation = sqrt(variance)
    if what == DEVIATION:
        return finite(deviation)
    return finite((today - mean) / deviation)


@inlined
def _dispersion_strict(slots, dims, params, what):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    n = splat(float(d))
    nothing = splat(np.nan)
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            shift = load(x, block * LANES)
            sums, squares = splat(0.0), splat(0.0)
            for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
                v = load(x, t * LANES) - shift
                sums = sums + v
                squares = squares + v * v
                at = (t - block + d) * 2 * LANES
                store(suffix, at, sums)
                store(suffix, at + LANES, squares)
            sums, squares = splat(0.0), splat(0.0)
            for t in range(block, min(block + d, rows)):
                today = load(x, t * LANES) - shift
                sums = sums + today
                squares = squares + today * today
                first = t - d + 1
                if first >= 0:
                    s, q = sums, squares
                    if first < block:
                        at = (first - block + d) * 2 * LANES
                        s = s + load(suffix, at)
                        q = q + load(suffix, at + LANES)
                    mean = s / n
                    store(out, t * LANES, _dispersion(what, q - s * mean, n, mean, today))
        block += d


@inlined
def _dispersion_block(out, x, suffix, block, rows, d, what, need, present, base, newer_base, apart):
    """Relaxed windows that end in a block; the present days of the last of them.

    Days are measured from `base`, or from `newer_base` (where the two are `apart`) by windows that hold no present day
    of the older half.
    """
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    sums, squares = zero, zero
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        e = load(x, t * LANES) - base
        e = select(missing(e), zero, e)
        sums = sums + e
        squares = squares + e * e
        at = (t - block + d) * 2 * LANES
        store(suffix, at, sums)
        store(suffix, at + LANES, squares)
    sums, squares = zero, zero
    newer, newer_sums, newer_squares = zero, zero, zero
    for t in range(clip_low(block), min(block + d, rows)):
        v = load(x, t * LANES)
        today = v - base
        gone = missing(today)
        present = roll(present, gone, x, t, d)
        e = select(gone, zero, today)
        sums = sums + e
        squares = squares + e * e
        first = clip_low(t - d + 1)
        n, s, q = present, sums, squares
        if first < block:
            at = (first - block + d) * 2 * LANES
            s = s + load(suffix, at)
            q = q + load(suffix, at + LANES)
        if apart:
            newer_today = v - newer_base
            e = select(gone, zero, newer_today)
            newer = newer + select(gone, zero, one)
            newer_sums = newer_sums + e
            newer_squares = newer_squares + e * e
            alone = newer == n
            s, q = select(alone, newer_sums, s), select(alone, newer_squares, q)
            today = select(alone, newer_today, today)
        mean = s / n
        value = _dispersion(what, q - s * mean, n, mean, today)
        store(out, t * LANES, select(present >= need, value, nothing))
    return present


@inlined
def _dispersion_relaxed(slots, dims, params, what, least):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    present = splat(0.0)
    need = max(least, 2.0)
    block = first_block(dims, d)
    while block < rows:
        anchor = splat(np.nan)
        if block >= 0:
            anchor = load(x, block * LANES)
        if any_lane(missing(anchor)):
            base, newer_base = last_present(anchor, x, block, d), first_present(anchor, x, block, d, rows)
            present = _dispersion_block(out, x, suffix, block, rows, d, what, need, present, base, newer_base, True)
        else:
            present = _dispersion_block(out, x, suffix, block, rows, d, what, need, present, anchor, anchor, False)
        block += d


def sum_(slots, dims, params):
    _sums_strict(slots, dims, params, SUM)


def sum_relaxed(slots, dims, params):
    _sums_relaxed(slots, dims, params, SUM, params[1])


def mean(slots, dims, params):
    _sums_strict(slots, dims, params, MEAN)


def mean_relaxed(slots, dims, params):
    _sums_relaxed(slots, dims, params, MEAN, params[1])


def var(slots, dims, params):
    _dispersion_strict(slots, dims, params, VARIANCE)


def var_relaxed(slots, dims, params):
    _dispersion_relaxed(slots, dims, params, VARIANCE, params[1])


def stddev(slots, dims, params):
    _dispersion_strict(slots, dims, params, DEVIATION)


def stddev_relaxed(slots, dims, params):
    _dispersion_relaxed(slots, dims, params, DEVIATION, params[1])


def zscore(slots, dims, params):
    _dispersion_strict(slots, dims, params, Z_SCORE)


def zscore_relaxed(slots, dims, params):
    _dispersion_relaxed(slots, dims, params, Z_SCORE, params[1])


def product(slots, dims, params):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    strict = least >= d
    suffix = as_doubles(dims[SCRATCH])
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    block = first_block(dims, d)
    while block < rows:
        running, count = one, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES)
            gone = missing(v)
            running = running * select(gone, one, v)
            count = count + select(gone, zero, one)
            at = (t - block + d) * 2 * LANES
            store(suffix, at, running)
            store(suffix, at + LANES, count)
        running, count = one, zero
        for t in range(clip_low(block), min(block + d, rows)):
            v = load(x, t * LANES)
            gone = missing(v)
            running = running * select(gone, one, v)
            count = count + select(gone, zero, one)
            first = t - d + 1
            total, n = running, count
            if first < block and block > 0:
                at = (clip_low(first) - block + d) * 2 * LANES
                total = total * load(suffix, at)
                n = n + load(suffix, at + LANES)
            if first < 0 and strict:
                store(out, t * LANES, nothing)
            else:
                store(out, t * LANES, select(n >= least, finite(total), nothing))
        block += d


@inlined
def _higher(slots, dims, params, what):
    """Bias-corrected skewness or excess kurtosis (as pandas), by two passes over the window."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    smallest = 3.0 if what == SKEWNESS else 4.0
    need = splat(least if least > smallest else smallest)
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
        m2, m3, m4 = zero, zero, zero
        for k in range(begin, t + 1):
            v = load(x, k * LANES)
            e = select(missing(v), zero, (v - shift) - offset)
            square = e * e
            m2 = m2 + square
            m3 = m3 + square * e
            m4 = m4 + square * square
        n = count
        variance = m2 / n
        if what == SKEWNESS:
            value = (m3 / n) / (variance * sqrt(variance)) * (sqrt(n * (n - one)) / (n - 2.0))
        else:
            ratio = (m4 / n) / (variance * variance)
            value = (n - one) / ((n - 2.0) * (n - 3.0)) * ((n + one) * ratio - 3.0 * (n - one))
        good = (n >= need) & (low < high)
        store(out, t * LANES, select(good, finite(value), nothing))


def skew(slots, dims, params):
    _higher(slots, dims, params, SKEWNESS)


def kurt(slots, dims, params):
    _higher(slots, dims, params, KURTOSIS)
