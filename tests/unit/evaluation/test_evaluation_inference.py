"""Statistics of a daily series against their written-out definitions and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fama_fast.errors import ConfigError
from fama_fast.evaluation import inference, summarise


def series(n=300, seed=0, rho=0.5):
    rng = np.random.default_rng(seed)
    e = rng.normal(size=n)
    x = np.empty(n)
    x[0] = e[0]
    for t in range(1, n):
        x[t] = rho * x[t - 1] + e[t]
    x = 0.02 + 0.1 * x
    x[rng.random(n) < 0.05] = np.nan
    return x


def test_moments_and_hit_rate_leave_missing_days_out():
    x = series()
    y = x[~np.isnan(x)]
    assert inference.mean(x) == pytest.approx(y.mean())
    assert inference.std(x) == pytest.approx(y.std(ddof=1))
    assert inference.information_ratio(x) == pytest.approx(y.mean() / y.std(ddof=1))
    assert inference.hit_rate([0.1, 0.0, -0.1, np.nan, 0.2]) == 0.5
    assert inference.t_statistic(x) == pytest.approx(scipy_stats.ttest_1samp(y, 0.0).statistic)


@pytest.mark.parametrize("x", [[], [np.nan, np.nan], [0.3], [0.3, 0.3, 0.3]])
def test_what_is_not_defined_is_nan(x):
    assert math.isnan(inference.information_ratio(x))
    assert math.isnan(inference.t_statistic(x))
    assert math.isnan(inference.newey_west_t(x))
    assert math.isnan(inference.p_value(inference.newey_west_t(x)))
    assert summarise(x, x).n_days == np.isfinite(np.asarray(x)).sum()
    if not np.isfinite(np.asarray(x)).any():
        assert math.isnan(inference.mean(x))
        assert math.isnan(inference.hit_rate(x))
        assert np.isnan(inference.stationary_bootstrap_interval(x)).all()


def slow_newey_west(x, lag):
    n = len(x)
    m = sum(x) / n
    total = 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= lag:
                total += (1 - abs(i - j) / (lag + 1)) * (x[i] - m) * (x[j] - m)
    return m / math.sqrt(total / n / (n - 1))


@pytest.mark.parametrize("lag", [0, 1, 4, 10])
def test_newey_west_equals_the_double_sum(lag):
    x = series(80)
    y = x[~np.isnan(x)]
    assert inference.newey_west_t(x, lag=lag) == pytest.approx(slow_newey_west(y, lag))


def test_newey_west_without_lags_is_student():
    x = series()
    assert inference.newey_west_t(x, lag=0) == pytest.approx(inference.t_statistic(x))


def test_newey_west_lag_covers_the_overlap_and_a_shorter_one_is_refused():
    assert inference.newey_west_lag(100) == 4
    assert inference.newey_west_lag(1259) == 7
    assert inference.newey_west_lag(1259, horizon=21) == 20
    assert inference.newey_west_lag(3, horizon=21) == 2
    with pytest.raises(ConfigError, match="at least 4"):
        inference.newey_west_t(series(), horizon=5, lag=3)


def test_overlap_makes_the_honest_t_smaller():
    x = series(2000, rho=0.8)
    assert abs(inference.newey_west_t(x, horizon=10)) < 0.7 * abs(inference.t_statistic(x))


def test_p_value_is_two_sided_normal():
    for t in (-3.0, 0.0, 1.96, 8.0):
        assert inference.p_value(t) == pytest.approx(2 * scipy_stats.norm.sf(abs(t)))


def test_bootstrap_is_seeded_and_brackets_the_mean():
    x = series(500)
    low, high = inference.stationary_bootstrap_interval(x, seed=3)
    assert (low, high) == inference.stationary_bootstrap_interval(x, seed=3)
    assert (low, high) != inference.stationary_bootstrap_interval(x, seed=4)
    assert low < inference.mean(x) < high


def test_bootstrap_of_independent_days_is_near_the_normal_interval():
    x = np.random.default_rng(1).normal(0.1, 1.0, size=1000)
    low, high = inference.stationary_bootstrap_interval(x, block=1, resamples=5000)
    half = 1.96 * x.std(ddof=1) / math.sqrt(x.size)
    assert high - low == pytest.approx(2 * half, rel=0.06)
    wide = inference.stationary_bootstrap_interval(series(1000, rho=0.8), horizon=20)
    narrow = inference.stationary_bootstrap_interval(series(1000, rho=0.8), block=1)
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_equals_scipy(p):
    np.testing.assert_allclose(inference.benjamini_hochberg(p), scipy_stats.false_discovery_control(p), rtol=1e-12)


def test_benjamini_hochberg_leaves_missing_out():
    got = inference.benjamini_hochberg([0.01, np.nan, 0.04])
    np.testing.assert_allclose(got, [0.02, np.nan, 0.04])
    assert inference.benjamini_hochberg([]).size == 0


def slow_stationary_means(x, length, resamples, seed):
    """Day by day, as the paper writes it: go on to the next day, or with probability 1/length anywhere."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(resamples):
        at, total = rng.integers(len(x)), 0.0
        for _ in range(len(x)):
            total += x[at]
            at = rng.integers(len(x)) if rng.random() < 1.0 / length else (at + 1) % len(x)
        out.append(total / len(x))
    return np.array(out)


