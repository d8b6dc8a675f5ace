"""The wide pool: every measured formula that is no copy of another, weighed into one forecast.

Of a formula it keeps its objective's daily figures over the mining rows (before costs, in the direction of training)
and its levels on sampled training dates; never its values. Weights are those of `pools.weights`. What a candidate
would add follows from the same two: the daily figures that the pool's ridge leaves of its own (`contribution`).

Memory: about 2 K^2 bytes of correlations, K times the cells of a formula (at most 64 KB, more on very wide universes)
and 4 K T bytes of daily figures, and 8 K^2 while weights are solved for; `run.memory_budget` does not count it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.measure.combination import summed_up
from fama_fast.mining.measure.streamed_forecast import weighted_forecasts
from fama_fast.mining.pools.correlations import GrowingCorrelations, among
from fama_fast.mining.pools.slopes import RidgeSlopes
from fama_fast.mining.pools.weights import DailyFigures, Fit, WeightFitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.config import WideSettings
    from fama_fast.mining.measure.combination import PoolScores
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.measure.streamed_forecast import SeriesByHorizon
    from fama_fast.types import FloatArray

_COPY = 0.9999  # |correlation| beyond which one is a copy of the other
CONTRIBUTION_PENALTY = 0.1  # a of what a candidate adds, where none is set


@dataclass(frozen=True)
class PoolMember:
    """A formula of the pool: fingerprint and canonical text of the factor in the direction of training, what was
    proposed with the sign that makes it the factor, the hash of its rankings, and whether the run began with it."""

    fingerprint: str
    canonical: str
    proposed: str
    sign: int
    ranking: str
    begun_with: bool = False


class WidePool:
    """The formulas of a run, their daily figures and correlations.

    Args:
        market: rows, labels and levels. settings: penalty, and whether there is a wide pool at all; one that is not
            enabled takes nothing in.

    Attributes:
        members: in order of arrival.
    """

    def __init__(self, market: Market, settings: WideSettings) -> None:
        self.market, self.settings = market, settings
        self.members: list[PoolMember] = []
        self._known: set[str] = set()
        self._stand_on(GrowingCorrelations(market.levels.count), DailyFigures(market.panel.shape[0]))

    def _stand_on(self, correlations: GrowingCorrelations, figures: DailyFigures) -> None:
        market, settings = self.market, self.settings
        self._correlations, self._figures = correlations, figures
        self._judged: dict[str, tuple[int, Fit, PoolScores]] = {}
        self._first: dict[int, WidePool] = {}  # pools of the first formulas, by their size
        self._fitter = WeightFitter(self._correlations, self._figures, market.horizon, market.reach, settings.penalty)
        self._slopes = RidgeSlopes(self._correlations, settings.penalty or CONTRIBUTION_PENALTY)
        self._earned: FloatArray | None = None

    @property
    def size(self) -> int:
        """K, how many formulas it has."""
        return len(self.members)

    @property
    def names(self) -> list[str]:
        """Their fingerprints, in order."""
        return [m.fingerprint for m in self.members]

    @property
    def seeds(self) -> int:
        """How many of them the run began with."""
        return sum(m.begun_with for m in self.members)

    @property
    def identity(self) -> str:
        """A name of this set of formulas, the same for the same set."""
        return "wide:" + hashlib.blake2b(" ".join(sorted(self.names)).encode(), digest_size=16).hexdigest()

    def first(self, count: int) -> WidePool:
        """The pool as it was after so many formulas, beside those that the run began with: to read, not to add to."""
        upto = self.seeds + count
        if upto >= self.size:
            return self
        if upto not in self._first:
            out = self._first[upto] = WidePool(self.market, self.settings)
            out.members = self.members[:upto]
            out._stand_on(self._correlations.first(upto), self._figures.first(upto))
        return self._first[upto]

    def add(self, members: Sequence[PoolMember], series: Sequence[FloatArray], levels: Sequence[Levels]) -> None:
        """Take in what is defined and no copy: of a formula that is there, of its rankings, or of its levels.

        Args:
            series: (T,) each, the objective's daily figures over the mining rows before costs, counted as RankICs and
                for every member, in the direction of training. levels: (cells,) each, in the same direction.
        """
        if not self.settings.enabled:
            return
        train, least = self.market.rows.train, self.market.config.gates.min_dates
        chosen: list[int] = []
        for i, (member, own) in enumerate(zip(members, series, strict=True)):
            names = {member.fingerprint, "=" + member.ranking}
            defined = np.count_nonzero(np.isfinite(own[train])) >= least and levels[i].any()
            if defined and not names & self._known:
                self._known |= names
                chosen.append(i)
        if not chosen:
            return
        self._first = {}
        stacked = np.stack([levels[i] for i in chosen])
        copies = (np.abs(self._correlations.with_each(stacked)) > _COPY).any(axis=1)
        alike = np.abs(among(stacked)) > _COPY
        kept: list[int] = []
        for i in np.flatnonzero(~copies).tolist():
            if not alike[i, kept].any():
                kept.append(i)
        self._correlations.add(stacked[kept])
        self._figures.add(np.stack([series[chosen[i]] for i in kept]) if kept else np.empty((0, 0)))
        self.members += [members[chosen[i]] for i in kept]

    def correlations(self) -> FloatArray:
        """(K, K) mean cross-sectional rank correlations on the sampled training dates."""
        return self._correlations.matrix()

    def correlations_among(self, places: Sequence[int]) -> FloatArray:
        """(n, n) the same of the formulas at some places, ascending."""
        return self._correlations.among(places)

    def correlations_with(self, levels: Levels) -> FloatArray:
        """(n, K) the same of levels (n, cells) with the pool's formulas."""
        return self._correlations.with_each(levels)

    def means(self, *parts: slice) -> FloatArray:
        """(K,) mean daily figure over the rows of these slices; of training where none is given."""
        return self._figures.means(parts or (self.market.rows.train,))

    def fit(self, *parts: slice) -> Fit:
        """Weights fitted on the rows of these slices, in order; on training where none is given."""
        return self._fitter.fit(parts or (self.market.rows.train,))

    def contribution(self, series: FloatArray, levels: Levels) -> FloatArray:
        """(n, training rows) daily figures of candidates that the pool's ridge leaves unexplained: what each adds.

        The slopes come from R alone, which knows no label, so the mean of a row is out of fold. Without a pool they are
        the candidates' own. Missing figures count as 0.

        Args:
            series: (n, T) and levels: (n, cells) of candidates that are not in the pool, as of `add`.
        """
        train = self.market.rows.train
        own = np.nan_to_num(np.asarray(series)[:, train])
        if not self.size:
            return own
        slopes = self._slopes.of(self._correlations.with_each(levels))
        return own - np.nan_to_num(self._figures.weighted(slopes.T, train))

    def judged(self, split: str) -> tuple[Fit, PoolScores]:
        """The weights for the validation or the test rows, fitted on all rows before them, and what their forecast is
        worth there; asking for the test opens it. Made once, until the pool grows."""
        return self.judged_with(split, self.size)[0]

    def judged_with(self, split: str, count: int) -> tuple[tuple[Fit, PoolScores], tuple[Fit, PoolScores]]:
        """`judged` of the pool, and of `first(count)`: both forecasts are of one pass over the formulas, where neither
        was made before."""
        rows, part = self.market.rows, self.first(count)
        pools = [pool for pool in dict.fromkeys((self, part)) if not pool._knows(split)]
        fits = [p.fit(rows.train) if split == "valid" else p.fit(rows.train, rows.valid) for p in pools]
        for pool, fit, series in zip(pools, fits, self._forecasts(pools, fits, split), strict=True):
            weights = dict(zip(pool.names, fit.weights.tolist(), strict=True))
            pool._judged[split] = pool.size, fit, summed_up(self.market, {"ridge": series}, weights)
        return self._judged[split][1:], part._judged[split][1:]

    def _knows(self, split: str) -> bool:
        """Whether it is judged as it is now."""
        return split in self._judged and self._judged[split][0] == self.size

    def outlook(self) -> float:
        """What the pool would have on validation, as the figures of its formulas say without a pass over any data:
        w'm / sqrt(w'Rw), counted as a RankIC, for ridge weights w of training and mean figures m on validation.

        NaN where no formula has a figure there.
        """
        if not self.size:
            return math.nan
        rows = self.market.rows
        taught, found = self.means(rows.train), self.means(rows.valid)
        weights = self._slopes.of(taught[None, :])[0]
        # (R + a I) w = m, so that w'Rw needs no R.
        variance = float(weights @ taught) - self._slopes.penalty * float(weights @ weights)
        return float(weights @ found) / math.sqrt(variance) if variance > 0.0 else math.nan

    def earnings(self) -> FloatArray:
        """(K,) what the pool earns by each formula out of fold, as a share of all that it earns; 0 of what loses.

        Each half of the training rows gives ridge weights, which earn in the other: formula j has w_j m_j, for its
        weight w_j from one half and its mean daily figure m_j in the other. So a formula is paid for what is there in
        both halves and is no other formula's already. What ranks too few members apart (`gates.min_coverage`) earns
        nothing: its figures are those of few, the highest of all, and its like would crowd in.
        """
        if self._earned is None or len(self._earned) != self.size:
            train, reach = self.market.rows.train, self.market.reach
            middle = (train.start + train.stop) // 2
            halves = slice(train.start, max(train.start + 1, middle - reach)), slice(middle, train.stop)
            means = np.stack([self._figures.means([half]) for half in halves])
            weights = self._slopes.of(means) if self.size else means
            earned = np.maximum(weights[0] * means[1] + weights[1] * means[0], 0.0)
            earned[self._correlations.breadths() < self.market.config.gates.min_coverage] = 0.0
            total = float(np.add.reduce(earned))
            self._earned = earned / total if total > 0.0 else earned
        return self._earned

    def of_ranks(self, fit: Fit) -> FloatArray:
        """(K,) the weights of centred ranks as they are: those of a fit are of ranks scaled to deviation 1, but for a
        factor that all share."""
        found: FloatArray = fit.weights / np.maximum(self._correlations.own_lengths(), 1.0)
        return found

    def forecast(self, fit: Fit, split: str) -> SeriesByHorizon:
        """Daily figures of the pool's forecast over the validation or the test rows; the latter opens the test.

        Args:
            split: "valid" or "test".
        """
        return self._forecasts([self], [fit], split)[0]

    def _forecasts(self, pools: Sequence[WidePool], fits: Sequence[Fit], split: str) -> list[SeriesByHorizon]:
        """The same of several pools that have its first formulas."""
        if not pools:
            return []
        forms = [(m.proposed, m.sign) for m in self.members]
        weights = [pool.of_ranks(fit) for pool, fit in zip(pools, fits, strict=True)]
        return weighted_forecasts(self.market, forms, weights, getattr(self.market.rows, split), whole=split == "test")
