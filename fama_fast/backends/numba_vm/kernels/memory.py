"""Moving values between blocked arrays, tiles of dates and results: the only kernels that know both layouts.

A blocked array is (blocks, dates, 8): eight symbols wide, all dates contiguous.

Date stages copy tiles of fields (`gather`). Reading fields in place, from rows of dates, cost the same processor time
per random expression (24 ms on 500 symbols, 250 to 280 ms on 3,000, on a busy machine), so the copies stay.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    COLUMNS,
    DATES,
    END_TILE,
    FIRST_DATE,
    FIRST_RESULT,
    FIRST_TILE,
    ROWS,
    TILE,
    WIDTH,
    as_doubles,
    as_floats,
    inlined,
    operand,
)
from fama_fast.backends.numba_vm.simd import LANES, load, prefetch, splat, store, stream

AHEAD = 32  # lines between the one that is copied and the one that is asked for
STREAM = 1 << 21  # doubles of a result that no last-level cache would keep for its reader; of float32 twice as many


def fill(slots, dims, params):
    """The number params[0] everywhere."""
    out = as_doubles(slots[0])
    value = splat(params[0])
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        store(out, i, value)


def copy(slots, dims, params):
    """The operand again: a blocked result that is a field, or one value asked for twice."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        store(out, i, load(x, i))


def narrow(slots, dims, params):
    """float64 rounded to float32: a blocked result."""
    out, x = as_floats(slots[0]), operand(slots, 1)
    n = dims[ROWS] * dims[WIDTH]
    if slots[0] % 64 == 0 and dims[DATES] * dims[COLUMNS] >= 2 * STREAM:
        for i in range(0, n, LANES):
            stream(out, i, load(x, i))
    else:
        for i in range(0, n, LANES):
            store(out, i, load(x, i))


def gather(slots, dims, params):
    """A tile of dates from a blocked array."""
    out, blocked = as_doubles(slots[0]), operand(slots, 1)
    rows, width, first, dates = dims[ROWS], dims[WIDTH], dims[FIRST_DATE], dims[DATES]
    ahead = max(1, AHEAD // rows) * dates * LANES
    for block in range(width // LANES):
        source = (block * dates + first) * LANES
        for r in range(rows):
            prefetch(blocked, source + ahead + r * LANES)
            store(out, r * width + block * LANES, load(blocked, source + r * LANES))


@inlined
def _scatter(slots, dims, blocked, many):
    x = as_doubles(slots[1])
    rows, width, first, dates, columns = dims[ROWS], dims[WIDTH], dims[FIRST_DATE], dims[DATES], dims[COLUMNS]
    for r in range(rows):
        for c in range(columns, width):
            x[r * width + c] = np.nan
    past_caches = slots[0] % 64 == 0 and dates * width >= many
    for block in range(width // LANES):
        target = (block * dates + first) * LANES
        for r in range(rows):
            cells = load(x, r * width + block * LANES)
            if past_caches:
                stream(blocked, target + r * LANES, cells)
            else:
                store(blocked, target + r * LANES, cells)


def scatter(slots, dims, params):
    """A tile of dates into a blocked array; columns without a symbol become missing."""
    _scatter(slots, dims, as_doubles(slots[0]), STREAM)


def scatter_narrow(slots, dims, params):
    """`scatter` into float32."""
    _scatter(slots, dims, as_floats(slots[0]), 2 * STREAM)


@inlined
def _emit_dates(slots, dims, out, many):
    x = as_doubles(slots[1])
    rows, width, columns = dims[ROWS], dims[WIDTH], dims[COLUMNS]
    first = dims[FIRST_DATE] - dims[FIRST_RESULT]
    whole = columns - columns % LANES
    past_caches = whole == columns and slots[0] % 64 == 0 and dims[DATES] * columns >= many
    for r in range(max(0, -first), rows):
        at = (first + r) * columns
        for c in range(0, whole, LANES):
            if past_caches:
                stream(out, at + c, load(x, r * width + c))
            else:
                store(out, at + c, load(x, r * width + c))
        for c in range(whole, columns):
            out[at + c] = x[r * width + c]


def emit_dates(slots, dims, params):
    """A tile of dates into a result of (dates, symbols)."""
    _emit_dates(slots, dims, as_doubles(slots[0]), STREAM)


def emit_dates_narrow(slots, dims, params):
    """`emit_dates` into float32."""
    _emit_dates(slots, dims, as_floats(slots[0]), 2 * STREAM)


def emit_block(slots, dims, params):
    """A symbol block into a result of (dates, symbols): a cache line a date, or parts of two.

    The result may begin after the rows at hand. Where every date's eight cells are one whole line, and the result
    outgrows the caches, lines are streamed out.
    """
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, columns, block = dims[ROWS], dims[COLUMNS], dims[TILE]
    row = dims[FIRST_DATE] - dims[FIRST_RESULT]
    first = block * LANES + row * columns
    begin = max(0, -row)
    here = min(LANES, columns - block * LANES)
    if columns % LANES == 0 and slots[0] % 64 == 0 and dims[DATES] * columns >= STREAM:
        for t in range(begin, rows):
            stream(out, t * columns + first, load(x, t * LANES))
    elif here == LANES:
        for t in range(begin, rows):
            store(out, t * columns + first, load(x, t * LANES))
    else:
        for t in range(begin, rows):
            for c in range(here):
                out[t * columns + first + c] = x[t * LANES + c]


def emit_block_narrow(slots, dims, params):
    """`emit_block` into float32: half a cache line a date.

    Where lines are to be streamed out, the half that a line begins with waits in the second operand, a register that
    nothing else uses, until the next block brings the other half.
    """
    out, x, waiting = as_floats(slots[0]), operand(slots, 1), as_floats(slots[2])
    rows, columns, block = dims[ROWS], dims[COLUMNS], dims[TILE]
    row = dims[FIRST_DATE] - dims[FIRST_RESULT]
    first = block * LANES + row * columns
    here = min(LANES, columns - block * LANES)
    paired = columns % LANES == 0 and slots[0] % 32 == 0 and dims[DATES] * columns >= 2 * STREAM
    follows, goes_on = paired and block > dims[FIRST_TILE], paired and block + 1 < dims[END_TILE]
    for t in range(max(0, -row), rows):
        at = t * columns + first
        begins = (slots[0] + 4 * at) % 64 == 0
        if begins and goes_on:
            store(waiting, t * LANES, load(x, t * LANES))
        elif follows and not begins:
            stream(out, at - LANES, load(waiting, t * LANES))
            stream(out, at, load(x, t * LANES))
        elif here == LANES:
            store(out, at, load(x, t * LANES))
        else:
            for c in range(here):
                out[at + c] = x[t * LANES + c]
