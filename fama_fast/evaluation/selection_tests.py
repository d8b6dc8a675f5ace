"""Is the best of many series more than luck: bootstrap tests of the best, and how many trials it was chosen from.

It knows a matrix of daily figures, one column a candidate, in the direction in which each was chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, real, whole
from fama_fast.errors import DataError
from fama_fast.evaluation.inference import NAN, check_bootstrap
from fama_fast.evaluation.mean_tests import block_length, cosine_count, cosines, mean_test, resampled_rows
from fama_fast.evaluation.rank_correlation import one_thread

if TYPE_CHECKING:
    from fama_fast.types import FloatArray, IntArray

_CELLS = 4_000_000  # numbers of a chunk of resamples: 32 MB
_LEAST_KNOWN = 0.9  # share of the dates on which a candidate must have a figure
_LEVEL = 0.05  # at which as many independent trials as counted have the same best
_NORMALS = 4000
_MOST_CLUSTERED = 1000


@dataclass(frozen=True)
class SelectionTests:
    """Tests of the null "no candidate's mean is above zero", with the number of candidates allowed for.

    Attributes:
        reality_check: White's p-value, of the largest mean. spa: Hansen's, of the largest t. step_down: (M,) p-values
            of each candidate by Romano and Wolf, which hold for all together; NaN for a candidate that was left out.
        best: column of the largest t. n_candidates, n_days: what they rest on.
    """

    reality_check: float
    spa: float
    step_down: FloatArray
    best: int
    n_candidates: int
    n_days: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data: the p-values, that of the best for those of all."""
        return {
            "reality_check_p": self.reality_check,
            "spa_p": self.spa,
            "step_down_p": float(self.step_down[self.best]),
            "candidates": self.n_candidates,
            "days": self.n_days,
        }


