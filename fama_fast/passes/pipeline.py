"""The passes in their order, in one tuple; each takes a node and gives a node with the same values.

1. `normalise`: one way to write each thing.
2. `fold_constants`: operations on constants become their value.
3. `simplify`: identities that leave out work. The first three, repeated until nothing changes, give the
   canonical form.
4. `lower`: composite operators and derived fields written out.
5. `share`: the canonical form of that with every constant folded, so that equal work written differently is one node.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ops.registry import on_unregister
from fama_fast.passes.fold_constants import fold_constants, fold_every_constant
from fama_fast.passes.lower import lower
from fama_fast.passes.normalise import negate, normalise
from fama_fast.passes.simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fama_fast.ir import Node

_MAX_ROUNDS = 200


@functools.lru_cache(maxsize=1 << 14)
def canonicalise(root: Node) -> Node:
    """The canonical form: the first three passes until nothing changes. Same form, same bits."""
    return _settled(root, PIPELINE[:3])


@functools.lru_cache(maxsize=1 << 14)
def share(root: Node) -> Node:
    """Canonical once more after lowering: nodes are interned, so the same thing is computed once."""
    return _settled(root, (normalise, fold_every_constant, simplify))


def oriented(root: Node, sign: int) -> Node:
    """The canonical form of `sign` times an expression, for sign 1 or -1: the text of a factor that predicts upwards.

    Signs do not pile up: the negative of -x is x, that of a - b is b - a. Values are those of `root` times the sign to
    the bit (up to the sign of zero), and nothing else becomes missing.

    Raises:
        ValueError: another sign.
    """
    if sign not in (1, -1):
        raise ValueError(f"a sign is 1 or -1, not {sign!r}")
    return canonicalise(root) if sign > 0 else canonicalise(negate(canonicalise(root)))


def _settled(root: Node, passes: Iterable[Callable[[Node], Node]]) -> Node:
    for _ in range(_MAX_ROUNDS):
        before = root
        for rewrite_pass in passes:
            root = rewrite_pass(root)
        if root is before:
            return root
    raise RuntimeError("the passes do not settle")


on_unregister(canonicalise.cache_clear)
on_unregister(share.cache_clear)

PIPELINE: tuple[Callable[[Node], Node], ...] = (normalise, fold_constants, simplify, lower, share)
