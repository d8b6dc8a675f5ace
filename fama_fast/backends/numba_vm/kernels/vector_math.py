"""Exponentials, logarithms and powers of eight doubles at once.

A call of the C library costs 4 to 15 ns a value and cannot be vectorised; these cost about 1 to 3. Each reduces its
argument to a short interval, where a Taylor series that is long enough has no error of its own (the next term is below
2^-56), and puts the result together from a power of two. Errors are below 2 units in the last place of the exact value,
over the whole range, subnormal numbers included (`tests/unit/ops/test_vector_math.py`).

A missing operand gives a missing result; operands are never infinite (panels and kernels keep none).

Sources of the methods: Cody and Waite, Software Manual for the Elementary Functions (1980), for the reductions; Dekker
(1971) for carrying a rounding error along; Kahan for log1p through a logarithm.
"""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import inlined
from fama_fast.backends.numba_vm.simd import (
    absolute,
    exponent_of,
    fraction_of,
    fused,
    missing,
    nearest,
    negative,
    select,
    splat,
    two_to,
)

_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts; the first has so few bits that a whole number up to 2^11 times it is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_TINY = 2.0**-1022
_INVERSE_FACTORIALS = tuple(1.0 / math.factorial(n) for n in range(14))
_F2, _F3, _F4, _F5, _F6, _F7, _F8, _F9, _F10, _F11, _F12, _F13 = _INVERSE_FACTORIALS[2:]
_LARGEST = 710.0  # exp of it is infinite
_SMALLEST = -746.0  # exp of it is 0


@inlined
def _reduced(x):
    """(k, r, e): x = k ln 2 + r with |r| <= ln 2 / 2, and e = exp(r) - 1."""
    k = nearest(x * _LOG2_E)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    # Even and odd terms apart: two short chains of operations instead of one long one.
    q = r * r
    odd = fused(splat(_F13), q, splat(_F11))
    even = fused(splat(_F12), q, splat(_F10))
    odd = fused(odd, q, splat(_F9))
    even = fused(even, q, splat(_F8))
    odd = fused(odd, q, splat(_F7))
    even = fused(even, q, splat(_F6))
    odd = fused(odd, q, splat(_F5))
    even = fused(even, q, splat(_F4))
    odd = fused(odd, q, splat(_F3))
    even = fused(even, q, splat(_F2))
    high = fused(odd, r, even)
    return k, r, fused(q, high, r)


@inlined
def _scaled(v, k):
    """v * 2^k in two steps, so that no factor leaves the range of exponents."""
    half = nearest(k * 0.5)
    return v * two_to(half) * two_to(k - half)


@inlined
def exp(x):
    """e^x; infinite where that is too large."""
    held = select(x < _LARGEST, x, select(missing(x), x, splat(_LARGEST)))
    held = select(held < _SMALLEST, splat(_SMALLEST), held)
    k, _, e = _reduced(held)
    return _scaled(e + 1.0, k)


@inlined
def _expm1_of_positive(x):
    """e^x - 1 for 0 <= x <= 50, to full relative accuracy."""
    k, _, e = _reduced(x)
    scale = two_to(k)
    return e * scale + (scale - 1.0)


@inlined
def tanh(x):
    """Hyperbolic tangent."""
    size = absolute(x)
    # Beyond 20 it is 1 to the last bit.
    e = _expm1_of_positive(select(size > 20.0, splat(20.0), size) * 2.0)
    value = e / (e + 2.0)
    return select(x < 0.0, negative(value), value)


@inlined
def sigmoid(x):
    """1 / (1 + e^-x)."""
    e = exp(negative(absolute(x)))
    return select(x >= 0.0, splat(1.0), e) / (e + 1.0)


@inlined
def _split(x):
    """(e, f): x = (1 + f) 2^e with 1 + f within a factor sqrt(2) of 1; x positive."""
    small = x < _TINY
    normal = select(small, x * 2.0**54, x)
    e, m = exponent_of(normal), fraction_of(normal)
    large = m > math.sqrt(2.0)
    e = select(large, e + 1.0, e) - select(small, splat(54.0), splat(0.0))
    return e, select(large, m * 0.5, m) - 1.0


@inlined
def _series(z):
    """P with log((1 + s) / (1 - s)) = 2 s + s z P(z), z = s^2."""
    q = z * z
    odd = fused(splat(2.0 / 23.0), q, splat(2.0 / 19.0))
    even = fused(splat(2.0 / 21.0), q, splat(2.0 / 17.0))
    odd = fused(odd, q, splat(2.0 / 15.0))
    even = fused(even, q, splat(2.0 / 13.0))
    odd = fused(odd, q, splat(2.0 / 11.0))
    even = fused(even, q, splat(2.0 / 9.0))
    odd = fused(odd, q, splat(2.0 / 7.0))
    even = fused(even, q, splat(2.0 / 5.0))
    odd = fused(odd, q, splat(2.0 / 3.0))
    return fused(even, z, odd)


@inlined
def log(x):
    """Natural logarithm; missing where x is not positive."""
    e, f = _split(x)
    s = f / (f + 2.0)
    z = s * s
    value = e * _LN2_HIGH + (f - (s * (f - z * _series(z)) - e * _LN2_LOW))
    return select(x > 0.0, value, splat(np.nan))


@inlined
def log1p(x):
    """log(1 + x); missing where x is not above -1."""
    u = x + 1.0
    # What rounding took from 1 + x, put back to first order.
    value = log(u) + (x - (u - 1.0)) / u
    return select(u == 1.0, x, value)


@inlined
def power(size, exponent):
    """size^exponent for size > 0: infinite where that is too large.

    The error of a logarithm grows by as much as the result's own logarithm, so that one is carried to 2^-60: the
    quotient s with its rounding error, the products with theirs.
    """
    e, f = _split(size)
    bottom = f + 2.0
    s = f / bottom
    # f + 2 was rounded, and so was the quotient: both errors are exact differences.
    lost = f - (bottom - 2.0)
    rest = (fused(negative(s), bottom, f) - s * lost) / bottom
    z = s * s
    tail = fused(s * z, _series(z), rest * 2.0)
    # e ln 2 + 2 s + tail as high + low; |2 s| is the smaller summand where e is not 0.
    whole = e * _LN2_HIGH
    twice = s * 2.0
    high = whole + twice
    low = ((whole - high) + twice) + (e * _LN2_LOW + tail)
    total = high + low
    low = (high - total) + low
    # exponent * log as product + error.
    product = exponent * total
    error = fused(exponent, total, negative(product)) + exponent * low
    held = select(product < _LARGEST, product, splat(_LARGEST))
    inside = (product < _LARGEST) & (product > _SMALLEST)
    held = select(held < _SMALLEST, splat(_SMALLEST), held)
    k, _, e = _reduced(held)
    # The error joins while e^r - 1 is still small: only the last addition rounds the result.
    e = select(inside, e + fused(e, error, error), e)
    value = _scaled(e + 1.0, k)
    return select(missing(size) | missing(exponent), splat(np.nan), value)
