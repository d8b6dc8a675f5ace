"""Keeps of a search's candidates what the tests at its end ask for, so that they are not measured once more.

Those tests take the candidates whose fingerprints come first, as many as `MOST`. Of each that may be among them the
daily series on validation and standard errors are kept. They are not in the stored state: of the earlier rounds of a
run that was resumed the candidates are measured again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.mining.candidate import Candidate
    from fama_fast.types import FloatArray

MOST = 600  # candidates that the tests look at
MEASURES = ("rank_ic", "spread")


class Kept(NamedTuple):
    """Of one candidate, in the direction of training: the objective's daily series over the validation rows, and the
    standard error of the mean of each of `MEASURES` in training and on validation; NaN where there is none."""

    daily: FloatArray
    errors: dict[str, dict[str, float]]


class KeptFigures:
    """Figures by fingerprint, of at most twice as many candidates as the tests look at."""

    def __init__(self) -> None:
        self._known: dict[str, Kept] = {}

    def take(self, candidates: Sequence[Candidate], valid: slice) -> None:
        """Take in what was measured of a round's candidates. valid: the validation rows."""
        for c in candidates:
            if c.series is not None:
                self._known.setdefault(c.fingerprint, Kept(c.series[valid].copy(), errors_of(c.scores)))
        if len(self._known) > 2 * MOST:
            self._known = {name: self._known[name] for name in sorted(self._known)[:MOST]}

    def get(self, fingerprint: str) -> Kept | None:
        """What is kept of a candidate."""
        return self._known.get(fingerprint)


def errors_of(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Standard errors by measure and split, of scores by split."""
    out: dict[str, dict[str, float]] = {name: {} for name in MEASURES}
    for split in ("train", "valid"):
        for name, by_split in out.items():
            mean, t = scores[split][name], scores[split][f"{name}_t"]
            by_split[split] = abs(mean / t) if t else math.nan
    return out
