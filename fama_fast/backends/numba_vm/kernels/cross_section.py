"""Kernels over all symbols of one date. Members only: the planner has masked the others."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    ROWS,
    SCRATCH,
    WIDTH,
    as_doubles,
    as_unsigned,
    helper,
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.kernels.far import larger, scale_for, unsafe
from fama_fast.backends.numba_vm.kernels.radix import order_row, tie_end
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, select, splat, store


@helper
def last_lanes(row, columns, tail):
    """Copy the values after the last eight whole columns; what has no symbol is missing, whatever the tile holds."""
    whole = columns - columns % LANES
    for i in range(LANES):
        tail[i] = row[whole + i] if whole + i < columns else np.nan
    return whole


@helper
def added(lanes):
    total = lanes[0]
    for i in range(1, LANES):
        total += lanes[i]
    return total


@helper
def first_present(row, columns):
    """The first present value, about which sums are taken: a large common level costs no digits."""
    for c in range(columns):
        if row[c] == row[c]:
            return row[c]
    return 0.0


@helper
def scaled_squares(x, columns, shift, offset, scratch):
    """(sum of squared deviations times scale^2, scale): a power of two with which squares neither overflow nor vanish.

    scratch: address of sixteen doubles; the first eight are what `last_lanes` leaves.
    """
    tail, lanes = as_doubles(scratch), as_doubles(scratch + 8 * LANES)
    whole_lanes = columns - columns % LANES
    sizes, squares = splat(0.0), splat(0.0)
    for c in range(0, columns, LANES):
        v = load(x, c) if c < whole_lanes else load(tail, 0)
        sizes = larger(absolute((v - shift) - offset), sizes)
    store(lanes, 0, sizes)
    size = 0.0
    for i in range(LANES):
        size = max(size, lanes[i])
    scale = scale_for(size)
    for c in range(0, columns, LANES):
        v = load(x, c) if c < whole_lanes else load(tail, 0)
        e = ((v - shift) - offset) * scale
        squares = squares + select(missing(v), splat(0.0), e * e)
    store(lanes, 0, squares)
    return added(lanes), scale


@inlined
def _moments(x, columns, scratch):
    """Of the present values: number, the first one, the mean's distance from it, the sum of squared deviations times
    scale^2, the scale: 1 unless the squares are far from 1 (see `far`).

    Deviations are (v - first) - distance: a large common level costs no digits, and a constant row deviates by 0.
    scratch: address of sixteen doubles; the first eight are what `last_lanes` leaves.
    """
    tail, sums = as_doubles(scratch), as_doubles(scratch + 8 * LANES)
    whole = last_lanes(x, columns, tail)
    shift = first_present(x, columns)
    zero, one = splat(0.0), splat(1.0)
    n, total, squares = zero, zero, zero
    for c in range(0, columns, LANES):
        v = load(x, c) if c < whole else load(tail, 0)
        gone = missing(v)
        n = n + select(gone, zero, one)
        total = total + select(gone, zero, v - shift)
    store(sums, 0, n)
    members = added(sums)
    if members == 0.0:
        return 0.0, np.nan, np.nan, np.nan, 1.0
    store(sums, 0, total)
    offset = added(sums) / members
    for c in range(0, columns, LANES):
        v = load(x, c) if c < whole else load(tail, 0)
        e = (v - shift) - offset
        squares = squares + select(missing(v), zero, e * e)
    store(sums, 0, squares)
    found, scale = added(sums), 1.0
    if unsafe(found):
        found, scale = scaled_squares(x, columns, shift, offset, scratch)
    return members, shift, offset, found, scale


def rank(slots, dims, params):
    """Average rank among the present values, divided by their number."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        for c in range(width):
            result[c] = np.nan
        start = 0
        while start < n:
            end = tie_end(row, order, start, n, mask)
            share = 0.5 * (start + end + 1) / n
            result[np.int64(order[start] & mask)] = share
            for i in range(start + 1, end):
                result[np.int64(order[i] & mask)] = share
            start = end


def zscore(slots, dims, params):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    tail = as_doubles(dims[SCRATCH])
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, shift, offset, squares, scale = _moments(row, columns, dims[SCRATCH])
        deviation = np.sqrt(squares / (n - 1.0)) if n > 1.0 else np.nan
        for c in range(0, columns, LANES):
            v = load(row, c) if c + LANES <= columns else load(tail, 0)
            store(result, c, finite(((v - shift) - offset) * scale / deviation))


def demean(slots, dims, params):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    tail = as_doubles(dims[SCRATCH])
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        _, shift, offset, _, _ = _moments(row, columns, dims[SCRATCH])
        for c in range(0, columns, LANES):
            v = load(row, c) if c + LANES <= columns else load(tail, 0)
            store(result, c, finite((v - shift) - offset))


def winsorize(slots, dims, params):
    """Clip to the mean plus and minus params[0] standard deviations."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, shift, offset, squares, scale = _moments(row, columns, dims[SCRATCH])
        reach = params[0] * np.sqrt(squares / (n - 1.0)) / scale if n > 1.0 else np.nan
        low, high = shift + (offset - reach), shift + (offset + reach)
        for c in range(columns):
            v = row[c]
            if not (low - low == 0.0 and high - high == 0.0):
                result[c] = np.nan
            elif v < low:
                result[c] = low
            elif v > high:
                result[c] = high
            else:
                result[c] = v
