"""Measures one formula for a session, and asks every gate what it would say if the formula were proposed.

Nothing is admitted and no gate remembers what it saw: a formula that is scored can still be proposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.agents.trial import Nearest
from fama_fast.errors import FamaError
from fama_fast.mining.library.gates import GateContext, GateCost, run_gates
from fama_fast.mining.measure.levels import unit_vector
from fama_fast.mining.run.steps import measure_candidates
from fama_fast.mining.run.wide_filling import take_in

if TYPE_CHECKING:
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState

_OF_THE_LIBRARY = "overlap"  # the one gate of texts that says nothing against measuring a formula


class Refused(FamaError):  # noqa: N818  (what it says of a request)
    """Something that a session does not do; the message says why, and what to do."""


def refusal(candidate: Candidate, context: GateContext) -> str | None:
    """The reason why a compiled formula is not measured: a gate that needs no data stops it. None where none does."""
    run_gates(candidate, GateCost.TEXT, context)
    if candidate.gate in (None, _OF_THE_LIBRARY):
        return None
    return f"{candidate.gate}: {candidate.reason}"


def gate_context(state: LoopState, config: MiningConfig, market: Market) -> GateContext:
    """What gates ask for, with no memory of what was proposed before."""
    return GateContext(
        settings=config.gates,
        vocabulary=market.vocabulary,
        library=state.library,
        tried={},
        measures=market,
        objective=market.yardstick.objective.label,
        wanted=None if config.lists else config.run.wanted,
        ranking_hashes=set(),
    )


def measure(candidate: Candidate, state: LoopState, market: Market, context: GateContext) -> Nearest | None:
    """Measure a candidate that `refusal` lets pass, and take it into the wide pool. Its gate is then the first that
    would stop it, or None.

    Returns:
        The formula most like it, of those that were measured before it and of the library; None where there is none.
    """
    first = candidate.gate, candidate.reason
    measure_candidates([candidate], market, state)
    nearest = _nearest(candidate, state)
    assert state.wide is not None
    take_in(state.wide, [candidate])
    candidate.gate, candidate.reason = first
    run_gates(candidate, GateCost.SAMPLE, context)
    if run_gates(candidate, GateCost.TRAINING, context):
        assert candidate.vector_levels is not None
        candidate.vector = unit_vector(candidate.vector_levels)
        known = candidate.fingerprint in state.library.vectors
        run_gates(candidate, GateCost.ADMISSION, context)
        if not known:
            state.library.vectors.forget({candidate.fingerprint})
    candidate.replaces = ()
    candidate.series = candidate.vector = candidate.wide_series = None
    candidate.levels = candidate.vector_levels = None
    return nearest


def _nearest(candidate: Candidate, state: LoopState) -> Nearest | None:
    """The member of the wide pool most like a measured candidate; None without a pool, or where the candidate ranks
    nothing."""
    wide, levels = state.wide, candidate.levels
    if wide is None or not wide.size or levels is None or not levels.any():
        return None
    correlations = wide.correlations_with(levels[None])[0]
    at = int(np.argmax(np.abs(correlations)))
    member = wide.members[at]
    library = member.begun_with or state.library.get(member.fingerprint) is not None
    return Nearest(member.canonical, float(correlations[at]), library)
