"""The steps of one round, each a function from the loop's state: select, ask, pass the gates, grow the
chains.

`loop` puts them in order and commits; nothing here reads the clock or writes anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.candidate import Candidate, Member
from fama_fast.mining.coe import ChainBook, Failure, Outcome
from fama_fast.mining.css import CorrelationTable, cluster, select_exemplars
from fama_fast.mining.gates import GateContext, Stage, run_gates
from fama_fast.mining.protocol import ProposalRequest
from fama_fast.mining.records import ChainStep
from fama_fast.mining.state import IN_LIBRARY, factor_of, known_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fama_fast.library.factor import Factor
    from fama_fast.mining.coe import Chain
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.market import Market
    from fama_fast.mining.state import LoopState

# Gates whose verdict says something about the formula itself; other failures must not blame its parts.
_WEAK = frozenset({"coverage", "screening", "training", "admission"})


@dataclass(frozen=True)
class Context:
    """What a round shows to the proposer: exemplars, and the chain with what is shown of it."""

    exemplars: tuple[Factor, ...] = ()
    chain: Chain | None = None
    shown: tuple[Factor, ...] = ()


def oriented_vectors(state: LoopState, factors: Iterable[Factor]) -> NDArray[np.float32]:
    """(n, d) unit rank vectors turned by each factor's sign."""
    rows = [state.vectors[f.fingerprint] * np.float32(f.sign) for f in factors]
    return np.stack(rows) if rows else np.empty((0, 0), dtype=np.float32)


def build_chains(state: LoopState, config: MiningConfig) -> None:
    """One chain a cluster of the starting library, when Chain-of-Experience is on."""
    if not config.run.use_coe:
        return
    factors = [m.factor for m in state.library.members]
    labels = cluster(oriented_vectors(state, factors), config.k, config.run.seed)
    state.book = ChainBook.build(factors, labels, visit_penalty=config.coe.visit_penalty)


def choose_context(state: LoopState, config: MiningConfig, number: int) -> Context:
    """Cross-Sample Selection, then the chain that matches; counts the visit of the chain."""
    factors = [m.factor for m in state.library.members]
    exemplars: tuple[Factor, ...] = ()
    if config.run.use_css and factors:
        exemplars = select_exemplars(
            oriented_vectors(state, factors),
            factors,
            k=config.k,
            l=config.l,
            draw=config.css.draw,
            rng=np.random.default_rng([config.run.seed, number]),
        ).exemplars
    book = state.book
    if book is None or not len(book):
        return Context(exemplars)
    match = book.choose(*_tied(state, book, exemplars, config.coe.min_edge_score)) if exemplars else None
    chain = match.chain if match is not None else book.pick()
    if chain is None:
        return Context(exemplars)
    state.book = book.visit(chain)
    return Context(exemplars, chain, chain.members[-config.coe.max_length :])


def _tied(
    state: LoopState, book: ChainBook, exemplars: Sequence[Factor], least: float
) -> tuple[list[Factor], CorrelationTable]:
    """Exemplars that are in a chain, or close enough to one; and the correlations that matching needs."""
    members = book.members()
    everyone = list({f.fingerprint: f for f in (*members, *exemplars)}.values())
    table = CorrelationTable.of(everyone, oriented_vectors(state, everyone))
    kept = [e for e in exemplars if book.holding(e) or max((abs(table(e, m)) for m in members), default=0.0) >= least]
    return kept, table


def make_request(
    state: LoopState, config: MiningConfig, market: Market, context: Context, number: int, count: int
) -> ProposalRequest:
    """What the proposer is asked."""
    return ProposalRequest(
        count=count,
        exemplars=context.exemplars,
        chain=context.shown,
        avoid=state.failures.avoid(),
        known=frozenset(state.known),
        vocabulary=market.vocabulary,
        round=number,
        seed=config.run.seed,
    )


