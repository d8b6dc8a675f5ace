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
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.radix import order_row, tie_end


@inlined
def _moments(x, columns):
    """Of the present values: number, the first one, the mean's distance from it, the sum of squared deviations.

    Deviations are (v - first) - distance: a large common level costs no digits, and a constant row deviates by 0.
    """
    n, total, shift = 0, 0.0, 0.0
    for c in range(columns):
        v = x[c]
        if v == v:
            if n == 0:
                shift = v
            total += v - shift
            n += 1
    if n == 0:
        return 0, np.nan, np.nan, np.nan
    offset = total / n
    squares = 0.0
    for c in range(columns):
        v = x[c]
        if v == v:
            e = (v - shift) - offset
            squares += e * e
    return n, shift, offset, squares


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
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, shift, offset, squares = _moments(row, columns)
        deviation = np.sqrt(squares / (n - 1.0)) if n > 1 else np.nan
        for c in range(columns):
            v = ((row[c] - shift) - offset) / deviation
            result[c] = v if v - v == 0.0 else np.nan


def demean(slots, dims, params):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        _, shift, offset, _ = _moments(row, columns)
        for c in range(columns):
            v = (row[c] - shift) - offset
            result[c] = v if v - v == 0.0 else np.nan


def scale(slots, dims, params):
    """Sum of absolute values equals params[0]."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        total = 0.0
        for c in range(columns):
            v = row[c]
            if v == v:
                total += abs(v)
        for c in range(columns):
            v = row[c] * params[0] / total
            result[c] = v if v - v == 0.0 else np.nan


def winsorize(slots, dims, params):
    """Clip to the mean plus and minus params[0] standard deviations."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, shift, offset, squares = _moments(row, columns)
        reach = params[0] * np.sqrt(squares / (n - 1.0)) if n > 1 else np.nan
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
