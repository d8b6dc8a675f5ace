"""The data of the suites: simulated panels by seed, and the real ones where they are."""

from __future__ import annotations

import os
import random
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.data import PlantedSignal, SimulationSpec, load_market_data, simulate

if TYPE_CHECKING:
    from fama_fast.panel import Panel

SYMBOLS, DATES = 500, 1260
PLANTED_RANK_IC = 0.03
REAL = {
    "ashare": ("cn_ashare_next1000_2020_2023.parquet", "cn_ashare_next1000_industry.csv"),
    "sp500": ("sp500_2013_2018.parquet", "sp500_sectors.csv"),
    "us3000": ("us_stocks_3000_2014_2017.parquet", "us_stocks_3000_sectors.csv"),
    "csi300": ("csi300_2010_2022.parquet", None),
}
UNIVERSE = {"csi300": "csi300_membership.csv"}
LAST_TUNED = {"csi300": "2017-12-31"}  # later years are for judging

# Expressions are put together from these, which every published collection of alphas uses.
_WINDOWS = (5, 10, 20, 40, 60)
_FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET")
_PRICES = ("OPEN", "HIGH", "LOW", "CLOSE", "VWAP")
_ONE_SERIES = ("TS_MEAN", "TS_STDDEV", "TS_RANK", "TS_MAX", "TS_MIN", "DELTA", "DELAY", "TS_SUM", "DECAY_LINEAR")


def folder() -> Path:
    """Where real data is looked for."""
    return Path(os.environ.get("FAMA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


def missing(name: str) -> str | None:
    """What to say when a real panel is not there."""
    path = folder() / REAL[name][0]
    return None if path.exists() else f"{path} is not there: set FAMA_DATA to the folder that holds it"


@lru_cache(maxsize=1)
def real(name: str) -> Panel:
    """A real panel with its groups, no longer than the two years a process spends on it."""
    data, groups = REAL[name]
    universe = UNIVERSE.get(name)
    return load_market_data(
        str(folder() / data),
        groups=None if groups is None else str(folder() / groups),
        universe=None if universe is None else str(folder() / universe),
    )


def tuning(name: str) -> Panel:
    """The part of a real panel that choices may be made on: without the dates that a run of all of it would test on."""
    import numpy as np

    panel = real(name)
    end = LAST_TUNED.get(name)
    dates = panel.dates.astype("datetime64[D]")
    stop = round(0.8 * len(dates)) if end is None else int(np.searchsorted(dates, np.datetime64(end), "right"))
    return panel.slice_dates(0, stop)


def martingale(seed: int, symbols: int = SYMBOLS, dates: int = DATES) -> Panel:
    """A market whose ranks can be predicted and whose every expected return is zero."""
    return simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=3000 + seed, kind="martingale"))


def noise(seed: int, symbols: int = SYMBOLS, dates: int = DATES) -> Panel:
    """A market in which nothing predicts anything."""
    return simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=1000 + seed))


def planted(
    seed: int, symbols: int = SYMBOLS, dates: int = DATES, rank_ic: float = PLANTED_RANK_IC
) -> tuple[Panel, str]:
    """A market with one signal, and the signal's expression."""
    text = planted_expression(seed)
    signals = (PlantedSignal(text, rank_ic),)
    return simulate(SimulationSpec(n_symbols=symbols, n_dates=dates, seed=2000 + seed, signals=signals)), text


def planted_expression(seed: int) -> str:
    """An expression of 6 to 9 nodes by seed: ranks of ratios, differences and correlations of common operators."""
    from fama_fast.engine import compile as compile_alpha
    from fama_fast.ir import count_nodes

    rng = random.Random(f"planted {seed}")
    while True:
        text = _draw(rng)
        if 6 <= count_nodes(compile_alpha(text).node) <= 9:
            return text


def _draw(rng: random.Random) -> str:
    def windowed(fields: tuple[str, ...] = _FIELDS) -> str:
        return f"{rng.choice(_ONE_SERIES)}({rng.choice(fields)}, {rng.choice(_WINDOWS)})"

    forms = (
        lambda: f"RANK({windowed(('VOLUME',))} / {windowed(('VOLUME',))})",
        lambda: f"RANK({windowed(_PRICES)} / {windowed(_PRICES)})",
        lambda: f"RANK({rng.choice(_PRICES)} / {windowed(_PRICES)} - 1)",
        lambda: f"RANK(CORREL({windowed()}, {windowed()}, {rng.choice(_WINDOWS[1:3])}))",
        lambda: f"RANK(CORREL({rng.choice(_PRICES)}, {windowed(('VOLUME',))}, {rng.choice(_WINDOWS[1:3])}))",
        lambda: f"RANK({windowed()}) - RANK({windowed()})",
        lambda: f"RANK({windowed()}) * RANK({windowed()})",
        lambda: f"RANK({windowed(('RET',))} / TS_STDDEV(RET, {rng.choice(_WINDOWS)}))",
    )
    sign = rng.choice(("", " * -1"))
    return f"{rng.choice(forms)()}{sign}"
