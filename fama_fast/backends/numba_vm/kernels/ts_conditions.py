"""What needs a walk through the window: the k-th present value, the last different one, a limited change a day."""

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


def delta_limit(slots, dims, params):
    """x followed by at most params[0] * y a day, from the first present of the d days on."""
    out, x, y = as_doubles(slots[0]), as_doubles(slots[1]), as_doubles(slots[2])
    rows, share, d = dims[ROWS], params[0], int(params[1])
    nothing = splat(np.nan)
    for t in range(rows):
        held = nothing
        present = held == held
        for k in range(clip_low(t - d + 1), t + 1):
            v, limit = load(x, k * LANES), load(y, k * LANES) * share
            present = (v == v) & (limit >= 0.0)
            change = v - held
            followed = select(change > limit, held + limit, select(change < splat(0.0) - limit, held - limit, v))
            held = select(present, followed, held)
        store(out, t * LANES, select(present & (held - held == 0.0), held, nothing))
