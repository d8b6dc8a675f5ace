"""Kernels that look back to one row."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import FIRST_DATE, ROWS, as_doubles, operand
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store


def delay(slots, dims, params):
    """The value of d days ago. It may run on some rows of a tile, of which `FIRST_DATE` is the first."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, first, d = dims[ROWS], dims[FIRST_DATE], int(params[0])
    nothing = splat(np.nan)
    begin = min(max(d - first, 0), rows)
    for t in range(begin):
        store(out, t * LANES, nothing)
    for t in range(begin, rows):
        store(out, t * LANES, load(x, (t - d) * LANES))


def backfill(slots, dims, params):
    """The last present value among the d days ending today."""
    out, x = as_doubles(slots[0]), operand(slots, 1)
    rows, d = dims[ROWS], int(params[0])
    value, age = splat(np.nan), splat(float(d))
    for t in range(rows):
        v = load(x, t * LANES)
        gone = missing(v)
        value = select(gone, value, v)
        age = select(gone, age + 1.0, splat(0.0))
        store(out, t * LANES, select(age < float(d), value, splat(np.nan)))
