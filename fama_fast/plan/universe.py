"""Rewrites that depend on the run rather than on the expression: universe membership and relaxed windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.arguments import real
from fama_fast.errors import ConfigError
from fama_fast.ir import LEAVES, Node, Rewriter, field, make, rewrite_all
from fama_fast.ops.registry import on_unregister
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

# Not a name that the language can spell, so no column of the data can collide with it.
UNIVERSE = "#UNIVERSE"


def mask_members(roots: Sequence[Node]) -> tuple[Node, ...]:
    """Cross-sectional and group operators see members of the universe only: their series operands are masked."""
    return tuple(_mask(root) for root in roots)


def _masked(node: Node) -> Node:
    if node.op in LEAVES:
        return node
    spec = ops.get(node.op)
    if spec.family not in (Family.CROSS_SECTION, Family.GROUP):
        return node
    member = field(UNIVERSE)
    args = [
        ops.build("MASK", a, member) if p.kind is Kind.SERIES else a
        for p, a in zip(spec.operands, node.args, strict=True)
    ]
    return make(node.op, args, node.params)


_mask = Rewriter(_masked)
on_unregister(_mask.forget)


def set_min_coverage(roots: Sequence[Node], share: float) -> tuple[Node, ...]:
    """Give every windowed operator that does not say otherwise `min_periods = ceil(share * d)`, at least 1."""
    if not 0.0 < real(share, "min_coverage") <= 1.0:
        raise ConfigError(f"min_coverage must lie in (0, 1], not {share}")

    def rule(node: Node) -> Node:
        if node.op in LEAVES:
            return node
        spec = ops.get(node.op)
        named = spec.named(node.params)
        d = named.get("d")
        if not spec.windowed or named["min_periods"] is not None or d is None:
            return node
        least = max(1, math.ceil(share * d - 1e-9))
        return make(node.op, node.args, (*node.params[:-1], least if least < d else None))

    return rewrite_all(roots, rule)
