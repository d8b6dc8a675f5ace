"""Kernels over all symbols of one date, beyond ranks and z-scores: statistics, quantiles, flags, groups.

Members only: the planner has masked the others. A statistic of the date is written where x is present.
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
from fama_fast.backends.numba_vm.kernels.cross_section import added, first_present, last_lanes, scaled_squares
from fama_fast.backends.numba_vm.kernels.far import HIGHEST, digits, unsafe
from fama_fast.backends.numba_vm.kernels.radix import order_row, tie_end
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store

_FEW = 2.0**-64  # of the largest number; times any number of symbols it is one
COUNT, SUM, MEAN, DEVIATION, LARGEST, SMALLEST = range(6)
UNIFORM, GAUSSIAN, CAUCHY = range(3)


@inlined
def _statistic(slots, dims, what):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    tail, sums = as_doubles(dims[SCRATCH]), as_doubles(dims[SCRATCH] + 8 * LANES)
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        whole = last_lanes(row, columns, tail)
        shift = first_present(row, columns) if what in (MEAN, DEVIATION) else 0.0
        n, total = zero, zero
        if what in (LARGEST, SMALLEST):
            total = splat(-np.inf if what == LARGEST else np.inf)
        for c in range(0, columns, LANES):
            v = load(row, c) if c < whole else load(tail, 0)
            if what == LARGEST:
                total = select(v > total, v, total)
            elif what == SMALLEST:
                total = select(total > v, v, total)
            else:
                gone = missing(v)
                n = n + select(gone, zero, one)
                if what != COUNT:
                    total = total + select(gone, zero, v - shift)
        if what == COUNT:
            total = n
        store(sums, 0, total)
        value = sums[0]
        if what in (LARGEST, SMALLEST):
            for i in range(1, LANES):
                value = max(value, sums[i]) if what == LARGEST else min(value, sums[i])
        else:
            value = added(sums)
        if what in (MEAN, DEVIATION):
            store(sums, 0, n)
            members = added(sums)
            offset = value / members
            value = shift + offset
            if what == DEVIATION:
                squares = zero
                for c in range(0, columns, LANES):
                    v = load(row, c) if c < whole else load(tail, 0)
                    e = (v - shift) - offset
                    squares = squares + select(missing(v), zero, e * e)
                store(sums, 0, squares)
                found, scale = added(sums), 1.0
                if unsafe(found):
                    found, scale = scaled_squares(row, columns, shift, offset, dims[SCRATCH])
                value = digits(np.sqrt(found / (members - 1.0)) / scale) if members > 1.0 else np.nan
        spread = splat(value if value - value == 0.0 else np.nan)
        for c in range(0, columns, LANES):
            v = load(row, c) if c < whole else load(tail, 0)
            store(result, c, select(missing(v), nothing, spread))


def count(slots, dims, params):
    _statistic(slots, dims, COUNT)


def sum_(slots, dims, params):
    _statistic(slots, dims, SUM)


def mean(slots, dims, params):
    _statistic(slots, dims, MEAN)


def std(slots, dims, params):
    _statistic(slots, dims, DEVIATION)


def max_(slots, dims, params):
    _statistic(slots, dims, LARGEST)


def min_(slots, dims, params):
    _statistic(slots, dims, SMALLEST)


@inlined
def _sides(row, columns, whole, tail, sums, factor):
    """Sums of the sizes of the positive and of the negative values, times `factor`."""
    zero = splat(0.0)
    above, below = zero, zero
    for c in range(0, columns, LANES):
        v = (load(row, c) if c < whole else load(tail, 0)) * factor
        above = above + select(v > 0.0, v, zero)
        below = below + select(v < 0.0, zero - v, zero)
    store(sums, 0, above)
    long = added(sums)
    store(sums, 0, below)
    return long, added(sums)


def scale(slots, dims, params):
    """Sum of absolute values equals params[0]; with params[1] or params[2], that of each side equals its own."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    tail, sums = as_doubles(dims[SCRATCH]), as_doubles(dims[SCRATCH] + 8 * LANES)
    sides = params[1] != 0.0 or params[2] != 0.0
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        whole = last_lanes(row, columns, tail)
        factor = 1.0
        long, short = _sides(row, columns, whole, tail, sums, factor)
        if long + short > HIGHEST:
            factor = _FEW
            long, short = _sides(row, columns, whole, tail, sums, factor)
        for c in range(columns):
            v = row[c] * factor
            if not sides:
                v = v / (long + short) * params[0]
            elif v > 0.0:
                v = v / long * params[1]
            elif v < 0.0:
                v = v / short * params[2]
            result[c] = v if v - v == 0.0 else np.nan


@inlined
def _between(row, order, mask, n, q):
    """The q-quantile of sorted values, linear between order statistics (type 7, NumPy's default)."""
    place = q * (n - 1)
    low = int(place)
    share = place - low
    value = row[np.int64(order[low] & mask)]
    if share > 0.0 and low + 1 < n:
        value = value + (row[np.int64(order[low + 1] & mask)] - value) * share
    return value


def percentile(slots, dims, params):
    """The params[0]-quantile of the date's members."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        value = _between(row, as_unsigned(order_at), mask, n, params[0]) if n > 0 else np.nan
        value = value if value - value == 0.0 else np.nan
        for c in range(columns):
            result[c] = value if row[c] == row[c] else np.nan


def winsorize_quantile(slots, dims, params):
    """x held within the params[0]- and the params[1]-quantile of the date's members."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        low, high = np.nan, np.nan
        if n > 0:
            low, high = _between(row, order, mask, n, params[0]), _between(row, order, mask, n, params[1])
        usable = low - low == 0.0 and high - high == 0.0
        for c in range(columns):
            v = row[c]
            if not usable or v != v:
                result[c] = np.nan
            else:
                result[c] = min(max(v, low), high)


