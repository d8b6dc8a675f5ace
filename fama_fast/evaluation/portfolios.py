"""Portfolios formed from factor values: quantile buckets, long-short, and top-k with few replacements a day.

Weights of row t are formed from values known at the close of t. What they earn is row t of the one-day forward
returns: entered `entry_lag` days after t at the close, left the day after (`forward_returns(panel, 1, entry_lag)`), and
formed anew each day. It knows arrays only: no panel, no expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, real, shown, whole
from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation.performance import Path
from fama_fast.evaluation.rows import mask_matrix, matrix, over_rows, same_shape, sorted_rows
from fama_fast.panel.groups import GroupField

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.types import FloatArray, IntArray

MAX_QUANTILES = 100
MOST_NAMES = 1_000_000
_NO_CODES = np.empty((0, 0))


@dataclass(frozen=True)
class Groups(GroupField):
    """Groups of the symbols, date by date: `codes` (T, N) float64 in [0, n), NaN without a group, and their `labels`.

    Raises:
        DataError: codes that are no places in `labels`.
    """


def codes_of(groups: GroupField | None, shape: tuple[int, ...]) -> tuple[FloatArray, int]:
    """Group codes for the loops, and the number of groups; without groups codes of shape (0, 0), and 1.

    Raises:
        DataError: not groups, or of another shape.
    """
    if groups is None:
        return matrix(_NO_CODES, "groups"), 1
    if not isinstance(groups, GroupField):
        raise DataError(f"groups must be Groups of codes and labels, not {shown(groups)}")
    same_shape(groups.codes, shape, "groups")
    return matrix(groups.codes, "groups"), groups.n


def quantile_buckets(
    values: Any,
    *,
    quantiles: int = 5,
    universe: Any = None,
    groups: Groups | None = None,
    threads: int | None = None,
) -> NDArray[np.int8]:
    """Bucket of each cell by its value that date: 1 (lowest) to `quantiles`, 0 for cells that are in none.

    Buckets are the intervals between linearly interpolated quantiles, as `pandas.qcut` cuts them. Tied values share
    the bucket of their average rank, and the lowest and the highest value are always at the bottom and at the top, so
    that a factor of two values has both; buckets between may then be empty. With `groups`, within each group of each
    date, so that long-short is neutral to groups; a date (or a group of it) with fewer cells than buckets, or with one
    value alone, has none.

    Args:
        values: (T, N), or a `SortedRows` of them (its universe is in it).

    Raises:
        ConfigError: fewer than 2 or more than 100 quantiles. DataError: shapes differ.
    """
    from fama_fast.backends.numba_vm import portfolio_loops

    if not 2 <= whole(quantiles, "quantiles") <= MAX_QUANTILES:
        raise ConfigError(f"quantiles must be 2 to {MAX_QUANTILES}, not {quantiles}")
    rows = sorted_rows(values, universe, threads=threads)
    shape = rows.values.shape
    codes, n = codes_of(groups, shape)
    out = np.empty(shape, dtype=np.int8)
    over_rows(
        lambda a, b: portfolio_loops.quantile_buckets(
            rows.values, rows.order, rows.count, codes, n, quantiles, a, b, out
        ),
        shape,
        threads,
    )
    return out


def distinct_values(values: Any, *, universe: Any = None, threads: int | None = None) -> IntArray:
    """(T,) number of distinct values on each date: with fewer than buckets, some of those are empty."""
    from fama_fast.backends.numba_vm import portfolio_loops

    rows = sorted_rows(values, universe, threads=threads)
    out = np.zeros(len(rows.values), dtype=np.int64)
    over_rows(
        lambda a, b: portfolio_loops.distinct_values(rows.values, rows.order, rows.count, a, b, out),
        rows.values.shape,
        threads,
    )
    return out


def bucket_returns(buckets: Any, returns: Any, *, quantiles: int, threads: int | None = None) -> FloatArray:
    """(T, quantiles) equal-weight mean return of each bucket, over its cells that have a return; NaN for none."""
    from fama_fast.backends.numba_vm import portfolio_loops

    quantiles = whole(quantiles, "quantiles", 1, MAX_QUANTILES)
    y = matrix(returns, "returns")
    within = _buckets(buckets, quantiles, y.shape)
    out = np.empty((y.shape[0], quantiles))
    over_rows(lambda a, b: portfolio_loops.bucket_means(within, y, a, b, out), y.shape, threads)
    return out


def _buckets(buckets: Any, quantiles: int, shape: tuple[int, ...] | None = None) -> NDArray[np.int8]:
    """Numbers of buckets as the loops take them.

    Raises:
        DataError: a bucket that is none of 0 (no bucket), 1, ... quantiles, or another shape.
    """
    array = numbers(buckets, "buckets", ndim=2)
    if shape is not None:
        same_shape(array, shape, "buckets")
    right = (array >= 0) & (array <= quantiles) & (np.floor(array) == array)
    if not bool(right.all()):
        row, column = map(int, np.argwhere(~right)[0])
        raise DataError(
            f"buckets must be whole numbers from 0 to {quantiles}: the one in row {row}, column {column} is "
            f"{array[row, column]:g}"
        )
    return array.astype(np.int8)


def long_short_weights(buckets: Any, *, quantiles: int, sign: int = 1) -> FloatArray:
    """(T, N) weights: the top bucket held in equal parts that add to +1, the bottom one to -1; zero elsewhere.

    Dates where one of the two is empty hold nothing. `sign` -1 turns it round, for factors that reverse.
    """
    quantiles = whole(quantiles, "quantiles", 1, MAX_QUANTILES)
    if whole(sign, "sign") not in (1, -1):
        raise ConfigError(f"the sign must be 1 or -1, not {sign}")
    within = _buckets(buckets, quantiles)
    top, bottom = within == quantiles, within == 1
    n_top, n_bottom = np.count_nonzero(top, axis=1), np.count_nonzero(bottom, axis=1)
    both = (n_top > 0) & (n_bottom > 0)
    up = np.divide(float(sign), n_top, out=np.zeros(n_top.size), where=both)
    down = np.divide(float(sign), n_bottom, out=np.zeros(n_top.size), where=both)
    out: FloatArray = top * up[:, None] - bottom * down[:, None]
    return out


def top_k_weights(
    values: Any, *, k: int = 50, n_drop: int = 5, universe: Any = None, threads: int | None = None
) -> FloatArray:
    """(T, N) weights 1/k of a long-only portfolio of the k highest, of which at most `n_drop` are replaced a day.

    Each day the best `n_drop` names outside stand against those inside; the insiders among the `n_drop` worst of them
    all are sold and as many outsiders bought. A held name that has no value any more is among the worst.

    Raises:
        ConfigError: k or n_drop below 1, or n_drop above k.

    Source: the TopkDropout strategy of qlib (Yang et al. 2020).
    """
    from fama_fast.backends.numba_vm import portfolio_loops

    k, n_drop = whole(k, "k", 1, MOST_NAMES), whole(n_drop, "n_drop", 1)
    if n_drop > k:
        raise ConfigError(f"a top-k portfolio needs 1 <= n_drop <= k, not k={k} and n_drop={n_drop}")
    rows = sorted_rows(values, universe, threads=threads)
    out = np.empty(rows.values.shape)
    portfolio_loops.top_k(rows.order, rows.count, k, n_drop, out)
    return out


def waiting_weights(weights: Any, tradable: Any, returns: Any) -> FloatArray:
    """(T, N) weights that are held where a name can be traded only on some bars: an entry waits, and so does an exit.

    A name that cannot be traded keeps the weight that it had, drifted with its return; without one it gets none. Behind
    the last row on which it has a return nothing of it is held: it is gone, at its last value.

    Args:
        weights: (T, N) that are wanted. tradable: (T, N) bool, of the bar that the weights of each row are reached on.
        returns: (T, N) one-day forward returns of the same rows.

    Raises:
        DataError: shapes differ.
    """
    from fama_fast.backends.numba_vm import portfolio_loops

    w, y = matrix(weights, "weights"), matrix(returns, "returns")
    same_shape(y, w.shape, "returns")
    able = mask_matrix(tradable, w.shape, "tradable")
    known = np.isfinite(y)
    last = np.where(known.any(axis=0), len(y) - 1 - np.argmax(known[::-1], axis=0), -1)
    out = np.empty(w.shape)
    portfolio_loops.wait_to_trade(w, able, y, last.astype(np.int64), out)
    return out


def hold(weights: Any, returns: Any, *, threads: int | None = None) -> Path:
    """The `Path` of a portfolio with given weights each day.

    A missing return counts as zero: the position waits until it trades again. What is traded is the sum of
    |weight - yesterday's weight after it drifted with returns|, so holding still costs only the rebalancing.

    Args:
        weights: (T, N), zero where nothing is held. returns: (T, N) one-day forward returns of the same rows.

    Raises:
        DataError: shapes differ.
    """
    from fama_fast.backends.numba_vm import portfolio_loops

    w, y = matrix(weights, "weights"), matrix(returns, "returns")
    same_shape(y, w.shape, "returns")
    gross, traded = np.empty(w.shape[0]), np.empty(w.shape[0])
    over_rows(lambda a, b: portfolio_loops.hold(w, y, a, b, gross, traded), w.shape, threads)
    return Path(gross, traded)


def capacity(weights: Any, dollar_volume: Any, *, participation: float = 0.05) -> float:
    """Capital at which the trades of a portfolio take `participation` of their names' dollar volume on average.

    With trades d = |w_t - w_(t-1)| and dollar volumes V, capital C trades C d in a name, a share C d / V of its day;
    weighted by d that share is C sum(d^2 / V) / sum(d), so C = participation sum(d) / sum(d^2 / V). The median over
    dates is returned, in the currency of `dollar_volume`; NaN when nothing is ever traded or no volume is known.
    Trades in names whose volume is missing or zero that day are left out.

    Source: participation limits, as in Grinold and Kahn, Active Portfolio Management, ch. 16; the closed form is ours.
    """
    participation = real(participation, "participation", above=0.0)
    w, volume = matrix(weights, "weights"), matrix(dollar_volume, "dollar volume")
    same_shape(volume, w.shape, "dollar volume")
    d = np.abs(np.diff(w, axis=0))
    v = volume[1:]
    known = np.isfinite(v) & (v > 0.0)
    traded = np.where(known, d, 0.0).sum(axis=1)
    crowding = np.divide(d * d, v, out=np.zeros(d.shape), where=known).sum(axis=1)
    days = crowding > 0.0
    return float(np.median(participation * traded[days] / crowding[days])) if days.any() else float("nan")
