"""Daily RankIC of a factor by year, month, sector and liquidity.

A figure for the whole hides a factor that lived in one year or one sector. It knows arrays only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.arguments import numbers, shown, whole
from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation.daily import summarise
from fama_fast.evaluation.ic import MIN_PAIRS, MOST_PAIRS
from fama_fast.evaluation.inference import information_ratio, mean, newey_west_t, present
from fama_fast.evaluation.portfolios import Groups, codes_of, quantile_buckets
from fama_fast.evaluation.rows import chosen_rows, over_rows, same_shape, sorted_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.types import FloatArray, IntArray, Rows

_UNITS = {"year": "datetime64[Y]", "month": "datetime64[M]"}


def by_period(
    daily_rank_ic: Any,
    dates: Any,
    unit: Literal["year", "month"] = "year",
    *,
    horizon: int = 1,
) -> list[dict[str, Any]]:
    """One row a calendar year or month with a date: period ("2016" or "2016-03"), RankIC, ICIR, hit rate, t, days.

    Args:
        daily_rank_ic: (T,). dates: (T,) datetime64. horizon: days a label spans, for the Newey-West lag.

    Raises:
        ConfigError: another unit. DataError: dates that are none, or not one a figure.
    """
    if unit not in _UNITS:
        raise ConfigError(f"unit must be year or month, not {unit!r}")
    series = numbers(daily_rank_ic, "daily RankIC", ndim=1)
    days = np.asarray(dates)
    if days.dtype.kind != "M" or days.shape != series.shape:
        raise DataError(f"dates must be {series.size} dates (datetime64), not {shown(dates)}")
    period = days.astype(_UNITS[unit])
    out = []
    for which in np.unique(period):
        part = series[period == which]
        summary = summarise(part, part, horizon=horizon)
        out.append(
            {
                "period": str(which),
                "rank_ic": summary.rank_ic,
                "rank_icir": summary.rank_icir,
                "hit_rate": summary.hit_rate,
                "rank_ic_t": summary.rank_ic_t,
                "n_days": summary.n_days,
            }
        )
    return out


def rank_ic_by_group(
    values: Any, forward_returns: Any, groups: Groups, *, min_pairs: int = MIN_PAIRS, threads: int | None = None
) -> FloatArray:
    """(T, G) daily RankIC within each group: ranks are taken among the group's complete pairs of the date.

    NaN where a group has fewer than `min_pairs` pairs or either side is constant in it.
    """
    from fama_fast.backends.numba_vm import rank_loops

    if groups is None:
        raise DataError("groups must be Groups of codes and labels, not None")
    fewest = max(2, whole(min_pairs, "min_pairs", 0, MOST_PAIRS))
    x = sorted_rows(values, threads=threads)
    y = sorted_rows(forward_returns, threads=threads, name="forward returns")
    same_shape(y.values, x.values.shape, "forward returns")
    codes, n_groups = codes_of(groups, x.values.shape)
    out = np.empty((x.values.shape[0], n_groups))
    over_rows(
        lambda a, b: rank_loops.rank_correlation_by_group(
            x.values, x.order, x.count, y.values, y.order, y.count, codes, fewest, a, b, out
        ),
        x.values.shape,
        threads,
    )
    return out


def by_group(
    values: Any,
    forward_returns: Any,
    groups: Groups,
    *,
    rows: Rows | None = None,
    horizon: int = 1,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """RankIC within each group (`rank_ic_by_group`): one row a group, in the order of its labels.

    Columns: group, rank_ic, rank_icir, rank_ic_t, n_days (with a RankIC in the group), members (with a value, mean).
    """
    x = sorted_rows(values, threads=threads)
    series = rank_ic_by_group(x, forward_returns, groups, min_pairs=min_pairs, threads=threads)
    part = chosen_rows(rows, len(x.values))
    members = _members(x.values[part], groups.codes[part], len(groups.labels))
    out = []
    for code, label in enumerate(groups.labels):
        own = series[part, code]
        out.append(
            {
                "group": label,
                "rank_ic": mean(own),
                "rank_icir": information_ratio(own),
                "rank_ic_t": newey_west_t(own, horizon=horizon),
                "n_days": int(present(own).size),
                "members": mean(members[:, code]),
            }
        )
    return out


def _members(values: FloatArray, codes: FloatArray, n_groups: int) -> IntArray:
    """(D, G) symbols with a value in each group of each date, counted in one pass."""
    counted = np.isfinite(values) & np.isfinite(codes)
    cells = np.nonzero(counted)[0] * n_groups + codes[counted].astype(np.int64)
    out: IntArray = np.bincount(cells, minlength=len(values) * n_groups).reshape(len(values), n_groups)
    return out


def liquidity_groups(
    dollar_volume: Any,
    *,
    buckets: int = 5,
    labels: Sequence[str] | None = None,
    universe: Any = None,
    threads: int | None = None,
) -> Groups:
    """Buckets of each date by dollar volume, as groups for `by_group`: the first is the least liquid.

    Args:
        dollar_volume: (T, N), best a trailing mean (ADV20), so that membership is known when the factor is.
    """
    bucket = quantile_buckets(dollar_volume, quantiles=buckets, universe=universe, threads=threads)
    names = labels or [
        f"{b} (least liquid)" if b == 1 else f"{b} (most liquid)" if b == buckets else str(b)
        for b in range(1, buckets + 1)
    ]
    if len(names) != buckets:
        raise DataError(f"there are {len(names)} labels for {buckets} buckets")
    return Groups.view(np.where(bucket > 0, bucket - 1.0, np.nan), tuple(names))
