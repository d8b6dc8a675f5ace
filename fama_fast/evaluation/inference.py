"""Statistics of a daily series of information coefficients: level, stability, and how sure one may be of it.

All functions take a one-dimensional series in date order, drop its missing days (NaN) and return NaN where a
figure is not defined. It knows series only: no panel, no factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, real, whole
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

NAN = float("nan")


def present(series: Any) -> FloatArray:
    """The finite entries of a series, in order.

    Raises:
        DataError: not a series of numbers.
    """
    known = type(series) is np.ndarray and series.dtype == np.float64 and series.ndim == 1
    array: FloatArray = series if known else numbers(series, "series", ndim=1)
    return array[np.isfinite(array)]


# A spread so far below the level would drown in the rounding of the mean.
_NARROW = 2.0**-16


@dataclass(frozen=True)
class _Parts:
    """A series as (base + rest) / scale, such that sums and squares of the rest lose no digits: mostly (0 + series) /
    1.

    Attributes:
        scale: a power of two that brings a series far from 1 near it. base: the smallest number of a series that moves
            little beside its level, or not at all. constant: it does not move.
    """

    rest: FloatArray
    scale: float
    base: float
    constant: bool

    @property
    def centre(self) -> float:
        """The mean times the scale."""
        return self.base + float(self.rest.mean())


def _parts(x: FloatArray) -> _Parts:
    """The `_Parts` of a series of at least one number."""
    low, high = float(x.min()), float(x.max())
    largest, scale = max(-low, high), 1.0
    if largest != 0.0 and not 2.0**-400 <= largest <= 2.0**400:
        scale = math.ldexp(1.0, -max(min(math.frexp(largest)[1], 1000), -1000))
        x, low, high, largest = x * scale, low * scale, high * scale, largest * scale
    if high - low < _NARROW * largest:
        return _Parts(x - low, scale, low, low == high)
    return _Parts(x, scale, 0.0, low == high)


def mean(series: Any) -> float:
    """Arithmetic mean of the days that have a value."""
    x = present(series)
    if not x.size:
        return NAN
    parts = _parts(x)
    return parts.centre / parts.scale


def std(series: Any) -> float:
    """Standard deviation, ddof 1; NaN with fewer than two days."""
    x = present(series)
    if x.size < 2:
        return NAN
    parts = _parts(x)
    return 0.0 if parts.constant else float(parts.rest.std(ddof=1)) / parts.scale


def information_ratio(series: Any) -> float:
    """ICIR: mean / std (ddof 1) of the daily series, not annualised; NaN when the series is constant.

    Source: Grinold and Kahn, Active Portfolio Management, ch. 5 and 10; RankICIR is the same of the RankIC.
    """
    x = present(series)
    parts = _parts(x) if x.size > 1 else None
    if parts is None or parts.constant:
        return NAN
    return float(parts.centre / parts.rest.std(ddof=1))


def hit_rate(series: Any) -> float:
    """Share of days on which the series is above zero; below 1/2 for a reversal factor not yet oriented."""
    x = present(series)
    return float(np.count_nonzero(x > 0.0) / x.size) if x.size else NAN


@dataclass(frozen=True)
class SeriesLevel:
    """Mean, ICIR, hit rate and Newey-West t of one series, with its number of days."""

    mean: float
    ratio: float
    hit_rate: float
    t: float
    days: int


def level(series: Any, *, horizon: int = 1) -> SeriesLevel:
    """All figures of a series at once, bit-identical to those computed one by one, with their sums shared."""
    x = present(series)
    n = x.size
    if n < 2:
        return SeriesLevel(mean(x), NAN, hit_rate(x), NAN, n)
    parts = _parts(x)
    hits = float(np.count_nonzero(x > 0.0) / n)
    middle = parts.rest.mean()
    centre = parts.base + float(middle)
    if parts.constant:
        return SeriesLevel(centre / parts.scale, NAN, hits, NAN, n)
    u = parts.rest - middle
    spread = np.sqrt(np.add.reduce(u * u) / (n - 1))
    t = _newey_west(centre, u, newey_west_lag(n, horizon))
    return SeriesLevel(centre / parts.scale, float(centre / spread), hits, t, n)


def t_statistic(series: Any) -> float:
    """Student's t of the mean under independence: mean / (std / sqrt(n)).

    Overlapping labels (horizon > 1) make days dependent; use `newey_west_t` there.
    """
    x = present(series)
    return information_ratio(x) * math.sqrt(x.size)


def newey_west_lag(n: int, horizon: int = 1) -> int:
    """The default lag of `newey_west_t`: max(horizon - 1, floor(4 (n / 100)^(2/9))), at most n - 1.

    Labels of `horizon` days overlap on horizon - 1 days, the least that must be covered; the second term is
    the usual rule of thumb for the autocorrelation that is left (Newey and West 1994, as in Greene,
    Econometric Analysis).
    """
    horizon = whole(horizon, "horizon", 1)
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
        ConfigError: a lag below horizon - 1, or one of them no whole number.

    Source: Newey and West (1987), Econometrica 55; the n - 1 is the small-sample correction for one estimated
    mean.
    """
    horizon = whole(horizon, "horizon", 1)
    if lag is not None and whole(lag, "lag", 0) < horizon - 1:
        raise ConfigError(f"labels of {horizon} days overlap: the lag must be at least {horizon - 1}, not {lag}")
    x = present(series)
    n = x.size
    parts = _parts(x) if n > 1 else None
    if parts is None or parts.constant:
        return NAN
    width = newey_west_lag(n, horizon) if lag is None else min(lag, n - 1)
    return _newey_west(parts.centre, parts.rest - parts.rest.mean(), width)


