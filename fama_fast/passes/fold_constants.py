"""Operations on constants alone become their value; one that is not finite is the missing constant.

Two passes. What people read keeps `1 - 0.318108`, whose value in floating point is 0.6818919999999999; what is computed
has that very number. So both have the same bits, and no text has digits that nobody meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir import Rewriter
from fama_fast.lang.constants import decimal_value, fold
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from fama_fast.ir import Node


def fold_constants(root: Node) -> Node:
    """The same values with every constant operation computed whose result has the digits of decimal arithmetic."""
    return _fold(root)


def fold_every_constant(root: Node) -> Node:
    """The same values with every constant operation computed."""
    return _fold_every(root)


def _readable(node: Node) -> Node:
    folded = fold(node)
    if folded is node:
        return node
    digits = decimal_value(node)
    return folded if digits is None or digits == folded.value else node


_fold, _fold_every = Rewriter(_readable), Rewriter(fold)
on_unregister(_fold.forget)
on_unregister(_fold_every.forget)
