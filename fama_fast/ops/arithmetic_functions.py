"""Functions of one number, cell by cell. Anything not finite is missing; a missing operand makes the result missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.ops.arithmetic import ALPHA101, BRAIN, DESIGN, element
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, number, series
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from fama_fast.ir import Node

element(
    "ABS",
    "x",
    "The absolute value.",
    "ABS(RET)",
    lambda ctx, x: x.abs(),
    abs,
    source=ALPHA101,
    algebra=Algebra(even=True, idempotent=True),
    unit=UnitRule.SAME,
    usage=12,
)
element(
    "SIGN",
    "x",
    "1 for a positive x, -1 for a negative, 0 for zero.",
    "SIGN(DELTA(CLOSE, 1))",
    lambda ctx, x: x.sign(),
    lambda x: float((x > 0) - (x < 0)),
    source=ALPHA101,
    algebra=Algebra(odd=True, idempotent=True, increasing=True),
    unit=UnitRule.SIGN,
    usage=8,
)
element(
    "LOG",
    "x",
    "The natural logarithm.",
    "LOG(VOLUME)",
    lambda ctx, x: x.log(),
    math.log,
    source=ALPHA101,
    missing="missing when x is missing or x <= 0",
    aliases=("LN",),
    unit=UnitRule.LOG,
    usage=5,
)
element(
    "LOG1P",
    "x",
    "The natural logarithm of 1 + x, exact for small x.",
    "LOG1P(RET)",
    lambda ctx, x: x.log1p(),
    math.log1p,
    source=DESIGN,
    missing="missing when x is missing or x <= -1",
    unit=UnitRule.PURE,
)
element(
    "EXP",
    "x",
    "e to the power x.",
    "EXP(RET)",
    lambda ctx, x: x.exp(),
    math.exp,
    missing="missing when x is missing or the result overflows",
    unit=UnitRule.PURE,
)
element(
    "SQRT",
    "x",
    "The square root.",
    "SQRT(VOLUME)",
    lambda ctx, x: x.sqrt(),
    math.sqrt,
    missing="missing when x is missing or x < 0",
    unit=UnitRule.ROOT,
)
element(
    "INVERSE",
    "x",
    "1 / x.",
    "INVERSE(CLOSE)",
    lambda ctx, x: 1.0 / x,
    lambda x: 1.0 / x,
    missing="missing when x is missing or 0",
    algebra=Algebra(odd=True),
    unit=UnitRule.INVERSE,
)
element(
    "FLOOR",
    "x",
    "The largest whole number not above x.",
    "FLOOR(LOG(VOLUME))",
    lambda ctx, x: x.floor(),
    math.floor,
    source=DESIGN,
    algebra=Algebra(idempotent=True, increasing=True),
    unit=UnitRule.PURE,
)
element(
    "CEIL",
    "x",
    "The smallest whole number not below x.",
    "CEIL(LOG(VOLUME))",
    lambda ctx, x: x.ceil(),
    math.ceil,
    source=DESIGN,
    aliases=("CEILING",),
    algebra=Algebra(idempotent=True, increasing=True),
    unit=UnitRule.PURE,
)
element(
    "ROUND",
    "x",
    "The nearest whole number; a half goes to the even one.",
    "ROUND(LOG(VOLUME))",
    lambda ctx, x: x.round(0, mode="half_to_even"),
    round,
    source=f"{BRAIN}; IEEE 754 roundTiesToEven",
    algebra=Algebra(odd=True, idempotent=True, increasing=True),
    unit=UnitRule.PURE,
)
element(
    "TANH",
    "x",
    "The hyperbolic tangent.",
    "TANH(Z_SCORE(RET))",
    lambda ctx, x: x.tanh(),
    math.tanh,
    algebra=Algebra(odd=True, increasing=True),
    unit=UnitRule.PURE,
)
element(
    "SIGMOID",
    "x",
    "1 / (1 + e^-x).",
    "SIGMOID(Z_SCORE(RET))",
    lambda ctx, x: 1.0 / (1.0 + (-x).exp()),
    lambda x: 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(x),
    algebra=Algebra(increasing=True),
    unit=UnitRule.PURE,
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
        source=DESIGN,
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
        source=f"{BRAIN}, s_log_1p",
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
        source=f"{BRAIN}, purify",
        missing="missing when x is missing",
        algebra=Algebra(odd=True, idempotent=True, increasing=True),
        lower=lambda x: x,
        notes="Here every operator already gives a missing value for an infinite one, so this changes nothing.",
        unit=UnitRule.SAME,
    )
)
