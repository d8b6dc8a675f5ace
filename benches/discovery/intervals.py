"""Figures of arms over test years and seeds: means, paired differences with intervals, curves, features to match."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.types import FloatArray

    Cell = tuple[int, int]  # (year, seed)

DRAWS = 10_000


def paired(one: Mapping[Cell, float], other: Mapping[Cell, float]) -> FloatArray:
    """(years, seeds) differences where both have a figure, NaN elsewhere. An arm that has one seed alone, 0, stands
    beside every seed of the other."""
    years = sorted({y for y, _ in one} & {y for y, _ in other})
    first, second = ({s for _, s in cells} for cells in (one, other))
    seeds = sorted(first & second if len(first) > 1 and len(second) > 1 else first | second)
    out = np.full((len(years), len(seeds)), np.nan)
    for i, y in enumerate(years):
        for j, s in enumerate(seeds):
            a = one.get((y, 0 if len(first) == 1 and 0 in first else s))
            b = other.get((y, 0 if len(second) == 1 and 0 in second else s))
            if a is not None and b is not None:
                out[i, j] = a - b
    return out


def interval(differences: FloatArray, draws: int = DRAWS) -> tuple[float, float, float]:
    """Mean of differences (years, seeds) with its 95% bootstrap interval: years and seeds are drawn with replacement,
    each on its own. NaN bounds where there is one year only.

    Source: the pigeonhole bootstrap of two crossed factors, Owen (2007), Annals of Applied Statistics 1.
    """
    known = np.isfinite(differences)
    if not known.any():
        return math.nan, math.nan, math.nan
    centre = float(differences[known].mean())
    years, seeds = differences.shape
    if years < 2:
        return centre, math.nan, math.nan
    rng = np.random.default_rng(0)
    by_year = np.stack([np.bincount(d, minlength=years) for d in rng.integers(0, years, (draws, years))])
    by_seed = np.stack([np.bincount(d, minlength=seeds) for d in rng.integers(0, seeds, (draws, seeds))])
    total = ((by_year @ np.where(known, differences, 0.0)) * by_seed).sum(axis=1)
    count = ((by_year @ known.astype(np.float64)) * by_seed).sum(axis=1)
    drawn = total[count > 0] / count[count > 0]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return centre, float(low), float(high)


def at_size(sizes: Sequence[float], values: Sequence[float], size: float) -> float:
    """The value of a curve at a size, straight in the logarithm of the size; its last one beyond its end."""
    return float(np.interp(math.log(size), np.log(sizes), values))


def to_match(sizes: Sequence[float], values: Sequence[float], wanted: float) -> float:
    """The least size at which a curve reaches a value, straight in the logarithm of the size between its points; of a
    curve that falls the highest point so far counts. Infinite where it never does; at most its first size where that
    has it already."""
    reached = np.maximum.accumulate(np.asarray(values, dtype=np.float64))
    above = np.flatnonzero(reached >= wanted)
    if not above.size:
        return math.inf
    i = int(above[0])
    if i == 0:
        return float(sizes[0])
    share = (wanted - reached[i - 1]) / (reached[i] - reached[i - 1])
    return float(math.exp(math.log(sizes[i - 1]) + share * (math.log(sizes[i]) - math.log(sizes[i - 1]))))
