"""The value of an operator on constants: for static parameters (`2*5`, `-1`) here, and for folding later."""

from __future__ import annotations

from fama_fast.ir import LEAVES, Node, const, rewrite
from fama_fast.ops import find


def fold(node: Node) -> Node:
    """The constant that this operation on constants is, or the node itself."""
    if node.op in LEAVES or not all(a.is_const for a in node.args):
        return node
    spec = find(node.op)
    if spec is None or spec.evaluate is None:
        return node
    return const(spec.evaluate(*(a.value for a in node.args), *node.params))


def constant_value(root: Node) -> float | None:
    """The number that an expression of constants is (NaN when missing); None when it depends on data."""
    value = rewrite(root, fold)
    return value.value if value.is_const else None
