"""Windows as two half-blocks (van Herk 1992; Gil and Werman 1993): constant cost in the window, nothing subtracted.

The date axis is cut into blocks of d rows, anchored at the history's first date. A window of d days that ends in row t
of a block is a suffix of the block before and a prefix of its own, so an associative merge of two running results
gives it. Nothing that has left the window ever entered its two halves, so no trace of it can remain, and because the
anchor is absolute, a chunk of dates gives the same bits as the whole history.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import ORIGIN, inlined
from fama_fast.backends.numba_vm.simd import select, splat


@inlined
def first_block(dims, d):
    """Row (maybe negative) where the block that holds row 0 begins."""
    return -(dims[ORIGIN] % d)


@inlined
def clip_low(row):
    """A block's first row that exists."""
    return row if row > 0 else 0


@inlined
def finite(v):
    """The lanes, with infinities made missing."""
    return select(v - v == 0.0, v, splat(np.nan))
