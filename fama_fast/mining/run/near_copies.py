"""Leaves near-copies out of a round's proposals, and of the random formulas that the control holds against them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.mining.pools.near_copies import NearCopies
from fama_fast.passes import ranking_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState
    from fama_fast.proposals.protocol import Capabilities, Proposal, Vocabulary

MORE = 3  # times as many proposals are asked for, as half and more are near-copies
_BATCH = 128  # formulas looked at together


def looks(config: MiningConfig, capabilities: Capabilities) -> bool:
    """Whether a run leaves near-copies out: there is a wide pool, and its proposer can say more for nothing."""
    return config.wide.enabled and config.wide.near_copy < 1.0 and capabilities.has_more


def look_again(market: Market, config: MiningConfig, texts: Sequence[str]) -> NearCopies:
    """What knows these formulas, given as canonical texts as they were proposed."""
    found = NearCopies(market, config.wide.near_copy)
    for at in range(0, len(texts), _BATCH):
        found.add(market.compiled(texts[at : at + _BATCH]))
    return found


def left_of(candidates: Sequence[Candidate], wanted: int, state: LoopState, market: Market) -> list[Candidate]:
    """The first `wanted` of a round's candidates that are near-copies of nothing; those that are will not be proposed
    again."""
    assert state.near is not None
    alphas: list[Alpha] = []
    looked: list[Candidate] = []
    for candidate in candidates:
        try:
            alphas.append(_alpha(candidate.proposal, market.vocabulary))
        except FamaError:  # for the gates to say
            continue
        looked.append(candidate)
    kept, copies = state.near.new_among(alphas, wanted)
    state.near_copies += len(copies)
    state.archive.ranking_hashes |= {ranking_hash(alphas[i].node) for i in copies}
    chosen = [looked[i] for i in kept]
    for position, candidate in enumerate(chosen):
        candidate.position = position
    return chosen


def _alpha(proposal: Proposal, vocabulary: Vocabulary) -> Alpha:
    from fama_fast.engine import Alpha
    from fama_fast.engine import compile as compile_alpha

    if proposal.node is not None:
        return Alpha(proposal.expression, "fama", proposal.node)
    return compile_alpha(proposal.expression, fields=vocabulary.fields, groups=vocabulary.groups)


def first_new(
    market: Market, config: MiningConfig, library: Sequence[Factor], parts: Iterable[Sequence[str]], wanted: int
) -> list[str]:
    """The first `wanted` of some canonical texts that are near-copies of nothing before them, nor of the library.

    Args:
        parts: the texts; no further part is asked for than what is needed.
    """
    near = look_again(market, config, [f.as_proposed[0] for f in library])
    found: list[str] = []
    for some in (texts[at : at + _BATCH] for texts in parts for at in range(0, len(texts), _BATCH)):
        kept, _ = near.new_among(market.compiled(some), wanted - len(found))
        found += [some[i] for i in kept]
        if len(found) == wanted:
            break
    return found
