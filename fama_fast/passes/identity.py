"""Who an expression is: one node for every way to write it, composite operators or their definitions alike.

The canonical form keeps `DELTA(x, 5)` for readers; its identity is the canonical form of `x - DELAY(x, 5)`, which is
what both back ends compute, so expressions of one identity have the same bits. Derived fields stay: data may carry a
RET or a VWAP of their own.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ops.registry import on_unregister
from fama_fast.passes.lower import lower_operators
from fama_fast.passes.pipeline import canonicalise, share

if TYPE_CHECKING:
    from fama_fast.ir import Node


@functools.lru_cache(maxsize=1 << 14)
def identity(root: Node) -> Node:
    """The node whose key is the fingerprint of `root` and of everything that means the same."""
    return share(lower_operators(canonicalise(root)))


on_unregister(identity.cache_clear)
