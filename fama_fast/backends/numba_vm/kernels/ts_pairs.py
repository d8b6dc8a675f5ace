"""Rolling covariance and correlation of two series, on half-blocks as in `ts_moments`.

Strict windows shift both series by the block's first row; relaxed ones do where that pair is complete, and
else merge complete pairs (Chan, Golub and LeVeque).
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat, sqrt, store

COVARIANCE, CORRELATION = 0, 1
PERFECT = 1.0 - 1e-14


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
def _pairs_strict(slots, dims, params, what):
    out, x, y = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    n = splat(float(d))
    zero, nothing = splat(0.0), splat(np.nan)
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, nothing)
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
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
            sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
            for t in range(block, min(block + d, rows)):
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
                    cross = txy - tx * ty / n
                    store(out, t * LANES, _result(what, cross, txx - tx * tx / n, tyy - ty * ty / n, n))
        block += d


@inlined
def _grow(a, b, gone, n, cx, cy, mx, my, sxx, syy, sxy):
    """One more pair where it is complete (Welford 1962, for two series), relative to the half's first pair."""
    start = n == 0.0
    cx = select(gone, cx, select(start, a, cx))
    cy = select(gone, cy, select(start, b, cy))
    more = n + 1.0
    # One division a step: it is what this loop waits for.
    part = 1.0 / more
    weight = n * part
    ex, ey = (a - cx) - mx, (b - cy) - my
    sxx = select(gone, sxx, sxx + ex * ex * weight)
    syy = select(gone, syy, syy + ey * ey * weight)
    sxy = select(gone, sxy, sxy + ex * ey * weight)
    mx, my = select(gone, mx, mx + ex * part), select(gone, my, my + ey * part)
    return select(gone, n, more), cx, cy, mx, my, sxx, syy, sxy


@inlined
def _pairs_anchored(out, x, y, suffix, block, rows, d, what, need):
    """Relaxed windows that end in a block: lanes whose first pair in it is complete, shifted by it."""
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    shift_x, shift_y = load(x, block * LANES), load(y, block * LANES)
    n, sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero, zero
    for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
        a, b = load(x, t * LANES) - shift_x, load(y, t * LANES) - shift_y
        gone = missing(a) | missing(b)
        a, b = select(gone, zero, a), select(gone, zero, b)
        n = n + select(gone, zero, one)
        sx, sy, sxy = sx + a, sy + b, sxy + a * b
        at = (t - block + d) * 6 * LANES
        store(suffix, at, n)
        store(suffix, at + LANES, sx)
        store(suffix, at + 2 * LANES, sy)
        store(suffix, at + 3 * LANES, sxy)
        if what == CORRELATION:
            sxx, syy = sxx + a * a, syy + b * b
            store(suffix, at + 4 * LANES, sxx)
            store(suffix, at + 5 * LANES, syy)
    n, sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero, zero
    for t in range(block, min(block + d, rows)):
        a, b = load(x, t * LANES) - shift_x, load(y, t * LANES) - shift_y
        gone = missing(a) | missing(b)
        a, b = select(gone, zero, a), select(gone, zero, b)
        n = n + select(gone, zero, one)
        sx, sy, sxy = sx + a, sy + b, sxy + a * b
        if what == CORRELATION:
            sxx, syy = sxx + a * a, syy + b * b
        first = clip_low(t - d + 1)
        count, tx, ty, txx, tyy, txy = n, sx, sy, sxx, syy, sxy
        if first < block:
            at = (first - block + d) * 6 * LANES
            count = count + load(suffix, at)
            tx = tx + load(suffix, at + LANES)
            ty = ty + load(suffix, at + 2 * LANES)
            txy = txy + load(suffix, at + 3 * LANES)
            if what == CORRELATION:
                txx = txx + load(suffix, at + 4 * LANES)
                tyy = tyy + load(suffix, at + 5 * LANES)
        cross = txy - tx * ty / count
        value = _result(what, cross, txx - tx * tx / count, tyy - ty * ty / count, count)
        store(out, t * LANES, select(count >= need, value, nothing))


@inlined
def _pairs_relaxed(slots, dims, params, what, least):
    out, x, y = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    zero, nothing = splat(0.0), splat(np.nan)
    need = splat(max(least, 2.0))
    block = first_block(dims, d)
    while block < rows:
        anchor = nothing
        if block >= 0:
            # Missing where the pair is not complete; operands are finite.
            anchor = load(x, block * LANES) * 0.0 + load(y, block * LANES)
        absent = missing(anchor)
        if any_lane(anchor == anchor):
            _pairs_anchored(out, x, y, suffix, block, rows, d, what, need)
            if not any_lane(absent):
                block += d
                continue
        n, cx2, cy2, mx, my, sxx, syy, sxy = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            a, b = load(x, t * LANES), load(y, t * LANES)
            gone = missing(a) | missing(b)
            n, cx2, cy2, mx, my, sxx, syy, sxy = _grow(a, b, gone, n, cx2, cy2, mx, my, sxx, syy, sxy)
            at = (t - block + d) * 6 * LANES
            store(suffix, at, n)
            store(suffix, at + LANES, mx)
            store(suffix, at + 2 * LANES, my)
            store(suffix, at + 3 * LANES, sxx)
            store(suffix, at + 4 * LANES, syy)
            store(suffix, at + 5 * LANES, sxy)
        n, cx, cy, mx, my, sxx, syy, sxy = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(clip_low(block), min(block + d, rows)):
            a, b = load(x, t * LANES), load(y, t * LANES)
            gone = missing(a) | missing(b)
            n, cx, cy, mx, my, sxx, syy, sxy = _grow(a, b, gone, n, cx, cy, mx, my, sxx, syy, sxy)
            first = clip_low(t - d + 1)
            count, txx, tyy, txy = n, sxx, syy, sxy
            if first < block:
                at = (first - block + d) * 6 * LANES
                n2 = load(suffix, at)
                count = n + n2
                two = (n > 0.0) & (n2 > 0.0)
                share = n * n2 / count
                gap_x = (cx2 - cx) + (load(suffix, at + LANES) - mx)
                gap_y = (cy2 - cy) + (load(suffix, at + 2 * LANES) - my)
                txx = txx + load(suffix, at + 3 * LANES) + select(two, gap_x * gap_x * share, zero)
                tyy = tyy + load(suffix, at + 4 * LANES) + select(two, gap_y * gap_y * share, zero)
                txy = txy + load(suffix, at + 5 * LANES) + select(two, (gap_x * gap_y) * share, zero)
            value = select(count >= need, _result(what, txy, txx, tyy, count), nothing)
            # Symbol by symbol: a value's bits depend on no neighbour.
            store(out, t * LANES, select(absent, value, load(out, t * LANES)))
        block += d


def covariance(slots, dims, params):
    if params[1] >= params[0]:
        _pairs_strict(slots, dims, params, COVARIANCE)
    else:
        _pairs_relaxed(slots, dims, params, COVARIANCE, params[1])


def correl(slots, dims, params):
    if params[1] >= params[0]:
        _pairs_strict(slots, dims, params, CORRELATION)
    else:
        _pairs_relaxed(slots, dims, params, CORRELATION, params[1])
