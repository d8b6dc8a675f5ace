"""Windows far from 1: where squares would overflow or vanish, they are taken of values times a power of two.

A power of two changes no digit, so the same sums over scaled values have the bits of those over plain ones wherever
those were right. Hence loops run on plain values and only watch the smallest and the largest sum of squares about what
windows are measured from, one of their own values. Between `LOW` and `HIGH` nothing that counts was lost; the few
windows beyond are taken again one by one, added up in the same order, on values scaled by their own largest distance
from it. What is decided of a window depends on its own days alone.

A window of one value has a sum of exactly 0 and is none of those. Where no value is small none has lost anything:
numbers differ by no less than their last place (`look_ahead`).

Of one date's or one group's members it is the sum of squared deviations that is watched, and seen to at once.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import helper, inlined
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.simd import (
    LANES,
    absolute,
    any_lane,
    exponent_of,
    load,
    nearest,
    select,
    splat,
    two_to,
)

LOW, HIGH = 2.0**-900, 2.0**900
SMALL = 2.0**-370  # numbers from here on differ by 2^-423, whose square over ten thousand days is above LOW
_REACH = 1000.0  # as much as an exponent may be for its power of two, and the power's inverse, to be numbers
_AHEAD = 64
LEAST, HIGHEST = 2.0**-1022, np.finfo(np.float64).max  # between them numbers have all their digits


@inlined
def smaller(v, least):
    """The smaller one; `least` where v is missing."""
    return select(v < least, v, least)


@inlined
def larger(v, most):
    """The larger one; `most` where v is missing."""
    return select(v > most, v, most)


@inlined
def beyond(least, most):
    """Lanes whose sums lie outside of what is safe."""
    return (least < LOW) | (most > HIGH)


@inlined
def exponent(size):
    """The whole e for which size * 2^-e is about 1; 0 for nothing."""
    e = exponent_of(size)
    e = select(e > _REACH, splat(_REACH), select(e < -_REACH, splat(-_REACH), e))
    return select(size > 0.0, e, splat(0.0))


@inlined
def scale_of(e):
    """2^-e."""
    return two_to(splat(0.0) - e)


@inlined
def scaled_back(v, e):
    """v * 2^e; missing where that is no number, or one too small to have all its digits."""
    half = nearest(e * 0.5)
    value = v * two_to(half) * two_to(e - half)
    whole = (absolute(value) >= LEAST) | (v == 0.0)
    return select(whole, finite(value), splat(np.nan))


@helper
def _first_small(x, start, end):
    """The first of these rows with a value so small that squares about it may vanish; else `end`."""
    for t in range(start, end):
        size = absolute(load(x, t * LANES))
        if any_lane((size > 0.0) & (size < SMALL)):
            return t
    return end


@inlined
def look_ahead(x, seen, start, end, rows):
    """Rows before the one returned hold nothing small from `start` on, if it is at least `end`.

    seen: what it returned for an earlier block. Some rows more than asked for are looked at, which saves looking again.
    """
    if seen >= end:
        return seen
    begin = max(seen, start)
    return _first_small(x, begin, max(end, min(rows, begin + _AHEAD)))


@helper
def scale_for(size):
    """A power of two that brings a number near 1; 1 for 0."""
    if size == 0.0:
        return 1.0
    _, e = math.frexp(min(size, HIGHEST))
    return math.ldexp(1.0, -max(min(e, 1000), -1000))


@inlined
def unsafe(squares):
    """Whether a sum of squared deviations has overflowed, or may have vanished or lost digits."""
    return not LOW <= squares <= HIGH


@inlined
def digits(value):
    """The value; missing where it is infinite or too small to have all its digits."""
    return value if value == 0.0 or LEAST <= abs(value) <= HIGHEST else np.nan
