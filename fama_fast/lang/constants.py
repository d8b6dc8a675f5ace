"""The value of an operator on constants: for static parameters (`2*5`, `-1`) here, and for folding later."""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import TYPE_CHECKING

from fama_fast.ir import LEAVES, Node, const, rewrite
from fama_fast.ops import find

if TYPE_CHECKING:
    from collections.abc import Callable

_ARITHMETIC: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
    "DIV": operator.truediv,
}
_LARGEST_POWER = 16


def fold(node: Node) -> Node:
    """The constant that this operation on constants is, or the node itself."""
    if node.op in LEAVES or not all(a.is_const for a in node.args):
        return node
    spec = find(node.op)
    if spec is None or spec.evaluate is None:
        return node
    return const(spec.evaluate(*(a.value for a in node.args), *node.params))


def decimal_value(node: Node) -> float | None:
    """What arithmetic on the digits of two constants gives: 0.075 for 0.1 * 0.75, which floating-point arithmetic
    misses by a unit in the last place (0.07500000000000001). None where it has no such value."""
    if len(node.args) != 2 or not all(a.is_const and math.isfinite(a.value) for a in node.args):
        return None
    x, y = (Fraction(repr(a.value)) for a in node.args)
    try:
        if node.op in _ARITHMETIC:
            return float(_ARITHMETIC[node.op](x, y))
        if node.op == "POWER" and y.denominator == 1 and abs(y) <= _LARGEST_POWER:
            return float(x ** int(y))
    except (ZeroDivisionError, OverflowError):
        return None
    return None


def constant_value(root: Node) -> float | None:
    """The number that an expression of constants is (NaN when missing), by decimal arithmetic where there is a choice;
    None when it depends on data."""
    value = rewrite(root, _by_digits)
    return value.value if value.is_const else None


def _by_digits(node: Node) -> Node:
    value = decimal_value(node)
    return fold(node) if value is None else const(value)
