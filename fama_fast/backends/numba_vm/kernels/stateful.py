"""Kernels whose value depends on their own earlier values, looked for at most d days back."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, as_doubles
from fama_fast.backends.numba_vm.kernels.blocks import clip_low
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, select, splat, store


def trade_when(slots, dims, params):
    """The value taken on the last of the d days on which trigger or exit was above 0; exit takes a missing one."""
    out, trigger = as_doubles(slots[0]), as_doubles(slots[1])
    alpha, leave = as_doubles(slots[2]), as_doubles(slots[3])
    rows, d = dims[ROWS], params[0]
    nothing = splat(np.nan)
    value, age = nothing, splat(d)
    for t in range(rows):
        at = t * LANES
        entered, left = load(trigger, at) > 0.0, load(leave, at) > 0.0
        value = select(left, nothing, select(entered, load(alpha, at), value))
        age = select(left | entered, splat(0.0), age + 1.0)
        store(out, at, select(age < d, value, nothing))


def hump(slots, dims, params):
    """x followed at most `limit` a day once it is further off than that, from the first present of the d days on."""
    out, x, limits = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    rows, d = dims[ROWS], int(params[0])
    nothing = splat(np.nan)
    for t in range(rows):
        held, present = nothing, splat(0.0) > 0.0
        for k in range(clip_low(t - d + 1), t + 1):
            v, limit = load(x, k * LANES), load(limits, k * LANES)
            present = (v == v) & (limit >= 0.0)
            change = v - held
            moved = held + select(change > 0.0, limit, splat(0.0) - limit)
            following = select(missing(held), v, select(absolute(change) > limit, moved, held))
            held = select(present, following, held)
        store(out, t * LANES, select(present & (held - held == 0.0), held, nothing))
