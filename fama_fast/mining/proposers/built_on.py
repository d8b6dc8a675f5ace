"""What a formula was built on: the one of some given formulas that it shares the largest part with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.ir import FIELD, GROUP, LEAVES, count_nodes, postorder
from fama_fast.mining.proposers.check import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ir import Node
    from fama_fast.proposals.protocol import Vocabulary

_LEAST_NODES, _LEAST_SHARE = 3, 0.3


def built_on(text: str, shown: Mapping[str, str], vocabulary: Vocabulary) -> str | None:
    """The name of the formula that `text` was built on, or None.

    A common part counts from three nodes on that are three tenths of the smaller of the two formulas; windows and
    constants make no difference.

    Args:
        text: of an admissible formula. shown: texts by name, those that are no formulas of the data left aside.
    """
    own = _parts(text, vocabulary)
    if not own:
        return None
    best: tuple[int, str] | None = None
    whole = max(own.values())
    for name, other in shown.items():
        theirs = _parts(other, vocabulary)
        common = max((own[part] for part in own.keys() & theirs.keys()), default=0)
        if common < _LEAST_NODES or common < _LEAST_SHARE * min(whole, max(theirs.values())):
            continue
        if best is None or common > best[0]:
            best = common, name
    return None if best is None else best[1]


def _parts(text: str, vocabulary: Vocabulary) -> dict[str, int]:
    """Size by shape of every operation in a formula: windows and constants are no part of a shape."""
    try:
        root = compiled(text, vocabulary)
    except FamaError:
        return {}
    shapes: dict[Node, str] = {}
    for node in postorder(root):
        inner = ",".join(shapes[a] for a in node.args)
        shapes[node] = node.name if node.op in (FIELD, GROUP) else "#" if node.is_const else f"{node.op}({inner})"
    return {shapes[n]: count_nodes(n) for n in shapes if n.op not in LEAVES}
