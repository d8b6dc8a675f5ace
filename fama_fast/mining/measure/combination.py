"""The pool of new factors: one forecast made of many, and what it is worth where it was not fitted.

Two models, both over oriented cross-sectional ranks: `equal` is their mean, `ridge` weighs them by ridge
regression of the label's ranks (Hoerl and Kennard 1970). Ridge walks forward: a date's weights come from dates
whose labels were known by then, so nothing is fitted on what it is scored on; for the test split the weights of
the mining rows are kept. Everything follows from the factors and the data: nothing of a pool needs storing.

The penalty was chosen on validation dates of A-shares (walking forward, 300 mined and 400 random factors): RankIC .0910
and .0853 at .01, .0923 and .0884 at .1, .0939 and .0932 at 1, .0924 and .0909 at 10.

Tried without gain, on validation dates of another pair of pools (298 mined, 471 random): to shrink towards equal
weights (.0920 and .0923) or towards weights in proportion to each factor's own RankIC (.0923 and .0925) rather than
towards none (.0923 and .0925, each at its best penalty), and weights that may not be negative (.0912 and .0920).
Nor do fewer of them, the hundred best in training (.0942 and .0917, all: .0917 and .0921; of one more pair .0915 and
.0941, all: .0929 and .0933), or boosted trees of depth 3 on those (.0941 and .0929; of depth 5 .0938 and .0925).
Whatever weighs them, a few hundred formulas of prices and volume come to the same.

The best penalty grows with the pool: 362 mined factors .0931, .0934 and .0930 at 1, 2 and 4; 615 random ones .0913,
.0920 and .0919; 1,217 random ones of two seeds .0907, .0923 and .0927; all 1,988 of two seeds of both .0912, .0935 and
.0946. Nor do the best in training at equal weights do better: of six mined pools the best one .0928 on average, the
best three .0898, the best hundred .0912, where ridge over all has .0939. Of five of these pools ridge that shrinks
towards the mean of the best 1, 3, 10 or 30 in training has .0933, .0932, .0933 and .0941, towards none .0942.

Other weights that were compared, on mined and random pools: a penalty in inverse proportion to the square of a
factor's own RankIC (eight mined .0935, with it .0938; four random .0929, .0944), days as observations whose errors
are correlated as the factors' daily RankICs are (generalised least squares; seven mined .0937, .0941; four random
.0927, .0924), both (five mined .0942, .0950; four random .0927, .0943): what there is to gain is a hundredth, and
random formulas gain more. Weights in proportion to mean over variance of daily RankICs have .0930 and .0920 at best;
RankICs that fade with a half-life of 60, 120 or 250 dates .0873, .0908 and .0927 where all alike have .0943 (two
mined pools). A search's first 750 candidates have .0917, 1,500 have .0929, all 3,000 .0935 (eight seeds); with the
members that others took the place of, .0934.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fama_fast.arguments import frozen
from fama_fast.evaluation import daily
from fama_fast.evaluation.ranks import Ranks, centred_ranks
from fama_fast.evaluation.rows import over_rows
from fama_fast.ledger.records import known_figures
from fama_fast.mining.measure.rank_moments import RankMoments, whole_ranks
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.evaluation import Daily
    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import PoolSettings
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.measure.rank_moments import Whole
    from fama_fast.types import BoolArray, FloatArray

Model = Literal["ridge", "equal"]
MODELS: tuple[Model, ...] = ("ridge", "equal")


@dataclass(frozen=True)
class PoolScores:
    """A pool on one split, by model.

    Attributes:
        daily: daily figures over the rows of the split. scores: their summary (`FactorScores` as a mapping, what is
            not defined left out). weights: the last ridge weights by fingerprint.
    """

    daily: dict[Model, Daily]
    scores: dict[Model, dict[str, float]]
    weights: dict[str, float]


class FactorPool:
    """Ranks and moments of factors, kept between rounds: a round pays for its new factors only.

    Args:
        market: rows, labels and universe. settings: which model decides, its penalty and how often it is refitted.
    """

    _last: tuple[tuple[str, ...], PoolScores] | None = None  # many rounds admit nobody

    def __init__(self, market: Market, settings: PoolSettings) -> None:
        self.market, self.settings = market, settings
        target = centred_ranks(market.labels.values, market.held.universe).astype(np.float32)
        self._known = np.isfinite(target)
        self._label = whole_ranks(target)
        self._ranks: dict[str, Ranks] = {}  # over the validation rows
        self._whole: dict[str, tuple[Whole, FloatArray]] = {}  # over all mining rows
        self._moments = self._no_moments()

    def valid(self, factors: Sequence[Factor]) -> PoolScores:
        """The pool of these factors over the validation rows; ridge fitted on earlier dates only."""
        names = tuple(f.fingerprint for f in factors)
        if self._last is None or self._last[0] != names:
            self._last = names, self._valid(factors)
        return self._last[1]

    def _valid(self, factors: Sequence[Factor]) -> PoolScores:
        self._keep(factors)
        names = [f.fingerprint for f in factors]
        rows = self.market.rows.valid
        ranks = [self._ranks[n] for n in names]
        weights = np.zeros((len(names), rows.stop - rows.start))
        for start in range(rows.start, rows.stop, self.settings.refit):
            stop = min(start + self.settings.refit, rows.stop)
            weights[:, start - rows.start : stop - rows.start] = self._fit(names, before=start)[:, None]
        universe = self.market.held.universe
        return self._scored(names, ranks, weights, self.market.labels.values[rows], universe, rows)

    def test(self, factors: Sequence[Factor]) -> PoolScores:
        """The pool over the test rows, weights as of the last mining row. This opens the test split."""
        from fama_fast.data.labels import scored_returns

        self._keep(factors)
        market, cut = self.market, self.market.config.splits
        names, rows = [f.fingerprint for f in factors], market.rows.test
        whole = market.whole
        assert isinstance(whole, Panel)
        ranks = list(market.pool_ranks(factors, whole, rows))
        labels = scored_returns(whole, cut.horizon, cut.entry_lag, min_members=cut.min_members)[rows]
        weights = np.repeat(self._fit(names, before=rows.start)[:, None], rows.stop - rows.start, axis=1)
        return self._scored(names, ranks, weights, labels, whole.universe, rows)

    def _no_moments(self) -> RankMoments:
        """Empty sums, kept at the dates at which weights are fitted."""
        rows = self.market.rows
        fits = (*range(rows.valid.start, rows.valid.stop, self.settings.refit), rows.test.start)
        return RankMoments(self._known_before(row) for row in fits)

    def _known_before(self, row: int) -> int:
        """Rows whose labels end before `row`."""
        cut = self.market.config.splits
        return max(0, row - cut.horizon - cut.entry_lag)

    def _keep(self, factors: Sequence[Factor]) -> None:
        """Ranks and moments of these factors, and of no others."""
        names = [f.fingerprint for f in factors]
        self._moments.forget(names)
        for gone in self._whole.keys() - set(names):
            del self._ranks[gone], self._whole[gone]
        new = set(self._moments.begin(names))
        panel, rows = self.market.held, self.market.rows
        newcomers = [f for f in factors if f.fingerprint in new]
        everywhere = self.market.pool_ranks(newcomers, panel, slice(0, panel.shape[0]))
        label, threads = self._label, self.market.config.run.threads
        for factor, ranks in zip(newcomers, everywhere, strict=True):
            self._ranks[factor.fingerprint] = ranks[rows.valid].copy()
            self._whole[factor.fingerprint] = whole_ranks(ranks, self._known, threads)
        for part in (rows.train, rows.valid):
            whole = {name: (r[part], scale[part]) for name, (r, scale) in self._whole.items()}
            self._moments.add(part.start, sorted(new), whole, (label[0][part], label[1][part]), threads)

    def _fit(self, names: Sequence[str], before: int) -> FloatArray:
        """Ridge weights from mining dates whose labels end before row `before`."""
        return ridge_weights(*self._moments.until(self._known_before(before), names), self.settings.ridge)

    def _scored(
        self,
        names: Sequence[str],
        ranks: Sequence[Ranks],
        weights: FloatArray,
        labels: FloatArray,
        universe: BoolArray | None,
        rows: slice,
    ) -> PoolScores:
        inside = None if universe is None else universe[rows]
        threads = self.market.config.run.threads
        forecasts = blend(ranks, weights, threads)
        found = {model: daily(f, labels, inside, threads=threads) for model, f in forecasts.items()}
        scores = {m: known_figures(d.summary(horizon=self.market.horizon).as_dict()) for m, d in found.items()}
        return PoolScores(found, scores, dict(zip(names, weights[:, -1].tolist(), strict=True)))


def ridge_weights(gram: FloatArray, cross: FloatArray, penalty: float) -> FloatArray:
    """(k,) weights that minimise |y - X w|^2 + a |w|^2 for X'X = `gram` and X'y = `cross`.

    The penalty a is `penalty` times the mean of the diagonal of X'X, so that it does not depend on the data's size.
    Zeros where nothing is known of any factor.
    """
    scale = float(np.trace(gram)) / max(1, len(gram))
    if not scale > 0.0:
        return np.zeros(len(gram))
    # So few unknowns are solved on one thread whatever the machine, so the bits do not depend on it.
    return np.asarray(np.linalg.solve(gram + penalty * scale * np.eye(len(gram)), cross), dtype=np.float64)


def blend(ranks: Sequence[Ranks], weights: FloatArray, threads: int | None = None) -> dict[Model, FloatArray]:
    """The forecasts (T, N) of both models; a symbol without any rank on a date is missing.

    ridge: the sum of ranks times the weights (K, T) of their dates, where a missing rank counts as the middle. equal:
    the mean of the ranks that are present.
    """
    from fama_fast.backends.numba_vm.stats import blend_rows

    total, mean, count = (np.zeros(ranks[0].shape) for _ in range(3))
    present = [frozen(np.ascontiguousarray(r, dtype=np.float32)) for r in ranks]
    by_factor = np.ascontiguousarray(weights)

    def add(start: int, stop: int) -> None:
        for r, w in zip(present, by_factor, strict=True):
            blend_rows(r, w, start, stop, total, mean, count)

    over_rows(add, total.shape, threads)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"ridge": np.where(count > 0.0, total, np.nan), "equal": mean / count}
