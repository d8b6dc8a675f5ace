"""A count of days as the regressor, BRAIN's `ts_step(1)`: `ts_regression(y, ts_step(1), d)` is a line on time.

The count itself begins on the first day of the data, so its value has no finite lookback and it is no operator here.
What a window says of y against it does not depend on where the count began, and the operators of a line on time say it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.errors import ArgumentError
from fama_fast.ops import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ir import Node

COUNTERS = frozenset({"TS_STEP", "STEP"})

REASON = (
    "a count of days that begins with the data has no finite lookback; it may stand as the x of "
    "TS_REGRESSION(y, TS_STEP(1), d) or as one side of CORREL, and TS_SLOPE, TS_RSQUARE and TS_RESIDUAL need no count"
)

# rettype of TS_REGRESSION by what it gives.
_ERROR, _SLOPE, _ESTIMATE, _SQUARED_ERRORS, _SQUARES, _R_SQUARE, _MEAN_SQUARED = 0, 2, 3, 4, 5, 6, 7


def against_days(name: str, y: Node, values: Mapping[str, Any]) -> Node:
    """The operator `name`, CORREL or TS_REGRESSION, of y and the count, with these static parameters.

    Raises:
        ArgumentError: a rettype that depends on where the count began, or on the spread of the days alone.
    """
    d, least = values["d"], values["min_periods"]
    if name == "CORREL":
        size = build("SQRT", build("TS_RSQUARE", y, d, min_periods=least))
        return build("MUL", build("SIGN", build("TS_SLOPE", y, d, min_periods=least)), size)
    # A count of some days earlier is the count less a number, so the lag changes nothing.
    return _regression(y, d, values["rettype"], least)


def _regression(y: Node, d: int, rettype: int, least: int | None) -> Node:
    if rettype == _SLOPE:
        return build("TS_SLOPE", y, d, min_periods=least)
    if rettype == _R_SQUARE:
        return build("TS_RSQUARE", y, d, min_periods=least)
    error = build("TS_RESIDUAL", y, d, min_periods=least)
    if rettype == _ERROR:
        return error
    if rettype == _ESTIMATE:
        return build("SUB", y, error)
    if rettype not in (_SQUARED_ERRORS, _SQUARES, _MEAN_SQUARED):
        raise ArgumentError(
            f"TS_REGRESSION: rettype {rettype} is not to be had on a count of days, only 0 and 2 to 7: the intercept "
            "depends on where the count began"
        )
    n = build("TS_SUM", build("EQ", y, y), d, min_periods=least)
    squares = build("MUL", build("TS_VAR", y, d, min_periods=least), build("SUB", n, 1))
    if rettype == _SQUARES:
        return squares
    # A constant window has no R-square and leaves no error.
    unexplained = build("NAN_TO", build("SUB", 1, build("TS_RSQUARE", y, d, min_periods=least)), 0)
    errors = build("MUL", squares, unexplained)
    return errors if rettype == _SQUARED_ERRORS else build("DIV", errors, build("SUB", n, 2))
