"""gplearn's SymbolicTransformer under the same conditions: data, splits, label, budget, fitness, pool and test.

Its fitness is the daily RankIC itself, |mean over training dates|, computed by this project's kernel: neither its
pooled Spearman metric nor its speed is held against it. Fields are those a mining run sees, function set its default
arithmetic one with all functions switched on; it has no time-series or cross-sectional operators of its own. The
budget counts programs: generations x population. The best programs of the hall of fame that are less than .7 correlated
in training become the pool, as many as the run may want, oriented in training: `FactorPool` does the rest. It needs
gplearn: `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fama_fast.engine.chunks import Loaded
from fama_fast.evaluation import SortedRows, mean, rank_ic
from fama_fast.evaluation.ranks import centred_ranks
from fama_fast.library.factor import Factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool, RankChunk
from fama_fast.mining.measure.market import Market

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel
    from fama_fast.target.rows import LabelRows

GENERATIONS = 10
MAX_CORRELATION = 0.7
FUNCTIONS = ("add", "sub", "mul", "div", "sqrt", "log", "abs", "neg", "inv", "max", "min")


def gplearn_arm(panel: Panel, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """What mining's result file has for this arm: pool RankICs, factors, seconds."""
    config, began = config_from_dict({"run": {"seed": seed, "threads": threads}}), time.perf_counter()
    market, found, programs = evolved(panel, config, candidates)
    factors = market.admit(found, config.run.wanted)
    if not factors:
        return {"headline": "no program", "candidates": programs, "factors": [], "pool_test": {}, "admitted": 0}
    pool = _Pool(market, config.pool)
    valid, test = pool.valid(factors), pool.test(factors)
    rows = [{"expression": f.expression, "train": f.score, "test": market.test_score(f)} for f in factors]
    before, after = (float(np.mean([r[k] for r in rows])) for k in ("train", "test"))
    return {
        "headline": f"gplearn: {len(factors)} programs in the pool",
        "candidates": programs,
        "admitted": len(factors),
        "run_seconds": time.perf_counter() - began,
        "factors": rows,
        "test_over_train": after / before if before > 0.0 else None,
        "pool_valid": {m: s.get("rank_ic") for m, s in valid.scores.items()},
        "pool_test": {m: s.get("rank_ic") for m, s in test.scores.items()},
    }


def evolved(panel: Panel, config: MiningConfig, candidates: int) -> tuple[ProgramMarket, list[Any], int]:
    """The hall of fame of one evolution on the training rows; with its market, and how many programs were tried.

    Programs see the cells that have all fields and, where there is a universe, its members alone.
    """
    from gplearn.fitness import make_fitness
    from gplearn.genetic import SymbolicTransformer

    market, threads = ProgramMarket(panel, config), config.run.threads
    train, held = market.rows.train, market.held
    there = np.logical_and.reduce([np.isfinite(held[f][train]) for f in held.fields])
    if held.universe is not None:
        there &= held.universe[train]
    x = np.column_stack([held[f][train][there] for f in held.fields])
    labels = SortedRows.of(np.where(there, market.labels.values[train], np.nan), threads=threads)
    values = np.full(there.shape, np.nan)
    programs = 0

    def fitness(_y: Any, predicted: Any, _weights: Any) -> float:
        nonlocal programs
        programs += 1
        if predicted.size != len(x):  # gplearn tries its fitness on two values first
            return 0.0
        values[there] = predicted
        found = abs(mean(rank_ic(values, labels, threads=threads)))
        return found if math.isfinite(found) else 0.0

    population = max(20, candidates // GENERATIONS)
    model = SymbolicTransformer(
        population_size=population,
        generations=GENERATIONS,
        hall_of_fame=min(100, population),
        n_components=min(100, population),
        function_set=FUNCTIONS,
        metric=make_fitness(function=fitness, greater_is_better=True, wrap=False),
        parsimony_coefficient="auto",
        random_state=config.run.seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, np.zeros(len(x)))
    return market, [p for p in model if p is not None], programs


class ProgramMarket(Market):
    """A market whose factors are gplearn programs: values are theirs, everything else is mining's."""

    def __init__(self, panel: Panel, config: Any) -> None:
        super().__init__(panel, config)
        self._all = panel
        self._programs: dict[str, Any] = {}
        self._whole: dict[str, Any] = {}

    def values(self, name: str) -> Any:
        if name not in self._whole:
            fields = [self._all[f] for f in self.held.fields]
            there = np.logical_and.reduce([np.isfinite(f) for f in fields])
            found = self._programs[name].execute(np.column_stack([np.nan_to_num(f).ravel() for f in fields]))
            self._whole[name] = np.where(there, found.reshape(self._all.shape), np.nan)
        return self._whole[name]

    def hold(self, programs: Sequence[Any]) -> list[str]:
        """Names under which `values` has these programs."""
        names = [str(number) for number in range(len(programs))]
        self._programs = dict(zip(names, programs, strict=True))
        return names

    def admit(self, programs: Any, wanted: int) -> list[Factor]:
        """The best programs in training, not too like one another."""
        scored = []
        for name in self.hold(programs):
            values = self.values(name)[: self.held.shape[0]]
            series = rank_ic(values, self.labels, universe=self.held.universe, threads=self.config.run.threads)
            score = mean(series[self.rows.train])
            if math.isfinite(score):
                scored.append((abs(score), name, -1 if score < 0.0 else 1))
        kept: list[Factor] = []
        vectors: list[Any] = []
        for score, name, sign in sorted(scored, reverse=True):
            ranks = centred_ranks(self.values(name)[: self.held.shape[0]][self.vector_rows], None)
            flat = np.nan_to_num(ranks).ravel()
            vector = flat / max(float(np.linalg.norm(flat)), 1e-300)
            if len(kept) < wanted and all(abs(float(vector @ v)) <= MAX_CORRELATION for v in vectors):
                vectors.append(vector)
                text = str(self._programs[name])
                whole = text if sign > 0 else f"neg({text})"
                proposed = text if sign < 0 else ""
                kept.append(Factor(whole, whole, name, {"train": {"rank_ic": score}}, proposed=proposed))
        return kept

    def test_score(self, factor: Factor) -> float:
        """RankIC on the test rows."""
        from fama_fast.data import forward_returns

        rows, cut = self.rows.test, self.config.splits
        labels = forward_returns(self._all, horizon=cut.horizon, entry_lag=cut.entry_lag)[rows]
        universe = None if self._all.universe is None else self._all.universe[rows]
        values = factor.as_proposed[1] * self.values(factor.fingerprint)[rows]
        return mean(rank_ic(values, labels, universe=universe))


class _Pool(FactorPool):
    """A pool whose factors are gplearn programs."""

    def rank_chunks(
        self, factors: Sequence[Factor], source: Any, labels: LabelRows, first: int, last: int
    ) -> Iterator[RankChunk]:
        market = cast("ProgramMarket", self.market)
        begin = max(0, first - 1)
        rows = slice(begin, last)
        universe = None if source.universe is None else source.universe[rows]
        ranks = [
            (f.as_proposed[1] * centred_ranks(market.values(f.fingerprint)[rows], universe)).astype(np.float32)
            for f in factors
        ]
        y = labels.rows(Loaded(first, last, [(0, source)], counted=False), begin, last)
        yield RankChunk(begin, first, last, ranks, y, universe)