@helper
def _normal_quantile(q):
    """The standard normal value with probability 0.5 + q below it: Wichura (1988), AS 241, PPND16; odd in q."""
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 2.5090809287301226727e3
        for a in (
            3.3430575583588128105e4,
            6.7265770927008700853e4,
            4.5921953931549871457e4,
            1.3731693765509461125e4,
            1.9715909503065514427e3,
            1.3314166789178437745e2,
            3.3871328727963666080e0,
        ):
            top = top * r + a
        bottom = 5.2264952788528545610e3
        for b in (
            2.8729085735721942674e4,
            3.9307895800092710610e4,
            2.1213794301586595867e4,
            5.3941960214247511077e3,
            6.8718700749205790830e2,
            4.2313330701600911252e1,
            1.0,
        ):
            bottom = bottom * r + b
        return q * top / bottom
    r = np.sqrt(-np.log(0.5 - abs(q)))
    if r <= 5.0:
        r -= 1.6
        top = 7.74545014278341407640e-4
        for a in (
            2.27238449892691845833e-2,
            2.41780725177450611770e-1,
            1.27045825245236838258e0,
            3.64784832476320460504e0,
            5.76949722146069140550e0,
            4.63033784615654529590e0,
            1.42343711074968357734e0,
        ):
            top = top * r + a
        bottom = 1.05075007164441684324e-9
        for b in (
            5.47593808499534494600e-4,
            1.51986665636164571966e-2,
            1.48103976427480074590e-1,
            6.89767334985100004550e-1,
            1.67638483018380384940e0,
            2.05319162663775882187e0,
            1.0,
        ):
            bottom = bottom * r + b
    else:
        r -= 5.0
        top = 2.01033439929228813265e-7
        for a in (
            2.71155556874348757815e-5,
            1.24266094738807843860e-3,
            2.65321895265761230930e-2,
            2.96560571828504891230e-1,
            1.78482653991729133580e0,
            5.46378491116411436990e0,
            6.65790464350110377720e0,
        ):
            top = top * r + a
        bottom = 2.04426310338993978564e-15
        for b in (
            1.42151175831644588870e-7,
            1.84631831751005468180e-5,
            7.86869131145613259100e-4,
            1.48753612908506148525e-2,
            1.36929880922735805310e-1,
            5.99832206555887937690e-1,
            1.0,
        ):
            bottom = bottom * r + b
    return top / bottom if q > 0.0 else -top / bottom


@inlined
def _quantile(slots, dims, driver):
    """The driver's quantile at each member's rank, shifted into [1/n, 1 - 1/n]."""
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
            # Twice the rank's distance from the middle is a whole number: both tails get the same bits.
            value = 0.0
            if n > 1:
                value = float(start + end - n) * (1.0 - 2.0 / n) / (2.0 * (n - 1))
            if driver == GAUSSIAN:
                value = _normal_quantile(value)
            elif driver == CAUCHY:
                value = np.tan(np.pi * value)
            for i in range(start, end):
                result[np.int64(order[i] & mask)] = value
            start = end


def quantile_uniform(slots, dims, params):
    _quantile(slots, dims, UNIFORM)


def quantile_gaussian(slots, dims, params):
    _quantile(slots, dims, GAUSSIAN)


def quantile_cauchy(slots, dims, params):
    _quantile(slots, dims, CAUCHY)


@inlined
def _flag(slots, dims, params, top):
    """1 for the params[0] largest (smallest) members and all that equal the last of them, else 0."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        wanted = min(int(params[0]), n)
        last = np.nan
        if wanted > 0:
            last = row[np.int64(as_unsigned(order_at)[n - wanted if top else wanted - 1] & mask)]
        for c in range(columns):
            v = row[c]
            inside = v >= last if top else v <= last
            result[c] = np.nan if v != v else (1.0 if inside else 0.0)


def top(slots, dims, params):
    _flag(slots, dims, params, True)


def bottom(slots, dims, params):
    _flag(slots, dims, params, False)


def densify(slots, dims, params):
    """The number of smaller distinct values among the date's members."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    width, columns = dims[WIDTH], dims[COLUMNS]
    seen = as_doubles(dims[SCRATCH])
    for r in range(dims[ROWS]):
        row, result = row_of(x, r, width), row_of(out, r, width)
        # Bucket numbers are small and whole: marking them costs no sort.
        small = True
        for c in range(columns):
            v = row[c]
            if v == v and not (0.0 <= v < 1024.0 and v == np.floor(v)):
                small = False
                break
        for c in range(width):
            result[c] = np.nan
        if small:
            for k in range(1024):
                seen[k] = 0.0
            for c in range(columns):
                if row[c] == row[c]:
                    seen[int(row[c])] = 1.0
            before = 0.0
            for k in range(1024):
                here = seen[k]
                seen[k] = before
                before += here
            for c in range(columns):
                if row[c] == row[c]:
                    result[c] = seen[int(row[c])]
            continue
        n, order_at, mask = order_row(row, columns, dims[SCRATCH])
        order = as_unsigned(order_at)
        code, before = 0.0, np.nan
        for i in range(n):
            c = np.int64(order[i] & mask)
            if i > 0 and row[c] != before:
                code += 1.0
            before = row[c]
            result[c] = code
