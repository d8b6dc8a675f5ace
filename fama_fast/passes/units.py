"""What an expression is measured in, and whether its order across symbols hangs on an arbitrary price level.

Units: every value is a power of a price (currency per share) times a power of a volume (shares), so a dollar volume or
a market value is both to the first power; returns, ratios, ranks and truth values are neither. Sums, extremes,
comparisons and the two sides of a conditional need one unit; a plain number goes with any.

Level: scale all prices of each symbol by a positive number of its own, as a change of currency, of lot or of the
day to which prices are adjusted does. An expression whose values across symbols then change their order says something
about that number. `DELTA(CLOSE, 5)` does, `CLOSE / DELAY(CLOSE, 5)` does not; a rank of the former cannot undo it.

How each operator treats both is the one table `RULES`; an operator that is not in it is judged by what it is lowered
into, and one with a kernel of its own is taken to be of unknown unit, which nothing complains about.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError
from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder
from fama_fast.lang import shortened
from fama_fast.ops import find
from fama_fast.ops.registry import on_unregister
from fama_fast.types import adv_window, derived_field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A number this small added to something is there to keep a division from failing, not to say anything.
GUARD = 1e-3

# Units beyond these powers, or of finer fractions, mean nothing to anybody: they are taken to be unknown.
MOST = 10_000
FINEST = 1_000_000

_ZERO, _ONE, _HALF = Fraction(0), Fraction(1), Fraction(1, 2)


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

# How an operator's result is measured, and what that does to a level (see `_unit` and `_level`).
SAME, SHIFT_FREE = "same", "shift-free"  # as its first operand; the latter forgets an added constant
SUM, COMPARE, CHOOSE = "sum", "compare", "choose"  # operands of one unit
PRODUCT, QUOTIENT, POWER, SQUARE, ROOT, INVERSE = "product", "quotient", "power", "square", "root", "inverse"
COVARIANCE, FREE, SIGN, TRUTH, PRESENCE = "covariance", "free", "sign", "truth", "presence"
LOG, PURE = "log", "pure"
SLICE, SLICE_SAME = "slice", "slice same"  # across symbols: unitless, or as the operand
FILL, MASKED, REGRESSION, PRESENCE_COUNT = "fill", "masked", "regression", "presence count"
PRODUCT_OF_DAYS = "product of days"  # to the power of the window
WHEN = "when"  # as the second operand, on days that the others choose

RULES: Mapping[str, str] = {
    **dict.fromkeys(("NEG", "ABS", "DELAY", "BACKFILL", "TS_SUM", "TS_MEAN", "TS_MIN", "TS_MAX", "TS_QUANTILE"), SAME),
    **dict.fromkeys(("DECAY_LINEAR", "DECAY_EXP", "EMA", "KTH_ELEMENT", "LAST_DIFF_VALUE", "TS_INTERCEPT"), SAME),
    **dict.fromkeys(("PURIFY", "KEEP"), SAME),
    **dict.fromkeys(("TS_STDDEV", "TS_AV_DIFF", "TS_MAD", "TS_SLOPE", "TS_RESIDUAL"), SHIFT_FREE),
    **dict.fromkeys(("ADD", "SUB", "MIN", "MAX", "FMIN", "FMAX", "MOD"), SUM),
    **dict.fromkeys(("TS_HUMP", "TS_FOLLOW", "TS_DELTA_LIMIT"), SUM),
    **dict.fromkeys(("LT", "LE", "GT", "GE", "EQ", "NE"), COMPARE),
    "IF_ELSE": CHOOSE,
    "TRADE_WHEN": WHEN,
    "MUL": PRODUCT,
    "DIV": QUOTIENT,
    "INVERSE": INVERSE,
    **dict.fromkeys(("POWER", "SIGNED_POWER"), POWER),
    "SQRT": ROOT,
    "TS_VAR": SQUARE,
    "TS_PRODUCT": PRODUCT_OF_DAYS,
    "TS_COVARIANCE": COVARIANCE,
    "TS_REGRESSION": REGRESSION,
    **dict.fromkeys(("TS_RANK", "TS_ARGMIN", "TS_ARGMAX", "TS_ARGMIN_FIRST", "TS_ARGMAX_FIRST", "CORREL"), FREE),
    **dict.fromkeys(("TS_SKEW", "TS_KURT", "TS_ZSCORE", "TS_RANK_CORR", "TS_RSQUARE", "TS_ENTROPY"), FREE),
    "DAYS_FROM_LAST_CHANGE": FREE,
    "SIGN": SIGN,
    **dict.fromkeys(("AND", "OR", "NOT"), TRUTH),
    "IS_NAN": PRESENCE,
    "NAN_TO": FILL,
    "MASK": MASKED,
    "LOG": LOG,
    **dict.fromkeys(("LOG1P", "EXP", "TANH", "SIGMOID", "FLOOR", "CEIL", "ROUND"), PURE),
    **dict.fromkeys(("RANK", "Z_SCORE", "SCALE", "GROUP_RANK", "GROUP_ZSCORE", "GROUP_SCALE", "DENSIFY"), SLICE),
    **dict.fromkeys(("QUANTILE_UNIFORM", "QUANTILE_GAUSSIAN", "QUANTILE_CAUCHY", "TOP", "BOTTOM"), SLICE),
    **dict.fromkeys(("DEMEAN", "WINSORIZE", "WINSORIZE_QUANTILE", "CS_SUM", "CS_MEAN", "CS_MAX", "CS_MIN"), SLICE_SAME),
    **dict.fromkeys(("CS_STD", "CS_PERCENTILE", "REGRESSION_NEUT", "GROUP_MEAN", "GROUP_SUM", "GROUP_STD"), SLICE_SAME),
    **dict.fromkeys(("VECTOR_NEUT", "GROUP_VECTOR_NEUT"), SLICE_SAME),
    **dict.fromkeys(("GROUP_NEUTRALIZE", "GROUP_MAX", "GROUP_MIN", "GROUP_PERCENTAGE"), SLICE_SAME),
    **dict.fromkeys(("CS_COUNT", "GROUP_COUNT"), PRESENCE_COUNT),
}

# The results of TS_REGRESSION by rettype: like y, as y beside x, squares of y, or a share.
_RETTYPES = (SHIFT_FREE, SAME, "slope", SAME, SQUARE, SQUARE, FREE, SQUARE, "slope", SAME)

_WORDS = {
    "ADD": "adds",
    "SUB": "subtracts",
    **dict.fromkeys(("MIN", "FMIN"), "takes the smaller of"),
    **dict.fromkeys(("MAX", "FMAX"), "takes the larger of"),
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


def _exponent(value: float) -> Fraction | None:
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
    given = [units[a] for a in node.args]
    rule = RULES.get(node.op)
    spec = find(node.op)
    if rule is None and spec is not None and spec.lower is not None:
        return _of_lowered(spec.lower(*node.args, *node.params), units)
    if rule is None:
        return BOOLEAN if spec is not None and spec.boolean else UNKNOWN
    return _UNIT_RULES[rule](node, given, warnings)


def _of_lowered(lowered: Node, units: dict[Node, Unit]) -> Unit:
    """A composite's unit is that of what it stands for; how it is written inside is not the user's doing."""
    inside = dict(units)
    for node in postorder(lowered):
        if node not in inside:
            inside[node] = _unit(node, inside, [])
    return inside[lowered]


def _agreed(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    """One unit for all of `given`, with a warning where there is none."""
    known = [u for u in given if not u.agrees_with_all]
    if not known:
        return given[0] if all(u == given[0] for u in given) else UNKNOWN
    if any(not known[0].agrees(u) for u in known[1:]):
        what = " and ".join(f"{'an' if str(u)[0] in 'aeiou' else 'a'} {u}" for u in given)
        warnings.append(f"{_short(node)} {_WORDS.get(node.op, 'puts together')} {what}")
        return UNKNOWN
    if len(set(known)) == 1:
        return known[0]
    return _power(known[0].price, known[0].volume)


def _short(node: Node) -> str:
    return shortened(node, 80)


def _sum(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    unit = _agreed(node, given, warnings)
    ones = [a for a in node.args if a.is_const and abs(a.value) == 1.0]
    return RETURN if unit == RATIO and ones and node.op in ("ADD", "SUB") else unit


def _compare(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    problems: list[str] = []
    _agreed(node, given, problems)
    warnings += [p.replace("puts together", "compares") for p in problems]
    return BOOLEAN


def _scaled(factor: Fraction) -> Callable[[Node, Sequence[Unit], list[str]], Unit]:
    def rule(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
        u = given[0]
        return u if u.agrees_with_all else _power(u.price * factor, u.volume * factor)

    return rule


def _product(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    return _times(given[0], given[1], _ONE)


def _quotient(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    return _times(given[0], given[1], -_ONE)


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


def _to_power(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    x, exponent = given[0], node.args[1]
    if x.agrees_with_all:
        return x
    if not x.price and not x.volume:
        return DIMENSIONLESS
    if exponent.is_const:
        power = _exponent(exponent.value)
        return UNKNOWN if power is None else _power(x.price * power, x.volume * power)
    warnings.append(f"{_short(node)} raises a {x} to a power that varies")
    return UNKNOWN


def _regression(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    rule = _RETTYPES[int(node.params[2] or 0)]
    return _quotient(node, given, warnings) if rule == "slope" else _UNIT_RULES[rule](node, given, warnings)


def _first(node: Node, given: Sequence[Unit], warnings: list[str]) -> Unit:
    return given[0]


def _fixed(unit: Unit) -> Callable[[Node, Sequence[Unit], list[str]], Unit]:
    return lambda node, given, warnings: unit


_UNIT_RULES: Mapping[str, Callable[[Node, Sequence[Unit], list[str]], Unit]] = {
    **dict.fromkeys((SAME, SHIFT_FREE, SLICE_SAME, FILL, MASKED), _first),
    SUM: _sum,
    COMPARE: _compare,
    REGRESSION: _regression,
    WHEN: lambda node, given, warnings: given[1],
    CHOOSE: lambda node, given, warnings: _agreed(node, given[1:], warnings),
    **dict.fromkeys((PRODUCT, COVARIANCE), _product),
    QUOTIENT: _quotient,
    INVERSE: _scaled(-_ONE),
    ROOT: _scaled(_HALF),
    SQUARE: _scaled(Fraction(2)),
    POWER: _to_power,
    PRODUCT_OF_DAYS: lambda node, given, warnings: (
        _scaled(Fraction(int(node.params[0] or 1)))(node, given, warnings)
        if given[0].price or given[0].volume
        else given[0]
    ),
    **dict.fromkeys((FREE, SIGN, LOG, PURE, SLICE, PRESENCE_COUNT), _fixed(DIMENSIONLESS)),
    **dict.fromkeys((TRUTH, PRESENCE), _fixed(BOOLEAN)),
}


# Level. A value either scales with its symbol's price level to a power, or shifts by a multiple of its logarithm, or
# depends on it in some other way.


@dataclass(frozen=True)
class PriceLevel:
    """How a value moves when its symbol's prices are scaled: `degree` as a power, `shift` as a logarithm added.

    `lost` is the part of the expression where the order across symbols came to depend on the level for good.
    """

    degree: Fraction = _ZERO
    shift: Fraction = _ZERO
    lost: Node | None = None
    constant: float | None = None

    @property
    def free(self) -> bool:
        return self.lost is None and not self.degree and not self.shift


_FREE = PriceLevel()


@functools.lru_cache(maxsize=4096)
def depends_on_level(root: Node) -> str | None:
    """Which part of an expression makes its order across symbols hang on the symbols' price levels; None: nothing."""
    levels: dict[Node, PriceLevel] = {}
    for node in postorder(root):
        levels[node] = _level(node, levels)
    level = levels[root]
    if level.free or level.constant is not None:
        return None
    return _short(level.lost if level.lost is not None else root)


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
    rule = RULES.get(node.op)
    if rule is None:
        spec = find(node.op)
        if spec is not None and spec.lower is not None:
            return _lowered_level(spec.lower(*node.args, *node.params), levels)
        return _FREE if all(level.free for level in given) else PriceLevel(lost=node)
    result = _level_rule(rule, node, given)
    return PriceLevel(lost=node) if result is None else result


