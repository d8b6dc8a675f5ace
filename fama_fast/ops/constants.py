"""Values of element operators on constants, for constant folding: plain floats, NaN is missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = math.nan


def strict(function: Callable[..., float]) -> Callable[..., float]:
    """`function` with the missing-value rule of most operators.

    A missing operand, an impossible operation or a result that is not finite gives NaN.
    """

    def evaluate(*values: float) -> float:
        if any(map(math.isnan, values)):
            return MISSING
        try:
            result = function(*values)
        except (ArithmeticError, ValueError):
            return MISSING
        # Python answers a negative number to a fractional power with a complex one.
        return float(result) if isinstance(result, (int, float)) and math.isfinite(result) else MISSING

    return evaluate
