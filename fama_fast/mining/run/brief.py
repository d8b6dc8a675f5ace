"""What a model is told of a run: market, target, objective, gates and limits, in numbers of the training dates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.proposals.brief import Brief
from fama_fast.target.words import in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.target import Target
    from fama_fast.types import IntArray

# Days between rows at most, and what such bars are called.
_BARS = ((1.5, "daily bars"), (10.0, "weekly bars"), (45.0, "monthly bars"), (120.0, "quarterly bars"))


def brief_of(config: MiningConfig, market: Market) -> Brief:
    """The facts of a run on a market."""
    train, gates = market.rows.train, config.gates
    dates = market.panel.dates
    objective, masked = market.yardstick.objective, config.data.mask
    return Brief(
        market="" if masked else market_name(market.whole.source),
        bars=bars_text(dates, market.panel.sessions),
        symbols=market.whole.shape[1],
        members=float(np.mean(market.members[train])),
        dates=train.stop - train.start,
        first="" if masked else str(dates[train.start])[:10],
        last="" if masked else str(dates[train.stop - 1])[:10],
        target=target_text(market.target),
        objective=objective.label,
        cost_bps=config.cost_bps if objective.costed else None,
        min_score=gates.min_rank_ic,
        min_t=gates.min_t,
        periods=gates.periods,
        periods_share=gates.min_periods_share,
        max_correlation=gates.max_correlation,
        max_overlap=gates.max_overlap,
        min_coverage=gates.min_coverage,
        complexity_penalty=gates.complexity_penalty,
        max_nodes=gates.max_nodes,
        max_depth=gates.max_depth,
        max_lookback=gates.max_lookback,
    )


def market_name(source: str) -> str:
    """What the data are called to a model or an agent: without the folders that they lie in, and of a simulated market
    without the relations that it hides."""
    return "a simulated market" if source.startswith("simulator") else Path(source).name or source


def bars_text(dates: NDArray[np.generic], sessions: IntArray) -> str:
    """How far apart the rows (T,) are, in words; `sessions` (T,) are the numbers of their days."""
    count = len(np.unique(sessions))
    if count and len(sessions) >= 1.5 * count:
        return f"bars within the day, {len(sessions) / count:.3g} a day"
    days = np.asarray(dates, dtype="datetime64[s]").astype(np.int64) / 86_400.0
    gap = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
    return next((text for most, text in _BARS if gap <= most), f"a bar every {gap:.0f} days")


def target_text(target: Target) -> str:
    """What is predicted, in the words of every report, with what only a target may have explained."""
    said = in_words(target)
    return said if target.returns is None else f"{said}; LEAD(x, d) is x as it will be d rows later"
