"""Moving values between blocked arrays, tiles of dates and results: the only kernels that know both layouts.

A blocked array is (blocks, dates, 8): eight symbols wide, all dates contiguous.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    DATES,
    FIRST_DATE,
    ROWS,
    TILE,
    WIDTH,
    as_doubles,
)
from fama_fast.backends.numba_vm.simd import LANES, load, splat, store


def fill(slots, dims, params):
    """The number params[0] everywhere."""
    out = as_doubles(slots[0])
    value = splat(params[0])
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        store(out, i, value)


def gather(slots, dims, params):
    """A tile of dates from a blocked array."""
    out, blocked = as_doubles(slots[0]), as_doubles(slots[1])
    rows, width, first, dates = dims[ROWS], dims[WIDTH], dims[FIRST_DATE], dims[DATES]
    for block in range(width // LANES):
        source = (block * dates + first) * LANES
        for r in range(rows):
            store(out, r * width + block * LANES, load(blocked, source + r * LANES))


def scatter(slots, dims, params):
    """A tile of dates into a blocked array; columns without a symbol become missing."""
    blocked, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, width, first, dates, columns = dims[ROWS], dims[WIDTH], dims[FIRST_DATE], dims[DATES], dims[COLUMNS]
    for r in range(rows):
        for c in range(columns, width):
            x[r * width + c] = np.nan
    for block in range(width // LANES):
        target = (block * dates + first) * LANES
        for r in range(rows):
            store(blocked, target + r * LANES, load(x, r * width + block * LANES))


def emit_dates(slots, dims, params):
    """A tile of dates into a result of (dates, symbols)."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, width, first, columns = dims[ROWS], dims[WIDTH], dims[FIRST_DATE], dims[COLUMNS]
    for r in range(rows):
        for c in range(columns):
            out[(first + r) * columns + c] = x[r * width + c]


def emit_block(slots, dims, params):
    """A symbol block into a result of (dates, symbols)."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, columns, block = dims[ROWS], dims[COLUMNS], dims[TILE]
    first = block * LANES
    here = min(LANES, columns - first)
    if here == LANES:
        for t in range(rows):
            store(out, t * columns + first, load(x, t * LANES))
    else:
        for t in range(rows):
            for c in range(here):
                out[t * columns + first + c] = x[t * LANES + c]
