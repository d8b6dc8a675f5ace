"""Operations on constants alone become their value; one that is not finite is the missing constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir import Rewriter
from fama_fast.lang.constants import fold
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from fama_fast.ir import Node


def fold_constants(root: Node) -> Node:
    """The same values with every constant operation computed."""
    return _fold(root)


_fold = Rewriter(fold)
on_unregister(_fold.forget)
