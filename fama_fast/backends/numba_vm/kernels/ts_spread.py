"""Rolling variances, deviations and z-scores.

Strict windows (every day present) run on half-blocks (see `blocks`) of values minus a shift c: the first row of the
block that the window ends in. That row lies in every such window, so |mean - c| is at most sqrt(n) deviations and the
textbook formula for the variance loses at most a factor n, while a constant window gives deviations of exactly zero,
whatever its level. A missing day makes every half that holds it missing by itself.

Relaxed windows (min_periods) count what is present (see `gaps`) and shift by the same row where it is present. Where it
is not, they need another day that their window holds: the older half's last present day for windows that reach back to
it, the newer half's first present day for the others.

Of numbers far from 1 (see `far`): every window that ends in a block holds either the nearer rows of the older half or
the first rows of the newer one, so the smaller one of their two sums of squares is as small as any window's.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, helper, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.far import (
    HIGH,
    beyond,
    exponent,
    larger,
    look_ahead,
    scale_of,
    scaled_back,
    smaller,
)
from fama_fast.backends.numba_vm.kernels.gaps import first_present, last_present, roll
from fama_fast.backends.numba_vm.simd import LANES, absolute, any_lane, load, missing, select, splat, sqrt, store

VARIANCE, DEVIATION, Z_SCORE = 0, 1, 2


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
def _half_sums(x, start, end, step, base, scale):
    """Of half a window, outwards from the block's border: present days, their sum, sum of squares, and the largest.

    Values are distances from `base` times `scale`.
    """
    zero = splat(0.0)
    n, sums, squares, size = zero, zero, zero, zero
    for t in range(start, end, step):
        e = (load(x, t * LANES) - base) * scale
        gone = missing(e)
        e = select(gone, zero, e)
        n = n + select(gone, zero, splat(1.0))
        sums = sums + e
        squares = squares + e * e
        size = larger(absolute(e), size)
    return n, sums, squares, size


@helper
def _window_sums(x, first, block, t, base, scale):
    """The same of the whole window, and how many days of the older half are present."""
    older, s2, q2, size2 = _half_sums(x, block - 1, first - 1, -1, base, scale)
    n, s, q, size = _half_sums(x, max(block, first), t + 1, 1, base, scale)
    return older, n + older, s + s2, q + q2, larger(size2, size)


@helper
def _dispersion_far(out, x, block, rows, d, what, need, base, newer_base):
    """Put right, among the windows that end in a block, those whose squares are far from 1 (see `far`)."""
    one = splat(1.0)
    for t in range(clip_low(block), min(block + d, rows)):
        first = clip_low(t - d + 1)
        older, n, _, _, _ = _window_sums(x, first, block, t, base, one)
        origin = select(older > 0.0, base, newer_base)
        _, n, s, q, size = _window_sums(x, first, block, t, origin, one)
        again = (n >= need) & (size > 0.0) & beyond(q, q)
        if any_lane(again):
            e = exponent(size)
            scale = scale_of(e)
            _, n, s, q, _ = _window_sums(x, first, block, t, origin, scale)
            mean = s / n
            value = _dispersion(what, q - s * mean, n, mean, (load(x, t * LANES) - origin) * scale)
            if what == VARIANCE:
                value = scaled_back(value, e * 2.0)
            elif what == DEVIATION:
                value = scaled_back(value, e)
            store(out, t * LANES, select(again, value, load(out, t * LANES)))


@inlined
def _dispersion_strict(slots, dims, params, what):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    half = d // 2
    n = splat(float(d))
    nothing = splat(np.nan)
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    seen = 0  # rows before this one are known to hold nothing small
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            shift = load(x, block * LANES)
            most = splat(0.0)
            sums, squares = splat(0.0), splat(0.0)
            for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
                v = load(x, t * LANES) - shift
                sums = sums + v
                squares = squares + v * v
                at = (t - block + d) * 2 * LANES
                store(suffix, at, sums)
                store(suffix, at + LANES, squares)
            least = splat(np.inf)
            if block >= half:
                least = smaller(load(suffix, (d - half) * 2 * LANES + LANES), least)
            sums, squares = splat(0.0), splat(0.0)
            begin, stop = block, min(block + d, rows)
            for part in range(2):
                end = min(stop, block + d - half) if part == 0 else stop
                for t in range(begin, end):
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
                        most = larger(q, most)
                        store(out, t * LANES, _dispersion(what, q - s * mean, n, mean, today))
                begin = end
                if part == 0 and block + d - half <= stop:
                    least = smaller(squares, least)
            if any_lane(beyond(least, most)):
                seen = look_ahead(x, seen, clip_low(block - d + 1), stop, rows)
                if seen < stop or any_lane(most > HIGH):
                    _dispersion_far(out, x, block, rows, d, what, float(d), shift, shift)
        block += d


@inlined
def _dispersion_block(out, x, suffix, block, rows, d, half, what, need, present, base, newer_base, apart):
    """Relaxed windows that end in a block; the present days of the last of them, and what `beyond` asks for.

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
    older_squares, least = squares, splat(np.inf)
    if not apart:
        least = load(suffix, max(d - half, d - block) * 2 * LANES + LANES) if block > 0 else zero
    sums, squares = zero, zero
    newer, newer_sums, newer_squares = zero, zero, zero
    begin, stop = clip_low(block), min(block + d, rows)
    for part in range(2):
        end = min(stop, block + d - half) if part == 0 else stop
        for t in range(begin, end):
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
            if apart:
                least = smaller(q, least)
            value = _dispersion(what, q - s * mean, n, mean, today)
            store(out, t * LANES, select(present >= need, value, nothing))
        begin = max(begin, end)
        if part == 0 and not apart and block + d - half <= stop:
            least = smaller(squares, least)
    # No window's sum of squares is larger than those of both halves together.
    return present, least, larger(newer_squares, squares + older_squares)


@inlined
def _dispersion_relaxed(slots, dims, params, what, least):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    present = splat(0.0)
    need = max(least, 2.0)
    seen = 0
    block = first_block(dims, d)
    while block < rows:
        base = splat(np.nan)
        if block >= 0:
            base = load(x, block * LANES)
        newer_base, before = base, present
        if any_lane(missing(base)):
            base, newer_base = last_present(base, x, block, d), first_present(base, x, block, d, rows)
            present, low, most = _dispersion_block(
                out, x, suffix, block, rows, d, d // 2, what, need, present, base, newer_base, True
            )
        else:
            present, low, most = _dispersion_block(
                out, x, suffix, block, rows, d, d // 2, what, need, present, base, base, False
            )
        low = select(before + present < 2.0, splat(np.inf), low)
        if any_lane(beyond(low, most)):
            end = min(block + d, rows)
            seen = look_ahead(x, seen, clip_low(block - d + 1), end, rows)
            if seen < end or any_lane(most > HIGH):
                _dispersion_far(out, x, block, rows, d, what, need, base, newer_base)
        block += d


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