def _field_level(node: Node, levels: dict[Node, PriceLevel]) -> PriceLevel:
    derived = derived_field(node.name)
    if node.name == "RET":
        return _FREE
    if derived is not None or node.name in _FIELDS:
        # A market value is quoted in money, whatever a share's price is adjusted to; a dollar volume is computed.
        return _FREE if node.name == "CAP" else PriceLevel(degree=unit_of_field(node.name).price)
    return _FREE


def _lowered_level(lowered: Node, levels: dict[Node, PriceLevel]) -> PriceLevel:
    inside = dict(levels)
    for node in postorder(lowered):
        if node not in inside:
            inside[node] = _level(node, inside)
    return inside[lowered]


def _one_level(given: Sequence[PriceLevel]) -> PriceLevel | None:
    """The level that terms share; a number is of degree 0, a guard or a zero of any."""
    terms = [g for g in given if g.constant is None or abs(g.constant) > GUARD] or list(given)
    first = terms[0]
    same = all((t.degree, t.shift) == (first.degree, first.shift) for t in terms)
    return replace(first, constant=None) if same else None


def _level_rule(rule: str, node: Node, given: Sequence[PriceLevel]) -> PriceLevel | None:
    """The level of the result; None when it is in no simple relation to the price level any more."""
    x = given[0]
    plain = not any(g.shift for g in given)
    match rule:
        case "same":
            return replace(x, shift=x.shift * _weight(node), constant=None)
        case "shift-free":
            return PriceLevel(degree=x.degree)
        case "sum":
            return _sum_level(node, given)
        case "compare":
            return _FREE if _one_level(given) else None
        case "choose":
            return _one_level(given[1:]) if x.free or x.degree else None
        case "when":
            return given[1] if all(g.free for g in (x, *given[2:])) else None
        case "product" | "covariance":
            if rule == "product" and not plain:
                return _multiplied(x, given[1])
            return PriceLevel(degree=x.degree + given[1].degree)
        case "quotient":
            return PriceLevel(degree=x.degree - given[1].degree) if plain else None
        case "power":
            if given[1].constant is None:
                return _FREE if all(g.free for g in given) else None
            if not plain:
                return None
            power = _exponent(given[1].constant)
            if power is None:
                # What is always missing has no order; of what else is so large, nothing is known.
                return _FREE if math.isnan(given[1].constant) or not x.degree else None
            return PriceLevel(degree=x.degree * power)
        case "product of days":
            return PriceLevel(degree=x.degree * Fraction(int(node.params[0] or 1))) if plain else None
        case "square" | "root" | "inverse":
            factor = {"square": Fraction(2), "root": _HALF, "inverse": -_ONE}[rule]
            return PriceLevel(degree=x.degree * factor) if plain or rule == "square" else None
        case "free" | "presence" | "presence count":
            return _FREE
        case "regression":
            what = _RETTYPES[int(node.params[2] or 0)]
            if what == "slope":
                return PriceLevel(degree=x.degree - given[1].degree)
            return _level_rule(what, node, given)
        case "sign" | "truth":
            return _FREE if plain else None
        case "log":
            return PriceLevel(shift=x.degree) if plain else None
        case "fill":
            (value,) = node.params
            return x if x.free or (value == 0 and not x.shift) else None
        case "masked":
            return x if not given[1].shift else None
        case _:
            # A function that is not homogeneous, or one across symbols, where the others' levels come in.
            return _FREE if all(g.free for g in given) else None


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


def _weight(node: Node) -> Fraction:
    """What an added constant becomes: times d in a sum over d days, itself in a mean or an extreme."""
    if node.op == "NEG":
        return -_ONE
    return Fraction(int(node.params[0] or 1)) if node.op == "TS_SUM" else _ONE


def _sum_level(node: Node, given: Sequence[PriceLevel]) -> PriceLevel | None:
    x, y, *_ = given
    shifts = bool(x.shift or y.shift)
    if node.op in ("ADD", "SUB") and shifts and not x.degree and not y.degree:
        return PriceLevel(shift=x.shift + (y.shift if node.op == "ADD" else -y.shift))
    if shifts and node.op == "MOD":
        return None
    return _one_level(given)


# What an operator stands for may change when it is removed and defined anew.
on_unregister(infer_units.cache_clear)
on_unregister(depends_on_level.cache_clear)
