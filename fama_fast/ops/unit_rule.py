"""How an operator's result is measured, given what its operands are measured in.

An operator declares one of these rules (`OpSpec.unit`), or a function from its static parameters to one. `passes.units`
computes units by them, `passes.price_level` whether the order across symbols hangs on a price level. Both read the
operands in the order of the signature: x is the first, y the second.
"""

from __future__ import annotations

from enum import Enum


class UnitRule(Enum):
    """The unit of a result, and what a constant added to x (a logarithm of prices that are scaled) does to it.

    Attributes:
        word: for messages. operands: how many it is about, at least.
    """

    def __init__(self, word: str, operands: int = 1) -> None:
        self.word = word
        self.operands = operands

    @property
    def of_a_static_parameter(self) -> bool:
        """It reads the first static parameter."""
        return self in (UnitRule.SUM_OF_DAYS, UnitRule.PRODUCT_OF_DAYS, UnitRule.FILL)

    # As x.
    SAME = "same"  # an added constant is added to the result: a mean, an extreme
    NEGATED = "negated"  # it is subtracted
    SUM_OF_DAYS = "sum of days"  # it is added once for each day of the window, the first static parameter
    SHIFT_FREE = "shift-free"  # it is gone: a deviation, a slope a day
    SLICE_SAME = "slice same"  # as x, but from all symbols of a date
    FILL = "fill"  # as x, where it is missing the first static parameter
    MASKED = "masked", 2  # as x, missing where y says so

    # Operands of one unit, which is the result's.
    SUM = "sum", 2
    DIFFERENCE = "difference", 2
    REMAINDER = "remainder", 2
    SMALLER = "smaller", 2
    LARGER = "larger", 2
    FOLLOWED = "followed", 2  # x, followed by steps that the others limit
    CHOOSE = "choose", 3  # one of all operands but x
    WHEN = "when", 2  # y, on days that the others choose
    COMPARE = "compare", 2  # true or false

    # Another power of x, or x and y multiplied.
    PRODUCT = "product", 2
    COVARIANCE = "covariance", 2  # a product that forgets added constants
    QUOTIENT = "quotient", 2
    SLOPE = "slope", 2  # a quotient that forgets added constants
    POWER = "power", 2  # x to the power y
    SQUARE = "square"
    ROOT = "root"
    INVERSE = "inverse"
    PRODUCT_OF_DAYS = "product of days"  # x to the power of the window, the first static parameter

    # Without a unit.
    FREE = "free"  # nor does it change where x is scaled or shifted: a rank in time, a correlation
    SIGN = "sign"  # the same where x is scaled, not where it is shifted
    TRUTH = "truth"  # true or false, by which operands are 0
    PRESENCE = "presence"  # true or false, by which values are missing
    PRESENCE_COUNT = "presence count"
    LOG = "log"  # scaling x shifts it
    PURE = "pure"  # of a number without a unit: an exponential, a rounding
    SLICE = "slice"  # from all symbols of a date: a rank, a standard score
