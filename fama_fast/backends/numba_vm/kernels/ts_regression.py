"""Rolling least squares of one series on another or on time.

Regressions merge two half-blocks of complete pairs as `ts_pairs` does (Welford; Chan, Golub and LeVeque), and keep the
means, so every statistic follows from deviations: constant cost in the window, no digit lost to a large level.

The few windows whose squares are far from 1 are taken again (see `far`): both halves together have no fewer squares
than any window, and each window holds the nearer rows of the older half or the first ones of the newer one.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, helper, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.far import (
    HIGH,
    LOW,
    beyond,
    exponent,
    larger,
    look_ahead,
    scale_of,
    scaled_back,
    smaller,
)
from fama_fast.backends.numba_vm.simd import LANES, absolute, any_lane, load, missing, select, splat, sqrt, store

# What `TS_REGRESSION` returns, numbered as WorldQuant BRAIN does.
RESIDUAL, INTERCEPT, SLOPE, ESTIMATE, ERROR_SQUARES, TOTAL_SQUARES = 0, 1, 2, 3, 4, 5
R_SQUARE, MEAN_ERROR_SQUARE, SLOPE_ERROR, INTERCEPT_ERROR = 6, 7, 8, 9

PERFECT = 1.0 - 1e-14
# Sums of squares of halves, rounded in another order than those of windows: a little more than `LOW`, less than `HIGH`.
_LOW, _HIGH = LOW * 2.0, HIGH * 0.5
NOISE = 1e-13  # residuals this small beside the spread of y are rounding


@inlined
def _grow(a, b, gone, n, cx, cy, mx, my, sxx, syy, sxy):
    """One more pair where it is complete, relative to the half's first pair."""
    start = n == 0.0
    cx = select(gone, cx, select(start, a, cx))
    cy = select(gone, cy, select(start, b, cy))
    more = n + 1.0
    ex, ey = (a - cx) - mx, (b - cy) - my
    share = n / more
    sxx = select(gone, sxx, sxx + ex * ex * share)
    syy = select(gone, syy, syy + ey * ey * share)
    sxy = select(gone, sxy, sxy + ex * ey * share)
    mx, my = select(gone, mx, mx + ex / more), select(gone, my, my + ey / more)
    return select(gone, n, more), cx, cy, mx, my, sxx, syy, sxy


@inlined
def _statistic(what, n, sxx, syy, sxy, today_x, today_y, mean_x, mean_y):
    """From squared deviations, today's deviations from the means, and the means."""
    slope = sxy / sxx
    if what == SLOPE:
        return slope
    if what == INTERCEPT:
        return mean_y - slope * mean_x
    if what == ESTIMATE:
        return mean_y + slope * today_x
    if what == TOTAL_SQUARES:
        return select(sxx > 0.0, syy, splat(np.nan))
    if what == RESIDUAL:
        value = today_y - slope * today_x
        return select(absolute(value) <= sqrt(syy) * NOISE, splat(0.0), value)
    r = absolute(sxy / (sqrt(sxx) * sqrt(syy)))
    r = select(r > PERFECT, splat(1.0), r)
    if what == R_SQUARE:
        return r * r
    # A constant y leaves no error.
    error = select(syy > 0.0, syy * ((1.0 - r) * (1.0 + r)), splat(0.0))
    error = select(sxx > 0.0, error, splat(np.nan))
    if what == ERROR_SQUARES:
        return error
    error = select(n > 2.0, error / (n - 2.0), splat(np.nan))
    if what == MEAN_ERROR_SQUARE:
        return error
    if what == SLOPE_ERROR:
        return sqrt(error) / sqrt(sxx)
    return sqrt(error) * sqrt(1.0 / n + (mean_x / sxx) * mean_x)


@inlined
def _pair(y, x, t, lag, timed):
    """The regressor and the regressed at row t, and where the pair is incomplete."""
    b = load(y, t * LANES)
    if timed:
        a = splat(float(t))
    elif t >= lag:
        a = load(x, (t - lag) * LANES)
    else:
        a = splat(np.nan)
    return a, b, missing(a) | missing(b)


@inlined
def _merged(n, cx, cy, mx, my, sxx, syy, sxy, n2, cx2, cy2, older_x, older_y, sxx2, syy2, sxy2):
    """The newer half of a window and its older half together: pairs, what means are measured from, and the moments."""
    zero = splat(0.0)
    count = n + n2
    newer, two = n > 0.0, (n > 0.0) & (n2 > 0.0)
    base_x, base_y = select(newer, cx, cx2), select(newer, cy, cy2)
    tx, ty = select(newer, mx, older_x), select(newer, my, older_y)
    share = n2 / count
    gap_x, gap_y = (cx2 - cx) + (older_x - mx), (cy2 - cy) + (older_y - my)
    tx = select(two, tx + gap_x * share, tx)
    ty = select(two, ty + gap_y * share, ty)
    share = share * n
    txx = sxx + sxx2 + select(two, gap_x * gap_x * share, zero)
    tyy = syy + syy2 + select(two, gap_y * gap_y * share, zero)
    txy = sxy + sxy2 + select(two, (gap_x * gap_y) * share, zero)
    return count, base_x, base_y, tx, ty, txx, tyy, txy


