"""Arithmetic, cell by cell. Anything not finite is missing; a missing operand makes the result missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.ops import syntax
from fama_fast.ops.constants import strict
from fama_fast.ops.registry import register
from fama_fast.ops.spec import Algebra, OpSpec, PolarsLowering, series
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from fama_fast.ops.spec import PolarsContext

DESIGN = "fama_fast binding semantics"
ALPHA101 = "Kakushadze (2016), 101 Formulaic Alphas, appendix A.1"
BRAIN = "WorldQuant BRAIN operator reference, arithmetic"


def element(
    name: str,
    operands: str,
    doc: str,
    example: str,
    polars: PolarsLowering,
    evaluate: Callable[..., float],
    *,
    source: str = BRAIN,
    missing: str = "missing when an operand is missing",
    **more: Any,
) -> None:
    """Register an operator of numbers in one cell; `operands` are their names, `more` other fields of its entry."""
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


element(
    "ADD",
    "x y",
    "x + y.",
    "OPEN + CLOSE",
    lambda ctx, x, y: x + y,
    lambda x, y: x + y,
    algebra=Algebra(commutative=True, neutral=0.0),
    symbol="+",
    precedence=syntax.ADDITIVE,
    unit=UnitRule.SUM,
    usage=14,
)
element(
    "SUB",
    "x y",
    "x - y.",
    "HIGH - LOW",
    lambda ctx, x, y: x - y,
    lambda x, y: x - y,
    aliases=("SUBTRACT",),
    symbol="-",
    precedence=syntax.ADDITIVE,
    algebra=Algebra(neutral=0.0),
    unit=UnitRule.DIFFERENCE,
    usage=14,
)
element(
    "MUL",
    "x y",
    "x * y.",
    "CLOSE * VOLUME",
    lambda ctx, x, y: x * y,
    lambda x, y: x * y,
    aliases=("MULTIPLY",),
    algebra=Algebra(commutative=True, odd=True, neutral=1.0),
    symbol="*",
    precedence=syntax.MULTIPLICATIVE,
    unit=UnitRule.PRODUCT,
    usage=14,
)
element(
    "DIV",
    "x y",
    "x / y.",
    "CLOSE / OPEN",
    lambda ctx, x, y: x / y,
    lambda x, y: x / y,
    missing="missing when an operand is missing or y is 0",
    aliases=("DIVIDE",),
    algebra=Algebra(odd=True, neutral=1.0),
    symbol="/",
    precedence=syntax.MULTIPLICATIVE,
    unit=UnitRule.QUOTIENT,
    usage=14,
)
element(
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
    unit=UnitRule.NEGATED,
    usage=14,
)
element(
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
    algebra=Algebra(neutral=1.0),
    unit=UnitRule.POWER,
    usage=14,
)
element(
    "SIGNED_POWER",
    "x y",
    "sign(x) * |x|^y.",
    "SIGNED_POWER(RET, 2)",
    lambda ctx, x, y: x.sign() * x.abs().pow(y),
    lambda x, y: math.copysign(1.0, x) * abs(x) ** y if x else 0.0 * x**y,
    source=f"{BRAIN}; SignedPower of {ALPHA101}",
    missing="missing when an operand is missing, and for 0 to a negative power",
    aliases=("SIGNEDPOWER",),
    algebra=Algebra(odd=True),
    notes="Kakushadze writes x^a and computes it on positive ranks only; BRAIN keeps the sign, and so do we.",
    unit=UnitRule.POWER,
    usage=2,
)
element(
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
    unit=UnitRule.SMALLER,
    usage=4,
)
element(
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
    unit=UnitRule.LARGER,
    usage=13,
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


for _name, _pick, _unit in (("FMIN", min, UnitRule.SMALLER), ("FMAX", max, UnitRule.LARGER)):
    register(
        OpSpec(
            name=_name,
            family=Family.ELEMENT,
            parameters=(series("x"), series("y")),
            doc=f"The {_unit.word} of x and y, or the present one where the other is missing.",
            example=f"{_name}(RANK(RET), RANK(VOLUME))",
            source=f"NumPy, numpy.{_name.lower()}; C99 {_name.lower()}",
            missing="missing when both operands are missing",
            algebra=Algebra(commutative=True),
            unit=_unit,
            internal=True,  # a value that is now the one series, now the other, is nothing to search for
            polars=_horizontal(_name[1:].lower()),
            kernel=f"elementwise.{_name.lower()}",
            evaluate=_present(_pick),
            notes=f"What {_name[1:].lower()} of two series means in the dialect alpha101, as in most ports of its "
            f"formulas; {_name[1:]} is missing when one side is.",
        )
    )
element(
    "MOD",
    "x y",
    "x modulo y, with the sign of y: x - y * floor(x / y).",
    "MOD(VOLUME, 100)",
    _mod,
    lambda x, y: x % y,
    source=DESIGN,
    missing="missing when an operand is missing or y is 0",
    notes="As in Python and NumPy; C's fmod has the sign of x.",
    unit=UnitRule.REMAINDER,
)
