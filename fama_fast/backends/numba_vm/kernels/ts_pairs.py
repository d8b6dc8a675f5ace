"""Rolling covariance and correlation of two series, on half-blocks as in `ts_moments`.

Strict windows shift both series by the block's first row; relaxed ones do where that pair is complete, and else by
another complete pair of the window, as `ts_moments` does.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.gaps import first_pair, last_pair, roll_pairs
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
    out, x, y = as_doubles(slots[0]), operand(slots, 1), operand(slots, 2)
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
def _pairs_block(out, x, y, suffix, block, rows, d, what, need, present, base_x, base_y, newer_x, newer_y, apart):
    """Relaxed windows that end in a block; the complete pairs of the last of them.

    Pairs are measured from `base_x`, `base_y`, or from `newer_x`, `newer_y` (where they are `apart`) by windows that
    hold no complete pair of the older half.
    """
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
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
    sx, sy, sxx, syy, sxy = zero, zero, zero, zero, zero
    newer, nx, ny, nxx, nyy, nxy = zero, zero, zero, zero, zero, zero
    for t in range(clip_low(block), min(block + d, rows)):
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
        cross = txy - tx * ty / n
        value = _result(what, cross, txx - tx * tx / n, tyy - ty * ty / n, n)
        store(out, t * LANES, select(present >= need, value, nothing))
    return present


@inlined
def _pairs_relaxed(slots, dims, params, what, least):
    out, x, y = as_doubles(slots[0]), operand(slots, 1), operand(slots, 2)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    nothing = splat(np.nan)
    present = splat(0.0)
    need = max(least, 2.0)
    block = first_block(dims, d)
    while block < rows:
        a, b = nothing, nothing
        if block >= 0:
            a, b = load(x, block * LANES), load(y, block * LANES)
        gone = missing(a) | missing(b)
        if any_lane(gone):
            a, b = select(gone, nothing, a), select(gone, nothing, b)
            base_x, base_y = last_pair(a, b, x, y, block, d)
            newer_x, newer_y = first_pair(a, b, x, y, block, d, rows)
            present = _pairs_block(
                out, x, y, suffix, block, rows, d, what, need, present, base_x, base_y, newer_x, newer_y, True
            )
        else:
            present = _pairs_block(out, x, y, suffix, block, rows, d, what, need, present, a, b, a, b, False)
        block += d


def covariance(slots, dims, params):
    _pairs_strict(slots, dims, params, COVARIANCE)


def covariance_relaxed(slots, dims, params):
    _pairs_relaxed(slots, dims, params, COVARIANCE, params[1])


def correl(slots, dims, params):
    _pairs_strict(slots, dims, params, CORRELATION)


def correl_relaxed(slots, dims, params):
    _pairs_relaxed(slots, dims, params, CORRELATION, params[1])
