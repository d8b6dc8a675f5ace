"""Cross-Sample Selection as a run uses it: clusters of the library, and a draw of exemplars for each prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.css.select import Draw, Selection, select_from_clusters

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.types import FloatArray, IntArray


@dataclass(frozen=True)
class CrossSampleSelection:
    """Draws diverse exemplars, at most one from each cluster of factors that rank symbols alike (the FAMA paper).

    Only significant factors are shown, however few: an example that is noise teaches noise.

    Attributes:
        l: exemplars of a draw. draw: a random member of each cluster, or the most central one. min_t: least t of the
            objective in training. seed: of all draws.
    """

    l: int = 5  # noqa: E741  (the paper's name)
    draw: Draw = "random"
    min_t: float = 2.0
    seed: int = 0

    def eligible(self, factors: Sequence[Factor], unfit: Collection[str] = ()) -> list[int]:
        """Places of the factors that may be exemplars; `unfit` are fingerprints of those that may not be shown."""
        fit = [i for i, f in enumerate(factors) if f.fingerprint not in unfit]
        return [i for i in fit if t_of(factors[i]) >= self.min_t]

    def select(
        self,
        correlations: FloatArray,
        clusters: IntArray,
        factors: Sequence[Factor],
        *,
        number: int,
        prompt: int = 0,
    ) -> Selection:
        """The exemplars of one prompt.

        Args:
            correlations: (n, n) of the factors that may be shown. clusters: (n,) of the whole library's, restricted to
                them. number: of the round. prompt: of the round's prompts, from 0.
        """
        key = [self.seed, number, prompt] if prompt else [self.seed, number]
        return select_from_clusters(
            correlations,
            np.unique(clusters, return_inverse=True)[1],
            factors,
            l=self.l,
            draw=self.draw,
            rng=np.random.default_rng(key),
        )


def t_of(factor: Factor) -> float:
    """t of the objective in training; 0 where it is not known."""
    train = factor.scores.get("train", {})
    found = float(train.get("objective_t", train.get("rank_ic_t", 0.0)))
    return found if math.isfinite(found) else 0.0
