"""NumPy: what a careful user writes without another package, on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benches.peers.arrays import same
from benches.peers.cases import Contender

if TYPE_CHECKING:
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

NAME = "NumPy"
THREADS = 1


def unavailable() -> str | None:
    """It is always there."""
    return None


def contenders(panel: Panel, threads: int) -> dict[str, Contender]:
    """Cases with a vectorised form."""
    close = panel["CLOSE"]

    def rank() -> FloatArray:
        """Ordinal ranks: the panel's prices have no ties."""
        order = np.argsort(close, axis=1)
        ranks = np.empty(close.shape)
        np.put_along_axis(ranks, order, np.arange(1.0, close.shape[1] + 1)[None, :], axis=1)
        missing = np.isnan(close)
        ranks[missing] = np.nan
        out: FloatArray = ranks / np.sum(~missing, axis=1, keepdims=True)
        return out

    def z_score() -> FloatArray:
        mean = np.nanmean(close, axis=1, keepdims=True)
        out: FloatArray = (close - mean) / np.nanstd(close, axis=1, keepdims=True, ddof=1)
        return out

    def delta() -> FloatArray:
        out = np.full(close.shape, np.nan)
        np.subtract(close[5:], close[:-5], out=out[5:])
        return out

    def decay(d: int) -> FloatArray:
        weights = np.arange(1.0, d + 1) / (d * (d + 1) / 2)
        last = close.shape[0] - d + 1
        total = weights[0] * close[:last]
        for j in range(1, d):
            total += weights[j] * close[j : last + j]
        out = np.full(close.shape, np.nan)
        out[d - 1 :] = total
        return out

    def elementwise() -> FloatArray:
        return (close - panel["OPEN"]) / (panel["HIGH"] - panel["LOW"] + 0.001)

    return {
        "RANK": Contender(rank, same),
        "Z_SCORE": Contender(z_score, same),
        "DELTA 5": Contender(delta, same),
        "DECAY_LINEAR 10": Contender(lambda: decay(10), same),
        "DECAY_LINEAR 20": Contender(lambda: decay(20), same),
        "elementwise 4": Contender(elementwise, same),
    }
