"""Weights of a wide pool: the combination of Grinold and Kahn, with its shrinkage chosen by walking forward.

For correlations R (K, K) and mean daily figures m (K,) of K formulas the weights are

    w = S (S R S + a I)^-1 S m,    S = diag((|m| / mean |m|)^p)

which is ridge regression (Hoerl and Kennard 1970) on standardised ranks where p is 0; with p = 1 the prior deviation
of a weight is in proportion to its formula's strength. The source of R^-1 m is Grinold and Kahn, Active Portfolio
Management (2000), chapter 11. R has no label in it, so that another stretch of dates is another m and nothing else.

a and p are chosen by walking forward: the rows are cut into blocks, each block is forecast by what was known before
it, and w'm / sqrt(w'Rw) over the block, the correlation that the pool has there, is what counts. Where there are
fewer cells of levels than formulas the same weights come of the smaller system (Woodbury).

All solving is on one thread, so that the bits do not depend on the machine's cores. For many formulas the walk
forward is solved in float32 (an error of 1e-7 of a score, docs/decisions/043-wide-pool.md). The weights themselves
are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation import level
from fama_fast.evaluation.rank_correlation import one_thread
from fama_fast.mining.measure.ridge_penalty import PENALTIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fama_fast.mining.pools.correlations import GrowingCorrelations
    from fama_fast.types import FloatArray

POWERS = (0.0, 1.0)
BLOCKS = 8  # of the first part of the rows; the last of them is forecast, the others only teach
_LEAST = 2  # rows of a block
_EXACT = 1000  # formulas up to which the walk forward is solved in float64 too
_FACTORS = 512  # whose daily figures are widened to float64 at a time


@dataclass(frozen=True)
class Fit:
    """The weights of a pool's formulas, and how they were chosen.

    Attributes:
        weights: (K,) by place in the pool, of ranks scaled to deviation 1. penalty, power: a and p. expected: mean of
            the pool's daily figure over the blocks that it was chosen on, counted as a RankIC: a forecast of what it
            will be. error: standard error of that (Newey-West); both NaN where the rows were too few to walk forward.
    """

    weights: FloatArray
    penalty: float
    power: float
    expected: float
    error: float


@dataclass(frozen=True)
class Fold:
    """A block of rows [start, stop) that is forecast by what the rows of the `known` stretches [start, stop) taught."""

    known: tuple[tuple[int, int], ...]
    start: int
    stop: int


def folds_of(parts: Sequence[slice], reach: int) -> list[Fold]:
    """The blocks to walk forward over: the last of `BLOCKS` of the first part, every further part whole.

    A block that little is known before asks for more shrinkage than all rows need, so earlier ones are not forecast
    (docs/decisions/039-what-a-wide-pool-fits.md).

    Args:
        parts: stretches of rows in order. reach: rows that a label looks ahead, which are left out before a block.
    """
    first, *further = parts
    begin = first.start + (first.stop - first.start) * (BLOCKS - 1) // BLOCKS
    blocks = [(begin, first.stop), *((p.start, p.stop) for p in further)]
    out = []
    for start, stop in blocks:
        known = tuple((p.start, min(p.stop, start - reach)) for p in parts if p.start < start - reach)
        if stop - start >= _LEAST and sum(b - a for a, b in known) >= _LEAST:
            out.append(Fold(known, start, stop))
    return out


class DailyFigures:
    """(K, T) float32 daily figures of formulas, grown as they come.

    Args:
        rows: T.
    """

    def __init__(self, rows: int) -> None:
        self.rows_of_all, self.size = rows, 0
        self._blocks: list[NDArray[np.float32]] = []
        self._means: dict[tuple[tuple[int, int], ...], FloatArray] = {}  # of the formulas so far, by stretches of rows

    def add(self, series: FloatArray) -> None:
        """Add (n, T)."""
        for one in series:
            if not self.size % _FACTORS:
                self._blocks.append(np.empty((_FACTORS, self.rows_of_all), dtype=np.float32))
            self._blocks[-1][self.size % _FACTORS] = one
            self.size += 1

    def first(self, count: int) -> DailyFigures:
        """Those of the first formulas alone, to read."""
        out = DailyFigures(self.rows_of_all)
        out.size, out._blocks = count, self._blocks[: -(-count // _FACTORS)]
        return out

    def means(self, parts: Sequence[slice]) -> FloatArray:
        """(K,) mean of each over the rows of these slices on which it is known; 0 where there is none."""
        key = tuple((part.start, part.stop) for part in parts)
        known = self._means.get(key, np.zeros(0))
        out = np.zeros(self.size)
        out[: len(known)] = known
        for at, block in self._known():
            new = slice(max(0, len(known) - at), None)
            own = np.concatenate([block[new, part] for part in parts], axis=1).astype(np.float64)
            there = np.isfinite(own)
            total = np.add.reduce(np.where(there, own, 0.0), axis=1)
            out[at + new.start : at + len(block)] = total / np.maximum(there.sum(axis=1), 1)
        self._means[key] = out
        return out.copy()

    def weighted(self, weights: FloatArray, rows: slice) -> FloatArray:
        """(m, rows) sums of the daily figures times weights (K, m), what is missing as 0; NaN on dates that no formula
        has a figure of."""
        out = np.zeros((weights.shape[1], rows.stop - rows.start))
        known = np.zeros(rows.stop - rows.start, dtype=np.bool_)
        for at, block in self._known():
            own = block[:, rows].astype(np.float64)
            known |= np.isfinite(own).any(axis=0)
            out += weights[at : at + len(block)].T @ np.nan_to_num(own)
        return np.where(known, out, np.nan)

    def of(self, place: int) -> NDArray[np.float32]:
        """(T,) of one formula."""
        found: NDArray[np.float32] = self._blocks[place // _FACTORS][place % _FACTORS]
        return found

    def _known(self) -> list[tuple[int, NDArray[np.float32]]]:
        return [(i * _FACTORS, b[: self.size - i * _FACTORS]) for i, b in enumerate(self._blocks)]


@dataclass
class WeightFitter:
    """Fits weights of a pool; what was walked over already is kept until the pool grows.

    Attributes:
        correlations, figures: of the pool, in the same order. horizon: days that a label spans. reach: rows that a
            label looks ahead. penalty: the only a that is tried; None for all of `PENALTIES`.
    """

    correlations: GrowingCorrelations
    figures: DailyFigures
    horizon: int
    reach: int
    penalty: float | None = None
    _size: int = 0
    _walked: dict[Fold, FloatArray] = field(default_factory=dict)  # (choices, rows) daily figures of a block

    @property
    def choices(self) -> list[tuple[float, float]]:
        """(penalty, power), the strongest shrinkage first."""
        penalties = PENALTIES if self.penalty is None else (self.penalty,)
        return [(a, p) for p in POWERS for a in penalties]

    def fit(self, parts: Sequence[slice]) -> Fit:
        """Weights fitted on the rows of these parts, with a and p chosen by walking forward over them."""
        import scipy.linalg  # noqa: F401  (before its threads are held)

        size, choices = self.correlations.size, self.choices
        if self._size != size:
            self._size, self._walked = size, {}
        folds = folds_of(parts, self.reach) if size else []
        best, expected, error, weights = 0, math.nan, math.nan, np.zeros(size)
        with one_thread():
            self._walk([fold for fold in folds if fold not in self._walked])
            if folds:
                walked = [self._walked[fold] for fold in folds]
                best = int(np.argmax(np.mean([_means(daily) for daily in walked], axis=0)))
                found = level(np.concatenate([daily[best] for daily in walked]), horizon=self.horizon)
                expected, error = found.mean, abs(found.mean / found.t) if found.t else math.nan
            if size:
                means = self.figures.means(parts)[:, None]
                weights = solve(self.correlations, means, [choices[best]], np.float64)[0][:, 0]
        return Fit(weights, *choices[best], expected, error)

    def _walk(self, folds: Sequence[Fold]) -> None:
        """Forecast these blocks by every choice."""
        if not folds:
            return
        means = np.stack([self.figures.means([slice(a, b) for a, b in fold.known]) for fold in folds], axis=1)
        dtype = np.float64 if self.correlations.size <= _EXACT else np.float32
        weights = solve(self.correlations, means, self.choices, dtype)
        for i, fold in enumerate(folds):
            own = np.stack([w[:, i] for w in weights], axis=1)
            deviation = np.sqrt(self.correlations.variances(own))[:, None]
            daily = self.figures.weighted(own, slice(fold.start, fold.stop))
            self._walked[fold] = daily / np.where(deviation > 0.0, deviation, 1.0)


def _means(daily: FloatArray) -> FloatArray:
    """(m,) mean of each of some daily figures (m, T) over the dates that are known; 0 where there is none."""
    there = np.isfinite(daily)
    found: FloatArray = np.where(there, daily, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return found


def solve(
    correlations: GrowingCorrelations, means: FloatArray, choices: Sequence[tuple[float, float]], dtype: Any
) -> list[FloatArray]:
    """Weights (K, m) for each choice of (a, p), of means (K, m); callers hold BLAS to one thread.

    Args:
        dtype: that systems are solved in.
    """
    out = []
    for penalty, power in choices:
        scales = scales_of(means, power)
        if power == 0.0:  # one system for all means
            out.append(_solved(correlations, scales[:, 0], means, penalty, dtype))
            continue
        columns = range(means.shape[1])
        parts = [_solved(correlations, scales[:, i], means[:, i : i + 1], penalty, dtype) for i in columns]
        out.append(np.concatenate(parts, axis=1))
    return out


def scales_of(means: FloatArray, power: float) -> FloatArray:
    """(K, m) the diagonals of S for means (K, m); ones where all means are 0."""
    strength = np.abs(means)
    middle = strength.mean(axis=0)
    return np.where(middle > 0.0, strength / np.where(middle > 0.0, middle, 1.0), 1.0) ** power


def _solved(
    correlations: GrowingCorrelations, scale: FloatArray, means: FloatArray, penalty: float, dtype: Any
) -> FloatArray:
    """(K, m) S (S R S + a I)^-1 S M."""
    right = scale[:, None] * means
    if correlations.cells < correlations.size:
        return scale[:, None] * _small(correlations, scale, right, penalty)
    from scipy.linalg import cho_factor, cho_solve

    system = correlations.system(scale, penalty, dtype)
    factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve(factor, right.astype(dtype), check_finite=False)
    return scale[:, None] * np.asarray(solved, dtype=np.float64)


def _small(correlations: GrowingCorrelations, scale: FloatArray, right: FloatArray, penalty: float) -> FloatArray:
    """(A A' + a I)^-1 b for A (K, cells) of fewer columns than rows: (b - A (A'A + a I)^-1 A'b) / a."""
    from scipy.linalg import cho_factor, cho_solve

    cells = correlations.cells
    gram, across = penalty * np.eye(cells), np.zeros((cells, right.shape[1]))
    for places in correlations.blocks():
        own = scale[places, None] * correlations.unit_levels(places)
        gram += own.T @ own
        across += own.T @ right[places]
    inner = cho_solve(cho_factor(gram, lower=True, overwrite_a=True, check_finite=False), across, check_finite=False)
    out = np.empty_like(right)
    for places in correlations.blocks():
        own = scale[places, None] * correlations.unit_levels(places)
        out[places] = (right[places] - own @ inner) / penalty
    return out
