"""Start-up: fresh processes, beside processes that start Python alone or compile one loop.

The last bench begins with an empty kernel cache: all that a new machine has to compile for the core operators.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benches.duel import Yardstick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benches.duel import Duel

CORE = """
import numpy as np
import fama_fast as ff
rng = np.random.default_rng(0)
bars = {name: np.exp(rng.normal(size=(80, 16))) for name in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")}
panel = ff.Panel(np.datetime64("2020-01-01") + np.arange(80), range(16), bars)
ff.evaluate([
    "RANK(CLOSE)", "DELTA(CLOSE, 5)", "DELAY(CLOSE, 1)", "TS_MEAN(CLOSE, 20)", "TS_STDDEV(CLOSE, 20)",
    "CORREL(CLOSE, VOLUME, 10)", "Z_SCORE(CLOSE)", "SIGN(CLOSE)", "ABS(CLOSE)", "TS_SUM(CLOSE, 5)", "TS_MAX(CLOSE, 10)",
    "TS_MIN(CLOSE, 10)", "TS_RANK(CLOSE, 10)", "TS_ARGMAX(CLOSE, 10)", "DECAY_LINEAR(CLOSE, 10)",
    "LOG(CLOSE) + CLOSE * OPEN / HIGH - LOW",
], panel)
ff.rank_ic(panel["CLOSE"], ff.forward_returns(panel))
"""

ONE_LOOP = """
import numba
import numpy as np
@numba.njit
def total(values):
    out = 0.0
    for value in values:
        out += value
    return out
total(np.ones(8))
"""


def process(*arguments: str, **environment: str) -> Callable[[], object]:
    """Running this Python with these arguments, to the end."""
    command = [sys.executable, *arguments]
    surroundings = {**os.environ, **environment}
    return lambda: subprocess.run(command, check=True, capture_output=True, env=surroundings)


PYTHON = Yardstick(process("-c", "pass"), own=True)


@pytest.mark.quick
def test_import(duel: Duel) -> None:
    duel(process("-c", "import fama_fast"), {"python -c pass": PYTHON}, group="start-up", rounds=15)


@pytest.mark.quick
def test_help(duel: Duel) -> None:
    """`fama-fast --help`."""
    duel(process("-m", "fama_fast", "--help"), {"python -c pass": PYTHON}, group="start-up", rounds=15)


@pytest.mark.quick
def test_core_operators_cached(duel: Duel) -> None:
    """A process that evaluates the core operators with kernels compiled before."""
    loop = Yardstick(process("-c", ONE_LOOP))
    duel(process("-c", CORE), {"numba compiling one loop": loop}, group="start-up")


def test_core_operators_cold(duel: Duel, tmp_path: Path) -> None:
    """The same with an empty cache."""
    loop = Yardstick(process("-c", ONE_LOOP))
    fresh = (process("-c", CORE, FAMA_CACHE_DIR=str(tmp_path / str(i))) for i in range(100))
    duel(
        lambda run: run(),
        {"numba compiling one loop": loop},
        group="start-up",
        rounds=3,
        prepare=lambda: (next(fresh),),
    )
