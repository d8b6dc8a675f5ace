"""A factor: its text, identity, scores and provenance.

A factor points upwards: high values of its text predict high returns, as training found. So the text alone says what
the factor is, and nobody who reads it needs to know of a sign.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast.errors import shortened
from fama_fast.number_text import is_known, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTRADICTED = "contradicted"  # in the provenance: the hypothesis that training contradicted


def contradicted(hypothesis: str, provenance: Mapping[str, Any]) -> bool:
    """Whether a hypothesis is the one that training contradicted, and not another that was given since."""
    return bool(hypothesis) and provenance.get(CONTRADICTED) == hypothesis


def score_of(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The objective of the run in training, counted as a RankIC; the RankIC of scores that name no objective.

    NaN when not scored.
    """
    train = scores.get("train", {})
    return train.get("score", train.get("rank_ic", float("nan")))


@dataclass(frozen=True, repr=False)
class Factor:
    """An admitted or seed factor with its identity, scores and provenance.

    Attributes:
        expression: the text. canonical: the canonical text, which a mined factor has for its expression too.
        fingerprint: of the canonical form, hex.
        scores: of these values, by split and metric, `{"train": {"rank_ic": ...}, "valid": {...}}`.
        hypothesis: the economic idea, if one was given.
        provenance: proposer, round, parents (fingerprints), prompt hash, data hash, seed, ...
        proposed: canonical text of what was proposed, where training turned it round and the factor is its negative;
            else empty. A search goes on from there, see `as_proposed`.
    """

    expression: str
    canonical: str
    fingerprint: str
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    hypothesis: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    proposed: str = ""

    @property
    def score(self) -> float:
        """What chains and exemplars are ordered by; NaN when not scored. See `score_of`."""
        return score_of(self.scores)

    @property
    def as_proposed(self) -> tuple[str, int]:
        """The canonical text as it was proposed, and 1, or -1 where the factor is its negative.

        A search varies and ranks this form, so that what it finds does not hang on which way round a factor is kept.
        """
        return (self.proposed, -1) if self.proposed else (self.canonical, 1)

    @property
    def contradicted(self) -> bool:
        """Whether its hypothesis says the opposite of what training found, which turned the expression round."""
        return contradicted(self.hypothesis, self.provenance)

    def __repr__(self) -> str:
        scored = f", train {signed(self.score)}" if is_known(self.score) else ""
        return f"Factor({shortened(self.expression, 100)!r}{scored})"