def test_stationary_bootstrap_has_the_spread_of_its_definition():
    x = inference.present(series(120, rho=0.7))
    low, high = inference.stationary_bootstrap_interval(x, block=6, resamples=20_000)
    slow = np.percentile(slow_stationary_means(x, 6, 3000, 1), [2.5, 97.5])
    assert low == pytest.approx(slow[0], abs=0.06 * (high - low))
    assert high == pytest.approx(slow[1], abs=0.06 * (high - low))
    assert low < x.mean() < high


def test_stationary_bootstrap_is_seeded_and_blocks_of_one_day_are_the_ordinary_bootstrap():
    x = np.random.default_rng(1).normal(0.1, 1.0, size=1000)
    assert inference.stationary_bootstrap_interval(x, seed=3) == inference.stationary_bootstrap_interval(x, seed=3)
    low, high = inference.stationary_bootstrap_interval(x, block=1, resamples=5000)
    assert high - low == pytest.approx(2 * 1.96 * x.std(ddof=1) / math.sqrt(x.size), rel=0.06)
    assert np.isnan(inference.stationary_bootstrap_interval([0.1])).all()


def test_expected_maximum_sharpe_is_that_of_the_best_of_many():
    best = np.random.default_rng(0).normal(0.0, 0.2, size=(4000, 500)).max(axis=1).mean()
    assert inference.expected_maximum_sharpe(500, 0.04) == pytest.approx(best, rel=0.01)
    assert inference.expected_maximum_sharpe(1, 0.04) == 0.0
    assert math.isnan(inference.expected_maximum_sharpe(10, float("nan")))


def test_deflated_sharpe_gives_the_figure_of_the_paper():
    # The example of Bailey and Lopez de Prado (2014): annual Sharpe 2.5 over 1,250 days, skewness -3, kurtosis
    # 10, 100 trials whose annual Sharpe ratios have variance 1/2: the best of them is expected at 0.1132 a day, and
    # the deflated Sharpe ratio is 0.9004.
    assert inference.expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    # Kurtosis 10 is the least that goes with skewness -3: two values, the low one on 105 of the days.
    x = np.repeat([-1.0, 0.0], [105, 1145])
    x = (x - x.mean()) / x.std(ddof=1) + 2.5 / math.sqrt(250)
    assert scipy_stats.skew(x) == pytest.approx(-3.0, abs=2e-3)
    assert scipy_stats.kurtosis(x, fisher=False) == pytest.approx(10.0, abs=1e-2)
    assert inference.deflated_sharpe(x, trials=100, variance=0.5 / 250) == pytest.approx(0.9004, abs=5e-4)


def test_more_trials_deflate_more_and_one_trial_is_the_plain_test():
    x = np.random.default_rng(2).normal(0.1, 1.0, size=1000)
    values = [inference.deflated_sharpe(x, trials=n, variance=0.002) for n in (1, 10, 1000)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(scipy_stats.norm.cdf(inference.t_statistic(x)), abs=2e-3)
    assert math.isnan(inference.deflated_sharpe([0.1, 0.1, 0.1], trials=5, variance=0.1))


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("days", [0, 1, 2, 3, 30, 757])
@pytest.mark.parametrize("kind", ["noise", "gaps", "constant", "missing"])
def test_all_figures_at_once_have_the_bits_of_each(kind, days, horizon):
    series = np.random.default_rng(days).normal(0.01, 0.1, days)
    if kind == "gaps":
        series[::3], series[1::7] = np.nan, np.inf
    elif kind != "noise":
        series[:] = 0.25 if kind == "constant" else np.nan
    found = inference.level(series, horizon=horizon)
    alone = (
        inference.mean(series),
        inference.information_ratio(series),
        inference.hit_rate(series),
        inference.newey_west_t(series, horizon=horizon),
        np.count_nonzero(np.isfinite(series)),
    )
    np.testing.assert_array_equal((found.mean, found.ratio, found.hit_rate, found.t, found.days), alone)
