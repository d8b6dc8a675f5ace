"""Elementwise kernels: eight cells at once; an operand may be a number (slot 0) for one or two operands.

All arrays in the VM are whole rows of eight, so there is no remainder. A result may lie where an operand lay: a cell is
read before it is written.
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
from fama_fast.backends.numba_vm.simd import (
    LANES,
    absolute,
    load,
    missing,
    nearest,
    negative,
    select,
    splat,
    store,
)
from fama_fast.backends.numba_vm.simd import (
    ceil as ceiling,
)
from fama_fast.backends.numba_vm.simd import (
    floor as floored,
)
from fama_fast.backends.numba_vm.simd import (
    sqrt as square_root,
)


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
def _flag(holds):
    return select(holds, splat(1.0), splat(0.0))


@inlined
def _truth(value, a, b):
    # a - a is 0 for a number and missing for a missing one.
    return value + (a - a) + (b - b)


@inlined
def _add(a, b):
    return finite(a + b)


@inlined
def _sub(a, b):
    return finite(a - b)


@inlined
def _mul(a, b):
    return finite(a * b)


@inlined
def _div(a, b):
    return finite(a / b)


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


@inlined
def _min(a, b):
    return select(a <= b, a, select(b < a, b, splat(np.nan)))


@inlined
def _max(a, b):
    return select(a >= b, a, select(b > a, b, splat(np.nan)))


@helper
def _mod(a, b):
    # The sign of the divisor, as in Python and NumPy.
    if not (a == a and b == b) or b == 0.0:
        return np.nan
    return finite_or_missing(a % b)


@inlined
def _lt(a, b):
    return _truth(_flag(a < b), a, b)


@inlined
def _le(a, b):
    return _truth(_flag(a <= b), a, b)


@inlined
def _gt(a, b):
    return _truth(_flag(a > b), a, b)


@inlined
def _ge(a, b):
    return _truth(_flag(a >= b), a, b)


@inlined
def _eq(a, b):
    return _truth(_flag(a == b), a, b)


@inlined
def _ne(a, b):
    return _truth(_flag(a != b), a, b)


@inlined
def _and(a, b):
    return _truth(_flag((a != 0.0) & (b != 0.0)), a, b)


@inlined
def _or(a, b):
    return _truth(_flag((a != 0.0) | (b != 0.0)), a, b)


@inlined
def _mask(x, member):
    return select((member == member) & (member != 0.0), x, splat(np.nan))


@inlined
def _neg(a):
    return negative(a)


@inlined
def _abs(a):
    return absolute(a)


@inlined
def _sign(a):
    return select(a > 0.0, splat(1.0), select(a < 0.0, splat(-1.0), a + 0.0))


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
def _sqrt(a):
    return square_root(a)


@inlined
def _inverse(a):
    return finite(1.0 / a)


@inlined
def _floor(a):
    return floored(a)


@inlined
def _ceil(a):
    return ceiling(a)


@inlined
def _round(a):
    return nearest(a)


@inlined
def _tanh(a):
    return vector_math.tanh(a)


@inlined
def _sigmoid(a):
    return vector_math.sigmoid(a)


@inlined
def _not(a):
    return _truth(_flag(a == 0.0), a, a)


@inlined
def _is_nan(a):
    return select(missing(a), splat(1.0), splat(0.0))


def add(slots, dims, params):
    _binary(slots, dims, params, _add)


def sub(slots, dims, params):
    _binary(slots, dims, params, _sub)


def mul(slots, dims, params):
    _binary(slots, dims, params, _mul)


def div(slots, dims, params):
    _binary(slots, dims, params, _div)


@inlined
def _square(a):
    return finite(a * a)


@inlined
def _cube(a):
    return finite(a * a * a)


def power(slots, dims, params):
    # Small whole exponents and roots are what formulas have, and the general function costs ten times as much.
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
    out = as_doubles(slots[0])
    # A number is read again and again from its own place.
    x = as_doubles(slots[1] if slots[1] != 0 else address_of(params))
    y = as_doubles(slots[2] if slots[2] != 0 else address_of(params) + 8)
    step_x, step_y = (1 if slots[1] != 0 else 0), (1 if slots[2] != 0 else 0)
    for i in range(dims[ROWS] * dims[WIDTH]):
        out[i] = _mod(x[i * step_x], y[i * step_y])


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
    out, x = as_doubles(slots[0]), operand(slots, 1)
    value = splat(params[0])
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        a = load(x, i)
        store(out, i, select(missing(a), value, a))


def if_else(slots, dims, params):
    """The second operand where the first is true, the third where it is false."""
    out, c = as_doubles(slots[0]), operand(slots, 1)
    x, y = operand(slots, 2), operand(slots, 3)
    for i in range(0, dims[ROWS] * dims[WIDTH], LANES):
        a = load(c, i)
        chosen = select(a != 0.0, load(x, i), load(y, i))
        store(out, i, select(missing(a), splat(np.nan), chosen))
