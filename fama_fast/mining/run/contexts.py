"""What the prompts of a round show: for each its own exemplars, its own path of a chain, its own direction.

A proposer that reads no prompts has one context, whose exemplars and chain it breeds from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fama_fast.mining.css import CorrelationTable, CrossSampleSelection, direction
from fama_fast.mining.proposers.kinds.mixed import shares
from fama_fast.mining.run.chains import clusters_of, path_of
from fama_fast.mining.run.experience import contradicted_for, experience_of, parents_for, threads_for
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.protocol import Earner, Experience, PromptContext, ProposalRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.coe import Chain, ChainBook
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.css import Selection
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState

_PARENTS_EVERY = 3  # of so many prompts one is offered parents that are not in the library


@dataclass(frozen=True)
class Context:
    """What one prompt is shown, with the chain that it is from, and how its exemplars were chosen (None without
    Cross-Sample Selection)."""

    prompt: PromptContext = field(default_factory=PromptContext)
    chain: Chain | None = None
    selection: Selection | None = None

    @property
    def exemplars(self) -> tuple[Factor, ...]:
        return self.prompt.exemplars

    @property
    def shown(self) -> tuple[Factor, ...]:
        """The members of the chain that are shown."""
        return tuple(step.factor for step in self.prompt.path)


def prompts_of(config: MiningConfig, count: int, number: int) -> int:
    """How many prompts a round of `count` candidates takes; 0 where nobody reads any."""
    if config.proposer == "mixed":
        count = shares(config.mix, count, number).get("llm", 0)
    elif config.proposer != "llm":
        return 0
    return -(-count // config.llm.per_prompt)


def choose_contexts(
    state: LoopState, config: MiningConfig, market: Market, number: int, prompts: int = 0
) -> list[Context]:
    """A context for each of the round's prompts, at least one; counts the visits of the chains that are shown."""
    out: list[Context] = []
    shown: set[int] = set()
    threads = threads_for(state, config, number, prompts)
    unfit = unfit_to_show(state, config)
    for i in range(max(1, prompts)):
        context = _choose(state, config, market, number, i, shown, unfit)
        if context.chain is not None:
            shown.add(context.chain.id)
        if prompts:
            at = state.prompts
            parents, pairs = parents_for(state, at) if at % _PARENTS_EVERY == _PARENTS_EVERY - 1 else ((), ())
            thread = threads.get(i)
            own = replace(
                context.prompt,
                number=at,
                direction=direction(at, market.vocabulary, config.llm.directions),
                thread=() if thread is None else thread.attempts,
                thread_id=-1 if thread is None else thread.id,
                parents=parents,
                pairs=pairs,
                contradicted=contradicted_for(state, unfit),
            )
            context = replace(context, prompt=own)
            state.prompts += 1
        out.append(context)
    return out


def _choose(
    state: LoopState,
    config: MiningConfig,
    market: Market,
    number: int,
    prompt: int,
    shown: Collection[int],
    unfit: Collection[str],
) -> Context:
    """Cross-Sample Selection, then a chain that matches and that no other prompt of the round shows."""
    factors = [m.factor for m in state.library.members]
    exemplars: tuple[Factor, ...] = ()
    selection: Selection | None = None
    css = CrossSampleSelection(config.l, config.css.draw, config.css.min_t, config.run.seed)
    fit = css.eligible(factors, unfit) if config.run.use_css else []
    if fit:
        chosen = [factors[i] for i in fit]
        selection = css.select(
            state.library.vectors.among(chosen), clusters_of(state, config)[fit], chosen, number=number, prompt=prompt
        )
        exemplars = selection.exemplars
    book = state.book
    if book is None or not len(book):
        return Context(PromptContext(exemplars=exemplars), selection=selection)
    leave_out = shown if len(shown) < len(book) else ()
    match = None
    if exemplars:
        tied, table = _tied(state, book, exemplars, config.coe.min_edge_score)
        match = book.choose(tied, table, leave_out=leave_out)
    chain = match.chain if match is not None else book.pick(leave_out=leave_out)
    if chain is None:
        return Context(PromptContext(exemplars=exemplars), selection=selection)
    path = path_of(state, config, market, chain, unfit)
    state.book = book.visit(chain)
    return Context(PromptContext(exemplars=exemplars, path=path), chain, selection)


def unfit_to_show(state: LoopState, config: MiningConfig) -> frozenset[str]:
    """Fingerprints of members that are no formula which could be proposed: too large, a condition, too far back.

    A starting library may have such; new factors must differ from them, but none can be like them.
    """
    limits = config.gates.limits
    return frozenset(
        m.factor.fingerprint for m in state.library.members if not m.mined and admissible(m.node, limits) is not None
    )


def _tied(
    state: LoopState, book: ChainBook, exemplars: Sequence[Factor], least: float
) -> tuple[list[Factor], CorrelationTable]:
    """Exemplars that are in a chain, or close enough to one; and the correlations that matching needs."""
    members = book.members()
    everyone = list({f.fingerprint: f for f in (*members, *exemplars)}.values())
    table = CorrelationTable(tuple(f.fingerprint for f in everyone), state.library.vectors.among(everyone))
    tied = [e for e in exemplars if book.holding(e) or max((abs(table(e, m)) for m in members), default=0.0) >= least]
    return tied, table


def make_request(
    state: LoopState, config: MiningConfig, market: Market, contexts: Sequence[Context], number: int, count: int
) -> ProposalRequest:
    """The request to the proposer for this round."""
    prompts = tuple(c.prompt for c in contexts) if state.prompts else ()
    first = contexts[0]
    return ProposalRequest(
        count=count,
        exemplars=first.exemplars,
        chain=first.shown,
        avoid=state.failures.avoid(recent=0) if state.model.results else state.failures.avoid(),
        known=frozenset(state.known),
        vocabulary=market.vocabulary,
        limits=config.gates.limits,
        contexts=prompts,
        experience=experience_of(state) if prompts else Experience(),
        round=number,
        seed=config.run.seed,
        search=replace(
            state.archive.view(),
            residuals=state.residuals.shown,
            earners=_earners(state, config),
            fresh=config.wide.fresh if state.wide is not None else None,
        ),
    )


def _earners(state: LoopState, config: MiningConfig) -> tuple[Earner, ...]:
    """The formulas of the wide pool that earn, for a search that is paid for that."""
    wide = state.wide
    if wide is None or config.run.reward != "pool":
        return ()
    earned = zip(wide.members, wide.earnings().tolist(), strict=True)
    return tuple(Earner(m.fingerprint, m.proposed, earning) for m, earning in earned if earning > 0.0)
