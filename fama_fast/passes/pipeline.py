"""The passes in their order, in one tuple; each takes a node and gives a node with the same values.

1. `normalise`: one way to write each thing.
2. `fold_constants`: operations on constants become their value.
3. `simplify`: identities that leave out work. The first three, repeated until nothing changes, give the
   canonical form.
4. `lower`: composite operators and derived fields written out.
5. `share`: the canonical form of that, so that equal work written differently is one node.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ops.registry import on_unregister
from fama_fast.passes.fold_constants import fold_constants
from fama_fast.passes.lower import lower
from fama_fast.passes.normalise import normalise
from fama_fast.passes.simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.ir import Node

_MAX_ROUNDS = 200


@functools.lru_cache(maxsize=1 << 14)
def canonicalise(root: Node) -> Node:
    """The canonical form: the first three passes until nothing changes. Same form, same bits."""
    for _ in range(_MAX_ROUNDS):
        before = root
        for rewrite_pass in PIPELINE[:3]:
            root = rewrite_pass(root)
        if root is before:
            return root
    raise RuntimeError("the passes do not settle")


on_unregister(canonicalise.cache_clear)


def share(root: Node) -> Node:
    """Canonical once more after lowering: nodes are interned, so the same thing is computed once."""
    return canonicalise(root)


PIPELINE: tuple[Callable[[Node], Node], ...] = (normalise, fold_constants, simplify, lower, share)
