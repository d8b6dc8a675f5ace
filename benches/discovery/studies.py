"""The data and targets that the benchmark is run on. `STUDIES` is the whole list."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benches.mining import panels as mining_panels
from fama_fast.data import load_market_data
from fama_fast.mining.config_file import config_from_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.panel import Panel
    from fama_fast.target import Target

FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP")
FIRST_YEAR = 2015
_VALUE_TRADED = "LOG(TS_MEAN(CLOSE * VOLUME, 60))"  # the nearest to size that these data have


@dataclass(frozen=True)
class Study:
    """Data with a target.

    Attributes:
        data: key of `benches.mining.panels.REAL`. target: settings of `target:` but the horizon. horizons: in days.
    """

    name: str
    about: str
    data: str
    target: Mapping[str, Any] = field(default_factory=dict)
    horizons: tuple[int, ...] = (1, 5, 20)

    def missing(self) -> str | None:
        """What it lacks here."""
        return mining_panels.missing(self.data)

    def panel(self) -> Panel:
        """All its dates."""
        return _panel(self.data)

    def settings(self, horizon: int) -> dict[str, Any]:
        """The keys of a configuration that say what is predicted."""
        return {"splits": {"horizon": horizon}, "target": dict(self.target)}

    def predicted(self, horizon: int) -> Target:
        """The target at one horizon."""
        return config_from_dict(self.settings(horizon)).predicted


@lru_cache(maxsize=1)
def _panel(name: str) -> Panel:
    data, groups = mining_panels.REAL[name]
    universe = mining_panels.UNIVERSE.get(name)
    folder = mining_panels.folder()
    return load_market_data(
        str(folder / data),
        groups=None if groups is None else str(folder / groups),
        universe=None if universe is None else str(folder / universe),
        fields=list(FIELDS),
    )


STUDIES = {
    s.name: s
    for s in (
        Study("csi300", "CSI300 point in time, the close's return entered at the next close", "csi300"),
        Study(
            "csi300-tradable",
            "CSI300, what can be entered alone, independent of the value traded",
            "csi300",
            {"tradable": "a-share", "neutralize": [_VALUE_TRADED]},
        ),
        Study("ashare", "A-shares ranked 1,001 to 2,000 by value traded", "ashare"),
        Study(
            "ashare-tradable",
            "the same, what can be entered alone, independent of industry and value traded",
            "ashare",
            {"tradable": "a-share", "neutralize": ["INDUSTRY", _VALUE_TRADED]},
        ),
        Study("sp500", "S&P 500", "sp500"),
        Study(
            "sp500-neutral",
            "S&P 500, independent of sector and value traded",
            "sp500",
            {"neutralize": ["SECTOR", _VALUE_TRADED]},
        ),
    )
}
