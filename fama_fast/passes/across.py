"""Whether an expression compares the symbols of a date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir import LEAVES, postorder
from fama_fast.ops import get
from fama_fast.types import Family

if TYPE_CHECKING:
    from fama_fast.ir import Node

_COMPARE = (Family.CROSS_SECTION, Family.GROUP)


def comparing_operator(root: Node) -> str | None:
    """The first operator that compares the symbols of a date (RANK, GROUP_MEAN, ...); None where there is none."""
    return next((n.op for n in postorder(root) if n.op not in LEAVES and get(n.op).family in _COMPARE), None)
