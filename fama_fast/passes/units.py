"""What an expression is measured in, by the rule that each of its operators declares (`OpSpec.unit`).

Every value is a power of a price (currency per share) times a power of a volume (shares), so a dollar volume or a
market value is both to the first power; returns, ratios, ranks and truth values are neither. Sums, extremes,
comparisons and the two sides of a conditional need one unit; a plain number goes with any.

An operator without a rule is judged by what it is lowered into, and one with a kernel of its own is taken to be of
unknown unit, which nothing complains about.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError
from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder
from fama_fast.lang import shortened
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import adv_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Units beyond these powers, or of finer fractions, mean nothing to anybody: they are taken to be unknown.
MOST = 10_000
FINEST = 1_000_000

_ZERO, _ONE = Fraction(0), Fraction(1)

# The power of x that each of these is.
EXPONENTS: Mapping[UnitRule, Fraction] = {
    UnitRule.SQUARE: Fraction(2),
    UnitRule.ROOT: Fraction(1, 2),
    UnitRule.INVERSE: -_ONE,
}


class UnitError(ArgumentError):
    """Units that do not go together, where that is not allowed."""


@dataclass(frozen=True)
class Unit:
    """Powers of price and volume, and what a unitless value is.

    `name` is price, volume, money, return, ratio, boolean, group, number, dimensionless, unknown, or a product such as
    price^2. A number (a constant) goes with any unit, and so does an unknown one (a column nobody described).
    """

    name: str
    price: Fraction = _ZERO
    volume: Fraction = _ZERO

    @property
    def agrees_with_all(self) -> bool:
        return self.name in ("number", "unknown")

    def agrees(self, other: Unit) -> bool:
        same = (self.price, self.volume) == (other.price, other.volume)
        return same or self.agrees_with_all or other.agrees_with_all

    def __str__(self) -> str:
        return self.name


PRICE = Unit("price", price=_ONE)
VOLUME = Unit("volume", volume=_ONE)
MONEY = Unit("money", price=_ONE, volume=_ONE)
RETURN = Unit("return")
RATIO = Unit("ratio")
DIMENSIONLESS = Unit("dimensionless")
BOOLEAN = Unit("boolean")
GROUP_UNIT = Unit("group")
NUMBER = Unit("number")
UNKNOWN = Unit("unknown")

_FIELDS: Mapping[str, Unit] = {
    **dict.fromkeys(("OPEN", "HIGH", "LOW", "CLOSE", "VWAP"), PRICE),
    "VOLUME": VOLUME,
    "CAP": MONEY,
    "RET": RETURN,
}

_WORDS: Mapping[UnitRule, str] = {
    UnitRule.SUM: "adds",
    UnitRule.DIFFERENCE: "subtracts",
    UnitRule.SMALLER: "takes the smaller of",
    UnitRule.LARGER: "takes the larger of",
    UnitRule.COMPARE: "compares",
}


@dataclass(frozen=True)
class Units:
    """What was inferred: the unit of the whole, and each place where units do not agree, as a sentence."""

    unit: Unit
    warnings: tuple[str, ...]


def unit_of_field(name: str) -> Unit:
    """The unit of a field; unknown for a column that is not a standard one."""
    return MONEY if adv_window(name) else _FIELDS.get(name, UNKNOWN)


@functools.lru_cache(maxsize=4096)
def infer_units(root: Node) -> Units:
    """The unit of an expression, and where it mixes units that do not go together."""
    units: dict[Node, Unit] = {}
    warnings: list[str] = []
    for node in postorder(root):
        units[node] = _unit(node, units, warnings)
    return Units(units[root], tuple(dict.fromkeys(warnings)))


def short_power(value: float) -> Fraction | None:
    """A power as a short fraction; None for one that no unit has: missing, or beyond `MOST`."""
    return Fraction(value).limit_denominator(1000) if abs(value) <= MOST else None


def _power(price: Fraction, volume: Fraction) -> Unit:
    if max(abs(price), abs(volume)) > MOST or max(price.denominator, volume.denominator) > FINEST:
        return UNKNOWN
    for known in (DIMENSIONLESS, PRICE, VOLUME, MONEY):
        if (price, volume) == (known.price, known.volume):
            return known
    parts = [f"{n}^{p}" if p != 1 else n for n, p in (("price", price), ("volume", volume)) if p]
    return Unit(" ".join(parts), price, volume)


def _unit(node: Node, units: dict[Node, Unit], warnings: list[str]) -> Unit:
    if node.op == FIELD:
        return unit_of_field(node.name)
    if node.op == GROUP:
        return GROUP_UNIT
    if node.op == CONST:
        return NUMBER
    spec = get(node.op)
    rule = spec.own_unit(node.params)
    if rule is not None:
        return _by_rule(rule, node, [units[a] for a in node.args], warnings)
    if spec.lower is not None:
        return _of_lowered(spec.lower(*node.args, *node.params), units)
    return BOOLEAN if spec.boolean else UNKNOWN


def _of_lowered(lowered: Node, units: dict[Node, Unit]) -> Unit:
    """A composite's unit is that of what it stands for; how it is written inside is not the user's doing."""
    inside = dict(units)
    for node in postorder(lowered):
        if node not in inside:
            inside[node] = _unit(node, inside, [])
    return inside[lowered]


def _agreed(rule: UnitRule, node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    """One unit for all of `given`, with a warning where there is none."""
    known = [u for u in given if not u.agrees_with_all]
    if not known:
        return given[0] if all(u == given[0] for u in given) else UNKNOWN
    if any(not known[0].agrees(u) for u in known[1:]):
        what = " and ".join(f"{'an' if str(u)[0] in 'aeiou' else 'a'} {u}" for u in given)
        warnings.append(f"{short_text(node)} {_WORDS.get(rule, 'puts together')} {what}")
        return UNKNOWN
    if len(set(known)) == 1:
        return known[0]
    return _power(known[0].price, known[0].volume)


def short_text(node: Node) -> str:
    """An expression as a message names it."""
    return shortened(node, 80)


def _by_rule(rule: UnitRule, node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    """The unit of what an operator makes of values in the units `given`."""
    x = given[0]
    match rule:
        case UnitRule.SAME | UnitRule.NEGATED | UnitRule.SUM_OF_DAYS | UnitRule.SHIFT_FREE | UnitRule.SLICE_SAME:
            return x
        case UnitRule.FILL | UnitRule.MASKED:
            return x
        case UnitRule.SUM | UnitRule.DIFFERENCE:
            unit = _agreed(rule, node, given, warnings)
            ones = any(a.is_const and abs(a.value) == 1.0 for a in node.args)
            return RETURN if unit == RATIO and ones else unit
        case UnitRule.REMAINDER | UnitRule.SMALLER | UnitRule.LARGER | UnitRule.FOLLOWED:
            return _agreed(rule, node, given, warnings)
        case UnitRule.COMPARE:
            _agreed(rule, node, given, warnings)
            return BOOLEAN
        case UnitRule.CHOOSE:
            return _agreed(rule, node, given[1:], warnings)
        case UnitRule.WHEN:
            return given[1]
        case UnitRule.PRODUCT | UnitRule.COVARIANCE:
            return _times(x, given[1], _ONE)
        case UnitRule.QUOTIENT | UnitRule.SLOPE:
            return _times(x, given[1], -_ONE)
        case UnitRule.POWER:
            return _to_power(node, x, warnings)
        case UnitRule.PRODUCT_OF_DAYS:
            return x if not x.price and not x.volume else _scaled(x, Fraction(int(node.params[0] or 1)))
        case UnitRule.SQUARE | UnitRule.ROOT | UnitRule.INVERSE:
            return _scaled(x, EXPONENTS[rule])
        case UnitRule.TRUTH | UnitRule.PRESENCE:
            return BOOLEAN
        case _:
            return DIMENSIONLESS


def _scaled(x: Unit, factor: Fraction) -> Unit:
    return x if x.agrees_with_all else _power(x.price * factor, x.volume * factor)


def _times(x: Unit, y: Unit, sign: Fraction) -> Unit:
    if UNKNOWN in (x, y):
        return UNKNOWN
    if y == NUMBER:
        return x
    if x == NUMBER and sign > 0:
        return y
    if sign < 0 and (x.price, x.volume) == (y.price, y.volume) and not x.agrees_with_all:
        return RATIO
    return _power(x.price + sign * y.price, x.volume + sign * y.volume)


def _to_power(node: Node, x: Unit, warnings: list[str]) -> Unit:
    if x.agrees_with_all:
        return x
    if not x.price and not x.volume:
        return DIMENSIONLESS
    if node.args[1].is_const:
        power = short_power(node.args[1].value)
        return UNKNOWN if power is None else _power(x.price * power, x.volume * power)
    warnings.append(f"{short_text(node)} raises a {x} to a power that varies")
    return UNKNOWN


# What an operator stands for may change when it is removed and defined anew.
on_unregister(infer_units.cache_clear)
