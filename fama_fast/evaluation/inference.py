"""Statistics of a daily series of information coefficients: level, stability, and how sure one may be of it.

All functions take a one-dimensional series in date order, drop its missing days (NaN) and return NaN where a
figure is not defined. It knows series only: no panel, no factor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

NAN = float("nan")


def present(series: Any) -> FloatArray:
    """The finite entries of a series, in order."""
    array = np.asarray(series, dtype=np.float64)
    return array[np.isfinite(array)]


def mean(series: Any) -> float:
    """Arithmetic mean of the days that have a value."""
    x = present(series)
    return float(x.mean()) if x.size else NAN


def std(series: Any) -> float:
    """Standard deviation, ddof 1; NaN with fewer than two days."""
    x = present(series)
    return float(x.std(ddof=1)) if x.size > 1 else NAN


def information_ratio(series: Any) -> float:
    """ICIR: mean / std (ddof 1) of the daily series, not annualised; NaN when the series is constant.

    Source: Grinold and Kahn, Active Portfolio Management, ch. 5 and 10; RankICIR is the same of the RankIC.
    """
    x = present(series)
    if x.size < 2 or x.min() == x.max():
        return NAN
    return float(x.mean() / x.std(ddof=1))


def hit_rate(series: Any) -> float:
    """Share of days on which the series is above zero; below 1/2 for a reversal factor not yet oriented."""
    x = present(series)
    return float(np.count_nonzero(x > 0.0) / x.size) if x.size else NAN


def t_statistic(series: Any) -> float:
    """Student's t of the mean under independence: mean / (std / sqrt(n)).

    Overlapping labels (horizon > 1) make days dependent; use `newey_west_t` there.
    """
    x = present(series)
    return information_ratio(x) * math.sqrt(x.size)


def newey_west_lag(n: int, horizon: int = 1) -> int:
    """The lag used here: max(horizon - 1, floor(4 (n / 100)^(2/9))), at most n - 1.

    Labels of `horizon` days overlap on horizon - 1 days, the least that must be covered; the second term is
    the usual rule of thumb for the autocorrelation that is left (Newey and West 1994, as in Greene,
    Econometric Analysis).
    """
    rule_of_thumb = math.floor(4.0 * math.pow(n / 100.0, 2.0 / 9.0))
    return max(0, min(max(horizon - 1, rule_of_thumb), n - 1))


def newey_west_t(series: Any, *, horizon: int = 1, lag: int | None = None) -> float:
    """t of the mean with a heteroskedasticity- and autocorrelation-consistent standard error.

    With deviations u from the mean and c_l = sum_t u_t u_(t-l) / n, the variance of the mean is
    (c_0 + 2 sum_(l=1..L) (1 - l / (L + 1)) c_l) / (n - 1); with L = 0 this is Student's t.

    Args:
        series: daily values in order.
        horizon: days a label spans.
        lag: L; by default `newey_west_lag(n, horizon)`. It must be at least horizon - 1.

    Raises:
        ValueError: a lag below horizon - 1.

    Source: Newey and West (1987), Econometrica 55; the n - 1 is the small-sample correction for one estimated
    mean.
    """
    if lag is not None and lag < horizon - 1:
        raise ValueError(f"labels of {horizon} days overlap: the lag must be at least {horizon - 1}, not {lag}")
    x = present(series)
    n = x.size
    if n < 2 or x.min() == x.max():
        return NAN
    width = newey_west_lag(n, horizon) if lag is None else min(lag, n - 1)
    u = x - x.mean()
    long_run = float(u @ u) / n
    for k in range(1, width + 1):
        long_run += 2.0 * (1.0 - k / (width + 1.0)) * float(u[k:] @ u[:-k]) / n
    return float(x.mean() / math.sqrt(long_run / (n - 1))) if long_run > 0.0 else NAN


def p_value(t: float) -> float:
    """Two-sided p-value of a t-statistic under the normal limit: erfc(|t| / sqrt 2)."""
    return math.erfc(abs(t) / math.sqrt(2.0)) if math.isfinite(t) else NAN


def bootstrap_interval(
    series: Any,
    *,
    confidence: float = 0.95,
    block: int | None = None,
    resamples: int = 2000,
    horizon: int = 1,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean by the circular block bootstrap.

    Blocks of consecutive days, wrapped round the end, are drawn with replacement until n days are filled, so
    the dependence between near days is kept.

    Args:
        series: daily values in order. confidence: in (0, 1).
        block: days a block; by default max(horizon, ceil(n^(1/3))). resamples: draws. seed: equal seeds,
            equal bounds.

    Returns:
        (low, high), or NaN twice with fewer than two days.

    Source: Politis and Romano (1992), "A circular block-resampling procedure for stationary data".
    """
    x = present(series)
    n = x.size
    if n < 2:
        return NAN, NAN
    length = min(n, max(horizon, math.ceil(n ** (1.0 / 3.0))) if block is None else max(1, block))
    full, rest = divmod(n, length)
    wrapped = np.concatenate(([0.0], np.cumsum(np.concatenate((x, x[:length])))))
    sums = wrapped[length : length + n] - wrapped[:n]
    draws = np.random.default_rng(seed)
    totals = sums[draws.integers(0, n, size=(resamples, full))].sum(axis=1)
    if rest:
        tails = wrapped[rest : rest + n] - wrapped[:n]
        totals = totals + tails[draws.integers(0, n, size=resamples)]
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(totals / n, [tail, 100.0 - tail])
    return float(low), float(high)


def benjamini_hochberg(p_values: Any) -> FloatArray:
    """Adjusted p-values that control the false discovery rate over all of them; NaN stays NaN and is not
    counted.

    adjusted_(i) = min over j >= i of min(1, p_(j) m / j), for the m p-values in ascending order.

    Source: Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    given = np.flatnonzero(~np.isnan(p))
    if given.size:
        descending = given[np.argsort(-p[given], kind="stable")]
        scaled = p[descending] * given.size / np.arange(given.size, 0, -1)
        out[descending] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return out
