"""Chain-of-Experience in a run: chains are built from clusters, followed by every admitted factor, and built anew when
the library has grown.

Correlations are those of the library's rank vectors, improvements those of the daily series of the objective over the
training rows (`Market.lead`). Members of chains that have left the library keep their series in `LoopState.relatives`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from fama_fast.ledger.records import ChainStep
from fama_fast.mining.coe import ChainBook, Outcome, improvement_path, parents_of
from fama_fast.mining.css import cluster_correlations
from fama_fast.proposals.protocol import PathStep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.coe import Chain
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState
    from fama_fast.types import IntArray

GROWN = 1.5  # times the members that the library had when its chains were built: they are built anew


def clusters_of(state: LoopState, config: MiningConfig) -> IntArray:
    """(n,) cluster of each member of the library, computed again when the library has changed."""
    factors = [m.factor for m in state.library.members]
    made_of = tuple(f.fingerprint for f in factors)
    if state.clusters is None or state.clusters[0] != made_of:
        state.clusters = made_of, _clusters(state, config, factors)
    return state.clusters[1]


def _clusters(state: LoopState, config: MiningConfig, factors: Sequence[Factor]) -> IntArray:
    vectors = state.library.vectors
    return cluster_correlations(vectors.among(factors), vectors.distinct(factors), config.k, config.run.seed)


def build_chains(state: LoopState, config: MiningConfig, market: Market) -> list[ChainStep]:
    """One chain a cluster of the starting library, when Chain-of-Experience is on; its members, for the ledger."""
    if not config.run.use_coe:
        return []
    factors = [m.factor for m in state.library.members]
    state.book = ChainBook.build(factors, clusters_of(state, config), visit_penalty=config.coe.visit_penalty)
    state.built_of = len(factors)
    _know(state)
    return _steps_of(state, config, market, "build")


def grow_chains(
    state: LoopState,
    config: MiningConfig,
    market: Market,
    admitted: Sequence[Factor],
    built_on: Mapping[str, str] | None = None,
) -> list[ChainStep]:
    """Put each new factor into the chain of its nearest relative, or begin one; returns the changes for the ledger.

    By ascending score, so that a batch that improves twice leaves both steps on the path. A library that has grown by
    half since its chains were built has them built anew.

    Args:
        built_on: fingerprint of the member that a factor's author named, by the factor's.
    """
    if state.book is None:
        return []
    steps: list[ChainStep] = []
    _know(state)
    for factor in sorted(admitted, key=lambda f: (f.score, f.fingerprint)):
        if factor.fingerprint not in state.relatives:
            continue  # it has left the library in the same round
        members = state.book.members()
        alike = state.library.vectors.correlations(factor.fingerprint, [m.fingerprint for m in members])
        event = state.book.admit(
            factor,
            {m.fingerprint: float(r) for m, r in zip(members, alike, strict=True)},
            lambda member, new=factor: lead(state, market, new, member) >= config.coe.min_t,  # type: ignore[misc]
            floor=config.coe.min_edge_score,
            named=(built_on or {}).get(factor.fingerprint),
            split_threshold=config.coe.split_threshold,
            may_grow=len(state.library) >= config.u,
        )
        state.book = event.book
        if event.outcome is not Outcome.UNCHANGED:
            pivot = None if event.pivot is None else event.pivot.fingerprint
            steps.append(_step(factor, event.outcome.value, pivot, event.chain))
    if admitted and len(state.library) >= GROWN * max(1, state.built_of):
        steps += _build_anew(state, config, market)
    return steps


def _build_anew(state: LoopState, config: MiningConfig, market: Market) -> list[ChainStep]:
    """One chain a cluster of the library and of what was in a chain before; ids go on counting."""
    assert state.book is not None
    everyone = list({f.fingerprint: f for f in (*state.book.members(), *_library(state))}.values())
    state.book = ChainBook.build(
        everyone,
        _clusters(state, config, everyone),
        visit_penalty=state.book.visit_penalty,
        first_id=state.book.next_id,
    )
    state.built_of = len(state.library)
    return _steps_of(state, config, market, "rebuild")


def _library(state: LoopState) -> list[Factor]:
    return [m.factor for m in state.library.members]


def _know(state: LoopState) -> None:
    """Keep the series of every member of the library, for those that leave it stay in chains."""
    for member in state.library.members:
        state.relatives.setdefault(member.factor.fingerprint, member)


def _steps_of(state: LoopState, config: MiningConfig, market: Market, action: str) -> list[ChainStep]:
    """The members of all chains, each with the one that it improves on, for the ledger."""
    assert state.book is not None
    steps = []
    correlation, leads = relations(state, market)
    for chain in state.book:
        parents = parents_of(
            chain.members, correlation, leads, floor=config.coe.min_edge_score, least_t=config.coe.min_t
        )
        for factor, parent in zip(chain.members, parents, strict=True):
            before = None if parent is None else chain.members[parent].fingerprint
            steps.append(_step(factor, action, before, chain))
    return steps


def _step(factor: Factor, action: str, parent: str | None, chain: Chain) -> ChainStep:
    return ChainStep(
        factor.fingerprint, action, parent, chain.id, factor.score if math.isfinite(factor.score) else None
    )


def relations(
    state: LoopState, market: Market
) -> tuple[Callable[[Factor, Factor], float], Callable[[Factor, Factor], float]]:
    """The correlation of two members of chains, and the t of how far the first is above the second."""
    _know(state)

    def correlation(a: Factor, b: Factor) -> float:
        return float(state.library.vectors.correlations(a.fingerprint, [b.fingerprint])[0])

    return correlation, lambda a, b: lead(state, market, a, b)


def lead(state: LoopState, market: Market, factor: Factor, member: Factor) -> float:
    """t of how far a factor's daily objective is above a member's in training; -inf where that is not defined."""
    key = factor.fingerprint, member.fingerprint
    if key not in state.leads:
        found = market.lead(state.relatives[key[0]], state.relatives[key[1]])
        state.leads[key] = -math.inf if math.isnan(found) else found
    return state.leads[key]


def path_of(
    state: LoopState, config: MiningConfig, market: Market, chain: Chain, unfit: Collection[str] = ()
) -> tuple[PathStep, ...]:
    """The path of a chain that is shown at this visit: its last steps. Members that may not be shown are no steps."""
    members = tuple(f for f in chain.members if f.fingerprint not in unfit)
    if not members:
        return ()
    correlation, leads = relations(state, market)
    path = improvement_path(
        replace(chain, members=members),
        correlation,
        leads,
        floor=config.coe.min_edge_score,
        least_t=config.coe.min_t,
        turn=chain.visits,
    )[-config.coe.max_length :]
    return (PathStep(path[0].factor), *path[1:])  # what came before the first is not shown, so it is a step on nothing
