"""One admitted (or seed) factor: its text, identity, scores and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Factor:
    """A factor and what is known of it.

    Attributes:
        expression: the text as proposed. canonical: the canonical text. fingerprint: of the canonical form, hex.
        sign: +1 or -1, the orientation by training RankIC (sign * value predicts upwards).
        scores: by split and metric, `{"train": {"rank_ic": ...}, "valid": {...}}`; raw, not oriented.
        hypothesis: the economic idea, if one was given.
        provenance: proposer, round, parents (fingerprints), prompt hash, data hash, seed, ...
    """

    expression: str
    canonical: str
    fingerprint: str
    sign: int = 1
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    hypothesis: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Oriented training RankIC: the figure that chains and exemplars are ordered by; NaN when not scored."""
        return self.sign * self.scores.get("train", {}).get("rank_ic", float("nan"))
