"""The members of the library as gates see them, with their rank vectors and subtrees.

Plain values that gates read and fill in; no gate, no engine, no store here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ir import postorder
from fama_fast.mining.library.rank_vectors import RankVectors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from fama_fast.ir import Node
    from fama_fast.mining.candidate import Member
    from fama_fast.types import FloatArray


def subtree_sizes(root: Node) -> dict[str, int]:
    """Size of every distinct subexpression in nodes, written out as a tree, by its structural key."""
    sizes: dict[str, int] = {}
    for node in postorder(root):
        sizes[node.key] = 1 + sum(sizes[a.key] for a in node.args)
    return sizes


class LibraryView:
    """The library's members in order. `vectors` may hold more than theirs: candidates', and those of chains."""

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self.members: list[Member] = list(members)
        self.vectors = RankVectors({m.factor.fingerprint: m.vector for m in self.members})
        self._subtrees: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self.members)

    @property
    def mined(self) -> list[Member]:
        """The members that the run itself found, in order of admission."""
        return [m for m in self.members if m.mined]

    def get(self, fingerprint: str) -> Member | None:
        return next((m for m in self.members if m.factor.fingerprint == fingerprint), None)

    def admit(self, member: Member, replaces: Collection[str] = ()) -> None:
        """Append a member, and remove those that it replaces."""
        self.vectors.add({member.factor.fingerprint: member.vector})
        self.members = [m for m in self.members if m.factor.fingerprint not in replaces]
        self.members.append(member)

    def correlations(self, fingerprint: str, vector: NDArray[np.float32]) -> FloatArray:
        """(n,) correlation of a unit rank vector, of this fingerprint, with every member's."""
        self.vectors.add({fingerprint: vector})
        return self.vectors.correlations(fingerprint, [m.factor.fingerprint for m in self.members])

    def subtrees(self, member: Member) -> dict[str, int]:
        """`subtree_sizes` of a member, cached."""
        key = member.factor.fingerprint
        if key not in self._subtrees:
            self._subtrees[key] = subtree_sizes(member.node)
        return self._subtrees[key]
