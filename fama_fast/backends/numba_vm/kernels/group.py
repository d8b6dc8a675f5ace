"""Kernels over the members of one group on one date. Group codes are whole numbers from 0; missing means no group.

Per-group sums lie in scratch, one slot a group; the runner sizes scratch by the largest number of groups.
"""

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
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size, tie_end

MEAN, COUNT, NEUTRALIZE, Z_SCORE, DEVIATION, LARGEST, SMALLEST, UNIT = range(8)


@inlined
def _n_groups(codes, columns):
    largest = -1.0
    for c in range(columns):
        g = codes[c]
        if g == g and g > largest:
            largest = g
    return int(largest) + 1


@inlined
def _statistic(slots, dims, what):
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, code, result = row_of(x, r, width), row_of(codes, r, width), row_of(out, r, width)
        groups = _n_groups(code, columns)
        count = as_doubles(dims[SCRATCH])
        first = as_doubles(dims[SCRATCH] + 8 * groups)
        total = as_doubles(dims[SCRATCH] + 16 * groups)
        squares = as_doubles(dims[SCRATCH] + 24 * groups)
        low = as_doubles(dims[SCRATCH] + 32 * groups)
        high = as_doubles(dims[SCRATCH] + 40 * groups)
        for g in range(groups):
            count[g], first[g], total[g], squares[g] = 0.0, 0.0, 0.0, 0.0
            low[g], high[g] = np.inf, -np.inf
        for c in range(columns):
            v = row[c]
            if v == v and code[c] == code[c]:
                g = int(code[c])
                if count[g] == 0.0:
                    first[g] = v
                count[g] += 1.0
                if what not in (COUNT, LARGEST, SMALLEST, UNIT):
                    total[g] += v - first[g]
                if what in (LARGEST, SMALLEST, UNIT, Z_SCORE, DEVIATION):
                    low[g] = min(low[g], v)
                    high[g] = max(high[g], v)
        if what in (Z_SCORE, DEVIATION):
            for c in range(columns):
                v = row[c]
                if v == v and code[c] == code[c]:
                    g = int(code[c])
                    e = (v - first[g]) - total[g] / count[g]
                    squares[g] += e * e
        for c in range(columns):
            v = row[c]
            value = np.nan
            if v == v and code[c] == code[c]:
                g = int(code[c])
                n = count[g]
                offset = total[g] / n
                if what == MEAN:
                    value = first[g] + offset
                elif what == COUNT:
                    value = n
                elif what == NEUTRALIZE:
                    value = (v - first[g]) - offset
                elif what == LARGEST:
                    value = high[g]
                elif what == SMALLEST:
                    value = low[g]
                elif what == UNIT:
                    value = (v - low[g]) / (high[g] - low[g])
                elif n > 1.0:
                    value = np.sqrt(squares[g] / (n - 1.0)) if low[g] < high[g] else 0.0
                    if what == Z_SCORE:
                        value = ((v - first[g]) - offset) / value
            result[c] = value if value - value == 0.0 else np.nan


def mean(slots, dims, params):
    _statistic(slots, dims, MEAN)


def sum_(slots, dims, params):
    """Plain sums need no more than one number a group: made groups are built of many of them."""
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    total = as_doubles(dims[SCRATCH])
    for r in range(dims[ROWS]):
        row, code, result = row_of(x, r, width), row_of(codes, r, width), row_of(out, r, width)
        for g in range(_n_groups(code, columns)):
            total[g] = 0.0
        for c in range(columns):
            v, g = row[c], code[c]
            if v == v and g == g:
                total[int(g)] += v
        for c in range(columns):
            v, g = row[c], code[c]
            value = np.nan
            if v == v and g == g:
                value = total[int(g)]
            result[c] = value if value - value == 0.0 else np.nan


def count(slots, dims, params):
    _statistic(slots, dims, COUNT)


def neutralize(slots, dims, params):
    _statistic(slots, dims, NEUTRALIZE)


def zscore(slots, dims, params):
    _statistic(slots, dims, Z_SCORE)


def std(slots, dims, params):
    _statistic(slots, dims, DEVIATION)


def max_(slots, dims, params):
    _statistic(slots, dims, LARGEST)


def min_(slots, dims, params):
    _statistic(slots, dims, SMALLEST)


def scale(slots, dims, params):
    _statistic(slots, dims, UNIT)


def rank(slots, dims, params):
    """Average rank among the group's present members, divided by their number: one sort serves all groups."""
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, code, result = row_of(x, r, width), row_of(codes, r, width), row_of(out, r, width)
        groups = _n_groups(code, columns)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        size = as_doubles(dims[SCRATCH] + 8 * scratch_size(columns))
        below = as_doubles(dims[SCRATCH] + 8 * (scratch_size(columns) + groups))
        ties = as_doubles(dims[SCRATCH] + 8 * (scratch_size(columns) + 2 * groups))
        for g in range(groups):
            size[g], below[g], ties[g] = 0.0, 0.0, 0.0
        for c in range(width):
            result[c] = np.nan
        for i in range(n):
            g = code[np.int64(order[i] & mask)]
            if g == g:
                size[int(g)] += 1.0
        start = 0
        while start < n:
            end = tie_end(row, order, start, n, mask)
            for i in range(start, end):
                g = code[np.int64(order[i] & mask)]
                if g == g:
                    ties[int(g)] += 1.0
            for i in range(start, end):
                c = np.int64(order[i] & mask)
                if code[c] == code[c]:
                    g = int(code[c])
                    result[c] = (below[g] + 0.5 * (ties[g] + 1.0)) / size[g]
            for i in range(start, end):
                g = code[np.int64(order[i] & mask)]
                if g == g and ties[int(g)] > 0.0:
                    below[int(g)] += ties[int(g)]
                    ties[int(g)] = 0.0
            start = end
