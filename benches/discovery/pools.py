"""Pools of formulas at an origin: fitted on the dates before the test year, forecast through it.

Weights are those of the wide pool of a run (`fama_fast.mining.pools.weights`), with its choice of the shrinkage by
walking forward over training and validation. Two things are the harness's own: correlations of ranks are added up year
by year, so that no origin begins anew; and the daily figures count a missing rank as the middle, as the forecast does
(docs/decisions/039-what-a-wide-pool-fits.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.discovery.levels import SCALE, taken
from fama_fast.evaluation import SortedRows, daily, mean
from fama_fast.evaluation.daily import net_of
from fama_fast.evaluation.spread import BPS, COST_BPS
from fama_fast.mining.pools.correlations import GrowingCorrelations
from fama_fast.mining.pools.weights import DailyFigures, Fit, WeightFitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benches.discovery.levels import Cells, LevelRows
    from fama_fast.types import FloatArray

_CELLS = 8192  # of a forecast, at once


class KnownCorrelations(GrowingCorrelations):
    """Correlations (K, K) that are there as a matrix, for what solves systems of them."""

    def __init__(self, matrix: FloatArray) -> None:
        super().__init__(cells=len(matrix) + 1)  # more cells than formulas: systems are solved as they are
        self.size, self._matrix = len(matrix), matrix

    def matrix(self) -> FloatArray:
        """(K, K)."""
        return self._matrix

    def system(self, scale: FloatArray, penalty: float, dtype: Any) -> NDArray[Any]:
        """(K, K) S R S + a I for S = diag(scale)."""
        out = np.asarray(self._matrix * scale * scale[:, None], dtype=dtype, order="F")
        out[np.diag_indices(self.size)] = scale * scale + penalty
        return out

    def variances(self, weights: FloatArray) -> FloatArray:
        """(m,) w' R w of weights (K, m)."""
        return np.asarray(np.maximum((weights * (self._matrix @ weights)).sum(axis=0), 0.0))


def correlations(products: FloatArray) -> FloatArray:
    """(K, K) rank correlations from sums of products of levels, 1 on the diagonal."""
    length = np.sqrt(np.diag(products))
    scale = np.where(length > 0.0, length, 1.0)
    out = products / scale[:, None] / scale[None, :]
    np.fill_diagonal(out, 1.0)
    return np.asarray(out)


def deviations(products: FloatArray, cells: int) -> FloatArray:
    """(K,) standard deviation of each formula's centred ranks over so many cells, missing ones in the middle, as a
    share of that of ranks that are all there and different. 1 where there is none."""
    found = np.sqrt(np.diag(products) / max(1, cells)) * np.sqrt(12.0) / SCALE
    return np.asarray(np.where(found > 0.0, found, 1.0))


def fit(correlation: FloatArray, figures: NDArray[np.float32], parts: Sequence[slice], horizon: int, reach: int) -> Fit:
    """Weights of K formulas fitted on the rows of these parts, shrinkage chosen by walking forward over them.

    Args:
        correlation: (K, K). figures: (K, T), over the formulas' deviations.
    """
    series = DailyFigures(figures.shape[1])
    series.add(figures.astype(np.float64))
    return WeightFitter(KnownCorrelations(correlation), series, horizon, reach).fit(parts)


def forecasts(levels: LevelRows, weights_of: FloatArray, cells: Cells, first: int, stop: int) -> list[FloatArray]:
    """Forecasts (stop - first, N) of P pools, whose weights are (P, K): sums of weights times levels.

    A missing level counts as the middle; a symbol without any level other than that is missing.
    """
    own = cells.rows(first, stop)
    w = weights_of.astype(np.float32)
    inside = (w != 0.0).astype(np.float32)
    found = np.empty((len(w), own.stop - own.start))
    for at in range(own.start, own.stop, _CELLS):
        part = slice(at, min(own.stop, at + _CELLS))
        x = taken(levels, part)
        here = slice(part.start - own.start, part.stop - own.start)
        found[:, here] = np.where(inside @ (x != 0.0).astype(np.float32) > 0.0, w @ x, np.nan)
    return [cells.grid(f, first, stop) for f in found]


@dataclass(frozen=True)
class Judged:
    """The labels of a test year, sorted once, with dates before it for what is traded.

    Attributes:
        first: row that the labels begin at. test, stop: rows of the year. span: rows that a label is held.
    """

    labels: SortedRows
    universe: Any
    first: int
    test: int
    stop: int
    span: int

    @classmethod
    def of(cls, labels: FloatArray, universe: Any, test: int, stop: int, span: int, threads: int) -> Judged:
        """Of labels (T, N) of all dates."""
        first = max(0, test - span)
        part, members = labels[first:stop], None if universe is None else universe[first:stop]
        if members is not None:
            part = np.where(members, part, np.nan)
        return cls(SortedRows.of(part, threads=threads), members, first, test, stop, span)

    def figures(self, forecast: FloatArray, threads: int, cost_bps: float = COST_BPS) -> dict[str, float | int]:
        """Means over the year of a forecast (stop - first, N): RankIC, IC, spread and net in hundredths of a percent a
        day, what is traded a day; and the dates that have a RankIC."""
        found = daily(forecast, self.labels, self.universe, span=self.span, threads=threads)
        rows = slice(self.test - self.first, None)
        spread, traded = found.spread[rows], found.traded[rows]
        return {
            "rank_ic": mean(found.rank_ic[rows]),
            "ic": mean(found.ic[rows]),
            "spread": mean(spread) * BPS / self.span,
            "net": mean(net_of(spread, traded, cost_bps)) * BPS / self.span,
            "traded": mean(traded) / self.span,
            "days": int(np.isfinite(found.rank_ic[rows]).sum()),
        }
