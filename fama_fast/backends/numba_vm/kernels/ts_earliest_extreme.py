"""Days since the extreme of a window, of equals the earliest, on half-blocks (see `blocks`).

`ts_order` has the same walk with ties the other way round, so the strict and the weak comparison change places.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, SCRATCH, as_doubles, inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low, first_block
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store


@inlined
def _first_extreme(slots, dims, params, side):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, least = dims[ROWS], int(params[0]), params[1]
    strict = least >= d
    suffix = as_doubles(dims[SCRATCH])
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    lowest = splat(-np.inf)
    block = first_block(dims, d)
    while block < rows:
        best, where, count = lowest, zero, zero
        for t in range(block - 1, clip_low(block - d + 1) - 1, -1):
            v = load(x, t * LANES) * side
            count = count + select(missing(v), zero, one)
            better = v >= best
            best = select(better, v, best)
            where = select(better, splat(float(t)), where)
            at = (t - block + d) * 3 * LANES
            store(suffix, at, best)
            store(suffix, at + LANES, where)
            store(suffix, at + 2 * LANES, count)
        best, where, count = lowest, zero, zero
        for t in range(clip_low(block), min(block + d, rows)):
            v = load(x, t * LANES) * side
            count = count + select(missing(v), zero, one)
            better = v > best
            best = select(better, v, best)
            where = select(better, splat(float(t)), where)
            first = t - d + 1
            place, n = where, count
            if first < block and block > 0:
                at = (clip_low(first) - block + d) * 3 * LANES
                older = load(suffix, at)
                n = n + load(suffix, at + 2 * LANES)
                place = select(older >= best, load(suffix, at + LANES), place)
            if strict and first < 0:
                store(out, t * LANES, nothing)
            else:
                store(out, t * LANES, select(n >= least, splat(float(t)) - place, nothing))
        block += d


def argmax(slots, dims, params):
    _first_extreme(slots, dims, params, 1.0)


def argmin(slots, dims, params):
    _first_extreme(slots, dims, params, -1.0)
