"""Rolling covariance and correlation of two series, on half-blocks as in `ts_spread`.

Strict windows shift both series by the block's first row; relaxed ones do where that pair is complete, and else by
another complete pair of the window, as `ts_spread` does.

Of numbers far from 1 (see `far`), correlations watch sums of squares, and covariances those of distances: what
overflows on its way to one is as good as always too large, and missing.
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
from fama_fast.backends.numba_vm.kernels.gaps import first_pair, last_pair, roll_pairs
from fama_fast.backends.numba_vm.simd import LANES, absolute, any_lane, load, missing, select, splat, sqrt, store

COVARIANCE, CORRELATION = 0, 1
PERFECT = 1.0 - 1e-14
_VANISHING = -940.0  # exponents of two distances together whose product may have lost digits


@inlined
def _result(what, cross, squares_x, squares_y, n):
    if what == COVARIANCE:
        return finite(cross / (n - 1.0))
    # A constant window has squares of exactly zero; roots apart, so that their product cannot underflow first.
    value = finite(cross / (sqrt(squares_x) * sqrt(squares_y)))
    # Nearer to a perfect correlation than rounding can tell is perfect: two days always correlate by exactly 1 or -1.
    value = select(value > PERFECT, splat(1.0), value)
    return select(value < -PERFECT, splat(-1.0), value)


@inlined
def _half_sums(x, y, start, end, step, base_x, base_y, scale_x, scale_y):
    """Of half a window, outwards from the block's border: complete pairs, and sums of their distances from the base,
    of squares and of products; the largest distances.

    Distances are times `scale_x` and `scale_y`.
    """
    zero = splat(0.0)
    n, sx, sy, sxx, syy, sxy, size_x, size_y = zero, zero, zero, zero, zero, zero, zero, zero
    for t in range(start, end, step):
        a, b = (load(x, t * LANES) - base_x) * scale_x, (load(y, t * LANES) - base_y) * scale_y
        gone = missing(a) | missing(b)
        a, b = select(gone, zero, a), select(gone, zero, b)
        n = n + select(gone, zero, splat(1.0))
        sx, sy, sxx, syy, sxy = sx + a, sy + b, sxx + a * a, syy + b * b, sxy + a * b
        size_x, size_y = larger(absolute(a), size_x), larger(absolute(b), size_y)
    return n, sx, sy, sxx, syy, sxy, size_x, size_y


@helper
def _older_pairs(x, y, first, block, base_x, base_y):
    """How many complete pairs of the older half a window has."""
    one = splat(1.0)
    n, _, _, _, _, _, _, _ = _half_sums(x, y, block - 1, first - 1, -1, base_x, base_y, one, one)
    return n


@helper
def _window_sums(x, y, first, block, t, base_x, base_y, scale_x, scale_y):
    """Of a window: complete pairs, products about the means, squares about base and means, the largest distances."""
    n2, sx2, sy2, sxx2, syy2, sxy2, size_x2, size_y2 = _half_sums(
        x, y, block - 1, first - 1, -1, base_x, base_y, scale_x, scale_y
    )
    n, sx, sy, sxx, syy, sxy, size_x, size_y = _half_sums(
        x, y, max(block, first), t + 1, 1, base_x, base_y, scale_x, scale_y
    )
    n, sx, sy, sxx, syy, sxy = n + n2, sx + sx2, sy + sy2, sxx + sxx2, syy + syy2, sxy + sxy2
    size_x, size_y = larger(size_x2, size_x), larger(size_y2, size_y)
    return n, sxy - sx * sy / n, sxx, syy, sxx - sx * sx / n, syy - sy * sy / n, size_x, size_y


@helper
def _pairs_far(out, x, y, block, rows, d, what, need, base_x, base_y, newer_x, newer_y):
    """Put right, among the windows that end in a block, those whose squares or products are far from 1 (see `far`)."""
    one = splat(1.0)
    for t in range(clip_low(block), min(block + d, rows)):
        first = clip_low(t - d + 1)
        older = _older_pairs(x, y, first, block, base_x, base_y) > 0.0
        origin_x, origin_y = select(older, base_x, newer_x), select(older, base_y, newer_y)
        n, _, sxx, syy, _, _, size_x, size_y = _window_sums(x, y, first, block, t, origin_x, origin_y, one, one)
        ex, ey = exponent(size_x), exponent(size_y)
        far = ex + ey < _VANISHING if what == COVARIANCE else beyond(smaller(sxx, syy), larger(sxx, syy))
        again = (n >= need) & (size_x > 0.0) & (size_y > 0.0) & far
        if any_lane(again):
            _, cross, _, _, vx, vy, _, _ = _window_sums(
                x, y, first, block, t, origin_x, origin_y, scale_of(ex), scale_of(ey)
            )
            value = _result(what, cross, vx, vy, n)
            if what == COVARIANCE:
                value = scaled_back(value, ex + ey)
            store(out, t * LANES, select(again, value, load(out, t * LANES)))


@inlined
def _squares(what, sx, sy, sxx, syy):
    """The smaller sum of squares of part of a window; of a covariance, which has none, the smaller square of a sum."""
    return smaller(sxx, syy) if what == CORRELATION else smaller(sx * sx, sy * sy)


@inlined
def _mend(out, x, y, block, rows, d, what, need, base_x, base_y, newer_x, newer_y, seen_x, seen_y, most):
    """Do so where a window that ends in the block may need it; what `look_ahead` found of x and of y."""
    start, end = clip_low(block - d + 1), min(block + d, rows)
    seen_x, seen_y = look_ahead(x, seen_x, start, end, rows), look_ahead(y, seen_y, start, end, rows)
    if min(seen_x, seen_y) < end or any_lane(most > HIGH):
        _pairs_far(out, x, y, block, rows, d, what, need, base_x, base_y, newer_x, newer_y)
    return seen_x, seen_y


@inlined
def _pairs_strict(slots, dims, params, what):
    out, x, y = as_doubles(slots[0]), operand(slots, 1), operand(slots, 2)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    half = d // 2
    n = splat(float(d))
    zero, nothing = splat(0.0), splat(np.nan)
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    seen_x, seen_y = 0, 0
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            most = zero
            shift_x, shift_y = load(x, block * LANES), load(y, block * LANES)
            sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
            for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
                a, b = load(x, t * LANES) - shift_x, load(y, t * LANES) - shift_y
                sx, sy, sxy = sx + a, sy + b, sxy + a * b
                at = (t - block + d) * 5 * LANES
                store(suffix, at, sx)
                store(suffix, at + LANES, sy)
                store(suffix, at + 2 * LANES, sxy)
                if what == CORRELATION:
                    sxx, syy = sxx + a * a, syy + b * b
                    store(suffix, at + 3 * LANES, sxx)
                    store(suffix, at + 4 * LANES, syy)
            low = splat(np.inf)
            if block >= half:
                at = (d - half) * 5 * LANES
                tx, ty = load(suffix, at), load(suffix, at + LANES)
                low = smaller(_squares(what, tx, ty, load(suffix, at + 3 * LANES), load(suffix, at + 4 * LANES)), low)
            sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
            begin, stop = block, min(block + d, rows)
            for part in range(2):
                end = min(stop, block + d - half) if part == 0 else stop
                for t in range(begin, end):
                    a, b = load(x, t * LANES) - shift_x, load(y, t * LANES) - shift_y
                    sx, sy, sxy = sx + a, sy + b, sxy + a * b
                    if what == CORRELATION:
                        sxx, syy = sxx + a * a, syy + b * b
                    first = t - d + 1
                    if first >= 0:
                        tx, ty, txx, tyy, txy = sx, sy, sxx, syy, sxy
                        if first < block:
                            at = (first - block + d) * 5 * LANES
                            tx = tx + load(suffix, at)
                            ty = ty + load(suffix, at + LANES)
                            txy = txy + load(suffix, at + 2 * LANES)
                            if what == CORRELATION:
                                txx = txx + load(suffix, at + 3 * LANES)
                                tyy = tyy + load(suffix, at + 4 * LANES)
                        # Products before quotients: both orders of the operands then give the same bits.
                        cross, vx, vy = txy - tx * ty / n, txx - tx * tx / n, tyy - ty * ty / n
                        if what == CORRELATION:
                            most = larger(txx + tyy, most)
                        store(out, t * LANES, _result(what, cross, vx, vy, n))
                begin = end
                if part == 0 and block + d - half <= stop:
                    low = smaller(_squares(what, sx, sy, sxx, syy), low)
            if any_lane(beyond(low, most)):
                need = float(d)
                seen_x, seen_y = _mend(
                    out, x, y, block, rows, d, what, need, shift_x, shift_y, shift_x, shift_y, seen_x, seen_y, most
                )
        block += d


@inlined
def _pairs_block(out, x, y, suffix, block, rows, d, what, need, present, base_x, base_y, newer_x, newer_y, apart):
    """Relaxed windows that end in a block; the complete pairs of the last of them, and what `beyond` asks for.

    Pairs are measured from `base_x`, `base_y`, or from `newer_x`, `newer_y` (where they are `apart`) by windows that
    hold no complete pair of the older half.
    """
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    half = d // 2
    sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        a, b = load(x, t * LANES) - base_x, load(y, t * LANES) - base_y
        gone = missing(a) | missing(b)
        a, b = select(gone, zero, a), select(gone, zero, b)
        sx, sy, sxy = sx + a, sy + b, sxy + a * b
        at = (t - block + d) * 5 * LANES
        store(suffix, at, sx)
        store(suffix, at + LANES, sy)
        store(suffix, at + 2 * LANES, sxy)
        if what == CORRELATION:
            sxx, syy = sxx + a * a, syy + b * b
            store(suffix, at + 3 * LANES, sxx)
            store(suffix, at + 4 * LANES, syy)
    older_xx, older_yy = sxx, syy
    sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
    newer, nx, ny, nxx, nyy, nxy = zero, zero, zero, zero, zero, zero
    low = splat(np.inf)
    if not apart:
        low = zero
        if block > 0:
            at = max(d - half, d - block) * 5 * LANES
            tx, ty = load(suffix, at), load(suffix, at + LANES)
            low = _squares(what, tx, ty, load(suffix, at + 3 * LANES), load(suffix, at + 4 * LANES))
    begin, stop = clip_low(block), min(block + d, rows)
    for part in range(2):
        end = min(stop, block + d - half) if part == 0 else stop
        for t in range(begin, end):
            v, w = load(x, t * LANES), load(y, t * LANES)
            gone = missing(v) | missing(w)
            present = roll_pairs(present, gone, x, y, t, d)
            a, b = select(gone, zero, v - base_x), select(gone, zero, w - base_y)
            sx, sy, sxy = sx + a, sy + b, sxy + a * b
            if what == CORRELATION:
                sxx, syy = sxx + a * a, syy + b * b
            first = clip_low(t - d + 1)
            n, tx, ty, txx, tyy, txy = present, sx, sy, sxx, syy, sxy
            if first < block:
                at = (first - block + d) * 5 * LANES
                tx = tx + load(suffix, at)
                ty = ty + load(suffix, at + LANES)
                txy = txy + load(suffix, at + 2 * LANES)
                if what == CORRELATION:
                    txx = txx + load(suffix, at + 3 * LANES)
                    tyy = tyy + load(suffix, at + 4 * LANES)
            if apart:
                a, b = select(gone, zero, v - newer_x), select(gone, zero, w - newer_y)
                newer = newer + select(gone, zero, one)
                nx, ny, nxy = nx + a, ny + b, nxy + a * b
                alone = newer == n
                tx, ty, txy = select(alone, nx, tx), select(alone, ny, ty), select(alone, nxy, txy)
                if what == CORRELATION:
                    nxx, nyy = nxx + a * a, nyy + b * b
                    txx, tyy = select(alone, nxx, txx), select(alone, nyy, tyy)
            cross, vx, vy = txy - tx * ty / n, txx - tx * tx / n, tyy - ty * ty / n
            if apart:
                low = smaller(_squares(what, tx, ty, txx, tyy), low)
            store(out, t * LANES, select(present >= need, _result(what, cross, vx, vy, n), nothing))
        begin = max(begin, end)
        if part == 0 and not apart and block + d - half <= stop:
            low = smaller(_squares(what, sx, sy, sxx, syy), low)
    # No window's sum of squares is larger than those of both halves together.
    return present, low, larger(sxx + older_xx + (syy + older_yy), nxx + nyy)


@inlined
def _pairs_relaxed(slots, dims, params, what, least):
    out, x, y = as_doubles(slots[0]), operand(slots, 1), operand(slots, 2)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    nothing = splat(np.nan)
    present = splat(0.0)
    need = max(least, 2.0)
    seen_x, seen_y = 0, 0
    block = first_block(dims, d)
    while block < rows:
        base_x, base_y = nothing, nothing
        if block >= 0:
            base_x, base_y = load(x, block * LANES), load(y, block * LANES)
        newer_x, newer_y, before = base_x, base_y, present
        gone = missing(base_x) | missing(base_y)
        if any_lane(gone):
            a, b = select(gone, nothing, base_x), select(gone, nothing, base_y)
            base_x, base_y = last_pair(a, b, x, y, block, d)
            newer_x, newer_y = first_pair(a, b, x, y, block, d, rows)
            present, low, most = _pairs_block(
                out, x, y, suffix, block, rows, d, what, need, present, base_x, base_y, newer_x, newer_y, True
            )
        else:
            present, low, most = _pairs_block(
                out, x, y, suffix, block, rows, d, what, need, present, base_x, base_y, base_x, base_y, False
            )
        low = select(before + present < 2.0, splat(np.inf), low)
        if any_lane(beyond(low, most)):
            seen_x, seen_y = _mend(
                out, x, y, block, rows, d, what, need, base_x, base_y, newer_x, newer_y, seen_x, seen_y, most
            )
        block += d


def covariance(slots, dims, params):
    _pairs_strict(slots, dims, params, COVARIANCE)


def covariance_relaxed(slots, dims, params):
    _pairs_relaxed(slots, dims, params, COVARIANCE, params[1])


def correl(slots, dims, params):
    _pairs_strict(slots, dims, params, CORRELATION)


def correl_relaxed(slots, dims, params):
    _pairs_relaxed(slots, dims, params, CORRELATION, params[1])
