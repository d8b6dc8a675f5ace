"""Panels that every benchmark shares: random-walk prices, one bar in a hundred missing.

Sizes follow the usual ones of factor work: A is 500 symbols x 1260 days, B is 3000 x 2520.
"""

from __future__ import annotations

import numpy as np

from fama_fast.panel import GroupField, Panel

SIZES = {"tiny": (260, 64), "A": (1260, 500), "B": (2520, 3000)}


def random_panel(dates: int, symbols: int, *, missing: float = 0.01) -> Panel:
    """A panel of this shape; `missing` is the share of bars that are absent in all fields at once."""
    rng = np.random.default_rng(1)
    shape = (dates, symbols)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, shape), axis=0))
    spread = np.abs(rng.normal(0.0, 0.01, (2, *shape)))
    fields = {
        "OPEN": close * (1.0 + rng.normal(0.0, 0.005, shape)),
        "HIGH": close * (1.0 + spread[0]),
        "LOW": close * (1.0 - spread[1]),
        "CLOSE": close,
        "VOLUME": np.exp(rng.normal(13.0, 1.0, shape)),
    }
    gone = rng.random(shape) < missing
    for values in fields.values():
        values[gone] = np.nan
    codes = np.broadcast_to(rng.integers(0, 11, symbols).astype(float), shape).copy()
    days = np.datetime64("2010-01-01") + np.arange(dates)
    groups = {"SECTOR": GroupField(codes, tuple(map(str, range(11))))}
    names = [f"S{i:04}" for i in range(symbols)]
    return Panel(days, names, fields, groups=groups, source=f"random walk, {symbols} symbols x {dates} dates")


def make_panel(size: str) -> Panel:
    """The panel of a named size."""
    return random_panel(*SIZES[size])


def with_alpha101_inputs(panel: Panel) -> Panel:
    """What the 101 formulas ask for beyond bars: market value and the finer industry groups."""
    groups = {"INDUSTRY": panel.group("SECTOR"), "SUBINDUSTRY": panel.group("SECTOR")}
    return panel.replace(fields={"CAP": panel["CLOSE"] * 1e6}, groups=groups)
