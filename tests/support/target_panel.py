"""A panel with what makes labels hard: a universe, groups, missing cells, late listings, prices that are none."""

from __future__ import annotations

import numpy as np

from fama_fast.panel import GroupField, Panel

DATES, SYMBOLS = 150, 24


def target_panel(dates: int = DATES, symbols: int = SYMBOLS, seed: int = 5) -> Panel:
    """(T, N) panel with OPEN, HIGH, LOW, CLOSE, VOLUME, MYLABEL, groups SECTOR and INDUSTRY, and a universe."""
    rng = np.random.default_rng(seed)
    close = 20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (dates, symbols)), axis=0))
    opened = close * np.exp(rng.normal(0.0, 0.01, close.shape))
    high = np.maximum(close, opened) * (1.0 + rng.uniform(0.0, 0.01, close.shape))
    low = np.minimum(close, opened) * (1.0 - rng.uniform(0.0, 0.01, close.shape))
    volume = np.exp(rng.normal(10.0, 1.0, close.shape))
    locked = rng.uniform(size=close.shape) < 0.05
    high[locked] = low[locked] = close[locked]
    volume[rng.uniform(size=close.shape) < 0.03] = 0.0
    own = rng.normal(size=close.shape)
    fields = {"OPEN": opened, "HIGH": high, "LOW": low, "CLOSE": close, "VOLUME": volume, "MYLABEL": own}
    gone = rng.uniform(size=close.shape) < 0.02
    late = np.arange(dates)[:, None] < np.array([0] * (symbols - 4) + [9, 40, 41, 90])
    for values in fields.values():
        values[gone | late] = np.nan
    close[17, 3], opened[60, 5], close[61, 5] = 0.0, -1.0, -3.0
    universe = rng.uniform(size=close.shape) < 0.85
    universe[7, 4:] = False  # too few members
    sector = np.where(rng.uniform(size=close.shape) < 0.03, np.nan, (np.arange(symbols) % 3).astype(float))
    industry = np.broadcast_to((np.arange(symbols) % 5).astype(float), close.shape)
    return Panel(
        np.datetime64("2020-01-01") + np.arange(dates),
        [f"S{i:03d}" for i in range(symbols)],
        fields,
        universe=universe,
        groups={"SECTOR": GroupField(sector, ("A", "B", "C")), "INDUSTRY": GroupField(industry, tuple("VWXYZ"))},
    )
