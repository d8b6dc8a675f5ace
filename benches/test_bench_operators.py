"""Each operator on one panel, beside the yardstick of copying one field of it in memory.

Read the ratio to `copy` in the same group, not the milliseconds: machines differ, and shared ones drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fama_fast import engine, ops

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from fama_fast.panel import Panel

OPERATORS = [s for s in ops.specs() if s.kernel and s.name != "MASK"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spec", OPERATORS, ids=lambda s: s.name)
def test_operator(benchmark: BenchmarkFixture, panel: Panel, spec: ops.OpSpec, threads: int) -> None:
    benchmark.group = f"operators, {threads} thread(s)"
    alpha = engine.compile(spec.example)
    alpha.evaluate(panel, threads=threads)
    benchmark(alpha.evaluate, panel, threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_copy(benchmark: BenchmarkFixture, panel: Panel, threads: int) -> None:
    benchmark.group = f"operators, {threads} thread(s)"
    source = panel["CLOSE"]
    benchmark(np.array, source)


@pytest.mark.parametrize("d", [5, 20, 60, 250])
@pytest.mark.parametrize("name", ["TS_MEAN", "TS_STDDEV", "TS_MAX", "TS_RANK", "CORREL", "DECAY_LINEAR"])
def test_cost_of_the_window(benchmark: BenchmarkFixture, panel: Panel, name: str, d: int) -> None:
    benchmark.group = f"window, {name}"
    inside = "CLOSE, VOLUME" if name == "CORREL" else "CLOSE"
    alpha = engine.compile(f"{name}({inside}, {d})")
    alpha.evaluate(panel, threads=1)
    benchmark(alpha.evaluate, panel, threads=1)
