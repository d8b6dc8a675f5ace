"""What is left of a date's values beside others: projections and least squares over all members, or over a group's.

Members only: the planner has masked the others. Group codes are whole numbers from 0; missing means no group.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    ROWS,
    SCRATCH,
    WIDTH,
    address_of,
    as_doubles,
    helper,
    inlined,
    row_of,
)
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.kernels.cross_section import added, last_lanes
from fama_fast.backends.numba_vm.kernels.far import scale_for, unsafe
from fama_fast.backends.numba_vm.kernels.group import places_of
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store

# What is left of a regressor beside the others, as a share of its own size, below which it says nothing of its own.
_DEPENDENT = 1e-9
# Sums of squares of deviations between which the projections of several series on each other are safe.
_NEAR_0, _FAR = 2.0**-400, 2.0**400


@inlined
def _share(products, squares):
    """What y is multiplied by, from sums of products and of squares, and whether digits of it may have been lost."""
    share = products / squares
    return share, unsafe(squares) or unsafe(abs(products)) or unsafe(abs(share))


@helper
def _sizes(x, y, columns):
    """Powers of two that bring the largest of each near 1, over the members that have both."""
    size_x, size_y = 0.0, 0.0
    for c in range(columns):
        if x[c] == x[c] and y[c] == y[c]:
            size_x, size_y = max(size_x, abs(x[c])), max(size_y, abs(y[c]))
    return scale_for(size_x), scale_for(size_y)


@helper
def _vector_far(x, y, result, columns, lanes):
    """A date of `vector` on values times powers of two (see `far`), added up in the same order; lanes: 16 doubles."""
    scale_x, scale_y = _sizes(x, y, columns)
    squares = as_doubles(address_of(lanes) + 8 * LANES)
    for i in range(2 * LANES):
        lanes[i] = 0.0
    for c in range(columns):
        a, b = x[c] * scale_x, y[c] * scale_y
        if a * b == a * b:
            lanes[c % LANES] += a * b
            squares[c % LANES] += b * b
    share = added(lanes) / added(squares)
    for c in range(columns):
        value = (x[c] * scale_x - y[c] * scale_y * share) / scale_x
        result[c] = value if value - value == 0.0 else np.nan


def vector(slots, dims, params):
    """x less its part along y, over the members that have both."""
    out, x, y = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    width, columns = dims[WIDTH], dims[COLUMNS]
    tail_x, tail_y = as_doubles(dims[SCRATCH]), as_doubles(dims[SCRATCH] + 8 * LANES)
    lanes = as_doubles(dims[SCRATCH] + 16 * LANES)
    zero = splat(0.0)
    for r in range(dims[ROWS]):
        row, beside, result = row_of(x, r, width), row_of(y, r, width), row_of(out, r, width)
        whole = last_lanes(row, columns, tail_x)
        last_lanes(beside, columns, tail_y)
        products, squares = zero, zero
        for c in range(0, columns, LANES):
            a, b = (load(row, c), load(beside, c)) if c < whole else (load(tail_x, 0), load(tail_y, 0))
            gone = missing(a) | missing(b)
            products = products + select(gone, zero, a * b)
            squares = squares + select(gone, zero, b * b)
        store(lanes, 0, products)
        along = added(lanes)
        store(lanes, 0, squares)
        share, far = _share(along, added(lanes))
        if far:
            _vector_far(row, beside, result, columns, lanes)
            continue
        for c in range(0, columns, LANES):
            a, b = (load(row, c), load(beside, c)) if c < whole else (load(tail_x, 0), load(tail_y, 0))
            store(result, c, finite(a - b * share))


@helper
def _group_vector_far(x, y, result, place, columns, places, figures):
    """A date of `group_vector` on values times powers of two of each group (see `far`)."""
    products, squares = as_doubles(figures), as_doubles(figures + 8 * places)
    scale_x, scale_y = as_doubles(figures + 16 * places), as_doubles(figures + 24 * places)
    for g in range(places):
        products[g], squares[g], scale_x[g], scale_y[g] = 0.0, 0.0, 0.0, 0.0
    for c in range(columns):
        g = int(place[c])
        if g > 0:
            scale_x[g], scale_y[g] = max(scale_x[g], abs(x[c])), max(scale_y[g], abs(y[c]))
    for g in range(places):
        scale_x[g], scale_y[g] = scale_for(scale_x[g]), scale_for(scale_y[g])
    for c in range(columns):
        g = int(place[c])
        a, b = x[c] * scale_x[g], y[c] * scale_y[g]
        products[g] += a * b
        squares[g] += b * b
    for c in range(columns):
        g = int(place[c])
        value = (x[c] * scale_x[g] - y[c] * scale_y[g] * (products[g] / squares[g])) / scale_x[g]
        result[c] = value if g > 0 and value - value == 0.0 else np.nan


def group_vector(slots, dims, params):
    """The same within each group."""
    out, x, y, codes = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2]), as_doubles(slots[3])
    width, columns = dims[WIDTH], dims[COLUMNS]
    lanes, place = as_doubles(dims[SCRATCH]), as_doubles(dims[SCRATCH] + 8 * LANES)
    figures = dims[SCRATCH] + 8 * (LANES + width)
    for r in range(dims[ROWS]):
        row, beside, code = row_of(x, r, width), row_of(y, r, width), row_of(codes, r, width)
        result = row_of(out, r, width)
        for c in range(columns):
            result[c] = row[c] * beside[c]
        places = places_of(result, code, columns, place, lanes) + 1
        products, squares = as_doubles(figures), as_doubles(figures + 8 * places)
        count = as_doubles(figures + 16 * places)
        for g in range(places):
            products[g], squares[g], count[g] = 0.0, 0.0, 0.0
        for c in range(columns):
            g = int(place[c])
            products[g] += result[c]
            squares[g] += beside[c] * beside[c]
            count[g] += 1.0
        far = False
        for g in range(1, places):
            products[g], unsafe_group = _share(products[g], squares[g])
            far = far or (unsafe_group and count[g] > 0.0)
        if far:
            _group_vector_far(row, beside, result, place, columns, places, figures)
            continue
        products[0] = np.nan
        for c in range(columns):
            value = row[c] - beside[c] * products[int(place[c])]
            result[c] = value if value - value == 0.0 else np.nan


def regression(slots, dims, params):
    """What is left of the first operand beside an intercept and the others, over the members that have all of them.

    Gram and Schmidt: regressors, then the first operand, lose their mean and their parts along the regressors before
    them, each twice, the second time for what rounding left. One loop serves both, which keeps the code small.
    What lies far from 1 is taken times a power of two (see `far`), and the residuals are divided by theirs.
    """
    out = as_doubles(slots[0])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        result = row_of(out, r, width)
        n = 0
        for c in range(columns):
            result[c] = 1.0
            for j in range(1, 5):
                v = as_doubles(slots[j])[r * width + c]
                if v != v:
                    result[c] = np.nan
            n += 1 if result[c] == 1.0 else 0
        used, usable, scale = 0, n > 0, 1.0
        left = as_doubles(dims[SCRATCH])
        for j in range(1, 5):
            if not usable:
                break
            x = row_of(as_doubles(slots[1 + j % 4]), r, width)
            left = as_doubles(dims[SCRATCH] + 8 * n * used)
            low, high, i = np.inf, -np.inf, 0
            for c in range(columns):
                if result[c] == 1.0:
                    left[i] = x[c]
                    low, high = min(low, x[c]), max(high, x[c])
                    i += 1
            shift = left[0]  # about a value first: a large common level costs no digits
            for _ in range(3):
                total = 0.0
                for i in range(n):
                    left[i] -= shift
                    total += left[i]
                shift = total / n
            if j < 4 and low == high:
                continue  # beside the intercept a constant says nothing
            size, scale = 0.0, 1.0
            for i in range(n):
                size += left[i] * left[i]
            if not _NEAR_0 <= size <= _FAR:
                scale = scale_for(high - low)
                size = 0.0
                for i in range(n):
                    left[i] *= scale
                    size += left[i] * left[i]
            for k in range(2 * used):
                base = as_doubles(dims[SCRATCH] + 8 * n * (k % used))
                product, square = 0.0, 0.0
                for i in range(n):
                    product += left[i] * base[i]
                    square += base[i] * base[i]
                for i in range(n):
                    left[i] -= product / square * base[i]
            if j < 4:
                rest = 0.0
                for i in range(n):
                    rest += left[i] * left[i]
                usable = np.sqrt(rest) > _DEPENDENT * np.sqrt(size)
                used += 1
        usable = usable and n >= used + 2
        i = 0
        for c in range(columns):
            if result[c] == 1.0:
                v = left[i] / scale if usable else np.nan
                result[c] = v if v - v == 0.0 else np.nan
                i += 1
