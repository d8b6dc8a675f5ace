"""Comparisons, logic, the conditional and tests for missing values. Truth is 1 and 0; all but 0 is true."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.ops import syntax
from fama_fast.ops.constants import MISSING, strict
from fama_fast.ops.registry import register
from fama_fast.ops.spec import Algebra, OpSpec, PolarsLowering, number, series
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from fama_fast.ops.spec import PolarsContext

_BRAIN = "WorldQuant BRAIN operator reference, logical"
_DESIGN = "fama_fast binding semantics"


def _comparison(
    name: str,
    symbol: str,
    words: str,
    aliases: tuple[str, ...],
    polars: PolarsLowering,
    evaluate: Callable[[float, float], bool],
    *,
    commutative: bool = False,
    usage: int = 0,
) -> None:
    register(
        OpSpec(
            name=name,
            family=Family.ELEMENT,
            parameters=(series("x"), series("y")),
            doc=f"1 where x is {words} y, else 0.",
            example=f"OPEN {symbol} CLOSE",
            source=_BRAIN,
            missing="missing when either side is missing",
            aliases=aliases,
            algebra=Algebra(commutative=commutative),
            polars=lambda ctx, x, y: polars(x, y).cast(ctx.pl.Float64),
            kernel=f"elementwise.{name.lower()}",
            evaluate=strict(lambda x, y: float(evaluate(x, y))),
            symbol=symbol,
            precedence=syntax.COMPARISON,
            boolean=True,
            unit=UnitRule.COMPARE,
            usage=usage,
        )
    )


_comparison("LT", "<", "less than", ("LESS_THAN",), lambda x, y: x < y, lambda x, y: x < y, usage=14)
_comparison("LE", "<=", "at most", ("LESS_EQUAL",), lambda x, y: x <= y, lambda x, y: x <= y)
_comparison("GT", ">", "greater than", ("GREATER_THAN",), lambda x, y: x > y, lambda x, y: x > y)
_comparison("GE", ">=", "at least", ("GREATER_EQUAL",), lambda x, y: x >= y, lambda x, y: x >= y)
_comparison("EQ", "==", "equal to", ("EQUAL",), lambda x, y: x == y, lambda x, y: x == y, commutative=True, usage=6)
_comparison("NE", "!=", "not equal to", ("NOT_EQUAL",), lambda x, y: x != y, lambda x, y: x != y, commutative=True)


def _both_present(truth: Callable[[Any, Any], Any]) -> PolarsLowering:
    # Polars' own logic answers `false AND null` with false.
    def lower(ctx: PolarsContext, x: pl.Expr, y: pl.Expr) -> Any:
        return ctx.pl.when(x.is_not_null() & y.is_not_null()).then(truth(x, y).cast(ctx.pl.Float64))

    return lower


def _logic(
    name: str,
    operands: tuple[str, ...],
    doc: str,
    example: str,
    polars: PolarsLowering,
    truth: Any,
    **more: Any,
) -> None:
    register(
        OpSpec(
            name=name,
            family=Family.ELEMENT,
            parameters=tuple(series(o) for o in operands),
            doc=doc,
            example=example,
            source=_BRAIN,
            missing="missing when an operand is missing",
            polars=polars,
            kernel=f"elementwise.{name.lower()}_",
            evaluate=strict(lambda *values: float(truth(*(v != 0 for v in values)))),
            boolean=True,
            unit=UnitRule.TRUTH,
            **more,
        )
    )


_logic(
    "AND",
    ("x", "y"),
    "1 where both are true, else 0.",
    "OPEN < CLOSE && VOLUME > TS_MEAN(VOLUME, 20)",
    _both_present(lambda x, y: (x != 0.0) & (y != 0.0)),
    lambda x, y: x and y,
    algebra=Algebra(commutative=True),
    symbol="&&",
    precedence=syntax.AND,
    notes="A missing side makes the result missing even where the other side is false.",
    usage=2,
)
_logic(
    "OR",
    ("x", "y"),
    "1 where at least one is true, else 0.",
    "OPEN < CLOSE || VOLUME > TS_MEAN(VOLUME, 20)",
    _both_present(lambda x, y: (x != 0.0) | (y != 0.0)),
    lambda x, y: x or y,
    algebra=Algebra(commutative=True),
    symbol="||",
    precedence=syntax.OR,
    notes="A missing side makes the result missing even where the other side is true.",
    usage=2,
)
_logic(
    "NOT",
    ("x",),
    "1 where x is 0, else 0.",
    "!(OPEN < CLOSE)",
    lambda ctx, x: (x == 0.0).cast(ctx.pl.Float64),
    lambda x: not x,
    symbol="!",
    precedence=syntax.NOT,
)


def _if_else(condition: float, x: float, y: float) -> float:
    if math.isnan(condition):
        return MISSING
    return x if condition != 0 else y


register(
    OpSpec(
        name="IF_ELSE",
        family=Family.ELEMENT,
        parameters=(series("condition"), series("x"), series("y")),
        doc="x where the condition is true, y where it is false (0).",
        example="RET < 0 ? TS_STDDEV(RET, 20) : RET",
        source=f"{_BRAIN}; the ternary of Kakushadze (2016)",
        missing="missing where the condition or the chosen side is missing; the other side does not matter",
        aliases=("IF", "WHERE"),
        polars=lambda ctx, condition, x, y: (
            ctx.pl.when(condition != 0.0).then(x).when(condition == 0.0).then(y).otherwise(None)
        ),
        kernel="elementwise.if_else",
        evaluate=_if_else,
        symbol="?",
        precedence=syntax.TERNARY,
        unit=UnitRule.CHOOSE,
        usage=14,
    )
)
register(
    OpSpec(
        name="IS_NAN",
        family=Family.ELEMENT,
        parameters=(series(),),
        doc="1 where x is missing, else 0.",
        example="IS_NAN(VOLUME)",
        source=_BRAIN,
        missing="never missing",
        aliases=("IS_NULL", "IS_MISSING"),
        polars=lambda ctx, x: x.is_null().cast(ctx.pl.Float64),
        kernel="elementwise.is_nan",
        evaluate=lambda x: float(math.isnan(x)),
        boolean=True,
        unit=UnitRule.PRESENCE,
        usage=6,
    )
)
register(
    OpSpec(
        name="NAN_TO",
        family=Family.ELEMENT,
        parameters=(series(), number("value", 0.0, doc="what a missing x becomes")),
        doc="x, and a number where x is missing.",
        example="NAN_TO(RET, 0)",
        source=_DESIGN,
        missing="never missing",
        aliases=("FILL_NAN",),
        algebra=Algebra(idempotent=True),
        polars=lambda ctx, x, value: x.fill_null(value),
        kernel="elementwise.nan_to",
        evaluate=lambda x, value: value if math.isnan(x) else x,
        unit=UnitRule.FILL,
        usage=4,
    )
)
register(
    OpSpec(
        name="MASK",
        internal=True,  # carries the universe into cross-sections, which is no business of an expression
        family=Family.ELEMENT,
        parameters=(series("x"), series("members")),
        doc="x where the second operand is true, else missing: how the universe reaches cross-sections.",
        example="MASK(CLOSE, VOLUME > 0)",
        source=_DESIGN,
        missing="missing where either operand is missing or the second is 0",
        algebra=Algebra(odd=True, idempotent=True),
        polars=lambda ctx, x, members: ctx.pl.when(members != 0.0).then(x),
        kernel="elementwise.mask",
        evaluate=lambda x, members: x if members != 0 and not math.isnan(members) else MISSING,
        notes="With a universe, it stands in front of every cross-sectional and group operator.",
        unit=UnitRule.MASKED,
        usage=3,
    )
)
