"""Elementwise kernels whose arithmetic costs more than memory: eight cells at once; the others are in `steps`.

One of two operands may be a number (slot 0). All arrays in the VM are whole rows of eight, so there is no remainder. A
result may lie where an operand lay: a cell is read before it is written.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    ROWS,
    WIDTH,
    address_of,
    as_doubles,
    finite_or_missing,
    helper,
    inlined,
    operand,
)
from fama_fast.backends.numba_vm.kernels import vector_math
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.simd import LANES, absolute, load, missing, negative, select, splat, store
from fama_fast.backends.numba_vm.simd import floor as floored


@inlined
def _unary(slots, dims, f):
    out, x = as_doubles(slots[0]), operand(slots, 1)
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        store(out, i, f(load(x, i)))


@inlined
def _binary(slots, dims, params, f):
    out = as_doubles(slots[0])
    n = dims[ROWS] * dims[WIDTH]
    if slots[1] == 0:
        a = splat(params[0])
        y = operand(slots, 2)
        for i in range(0, n, LANES):
            store(out, i, f(a, load(y, i)))
    elif slots[2] == 0:
        b = splat(params[1])
        x = operand(slots, 1)
        for i in range(0, n, LANES):
            store(out, i, f(load(x, i), b))
    else:
        x = operand(slots, 1)
        y = operand(slots, 2)
        for i in range(0, n, LANES):
            store(out, i, f(load(x, i), load(y, i)))


@inlined
def _odd(whole):
    half = whole * 0.5
    return half != floored(half)


@inlined
def _magnitude(a, b):
    """|a|^b as C's pow has it for a nonzero a; a zero to a positive power is zero, to none 1."""
    size = absolute(a)
    zero = select(b > 0.0, splat(0.0), select(b == 0.0, splat(1.0), splat(np.inf)))
    value = select(size == 0.0, zero, vector_math.power(size, b))
    return select(missing(a) | missing(b), splat(np.nan), value)


@inlined
def _power(a, b):
    p = finite(_magnitude(a, b))
    # A negative base has a power where the exponent is whole.
    signed = select(b == floored(b), select(_odd(b), negative(p), p), splat(np.nan))
    return select(a < 0.0, signed, p)


@inlined
def _signed_power(a, b):
    p = finite(_magnitude(a, b))
    return select(a > 0.0, p, select(a < 0.0, negative(p), p * 0.0))


@helper
def _mod(a, b):
    # The sign of the divisor, as in Python and NumPy.
    if not (a == a and b == b) or b == 0.0:
        return np.nan
    return finite_or_missing(a % b)


@inlined
def _log(a):
    return vector_math.log(a)


@inlined
def _log1p(a):
    return vector_math.log1p(a)


@inlined
def _exp(a):
    return finite(vector_math.exp(a))


@inlined
def _tanh(a):
    return vector_math.tanh(a)


@inlined
def _sigmoid(a):
    return vector_math.sigmoid(a)


def power(slots, dims, params):
    _binary(slots, dims, params, _power)


def signed_power(slots, dims, params):
    _binary(slots, dims, params, _signed_power)


def mod(slots, dims, params):
    out = as_doubles(slots[0])
    # A number is read again and again from its own place.
    x = as_doubles(slots[1] if slots[1] != 0 else address_of(params))
    y = as_doubles(slots[2] if slots[2] != 0 else address_of(params) + 8)
    step_x, step_y = (1 if slots[1] != 0 else 0), (1 if slots[2] != 0 else 0)
    for i in range(dims[ROWS] * dims[WIDTH]):
        out[i] = _mod(x[i * step_x], y[i * step_y])


def log(slots, dims, params):
    _unary(slots, dims, _log)


def log1p(slots, dims, params):
    _unary(slots, dims, _log1p)


def exp(slots, dims, params):
    _unary(slots, dims, _exp)


def tanh(slots, dims, params):
    _unary(slots, dims, _tanh)


def sigmoid(slots, dims, params):
    _unary(slots, dims, _sigmoid)
