"""Search back through a window: the k-th present value, the last different one, and how long ago it was."""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, as_doubles
from fama_fast.backends.numba_vm.kernels.blocks import clip_low
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat, store


def kth_element(slots, dims, params):
    """The k-th latest present value of the window."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d, wanted = dims[ROWS], int(params[0]), params[1]
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    for t in range(rows):
        found, count = nothing, zero
        for k in range(t, clip_low(t - d + 1) - 1, -1):
            v = load(x, k * LANES)
            count = count + select(missing(v), zero, one)
            # Only the day that reaches the number is present and has just been counted.
            found = select((count == wanted) & missing(found), v, found)
            if not any_lane(missing(found)):
                break
        store(out, t * LANES, found)


def last_diff_value(slots, dims, params):
    """The latest value of the window that differs from today's."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    nothing = splat(np.nan)
    for t in range(rows):
        today = load(x, t * LANES)
        found, open_ = nothing, today == today
        for k in range(t - 1, clip_low(t - d + 1) - 1, -1):
            if not any_lane(open_):
                break
            v = load(x, k * LANES)
            found = select(open_ & ((v < today) | (v > today)), v, found)
            open_ = missing(found) & (today == today)
        store(out, t * LANES, found)


def days_from_last_change(slots, dims, params):
    """How many days ago the latest value was that differs from today's; d when no present day differs."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    rows, d = dims[ROWS], int(params[0])
    zero, one, nothing = splat(0.0), splat(1.0), splat(np.nan)
    for t in range(rows):
        today = load(x, t * LANES)
        found, others = nothing, zero
        open_ = today == today
        for k in range(t - 1, clip_low(t - d + 1) - 1, -1):
            if not any_lane(open_):
                break
            v = load(x, k * LANES)
            others = others + select(missing(v), zero, one)
            found = select(open_ & ((v < today) | (v > today)), splat(float(t - k)), found)
            open_ = missing(found) & (today == today)
        if t >= d - 1:
            found = select(open_ & (others > 0.0), splat(float(d)), found)
        store(out, t * LANES, found)
