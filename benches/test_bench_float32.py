"""Panels of float32 beside panels of float64: the same program, half the bytes of every field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from benches.duel import Yardstick

if TYPE_CHECKING:
    from benches.duel import Duel
    from fama_fast.panel import Panel

EXPRESSIONS = {
    "elementwise-4": "(CLOSE - OPEN) / (HIGH - LOW + 0.001)",
    "TS_MEAN": "TS_MEAN(CLOSE, 20)",
    "CORREL": "CORREL(CLOSE, VOLUME, 20)",
    "RANK": "RANK(CLOSE)",
}


@pytest.mark.parametrize("name", [pytest.param("TS_MEAN", marks=pytest.mark.quick), "elementwise-4", "CORREL", "RANK"])
def test_float32(duel: Duel, panel: Panel, threads: int, name: str) -> None:
    half = panel.astype(np.float32)
    texts = [EXPRESSIONS[name]]
    (exact,), (rounded,) = ff.evaluate(texts, panel), ff.evaluate(texts, half)
    spread = float(np.nanstd(exact))
    assert float(np.nanmedian(np.abs(rounded - exact))) < 1e-5 * spread
    duel(
        lambda: ff.evaluate(texts, half, threads=threads),
        {"float64": Yardstick(lambda: ff.evaluate(texts, panel, threads=threads))},
        group="float32 panels",
    )
