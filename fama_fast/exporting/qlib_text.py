"""How qlib's expressions write our operators.

Source: microsoft/qlib, qlib/data/ops.py and `parse_field` in qlib/utils. A text is Python over `$field` and operators,
without a minus before an operand; an expression sees one instrument, so nothing compares the symbols of a date. True
and false are NumPy's: added up they are "or", so they become numbers by `If` where a number is meant.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.exporting.pieces import Piece, call
from fama_fast.exporting.spelling import ARITHMETIC, ROUNDING, Rule, Spelling, named
from fama_fast.lang.dialects.qlib import FLAT, ema_window

if TYPE_CHECKING:
    from collections.abc import Mapping

_MISSING_SIDE = "a comparison with one side missing is false (of !=: true); here it is missing"
_MISSING_CONDITION = "a missing condition counts as true; here the result is missing"
_FLAT = f"no value where a standard deviation in the window is at most {FLAT:g}"
_OF_ALL_DAYS = "the factor that turns qlib's number into ours is of all days of the window"
_TIES = "of equal extremes the first counts; here the latest"


def _truth(x: Piece) -> Piece:
    """Something true or false, from a number that is true where it is not zero."""
    return x if x.boolean else call("Ne", x, 0, boolean=True)


def _comparison(name: str) -> Rule:
    return Rule(lambda x, y: call(name, x, y, boolean=True), _MISSING_SIDE)


def _logic(name: str) -> Rule:
    return Rule(lambda x, y: call(name, _truth(x), _truth(y), boolean=True), _MISSING_SIDE, conditions=(0, 1))


def _exp(x: Piece) -> Piece:
    return call("Power", math.e, x)


def _extreme(name: str) -> Rule:
    return Rule(lambda x, d: d - call(name, x, d), _TIES, partial="qlib counts from the first day that is present")


def _regression(y: Piece, x: Piece, d: int, lag: int, rettype: int) -> Piece | None:
    if lag:
        x = call("Ref", x, lag)
    slope = call("Cov", x, y, d) / call("Var", x, d)
    if rettype == 2:
        return slope
    estimate = call("Mean", y, d) + slope * (x - call("Mean", x, d))
    if rettype == 3:
        return estimate
    if rettype == 0:
        return y - estimate
    return call("Mean", y, d) - slope * call("Mean", x, d) if rettype == 1 else None


def _decay_exp(x: Piece, d: int, factor: float) -> Piece | None:
    """qlib's mean of the whole past, where the window holds all but a millionth of its weight."""
    span = 2.0 / (1.0 - factor) - 1.0
    whole = round(span)
    if whole < 1 or abs(span - whole) > 1e-9 or d < ema_window(whole):
        return None
    return call("EMA", x, whole)


def _present(x: Piece) -> Piece:
    return call("Gt", call("Count", x, 1), 0, boolean=True)


_RULES: Mapping[str, Rule] = {
    **ARITHMETIC,
    "MIN": named("Less"),
    "MAX": named("Greater"),
    "ABS": named("Abs"),
    "SIGN": named("Sign"),
    "LOG": named("Log"),
    "POWER": named("Power"),
    "SIGNED_POWER": Rule(lambda x, y: call("Sign", x) * call("Power", call("Abs", x), y)),
    "SQRT": Rule(lambda x: call("Power", x, 0.5)),
    "INVERSE": Rule(lambda x: 1 / x),
    "EXP": Rule(_exp, ROUNDING),
    "LOG1P": Rule(lambda x: call("Log", 1 + x), ROUNDING),
    "SIGMOID": Rule(lambda x: 1 / (1 + _exp(-1 * x)), ROUNDING),
    "TANH": Rule(lambda x: 2 / (1 + _exp(-2 * x)) - 1, ROUNDING),
    **{name: _comparison(name.capitalize()) for name in ("LT", "LE", "GT", "GE", "EQ", "NE")},
    "AND": _logic("And"),
    "OR": _logic("Or"),
    "NOT": Rule(lambda x: call("Not", _truth(x), boolean=True), _MISSING_SIDE, conditions=(0,)),
    "IF_ELSE": Rule(lambda c, x, y: call("If", _truth(c), x, y), _MISSING_CONDITION, conditions=(0,)),
    "IS_NAN": Rule(lambda x: 1 - call("Count", x, 1)),
    "NAN_TO": Rule(lambda x, value: call("If", _present(x), x, value)),
    "DELAY": named("Ref"),
    "DELTA": named("Delta"),
    "TS_SUM": named("Sum"),
    "TS_MEAN": named("Mean"),
    "TS_STDDEV": named("Std"),
    "TS_VAR": named("Var"),
    "TS_SKEW": named("Skew"),
    "TS_KURT": named("Kurt"),
    "TS_MIN": named("Min"),
    "TS_MAX": named("Max"),
    "TS_MEDIAN": named("Med"),
    "TS_QUANTILE": named("Quantile"),
    "TS_RANK": named("Rank"),
    "TS_MAD": named("Mad"),
    "TS_ZSCORE": Rule(lambda x, d: (x - call("Mean", x, d)) / call("Std", x, d), ROUNDING),
    "TS_AV_DIFF": Rule(lambda x, d: x - call("Mean", x, d), ROUNDING),
    "TS_COUNT_NANS": Rule(lambda x, d: d - call("Count", x, d)),
    "TS_ARGMAX": _extreme("IdxMax"),
    "TS_ARGMIN": _extreme("IdxMin"),
    "CORREL": named("Corr", differs=_FLAT),
    "TS_COVARIANCE": named("Cov"),
    "TS_SLOPE": named("Slope"),
    "TS_RSQUARE": named("Rsquare", differs=_FLAT),
    "TS_RESIDUAL": named("Resi"),
    "TS_REGRESSION": Rule(_regression, ROUNDING),
    # qlib divides the weighted mean once more, by the days of the window.
    "DECAY_LINEAR": Rule(lambda x, d, dense: call("WMA", x, d) * d, ROUNDING, partial=_OF_ALL_DAYS),
    "DECAY_EXP": Rule(_decay_exp, "the whole past has a weight, what is beyond the window here a millionth at most"),
}

QLIB = Spelling(
    name="qlib",
    fields=MappingProxyType({}),
    groups=MappingProxyType({}),
    rules=MappingProxyType(_RULES),
    refused=MappingProxyType(
        {
            "EMA": "qlib's EMA weighs the whole past, ours d days",
            "BACKFILL": "qlib fills no gaps",
            "DECAY_EXP": "qlib's EMA weighs the whole past, ours d days",
            "TS_REGRESSION": "of a regression qlib's operators give the estimate, its error, intercept and slope alone",
        }
    ),
    apart="qlib's expressions see one instrument at a time, and this compares the symbols of a date",
    other_field=lambda name: f"${name.lower()}",
    number=lambda truth: call("If", truth, 1, 0),
)
