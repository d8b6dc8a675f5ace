"""What a round asks of its proposer: how much, what each prompt shows, and what holds for the whole run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fama_fast.mining.run import contexts
from fama_fast.mining.run.brief import brief_of

if TYPE_CHECKING:
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.contexts import Context
    from fama_fast.mining.run.state import LoopState
    from fama_fast.proposals.memory import Memory
    from fama_fast.proposals.protocol import ProposalRequest


def count_of(state: LoopState, config: MiningConfig) -> int:
    """How many candidates the next round takes."""
    most = config.run.max_candidates
    return config.batch_size if most is None else min(config.batch_size, most - state.proposed)


def ask(
    state: LoopState,
    config: MiningConfig,
    market: Market,
    number: int,
    *,
    times: int = 1,
    memory: Memory | None = None,
) -> tuple[list[Context], ProposalRequest]:
    """The contexts and the request of round `number`, for `times` as many candidates as it takes; counts the visits of
    the chains that are shown. `memory`: what earlier runs have learnt."""
    count = count_of(state, config)
    shown = contexts.choose_contexts(state, config, market, number, contexts.prompts_of(config, count, number))
    request = contexts.make_request(state, config, market, shown, number, times * count)
    return shown, replace(request, brief=brief_of(config, market), memory=memory)
