"""One way to write each thing: operands of commutative operators in order, comparisons one way round, signs
outermost.

Every rule keeps each value's bits (up to the sign of zero) and whether it is present. In particular nothing
is reassociated, and nothing that could be missing becomes a constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, Rewriter, const, make
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from fama_fast.ops import OpSpec

_MIRRORED = {"GT": "LT", "GE": "LE"}


def normalise(root: Node) -> Node:
    """The same values, each thing written in one way."""
    return _normalise(root)


def order_key(node: Node) -> tuple[bool, str, str]:
    """The place of an operand of a commutative operator: constants last, then by name, then by structure.

    Equal in every process, since it rests on names and structural hashes.
    """
    name = node.name if node.op in (FIELD, GROUP) else node.op
    return node.op == CONST or _is_number(node), name, node.key


def _is_number(node: Node) -> bool:
    """Arithmetic on constants that was left as it was written, such as `1 - 0.318108`."""
    return bool(node.args) and all(a.op == CONST for a in node.args) and get(node.op).evaluate is not None


def negate(node: Node) -> Node:
    """-node, without piling up signs."""
    if node.op == "NEG":
        return node.args[0]
    if node.is_const:
        return const(-node.value)
    return make("NEG", (node,))


def unsigned(node: Node) -> Node | None:
    """x when the node is -x, a negative constant or a difference written backwards, else None."""
    if node.op == "NEG":
        return node.args[0]
    if node.is_const and node.value < 0:
        return const(-node.value)
    return _forwards(node)


def _forwards(node: Node) -> Node | None:
    """a - b for b - a with a before b in order: one of the two is taken for the other's negation."""
    if node.op == "SUB" and order_key(node.args[1]) < order_key(node.args[0]):
        return make("SUB", node.args[::-1])
    return None


def _rule(node: Node) -> Node:
    if node.op in LEAVES:
        return node
    spec = get(node.op)
    node = _without_full_min_periods(node, spec)
    if node.op in _MIRRORED:
        x, y = node.args
        return make(_MIRRORED[node.op], (y, x))
    if spec.algebra.commutative:
        args = tuple(sorted(node.args, key=order_key))
        node = node if args == node.args else make(node.op, args, node.params)
    return _signs(node, spec)


def _without_full_min_periods(node: Node, spec: OpSpec) -> Node:
    """`min_periods=d` asks for what holds anyway: all of the window."""
    if not spec.windowed:
        return node
    named = spec.named(node.params)
    if named["min_periods"] is None or named["min_periods"] != named.get("d"):
        return node
    return make(node.op, node.args, (*node.params[:-1], None))


def _signs(node: Node, spec: OpSpec) -> Node:
    match node.op:
        case "ADD":
            return _sum(node)
        case "SUB":
            return _difference(node)
        case "NEG":
            (x,) = node.args
            return make("SUB", x.args[::-1]) if x.op == "SUB" else node
        case "MUL" | "DIV":
            return _product(node)
    if spec.algebra.odd:
        return _odd(node, spec)
    if spec.algebra.even:
        return _even(node)
    return node


def _sum(node: Node) -> Node:
    """a + (-b) is a - b."""
    x, y = node.args
    positive = unsigned(y)
    if positive is not None:
        return make("SUB", (x, positive))
    positive = unsigned(x)
    return node if positive is None else make("SUB", (y, positive))


def _difference(node: Node) -> Node:
    """a - (-b) is a + b; (-a) - b is -(a + b)."""
    x, y = node.args
    positive = unsigned(y)
    if positive is not None:
        return make("ADD", (x, positive))
    positive = unsigned(x)
    return node if positive is None else make("NEG", (make("ADD", (positive, y)),))


def _product(node: Node) -> Node:
    """Signs of a product or quotient go outside, where two cancel."""
    x, y = (unsigned(a) for a in node.args)
    if x is None and y is None:
        return node
    inner = make(node.op, (node.args[0] if x is None else x, node.args[1] if y is None else y))
    return inner if x is not None and y is not None else make("NEG", (inner,))


def _odd(node: Node, spec: OpSpec) -> Node:
    """f(-x) is -f(x), for the first operand, and for the second where the two may change places."""
    for i in range(2 if spec.algebra.commutative else 1):
        x = node.args[i]
        positive = x.args[0] if x.op == "NEG" else _forwards(x)
        if positive is not None:
            args = (*node.args[:i], positive, *node.args[i + 1 :])
            return make("NEG", (make(node.op, args, node.params),))
    return node


def _even(node: Node) -> Node:
    """f(-x) is f(x), so f(a - b) is f(b - a)."""
    x, *rest = node.args
    positive = x.args[0] if x.op == "NEG" else _forwards(x)
    return node if positive is None else make(node.op, (positive, *rest), node.params)


_normalise = Rewriter(_rule)
on_unregister(_normalise.forget)
