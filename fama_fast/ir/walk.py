"""Ways through a graph of nodes: every node once, operands before their users, without recursion."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ir.node import make

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from fama_fast.ir.node import Node

_REMEMBERED = 1 << 16  # nodes that a rewriter keeps the result of


def postorder(*roots: Node) -> Iterator[Node]:
    """Each distinct node under `roots` once, operands first, in a deterministic order."""
    return iter(_below(roots[0])) if len(roots) == 1 else unknown(roots, ())


@functools.lru_cache(maxsize=1 << 13)
def _below(root: Node) -> tuple[Node, ...]:
    """A search walks through the same expression a dozen times before it is done with it."""
    return tuple(unknown((root,), ()))


def unknown(roots: Iterable[Node], known: Container[Node]) -> Iterator[Node]:
    """Like `postorder`, but nothing that `known` holds, nor what is below it. `known` may grow meanwhile by what was
    yielded."""
    seen: set[Node] = set()
    for root in roots:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in seen or node in known:
                stack.pop()
                continue
            # A node stays on the stack until nothing is left of its operands, the first of which is on top.
            left = [a for a in node.args[::-1] if a not in seen and a not in known]
            if left:
                stack += left
            else:
                stack.pop()
                seen.add(node)
                yield node


@functools.lru_cache(maxsize=1 << 14)
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


class Rewriter:
    """`rewrite` by one rule that remembers: nodes are interned, so an expression costs what is new of it.

    The rule must depend on the node alone; `forget` when what it looks up has changed.
    """

    def __init__(self, rule: Callable[[Node], Node]) -> None:
        self._rule = rule
        self._done: dict[Node, Node] = {}

    def __call__(self, root: Node) -> Node:
        done = self._done
        result = done.get(root)
        if result is not None:
            return result
        if len(done) > _REMEMBERED:  # a new mapping, as another thread may be at work on the old one
            done = self._done = {}
        for node in unknown((root,), done):
            args = tuple([done[a] for a in node.args])
            done[node] = self._rule(node if args == node.args else make(node.op, args, node.params))
        return done[root]

    def settled(self, root: Node, limit: int = 50) -> Node:
        """Rewritten until nothing changes; see `fixpoint`."""
        return _until_settled(root, self, getattr(self._rule, "__name__", repr(self._rule)), limit)

    def forget(self) -> None:
        """Results are found anew."""
        self._done = {}


def fixpoint(root: Node, rule: Callable[[Node], Node], limit: int = 50) -> Node:
    """Rewrite until nothing changes. Rules shrink or reorder, so `limit` is only there to make a bug loud."""
    return _until_settled(root, lambda node: rewrite(node, rule), getattr(rule, "__name__", repr(rule)), limit)


def _until_settled(root: Node, once: Callable[[Node], Node], name: str, limit: int = 50) -> Node:
    for _ in range(limit):
        new = once(root)
        if new is root:
            return root
        root = new
    raise RuntimeError(f"rewrite rule {name!r} does not settle")