@inlined
def _of_day(what, t, d, timed, a, b, gone, count, base_x, base_y, tx, ty, txx, tyy, txy):
    """The statistic of the window that ends in row t, of which (a, b) is today's pair."""
    nothing = splat(np.nan)
    today_x, today_y = (a - base_x) - tx, select(gone, nothing, (b - base_y) - ty)
    today_x = select(gone, nothing, today_x)
    if timed:
        # Days are numbered 1 (the oldest) to d (today): first, in whole numbers, so that the row leaves no bit.
        base_x = base_x + (float(d) - float(t))
    return _statistic(what, count, txx, tyy, txy, today_x, today_y, base_x + tx, base_y + ty)


@inlined
def _half(y, x, start, end, step, lag, timed, scale_x, scale_y):
    """Half a window, outwards from the block's border, of pairs times `scale_x` and `scale_y`."""
    zero = splat(0.0)
    n, cx, cy, mx, my, sxx, syy, sxy = zero, zero, zero, zero, zero, zero, zero, zero
    for t in range(start, end, step):
        a, b, gone = _pair(y, x, t, lag, timed)
        n, cx, cy, mx, my, sxx, syy, sxy = _grow(a * scale_x, b * scale_y, gone, n, cx, cy, mx, my, sxx, syy, sxy)
    return n, cx, cy, mx, my, sxx, syy, sxy


@helper
def _window(y, x, first, block, t, lag, timed, scale_x, scale_y):
    n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2 = _half(y, x, block - 1, first - 1, -1, lag, timed, scale_x, scale_y)
    n, cx, cy, mx, my, sxx, syy, sxy = _half(y, x, max(block, first), t + 1, 1, lag, timed, scale_x, scale_y)
    return _merged(n, cx, cy, mx, my, sxx, syy, sxy, n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2)


@helper
def _sizes(y, x, first, t, lag, timed, base_x, base_y):
    """The largest distances of a window's pairs from one of them."""
    size_x, size_y = splat(0.0), splat(0.0)
    for k in range(first, t + 1):
        a, b, gone = _pair(y, x, k, lag, timed)
        size_x = select(gone, size_x, larger(absolute(a - base_x), size_x))
        size_y = select(gone, size_y, larger(absolute(b - base_y), size_y))
    return size_x, size_y


@inlined
def _scaled_back(what, value, ex, ey):
    """The statistic of series that were divided by 2^ex and 2^ey."""
    if what == R_SQUARE:
        return value
    if what in (SLOPE, SLOPE_ERROR):
        return scaled_back(value, ey - ex)
    if what in (ERROR_SQUARES, TOTAL_SQUARES, MEAN_ERROR_SQUARE):
        return scaled_back(value, ey * 2.0)
    return scaled_back(value, ey)


@inlined
def _or_infinite(squares):
    """A sum of squares; infinite where differences overflowed and it is no number."""
    return select(missing(squares), splat(np.inf), squares)


@helper
def _far(out, y, x, block, rows, d, what, lag, need, timed):
    """Put right, among the windows that end in a block, those whose squares are far from 1 (see `far`)."""
    one = splat(1.0)
    for t in range(clip_low(block), min(block + d, rows)):
        first = clip_low(t - d + 1)
        count, base_x, base_y, tx, ty, txx, tyy, txy = _window(y, x, first, block, t, lag, timed, one, one)
        size_x, size_y = _sizes(y, x, first, t, lag, timed, base_x, base_y)
        txx, tyy = _or_infinite(txx), _or_infinite(tyy)
        far = beyond(tyy, tyy) & (size_y > 0.0)
        if not timed:
            far = (far | beyond(txx, txx)) & (size_x > 0.0)
        again = (count >= need) & far
        if any_lane(again):
            ex, ey = exponent(size_x), exponent(size_y)
            if timed:
                ex = splat(0.0)
            scale_x, scale_y = scale_of(ex), scale_of(ey)
            count, base_x, base_y, tx, ty, txx, tyy, txy = _window(y, x, first, block, t, lag, timed, scale_x, scale_y)
            a, b, gone = _pair(y, x, t, lag, timed)
            a, b = a * scale_x, b * scale_y
            value = _of_day(what, t, d, timed, a, b, gone, count, base_x, base_y, tx, ty, txx, tyy, txy)
            store(out, t * LANES, select(again, _scaled_back(what, finite(value), ex, ey), load(out, t * LANES)))


