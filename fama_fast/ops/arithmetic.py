"""Arithmetic, cell by cell. Anything not finite is missing; a missing operand makes the result missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.ops import syntax
from fama_fast.ops.constants import strict
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, PolarsLowering, number, series
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext

_DESIGN = "fama_fast binding semantics"
_ALPHA101 = "Kakushadze (2016), 101 Formulaic Alphas, appendix A.1"
_BRAIN = "WorldQuant BRAIN operator reference, arithmetic"


def _element(
    name: str,
    operands: str,
    doc: str,
    example: str,
    polars: PolarsLowering,
    evaluate: Callable[..., float],
    *,
    source: str = _BRAIN,
    missing: str = "missing when an operand is missing",
    **more: Any,
) -> None:
    register(
        OpSpec(
            name=name,
            family=Family.ELEMENT,
            parameters=tuple(series(o) for o in operands.split()),
            doc=doc,
            example=example,
            source=source,
            missing=missing,
            polars=polars,
            kernel=f"elementwise.{name.lower()}",
            evaluate=strict(evaluate),
            **more,
        )
    )


def _mod(ctx: PolarsContext, x: pl.Expr, y: pl.Expr) -> Any:
    # Polars' own % is x - y * floor(x / y), which has no digit left when x is large beside y.
    def exact(columns: Sequence[pl.Series]) -> pl.Series:
        import numpy as np

        with np.errstate(invalid="ignore"):
            values = np.mod(*(c.to_numpy() for c in columns))
        return ctx.pl.Series(values, nan_to_null=True)  # type: ignore[no-any-return]

    return ctx.pl.map_batches([x, y], exact, return_dtype=ctx.pl.Float64)


_element(
    "ADD",
    "x y",
    "x + y.",
    "OPEN + CLOSE",
    lambda ctx, x, y: x + y,
    lambda x, y: x + y,
    algebra=Algebra(commutative=True),
    symbol="+",
    precedence=syntax.ADDITIVE,
)
_element(
    "SUB",
    "x y",
    "x - y.",
    "HIGH - LOW",
    lambda ctx, x, y: x - y,
    lambda x, y: x - y,
    aliases=("SUBTRACT",),
    symbol="-",
    precedence=syntax.ADDITIVE,
)
_element(
    "MUL",
    "x y",
    "x * y.",
    "CLOSE * VOLUME",
    lambda ctx, x, y: x * y,
    lambda x, y: x * y,
    aliases=("MULTIPLY",),
    algebra=Algebra(commutative=True, odd=True),
    symbol="*",
    precedence=syntax.MULTIPLICATIVE,
)
_element(
    "DIV",
    "x y",
    "x / y.",
    "CLOSE / OPEN",
    lambda ctx, x, y: x / y,
    lambda x, y: x / y,
    missing="missing when an operand is missing or y is 0",
    aliases=("DIVIDE",),
    algebra=Algebra(odd=True),
    symbol="/",
    precedence=syntax.MULTIPLICATIVE,
)
_element(
    "NEG",
    "x",
    "-x.",
    "-RANK(RET)",
    lambda ctx, x: -x,
    lambda x: -x,
    aliases=("REVERSE",),
    algebra=Algebra(odd=True),
    symbol="-",
    precedence=syntax.UNARY_MINUS,
)
_element(
    "POWER",
    "x y",
    "x to the power y.",
    "RANK(RET) ^ 2",
    lambda ctx, x, y: x.pow(y),
    lambda x, y: x**y,
    missing="missing when an operand is missing, a negative x to a fraction, or 0 to a negative power",
    aliases=("POW",),
    symbol="^",
    precedence=syntax.POWER,
    notes="A negative x to a whole y is as in arithmetic, (-2)^3 = -8; SIGNED_POWER is the other convention.",
)
_element(
    "SIGNED_POWER",
    "x y",
    "sign(x) * |x|^y.",
    "SIGNED_POWER(RET, 2)",
    lambda ctx, x, y: x.sign() * x.abs().pow(y),
    lambda x, y: math.copysign(1.0, x) * abs(x) ** y if x else 0.0 * x**y,
    source=f"{_BRAIN}; SignedPower of {_ALPHA101}",
    missing="missing when an operand is missing, and for 0 to a negative power",
    aliases=("SIGNEDPOWER",),
    algebra=Algebra(odd=True),
    notes="Kakushadze writes x^a and computes it on positive ranks only; BRAIN keeps the sign, and so do we.",
)
_element(
    "MIN",
    "x y",
    "The smaller of x and y.",
    "MIN(OPEN, CLOSE)",
    lambda ctx, x, y: ctx.pl.when(x < y).then(x).when(x >= y).then(y),
    min,
    aliases=("MINIMUM",),
    algebra=Algebra(commutative=True),
    notes="Alpha101's min(x, d) with a whole d and qlib's Min(x, d) are TS_MIN, and its min of two series takes the "
    "present one where one is missing, which is FMIN: use the dialect.",
)
_element(
    "MAX",
    "x y",
    "The larger of x and y.",
    "MAX(OPEN, CLOSE)",
    lambda ctx, x, y: ctx.pl.when(x > y).then(x).when(x <= y).then(y),
    max,
    aliases=("MAXIMUM",),
    algebra=Algebra(commutative=True),
    notes="Alpha101's max(x, d) with a whole d and qlib's Max(x, d) are TS_MAX, and its max of two series takes the "
    "present one where one is missing, which is FMAX: use the dialect.",
)


def _horizontal(which: str) -> PolarsLowering:
    # Polars' own leaves nulls out.
    return lambda ctx, x, y: getattr(ctx.pl, f"{which}_horizontal")(x, y)


def _present(pick: Callable[[float, float], float]) -> Callable[[float, float], float]:
    def evaluate(x: float, y: float) -> float:
        if math.isnan(x) or math.isnan(y):
            return y if math.isnan(x) else x
        return pick(x, y)

    return evaluate


for _name, _pick, _word in (("FMIN", min, "smaller"), ("FMAX", max, "larger")):
    register(
        OpSpec(
            name=_name,
            family=Family.ELEMENT,
            parameters=(series("x"), series("y")),
            doc=f"The {_word} of x and y, or the present one where the other is missing.",
            example=f"{_name}(RANK(RET), RANK(VOLUME))",
            source=f"NumPy, numpy.{_name.lower()}; C99 {_name.lower()}",
            missing="missing when both operands are missing",
            algebra=Algebra(commutative=True),
            polars=_horizontal(_name[1:].lower()),
            kernel=f"elementwise.{_name.lower()}",
            evaluate=_present(_pick),
            notes=f"What {_name[1:].lower()} of two series means in the dialect alpha101, as in most ports of its "
            f"formulas; {_name[1:]} is missing when one side is.",
        )
    )
_element(
    "MOD",
    "x y",
    "x modulo y, with the sign of y: x - y * floor(x / y).",
    "MOD(VOLUME, 100)",
    _mod,
    lambda x, y: x % y,
    source=_DESIGN,
    missing="missing when an operand is missing or y is 0",
    notes="As in Python and NumPy; C's fmod has the sign of x.",
)
_element(
    "ABS",
    "x",
    "The absolute value.",
    "ABS(RET)",
    lambda ctx, x: x.abs(),
    abs,
    source=_ALPHA101,
    algebra=Algebra(even=True, idempotent=True),
)
_element(
    "SIGN",
    "x",
    "1 for a positive x, -1 for a negative, 0 for zero.",
    "SIGN(DELTA(CLOSE, 1))",
    lambda ctx, x: x.sign(),
    lambda x: float((x > 0) - (x < 0)),
    source=_ALPHA101,
    algebra=Algebra(odd=True, idempotent=True, increasing=True),
)
_element(
    "LOG",
    "x",
    "The natural logarithm.",
    "LOG(VOLUME)",
    lambda ctx, x: x.log(),
    math.log,
    source=_ALPHA101,
    missing="missing when x is missing or x <= 0",
    aliases=("LN",),
)
_element(
    "LOG1P",
    "x",
    "The natural logarithm of 1 + x, exact for small x.",
    "LOG1P(RET)",
    lambda ctx, x: x.log1p(),
    math.log1p,
    source=_DESIGN,
    missing="missing when x is missing or x <= -1",
)
_element(
    "EXP",
    "x",
    "e to the power x.",
    "EXP(RET)",
    lambda ctx, x: x.exp(),
    math.exp,
    missing="missing when x is missing or the result overflows",
)
_element(
    "SQRT",
    "x",
    "The square root.",
    "SQRT(VOLUME)",
    lambda ctx, x: x.sqrt(),
    math.sqrt,
    missing="missing when x is missing or x < 0",
)
_element(
    "INVERSE",
    "x",
    "1 / x.",
    "INVERSE(CLOSE)",
    lambda ctx, x: 1.0 / x,
    lambda x: 1.0 / x,
    missing="missing when x is missing or 0",
    algebra=Algebra(odd=True),
)
_element(
    "FLOOR",
    "x",
    "The largest whole number not above x.",
    "FLOOR(LOG(VOLUME))",
    lambda ctx, x: x.floor(),
    math.floor,
    source=_DESIGN,
    algebra=Algebra(idempotent=True, increasing=True),
)
_element(
    "CEIL",
    "x",
    "The smallest whole number not below x.",
    "CEIL(LOG(VOLUME))",
    lambda ctx, x: x.ceil(),
    math.ceil,
    source=_DESIGN,
    aliases=("CEILING",),
    algebra=Algebra(idempotent=True, increasing=True),
)
_element(
    "ROUND",
    "x",
    "The nearest whole number; a half goes to the even one.",
    "ROUND(LOG(VOLUME))",
    lambda ctx, x: x.round(0, mode="half_to_even"),
    round,
    source=f"{_BRAIN}; IEEE 754 roundTiesToEven",
    algebra=Algebra(odd=True, idempotent=True, increasing=True),
)
_element(
    "TANH",
    "x",
    "The hyperbolic tangent.",
    "TANH(Z_SCORE(RET))",
    lambda ctx, x: x.tanh(),
    math.tanh,
    algebra=Algebra(odd=True, increasing=True),
)
_element(
    "SIGMOID",
    "x",
    "1 / (1 + e^-x).",
    "SIGMOID(Z_SCORE(RET))",
    lambda ctx, x: 1.0 / (1.0 + (-x).exp()),
    lambda x: 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(x),
    algebra=Algebra(increasing=True),
)


def _clip(x: Node, lower: float, upper: float) -> Node:
    return build("MIN", build("MAX", x, lower), upper)


register(
    OpSpec(
        name="CLIP",
        family=Family.ELEMENT,
        parameters=(series(), number("lower", doc="smallest result"), number("upper", doc="largest result")),
        doc="x held between two numbers.",
        example="CLIP(RET, -0.1, 0.1)",
        source=_DESIGN,
        missing="missing when x is missing",
        algebra=Algebra(idempotent=True, increasing=True),
        lower=_clip,
        notes="A lower bound above the upper one gives the upper one.",
    )
)


def _s_log_1p(x: Node) -> Node:
    return build("MUL", build("SIGN", x), build("LOG1P", build("ABS", x)))


register(
    OpSpec(
        name="S_LOG_1P",
        family=Family.ELEMENT,
        parameters=(series(),),
        doc="sign(x) * log(1 + |x|): a logarithm that keeps sign and order.",
        example="S_LOG_1P(DELTA(VOLUME, 1))",
        source=f"{_BRAIN}, s_log_1p",
        missing="missing when x is missing",
        aliases=("SIGNED_LOG1P",),
        algebra=Algebra(odd=True, increasing=True),
        lower=_s_log_1p,
        notes="The natural logarithm, by BRAIN's formula; the example beside it (9 gives 1) has the decimal one.",
    )
)
register(
    OpSpec(
        name="PURIFY",
        family=Family.ELEMENT,
        parameters=(series(),),
        doc="x, with infinities turned into missing values.",
        example="PURIFY(RET / TS_STDDEV(RET, 20))",
        source=f"{_BRAIN}, purify",
        missing="missing when x is missing",
        algebra=Algebra(odd=True, idempotent=True, increasing=True),
        lower=lambda x: x,
        notes="Here every operator already gives a missing value for an infinite one, so this changes nothing.",
    )
)
