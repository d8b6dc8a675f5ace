"""Breakdowns, decay, residuals, correlations and overfitting against scipy, statsmodels, pandas and brute force."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats

from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation import (
    Groups,
    average_ranks,
    by_group,
    by_period,
    decay_curve,
    half_life,
    liquidity_groups,
    overfitting_probability,
    rank_correlation_matrix,
    rank_ic,
    rank_ic_by_group,
    residual_values,
)
from fama_fast.evaluation.inference import mean

T, N = 40, 53


@pytest.fixture(scope="module")
def market():
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(size=(T, N)), 1)  # with ties
    values[rng.random((T, N)) < 0.1] = np.nan
    returns = 0.02 * np.nan_to_num(values) + rng.normal(0, 0.05, (T, N))
    returns[rng.random((T, N)) < 0.05] = np.nan
    codes = rng.integers(0, 5, (T, N)).astype(float)  # groups that change from day to day
    codes[rng.random((T, N)) < 0.05] = np.nan
    return values, returns, Groups(codes, ("a", "b", "c", "d", "e"))


@pytest.mark.parametrize("threads", [1, 3])
def test_rank_ic_within_groups_is_that_of_scipy(market, threads):
    values, returns, groups = market
    found = rank_ic_by_group(values, returns, groups, threads=threads)
    for t in range(T):
        for g in range(groups.n):
            use = np.isfinite(values[t]) & np.isfinite(returns[t]) & (groups.codes[t] == g)
            expected = scipy_stats.spearmanr(values[t, use], returns[t, use]).statistic if use.sum() >= 3 else np.nan
            assert found[t, g] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_rows_of_groups(market):
    values, returns, groups = market
    rows = by_group(values, returns, groups, rows=slice(10, 30))
    daily = rank_ic_by_group(values, returns, groups)[10:30]
    assert [r["group"] for r in rows] == list("abcde")
    assert [r["rank_ic"] for r in rows] == pytest.approx(np.nanmean(daily, axis=0))
    members = [np.mean([(np.isfinite(values[t]) & (groups.codes[t] == 2)).sum() for t in range(10, 30)])]
    assert rows[2]["members"] == pytest.approx(members[0])


def test_a_constant_factor_has_no_rank_ic_in_any_group(market):
    _, returns, groups = market
    assert np.isnan(rank_ic_by_group(np.ones((T, N)), returns, groups)).all()


@pytest.mark.parametrize("unit", ["year", "month"])
def test_periods_are_those_of_the_calendar(unit):
    dates = np.arange("2019-11-15", "2020-03-10", dtype="datetime64[D]")
    series = np.random.default_rng(1).normal(0.01, 0.1, dates.size)
    series[3] = np.nan
    rows = by_period(series, dates, unit)
    key = pd.DatetimeIndex(dates).strftime("%Y" if unit == "year" else "%Y-%m")
    expected = pd.Series(series).groupby(key).agg(["mean", "std", "count"])
    assert [r["period"] for r in rows] == expected.index.to_list()
    assert [r["rank_ic"] for r in rows] == pytest.approx(expected["mean"].to_list())
    assert [r["rank_icir"] for r in rows] == pytest.approx((expected["mean"] / expected["std"]).to_list())
    assert [r["n_days"] for r in rows] == expected["count"].to_list()
    with pytest.raises(ConfigError, match="year or month"):
        by_period(series, dates, "week")


def test_liquidity_groups_are_quintiles_of_the_day():
    volume = np.random.default_rng(2).lognormal(size=(T, N))
    groups = liquidity_groups(volume, buckets=5)
    assert groups.labels[0].endswith("(least liquid)")
    for t in range(T):
        np.testing.assert_array_equal(groups.codes[t], pd.qcut(volume[t], 5, labels=False))


def test_decay_curve_looks_at_later_and_later_days(market):
    values, returns, _ = market
    curve = decay_curve(values, returns, days=4)
    for k in range(4):
        later = np.full((T, N), np.nan)
        later[: T - k] = returns[k:]
        assert curve[k] == pytest.approx(np.nanmean(rank_ic(values, later)), abs=1e-14)
    assert curve[0] > 0.15
    assert np.abs(curve[1:]).max() < 0.1
    with pytest.raises(ConfigError, match="at least 1 day"):
        decay_curve(values, returns, days=0)


@pytest.mark.parametrize("rows", [slice(5, 30), np.arange(20, T), np.array([0, 3, 4, 17, T - 1]), slice(7, 7)])
def test_decay_curve_of_some_rows_is_that_of_all_rows_summarised_there(market, rows):
    values, returns, _ = market
    curve = decay_curve(values, returns, days=6, rows=rows)
    for k in range(6):
        later = np.full((T, N), np.nan)
        later[: T - k] = returns[k:]
        daily = rank_ic(values, later)[rows]
        known = daily[np.isfinite(daily)]
        assert np.array_equal(curve[k], mean(known), equal_nan=True)
    assert np.isfinite(curve).all() == (np.size(np.arange(T)[rows]) > 0)


def test_members_of_a_group_are_those_with_a_value_on_the_dates_asked_for(market):
    values, returns, _ = market
    codes = np.tile(np.arange(N) % 3, (T, 1)).astype(float)
    codes[:, 0] = np.nan
    found = by_group(values, returns, Groups.view(codes, ("a", "b", "c")), rows=slice(4, 20))
    for code, row in enumerate(found):
        assert row["members"] == np.mean((np.isfinite(values) & (codes == code))[4:20].sum(axis=1))


def test_half_life_by_hand():
    assert half_life([0.08, 0.06, 0.03, 0.01]) == pytest.approx(1 + 2 / 3)
    assert half_life([-0.08, -0.06, -0.03]) == pytest.approx(1 + 2 / 3)
    assert half_life([0.08, 0.07, 0.06]) == math.inf
    assert half_life([0.08, 0.0]) == pytest.approx(0.5)
    assert math.isnan(half_life([0.0, 0.1]))
    assert math.isnan(half_life([float("nan")]))


def test_average_ranks_are_those_of_pandas(market):
    values = market[0]
    expected = pd.DataFrame(values).rank(axis=1, pct=True)
    np.testing.assert_allclose(average_ranks(values), expected, rtol=1e-14, equal_nan=True)


def test_residuals_are_those_of_ordinary_least_squares_with_dummies(market):
    values, _, groups = market
    rng = np.random.default_rng(5)
    controls = rng.normal(size=(3, T, N))
    controls[1, :, 4] = np.nan
    found = residual_values(values, controls, groups)
    for t in range(T):
        use = np.isfinite(values[t]) & np.isfinite(groups.codes[t]) & np.isfinite(controls[:, t]).all(axis=0)
        dummies = pd.get_dummies(pd.Series(groups.codes[t, use])).to_numpy(dtype=float)
        fit = sm.OLS(values[t, use], np.column_stack([controls[:, t, use].T, dummies])).fit()
        np.testing.assert_allclose(found[t, use], fit.resid, atol=1e-10)
        assert np.isnan(found[t, ~use]).all()


def test_controls_that_repeat_each_other_change_nothing(market):
    values = market[0]
    control = np.random.default_rng(6).normal(size=(T, N))
    once = residual_values(values, control[None])
    np.testing.assert_allclose(residual_values(values, np.stack([control, 2 * control])), once, atol=1e-10)
    np.testing.assert_allclose(residual_values(values, np.stack([control, np.ones((T, N))])), once, atol=1e-10)
    np.testing.assert_allclose(residual_values(control, control[None]), 0.0, atol=1e-10)


def test_no_controls_leave_the_deviation_from_the_mean(market):
    values = market[0]
    expected = values - np.nanmean(values, axis=1, keepdims=True)
    np.testing.assert_allclose(residual_values(values, np.empty((0, T, N))), expected, atol=1e-12, equal_nan=True)


def test_correlations_put_copies_side_by_side():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, T, N))
    found = rank_correlation_matrix([a, b, -a + 0.01 * b, np.exp(b), np.ones((T, N))])
    assert found.matrix[0, 2] < -0.98
    assert found.matrix[1, 3] == 1.0
    assert found.cluster[0] == found.cluster[2]
    assert found.cluster[1] == found.cluster[3]
    assert len(set(found.cluster.tolist())) == 3
    order = found.order.tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1
    pooled = [scipy_stats.spearmanr(a[t], b[t]).statistic for t in range(T)]
    assert found.matrix[0, 1] == pytest.approx(np.mean(pooled), abs=1e-6)
    assert rank_correlation_matrix([a]).order.tolist() == [0]
    with pytest.raises(DataError, match="at least one factor"):
        rank_correlation_matrix([])


def slow_overfitting(daily, blocks):
    parts = np.array_split(daily, blocks)
    below = []
    for inside in combinations(range(blocks), blocks // 2):
        a = np.concatenate([parts[i] for i in inside])
        b = np.concatenate([parts[i] for i in range(blocks) if i not in inside])
        best = np.argmax(a.mean(axis=0) / a.std(axis=0, ddof=1))
        rank = scipy_stats.rankdata(b.mean(axis=0) / b.std(axis=0, ddof=1))[best]
        below.append(rank / (daily.shape[1] + 1) <= 0.5)
    return np.mean(below)


def test_overfitting_is_that_of_the_plain_enumeration():
    daily = np.random.default_rng(4).normal(0, 0.01, (120, 9))
    found = overfitting_probability(daily, blocks=6)
    assert found.n_splits == 20
    assert found.probability == pytest.approx(slow_overfitting(daily, 6))


def test_overfitting_tells_skill_from_luck():
    rng = np.random.default_rng(5)
    luck = [overfitting_probability(rng.normal(0, 0.01, (800, 30))).probability for _ in range(12)]
    assert 0.3 < np.mean(luck) < 0.7
    skill = rng.normal(0, 0.01, (800, 30))
    skill[:, 11] += 0.002
    assert overfitting_probability(skill).probability < 0.02
    assert overfitting_probability(skill).n_splits == 12870


def test_overfitting_needs_a_choice_and_days():
    with pytest.raises(DataError, match="strategies >= 2"):
        overfitting_probability(np.zeros((100, 1)))
    with pytest.raises(DataError, match="cannot be cut"):
        overfitting_probability(np.random.default_rng(1).normal(size=(20, 3)))
    with pytest.raises(ConfigError, match="even number"):
        overfitting_probability(np.zeros((100, 3)), blocks=7)
