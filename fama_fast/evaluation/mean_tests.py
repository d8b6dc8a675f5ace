"""Is the mean of a dependent daily series above zero: a t test and a bootstrap interval that hold their size.

Labels of h days overlap, so days are dependent over h - 1 days and more. The usual t of Newey and West rejects too
often then (docs/decisions/035-sizes-and-powers.md has figures). Here the long-run variance is the mean square of a few
low-frequency cosine sums, and t has as many degrees of freedom as there are cosines. It knows series only: no panel, no
factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, whole
from fama_fast.evaluation.inference import NAN, check_bootstrap, present
from fama_fast.evaluation.rank_correlation import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fama_fast.types import FloatArray, IntArray

_CELLS = 4_000_000  # numbers of a chunk of resamples: 32 MB


@dataclass(frozen=True)
class MeanTest:
    """The mean of a series with its standard error.

    Attributes:
        mean, error: in units of the series. t: mean / error. freedom: degrees of freedom of t. p: one-sided, of the
            null "not above zero"; 1 where t is not known. days: dates that have a value.
    """

    mean: float
    error: float
    t: float
    freedom: int
    p: float
    days: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of Student's t round the mean; NaN twice where the error is not known."""
        from scipy.special import stdtrit

        if not math.isfinite(self.error):
            return NAN, NAN
        half = float(stdtrit(self.freedom, 0.5 + confidence / 2.0)) * self.error
        return self.mean - half, self.mean + half


def cosine_count(days: int, horizon: int = 1) -> int:
    """How many cosines the long-run variance is made of: days^(2/3), at most 0.3 days / horizon, at least 1.

    Lazarus, Lewis, Stock and Watson (2018) recommend 0.4 days^(2/3) for series that remember .7 from date to date;
    daily figures of factors remember less, and more cosines tell more. The second bound keeps to frequencies below
    1 / (6 horizon), where the spectrum of overlapping labels is still flat.
    """
    horizon = whole(horizon, "horizon", 1)
    return max(1, min(math.floor(math.pow(days, 2.0 / 3.0)), math.floor(0.3 * days / horizon)))


def cosines(days: int, count: int) -> FloatArray:
    """(days, count) orthonormal cosines cos(pi j (t - 1/2) / days), j = 1 .. count; each adds up to zero."""
    angles = np.outer(np.arange(days) + 0.5, np.arange(1, count + 1)) * (math.pi / days)
    out: FloatArray = math.sqrt(2.0 / days) * np.cos(angles)
    return out


def mean_test(series: Any, *, horizon: int = 1) -> MeanTest:
    """Test whether the mean of a daily series is above zero, allowing for dependence between near days.

    t = sqrt(n) mean / sqrt(w), w = (1/B) sum_j (sum_t c_j(t) x_t)^2 over B = `cosine_count` orthonormal cosines; under
    the null it has Student's distribution with B degrees of freedom.

    Args:
        series: daily values in order; missing days are dropped. horizon: days a label spans.

    Raises:
        DataError: not a series of numbers. ConfigError: no such horizon.

    Source: Mueller (2007), Journal of Econometrics 141; Lazarus, Lewis, Stock and Watson (2018), "HAR inference:
    recommendations for practice", Journal of Business and Economic Statistics 36.
    """
    from scipy.special import stdtr

    horizon = whole(horizon, "horizon", 1)
    x = present(series)
    n = x.size
    if n < 2:
        return MeanTest(float(x[0]) if n else NAN, NAN, NAN, 0, 1.0, n)
    scale = _scale(x)
    x = x * scale
    base = float(x.min())
    rest = x - base
    middle = float(rest.mean())
    count = min(cosine_count(n, horizon), n - 1)
    sums = np.einsum("t,tb->b", rest - middle, cosines(n, count))
    error = math.sqrt(float(sums @ sums) / count / n)
    centre = base + middle
    if base == float(x.max()) or not error > 0.0:
        return MeanTest(centre / scale, NAN, NAN, count, 1.0, n)
    t = centre / error
    return MeanTest(centre / scale, error / scale, t, count, float(stdtr(count, -t)), n)


def _scale(x: FloatArray) -> float:
    """A power of two that brings the largest number of a series far from 1 near it; else 1."""
    largest = float(np.abs(x).max())
    if largest == 0.0 or 2.0**-400 <= largest <= 2.0**400:
        return 1.0
    return math.ldexp(1.0, -max(min(math.frexp(largest)[1], 1000), -1000))


