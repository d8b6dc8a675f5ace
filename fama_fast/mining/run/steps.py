"""The steps of one round that judge its candidates, each a function of the state: gates, failures, pool.

What is shown to proposers is chosen in `contexts`, chains grow in `chains`. `loop` puts them in order and commits;
nothing here reads the clock or writes anywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.candidate import Candidate, Member
from fama_fast.mining.coe import Failure
from fama_fast.mining.library import pareto as objectives
from fama_fast.mining.library.archive import series_hash
from fama_fast.mining.library.gates import GATES, GateContext, GateCost, Lesson, may_be_listed, run_gates
from fama_fast.mining.measure.levels import unit_vector
from fama_fast.mining.measure.race import controls_of
from fama_fast.mining.run.state import IN_LIBRARY, factor_of
from fama_fast.mining.run.wide_filling import as_kept, daily_figures, measured, take_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import FactorPool
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState

BY_NAME = {gate.name: gate for gate in GATES}


def pass_gates(
    candidates: Sequence[Candidate],
    state: LoopState,
    config: MiningConfig,
    market: Market,
    number: int,
    proposer: str,
    *,
    admits: bool = True,
) -> list[Factor]:
    """Run all gates over a batch, admitting to the library what passes, if it `admits`. Returns what was admitted."""
    context = GateContext(
        settings=config.gates,
        vocabulary=market.vocabulary,
        library=state.library,
        tried=state.tried,
        measures=market,
        objective=market.yardstick.objective.label,
        wanted=None if config.lists else config.run.wanted,
        ranking_hashes=state.archive.ranking_hashes,
    )
    readable = [c for c in candidates if run_gates(c, GateCost.TEXT, context)]
    state.known.update(c.alpha.canonical for c in candidates if c.alpha is not None)
    _race(readable, state, config, market, number)
    running = [c for c in readable if run_gates(c, GateCost.SAMPLE, context)]
    measure_candidates(running, market, state)
    state.figures.take(running, market.rows.valid)
    passed = [c for c in running if run_gates(c, GateCost.SAMPLE, context) and run_gates(c, GateCost.TRAINING, context)]
    if config.lists:
        for candidate in running:
            candidate.listable = may_be_listed(candidate, context, config.pool.min_t)
            if candidate.listable:
                state.listable.setdefault(candidate.fingerprint, (number, as_kept(candidate.proposal)))
    assert state.wide is not None
    if not admits:
        state.best_passed = max([state.best_passed, *(c.score for c in passed)])
        take_in(state.wide, candidates)
        _let_go(candidates)
        return []
    for candidate in passed:
        assert candidate.vector_levels is not None
        candidate.vector = unit_vector(candidate.vector_levels)
    if not config.lists:
        market.share_pass([c.compiled for c in passed])  # whose figures in full may be asked for
    vectors = state.library.vectors
    vectors.add({c.fingerprint: c.vector for c in passed if c.vector is not None}, config.run.threads)
    admitted = []
    for candidate in sorted(passed, key=lambda c: (-c.adjusted_score, c.position)):
        figures: objectives.Figures | None = None
        if config.objectives:
            figures = _place_on_front(candidate, state, config, market, context)
            if figures is None:
                continue
        elif not run_gates(candidate, GateCost.ADMISSION, context):
            continue
        if not config.lists:  # those of a short list are measured in full when it is chosen
            candidate.scores |= market.full_scores(candidate.compiled, candidate.sign)
        factor = factor_of(
            candidate,
            proposer=proposer,
            number=number,
            seed=config.run.seed,
            data_hash=market.whole.data_hash,
        )
        if figures is not None:
            factor = objectives.with_figures(factor, figures)
        assert candidate.vector is not None
        member = Member(
            factor, candidate.compiled.node, candidate.vector, True, candidate.series, candidate.scored_coverage
        )
        state.library.admit(member, candidate.replaces)
        state.tried[candidate.compiled.fingerprint] = state.tried[factor.fingerprint] = IN_LIBRARY
        candidate.admitted = True
        admitted.append(factor)
    take_in(state.wide, candidates)
    earnings: dict[str, float] | None = None
    several = bool(config.llm.models) and config.proposer in ("llm", "mixed")
    if (config.run.reward == "pool" or several) and state.wide.size:
        earnings = dict(zip((m.fingerprint for m in state.wide.members), state.wide.earnings().tolist(), strict=True))
    state.archive.learn(
        candidates,
        market.rows.train,
        config.gates.complexity_penalty,
        earnings,
        models_only=config.run.reward != "pool",
    )
    before = set(state.residuals.kept)
    state.residuals.update(candidates, state.library, market.rows.train, config)
    refused = {c.fingerprint for c in passed if not c.admitted}
    vectors.forget((before | refused) - set(state.residuals.kept))
    _let_go(candidates)
    return admitted


def _let_go(candidates: Sequence[Candidate]) -> None:
    """Drop the arrays of a round that is over."""
    for candidate in candidates:
        candidate.series = candidate.vector = candidate.wide_series = candidate.levels = candidate.vector_levels = None


def _race(candidates: Sequence[Candidate], state: LoopState, config: MiningConfig, market: Market, number: int) -> None:
    """Race results of the candidates that a race pays for. The bar of each is what admission takes, or a share of the
    best."""
    race = market.race
    if race is None or not candidates or not state.races.wants(number):
        for candidate in candidates:
            candidate.coverage = 1.0  # not measured yet: the gate looks again when it is
        return
    limits, best = config.gates, max((f.score for f in state.new_factors), default=state.best_passed)
    floor = max(limits.min_rank_ic, config.racing.share_of_best * best)
    bars = [floor + limits.complexity_penalty * c.nodes for c in candidates]
    known = [m.series for m in state.library.members if m.series is not None]
    controls = controls_of(np.stack(known) if known else np.empty((0, market.panel.shape[0])))
    alphas = [c.compiled for c in candidates]
    race_results = race.run(alphas, bars, controls)
    state.races = race.entered(state.races, alphas, race_results)
    for candidate, race_result in zip(candidates, race_results, strict=True):
        candidate.race_result = race_result
        candidate.coverage = 1.0 if race_result is None else race_result.coverage


def measure_candidates(candidates: Sequence[Candidate], market: Market, state: LoopState) -> None:
    """Compute exact daily series, of which the objective's decides the direction, with their summaries over training
    and validation in it."""
    if not candidates:
        return
    train, yardstick = market.rows.train, market.yardstick
    assert state.wide is not None
    figures = measured(market, [c.compiled for c in candidates])
    for candidate, (found, levels, of_vector) in zip(candidates, figures, strict=True):
        candidate.sign = sign = yardstick.direction(found, train)
        if candidate.sign < 0:
            state.turned[candidate.compiled.fingerprint] = candidate.fingerprint, candidate.oriented.canonical
        candidate.series = series = yardstick.series(found, sign)
        candidate.vector_levels = of_vector * np.int8(sign)
        if state.wide.settings.enabled:
            candidate.wide_series = daily_figures(market, found, sign)
            candidate.levels = levels * np.int8(sign)
        candidate.ranking = series_hash(found.rank_ic)
        candidate.coverage = float(found.covered[train].mean())
        candidate.scored_coverage = market.scored_coverage(series, found.covered)
        candidate.scores |= {split: market.scores(found, sign, split) for split in ("train", "valid")}


def _place_on_front(
    candidate: Candidate, state: LoopState, config: MiningConfig, market: Market, context: GateContext
) -> objectives.Figures | None:
    """Admission by objectives: the candidate is stopped, or its figures are returned and the members it displaces have
    left.

    One too like a member that the run did not find, which has no objectives, must also pass the ordinary gate.
    """
    for gate in ("correlation", "admission"):
        rivals = [m for m in map(state.library.get, candidate.replaces) if m is not None]
        if gate == "correlation" or any(not m.mined for m in rivals):
            reason = BY_NAME[gate].check(candidate, context)
            if reason is not None:
                candidate.gate, candidate.reason = gate, reason
                return None
    names = config.objectives
    figures = objectives.measure(market, candidate, state.library, names, without=candidate.replaces)
    refusal, leaving = objectives.place(state.new_factors, figures, names, config.run.wanted, rivals=candidate.replaces)
    if refusal is not None:
        candidate.gate, candidate.reason = "admission", refusal
        return None
    state.library.members = [m for m in state.library.members if m.factor.fingerprint not in leaving]
    return figures


def remember_failures(state: LoopState, candidates: Sequence[Candidate]) -> None:
    """Add the failures of a batch to the log of patterns to avoid."""
    failed = [
        Failure(
            c.proposal.expression,
            f"{c.gate}: {c.reason}",
            c.alpha.node if c.alpha is not None and lesson is Lesson.PARTS else None,
        )
        for c in candidates
        if c.gate is not None and (lesson := BY_NAME[c.gate].lesson) is not Lesson.NOTHING
    ]
    state.failures = state.failures.record(failed, [c.compiled.node for c in candidates if c.admitted])


def update_pool(state: LoopState, pool: FactorPool, config: MiningConfig) -> None:
    """Score the pool on validation, and count rounds without gain.

    It is the wide pool by what is known of its formulas, where a run chooses its factors from that at its end;
    otherwise the pool of new factors, by the model that decides.
    """
    new = state.new_factors
    if config.lists:
        assert state.wide is not None
        level = state.wide.outlook() if state.wide.size > state.wide.seeds else math.nan
        state.pool = {} if math.isnan(level) else {"rank_ic": level}
    else:
        state.pool = pool.valid(new).scores[pool.settings.model] if new else {}
        level = state.pool.get("score", state.pool.get("rank_ic", math.nan))
    if not math.isnan(level) and (state.best_pool is None or level > state.best_pool + config.run.min_gain):
        state.best_pool, state.stale = level, 0
    else:
        state.stale += 1