def known_columns(daily: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The columns that move and have a figure on nine dates of ten, centred with 0 where a date is missing, on the
    dates on which any has a figure; and which columns they are, as a mask."""
    there = np.isfinite(daily)
    dates = there.any(axis=1)
    daily, there = daily[dates], there[dates]
    count = there.sum(axis=0)
    keep = count >= max(2.0, _LEAST_KNOWN * len(daily))
    values = np.where(there, daily, 0.0)
    mean = np.divide(values.sum(axis=0), count, out=np.zeros(len(count)), where=count > 0)
    centred = np.where(there, values - mean, 0.0)
    size = np.abs(values).max(axis=0, initial=0.0)
    keep &= np.abs(centred).max(axis=0, initial=0.0) > 1e-12 * size
    return centred[:, keep], keep


def selection_tests(daily: Any, *, horizon: int = 1, resamples: int = 1000, seed: int = 0) -> SelectionTests | None:
    """White's Reality Check, Hansen's SPA and the step-down maximum t of Romano and Wolf, from the same resamples.

    Dates are drawn by the stationary bootstrap in blocks of at least `horizon` days, the same for all candidates, so
    that what they share stays. Every t is a mean over the error of `mean_test` of that resample, which keeps the sizes
    with overlapping labels; the Reality Check, which compares means, divides them all by one error, the mean one.

    Args:
        daily: (T, M) daily figures of M candidates in order of dates, NaN where one has none. A candidate that is
            constant or has figures on fewer than nine dates of ten is left out.
        horizon: days a label spans. resamples: draws. seed: equal seeds, equal p-values.

    Returns:
        None where no candidate, or fewer than two dates, are left. Memory: (resamples, M) numbers and chunks of 32 MB.

    Raises:
        ConfigError: a number out of its range. DataError: no matrix of numbers.

    Source: White (2000), Econometrica 68; Hansen (2005), Journal of Business and Economic Statistics 23 (the
    consistent version: a candidate with t below -sqrt(2 log log n) is left where it is); Romano and Wolf (2005),
    Econometrica 73, algorithm 4.1.
    """
    horizon = check_bootstrap(0.95, resamples, horizon, seed)
    array = _matrix(daily)
    centred, keep = known_columns(array)
    n, m = centred.shape
    if n < 2 or m < 1:
        return None
    means = np.nanmean(array[:, keep], axis=0)
    waves = np.column_stack([np.full(n, 1.0 / n), cosines(n, min(cosine_count(n, horizon), n - 1)) / math.sqrt(n)])
    with one_thread():
        errors = _errors(waves[:, 1:].T @ centred)
    some = errors > 0.0
    if not some.all():
        # What moves so little that rounding is all there is.
        keep[np.flatnonzero(keep)[~some]] = False
        centred, means, errors = centred[:, some], means[some], errors[some]
        m = centred.shape[1]
        if m < 1:
            return None
    t = means / errors
    shifted, studentised = _resampled(centred, waves, horizon, resamples, seed)
    # Candidates that are certainly bad do not make the bar of the others higher.
    poor = t < -math.sqrt(2.0 * math.log(max(math.log(n), 1.0)))
    best_drawn = np.maximum(np.where(poor, -np.inf, studentised).max(axis=1), 0.0)
    spa = _share(best_drawn, max(float(t.max()), 0.0))
    reality = _share(shifted, float(means.max()) / float(errors.mean()))
    step_down = np.full(array.shape[1], np.nan)
    step_down[keep] = _step_down(t, studentised)
    return SelectionTests(reality, spa, step_down, int(np.flatnonzero(keep)[np.argmax(t)]), m, n)


def _matrix(daily: Any) -> FloatArray:
    array: FloatArray = numbers(daily, "daily figures")
    if array.ndim != 2:
        raise DataError(f"daily figures of candidates are (days, candidates), not of shape {array.shape}")
    return np.where(np.isfinite(array), array, np.nan)


def _errors(sums: FloatArray) -> FloatArray:
    """Standard errors of means from cosine sums (B, M) over sqrt(n): see `mean_test`."""
    out: FloatArray = np.sqrt((sums * sums).mean(axis=0))
    return out


def _resampled(
    centred: FloatArray, waves: FloatArray, horizon: int, resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Of each resample the largest mean over the mean error (R,), and the t of every candidate (R, M)."""
    n, m = centred.shape
    k = waves.shape[1]
    largest, t = np.empty(resamples), np.empty((resamples, m))
    at = 0
    most = max(1, _CELLS // (k * max(n, m)))
    for rows in resampled_rows(n, block_length(n, horizon), resamples, seed, most):
        count = len(rows)
        found = _sums_of_few(rows, centred, waves) if m <= k else _sums_of_many(rows, centred, waves)
        mean, sums = found[:, 0], found[:, 1:]
        error = np.sqrt((sums * sums).mean(axis=1))
        own = slice(at, at + count)
        t[own] = np.divide(mean, error, out=np.zeros(mean.shape), where=error > 0.0)
        common = error.mean(axis=1)
        largest[own] = np.divide(mean.max(axis=1), common, out=np.zeros(count), where=common > 0.0)
        at += count
    return largest, t


def _sums_of_few(rows: IntArray, centred: FloatArray, waves: FloatArray) -> FloatArray:
    """(resamples, waves, candidates) sums of each resample's days times the waves."""
    with one_thread():
        out: FloatArray = waves.T @ centred[rows]
    return out


def _sums_of_many(rows: IntArray, centred: FloatArray, waves: FloatArray) -> FloatArray:
    """The same without a copy of the candidates: the days as they are, weighed by what the waves have where each was
    put."""
    (count, n), k = rows.shape, waves.shape[1]
    places = (np.arange(count)[:, None, None] * k + np.arange(k)[None, :, None]) * n + rows[:, None, :]
    weights = np.bincount(
        places.ravel(), weights=np.broadcast_to(waves.T, (count, k, n)).ravel(), minlength=count * k * n
    )
    with one_thread():
        out: FloatArray = (weights.reshape(count * k, n) @ centred).reshape(count, k, -1)
    return out


def _share(drawn: FloatArray, seen: float) -> float:
    """Share of the draws, the one seen included, that are at least as large."""
    return float((1 + np.count_nonzero(drawn >= seen)) / (1 + drawn.size))


def _step_down(t: FloatArray, drawn: FloatArray) -> FloatArray:
    """Adjusted p-values: each t against the largest of the draws of those not above it, never below one before it."""
    order = np.argsort(-t, kind="stable")
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + np.count_nonzero(largest >= t[order], axis=0)) / (1 + len(drawn))
    out = np.empty(t.size)
    out[order] = np.maximum.accumulate(p)
    return out


@dataclass(frozen=True)
class Trials:
    """How many independent trials some candidates are worth.

    Attributes:
        series: candidates. clusters: of their daily series (average linkage, mean |correlation| above .7: members share
            half their variance).
        independent: as many independent series have as high a best; at least 1, at most `series`.
    """

    series: int
    clusters: int
    independent: float


def independent_trials(daily: Any, *, seed: int = 0) -> Trials:
    """Count the independent trials among candidates whose daily series resemble each other.

    Clusters are counted, as Lopez de Prado and Lewis do. Members of a cluster are not quite one trial either: beside
    them stands the number of independent normal variables whose best has the same 95% quantile q as the best of
    variables that are correlated as the series are, log .95 / log F(q), F the normal distribution.

    Args:
        daily: (T, M) daily figures; columns as in `selection_tests`. seed: of the normal variables.

    Source: Lopez de Prado and Lewis (2019), "Detection of false investment strategies using unsupervised learning
    methods", Quantitative Finance 19.
    """
    from scipy.special import log_ndtr

    centred, _ = known_columns(_matrix(daily))
    m = centred.shape[1]
    if m < 2:
        return Trials(m, m, float(m))
    unit = centred / np.sqrt((centred * centred).sum(axis=0))
    shown = unit[:, np.linspace(0, m - 1, min(m, _MOST_CLUSTERED)).astype(np.int64)]
    rng = np.random.default_rng(seed)
    best = np.empty(_NORMALS)
    step = max(1, _CELLS // max(m, len(unit)))
    with one_thread():
        matrix = shown.T @ shown
        np.fill_diagonal(matrix, 1.0)
        clusters = _clusters(matrix)
        # Normal variables with these correlations, from as few independent ones as will do.
        mixed = np.linalg.qr(unit, mode="r") if m < len(unit) else unit
        for at in range(0, _NORMALS, step):
            count = min(step, _NORMALS - at)
            best[at : at + count] = (rng.normal(size=(count, len(mixed))) @ mixed).max(axis=1)
    bar = float(np.quantile(best, 1.0 - _LEVEL))
    independent = math.log(1.0 - _LEVEL) / float(log_ndtr(bar))
    return Trials(m, round(clusters * m / shown.shape[1]), min(max(independent, 1.0), float(m)))


def _clusters(correlations: FloatArray) -> int:
    """Clusters of a correlation matrix: average linkage of 1 - |correlation|, cut at .3.

    Cut at .5, noise joins what is correlated by .3 where labels of 20 days overlap, and too few trials are counted.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip(np.round(1.0 - np.abs(correlations), 12), 0.0, None)
    tree = linkage(squareform(distance, checks=False), method="average")
    return int(fcluster(tree, 0.3, criterion="distance").max())


def luck_deflated_sharpe(series: Any, *, trials: float, horizon: int = 1) -> float:
    """Deflated Sharpe ratio against the null: the probability that the best of many trials without skill would have a
    lower Sharpe ratio than a series has.

    F(t)^trials, where t is the Sharpe ratio over its standard error under the null and F its distribution
    (`mean_test`). Under the null the Sharpe ratio is zero, so the terms of skewness and kurtosis in its variance, which
    it multiplies, vanish; what stays is (long-run variance / variance) / n. Bailey and Lopez de Prado take the variance
    over the trials instead, which real discoveries raise, and compare with the mean of the best, which a null passes
    hardly ever: here 1 of 20 nulls is above .95, whatever the number of trials.

    Args:
        series: daily returns (or other figures) of what was selected. trials: independent ones, at least 1.
        horizon: days a label spans.

    Returns:
        In [0, 1]; NaN where the series is too short or constant.

    Raises:
        ConfigError: a number out of its range. DataError: not a series of numbers.

    Source: Bailey and Lopez de Prado (2014), Journal of Portfolio Management 40; the exponent is the correction of
    Sidak as in Lopez de Prado and Lewis (2019), section 4.
    """
    trials = real(trials, "trials", 1.0)
    found = mean_test(series, horizon=whole(horizon, "horizon", 1))
    if not math.isfinite(found.t):
        return NAN
    return math.exp(trials * math.log1p(-found.p)) if found.p < 1.0 else 0.0
