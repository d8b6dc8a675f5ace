"""Elementwise steps that run together: one kernel takes a list of them through 128 cells at a time.

Memory is what these operations cost. One after another, each over thousands of cells, they go through one or two
arrays at a time, and a core waits for each new page of each; together they keep all arrays of an expression in flight,
and what lies between two of them stays in the first-level cache. The same cells of the next 128 are prefetched while
these are computed, for the processor's own prefetching stops at every change of arrays. Figures, also of other sizes:
docs/decisions/006-elementwise-steps-in-one-kernel.md.

`params`, all numbers, as `chain.chained` writes them:

    steps, locals, numbers, the numbers, then for each step: its code, where its result goes, and for each of three
    operands where it lies and how many rows ago

A place from 0 on is a slot; place -1 - i is the i-th local: 128 cells in the thread's scratch memory. The numbers fill
the first locals, and in the last ones an operand of some rows ago is put together while there are no such rows yet.
"""

from __future__ import annotations

import numpy as np

from fama_fast.backends.numba_vm.abi import (
    FIRST_DATE,
    ROWS,
    SCRATCH,
    WIDTH,
    as_doubles,
    as_floats,
    as_integers,
    helper,
    inlined,
)
from fama_fast.backends.numba_vm.kernels.blocks import finite
from fama_fast.backends.numba_vm.simd import (
    LANES,
    absolute,
    load,
    missing,
    nearest,
    negative,
    prefetch,
    select,
    splat,
    store,
)
from fama_fast.backends.numba_vm.simd import ceil as ceiling
from fama_fast.backends.numba_vm.simd import floor as floored
from fama_fast.backends.numba_vm.simd import sqrt as square_root

CELLS = 128
HEADER = 3
STEP_WIDTH = 8  # numbers of a step in `params`
# Integers of a step in scratch: its code; address and bytes a cell of the result; the same of each operand, and how
# many cells are without a row so many days ago.
_DECODED = 12
SPARE = 3  # the last locals: where such an operand is put together

(
    SUM, DIFFERENCE, PRODUCT, QUOTIENT, ADD, SUB, MUL, DIV, MIN, MAX, FMIN, FMAX, LT, LE, GT, GE, EQ, NE, AND, OR,
    MASK, NAN_TO, NEG, ABS, SIGN, SQRT, INVERSE, SQUARE, CUBE, FLOOR, CEIL, ROUND, NOT, IS_NAN, COPY, WIDEN, IF_ELSE,
) = range(37)  # fmt: skip

UNCHECKED = {ADD: SUM, SUB: DIFFERENCE, MUL: PRODUCT, DIV: QUOTIENT}
"""Steps that may give infinity, for results that only `KEEP` reads: whatever comes of an infinity there is missing."""

KEEP = {(ADD, 0), (ADD, 1), (SUB, 0), (SUB, 1), (MUL, 0), (MUL, 1), (DIV, 0), (SQUARE, 0), (CUBE, 0)}
"""Steps and operands of which an infinity gives an infinity or NaN, never a number."""

STEPS = {
    "elementwise.add": ADD,
    "elementwise.sub": SUB,
    "elementwise.mul": MUL,
    "elementwise.div": DIV,
    "elementwise.min": MIN,
    "elementwise.max": MAX,
    "elementwise.fmin": FMIN,
    "elementwise.fmax": FMAX,
    "elementwise.lt": LT,
    "elementwise.le": LE,
    "elementwise.gt": GT,
    "elementwise.ge": GE,
    "elementwise.eq": EQ,
    "elementwise.ne": NE,
    "elementwise.and_": AND,
    "elementwise.or_": OR,
    "elementwise.mask": MASK,
    "elementwise.nan_to": NAN_TO,
    "elementwise.neg": NEG,
    "elementwise.abs": ABS,
    "elementwise.sign": SIGN,
    "elementwise.sqrt": SQRT,
    "elementwise.inverse": INVERSE,
    "elementwise.floor": FLOOR,
    "elementwise.ceil": CEIL,
    "elementwise.round": ROUND,
    "elementwise.not_": NOT,
    "elementwise.is_nan": IS_NAN,
    "elementwise.if_else": IF_ELSE,
    "memory.copy": COPY,
}
"""Kernels by name that are steps."""

