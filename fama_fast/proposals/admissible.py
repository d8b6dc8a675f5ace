"""The one test of admissible formulas, used by the gates, the check of a model's answer and searchers.

A formula ranks symbols by numbers: it reads a field, gives no condition and no group, and keeps to the limits of size
and history. Where prices are adjusted, its order does not hang on what each symbol's prices are adjusted to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.ir import FIELD, count_nodes, postorder
from fama_fast.passes import depends_on_level, lookback

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.proposals.protocol import Limits

# What to do about an order that hangs on price levels.
REMEDY = "divide by a price of the same symbol, such as DELAY(CLOSE, 5), or take returns"


def admissible(node: Node, limits: Limits) -> str | None:
    """The reason why a canonical formula is not admissible, in words; None where it is."""
    return kind_fault(node) or size_fault(node, limits) or level_fault(node, limits) or lookback_fault(node, limits)


def kind_fault(node: Node) -> str | None:
    """The reason why a formula gives no numbers that rank; None where it does."""
    spec = ops.find(node.op)
    if spec is not None and spec.boolean:
        return "the result is a condition (1 or 0), not a number that ranks"
    if ops.is_group(node):
        return "the result is a group, not a number that ranks"
    return None


def size_fault(node: Node, limits: Limits) -> str | None:
    """The reason why a formula is too large, too deep or constant; None where it is not."""
    nodes = count_nodes(node)
    if nodes > limits.max_nodes:
        return f"{nodes} nodes, at most {limits.max_nodes}"
    if node.depth > limits.max_depth:
        return f"depth {node.depth}, at most {limits.max_depth}"
    if not any(n.op == FIELD for n in postorder(node)):
        return "it reads no field: a constant"
    return None


def level_fault(node: Node, limits: Limits) -> str | None:
    """The reason why a formula's order across symbols is arbitrary where prices are adjusted; None where it is not, or
    where prices are levels."""
    part = depends_on_level(node) if limits.level_free else None
    return None if part is None else f"its order hangs on each symbol's price level, in {part}: {REMEDY}"


def lookback_fault(node: Node, limits: Limits) -> str | None:
    """The reason why a formula needs more history than allowed; what windows within windows need adds up. None where it
    does not."""
    rows = lookback(node)
    return f"needs {rows} rows before today, at most {limits.max_lookback}" if rows > limits.max_lookback else None
