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
    helper,
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.far import digits, scale_for, unsafe
from fama_fast.backends.numba_vm.kernels.radix import order_row, scratch_size, tie_end
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store

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
def places_of(row, code, columns, place, lanes):
    """place[c]: 1 + the group of each present value, 0 of any other; returns the largest.

    With a place for what does not count, the loops over columns have no branch to predict. lanes: eight doubles.
    """
    zero = splat(0.0)
    most = zero
    whole = columns - columns % LANES
    for c in range(0, whole, LANES):
        g = load(code, c)
        at = select(missing(load(row, c)) | missing(g), zero, g + 1.0)
        most = select(at > most, at, most)
        store(place, c, at)
    store(lanes, 0, most)
    largest = lanes[0]
    for i in range(1, LANES):
        largest = max(largest, lanes[i])
    for c in range(whole, columns):
        place[c] = code[c] + 1.0 if row[c] == row[c] and code[c] == code[c] else 0.0
        largest = max(largest, place[c])
    return int(largest)


@helper
def _far_from_1(row, result, columns, place, places, figures, what):
    """Z-scores or deviations of a date on which a group's squares overflow or vanish (see `far`).

    figures: address of what `_statistic` knows of each group so far.
    """
    count, first = as_doubles(figures), as_doubles(figures + 8 * places)
    total, squares = as_doubles(figures + 16 * places), as_doubles(figures + 24 * places)
    low, high = as_doubles(figures + 32 * places), as_doubles(figures + 40 * places)
    scale = low
    for g in range(places):
        size = 0.0  # of those without a group, and where all members have one value
        if g > 0 and low[g] < high[g]:
            size = max(abs((low[g] - first[g]) - total[g]), abs((high[g] - first[g]) - total[g]))
        scale[g] = scale_for(size)
        squares[g] = 0.0
    for c in range(columns):
        g = int(place[c])
        e = ((row[c] - first[g]) - total[g]) * scale[g]
        squares[g] += e * e
    for c in range(columns):
        g = int(place[c])
        deviation = np.sqrt(squares[g] / (count[g] - 1.0)) if g > 0 and count[g] > 1.0 else np.nan
        if what == DEVIATION:
            result[c] = digits(deviation / scale[g])
        else:
            value = ((row[c] - first[g]) - total[g]) * scale[g] / deviation
            result[c] = value if value - value == 0.0 else np.nan


@inlined
def _statistic(slots, dims, what):
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    lanes = as_doubles(dims[SCRATCH])
    place = as_doubles(dims[SCRATCH] + 8 * LANES)
    figures = dims[SCRATCH] + 8 * (LANES + width)
    for r in range(dims[ROWS]):
        row, code, result = row_of(x, r, width), row_of(codes, r, width), row_of(out, r, width)
        places = places_of(row, code, columns, place, lanes) + 1
        count, first = as_doubles(figures), as_doubles(figures + 8 * places)
        # Sums of distances from the first value, later their mean; sums of squares, later what is divided by.
        total, squares = as_doubles(figures + 16 * places), as_doubles(figures + 24 * places)
        low, high = as_doubles(figures + 32 * places), as_doubles(figures + 40 * places)
        for g in range(places):
            count[g], first[g], total[g], squares[g] = 0.0, 0.0, 0.0, 0.0
            low[g], high[g] = np.inf, -np.inf
        for c in range(columns):
            v, g = row[c], int(place[c])
            if count[g] == 0.0:
                first[g] = v
            count[g] += 1.0
            if what not in (COUNT, LARGEST, SMALLEST, UNIT):
                total[g] += v - first[g]
            if what in (LARGEST, SMALLEST, UNIT, Z_SCORE, DEVIATION):
                low[g] = min(low[g], v)
                high[g] = max(high[g], v)
        for g in range(places):
            total[g] = total[g] / count[g]
        if what in (Z_SCORE, DEVIATION):
            for c in range(columns):
                g = int(place[c])
                e = (row[c] - first[g]) - total[g]
                squares[g] += e * e
            far = False
            for g in range(1, places):
                far = far or (low[g] < high[g] and unsafe(squares[g]))
            if far:
                _far_from_1(row, result, columns, place, places, figures, what)
                continue
            for g in range(places):
                deviation = np.sqrt(squares[g] / (count[g] - 1.0)) if low[g] < high[g] else 0.0
                squares[g] = deviation if count[g] > 1.0 else np.nan
        # What has no place is missing, whichever of these the result is made of.
        count[0], first[0], low[0], high[0], squares[0] = np.nan, np.nan, np.nan, np.nan, np.nan
        for c in range(columns):
            v, g = row[c], int(place[c])
            if what == MEAN:
                value = first[g] + total[g]
            elif what == COUNT:
                value = count[g]
            elif what == NEUTRALIZE:
                value = (v - first[g]) - total[g]
            elif what == LARGEST:
                value = high[g]
            elif what == SMALLEST:
                value = low[g]
            elif what == UNIT:
                spread = high[g] - low[g]
                value = (v - low[g]) / (spread if spread < np.inf else np.nan)
            elif what == DEVIATION:
                value = squares[g]
            else:
                value = ((v - first[g]) - total[g]) / squares[g]
            result[c] = value if value - value == 0.0 else np.nan


def mean(slots, dims, params):
    _statistic(slots, dims, MEAN)


def sum_(slots, dims, params):
    """Plain sums need no more than one number a group: made groups are built of many of them."""
    out, x, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    lanes = as_doubles(dims[SCRATCH])
    place = as_doubles(dims[SCRATCH] + 8 * LANES)
    total = as_doubles(dims[SCRATCH] + 8 * (LANES + width))
    for r in range(dims[ROWS]):
        row, code, result = row_of(x, r, width), row_of(codes, r, width), row_of(out, r, width)
        places = places_of(row, code, columns, place, lanes) + 1
        for g in range(places):
            total[g] = 0.0
        for c in range(columns):
            total[int(place[c])] += row[c]
        total[0] = np.nan
        for c in range(columns):
            value = total[int(place[c])]
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
