"""How much of an operator's result may be rounding: the size of the numbers that it adds up on the way.

A sum of large numbers that cancel keeps the rounding of the large ones. An operator declares what to compare an error
with (`OpSpec.conditioning`), or a function from its static parameters to that; the oracle's tolerance follows from it:
1e-9 of the result plus 1e-9 of this size. x is the first operand, y the second; statistics of a window are over the
days on which all operands are present.
"""

from __future__ import annotations

from enum import Enum


class Conditioning(Enum):
    """The size beside which an error of one result is rounding."""

    RESULT = "result"  # the result itself: nothing cancels
    ONE = "one"  # 1: a correlation, a standard score
    TERMS = "terms"  # the operator's value of |x|: a sum, a mean
    LEVEL = "level"  # the window's mean of |x|
    RANGE = "range"  # the window's largest x less its smallest
    SPREAD = "spread"  # the window's standard deviation of x
    SPREADS = "spreads"  # that of x times that of y
    VARIANCE = "variance"  # its square
    SUM_OF_SQUARES = "sum of squares"  # its square times the days of the window
    LEVEL_IN_SPREADS = "level in spreads"  # the window's mean of |x| over its standard deviation
    SLOPE = "slope"  # the standard deviation of x over that of y, or of the day's number where there is no y
    INTERCEPT = "intercept"  # the mean of |x|, and the slope times the mean of |y| or the days of the window
    LARGEST_RESULT = "largest result"  # the largest |result| of the date
    LARGEST_OPERAND = "largest operand"  # the largest |x| of the date: what is left when most of it is taken away
