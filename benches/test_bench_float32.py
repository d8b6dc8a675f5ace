"""Panels and results of float32 beside panels and results of float64: the same program, half the bytes.

On a shared two-core AMD EPYC the elementwise ones take 0.65 to 0.75 of the time on panel B, windows with few operations
a value 0.7 to 0.97; CORREL and RANK compute too much a value to gain. On panel A, which fits the last-level cache,
windows in blocks are up to a sixth slower: they are computed in a register and then rounded. What rounding the data
does to values is asserted here (a median of 1e-5 of their spread at most) and described in `docs/large-data.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

import fama_fast as ff
from benches.duel import Yardstick

if TYPE_CHECKING:
    from benches.duel import Duel
    from fama_fast.panel import Panel

EXPRESSIONS = {
    "elementwise-4": "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
    "elementwise-5": "ABS(SIGN(CLOSE - OPEN) * (HIGH + LOW) * 0.5)",
    "DELTA": "DELTA(CLOSE, 5)",
    "TS_SUM": "TS_SUM(CLOSE, 20)",
    "TS_MEAN": "TS_MEAN(CLOSE, 20)",
    "DECAY_LINEAR": "DECAY_LINEAR(CLOSE, 10)",
    "CORREL": "CORREL(CLOSE, VOLUME, 20)",
    "RANK": "RANK(CLOSE)",
}


@pytest.mark.parametrize("layout", ["dates", "blocks"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.quick if name == "TS_MEAN" else ()) for name in EXPRESSIONS]
)
def test_float32(duel: Duel, panel: Panel, threads: int, name: str, layout: Literal["dates", "blocks"]) -> None:
    half = panel.astype(np.float32)
    texts = [EXPRESSIONS[name]]
    (exact,), (rounded,) = ff.evaluate(texts, panel), ff.evaluate(texts, half)
    spread = float(np.nanstd(exact))
    assert float(np.nanmedian(np.abs(rounded - exact))) < 1e-5 * spread
    duel(
        lambda: ff.evaluate(texts, half, threads=threads, layout=layout, dtype="float32"),
        {"float64": Yardstick(lambda: ff.evaluate(texts, panel, threads=threads, layout=layout))},
        group="float32 panels",
    )
