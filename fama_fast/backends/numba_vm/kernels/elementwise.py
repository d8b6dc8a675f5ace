"""Elementwise kernels: flat loops that LLVM vectorises; an operand may be a number (slot 0) for one or two operands."""

from __future__ import annotations

import math

import numpy as np

from fama_fast.backends.numba_vm.abi import ROWS, WIDTH, as_doubles, finite_or_missing, helper, inlined


@inlined
def _unary(slots, dims, f):
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    for i in range(dims[ROWS] * dims[WIDTH]):
        out[i] = f(x[i])


@inlined
def _binary(slots, dims, params, f):
    out = as_doubles(slots[0])
    n = dims[ROWS] * dims[WIDTH]
    if slots[1] == 0:
        a = params[0]
        y = as_doubles(slots[2])
        for i in range(n):
            out[i] = f(a, y[i])
    elif slots[2] == 0:
        b = params[1]
        x = as_doubles(slots[1])
        for i in range(n):
            out[i] = f(x[i], b)
    else:
        x = as_doubles(slots[1])
        y = as_doubles(slots[2])
        for i in range(n):
            out[i] = f(x[i], y[i])


@inlined
def _truth(value, a, b):
    # a - a is 0 for a number and missing for a missing one: no branch, so the loop stays a vector loop.
    return value + (a - a) + (b - b)


@helper
def _add(a, b):
    return finite_or_missing(a + b)


@helper
def _sub(a, b):
    return finite_or_missing(a - b)


@helper
def _mul(a, b):
    return finite_or_missing(a * b)


@helper
def _div(a, b):
    return finite_or_missing(a / b)


@helper
def _power(a, b):
    # pow(NaN, 0) and pow(1, NaN) are 1 in C: a missing side is missing here.
    return finite_or_missing(a**b) if a == a and b == b else np.nan


@helper
def _signed_power(a, b):
    if not (a == a and b == b):
        return np.nan
    p = finite_or_missing(abs(a) ** b)
    return p if a > 0.0 else (-p if a < 0.0 else 0.0 * p)


@helper
def _min(a, b):
    return a if a <= b else (b if b < a else np.nan)


@helper
def _max(a, b):
    return a if a >= b else (b if b > a else np.nan)


@helper
def _mod(a, b):
    # The sign of the divisor, as in Python and NumPy.
    if not (a == a and b == b) or b == 0.0:
        return np.nan
    return a % b


@helper
def _lt(a, b):
    return _truth(1.0 if a < b else 0.0, a, b)


@helper
def _le(a, b):
    return _truth(1.0 if a <= b else 0.0, a, b)


@helper
def _gt(a, b):
    return _truth(1.0 if a > b else 0.0, a, b)


@helper
def _ge(a, b):
    return _truth(1.0 if a >= b else 0.0, a, b)


@helper
def _eq(a, b):
    return _truth(1.0 if a == b else 0.0, a, b)


@helper
def _ne(a, b):
    return _truth(1.0 if a != b else 0.0, a, b)


@helper
def _and(a, b):
    both = (1.0 if a != 0.0 else 0.0) * (1.0 if b != 0.0 else 0.0)
    return _truth(both, a, b)


@helper
def _or(a, b):
    neither = (1.0 if a == 0.0 else 0.0) * (1.0 if b == 0.0 else 0.0)
    return _truth(1.0 - neither, a, b)


@helper
def _mask(x, member):
    return x if member == member and member != 0.0 else np.nan


@helper
def _neg(a):
    return -a


@helper
def _abs(a):
    return abs(a)


@helper
def _sign(a):
    return 1.0 if a > 0.0 else (-1.0 if a < 0.0 else a + 0.0)


@helper
def _log(a):
    return math.log(a) if a > 0.0 else np.nan


@helper
def _log1p(a):
    return math.log1p(a) if a > -1.0 else np.nan


@helper
def _exp(a):
    return finite_or_missing(math.exp(a))


@helper
def _sqrt(a):
    return math.sqrt(a) if a >= 0.0 else np.nan


@helper
def _inverse(a):
    return finite_or_missing(1.0 / a)


@helper
def _floor(a):
    return np.floor(a)


@helper
def _ceil(a):
    return np.ceil(a)


@helper
def _round(a):
    return np.rint(a)


@helper
def _tanh(a):
    return math.tanh(a)


