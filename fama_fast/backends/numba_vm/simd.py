"""Vectors of eight doubles for kernels: what a symbol block's row is made of.

Numba leaves vectorisation to LLVM's guesses, and across the rows of a block the guess fails (possible aliasing between
pointers forbids it). So the row is a type of its own here, an LLVM `<8 x double>` with the usual operators, and a mask
`<8 x i1>`; accumulators then stay in vector registers by construction, on any instruction set LLVM knows.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8


class VectorType(types.Type):
    """Eight float64 lanes."""

    def __init__(self) -> None:
        super().__init__(name="Vector8")


class MaskType(types.Type):
    """Eight truth values."""

    def __init__(self) -> None:
        super().__init__(name="Mask8")


vector = VectorType()
mask = MaskType()

_F64 = ir.DoubleType()
_F32 = ir.FloatType()
_VEC = ir.VectorType(_F64, LANES)
_NARROW = ir.VectorType(_F32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_I32 = ir.IntType(32)
_INTS = ir.VectorType(ir.IntType(64), LANES)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VEC)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _MASK)


def _splat(builder: Any, value: Any) -> Any:
    undef = ir.Constant(_VEC, ir.Undefined)
    one = builder.insert_element(undef, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, undef, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _as_vector(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    if isinstance(ty, VectorType):
        return value
    return _splat(builder, context.cast(builder, value, ty, types.float64))


def _define_operator(op: Any, emit: Any, result: Any, operand: Any) -> None:
    """Give a Python operator a meaning on two vectors (or masks); a scalar beside a vector is spread."""
    scalars = (types.Float, types.Integer)

    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if kws or len(args) != 2:
                return None
            a, b = args
            if not any(isinstance(t, type(operand)) for t in args):
                return None
            for t in (a, b):
                if not isinstance(t, type(operand)) and not (operand is vector and isinstance(t, scalars)):
                    return None
            return signature(result, a, b)

    def lowered(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if operand is mask:
            return emit(builder, args[0], args[1])
        a, b = (_as_vector(context, builder, t, v) for t, v in zip(sig.args, args, strict=True))
        return emit(builder, a, b)

    if operand is mask:
        lower_builtin(op, mask, mask)(lowered)
    else:
        for ta, tb in (
            (vector, vector),
            (vector, types.Float),
            (types.Float, vector),
            (vector, types.Integer),
            (types.Integer, vector),
        ):
            lower_builtin(op, ta, tb)(lowered)


_define_operator(operator.add, lambda b, x, y: b.fadd(x, y), vector, vector)
_define_operator(operator.iadd, lambda b, x, y: b.fadd(x, y), vector, vector)
_define_operator(operator.sub, lambda b, x, y: b.fsub(x, y), vector, vector)
_define_operator(operator.mul, lambda b, x, y: b.fmul(x, y), vector, vector)
_define_operator(operator.truediv, lambda b, x, y: b.fdiv(x, y), vector, vector)
_define_operator(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), mask, vector)
_define_operator(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), mask, vector)
_define_operator(operator.gt, lambda b, x, y: b.fcmp_ordered(">", x, y), mask, vector)
_define_operator(operator.ge, lambda b, x, y: b.fcmp_ordered(">=", x, y), mask, vector)
_define_operator(operator.eq, lambda b, x, y: b.fcmp_ordered("==", x, y), mask, vector)
_define_operator(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), mask, vector)
_define_operator(operator.and_, lambda b, x, y: b.and_(x, y), mask, mask)
_define_operator(operator.or_, lambda b, x, y: b.or_(x, y), mask, mask)


@intrinsic
def splat(typingctx: Any, x: Any) -> Any:
    """The number in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_vector(context, builder, sig.args[0], args[0])

    return vector(x), codegen


def _at(builder: Any, sig: Any, args: Any) -> Any:
    """Pointer to p[i] .. p[i+7], the type that they have together, and the bytes of one."""
    one, lanes, item = (_F32, _NARROW, 4) if sig.args[0].dtype == types.float32 else (_F64, _VEC, 8)
    at = builder.gep(args[0], [args[1]], source_etype=one)
    return builder.bitcast(at, lanes.as_pointer()), lanes, item


def _put(builder: Any, sig: Any, args: Any, aligned: int) -> Any:
    """The store of the lanes args[2] where so many values together are aligned."""
    at, lanes, item = _at(builder, sig, args)
    cells = args[2] if lanes is _VEC else builder.fptrunc(args[2], lanes)
    return builder.store(cells, at, align=item * aligned)


@intrinsic
def load(typingctx: Any, p: Any, i: Any) -> Any:
    """Lanes p[i] .. p[i+7]; float32 is widened, which is exact."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at, lanes, item = _at(builder, sig, args)
        cells = builder.load(at, align=item, typ=lanes)
        return cells if lanes is _VEC else builder.fpext(cells, _VEC)

    return vector(p, i), codegen


@intrinsic
def store(typingctx: Any, p: Any, i: Any, v: Any) -> Any:
    """Write the lanes to p[i] .. p[i+7]; to float32 rounded to nearest, and what is too large becomes infinite."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _put(builder, sig, args, 1)
        return context.get_dummy_value()

    return types.void(p, i, v), codegen


