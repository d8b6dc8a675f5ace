"""What to hold by a signal: the best against the worst, or the best alone; neutral to groups, or with a buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.arguments import whole
from fama_fast.errors import ConfigError
from fama_fast.evaluation.portfolios import Groups, long_short_weights, quantile_buckets, top_k_weights

if TYPE_CHECKING:
    from fama_fast.panel import GroupField
    from fama_fast.types import FloatArray

Kind = Literal["long-short", "top-k"]


@dataclass(frozen=True)
class Positions:
    """Ranks and target weights of each date.

    Attributes:
        rank: (T, N) place of each symbol among those with a signal, 1 the highest; NaN without a signal. Equal signals
            share the mean of their places. weight: (T, N) target weights: of long-short +1 and -1 in all, of top-k 1.
    """

    rank: FloatArray
    weight: FloatArray


def positions(
    signal: FloatArray,
    *,
    kind: Kind = "long-short",
    quantiles: int = 10,
    k: int = 50,
    buffer: int = 5,
    groups: GroupField | None = None,
    universe: Any = None,
) -> Positions:
    """Ranks and target weights of a signal (T, N).

    Args:
        kind: long-short: the top of `quantiles` buckets long, the bottom one short, each in equal parts. top-k: the `k`
            highest in equal parts, of which at most `buffer` are replaced a date: a name is held for longer than it is
            among the best, and what is held on a date depends on the dates before.
        groups: long-short within each group of them. universe: (T, N) of bool: others have no place and no weight.

    Raises:
        ConfigError: groups of top-k, fewer than two buckets, a buffer larger than k.
    """
    inside = signal if universe is None else np.where(universe, signal, np.nan)
    if kind == "top-k":
        if groups is not None:
            raise ConfigError("a top-k portfolio is not neutral to groups: take long-short")
        weight = top_k_weights(inside, k=k, n_drop=min(whole(buffer, "buffer", 1), k))
    else:
        within = None if groups is None else Groups(groups.codes, groups.labels)
        buckets = quantile_buckets(inside, quantiles=quantiles, groups=within)
        weight = long_short_weights(buckets, quantiles=quantiles)
    return Positions(_places(inside), weight)


def _places(signal: FloatArray) -> FloatArray:
    from fama_fast.evaluation.ranks import centred_ranks

    count = np.isfinite(signal).sum(axis=1, keepdims=True)
    out: FloatArray = np.round(count + 1.0 - 2.0 * centred_ranks(signal, None) * count) / 2.0  # whole or half
    return out
