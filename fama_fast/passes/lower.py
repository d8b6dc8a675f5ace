"""Composite operators and derived fields written out in what the back ends compute."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.ir import FIELD, GROUP, LEAVES, Rewriter, make
from fama_fast.lang import parse
from fama_fast.lang.define import MAX_LEVELS
from fama_fast.ops import get
from fama_fast.ops.registry import on_unregister
from fama_fast.types import Kind, derived_field

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.ops import OpSpec

DENSE = "DENSIFY"

# Rounds: one for each level of definitions, of which `define` allows half as many, and a few for our own composites.
_MOST_ROUNDS = 2 * MAX_LEVELS


def lower(root: Node, available: frozenset[str] | None = None) -> Node:
    """The same values, by operators with kernels over fields that the data has.

    Args:
        available: fields that the data carries: RET, VWAP and ADV{d} among them are read, not derived. None:
            only fields that derive from nothing are there.
    """
    have = frozenset() if available is None else frozenset(name.upper() for name in available)
    return _lowering(have).settled(root, _MOST_ROUNDS)


@functools.lru_cache(maxsize=8)
def _lowering(have: frozenset[str]) -> Rewriter:
    def lowered(node: Node) -> Node:
        if node.op == FIELD:
            return node if node.name in have else _derived(node)
        return _operator(node)

    return Rewriter(lowered)


def lower_operators(root: Node) -> Node:
    """The same values by operators with kernels; every field stays, so this needs to know no data."""
    return _operators.settled(root, _MOST_ROUNDS)


def _operator(node: Node) -> Node:
    if node.op in LEAVES:
        return node
    spec = get(node.op)
    if any(p.kind is Kind.GROUP for p in spec.operands):
        node = _dense_groups(node, spec)
    return node if spec.lower is None else spec.lower(*node.args, *node.params)


def _dense_groups(node: Node, spec: OpSpec) -> Node:
    """Groups made by an expression are numbered without gaps: kernels keep a slot for each number up to the last."""
    args = [
        make(DENSE, (a,)) if p.kind is Kind.GROUP and a.op not in (GROUP, DENSE) else a
        for p, a in zip(spec.operands, node.args, strict=True)
    ]
    return make(node.op, args, node.params)


@functools.lru_cache(maxsize=256)
def _derived(field: Node) -> Node:
    derived = derived_field(field.name)
    return field if derived is None else parse(derived.formula)


_operators = Rewriter(_operator)
on_unregister(_operators.forget)
on_unregister(_lowering.cache_clear)
