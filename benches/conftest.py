"""Options and fixtures of the benchmarks.

`make bench` runs them all; `--size` chooses the panel, `--quick` a subset that touches every kind, `--seconds` the time
given to each (never fewer than five rounds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benches.duel import Duel
from benches.panels import SIZES, make_panel

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from fama_fast.panel import Panel

__all__ = ["SIZES", "make_panel"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fama_fast benchmarks")
    group.addoption("--size", default="A", choices=sorted(SIZES), help="panel size of the benchmarks")
    group.addoption("--quick", action="store_true", help="only the benches marked quick: each kind once")
    group.addoption("--seconds", type=float, default=0.4, help="time given to each bench (at least five rounds)")
    group.addoption("--bench-threads", type=int, default=2, help="threads where a bench does not say itself")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "quick: part of the quick subset")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=[i for i in items if not i.get_closest_marker("quick")])
        items[:] = [i for i in items if i.get_closest_marker("quick")]


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--size"))


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--bench-threads"))


@pytest.fixture(scope="session")
def panel(size: str) -> Panel:
    return make_panel(size)


@pytest.fixture
def duel(benchmark: BenchmarkFixture, size: str, request: pytest.FixtureRequest) -> Duel:
    return Duel(benchmark, request.config.getoption("--seconds"), size)
