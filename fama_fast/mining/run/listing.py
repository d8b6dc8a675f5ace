"""Chooses the factors that a run ends with: its short list, of everything that it measured.

The list follows from what was measured, so a run that was stopped, or killed, has the list that it would have had. What
may be in it: every candidate that passed the gates on its own figures (`gates.may_be_listed`) and is in the wide pool,
but nothing that is close to what the run began with and no better. Training rows decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.library.factor import Factor
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.pools.short_list import choose
from fama_fast.mining.run.experience import with_own_hypothesis
from fama_fast.mining.run.state import factor_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.pools.wide import PoolMember, WidePool
    from fama_fast.mining.run.state import LoopState
    from fama_fast.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Listing:
    """What a short list is chosen from.

    Attributes:
        members: of the wide pool that may be in it, in order of arrival. correlations: (n, n) of their ranks, and
            means: (n,) of their daily figures in training.
    """

    members: tuple[PoolMember, ...]
    correlations: FloatArray
    means: FloatArray

    def chosen(self, config: MiningConfig, allowed: BoolArray | None = None) -> list[int]:
        """Places of the short list, in the order chosen; of those that are `allowed` (n,), or of all."""
        every = np.ones(len(self.members), dtype=np.bool_) if allowed is None else allowed
        bound = config.gates.max_correlation
        return choose(self.correlations, self.means, every, wanted=config.run.wanted, bound=bound)

    def unscored(self, places: Iterable[int]) -> list[Factor]:
        """The factors at some places, without figures and origins."""
        some = (self.members[i] for i in places)
        return [
            Factor(m.canonical, m.canonical, m.fingerprint, proposed=m.proposed if m.sign < 0 else "") for m in some
        ]


def listing_of(pool: WidePool, listable: Collection[str], config: MiningConfig) -> Listing:
    """What a short list is chosen from, of the members of the pool that are `listable` by fingerprint."""
    begun = [i for i, m in enumerate(pool.members) if m.begun_with]
    able = [i for i, m in enumerate(pool.members) if not m.begun_with and m.fingerprint in listable]
    places = sorted((*begun, *able))
    correlations, means = pool.correlations_among(places), pool.means()[places]
    known = np.isin(places, begun)
    # Like a factor that the run began with, and no better: it is not new.
    close = np.abs(correlations[:, known]) > config.gates.max_correlation
    free = ~known & ~(close & (means[known] >= means[:, None])).any(axis=1)
    members = tuple(pool.members[places[i]] for i in np.flatnonzero(free))
    return Listing(members, correlations[np.ix_(free, free)], means[free])


def short_list(state: LoopState, market: Market, config: MiningConfig, proposer: str) -> tuple[Factor, ...]:
    """The factors that a run, or a selection, ends with so far, in the order chosen; those that it admitted, in theirs,
    where the settings want no short list.

    Args:
        proposer: the name for the factors' provenance.
    """
    if not config.lists:
        return tuple(state.new_factors)
    assert state.wide is not None
    listing = listing_of(state.wide, state.listable, config)
    chosen = [listing.members[i] for i in listing.chosen(config)]
    alphas = market.compiled(m.proposed for m in chosen)
    market.share_pass(alphas)
    found = []
    for member, alpha in zip(chosen, alphas, strict=True):
        number, proposal = state.listable[member.fingerprint]
        candidate = Candidate(0, proposal, alpha=alpha, sign=member.sign)
        candidate.scores = market.full_scores(alpha, member.sign)
        factor = factor_of(
            candidate, proposer=proposer, number=number, seed=config.run.seed, data_hash=market.whole.data_hash
        )
        found.append(with_own_hypothesis(state, factor))
    return tuple(found)