@inlined
def _squares(timed, sxx, syy):
    """The smaller sum of squares of part of a window; days are never far from 1."""
    return syy if timed else smaller(sxx, syy)


@inlined
def _regression(slots, dims, params, what, lag, least, timed):
    out, y = as_doubles(slots[0]), as_doubles(slots[1])
    x = y if timed else as_doubles(slots[2])
    rows, d = dims[ROWS], int(params[0])
    half = d // 2
    suffix = as_doubles(dims[SCRATCH])
    zero, nothing = splat(0.0), splat(np.nan)
    need = splat(max(least, 2.0))
    strict = least >= d
    seen_y, seen_x = 0, 0
    block = first_block(dims, d)
    while block < rows:
        n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2 = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            a, b, gone = _pair(y, x, t, lag, timed)
            n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2 = _grow(a, b, gone, n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2)
            at = (t - block + d) * 6 * LANES
            store(suffix, at, n2)
            store(suffix, at + LANES, mx2)
            store(suffix, at + 2 * LANES, my2)
            store(suffix, at + 3 * LANES, sxx2)
            store(suffix, at + 4 * LANES, syy2)
            store(suffix, at + 5 * LANES, sxy2)
        low = zero
        if block > 0:
            at = max(d - half, d - block) * 6 * LANES
            low = _squares(timed, load(suffix, at + 3 * LANES), load(suffix, at + 4 * LANES))
        n, cx, cy, mx, my, sxx, syy, sxy = zero, zero, zero, zero, zero, zero, zero, zero
        begin, stop = clip_low(block), min(block + d, rows)
        for part in range(2):
            end = min(stop, block + d - half) if part == 0 else stop
            for t in range(begin, end):
                a, b, gone = _pair(y, x, t, lag, timed)
                n, cx, cy, mx, my, sxx, syy, sxy = _grow(a, b, gone, n, cx, cy, mx, my, sxx, syy, sxy)
                first = t - d + 1
                if strict and first < 0:
                    store(out, t * LANES, nothing)
                    continue
                first = clip_low(first)
                count, tx, ty, txx, tyy, txy = n, mx, my, sxx, syy, sxy
                base_x, base_y = cx, cy
                if first < block:
                    at = (first - block + d) * 6 * LANES
                    n3, mx3, my3 = load(suffix, at), load(suffix, at + LANES), load(suffix, at + 2 * LANES)
                    sxx3, syy3, sxy3 = (
                        load(suffix, at + 3 * LANES),
                        load(suffix, at + 4 * LANES),
                        load(suffix, at + 5 * LANES),
                    )
                    count, base_x, base_y, tx, ty, txx, tyy, txy = _merged(
                        n, cx, cy, mx, my, sxx, syy, sxy, n3, cx2, cy2, mx3, my3, sxx3, syy3, sxy3
                    )
                value = _of_day(what, t, d, timed, a, b, gone, count, base_x, base_y, tx, ty, txx, tyy, txy)
                store(out, t * LANES, select(count >= need, finite(value), nothing))
            begin = max(begin, end)
            if part == 0 and block + d - half <= stop:
                low = smaller(_squares(timed, sxx, syy), low)
        # No window has more squares than both halves together.
        _, _, _, _, _, txx, tyy, _ = _merged(n, cx, cy, mx, my, sxx, syy, sxy, n2, cx2, cy2, mx2, my2, sxx2, syy2, sxy2)
        most = _or_infinite(tyy if timed else txx + tyy)
        low = select(n + n2 < 2.0, splat(np.inf), low)
        if any_lane((low < _LOW) | (most > _HIGH)):
            start, end = clip_low(block - d + 1), stop
            seen_y = look_ahead(y, seen_y, start, end, rows)
            small = seen_y < end
            if not timed:
                start, end = clip_low(start - lag), clip_low(end - lag)
                seen_x = look_ahead(x, seen_x, start, end, rows)
                small = small or seen_x < end
            if small or any_lane(most > _HIGH):
                _far(out, y, x, block, rows, d, what, lag, need, timed)
        block += d


def regression(slots, dims, params):
    _regression(slots, dims, params, int(params[2]), int(params[1]), params[3], False)


def slope(slots, dims, params):
    _regression(slots, dims, params, SLOPE, 0, params[1], True)


def intercept(slots, dims, params):
    _regression(slots, dims, params, INTERCEPT, 0, params[1], True)


def rsquare(slots, dims, params):
    _regression(slots, dims, params, R_SQUARE, 0, params[1], True)


def residual(slots, dims, params):
    _regression(slots, dims, params, RESIDUAL, 0, params[1], True)