@helper
def _sigmoid(a):
    # Two forms, so that exp never overflows.
    if a >= 0.0:
        return 1.0 / (1.0 + math.exp(-a))
    e = math.exp(a)
    return e / (1.0 + e)


@helper
def _not(a):
    return _truth(1.0 if a == 0.0 else 0.0, a, a)


@helper
def _is_nan(a):
    return 0.0 if a == a else 1.0


def add(slots, dims, params):
    _binary(slots, dims, params, _add)


def sub(slots, dims, params):
    _binary(slots, dims, params, _sub)


def mul(slots, dims, params):
    _binary(slots, dims, params, _mul)


def div(slots, dims, params):
    _binary(slots, dims, params, _div)


@helper
def _square(a):
    return finite_or_missing(a * a)


@helper
def _cube(a):
    return finite_or_missing(a * a * a)


def power(slots, dims, params):
    # Small whole exponents and roots are what formulas have, and the general function costs thirty times as much.
    exponent = params[1] if slots[2] == 0 else 0.0
    if exponent == 2.0:
        _unary(slots, dims, _square)
    elif exponent == 3.0:
        _unary(slots, dims, _cube)
    elif exponent == 0.5:
        _unary(slots, dims, _sqrt)
    elif exponent == -1.0:
        _unary(slots, dims, _inverse)
    else:
        _binary(slots, dims, params, _power)


def signed_power(slots, dims, params):
    _binary(slots, dims, params, _signed_power)


def min_(slots, dims, params):
    _binary(slots, dims, params, _min)


def max_(slots, dims, params):
    _binary(slots, dims, params, _max)


def mod(slots, dims, params):
    _binary(slots, dims, params, _mod)


def lt(slots, dims, params):
    _binary(slots, dims, params, _lt)


def le(slots, dims, params):
    _binary(slots, dims, params, _le)


def gt(slots, dims, params):
    _binary(slots, dims, params, _gt)


def ge(slots, dims, params):
    _binary(slots, dims, params, _ge)


def eq(slots, dims, params):
    _binary(slots, dims, params, _eq)


def ne(slots, dims, params):
    _binary(slots, dims, params, _ne)


def and_(slots, dims, params):
    _binary(slots, dims, params, _and)


def or_(slots, dims, params):
    _binary(slots, dims, params, _or)


def mask(slots, dims, params):
    _binary(slots, dims, params, _mask)


def neg(slots, dims, params):
    _unary(slots, dims, _neg)


def abs_(slots, dims, params):
    _unary(slots, dims, _abs)


def sign(slots, dims, params):
    _unary(slots, dims, _sign)


def log(slots, dims, params):
    _unary(slots, dims, _log)


def log1p(slots, dims, params):
    _unary(slots, dims, _log1p)


def exp(slots, dims, params):
    _unary(slots, dims, _exp)


def sqrt(slots, dims, params):
    _unary(slots, dims, _sqrt)


def inverse(slots, dims, params):
    _unary(slots, dims, _inverse)


def floor(slots, dims, params):
    _unary(slots, dims, _floor)


def ceil(slots, dims, params):
    _unary(slots, dims, _ceil)


def round_(slots, dims, params):
    _unary(slots, dims, _round)


def tanh(slots, dims, params):
    _unary(slots, dims, _tanh)


def sigmoid(slots, dims, params):
    _unary(slots, dims, _sigmoid)


def not_(slots, dims, params):
    _unary(slots, dims, _not)


def is_nan(slots, dims, params):
    _unary(slots, dims, _is_nan)


def nan_to(slots, dims, params):
    """params[0] where the operand is missing."""
    out, x = as_doubles(slots[0]), as_doubles(slots[1])
    value = params[0]
    for i in range(dims[ROWS] * dims[WIDTH]):
        a = x[i]
        out[i] = a if a == a else value


def if_else(slots, dims, params):
    """The second operand where the first is true, the third where it is false."""
    out, c = as_doubles(slots[0]), as_doubles(slots[1])
    x, y = as_doubles(slots[2]), as_doubles(slots[3])
    for i in range(dims[ROWS] * dims[WIDTH]):
        # Both sides are read before one is chosen: a load under a condition would keep the loop from vectorising.
        a, yes, no = c[i], x[i], y[i]
        chosen = yes if a != 0.0 else no
        out[i] = chosen if a == a else np.nan