def _newey_west(centre: float, u: FloatArray, width: int) -> float:
    n = u.size
    long_run = float(u @ u) / n
    for k in range(1, width + 1):
        long_run += 2.0 * (1.0 - k / (width + 1.0)) * float(u[k:] @ u[:-k]) / n
    return centre / math.sqrt(long_run / (n - 1)) if long_run > 0.0 else NAN


def p_value(t: float) -> float:
    """Two-sided p-value of a t-statistic under the normal limit: erfc(|t| / sqrt 2)."""
    return math.erfc(abs(t) / math.sqrt(2.0)) if math.isfinite(t) else NAN


MOST_RESAMPLES = 1_000_000


def check_bootstrap(confidence: float, resamples: int, horizon: int, seed: int) -> int:
    """Check the arguments of a bootstrap; returns the horizon."""
    if not 0.0 < real(confidence, "confidence") < 1.0:
        raise ConfigError(f"confidence must lie between 0 and 1, not {confidence}")
    whole(resamples, "resamples", 1, MOST_RESAMPLES)
    whole(seed, "seed", 0)
    return whole(horizon, "horizon", 1)


def stationary_bootstrap_interval(
    series: Any,
    *,
    confidence: float = 0.95,
    block: float | None = None,
    resamples: int = 2000,
    horizon: int = 1,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean by the stationary bootstrap.

    Blocks of consecutive days, wrapped round the end, are drawn with replacement until n days are filled, so the
    dependence between near days is kept. Their lengths are random (geometric, with mean `block`), so that the resampled
    series is stationary and no date is favoured by where a block happens to end.

    Args:
        series: daily values in order. confidence: in (0, 1).
        block: mean days a block, at least 1; by default max(horizon, ceil(n^(1/3))). resamples: draws.
        seed: equal seeds, equal bounds.

    Returns:
        (low, high), or NaN twice with fewer than two days.

    Raises:
        ConfigError: a number out of its range.

    Source: Politis and Romano (1994), "The stationary bootstrap", Journal of the American Statistical
    Association 89.
    """
    horizon = check_bootstrap(confidence, resamples, horizon, seed)
    block = None if block is None else real(block, "block", 1.0)
    x = present(series)
    n = x.size
    if n < 2:
        return NAN, NAN
    length = max(horizon, math.ceil(n ** (1.0 / 3.0))) if block is None else block
    parts = _parts(x)
    x = parts.rest
    draws = np.random.default_rng(seed)
    # A block's sum is a difference of two cumulative sums, so a resample costs its blocks, not its days.
    wrapped = np.concatenate(([0.0], np.cumsum(np.concatenate((x, x)))))
    left = np.full(resamples, n)
    totals = np.zeros(resamples)
    while left.any():
        days = np.minimum(np.minimum(draws.geometric(1.0 / length, size=resamples), n), left)
        first = draws.integers(0, n, size=resamples)
        totals += wrapped[first + days] - wrapped[first]
        left -= days
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(totals / n, [tail, 100.0 - tail])
    return (parts.base + float(low)) / parts.scale, (parts.base + float(high)) / parts.scale


def _variance(value: Any) -> float:
    return NAN if isinstance(value, float | np.floating) and math.isnan(value) else real(value, "variance", 0.0)


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """The expected Sharpe ratio of the best of `trials` strategies without skill.

    Args:
        trials: independent strategies tried. variance: of the Sharpe ratios over the trials.

    Returns:
        sqrt(variance) ((1 - g) z(1 - 1/trials) + g z(1 - 1/(trials e))), g Euler's constant and z the normal
        quantile; 0 for one trial, NaN where the variance is not known.

    Source: Bailey and Lopez de Prado (2014), "The deflated Sharpe ratio", Journal of Portfolio Management 40.
    """
    from scipy.special import ndtri

    trials, variance = whole(trials, "trials", 0), _variance(variance)
    if not math.isfinite(variance):
        return NAN
    if trials < 2:
        return 0.0
    g = float(np.euler_gamma)
    best = (1.0 - g) * float(ndtri(1.0 - 1.0 / trials)) + g * float(ndtri(1.0 - 1.0 / (trials * math.e)))
    return math.sqrt(variance) * best


def deflated_sharpe(series: Any, *, trials: int, variance: float) -> float:
    """Deflated Sharpe ratio: the probability that the true Sharpe ratio of a series is above the expected best of many
    trials without skill.

    Args:
        series: daily returns (or daily RankICs, whose Sharpe ratio is the RankICIR) of what was selected.
        trials: how many were tried. variance: of their daily Sharpe ratios.

    Returns:
        In [0, 1]: the probabilistic Sharpe ratio against `expected_maximum_sharpe`, with the series' own skewness
        and kurtosis in the standard error. NaN where it is not defined.

    Source: Bailey and Lopez de Prado (2014), as above; Lo (2002) and Mertens (2002) for the standard error.
    """
    from scipy.special import ndtr

    x = present(series)
    sharpe = information_ratio(x)
    bar = expected_maximum_sharpe(trials, variance)
    if x.size < 3 or not math.isfinite(sharpe) or not math.isfinite(bar):
        return NAN
    rest = _parts(x).rest
    u = (rest - rest.mean()) / rest.std()
    skewness, kurtosis = float(np.mean(u**3)), float(np.mean(u**4))
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    return float(ndtr((sharpe - bar) * math.sqrt(x.size - 1.0) / math.sqrt(spread))) if spread > 0.0 else NAN


def benjamini_hochberg(p_values: Any) -> FloatArray:
    """Adjusted p-values that control the false discovery rate over all of them; NaN stays NaN and is not
    counted.

    adjusted_(i) = min over j >= i of min(1, p_(j) m / j), for the m p-values in ascending order.

    Source: Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
    """
    p = numbers(p_values, "p-values", ndim=1)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if known.size:
        descending = known[np.argsort(-p[known], kind="stable")]
        scaled = p[descending] * known.size / np.arange(known.size, 0, -1)
        out[descending] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return out
