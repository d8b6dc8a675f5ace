"""Names that every layer shares: kinds of operator parameters, the standard fields, what the panel derives.

It knows no operator and no array.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]
    Rows = slice | IntArray  # dates of (T, ...) arrays, as a range or by number


class Kind(enum.Enum):
    """What may stand at a parameter of an operator."""

    SERIES = "series"  # a value per (date, symbol)
    GROUP = "group"  # a group label per (date, symbol): SECTOR, INDUSTRY, ...
    WINDOW = "window"  # a whole number of days, at least 1
    COUNT = "count"  # a whole number of something else
    NUMBER = "number"  # a constant
    FLAG = "flag"  # TRUE or FALSE
    CHOICE = "choice"  # one of a few words
    TEXT = "text"  # a text in quotes, in operators of dialects only

    @property
    def is_operand(self) -> bool:
        """Operands are nodes; the others are static parameters of a node."""
        return self in (Kind.SERIES, Kind.GROUP)


class Family(enum.Enum):
    """The access pattern of an operator, which decides how it is planned and computed."""

    ELEMENT = "element"  # each cell from the same cell of its operands
    TIME_SERIES = "time series"  # one symbol's history up to the date
    CROSS_SECTION = "cross-section"  # all members of the universe on one date
    GROUP = "group"  # all members of one group on one date


STANDARD_FIELDS: tuple[str, ...] = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP", "CAP")
STANDARD_GROUPS: tuple[str, ...] = ("SECTOR", "INDUSTRY", "SUBINDUSTRY")
PRICE_FIELDS: tuple[str, ...] = ("OPEN", "HIGH", "LOW", "CLOSE")


@dataclass(frozen=True)
class DerivedField:
    """A field that follows from others when the data does not carry it."""

    name: str
    formula: str
    inputs: tuple[str, ...]
    lookback: int
    doc: str


DERIVED_FIELDS: dict[str, DerivedField] = {
    d.name: d
    for d in (
        DerivedField(
            "RET",
            # A price of zero or below is no price.
            "MASK(CLOSE, CLOSE > 0) / DELAY(MASK(CLOSE, CLOSE > 0), 1) - 1",
            ("CLOSE",),
            1,
            "close-to-close return",
        ),
        DerivedField("VWAP", "(HIGH + LOW + CLOSE) / 3", ("HIGH", "LOW", "CLOSE"), 0, "typical price"),
    )
}

_ADV = re.compile(r"ADV([1-9][0-9]{0,4})\Z")


def adv_window(name: str) -> int | None:
    """The days d of an `ADV{d}` field (mean of CLOSE*VOLUME over d days), or None for another name."""
    m = _ADV.match(name)
    return int(m.group(1)) if m else None


def derived_field(name: str) -> DerivedField | None:
    """How `name` follows from other fields (RET, VWAP, ADV{d}), or None."""
    d = adv_window(name)
    if d is not None:
        formula = f"TS_MEAN(CLOSE * VOLUME, {d})"
        return DerivedField(name, formula, ("CLOSE", "VOLUME"), d - 1, f"mean dollar volume of {d} days")
    return DERIVED_FIELDS.get(name)
