"""Rolling products, on half-blocks.

A product of numbers may leave the range of numbers on its way and come back. Loops run on plain numbers and watch how
near to its ends they come; the few windows that did are taken again with exponents apart (see `far`), in the same
order, hence with the same bits. A window with a zero in it is 0.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, helper, inlined, operand
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, finite, first_block
from fama_fast.backends.numba_vm.kernels.far import HIGHEST, LEAST, larger, scaled_back, smaller
from fama_fast.backends.numba_vm.kernels.gaps import roll
from fama_fast.backends.numba_vm.simd import (
    LANES,
    absolute,
    any_lane,
    exponent_of,
    fraction_of,
    load,
    missing,
    negative,
    select,
    splat,
    store,
)

_SAFE = 1000.0  # a power of two from which to 2^1023 a rounding or two is no matter


@inlined
def _apart(v):
    """(m, e): v = m * 2^e with 1 <= |m| < 2; m is 0 of 0, and 1 where v is missing."""
    size = absolute(v)
    tiny = size < LEAST
    size = select(tiny, size * 2.0**54, size)
    e = exponent_of(size) - select(tiny, splat(54.0), splat(0.0))
    m = fraction_of(size)
    m = select(v < 0.0, negative(m), m)
    none = missing(v)
    m = select(v == 0.0, splat(0.0), select(none, splat(1.0), m))
    return m, select(none | (v == 0.0), splat(0.0), e)


@inlined
def _times(m, e, m2, e2):
    """The product of two such numbers."""
    m, e = m * m2, e + e2
    large = absolute(m) >= 2.0
    return select(large, m * 0.5, m), select(large, e + 1.0, e)


@inlined
def _half(x, start, end, step):
    """Product of half a window outwards from the block's border: as (m, e), as a number, present days, the smallest
    number on the way.
    """
    m, e, plain, n, least = splat(1.0), splat(0.0), splat(1.0), splat(0.0), splat(np.inf)
    for t in range(start, end, step):
        v = load(x, t * LANES)
        gone = missing(v)
        m2, e2 = _apart(v)
        m, e = _times(m, e, m2, e2)
        plain = plain * select(gone, splat(1.0), v)
        least = smaller(absolute(plain), least)
        n = n + select(gone, splat(0.0), splat(1.0))
    return m, e, plain, n, least


@helper
def _far(out, x, block, rows, d, need):
    """Put right, among the windows that end in a block, those whose product left the range of numbers on its way."""
    low, high = splat(np.inf), splat(0.0)
    for t in range(clip_low(block - d + 1), min(block + d, rows)):
        size = absolute(load(x, t * LANES))
        low, high = select((size > 0.0) & (size < low), size, low), larger(size, high)
    days = float(d)
    if not any_lane((exponent_of(low) * days < -_SAFE) | ((exponent_of(high) + 1.0) * days > _SAFE)):
        return  # zeros are all that made it small
    for t in range(clip_low(block), min(block + d, rows)):
        m2, e2, plain2, n2, least2 = _half(x, block - 1, clip_low(t - d + 1) - 1, -1)
        m, e, plain, n, least = _half(x, max(block, 0), t + 1, 1)
        size = absolute(plain * plain2)
        least = smaller(size, smaller(least2, least))
        again = (n + n2 >= need) & ((least < LEAST) | (size - size != 0.0))
        if any_lane(again):
            m, e = _times(m, e, m2, e2)
            e = select(e > 2000.0, splat(2000.0), select(e < -2000.0, splat(-2000.0), e))
            store(out, t * LANES, select(again, scaled_back(m, e), load(out, t * LANES)))


def product(slots, dims, params):
    """Where all days must be present: a missing one makes every half that holds it missing by itself."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    suffix = as_doubles(dims[SCRATCH])
    for t in range(min(d - 1, rows)):
        store(out, t * LANES, splat(np.nan))
    block = first_block(dims, d)
    while block < rows:
        if block >= 0:
            least, most = splat(np.inf), splat(0.0)
            running = splat(1.0)
            for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
                running = running * load(x, t * LANES)
                size = absolute(running)
                least, most = smaller(size, least), larger(size, most)
                store(suffix, (t - block + d) * LANES, running)
            # A block's last window has nothing of the older half.
            store(suffix, d * LANES, splat(1.0))
            running = splat(1.0)
            for t in range(block, min(block + d, rows)):
                running = running * load(x, t * LANES)
                size = absolute(running)
                least, most = smaller(size, least), larger(size, most)
                first = t - d + 1
                if first >= 0:
                    total = running * load(suffix, (first - block + d) * LANES)
                    least = smaller(absolute(total), least)
                    store(out, t * LANES, finite(total))
            if any_lane((least < LEAST) | (most > HIGHEST)):
                _far(out, x, block, rows, d, float(d))
        block += d


def product_relaxed(slots, dims, params):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d, need = dims[ROWS], int(params[0]), params[1]
    suffix = as_doubles(dims[SCRATCH])
    one, nothing, present = splat(1.0), splat(np.nan), splat(0.0)
    block = first_block(dims, d)
    while block < rows:
        least = splat(np.inf)
        running = one
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES)
            running = running * select(missing(v), one, v)
            least = smaller(absolute(running), least)
            store(suffix, (t - block + d) * LANES, running)
        store(suffix, d * LANES, one)
        older, running = running, one
        for t in range(clip_low(block), min(block + d, rows)):
            v = load(x, t * LANES)
            gone = missing(v)
            present = roll(present, gone, x, t, d)
            running = running * select(gone, one, v)
            total = running
            if block > 0:
                total = running * load(suffix, (clip_low(t - d + 1) - block + d) * LANES)
            least = smaller(absolute(running), smaller(absolute(total), least))
            store(out, t * LANES, select((present >= need) & (total - total == 0.0), total, nothing))
        # An infinity stays one, or becomes no number.
        if any_lane((least < LEAST) | (older - older != 0.0) | (running - running != 0.0)):
            _far(out, x, block, rows, d, need)
        block += d
