"""Windows with missing days: how many are present, and the present day nearest to a block's border.

A count of days is a whole number, so what enters can be added and what leaves subtracted: nothing is rounded, nothing
drifts, and any row may be the first. Days before the panel's first date are missing.
"""

from __future__ import annotations

from fama_fast.backends.numba_vm.abi import inlined
from fama_fast.backends.numba_vm.kernels.blocks import clip_low
from fama_fast.backends.numba_vm.simd import LANES, any_lane, load, missing, select, splat


@inlined
def roll(present, gone, x, t, d):
    """The present days of the window that ends in row t, from those of the row before (0 before row 0).

    `gone` says where x misses row t.
    """
    present = present + select(gone, splat(0.0), splat(1.0))
    if t >= d:
        present = present - select(missing(load(x, (t - d) * LANES)), splat(0.0), splat(1.0))
    return present


@inlined
def last_present(v, x, block, d):
    """v where it is present, else the last present day of the half-block before, else 0."""
    t, end = block - 1, clip_low(block - d + 1)
    while t >= end and any_lane(missing(v)):
        v = select(missing(v), load(x, t * LANES), v)
        t -= 1
    return select(missing(v), splat(0.0), v)


@inlined
def first_present(v, x, block, d, rows):
    """v where it is present, else the first present day of the half-block, else 0."""
    t, end = clip_low(block), min(block + d, rows)
    while t < end and any_lane(missing(v)):
        v = select(missing(v), load(x, t * LANES), v)
        t += 1
    return select(missing(v), splat(0.0), v)


@inlined
def roll_pairs(present, gone, x, y, t, d):
    """The complete pairs of the window that ends in row t, likewise."""
    present = present + select(gone, splat(0.0), splat(1.0))
    if t >= d:
        at = (t - d) * LANES
        left = missing(load(x, at)) | missing(load(y, at))
        present = present - select(left, splat(0.0), splat(1.0))
    return present


@inlined
def _fill_pair(a, b, x, y, t):
    v, w = load(x, t * LANES), load(y, t * LANES)
    take = missing(a) & (v == v) & (w == w)
    return select(take, v, a), select(take, w, b)


@inlined
def last_pair(a, b, x, y, block, d):
    """a and b where they are present (both or neither), else the half-block before's last complete pair, else 0."""
    t, end = block - 1, clip_low(block - d + 1)
    while t >= end and any_lane(missing(a)):
        a, b = _fill_pair(a, b, x, y, t)
        t -= 1
    none = missing(a)
    return select(none, splat(0.0), a), select(none, splat(0.0), b)


@inlined
def first_pair(a, b, x, y, block, d, rows):
    """a and b where they are present (both or neither), else the half-block's first complete pair, else 0."""
    t, end = clip_low(block), min(block + d, rows)
    while t < end and any_lane(missing(a)):
        a, b = _fill_pair(a, b, x, y, t)
        t += 1
    none = missing(a)
    return select(none, splat(0.0), a), select(none, splat(0.0), b)