def pass_gates(
    candidates: Sequence[Candidate],
    state: LoopState,
    config: MiningConfig,
    market: Market,
    number: int,
    proposer: str,
) -> list[Factor]:
    """All gates over a batch; the library takes in what passes. Returns the new factors as admitted."""
    context = GateContext(
        settings=config.gates,
        vocabulary=market.vocabulary,
        library=state.library,
        tried=state.tried,
        measures=market,
        wanted=config.u,
    )
    readable = [c for c in candidates if run_gates(c, Stage.TEXT, context)]
    state.known.update(c.alpha.canonical for c in candidates if c.alpha is not None)
    passed = []
    for candidate, values in zip(readable, market.evaluate([c.compiled for c in readable]), strict=True):
        candidate.values = values
        if run_gates(candidate, Stage.VALUES, context):
            passed.append(candidate)
        if candidate.daily is not None:
            candidate.scores["valid"] = market.valid_scores(candidate)
        candidate.values = candidate.daily = None  # a batch's values would not fit memory for long
    admitted = []
    for candidate in sorted(passed, key=lambda c: (-c.score, c.position)):
        if not run_gates(candidate, Stage.ADMISSION, context):
            continue
        factor = factor_of(
            candidate,
            proposer=proposer,
            number=number,
            seed=config.run.seed,
            data_hash=market.whole.data_hash,
        )
        assert candidate.vector is not None
        state.library.admit(Member(factor, candidate.compiled.node, candidate.vector, mined=True), candidate.replaces)
        state.vectors[factor.fingerprint] = candidate.vector
        state.tried[factor.fingerprint] = IN_LIBRARY
        candidate.admitted = True
        admitted.append(factor)
    return admitted


def grow_chains(
    state: LoopState, config: MiningConfig, chain: Chain | None, admitted: Sequence[Factor]
) -> list[ChainStep]:
    """Extend or split the shown chain with each new factor; what happened, for the ledger."""
    steps = []
    for factor in admitted:
        book = state.book
        if book is None:
            break
        current = None if chain is None else book.get(chain.id)
        near = {} if current is None else _likeness(state, factor, current, config.coe.split_threshold)
        event = book.update(factor, current, near)
        state.book = event.book
        if event.outcome is not Outcome.UNCHANGED:
            pivot = event.pivot.fingerprint if event.pivot is not None else None
            steps.append(ChainStep(factor.fingerprint, event.outcome.value, pivot))
    return steps


def _likeness(state: LoopState, factor: Factor, chain: Chain, threshold: float) -> dict[str, float]:
    """Correlation of a factor with each chain member.

    Where the closest member leads the last one by no more than `threshold` the last one draws level, so that
    the chain is extended rather than split.
    """
    own = oriented_vectors(state, [factor])[0].astype(np.float64)
    found = {
        m.fingerprint: round(float(np.sum(own * v)), 12)
        for m, v in zip(chain.members, oriented_vectors(state, chain.members), strict=True)
    }
    closest = max(abs(v) for v in found.values())
    last = chain.best.fingerprint
    if closest - abs(found[last]) <= threshold:
        found[last] = closest
    return found


def remember_failures(state: LoopState, candidates: Sequence[Candidate]) -> None:
    """Failures are kept, as patterns to avoid."""
    failed = [
        Failure(
            c.proposal.expression,
            f"{c.gate}: {c.reason}",
            c.alpha.node if c.alpha is not None and c.gate in _WEAK else None,
        )
        for c in candidates
        if c.stopped and c.gate not in {"quota", "answer"}
    ]
    state.failures = state.failures.record(failed, [c.compiled.node for c in candidates if c.admitted])


def update_pool(state: LoopState, market: Market, ranks: dict[str, NDArray[np.float64]], min_gain: float) -> None:
    """Validation score of the equal-weight pool of new factors; counts rounds without gain.

    `ranks` keeps each factor's share between rounds.
    """
    new = state.new_factors
    for fingerprint in [f for f in ranks if all(n.fingerprint != f for n in new)]:
        del ranks[fingerprint]
    for factor in new:
        if factor.fingerprint not in ranks:
            ranks[factor.fingerprint] = market.pool_ranks(factor, market.panel, market.rows.valid)
    state.pool = known_figures(market.pool_valid([ranks[f.fingerprint] for f in new])) if new else {}
    level = state.pool.get("rank_ic", math.nan)
    if not math.isnan(level) and (state.best_pool is None or level > state.best_pool + min_gain):
        state.best_pool, state.stale = level, 0
    else:
        state.stale += 1
