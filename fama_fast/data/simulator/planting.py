"""Plants signals in simulated returns so that an expression has a stated mean RankIC.

How a row is planted. Let z be the standardised ranks of the expression on day t and x those of the noise
returns of day t + 2. Noise returns are dealt out anew in the order of a z + b x, b = sqrt(1 - a^2), with a
such that the rank correlation with z rises by the stated RankIC over what the noise has by chance (a vector
a, for several signals, from their correlations). The day's set of returns stays what it was, so volatility,
market and sector moves are untouched; only who gets which changes. As noise has no expected RankIC, the
mean is as stated; from day to day it varies as much as noise does.

How it is made consistent. The expression sees prices that earlier planting moved, so time runs forward: its
values on days t and t + 1 need returns up to t + 1 alone and settle those of t + 2 and t + 3. Two days at a
time are evaluated on a window of the expression's lookback, and every value is final when it is used.
(Iterating
over longer blocks until nothing changes gives the same answer with as many evaluations: ranks settle slowly.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.types import FloatArray, IntArray

DELAY = 2
"""Days from knowing a signal to the return that carries it: enter at the next close, leave one close
later."""

_FEWEST = 3  # symbols with a value on a day; below this the day is left as it is
_STEPS = 2  # of Newton's method for a
_TOLERANCE = 0.005


def plant(
    noise: FloatArray,
    rank_ics: Sequence[float],
    observe: Callable[[int, int, FloatArray], Sequence[FloatArray]],
    names: Sequence[str],
) -> FloatArray:
    """Permute the returns of each day so that each signal has its RankIC with the return `DELAY` days later.

    Args:
        noise: (T, N) returns without signals.
        rank_ics: stated mean RankIC of each signal.
        observe: given rows [start, stop) and their returns (stop - start, N), the values (stop - start, N) of
            every signal on them. Called with rows that follow one another, from row 0 on.
        names: the signals' expressions, for messages.

    Raises:
        ConfigError: a signal has no values, or the stated RankICs contradict each other.
    """
    target = np.asarray(rank_ics, dtype=np.float64)
    n_dates = noise.shape[0]
    returns = noise.copy()
    unmet = np.full((n_dates, target.size), np.nan)
    for start in range(0, n_dates - DELAY, DELAY):
        stop = min(start + DELAY, n_dates - DELAY)
        values = np.stack(observe(start, stop, returns[start:stop]))
        later = slice(start + DELAY, stop + DELAY)
        returns[later], unmet[start:stop] = _deal(noise[later], values, target)
    for name, left, stated in zip(names, unmet.T, rank_ics, strict=True):
        missed = left[np.isfinite(left)]
        if not missed.size:
            raise ConfigError(f"the planted signal {name} has no values: too few dates or symbols for it")
        if abs(float(missed.mean())) > _TOLERANCE:
            raise ConfigError(
                f"the planted signal {name} cannot have a RankIC of {stated:g} beside the other signals: "
                "they overlap too much"
            )
    return returns


def _deal(noise: FloatArray, values: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Noise rows (M, N) permuted for signal values (K, M, N), and the RankIC left unmet (M, K).

    Unmet is NaN on days on which a signal has too few values.
    """
    n_signals, n_rows, n_symbols = values.shape
    present = np.isfinite(values)
    takes_part = present.any(axis=0)
    seen = np.where(present, values, np.nan).reshape(n_signals * n_rows, n_symbols)
    z = _order_and_ranks(seen)[1].reshape(values.shape)
    by_noise, x = _order_and_ranks(np.where(takes_part, noise, np.nan))
    counts = np.maximum(present.sum(axis=2), 1).T
    # overlap[m, k, j]: what a unit of signal j adds to the RankIC of signal k on day m.
    overlap = np.einsum("kmn,jmn->mkj", z, z) / counts[:, :, None]
    solve = np.linalg.pinv(overlap, rcond=1e-6)
    by_chance = np.einsum("kmn,mn->mk", z, x) / counts
    weights = np.zeros((n_rows, n_signals))
    unmet = np.broadcast_to(target, weights.shape)
    by_order = by_noise
    for _ in range(_STEPS):
        # Newton, for expression and volatility share extreme symbols: ranks move less there than scores do.
        weights = weights + np.einsum("mkj,mj->mk", solve, unmet)
        signal = np.einsum("mk,kmn->mn", weights, z)
        strength = (signal**2).sum(axis=1) / np.maximum(takes_part.sum(axis=1), 1)
        rest = np.sqrt(np.maximum(0.0, 1.0 - strength))
        by_order, ranks = _order_and_ranks(np.where(takes_part, signal + rest[:, None] * x, np.nan))
        unmet = target - (np.einsum("kmn,mn->mk", z, ranks) / counts - by_chance)

    # Stable sorts put symbols that take no part last, in the same sequence in both: they keep their own
    # return.
    dealt = np.empty_like(noise)
    np.put_along_axis(dealt, by_order, np.take_along_axis(noise, by_noise, axis=1), axis=1)
    too_few = takes_part.sum(axis=1) < _FEWEST
    dealt[too_few] = noise[too_few]
    return dealt, np.where(present.sum(axis=2).T >= _FEWEST, unmet, np.nan)


def standardised_ranks(values: FloatArray) -> FloatArray:
    """Ranks along each row of (M, N): ties averaged, mean 0 and variance 1 over present values, missing 0."""
    return _order_and_ranks(values)[1]


def _order_and_ranks(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The stable sorting order of each row of (M, N), NaN last, and `standardised_ranks`."""
    n = values.shape[1]
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    position = np.arange(n)
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    ends = np.ones(values.shape, dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    last = np.minimum.accumulate(np.where(ends, position, n)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2.0, axis=1)

    present = np.isfinite(values)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    ranks = np.where(present, ranks, 0.0)
    ranks = np.where(present, ranks - ranks.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((ranks**2).sum(axis=1, keepdims=True) / count)
    out: FloatArray = np.divide(ranks, spread, out=np.zeros_like(ranks), where=spread > 0)
    return order, out
