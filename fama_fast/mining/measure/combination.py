"""The pool of new factors: one forecast made of many, and what it is worth where it was not fitted.

Two models, both over oriented cross-sectional ranks: `equal` is their mean, `ridge` weighs them by ridge regression of
the label's ranks, or of the label where the objective is IC, spread or net (Hoerl and Kennard 1970); of several
horizons by that of the mean of these. Ridge walks forward: a date's weights come from dates whose labels were known by
then, so nothing is fitted on what it is scored on; for the test split the weights of the mining rows are kept. The
penalty is chosen by walking forward too, over training rows only for the validation rows, over both for the test split
(`ridge_penalty`).
Everything follows from the factors and the data: nothing of
a pool needs storing. How the penalty was chosen, and which other weights were tried:
`docs/decisions/002-weights-of-the-pool.md`.

Sums of products of ranks stay from round to round, so that only new factors are multiplied. Of data in memory the ranks
stay too (`docs/decisions/030-one-path-for-data.md`). Of data that are read in parts they are made again in each pass
over the dates: a round with a new factor makes one over the mining rows, which adds up the products and scores the
forecast when it comes to the validation rows, for weights are of earlier dates only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.arguments import frozen
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.prepare import lowered
from fama_fast.evaluation.rank_correlation import one_thread
from fama_fast.evaluation.ranks import Ranks, centred_ranks, oriented_ranks, tamed_labels
from fama_fast.evaluation.rows import over_rows
from fama_fast.ledger.records import known_figures
from fama_fast.mining.measure.rank_moments import RankMoments, whole_ranks
from fama_fast.mining.measure.ridge_penalty import blocks_of, ridge_weights, walked_penalty
from fama_fast.mining.measure.streamed_forecast import SeriesByHorizon, planned
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fama_fast.evaluation.daily import Daily
    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import PoolSettings
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.measure.rank_moments import Whole
    from fama_fast.panel.source import Source
    from fama_fast.target.rows import LabelRows
    from fama_fast.types import BoolArray, FloatArray

    Target = tuple[Whole | FloatArray, FloatArray]

Model = Literal["ridge", "equal"]
MODELS: tuple[Model, ...] = ("ridge", "equal")
_BATCH = 64  # factors whose ranks are made at once where they stay in memory


@dataclass(frozen=True)
class PoolScores:
    """A pool on one split, by model.

    Attributes:
        daily: daily figures over the rows of the split. scores: their summary (`FactorScores` as a mapping, what is
            not defined left out). weights: the last ridge weights by fingerprint.
        horizons: of several horizons the scores at each, by horizon: its spread in returns over its own days.
        penalty: what ridge was fitted with; None of another forecast.
    """

    daily: dict[Model, Daily]
    scores: dict[Model, dict[str, float]]
    weights: dict[str, float]
    horizons: dict[Model, dict[str, dict[str, float]]] = field(default_factory=dict)
    penalty: float | None = None


@dataclass(frozen=True)
class RankChunk:
    """Ranks of some factors on the dates [start, stop), in their order; arrays begin at row `begin`, before `start` by
    as many dates as a label is held, if there are as many.

    `labels` (rows, N), `universe` (rows, N) or None where everyone is a member. `further`: labels of further horizons.
    """

    begin: int
    start: int
    stop: int
    ranks: list[Ranks]
    labels: FloatArray
    universe: BoolArray | None
    further: Sequence[FloatArray] = ()


@dataclass
class _Scored:
    """Daily figures of both forecasts over some rows, filled in chunk by chunk.

    `weights_at` gives the weights of the n-th stretch of `refit` rows; they are asked for in order. The first dates of
    the rows, as many as a label is held, have nothing traded.
    """

    rows: slice
    refit: int
    weights_at: Callable[[int], FloatArray]
    market: Market
    made: dict[int, FloatArray] = field(default_factory=dict)
    series: dict[Model, SeriesByHorizon] = field(init=False)

    def __post_init__(self) -> None:
        self.series = {m: SeriesByHorizon(self.market, self.rows) for m in MODELS}

    def add(self, chunk: RankChunk) -> None:
        """The dates of a chunk, as far as they are asked for: turnover and what is traded need rows before."""
        first, last = max(chunk.start, self.rows.start), min(chunk.stop, self.rows.stop)
        if first >= last:
            return
        warm = max(chunk.begin, self.rows.start)
        own = slice(warm - chunk.begin, last - chunk.begin)
        parts = [r[own] for r in chunk.ranks]
        threads = self.market.config.run.threads
        forecasts = blend(parts, self._weights(len(parts), warm, last), threads)
        inside = None if chunk.universe is None else chunk.universe[own]
        labels = [every[own] for every in (chunk.labels, *chunk.further)]
        for model, forecast in forecasts.items():
            self.series[model].add(forecast, labels, inside, warm, first)

    def _weights(self, factors: int, first: int, last: int) -> FloatArray:
        """(factors, last - first) weights of each row."""
        out = np.zeros((factors, last - first))
        at = first
        while at < last:
            number = (at - self.rows.start) // self.refit
            end = min(last, self.rows.start + (number + 1) * self.refit)
            if number not in self.made:
                self.made[number] = self.weights_at(number)
            out[:, at - first : end - first] = self.made[number][:, None]
            at = end
        return out

    def scores(self, names: Sequence[str], penalty: float) -> PoolScores:
        """What was filled in, summed up; `penalty` is what the weights were fitted with."""
        last = self.made[max(self.made)]
        weights = dict(zip(names, last.tolist(), strict=True))
        return replace(summed_up(self.market, self.series, weights), penalty=penalty)


def summed_up(market: Market, series: Mapping[Model, SeriesByHorizon], weights: dict[str, float]) -> PoolScores:
    """The scores of forecasts whose daily figures are filled in."""
    found = {model: by_horizon.daily() for model, by_horizon in series.items()}
    each: dict[Model, dict[str, dict[str, float]]] = {}
    if market.further:
        for model, by_horizon in series.items():
            parts = zip(market.every, by_horizon.each(), strict=True)
            own = {str(m.target.keys[0]): d.summary(None, m.span, market.config.cost_bps) for m, d in parts}
            each[model] = {key: known_figures(scores.as_dict()) for key, scores in own.items()}
    return PoolScores(found, {m: known_figures(market.summary(d)) for m, d in found.items()}, weights, each)


@dataclass
class _Fitting:
    """Weights for one split; the penalty is chosen when the first are asked for, since the sums may come chunk by chunk
    until then, and those it is chosen by are of earlier dates."""

    pool: FactorPool
    names: Sequence[str]
    split: str
    _penalty: float | None = None

    @property
    def penalty(self) -> float:
        if self._penalty is None:
            self._penalty = self.pool.penalty(self.names, self.split)
        return self._penalty

    def weights(self, before: int) -> FloatArray:
        return self.pool.weights(self.names, before, self.penalty)


class FactorPool:
    """The factors' ranks and sums of their products, kept between rounds: a round pays for its new factors.

    Args:
        market: rows, labels and universe. settings: which model decides, its penalty and how often it is refitted.
        forgets: drop what is known of a factor once it is in the pool no more; without, parts of a set that was asked
            for first cost little.
    """

    _last: tuple[tuple[str, ...], PoolScores] | None = None  # many rounds admit nobody

    def __init__(self, market: Market, settings: PoolSettings, *, forgets: bool = True) -> None:
        self.market, self.settings, self._forgets = market, settings, forgets
        rows = market.rows
        fits = [*range(rows.valid.start, rows.valid.stop, settings.refit), rows.test.start]
        # Validation rows whose labels are known when the test begins.
        valid = slice(rows.valid.start, min(rows.valid.stop, self._known_before(rows.test.start)))
        self._blocks = {
            split: blocks_of(rows.train, parts, market.reach) for split, parts in (("valid", []), ("test", [valid]))
        }
        walked = [row for block in self._blocks["test"] for row in (block.known, block.start, block.stop)]
        self._moments = RankMoments([*map(self._known_before, fits), *walked])
        # Of data in memory, by factor: ranks over the validation rows, and whole ones over all mining rows.
        self._kept: dict[str, tuple[Ranks, tuple[Whole, FloatArray]]] = {}
        self._keeps = isinstance(market.panel, Panel)
        if self._keeps:
            every = [m.labels.values for m in market.every]
            self._target = self._whole_target(every, market.held.universe)

    def valid(self, factors: Sequence[Factor]) -> PoolScores:
        """The pool of these factors over the validation rows; ridge fitted on earlier dates only."""
        names = tuple(f.fingerprint for f in factors)
        if self._last is None or self._last[0] != names:
            self._last = names, self._valid(factors)
        return self._last[1]

    def _valid(self, factors: Sequence[Factor]) -> PoolScores:
        market, rows, refit = self.market, self.market.rows.valid, self.settings.refit
        names, new = self._begin(factors)
        fit = _Fitting(self, names, "valid")
        scored = _Scored(rows, refit, lambda n: fit.weights(before=rows.start + n * refit), market)
        if self._keeps:
            self._keep(factors, new)
            universe = None if market.held.universe is None else market.held.universe[rows]
            ranks = [self._kept[name][0] for name in names]
            labels, *further = (m.labels.values[rows] for m in market.every)
            scored.add(RankChunk(rows.start, rows.start, rows.stop, ranks, labels, universe, further))
        else:
            first = 0 if new else rows.start
            for chunk in self.rank_chunks(factors, market.panel, market.label_rows, first, rows.stop):
                self._learn(new, names, chunk)
                scored.add(chunk)
        return scored.scores(names, fit.penalty)

    def test(self, factors: Sequence[Factor]) -> PoolScores:
        """The pool over the test rows, weights as of the last mining row. This opens the test split."""
        market, rows = self.market, self.market.rows.test
        names, fit = self._taught(factors)
        scored = _Scored(rows, rows.stop - rows.start, lambda _: fit.weights(before=rows.start), market)
        for chunk in self.rank_chunks(factors, market.whole, market.returns(market.whole), rows.start, rows.stop):
            scored.add(chunk)
        return scored.scores(names, fit.penalty)

    def fitted(self, factors: Sequence[Factor]) -> tuple[FloatArray, float]:
        """(K,) weights as of the last mining row, and their penalty: what `test` scores, without a look at the test."""
        fit = self._taught(factors)[1]
        return fit.weights(before=self.market.rows.test.start), fit.penalty

    def _taught(self, factors: Sequence[Factor]) -> tuple[list[str], _Fitting]:
        """Names, and the fit for the test, once the sums over all mining rows are there."""
        market = self.market
        names, new = self._begin(factors)
        if self._keeps:
            self._keep(factors, new)
        elif new:
            for chunk in self.rank_chunks(factors, market.panel, market.label_rows, 0, market.rows.valid.stop):
                self._learn(new, names, chunk)
        return names, _Fitting(self, names, "test")

    def _begin(self, factors: Sequence[Factor]) -> tuple[list[str], list[str]]:
        """Make room for the sums of these factors, and of no others; returns their names, and those that are new."""
        names = [f.fingerprint for f in factors]
        if self._forgets:
            self._moments.forget(names)
        return names, self._moments.begin(names)

    def _known_before(self, row: int) -> int:
        """Rows whose labels end before `row`."""
        return max(0, row - self.market.reach)

    def penalty(self, names: Sequence[str], split: str) -> float:
        """The penalty of ridge for a split: as set, or chosen by walking forward over what is known before it."""
        if self.settings.ridge != "auto":
            return self.settings.ridge
        moments = self._moments
        with one_thread():
            return walked_penalty(
                self._blocks[split],
                lambda row: moments.until(row, names),
                lambda start, stop: moments.between(start, stop, names),
            )

    def weights(self, names: Sequence[str], before: int, penalty: float) -> FloatArray:
        """Ridge weights from mining dates whose labels end before row `before`."""
        with one_thread():
            return ridge_weights(*self._moments.until(self._known_before(before), names), penalty)

    def _whole_target(self, every: Sequence[FloatArray], universe: BoolArray | None) -> tuple[BoolArray, Target]:
        """Where the labels of every horizon are known, and what is fitted: their whole ranks, or themselves where the
        objective says so, each counted as its spread or IC is; of several horizons the mean."""
        first, objective = self.market, self.market.yardstick.objective
        if objective.fits_ranks and len(every) == 1:
            ranks = centred_ranks(every[0], universe).astype(np.float32)
            return np.isfinite(ranks), whole_ranks(ranks)
        parts: list[FloatArray] = []
        for market, labels in zip(first.every, every, strict=True):
            scale = first.scale / market.weight if objective.in_returns else market.own_scale
            ranked = objective.fits_ranks
            parts.append(centred_ranks(labels, universe) if ranked else tamed_labels(labels, universe, scale))
        target = sum(parts[1:], parts[0]) / len(parts) if len(parts) > 1 else parts[0]
        return np.isfinite(target), (np.nan_to_num(target), np.ones(len(target)))

    def _keep(self, factors: Sequence[Factor], new: Sequence[str]) -> None:
        """Ranks and sums of these factors, and of no others, of data in memory."""
        gone = self._kept.keys() - {f.fingerprint for f in factors} if self._forgets else ()
        for name in gone:
            del self._kept[name]
        market, (known, label) = self.market, self._target
        rows, threads = market.rows.valid, market.config.run.threads
        newcomers = [f for f in factors if f.fingerprint in set(new)]
        for at in range(0, len(newcomers), _BATCH):
            some = newcomers[at : at + _BATCH]
            for chunk in self.rank_chunks(some, market.panel, market.label_rows, 0, len(known)):
                for factor, ranks in zip(some, chunk.ranks, strict=True):
                    self._kept[factor.fingerprint] = ranks[rows].copy(), whole_ranks(ranks, known, threads)
        self._add(new, {name: whole for name, (_, whole) in self._kept.items()}, label, 0, len(known))

    def _learn(self, new: Sequence[str], names: Sequence[str], chunk: RankChunk) -> None:
        """Add the products of the new ones over a chunk of mining dates."""
        if not new:
            return
        own = slice(chunk.start - chunk.begin, None)
        every = [labels[own] for labels in (chunk.labels, *chunk.further)]
        known, label = self._whole_target(every, None if chunk.universe is None else chunk.universe[own])
        threads = self.market.config.run.threads
        whole = {n: whole_ranks(r[own], known, threads) for n, r in zip(names, chunk.ranks, strict=True)}
        self._add(new, whole, label, chunk.start, chunk.stop)

    def _add(
        self,
        new: Sequence[str],
        whole: dict[str, tuple[Whole, FloatArray]],
        label: Target,
        start: int,
        stop: int,
    ) -> None:
        """Add the products of the new ones over the mining dates within [start, stop), of arrays that begin there."""
        for rows in (self.market.rows.train, self.market.rows.valid):
            first, last = max(start, rows.start), min(stop, rows.stop)
            if first < last:
                part = slice(first - start, last - start)
                ranks = {name: (r[part], scale[part]) for name, (r, scale) in whole.items()}
                self._moments.add(first, new, ranks, (label[0][part], label[1][part]), self.market.config.run.threads)

    def rank_chunks(
        self, factors: Sequence[Factor], source: Source, labels: LabelRows, first: int, last: int
    ) -> Iterator[RankChunk]:
        """The dates [first, last) in one pass: oriented ranks of the factors, chunk by chunk.

        Raises:
            DataError: from reading. ConfigError: a budget too small for one chunk.
        """
        market, run = self.market, self.market.config.run
        further = [m.label_rows if source is market.panel else m.returns(source) for m in market.further]
        every = [labels, *further]
        forms = [f.as_proposed for f in factors]
        roots = lowered([f"RANK({text})" for text, _ in forms], source, run.min_coverage)
        rows = slice(first, last)
        schedule, fields, groups = planned(market, roots, source, every, rows, kept=len(factors))
        for loaded in chunks(source, schedule, fields, groups, first, last):
            begin = max(0, loaded.start - market.horizon)
            ranks: list[Any] = [None] * len(factors)
            for batch, found in compute(loaded, schedule.batches, warm=market.horizon, threads=run.threads):
                for index, values in zip(batch.indices, found, strict=True):
                    ranks[index] = oriented_ranks(values, forms[index][1], run.threads)
                del found, values
            universe = loaded.rows(begin, loaded.stop).universe if source.has_universe else None
            own, *later = (y.rows(loaded, begin, loaded.stop) for y in every)
            yield RankChunk(begin, loaded.start, loaded.stop, ranks, own, universe, later)
            del ranks, own, later, universe


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
