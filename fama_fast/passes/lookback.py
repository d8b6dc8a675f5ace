"""How many rows before today an expression needs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ir import FIELD, LEAVES, postorder
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister
from fama_fast.types import derived_field

if TYPE_CHECKING:
    from fama_fast.ir import Node


@functools.lru_cache(maxsize=1 << 14)
def lookback(root: Node, available: frozenset[str] | None = None) -> int:
    """Rows needed before the row of a value, so that the value is what the whole history would give.

    Args:
        available: fields that the data carries; a derived field among them needs no rows of its own. None:
            every derived field counts as derived.
    """
    have = frozenset() if available is None else frozenset(name.upper() for name in available)
    rows: dict[Node, int] = {}
    for node in postorder(root):
        if node.op == FIELD:
            derived = None if node.name in have else derived_field(node.name)
            rows[node] = derived.lookback if derived else 0
        elif node.op in LEAVES:
            rows[node] = 0
        else:
            rows[node] = get(node.op).own_lookback(node.params) + max(rows[a] for a in node.args)
    return rows[root]


on_unregister(lookback.cache_clear)
