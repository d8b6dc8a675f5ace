"""The one signature that every kernel has, and what kernels use to reach their arguments.

    kernel(slots, dims, params)

- `slots`: addresses of float64 arrays, the result first, then the operands; 0 means "a number": it lies in `params`
  behind the static parameters, at the operand's position.
- `dims`: int64 values named by the constants below.
- `params`: the static parameters as float64, then one value per operand (only read where its slot is 0).

A kernel that reaches all its operands by `operand` has a twin for operands that are float32, compiled from the same
source; what it computes with is float64 all the same (see `simd.load`). `plan.narrow` names these kernels.

In a time stage an array is one symbol block: rows are dates, eight lanes a row. In a date stage an array is a tile of
dates by all symbols (`WIDTH` apart, of which the first `COLUMNS` count). Elementwise kernels see both as flat memory.
Kernels allocate nothing, raise nothing and write a missing value (NaN) instead of any non-finite one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic, models, register_model

ROWS = 0  # rows in the arrays (dates of the panel in a time stage, of the tile in a date stage)
WIDTH = 1  # doubles from one row to the next
COLUMNS = 2  # columns that hold symbols
FIRST_DATE = 3  # index of row 0 on the panel's date axis
ORIGIN = 4  # index of the panel's first date in the full history: anchors blocks of windowed sums
SCRATCH = 5  # address of the thread's scratch memory
DATES = 6  # dates of the panel (the length of blocked arrays)
TILE = 7  # index of the symbol block in a time stage
FIRST_RESULT = 8  # where FIRST_DATE is the index of a tile's first row: that of the first row that results hold
FIRST_TILE = 9  # the thread has run the tiles from this one up to `TILE` one after another,
END_TILE = 10  # and goes on so until this one, which is another's
N_DIMS = 11

POINTER = types.CPointer(types.float64)
SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.int64), POINTER)


class NarrowSlots(types.CPointer):
    """`slots` of a kernel's twin whose operands are float32."""


register_model(NarrowSlots)(models.PointerModel)
NARROW_SIGNATURE = types.void(NarrowSlots(types.int64), types.CPointer(types.int64), POINTER)

NAN = np.nan


@intrinsic
def as_doubles(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.DoubleType().as_pointer())

    return POINTER(address), codegen


@intrinsic
def as_floats(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to float32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(address), codegen


@intrinsic
def operand(typingctx: Any, slots: Any, i: Any) -> Any:
    """Pointer to the array of operand i: to float64, or in a twin to float32."""
    item = types.float32 if isinstance(slots, NarrowSlots) else types.float64

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = builder.gep(args[0], [args[1]], source_etype=ir.IntType(64))
        address = builder.load(at, typ=ir.IntType(64))
        return builder.inttoptr(address, context.get_value_type(item).as_pointer())

    return types.CPointer(item)(slots, i), codegen


@intrinsic
def as_integers(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(address), codegen


@intrinsic
def as_unsigned(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to uint64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.uint64)(address), codegen


@intrinsic
def as_small(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to int32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(32).as_pointer())

    return types.CPointer(types.int32)(address), codegen


@intrinsic
def as_bytes(typingctx: Any, address: Any) -> Any:
    """The address as a pointer to int8."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.CPointer(types.int8)(address), codegen


@intrinsic
def address_of(typingctx: Any, pointer: Any) -> Any:
    """The pointer as an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(pointer), codegen


@intrinsic
def float_bits(typingctx: Any, x: Any) -> Any:
    """The bits of a float64 as int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(x), codegen


@intrinsic
def bits_set(typingctx: Any, word: Any) -> Any:
    """How many bits of a uint64 are 1, as int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def first_bit(typingctx: Any, word: Any) -> Any:
    """The number of the lowest bit of a uint64 that is 1, as int64; 64 where there is none."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(0))

    return types.int64(types.uint64), codegen


# Decorators of functions that kernels call. Division by zero must give infinity, not an exception that nobody sees.
helper = njit(error_model="numpy")
inlined = njit(inline="always", error_model="numpy")


@inlined
def finite_or_missing(x):  # type: ignore[no-untyped-def]
    """x, or NaN when x is infinite."""
    return x if x - x == 0.0 else np.nan


@inlined
def row_of(base, row, width):  # type: ignore[no-untyped-def]
    """Pointer to a row of a tile."""
    return as_doubles(address_of(base) + 8 * row * width)  # type: ignore[call-arg]  # mypy counts the typing context
