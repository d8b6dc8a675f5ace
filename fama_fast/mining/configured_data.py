"""Opens the market data that a configuration names, or simulates them where it names none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fama_fast.panel.reading import ReadingOptions

if TYPE_CHECKING:
    from fama_fast.data import SimulationSpec
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel


def open_panel(config: MiningConfig) -> Panel:
    """The data that the configuration names; the simulator only when it names none."""
    from fama_fast.data import load_market_data

    place = config.paths.market_data
    return load_market_data(
        place, simulation=simulation_of(config) if place is None else None, **reading_settings(config)
    )


def simulation_of(config: MiningConfig) -> SimulationSpec:
    """The market that is simulated where the configuration names no data."""
    from fama_fast.data import DEFAULT_SIMULATION, PlantedSignal

    simulator = config.data.simulator
    options = {
        "n_symbols": simulator.symbols,
        "n_dates": simulator.dates,
        "seed": simulator.seed,
        "kind": simulator.kind,
        "signals": None
        if simulator.signals is None
        else tuple(PlantedSignal(s.expression, s.rank_ic) for s in simulator.signals),
    }
    chosen: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    return replace(DEFAULT_SIMULATION, **chosen)


def reading_settings(config: MiningConfig) -> dict[str, Any]:
    """The configuration's reading options of market data."""
    part, paths = config.data, config.paths
    return {
        "fields": part.fields,
        "universe": paths.universe,
        "groups": paths.groups,
        **{name: getattr(part, name) for name in ReadingOptions.__annotations__ if hasattr(part, name)},
    }
