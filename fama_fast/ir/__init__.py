"""Interned expression nodes and the ways to walk and rewrite them."""

from fama_fast.ir.node import CONST, FIELD, GROUP, LEAVES, Node, Param, const, field, group, make
from fama_fast.ir.walk import Rewriter, count_nodes, fixpoint, postorder, rewrite, rewrite_all, unknown

__all__ = [
    "CONST",
    "FIELD",
    "GROUP",
    "LEAVES",
    "Node",
    "Param",
    "Rewriter",
    "const",
    "count_nodes",
    "field",
    "fixpoint",
    "group",
    "make",
    "postorder",
    "rewrite",
    "rewrite_all",
    "unknown",
]
