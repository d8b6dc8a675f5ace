"""The null controls of a run: random formulas and shuffled labels passed through the same gates as its candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation.inference import stationary_bootstrap_interval
from fama_fast.ledger.records import as_proposed
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.verdict.control import Control, random_formulas, sizes_of
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.combination import PoolScores
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.stopping import StopRequest


@dataclass(frozen=True)
class Selected:
    """The outcome of a selection: its factors in order of admission, their pool on validation, its candidates."""

    factors: tuple[Factor, ...]
    pool: PoolScores | None
    candidates: int
    funnel: dict[str, int]


def select(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    rounds: Iterable[Sequence[str]],
    stop: StopRequest | None = None,
) -> Selected:
    """Pass rounds of expressions through the gates into a copy of the starting library, without search or ledger.

    Raises:
        Stopped: between two rounds, when it was asked to.
    """
    from fama_fast.mining.library.gates import funnel
    from fama_fast.mining.run.state import first_state
    from fama_fast.mining.run.steps import pass_gates

    state, _ = first_state(market, library)
    rows: list[dict[str, Any]] = []
    for number, texts in enumerate(rounds, start=1):
        if stop is not None:
            stop.check()
        candidates = [Candidate(i, Proposal(text, origin="control")) for i, text in enumerate(texts)]
        pass_gates(candidates, state, config, market, number, "control")
        rows.extend({"gate": c.gate} for c in candidates)
        if not config.objectives and len(state.new_factors) >= config.u:
            break
    new = state.new_factors
    pool = FactorPool(market, config.pool).valid(new) if new else None
    return Selected(tuple(new), pool, len(rows), funnel(rows))


def batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Texts cut into rounds of at most `size`."""
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def run_controls(
    market: Market,
    config: MiningConfig,
    library: Sequence[Factor],
    candidates: Sequence[Mapping[str, Any]],
    pool: PoolScores | None,
    *,
    stop: StopRequest | None = None,
) -> tuple[Control, tuple[Factor, ...]]:
    """Run the controls that the configuration asks for.

    Args:
        library: what the run started from. candidates: the run's, as the ledger has them.
        pool: of the run's new factors on validation; None without any. stop: whether to.

    Returns:
        The figures, and the random control's factors: their pool is measured on the test if that is opened.

    Raises:
        Stopped: it was asked to.
    """
    asked, model = config.control, config.pool.model
    figures: dict[str, Any] = {}
    factors: tuple[Factor, ...] = ()
    if asked.random and candidates:
        sizes = sizes_of((as_proposed(c)[1] for c in candidates), market.vocabulary)
        texts = random_formulas(market.vocabulary, sizes, config.run.seed, config.gates.limits.level_free)
        chosen = select(market, config, library, batches(texts, config.batch_size), stop)
        factors = chosen.factors
        figures |= {"candidates": len(texts), "admitted": len(factors)}
        if chosen.pool is not None:
            figures |= {
                "best_train": max(f.score for f in factors),
                "best_valid": max(f.scores.get("valid", {}).get("rank_ic", -1.0) for f in factors),
                "pool_valid": chosen.pool.scores[model],
            }
            if pool is not None:
                difference = pool.daily[model].rank_ic - chosen.pool.daily[model].rank_ic
                figures["gain"] = stationary_bootstrap_interval(difference, horizon=market.horizon)
    if asked.shuffle and candidates:
        rounds: dict[int, list[str]] = {}
        for c in candidates:
            rounds.setdefault(c["round"], []).append(c["text"])
        null = []
        for i in range(asked.shuffle):
            rng = np.random.default_rng([config.run.seed, i])
            again = select(market.shuffled(rng, asked.shuffle_block), config, library, rounds.values(), stop)
            null.append(0.0 if again.pool is None else again.pool.scores[model].get("rank_ic", 0.0))
        own = 0.0 if pool is None else pool.scores[model].get("rank_ic", 0.0)
        figures["null"] = tuple(null)
        figures["null_p"] = (1 + sum(1 for value in null if value >= own)) / (1 + len(null))
    return Control(**figures), factors
