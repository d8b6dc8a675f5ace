"""Ways through a graph of nodes: every node once, operands before their users, without recursion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir.node import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fama_fast.ir.node import Node


def postorder(*roots: Node) -> Iterator[Node]:
    """Each distinct node under `roots` once, operands first, in a deterministic order."""
    seen: set[Node] = set()
    for root in roots:
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if node in seen:
                continue
            if expanded:
                seen.add(node)
                yield node
            else:
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args))


def count_nodes(root: Node) -> int:
    """Nodes of the expression written out as a tree (a shared subexpression counts each time)."""
    sizes: dict[Node, int] = {}
    for node in postorder(root):
        sizes[node] = 1 + sum(sizes[a] for a in node.args)
    return sizes[root]


def rewrite(root: Node, rule: Callable[[Node], Node]) -> Node:
    """Apply `rule` bottom-up once: each node is rebuilt over its rewritten operands, then passed to `rule`."""
    return rewrite_all((root,), rule)[0]


def rewrite_all(roots: Iterable[Node], rule: Callable[[Node], Node]) -> tuple[Node, ...]:
    """`rewrite` over several roots with shared work."""
    roots = tuple(roots)
    done: dict[Node, Node] = {}
    for node in postorder(*roots):
        args = tuple(done[a] for a in node.args)
        rebuilt = (
            node if all(a is b for a, b in zip(args, node.args, strict=True)) else make(node.op, args, node.params)
        )
        done[node] = rule(rebuilt)
    return tuple(done[r] for r in roots)


def fixpoint(root: Node, rule: Callable[[Node], Node], limit: int = 50) -> Node:
    """Rewrite until nothing changes. Rules shrink or reorder, so `limit` is only there to make a bug loud."""
    for _ in range(limit):
        new = rewrite(root, rule)
        if new is root:
            return root
        root = new
    raise RuntimeError(f"rewrite rule {getattr(rule, '__name__', rule)!r} does not settle")