@intrinsic
def stream(typingctx: Any, p: Any, i: Any, v: Any) -> Any:
    """Write the lanes to p[i] .. p[i+7], a whole cache line, past the caches: the line is not read first.

    Of float32 it is half a line, and the caller writes the other half beside it.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instruction = _put(builder, sig, args, LANES)
        instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        return context.get_dummy_value()

    return types.void(p, i, v), codegen


@intrinsic
def prefetch(typingctx: Any, p: Any, i: Any) -> Any:
    """Ask for the cache line of p[i], which need not exist, to be read soon."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        fnty = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        fn = cgutils.get_or_insert_function(builder.module, fnty, "llvm.prefetch.p0")
        at = builder.gep(args[0], [args[1]], source_etype=_F64)
        read, keep, data = (ir.Constant(_I32, n) for n in (0, 3, 1))
        builder.call(fn, [builder.bitcast(at, pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(p, i), codegen


@intrinsic
def select(typingctx: Any, m: Any, a: Any, b: Any) -> Any:
    """Lane by lane: a where the mask holds, else b."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a = _as_vector(context, builder, sig.args[1], args[1])
        b = _as_vector(context, builder, sig.args[2], args[2])
        return builder.select(args[0], a, b)

    return vector(m, a, b), codegen


@intrinsic
def missing(typingctx: Any, v: Any) -> Any:
    """Mask of lanes that are NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fcmp_unordered("uno", args[0], args[0])

    return mask(v), codegen


@intrinsic
def tally(typingctx: Any, counts: Any, m: Any) -> Any:
    """Counts (whole numbers in the lanes' bits, `splat(0.0)` to begin with), one more where the mask holds."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        more = builder.sub(builder.bitcast(args[0], _INTS), builder.sext(args[1], _INTS))
        return builder.bitcast(more, _VEC)

    return vector(counts, m), codegen


@intrinsic
def tallied(typingctx: Any, counts: Any) -> Any:
    """The counts of `tally` as numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        # 2^52 + n has n in its lowest bits.
        number = builder.or_(builder.bitcast(args[0], _INTS), _all(0x4330000000000000))
        return builder.fsub(builder.bitcast(number, _VEC), ir.Constant(_VEC, [4503599627370496.0] * LANES))

    return vector(counts), codegen


@intrinsic
def any_lane(typingctx: Any, m: Any) -> Any:
    """Whether any lane of the mask holds."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte = builder.bitcast(args[0], ir.IntType(8))
        return builder.icmp_unsigned("!=", byte, ir.Constant(ir.IntType(8), 0))

    return types.boolean(m), codegen


def _unary_llvm(name: str) -> Any:
    @intrinsic
    def call(typingctx: Any, v: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            fnty = ir.FunctionType(_VEC, [_VEC])
            fn = cgutils.get_or_insert_function(builder.module, fnty, f"llvm.{name}.v{LANES}f64")
            return builder.call(fn, [args[0]])

        return vector(v), codegen

    return call


sqrt = _unary_llvm("sqrt")
absolute = _unary_llvm("fabs")
floor = _unary_llvm("floor")
ceil = _unary_llvm("ceil")
nearest = _unary_llvm("rint")


@intrinsic
def negative(typingctx: Any, v: Any) -> Any:
    """The lanes with their signs turned."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fneg(args[0])

    return vector(v), codegen


@intrinsic
def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        fnty = ir.FunctionType(_VEC, [_VEC, _VEC, _VEC])
        fn = cgutils.get_or_insert_function(builder.module, fnty, f"llvm.fma.v{LANES}f64")
        return builder.call(fn, args)

    return vector(a, b, c), codegen


def _all(value: int) -> Any:
    return ir.Constant(_INTS, [value] * LANES)


@intrinsic
def two_to(typingctx: Any, k: Any) -> Any:
    """2^k for whole k in [-1022, 1023].

    Adding 1.5 * 2^52 leaves k in a double's lowest bits, from where it is shifted to be the exponent.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        low = builder.bitcast(builder.fadd(args[0], ir.Constant(_VEC, [6755399441055744.0 + 1023.0] * LANES)), _INTS)
        return builder.bitcast(builder.shl(low, _all(52)), _VEC)

    return vector(k), codegen


@intrinsic
def exponent_of(typingctx: Any, v: Any) -> Any:
    """The whole e with v = m * 2^e, 1 <= m < 2, of positive normal numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        biased = builder.lshr(builder.bitcast(args[0], _INTS), _all(52))
        # 2^52 + n has n in its lowest bits.
        number = builder.bitcast(builder.or_(biased, _all(0x4330000000000000)), _VEC)
        return builder.fsub(number, ir.Constant(_VEC, [4503599627370496.0 + 1023.0] * LANES))

    return vector(v), codegen


@intrinsic
def fraction_of(typingctx: Any, v: Any) -> Any:
    """The m with v = m * 2^e, 1 <= m < 2, of positive normal numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.and_(builder.bitcast(args[0], _INTS), _all(0x000FFFFFFFFFFFFF))
        return builder.bitcast(builder.or_(bits, _all(0x3FF0000000000000)), _VEC)

    return vector(v), codegen
