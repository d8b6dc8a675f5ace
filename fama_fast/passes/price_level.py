"""Whether an expression's order across symbols hangs on an arbitrary price level.

Scale all prices of each symbol by a positive number of its own, as a change of currency, of lot or of the day to which
prices are adjusted does. An expression whose values across symbols then change their order says something about that
number. `DELTA(CLOSE, 5)` does, `CLOSE / DELAY(CLOSE, 5)` does not; a rank of the former cannot undo it.

A value either scales with its symbol's price level to a power, or shifts by a multiple of its logarithm, or depends on
it in some other way; what an operator does to that follows from its unit rule (`OpSpec.unit`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.passes.units import EXPONENTS, short_power, short_text, unit_of_field

if TYPE_CHECKING:
    from collections.abc import Sequence

# A number this small added to something is there to keep a division from failing, not to say anything.
GUARD = 1e-3

_ZERO = Fraction(0)

# Columns that are no fields of ours and yet move with the level of prices: the adjustment, other prices of the day.
_AS_PRICES = frozenset({"FACTOR", "ADJ_FACTOR", "ADJ_CLOSE", "ADJCLOSE", "PRE_CLOSE", "PRECLOSE", "PREV_CLOSE"})


@dataclass(frozen=True)
class PriceLevel:
    """How a value moves when its symbol's prices are scaled: `degree` as a power, `shift` as a logarithm added.

    `lost` is the part of the expression where the order across symbols came to depend on the level for good.
    """

    degree: Fraction = _ZERO
    shift: Fraction = _ZERO
    lost: Node | None = None
    constant: float | None = None

    @functools.cached_property
    def powers(self) -> tuple[int, ...]:
        """Degree and shift as whole numbers, which hash faster than fractions."""
        return (*self.degree.as_integer_ratio(), *self.shift.as_integer_ratio())

    @property
    def free(self) -> bool:
        return self.lost is None and not self.degree and not self.shift


_FREE = PriceLevel()
_MOST_LOWERED = 1 << 16
_LOWERED: dict[tuple[object, ...], PriceLevel] = {}


@functools.lru_cache(maxsize=4096)
def depends_on_level(root: Node) -> str | None:
    """Which part of an expression makes its order across symbols hang on the symbols' price levels; None: nothing."""
    level = level_of(root, {})
    if level.free or level.constant is not None:
        return None
    return short_text(level.lost if level.lost is not None else root)


def level_of(root: Node, known: dict[Node, PriceLevel]) -> PriceLevel:
    """How the values of an expression move when prices are scaled; `known` are levels of parts, and is added to."""
    if root not in known:
        # Where all parts are known, as in a tree that is being made, there is nothing to walk.
        for node in (root,) if all(a in known for a in root.args) else postorder(root):
            if node not in known:
                known[node] = _level(node, known)
    return known[root]


def _level(node: Node, levels: dict[Node, PriceLevel]) -> PriceLevel:
    if node.op == FIELD:
        return _field_level(node, levels)
    if node.op == CONST:
        return PriceLevel(constant=node.value)
    if node.op == GROUP:
        return _FREE
    given = [levels[a] for a in node.args]
    for level in given:
        if level.lost is not None:
            return replace(_FREE, lost=level.lost)
    spec = get(node.op)
    rule = spec.own_unit(node.params)
    if rule is not None:
        result = _level_rule(rule, node, given)
        return PriceLevel(lost=node) if result is None else result
    if spec.lower is not None:
        return _lowered_level(node, given, levels)
    return _FREE if all(level.free for level in given) else PriceLevel(lost=node)


def _field_level(node: Node, levels: dict[Node, PriceLevel]) -> PriceLevel:
    if node.name.upper() in _AS_PRICES:
        return PriceLevel(degree=Fraction(1))
    # A market value is quoted in money, whatever a share's price is adjusted to; a dollar volume is computed.
    return _FREE if node.name == "CAP" else PriceLevel(degree=unit_of_field(node.name).price)


def _lowered_level(node: Node, given: Sequence[PriceLevel], levels: dict[Node, PriceLevel]) -> PriceLevel:
    """The level of what an operator stands for. It follows from the operands' levels alone, so that it is worked out
    once for each, unless a part of it is to be named."""
    spec = get(node.op)
    assert spec.lower is not None
    if any(level.constant is not None for level in given):
        return level_of(spec.lower(*node.args, *node.params), levels)
    key = (node.op, node.params, *(level.powers for level in given))
    level = _LOWERED.get(key)
    if level is None:
        level = level_of(spec.lower(*node.args, *node.params), levels)
        if level.lost is None and len(_LOWERED) < _MOST_LOWERED:
            _LOWERED[key] = level
    return level