def block_length(days: int, horizon: int = 1) -> float:
    """Mean days a block of the stationary bootstrap: the horizon, at least the cube root of the days."""
    return float(max(whole(horizon, "horizon", 1), math.ceil(days ** (1.0 / 3.0))))


def resampled_rows(days: int, block: float, resamples: int, seed: int, most: int) -> Iterator[IntArray]:
    """Rows of resamples by the stationary bootstrap, (at most `most`, days) at a time, `resamples` in all.

    Each row goes on to the next day, wrapped round the end, or with probability 1 / `block` to a day drawn anew. The
    draws do not depend on how many come at a time.

    Source: Politis and Romano (1994), Journal of the American Statistical Association 89.
    """
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    for at in range(0, resamples, max(1, most)):
        count = min(max(1, most), resamples - at)
        drawn = rng.random((count, 2, days))
        anew = drawn[:, 0] < 1.0 / block
        anew[:, 0] = True
        first = np.minimum((drawn[:, 1] * days).astype(np.int64), days - 1)
        last = np.maximum.accumulate(np.where(anew, day, 0), axis=1)
        yield (np.take_along_axis(first, last, axis=1) + (day - last)) % days


def resampled_t(series: FloatArray, *, horizon: int, resamples: int, seed: int) -> FloatArray:
    """(resamples,) t of `mean_test` of resamples of a centred series: its distribution under the null."""
    n = series.size
    waves = cosines(n, min(cosine_count(n, horizon), n - 1))
    out = []
    for rows in resampled_rows(n, block_length(n, horizon), resamples, seed, max(1, _CELLS // n)):
        x = series[rows]
        with one_thread():
            sums = x @ waves
        error = np.sqrt((sums * sums).mean(axis=1) / n)
        out.append(np.divide(x.mean(axis=1), error, out=np.zeros(len(x)), where=error > 0.0))
    return np.concatenate(out)


def studentised_interval(
    series: Any,
    *,
    confidence: float = 0.95,
    horizon: int = 1,
    resamples: int = 2000,
    seed: int = 0,
    draws: Any = (),
) -> tuple[float, float]:
    """Interval of the mean of a daily series by the stationary bootstrap of its t (percentile-t, symmetric).

    Blocks are at least `horizon` days long. Each resample is divided by its own standard error, so what blocks lose of
    the dependence cancels, and the tails of the series are in the interval as they are in the data.

    Args:
        series: daily values in order; missing days are dropped.
        draws: means over the same dates of what else the mean could have been by another draw of something that is not
            the dates (of the random formulas of a control): their standard deviation is added, times a number from
            Student's distribution with one degree of freedom less than there are draws, with each resample.
        confidence: in (0, 1). horizon: days a label spans. resamples: draws of dates. seed: equal seeds, equal bounds.

    Returns:
        (low, high), or NaN twice with fewer than two days or a constant series.

    Raises:
        ConfigError: a number out of its range. DataError: not a series of numbers.

    Source: Goetze and Kuensch (1996), Annals of Statistics 24, for the t of a block bootstrap; Goncalves and Vogelsang
    (2011), Econometric Theory 27, for one with the variance estimate of few degrees of freedom; Hall (1988), Annals of
    Statistics 16, for why the symmetric interval covers more exactly.
    """
    horizon = check_bootstrap(confidence, resamples, horizon, seed)
    others = numbers(draws, "draws", ndim=1)
    others = others[np.isfinite(others)]
    x = present(series)
    found = mean_test(x, horizon=horizon)
    if not math.isfinite(found.error):
        return NAN, NAN
    scale = _scale(x)
    t = resampled_t(x * scale - found.mean * scale, horizon=horizon, resamples=resamples, seed=seed)
    errors = t * found.error
    if others.size > 1:
        # Few draws tell their spread badly: Student's distribution says how badly (Behrens 1929, Fisher 1935).
        apart = np.random.default_rng([seed, 1]).standard_t(others.size - 1, size=resamples)
        errors = errors + apart * float(others.std(ddof=1))
    half = float(np.quantile(np.abs(errors), confidence, method="weibull"))
    return found.mean - half, found.mean + half
