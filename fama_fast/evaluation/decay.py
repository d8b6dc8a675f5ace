"""Decay of a factor's information: RankIC against returns further and further in the future.

It knows arrays only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import frozen, numbers, whole
from fama_fast.errors import ConfigError
from fama_fast.evaluation.ic import MIN_PAIRS, rank_ic
from fama_fast.evaluation.inference import NAN, mean
from fama_fast.evaluation.rows import SortedRows, chosen_rows, same_shape, sorted_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.types import FloatArray, IntArray, Rows


MOST_DAYS = 10_000


def decay_curve(
    values: Any,
    daily_returns: Any,
    *,
    days: int = 20,
    rows: Rows | None = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> FloatArray:
    """Mean RankIC (days,) of the values of date t with the one-day return entered 0, 1, ... days later than usual.

    Entry k is against row t + k of `daily_returns` (T, N), the one-day forward returns with the usual entry lag: the
    curve shows single days, not sums, so each entry is what waiting one more day still earns.

    Raises:
        ConfigError: fewer than 1 day, or no whole number.
    """
    if whole(days, "days of a decay curve", high=MOST_DAYS) < 1:
        raise ConfigError(f"a decay curve needs at least 1 day, not {days}")
    x = sorted_rows(values, threads=threads)
    y = sorted_rows(daily_returns, threads=threads, name="daily returns")
    n_dates = x.values.shape[0]
    same_shape(y.values, x.values.shape, "daily returns")
    part = chosen_rows(rows, n_dates)
    picked = np.arange(n_dates)[part]
    curve = np.full(days, np.nan)
    for k in range(min(days, n_dates)):
        own = picked[picked + k < n_dates]  # only these rows are summarised, so only these are ranked
        if own.size:
            curve[k] = mean(rank_ic(_part(x, own), _part(y, own + k), min_pairs=min_pairs, threads=threads))
    return curve


def _part(x: SortedRows, numbers: IntArray) -> SortedRows:
    """Rows by ascending number: consecutive ones as views, others as copies."""
    if int(numbers[-1] - numbers[0]) + 1 == numbers.size:
        return x.part(slice(int(numbers[0]), int(numbers[-1]) + 1))
    return SortedRows.made(frozen(x.values[numbers]), frozen(x.order[numbers]), frozen(x.count[numbers]))


def half_life(curve: Sequence[float] | FloatArray) -> float:
    """Days until the decay curve first falls to half of its first entry, interpolated between days.

    NaN when the first entry is missing or zero; infinity when the curve never falls that far. The curve is taken in
    the direction of its first entry, so a reversal factor has a half-life too.

    Source: the half-life of a signal's IC, Grinold and Kahn, Active Portfolio Management, ch. 13.
    """
    values = numbers(curve, "curve", ndim=1)
    if not values.size or not math.isfinite(values[0]) or values[0] == 0.0:
        return NAN
    share = values / values[0]
    below = np.flatnonzero(share <= 0.5)
    if not below.size:
        return math.inf
    k = int(below[0])
    before, after = share[k - 1], share[k]
    if not math.isfinite(before):
        return float(k)
    return float(k - 1 + (before - 0.5) / (before - after))