POWERS = {2.0: SQUARE, 3.0: CUBE, 0.5: SQRT, -1.0: INVERSE}
"""Exponents that formulas have most, for which the general power would cost ten times as much."""


def scratch_doubles(steps: int, locals_: int) -> int:
    """Scratch memory that a list of steps needs."""
    return CELLS * locals_ + _DECODED * steps


@inlined
def _flag(holds):
    return select(holds, splat(1.0), splat(0.0))


@inlined
def _truth(value, a, b):
    # a - a is 0 for a number and missing for a missing one.
    return value + (a - a) + (b - b)


@inlined
def _sum(a, b):
    return a + b


@inlined
def _difference(a, b):
    return a - b


@inlined
def _product(a, b):
    return a * b


@inlined
def _quotient(a, b):
    return a / b


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
def _min(a, b):
    return select(a <= b, a, select(b < a, b, splat(np.nan)))


@inlined
def _max(a, b):
    return select(a >= b, a, select(b > a, b, splat(np.nan)))


@inlined
def _present(a, b):
    return select(missing(a), b, a)


@inlined
def _of_two(op, a, b):
    if op == MIN:
        v = _min(a, b)
    elif op == MAX:
        v = _max(a, b)
    elif op == FMIN:
        v = select(a <= b, a, select(b < a, b, _present(a, b)))
    elif op == FMAX:
        v = select(a >= b, a, select(b > a, b, _present(a, b)))
    elif op == LT:
        v = _truth(_flag(a < b), a, b)
    elif op == LE:
        v = _truth(_flag(a <= b), a, b)
    elif op == GT:
        v = _truth(_flag(a > b), a, b)
    elif op == GE:
        v = _truth(_flag(a >= b), a, b)
    elif op == EQ:
        v = _truth(_flag(a == b), a, b)
    elif op == NE:
        v = _truth(_flag(a != b), a, b)
    elif op == AND:
        v = _truth(_flag((a != 0.0) & (b != 0.0)), a, b)
    elif op == OR:
        v = _truth(_flag((a != 0.0) | (b != 0.0)), a, b)
    elif op == MASK:
        v = select((b == b) & (b != 0.0), a, splat(np.nan))
    else:
        v = _present(a, b)
    return v


@inlined
def _of_one(op, a):
    if op == NEG:
        v = negative(a)
    elif op == ABS:
        v = absolute(a)
    elif op == SIGN:
        v = select(a > 0.0, splat(1.0), select(a < 0.0, splat(-1.0), a + 0.0))
    elif op == SQRT:
        v = square_root(a)
    elif op == INVERSE:
        v = finite(1.0 / a)
    elif op == SQUARE:
        v = finite(a * a)
    elif op == CUBE:
        v = finite(a * a * a)
    elif op == FLOOR:
        v = floored(a)
    elif op == CEIL:
        v = ceiling(a)
    elif op == ROUND:
        v = nearest(a)
    elif op == NOT:
        v = _truth(_flag(a == 0.0), a, a)
    elif op == IS_NAN:
        v = _flag(missing(a))
    else:
        v = a
    return v


@inlined
def _two(out, x, y, cells, f):
    # What lies beyond an array is asked for too, which does nothing.
    for i in range(0, cells, LANES):
        prefetch(x, i + CELLS)
        prefetch(y, i + CELLS)
        prefetch(out, i + CELLS)
        store(out, i, f(load(x, i), load(y, i)))


@inlined
def _if_else(out, c, x, y, cells):
    for i in range(0, cells, LANES):
        a = load(c, i)
        chosen = select(a != 0.0, load(x, i), load(y, i))
        store(out, i, select(missing(a), splat(np.nan), chosen))


