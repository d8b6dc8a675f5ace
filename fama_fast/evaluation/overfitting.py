"""Probability of backtest overfitting of a selection among many strategies (CSCV).

It knows a matrix of daily performance, one column a strategy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, whole
from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation.inference import NAN

if TYPE_CHECKING:
    from fama_fast.types import FloatArray, IntArray

MAX_BLOCKS = 20
_CELLS = 2_000_000  # splits times strategies at a time: 16 MB an array
_NARROW = 2.0**-16


@dataclass(frozen=True)
class Overfitting:
    """Combinatorially symmetric cross-validation of a selection.

    Attributes:
        probability: share of the splits in which the best in sample is below the median out of sample; 1/2 is what
            selection among strategies without skill gives. slope: of out-of-sample on in-sample performance of the
            selected. loss_probability: share of splits in which the selected loses out of sample.
        n_splits, n_strategies, n_days: what it rests on.
    """

    probability: float
    loss_probability: float
    slope: float
    n_splits: int
    n_strategies: int
    n_days: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def overfitting_probability(daily: Any, *, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting of choosing the column with the best mean / std.

    The days are cut into `blocks` equal runs; each half of them is in sample once, the other half out of sample
    (12,870 splits of 16). The relative rank w of the chosen column out of sample is in (0, 1); the probability is the
    share of splits with w <= 1/2 (logit at or below zero).

    Args:
        daily: (T, M) daily returns or RankIC of M strategies; days missing in any of them are dropped.
        blocks: even, at least 2, at most 20.

    Raises:
        ConfigError: an odd or impossible number of blocks. DataError: fewer than 2 strategies, or fewer than two
            complete days a block.

    Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest overfitting", Journal of
    Computational Finance 20.
    """
    if whole(blocks, "blocks") % 2 or not 2 <= blocks <= MAX_BLOCKS:
        raise ConfigError(f"blocks must be an even number from 2 to {MAX_BLOCKS}, not {blocks}")
    array = numbers(daily, "daily returns")
    if array.ndim != 2 or array.shape[1] < 2:
        raise DataError(f"overfitting is a matter of choosing: give (days, strategies >= 2), not shape {array.shape}")
    array = array[np.isfinite(array).all(axis=1)]
    size = array.shape[0] // blocks
    if size < 2:
        raise DataError(f"{array.shape[0]} complete days cannot be cut into {blocks} blocks of at least 2 days")
    array = _near_one(array[: size * blocks])
    # Of a column that moves little beside its level only what moves is squared.
    low, high = array.min(axis=0), array.max(axis=0)
    base = np.where(high - low < _NARROW * np.maximum(-low, high), low, 0.0)
    cut = (array - base).reshape(blocks, size, -1)
    sums, squares = cut.sum(axis=1), (cut * cut).sum(axis=1)
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    days = size * (blocks // 2)
    parts = [_choice(part, sums, squares, base, days) for part in np.array_split(chosen, _pieces(chosen, sums))]
    relative, x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread > 0.0 else NAN
    return Overfitting(
        probability=float(np.mean(relative <= 0.5)),
        loss_probability=float(np.mean(y < 0.0)),
        slope=slope,
        n_splits=len(chosen),
        n_strategies=array.shape[1],
        n_days=size * blocks,
    )


def _pieces(chosen: IntArray, sums: FloatArray) -> int:
    """Parts of the splits such that a part's table of splits and strategies stays small."""
    return min(len(chosen), 1 + len(chosen) * int(sums.shape[1]) // _CELLS)


def _choice(
    chosen: IntArray, sums: FloatArray, squares: FloatArray, base: FloatArray, days: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each split (its blocks in sample, a row of `chosen`) the relative rank out of sample of the best in sample,
    and its performance in and out of sample."""
    member = np.zeros((len(chosen), len(sums)))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    inside = _ratio(member @ sums, member @ squares, base, days)
    outside = _ratio((1.0 - member) @ sums, (1.0 - member) @ squares, base, days)
    best = np.argmax(inside, axis=1)[:, None]
    got = np.take_along_axis(outside, best, axis=1)
    below = np.count_nonzero(outside < got, axis=1)
    tied = np.count_nonzero(outside == got, axis=1) - 1
    relative = (below + tied / 2.0 + 1.0) / (sums.shape[1] + 1.0)
    return relative, np.take_along_axis(inside, best, axis=1)[:, 0], got[:, 0]


def _near_one(columns: FloatArray) -> FloatArray:
    """Columns scaled by powers of two that bring the largest number of each near 1, so that squares neither overflow
    nor all vanish.

    mean / std keeps its bits.
    """
    _, exponent = np.frexp(np.abs(columns).max(axis=0))
    out: FloatArray = np.ldexp(columns, -exponent)
    return out


def _ratio(total: FloatArray, squares: FloatArray, base: FloatArray, days: int) -> FloatArray:
    """mean / std (ddof 1) from sums of what is above `base`; zero where a column does not move."""
    average = total / days
    variance = np.maximum(0.0, (squares - total * average) / (days - 1))
    moves = variance > 1e-12 * squares / days  # less is the rounding of the two terms
    out: FloatArray = np.divide(base + average, np.sqrt(variance), out=np.zeros(average.shape), where=moves)
    return out
