"""Identities that leave out work: x * 1, --x, RANK(RANK(x)), DELAY(DELAY(x, a), b), a constant condition.

Every rule keeps each value's bits (up to the sign of zero, and the rounding of x ^ 1) and whether it is present: x - x
and x * 0 are not 0 where x is missing, so they stay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.ir import LEAVES, Rewriter, const, make
from fama_fast.ops import MAX_WINDOW, get
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from fama_fast.ir import Node

_NEGATED = {"LT": "GE", "LE": "GT", "EQ": "NE", "NE": "EQ", "GT": "LE", "GE": "LT"}


def simplify(root: Node) -> Node:
    """The same values with fewer operations."""
    return _simplify(root)


def _rule(node: Node) -> Node:
    if node.op in LEAVES:
        return node
    x = node.args[0]
    last = node.args[-1]
    algebra = get(node.op).algebra
    if algebra.neutral is not None and last.is_const and last.value == algebra.neutral:
        return x
    match node.op:
        case "SUB" if x.is_const and x.value == 0.0:
            return make("NEG", (last,))
        case "NEG" if x.op == "NEG":
            return x.args[0]
        case "MIN" | "MAX" | "FMIN" | "FMAX" if x is last:
            return x
        case "DELAY" if x.op == "DELAY":
            return _delays(node)
        case "NOT":
            return _not(node)
        case "IF_ELSE":
            return _condition(node)
    if algebra.idempotent and x.op == node.op and x.params == node.params and x.args[1:] == node.args[1:]:
        return x
    return node


def _delays(node: Node) -> Node:
    days = sum(int(d or 0) for d in (*node.params, *node.args[0].params))
    return make("DELAY", node.args[0].args, (days,)) if days <= MAX_WINDOW else node


def _not(node: Node) -> Node:
    """A missing side is missing either way, so NOT turns a comparison round."""
    (x,) = node.args
    if x.op in _NEGATED:
        return make(_NEGATED[x.op], x.args)
    if x.op == "NOT" and x.args[0].op not in LEAVES and get(x.args[0].op).boolean:
        return x.args[0]
    return node


def _condition(node: Node) -> Node:
    condition, x, y = node.args
    if condition.is_const:
        if math.isnan(condition.value):
            return const(math.nan)
        return x if condition.value else y
    if condition.op == "NOT":
        return make("IF_ELSE", (condition.args[0], y, x))
    return node


_simplify = Rewriter(_rule)
on_unregister(_simplify.forget)
