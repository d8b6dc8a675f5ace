"""Is a node well formed: known operators, operands of the right kinds, parameters in their stored form and
range?

For tests and for finding which pass broke a graph; it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import ExpressionError
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, postorder
from fama_fast.ops import check_param, find, is_group
from fama_fast.types import Kind, derived_field

if TYPE_CHECKING:
    from fama_fast.ir import Node


class InvalidNodeError(ValueError):
    """A pass or a caller made a node that the registry does not allow: a bug, not a user's mistake."""


def verify(root: Node, *, lowered: bool = False) -> None:
    """Check every node under `root`; `lowered` also forbids composite operators and derived fields.

    Raises:
        InvalidNodeError: naming the node and what is wrong with it.
    """
    if root.op == GROUP:
        raise InvalidNodeError(f"{root.name} is a group, not an expression")
    for node in postorder(root):
        problem = _leaf_problem(node, lowered) if node.op in LEAVES else _problem(node, lowered)
        if problem:
            raise InvalidNodeError(f"{node!r}: {problem}")


def _leaf_problem(node: Node, lowered: bool) -> str | None:
    if node.args or len(node.params) != 1:
        return "a leaf has one parameter and no operands"
    (value,) = node.params
    if node.op == CONST:
        return None if isinstance(value, float) else "a constant holds a float"
    if not isinstance(value, str) or value != value.upper():
        return "a name is upper-case text"
    if lowered and node.op == FIELD and derived_field(value) is not None:
        return "a derived field is left after lowering"
    return None


def _problem(node: Node, lowered: bool) -> str | None:
    spec = find(node.op)
    if spec is None or spec.name != node.op:
        return "not the canonical name of an operator"
    if lowered and spec.lower is not None:
        return "a composite operator is left after lowering"
    if len(node.args) != len(spec.operands) or len(node.params) != len(spec.statics):
        return f"wrong number of operands or parameters for {spec.signature}"
    for p, operand in zip(spec.operands, node.args, strict=True):
        if not (is_group(operand) if p.kind is Kind.GROUP else operand.op != GROUP):
            return f"{p.name} must be a {p.kind.value}"
    for q, value in zip(spec.statics, node.params, strict=True):
        try:
            stored = check_param(spec, q, value)
        except ExpressionError as error:
            return error.message
        if stored != value or type(stored) is not type(value):
            return f"{q.name} is {value!r}, stored as {stored!r}"
    return None
