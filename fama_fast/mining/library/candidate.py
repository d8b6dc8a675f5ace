"""One proposed expression on its way through the gates, and the library it has to stand against.

Plain values that gates read and fill in; no gate, no engine, no store here.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fama_fast.ir import count_nodes, postorder
from fama_fast.ledger.records import Plain, plain
from fama_fast.library.codec import factor_to_dict
from fama_fast.mining.library.rank_vectors import RankVectors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.errors import FamaError
    from fama_fast.ir import Node
    from fama_fast.library.factor import Factor
    from fama_fast.mining.measure.race import Standing
    from fama_fast.proposals.protocol import Proposal
    from fama_fast.types import FloatArray


def reach(rank_ic: float, breadth: float) -> float:
    """RankIC over the whole universe of a factor that has values for a share of it only, the others in the middle.

    A forecast earns in proportion to its IC times the square root of its breadth (Grinold 1989). By RankIC alone
    `RET^0.1 * VOLUME`, which half of the symbols have no value of, takes the place of volume over everyone.
    """
    return rank_ic * math.sqrt(breadth)


@dataclass
class Candidate:
    """A proposal and what became known of it.

    Attributes:
        position: its place in the round's answer, from 0.
        alpha: the compiled expression as proposed, once it parses; `error` is why it does not.
        standing: where it stood when it left the race, or came through.
        sign: its direction by training RankIC, known once it is measured; all that follows is oriented by it.
        series: (T,) daily RankIC over the mining rows, exact. coverage: mean share of members with a value over the
            training rows, an estimate while only a sample was looked at. breadth: the same over the training dates that
            have a RankIC, for what a window needs before its first value is no lack of breadth.
        scores: by split. vector: unit rank vector on sampled training dates.
        replaces: fingerprints of the library members that it takes the place of.
        gate, reason: what stopped it; gate is None when nothing did.
    """

    position: int
    proposal: Proposal
    alpha: Alpha | None = None
    error: FamaError | None = None
    nodes: int = 0
    standing: Standing | None = None
    series: FloatArray | None = None
    coverage: float = float("nan")
    breadth: float = 1.0
    sign: int = 1
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None
    replaces: tuple[str, ...] = ()
    gate: str | None = None
    reason: str = ""
    admitted: bool = False
    seconds: float = 0.0
    _turned: tuple[Alpha, Alpha] | None = field(default=None, repr=False, compare=False)

    @property
    def stopped(self) -> bool:
        return self.gate is not None

    @property
    def score(self) -> float:
        """Training RankIC; NaN before it is measured."""
        return self.scores.get("train", {}).get("rank_ic", float("nan"))

    @property
    def reach(self) -> float:
        """What candidates and members are compared by, see `reach`."""
        return reach(self.score, self.breadth)

    @property
    def compiled(self) -> Alpha:
        """The compiled expression, as proposed, of a candidate that passed the parse gate."""
        if self.alpha is None:
            raise RuntimeError("the candidate is not compiled yet")
        return self.alpha

    @property
    def oriented(self) -> Alpha:
        """The factor that the candidate is: the expression as proposed, or its negative once training turned it."""
        alpha = self.compiled
        if self.sign > 0:
            return alpha
        if self._turned is None or self._turned[0] is not alpha:
            self._turned = alpha, alpha.oriented(-1)
        return self._turned[1]

    @property
    def fingerprint(self) -> str:
        """Identity of `oriented`."""
        return self.oriented.fingerprint


def subtree_sizes(root: Node) -> dict[str, int]:
    """Nodes of every distinct subexpression by its structural key, written out as a tree."""
    sizes: dict[str, int] = {}
    for node in postorder(root):
        sizes[node.key] = 1 + sum(sizes[a.key] for a in node.args)
    return sizes


@dataclass(frozen=True)
class Member:
    """A library member with what gates compare against.

    `node` is the expression as it was proposed, which gates compare and searchers vary; the factor may be its negative.
    `vector` is the unit rank vector on sampled training dates, `series` (T,) are the daily RankICs over the mining
    rows, both of the factor; `breadth` is a candidate's; `mined` is False for seeds and for factors of the cache, which
    the run did not find.
    """

    factor: Factor
    node: Node
    vector: NDArray[np.float32]
    mined: bool = False
    series: FloatArray | None = None
    breadth: float = 1.0

    @property
    def nodes(self) -> int:
        return count_nodes(self.node)

    @property
    def reach(self) -> float:
        """What candidates and members are compared by, see `reach`; NaN for one without a score."""
        return reach(self.factor.score, self.breadth)

    @functools.cached_property
    def entry(self) -> Plain:
        """What the run's state says of it, made once: every round writes all of the library."""
        return Plain(plain({"factor": factor_to_dict(self.factor), "mined": self.mined}))


class LibraryView:
    """The library in its order. `vectors` may hold more than its members': candidates', and those of chains."""

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self.members: list[Member] = list(members)
        self.vectors = RankVectors({m.factor.fingerprint: m.vector for m in self.members})
        self._subtrees: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self.members)

    @property
    def mined(self) -> list[Member]:
        """What the run itself found, in order of admission."""
        return [m for m in self.members if m.mined]

    def get(self, fingerprint: str) -> Member | None:
        return next((m for m in self.members if m.factor.fingerprint == fingerprint), None)

    def admit(self, member: Member, replaces: Collection[str] = ()) -> None:
        """Append a member; those it replaces leave."""
        self.vectors.add({member.factor.fingerprint: member.vector})
        self.members = [m for m in self.members if m.factor.fingerprint not in replaces]
        self.members.append(member)

    def correlations(self, fingerprint: str, vector: NDArray[np.float32]) -> FloatArray:
        """(n,) correlation of a unit rank vector, of this fingerprint, with every member's."""
        self.vectors.add({fingerprint: vector})
        return self.vectors.correlations(fingerprint, [m.factor.fingerprint for m in self.members])

    def subtrees(self, member: Member) -> dict[str, int]:
        """`subtree_sizes` of a member, kept."""
        key = member.factor.fingerprint
        if key not in self._subtrees:
            self._subtrees[key] = subtree_sizes(member.node)
        return self._subtrees[key]
