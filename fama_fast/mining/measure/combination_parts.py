"""The pool of data larger than memory: ranks are made again in each pass, only sums by date stay.

A round with a new factor makes one pass over the mining rows, which adds up the new products of ranks date by date and
scores the forecast when it comes to the validation rows: weights are of earlier dates only, so what they need is known
by then. Without a new factor the pass is over the validation rows. The figures have the bits of `FactorPool`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.evaluate import has_universe, lowered, plan_chunks, read_names
from fama_fast.evaluation import Daily, daily
from fama_fast.evaluation.chunked import ReturnLabels
from fama_fast.evaluation.ranks import centred_ranks, oriented_ranks
from fama_fast.ledger.records import known_figures
from fama_fast.mining.measure.combination import MODELS, FactorPool, Model, PoolScores, blend
from fama_fast.mining.measure.rank_moments import pass_bytes, whole_ranks
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.evaluation.chunked import LabelRows
    from fama_fast.evaluation.ranks import Ranks
    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import PoolSettings
    from fama_fast.mining.measure.market import Market
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import BoolArray, FloatArray

_SERIES = ("rank_ic", "ic", "coverage", "turnover")


@dataclass
class _Scored:
    """Daily figures of both forecasts over some rows, filled in chunk by chunk.

    `weights_at` gives the weights of the n-th stretch of `refit` rows; they are asked for in order.
    """

    rows: slice
    refit: int
    weights_at: Callable[[int], FloatArray]
    threads: int | None
    made: dict[int, FloatArray] = field(default_factory=dict)
    series: dict[Model, dict[str, FloatArray]] = field(init=False)

    def __post_init__(self) -> None:
        dates = self.rows.stop - self.rows.start
        self.series = {model: {name: np.full(dates, np.nan) for name in _SERIES} for model in MODELS}

    def add(
        self, begin: int, start: int, stop: int, ranks: Sequence[Ranks], labels: FloatArray, universe: BoolArray | None
    ) -> None:
        """The dates [start, stop) of arrays whose first row is `begin`: turnover needs the row before."""
        first, last = max(start, self.rows.start), min(stop, self.rows.stop)
        if first >= last:
            return
        warm = max(begin, self.rows.start)
        own = slice(warm - begin, last - begin)
        parts = [r[own] for r in ranks]
        forecasts = blend(parts, self._weights(len(parts), warm, last), self.threads)
        inside = None if universe is None else universe[own]
        at = slice(first - self.rows.start, last - self.rows.start)
        for model, forecast in forecasts.items():
            found = daily(forecast, labels[own], inside, threads=self.threads)
            for name in _SERIES:
                self.series[model][name][at] = getattr(found, name)[first - warm :]

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

    def scores(self, names: Sequence[str], horizon: int) -> PoolScores:
        """What was filled in, summed up."""
        found = {model: Daily(**series) for model, series in self.series.items()}
        scores = {m: known_figures(d.summary(horizon=horizon).as_dict()) for m, d in found.items()}
        last = self.made[max(self.made)]
        return PoolScores(found, scores, dict(zip(names, last.tolist(), strict=True)))


class FactorPoolInParts(FactorPool):
    """Sums of products of ranks by date, kept between rounds; see `FactorPool`."""

    def __init__(self, market: Market, settings: PoolSettings) -> None:
        self.market, self.settings = market, settings
        self._moments = self._no_moments()

    def _valid(self, factors: Sequence[Factor]) -> PoolScores:
        """In one pass."""
        names = [f.fingerprint for f in factors]
        self._moments.forget(names)
        market, rows, refit = self.market, self.market.rows.valid, self.settings.refit
        scored = _Scored(
            rows, refit, lambda n: self._fit(names, before=rows.start + n * refit), market.config.run.threads
        )
        new = self._moments.begin(names)
        first = 0 if new else rows.start
        self._pass(factors, market.panel, market.label_rows, first, rows.stop, new, scored)
        return scored.scores(names, market.horizon)

    def test(self, factors: Sequence[Factor]) -> PoolScores:
        """As `FactorPool.test`. This opens the test split."""
        names = [f.fingerprint for f in factors]
        self._moments.forget(names)
        market, rows, cut = self.market, self.market.rows.test, self.market.config.splits
        new = self._moments.begin(names)
        if new:
            self._pass(factors, market.panel, market.label_rows, 0, market.rows.valid.stop, new, None)
        scored = _Scored(
            rows, rows.stop - rows.start, lambda _: self._fit(names, before=rows.start), market.config.run.threads
        )
        labels = ReturnLabels.of(market.whole, cut.horizon, cut.entry_lag, min_members=cut.min_members)
        self._pass(factors, market.whole, labels, rows.start, rows.stop, [], scored)
        return scored.scores(names, market.horizon)

    def _pass(
        self,
        factors: Sequence[Factor],
        source: Panel | Dataset,
        labels: LabelRows,
        first: int,
        last: int,
        new: Sequence[str],
        scored: _Scored | None,
    ) -> None:
        """The dates [first, last) once: sums of the new ones, then the forecast's figures."""
        market, run = self.market, self.market.config.run
        forms = [f.as_proposed for f in factors]
        roots = lowered([f"RANK({text})" for text, _ in forms], source, run.min_coverage)
        fields, groups = read_names(roots, source)
        fields = list(dict.fromkeys([*fields, *labels.fields]))
        schedule = plan_chunks(
            roots,
            source,
            market.budget.total,
            fields=fields,
            groups=groups,
            rows_after=labels.rows_after,
            warm=1,
            extra=pass_bytes(len(factors)),
            walked=last - first,
            held=market.budget.held,
        )
        for loaded in chunks(source, schedule, fields, groups, first, last):
            begin, start, stop = max(0, loaded.start - 1), loaded.start, loaded.stop
            ranks: list[Any] = [None] * len(factors)
            for batch, found in compute(loaded, schedule.batches, warm=1, threads=run.threads):
                for index, values in zip(batch.indices, found, strict=True):
                    ranks[index] = oriented_ranks(values, forms[index][1], run.threads)
                del found, values
            universe = loaded.rows(begin, stop).universe if has_universe(source) else None
            y = labels.rows(loaded, begin, stop)
            if new:
                named = {f.fingerprint: r[start - begin :] for f, r in zip(factors, ranks, strict=True)}
                inside = None if universe is None else universe[start - begin :]
                self._learn(new, named, y[start - begin :], inside, start, stop)
            if scored is not None:
                scored.add(begin, start, stop, ranks, y, universe)
            del ranks, y, universe

    def _learn(
        self,
        new: Sequence[str],
        ranks: dict[str, Ranks],
        labels: FloatArray,
        universe: BoolArray | None,
        start: int,
        stop: int,
    ) -> None:
        """Add the products of the new ones over the mining dates within [start, stop)."""
        target = centred_ranks(labels, universe).astype(np.float32)
        known, threads = np.isfinite(target), self.market.config.run.threads
        for rows in (self.market.rows.train, self.market.rows.valid):
            first, last = max(start, rows.start), min(stop, rows.stop)
            if first < last:
                part = slice(first - start, last - start)
                whole = {name: whole_ranks(r[part], known[part], threads) for name, r in ranks.items()}
                self._moments.add(first, new, whole, whole_ranks(target[part]), threads)


def pool_of(market: Market, settings: PoolSettings) -> FactorPool:
    """An empty pool over a market."""
    in_memory = isinstance(market.whole, Panel)
    return FactorPool(market, settings) if in_memory else FactorPoolInParts(market, settings)