def _one_level(given: Sequence[PriceLevel]) -> PriceLevel | None:
    """The level that terms share; a number is of degree 0, a guard or a zero of any."""
    terms = [g for g in given if g.constant is None or abs(g.constant) > GUARD] or list(given)
    first = terms[0]
    same = all((t.degree, t.shift) == (first.degree, first.shift) for t in terms)
    return replace(first, constant=None) if same else None


def _level_rule(rule: UnitRule, node: Node, given: Sequence[PriceLevel]) -> PriceLevel | None:
    """The level of the result; None when it is in no simple relation to the price level any more."""
    x = given[0]
    plain = not any(g.shift for g in given)
    match rule:
        case UnitRule.SAME:
            return replace(x, constant=None)
        case UnitRule.NEGATED:
            return replace(x, shift=-x.shift, constant=None)
        case UnitRule.SUM_OF_DAYS:
            return replace(x, shift=x.shift * _days(node), constant=None)
        case UnitRule.SHIFT_FREE:
            return PriceLevel(degree=x.degree)
        case UnitRule.SUM | UnitRule.DIFFERENCE if not plain and not any(g.degree for g in given):
            others = sum(g.shift for g in given[1:])
            return PriceLevel(shift=x.shift + (others if rule is UnitRule.SUM else -others))
        case UnitRule.REMAINDER if not plain:
            return None
        case UnitRule.SUM | UnitRule.DIFFERENCE | UnitRule.REMAINDER:
            return _one_level(given)
        case UnitRule.SMALLER | UnitRule.LARGER | UnitRule.FOLLOWED:
            return _one_level(given)
        case UnitRule.COMPARE:
            return _FREE if _one_level(given) else None
        case UnitRule.CHOOSE:
            return _one_level(given[1:]) if x.free or x.degree else None
        case UnitRule.WHEN:
            return given[1] if all(g.free for g in (x, *given[2:])) else None
        case UnitRule.PRODUCT if not plain:
            return _multiplied(x, given[1])
        case UnitRule.PRODUCT | UnitRule.COVARIANCE:
            return PriceLevel(degree=x.degree + given[1].degree)
        case UnitRule.QUOTIENT if not plain:
            return None
        case UnitRule.QUOTIENT | UnitRule.SLOPE:
            return PriceLevel(degree=x.degree - given[1].degree)
        case UnitRule.POWER:
            return _to_power(given)
        case UnitRule.PRODUCT_OF_DAYS:
            return PriceLevel(degree=x.degree * _days(node)) if plain else None
        case UnitRule.SQUARE | UnitRule.ROOT | UnitRule.INVERSE:
            return PriceLevel(degree=x.degree * EXPONENTS[rule]) if plain or rule is UnitRule.SQUARE else None
        case UnitRule.FREE | UnitRule.PRESENCE | UnitRule.PRESENCE_COUNT:
            return _FREE
        case UnitRule.SIGN | UnitRule.TRUTH:
            return _FREE if plain else None
        case UnitRule.LOG:
            return PriceLevel(shift=x.degree) if plain else None
        case UnitRule.FILL:
            return x if x.free or (node.params[0] == 0 and not x.shift) else None
        case UnitRule.MASKED:
            return x if not given[1].shift else None
        case _:
            # A function that is not homogeneous, or one across symbols, where the others' levels come in.
            return _FREE if all(g.free for g in given) else None


def _days(node: Node) -> Fraction:
    return Fraction(int(node.params[0] or 1))


def _to_power(given: Sequence[PriceLevel]) -> PriceLevel | None:
    x, exponent = given[0], given[1].constant
    if exponent is None:
        return _FREE if all(g.free for g in given) else None
    if any(g.shift for g in given):
        return None
    power = short_power(exponent)
    if power is None:
        # What is always missing has no order; of what else is so large, nothing is known.
        return _FREE if math.isnan(exponent) or not x.degree else None
    return PriceLevel(degree=x.degree * power)


def _multiplied(x: PriceLevel, y: PriceLevel) -> PriceLevel | None:
    """A value that shifts with the level, times a number."""
    if x.constant is not None:
        x, y = y, x
    if y.constant is None or x.degree:
        return None
    return (
        PriceLevel(shift=x.shift * Fraction(y.constant).limit_denominator(10**6))
        if math.isfinite(y.constant)
        else _FREE
    )


# What an operator stands for may change when it is removed and defined anew.
on_unregister(depends_on_level.cache_clear)
on_unregister(_LOWERED.clear)
