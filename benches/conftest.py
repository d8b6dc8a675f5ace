"""Panels that every benchmark shares: random-walk prices, one bar in a hundred missing.

Sizes follow the usual ones of factor work: A is 500 symbols x 1260 days, B is 3000 x 2520 (`--size B`).
"""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.panel import GroupField, Panel

SIZES = {"tiny": (260, 64), "A": (1260, 500), "B": (2520, 3000)}


def make_panel(size: str) -> Panel:
    t, n = SIZES[size]
    rng = np.random.default_rng(1)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (t, n)), axis=0))
    spread = np.abs(rng.normal(0.0, 0.01, (2, t, n)))
    fields = {
        "OPEN": close * (1.0 + rng.normal(0.0, 0.005, (t, n))),
        "HIGH": close * (1.0 + spread[0]),
        "LOW": close * (1.0 - spread[1]),
        "CLOSE": close,
        "VOLUME": np.exp(rng.normal(13.0, 1.0, (t, n))),
    }
    gone = rng.random((t, n)) < 0.01
    for values in fields.values():
        values[gone] = np.nan
    codes = np.broadcast_to(rng.integers(0, 11, n).astype(float), (t, n)).copy()
    dates = np.datetime64("2010-01-01") + np.arange(t)
    groups = {"SECTOR": GroupField(codes, tuple(map(str, range(11))))}
    return Panel(dates, [f"S{i:04}" for i in range(n)], fields, groups=groups, source=f"random walk, size {size}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", default="A", choices=sorted(SIZES), help="panel size of the benchmarks")


@pytest.fixture(scope="session")
def panel(request: pytest.FixtureRequest) -> Panel:
    return make_panel(request.config.getoption("--size"))
