"""The values of a round: a candidate, its race result, and a library member that it is compared with."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fama_fast.evaluation.ic import coverage_adjusted
from fama_fast.ir import Node, count_nodes
from fama_fast.ledger.records import Plain, plain
from fama_fast.library.codec import factor_to_dict
from fama_fast.library.factor import score_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.errors import FamaError
    from fama_fast.library.factor import Factor
    from fama_fast.proposals.protocol import Proposal
    from fama_fast.types import FloatArray


@dataclass(frozen=True)
class RaceResult:
    """The estimate of a candidate after the sampled dates that its race ran on.

    Attributes:
        score: estimated mean of the objective's daily series over the training rows, counted as RankICs, after costs
            but in the direction of the text; NaN without an estimate. margin: z s.
        days: sampled dates in the series. coverage: mean share of members with a value on them.
        lost: it left the race. rungs: blocks of dates that it ran on.
    """

    score: float
    margin: float
    days: int
    coverage: float
    lost: bool
    rungs: int = 1


@dataclass
class Candidate:
    """A proposed expression with the figures and the gate that the round gives it.

    Attributes:
        position: its place in the round's answer, from 0.
        alpha: the compiled expression as proposed, once it parses; `error` is why it does not.
        race_result: where it stood when it left the race, or came through.
        sign: its direction by the objective in training, known once it is measured; all that follows is oriented by it.
        series: (T,) the objective's daily series over the mining rows, exact, oriented, counted as RankICs. ranking:
            hash of the rankings behind its values. coverage: mean share of members with a value over the training
            rows, an estimate while only a sample was looked at. scored_coverage: the same over the training dates in
            its series, for what a window needs before its first value is no lack of breadth.
        scores: by split. vector: unit rank vector on sampled training dates, of vector_levels, oriented ranks in
            8 bits. wide_series: (T,) daily figures, and levels: (cells,) ranks in 8 bits, oriented, as the wide pool
            takes them; none where there is no such pool.
        replaces: fingerprints of the library members that it takes the place of.
        gate, reason: what stopped it; gate is None when nothing did. listable: it may be in the short list, admitted or
            not; None where that was not asked.
    """

    position: int
    proposal: Proposal
    alpha: Alpha | None = None
    error: FamaError | None = None
    nodes: int = 0
    race_result: RaceResult | None = None
    series: FloatArray | None = None
    ranking: str = ""
    coverage: float = float("nan")
    scored_coverage: float = 1.0
    sign: int = 1
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    vector_levels: NDArray[np.int8] | None = None
    vector: NDArray[np.float32] | None = None
    wide_series: FloatArray | None = None
    levels: NDArray[np.int8] | None = None
    replaces: tuple[str, ...] = ()
    gate: str | None = None
    reason: str = ""
    admitted: bool = False
    listable: bool | None = None
    seconds: float = 0.0
    _turned: tuple[Alpha, Alpha] | None = field(default=None, repr=False, compare=False)

    @property
    def stopped(self) -> bool:
        return self.gate is not None

    @property
    def score(self) -> float:
        """The objective in training, counted as a RankIC; NaN before it is measured."""
        return score_of(self.scores)

    @property
    def adjusted_score(self) -> float:
        """Coverage-adjusted `score`, which candidates and members are compared by; see `coverage_adjusted`."""
        return coverage_adjusted(self.score, self.scored_coverage)

    @property
    def compiled(self) -> Alpha:
        """The compiled expression, as proposed, of a candidate that passed the parse gate."""
        if self.alpha is None:
            raise RuntimeError("the candidate is not compiled yet")
        return self.alpha

    @property
    def oriented(self) -> Alpha:
        """The factor in the direction of training: the expression as proposed, or its negative."""
        alpha = self.compiled
        if self.sign > 0:
            return alpha
        if self._turned is None or self._turned[0] is not alpha:
            self._turned = alpha, alpha.oriented(-1)
        return self._turned[1]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of `oriented`."""
        return self.oriented.fingerprint


@dataclass(frozen=True)
class Member:
    """A library member with the arrays that gates compare candidates with.

    `node` is the expression as it was proposed, which gates compare and searchers vary; the factor may be its negative.
    `vector` is the unit rank vector on sampled training dates, `series` (T,) is the objective's over the mining
    rows, both of the factor; `scored_coverage` is a candidate's; `mined` is False for seeds and for factors of the
    cache, which the run did not find.
    """

    factor: Factor
    node: Node
    vector: NDArray[np.float32]
    mined: bool = False
    series: FloatArray | None = None
    scored_coverage: float = 1.0

    @property
    def nodes(self) -> int:
        return count_nodes(self.node)

    @property
    def adjusted_score(self) -> float:
        """Coverage-adjusted `score`, as of a candidate; NaN for a member without a score."""
        return coverage_adjusted(self.factor.score, self.scored_coverage)

    @functools.cached_property
    def entry(self) -> Plain:
        """The member's entry in the run's stored state, made once: every round writes all of the library."""
        return Plain(plain({"factor": factor_to_dict(self.factor), "mined": self.mined}))
