"""What a run is judged by: names, words and units of the four daily measures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.mining.objective import OBJECTIVES

if TYPE_CHECKING:
    from fama_fast.evaluation import Daily
    from fama_fast.mining.config import MiningConfig
    from fama_fast.types import FloatArray


def judged_series(daily: Daily, name: str, config: MiningConfig) -> FloatArray:
    """(T,) the daily series of a measure."""
    if name == "net":
        return daily.net(config.cost_bps)
    series: FloatArray = getattr(daily, name)
    return series


def in_units(name: str, value: float | None, horizon: int = 1, *, unit: bool = True) -> str:
    """A measure in words: RankIC and IC with four decimals, spreads in basis points a day; - where not known."""
    if value is None or not math.isfinite(value):
        return "-"
    if not OBJECTIVES[name].in_returns:
        return f"{value:+.4f}"
    return f"{1e4 * value / horizon:+.1f}{' bp a day' if unit else ''}"


def interval_in_units(name: str, bounds: tuple[float, ...], horizon: int = 1) -> str:
    """A 95% interval in the same words."""
    if len(bounds) != 2:
        return "not known"
    return " to ".join(in_units(name, b, horizon, unit=False) for b in bounds)
