"""Identity for ranking: expressions that put the symbols of a date in one order share a fingerprint.

A wrapper that is strictly increasing across the symbols of a date (a rank, a z-score, a positive factor, an added
number) changes no order, at the root or below a rank. Missing values stay where they are, but for dates on which all
values are equal, which have no order. A factor or a term is taken off only within bounds that rounding does not reach.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ir import LEAVES, Node, Rewriter, make
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister
from fama_fast.passes.identity import identity
from fama_fast.passes.normalise import negate
from fama_fast.passes.pipeline import canonicalise, share

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 1e6


@functools.lru_cache(maxsize=1 << 14)
def ranking_fingerprint(root: Node) -> str:
    """32 hex digits, equal for expressions that order the symbols of every date alike."""
    return share(_bare(_inside(identity(root)))).key


def without_wrappers(root: Node) -> Node:
    """The formula below the outermost operations that keep the order of the symbols of a date, canonical.

    `root` itself where it has none.
    """
    bare = _bare(root)
    return root if bare is root else canonicalise(bare)


def _below_ranks(node: Node) -> Node:
    if node.op not in LEAVES and get(node.op).algebra.of_order:
        return make(node.op, (_bare(node.args[0]),), node.params)
    return node


def _bare(node: Node) -> Node:
    """The operand of all wrappers that keep the order, with one minus before it when they turned it round."""
    turned = False
    while True:
        step = next(_unwrapped(node), None)
        if step is None:
            return negate(node) if turned else node
        node, turns = step
        turned ^= turns


def _unwrapped(node: Node) -> Iterator[tuple[Node, bool]]:
    """The operand that orders the symbols as the node does, and whether the other way round."""
    if node.op in LEAVES or not node.args:
        return
    x, last = node.args[0], node.args[-1]
    match node.op:
        case "NEG":
            yield x, True
        case "SCALE" if node.params[0] and not any(node.params[1:]):
            yield x, False
        case "MUL" | "DIV" if last.is_const and 1.0 / _LARGEST <= abs(last.value) <= _LARGEST:
            yield x, last.value < 0
        case "ADD" | "SUB" if last.is_const and abs(last.value) <= _LARGEST:
            yield x, False
        case "SUB" if x.is_const and abs(x.value) <= _LARGEST:
            yield last, True
        case op if get(op).algebra.strictly_increasing:
            yield x, False


_inside = Rewriter(_below_ranks)
on_unregister(_inside.forget)
on_unregister(ranking_fingerprint.cache_clear)


@functools.lru_cache(maxsize=8192)
def ranking_hash(node: Node) -> str:
    """16 hex digits that canonical expressions share which provably rank alike, or opposite."""
    return ranking_fingerprint(node.args[0] if node.op == "NEG" else node)[:16]


on_unregister(ranking_hash.cache_clear)