@helper
def _without_rows(spare, address, lack, cells):
    """The operand's cells with missing values where there is no row so many days ago; where they lie."""
    into, x = as_doubles(spare), as_doubles(address)
    for i in range(0, min(lack, cells), LANES):
        store(into, i, splat(np.nan))
    for i in range(lack, cells, LANES):
        store(into, i, load(x, i))
    return spare


@helper
def _decode(slots, dims, params, code, local):
    """Steps with addresses in place of places."""
    n_numbers = int(params[2])
    for j in range(n_numbers):
        number = as_doubles(local + 8 * CELLS * j)
        for i in range(0, CELLS, LANES):
            store(number, i, splat(params[HEADER + j]))
    for k in range(int(params[0])):
        p, c = HEADER + n_numbers + STEP_WIDTH * k, _DECODED * k
        code[c] = op = int(params[p])
        place = int(params[p + 1])
        code[c + 1] = slots[place] if place >= 0 else local - 8 * CELLS * (place + 1)
        code[c + 2] = 8 if place >= 0 else 0
        for j in range(3):
            place, rows = int(params[p + 2 + 2 * j]), int(params[p + 3 + 2 * j])
            at = c + 3 + 3 * j
            if place >= 0:
                step = 4 if op == WIDEN else 8
                code[at] = slots[place] - step * LANES * rows
                code[at + 1] = step
                code[at + 2] = LANES * (rows - dims[FIRST_DATE]) if rows > 0 else 0
            else:
                code[at] = local - 8 * CELLS * (place + 1)
                code[at + 1] = 0
                code[at + 2] = 0


def run(slots, dims, params):
    """All steps on all cells. It may run on some rows of a tile, of which `FIRST_DATE` is the first."""
    n, n_steps, n_locals = dims[ROWS] * dims[WIDTH], int(params[0]), int(params[1])
    local = dims[SCRATCH]
    spare = local + 8 * CELLS * (n_locals - 1)
    code = as_integers(local + 8 * CELLS * n_locals)
    _decode(slots, dims, params, code, local)
    for at in range(0, n, CELLS):
        m = min(CELLS, n - at)
        for k in range(n_steps):
            c = _DECODED * k
            op = code[c]
            to, first, second = code[c + 1] + code[c + 2] * at, code[c + 3] + code[c + 4] * at, code[c + 6]
            second += code[c + 7] * at
            if at < code[c + 5]:
                first = _without_rows(spare, first, code[c + 5] - at, m)
            if at < code[c + 8]:
                second = _without_rows(spare - 8 * CELLS, second, code[c + 8] - at, m)
            o, x, y = as_doubles(to), as_doubles(first), as_doubles(second)
            if op == SUM:
                _two(o, x, y, m, _sum)
            elif op == DIFFERENCE:
                _two(o, x, y, m, _difference)
            elif op == PRODUCT:
                _two(o, x, y, m, _product)
            elif op == QUOTIENT:
                _two(o, x, y, m, _quotient)
            elif op == ADD:
                _two(o, x, y, m, _add)
            elif op == SUB:
                _two(o, x, y, m, _sub)
            elif op == MUL:
                _two(o, x, y, m, _mul)
            elif op == DIV:
                _two(o, x, y, m, _div)
            elif op <= NAN_TO:
                for i in range(0, m, LANES):
                    store(o, i, _of_two(op, load(x, i), load(y, i)))
            elif op <= COPY:
                for i in range(0, m, LANES):
                    store(o, i, _of_one(op, load(x, i)))
            elif op == WIDEN:
                wide = as_floats(first)
                for i in range(0, m, LANES):
                    store(o, i, load(wide, i))
            elif op == IF_ELSE:
                third = code[c + 9] + code[c + 10] * at
                if at < code[c + 11]:
                    third = _without_rows(spare - 16 * CELLS, third, code[c + 11] - at, m)
                _if_else(o, x, y, as_doubles(third), m)
