"""Market data from files or the simulator, its quality, its labels and its splits.

Names are loaded when first used: labels and splits must not cost an import of Polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fama_fast.data.frame import to_frame, write_frame
    from fama_fast.data.labels import forward_returns
    from fama_fast.data.load import load_market_data, scan_market_data
    from fama_fast.data.quality.finding import Finding
    from fama_fast.data.quality.report import QualityReport, quality_report
    from fama_fast.data.simulator.simulate import DEFAULT_SIMULATION, PlantedSignal, SimulationSpec, simulate
    from fama_fast.data.splits import Splits, date_splits
    from fama_fast.panel.scan import scan

_HOME = {
    "to_frame": "data.frame",
    "write_frame": "data.frame",
    "forward_returns": "data.labels",
    "load_market_data": "data.load",
    "scan_market_data": "data.load",
    "DEFAULT_SIMULATION": "data.simulator.simulate",
    "PlantedSignal": "data.simulator.simulate",
    "SimulationSpec": "data.simulator.simulate",
    "simulate": "data.simulator.simulate",
    "Splits": "data.splits",
    "date_splits": "data.splits",
    "Finding": "data.quality.finding",
    "QualityReport": "data.quality.report",
    "quality_report": "data.quality.report",
    "scan": "panel.scan",
}

__all__ = [
    "DEFAULT_SIMULATION",
    "Finding",
    "PlantedSignal",
    "QualityReport",
    "SimulationSpec",
    "Splits",
    "date_splits",
    "forward_returns",
    "load_market_data",
    "quality_report",
    "scan",
    "scan_market_data",
    "simulate",
    "to_frame",
    "write_frame",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"fama_fast.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
