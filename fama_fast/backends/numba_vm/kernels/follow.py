"""x followed from a given start, a limited way a day, over the d days that end today."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, as_doubles
from fama_fast.backends.numba_vm.kernels.blocks import clip_low
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, select, splat, store


def follow(slots, dims, params):
    """From `start`, as it is today: at most `limit` a day towards x, with hold not at all within the limit."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    limits, starts = as_doubles(slots[2]), as_doubles(slots[3])
    rows, d, hold = dims[ROWS], int(params[0]), params[1] > 0.0
    nothing = splat(np.nan)
    for t in range(rows):
        held = load(starts, t * LANES)
        present = held == held
        for k in range(clip_low(t - d + 1), t + 1):
            v, limit = load(x, k * LANES), load(limits, k * LANES)
            present = (v == v) & (limit >= 0.0)
            change = v - held
            moved = held + select(change > 0.0, limit, splat(0.0) - limit)
            if hold:
                following = select(absolute(change) > limit, moved, held)
            else:
                following = select(absolute(change) > limit, moved, select(missing(held), held, v))
            held = select(present, following, held)
        store(out, t * LANES, select(present & (held - held == 0.0), held, nothing))
