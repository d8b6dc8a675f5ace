"""Kernels that look back to one row."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, as_doubles
from fama_fast.backends.numba_vm.simd import LANES, load, missing, select, splat, store


def delay(slots, dims, params):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    nothing = splat(np.nan)
    for t in range(min(d, rows)):
        store(out, t * LANES, nothing)
    for t in range(d, rows):
        store(out, t * LANES, load(x, (t - d) * LANES))


def backfill(slots, dims, params):
    """The last present value among the d days ending today."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    value, age = splat(np.nan), splat(float(d))
    for t in range(rows):
        v = load(x, t * LANES)
        gone = missing(v)
        value = select(gone, value, v)
        age = select(gone, age + 1.0, splat(0.0))
        store(out, t * LANES, select(age < float(d), value, splat(np.nan)))
