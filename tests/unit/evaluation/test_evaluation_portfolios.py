"""Portfolios of a factor against pandas and against slow loops that say what is meant."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation import (
    Groups,
    Path,
    bucket_returns,
    capacity,
    distinct_values,
    hold,
    long_short_weights,
    max_drawdown,
    quantile_buckets,
    sharpe,
    top_k_weights,
    waiting_weights,
)

T, N = 60, 47


@pytest.fixture(scope="module")
def market():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(T, N))
    values[rng.random((T, N)) < 0.1] = np.nan
    values[5] = np.nan
    values[6, 3:] = np.nan
    returns = rng.normal(0, 0.02, (T, N))
    returns[rng.random((T, N)) < 0.05] = np.nan
    codes = np.broadcast_to(rng.integers(0, 4, N).astype(float), (T, N)).copy()
    codes[:, 2] = np.nan
    return values, returns, Groups(codes, ("a", "b", "c", "d"))


@pytest.mark.parametrize("quantiles", [2, 5, 10])
def test_buckets_are_those_of_pandas_qcut(market, quantiles):
    values = market[0]
    found = quantile_buckets(values, quantiles=quantiles)
    for t in range(T):
        row = pd.Series(values[t])
        if row.notna().sum() < quantiles:
            assert not found[t].any()
            continue
        expected = pd.qcut(row, quantiles, labels=False) + 1
        np.testing.assert_array_equal(found[t], expected.fillna(0).astype(int))


def bucketed(row, quantiles):
    """The definition: the interval of the average rank; the lowest value at the bottom, the highest at the top."""
    found = np.zeros(row.size, dtype=int)
    known = np.isfinite(row)
    x = row[known]
    if x.size < quantiles or np.unique(x).size < 2:
        return found
    place = pd.Series(x).rank(method="average").to_numpy() - 1
    edges = [Fraction(b * (x.size - 1), quantiles) for b in range(1, quantiles + 1)]
    buckets = np.array([1 + next(b for b, edge in enumerate(edges) if Fraction(p) <= edge) for p in place])
    buckets[x == x.max()] = quantiles
    buckets[x == x.min()] = 1
    found[known] = buckets
    return found


def test_tied_values_share_the_bucket_of_their_average_rank():
    values = np.array([[1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0]])
    np.testing.assert_array_equal(quantile_buckets(values, quantiles=5)[0], [1, 1, 1, 1, 3, 4, 4, 4, 5, 5])


@pytest.mark.parametrize("quantiles", [2, 3, 5, 10])
def test_buckets_of_ties_are_those_of_the_definition(quantiles):
    rng = np.random.default_rng(quantiles)
    rows = [rng.integers(0, distinct, 23).astype(float) for distinct in (1, 2, 3, 4, 9, 30) for _ in range(20)]
    rows += [np.where(rng.random(23) < share, 0.0, rng.normal(size=23)) for share in (0.1, 0.5, 0.9) for _ in range(10)]
    values = np.where(rng.random((len(rows), 23)) < 0.1, np.nan, np.array(rows))
    expected = np.array([bucketed(row, quantiles) for row in values])
    np.testing.assert_array_equal(quantile_buckets(values, quantiles=quantiles), expected)
    # Within groups each group is a market of its own.
    codes = rng.integers(0, 3, values.shape).astype(float)
    codes[rng.random(values.shape) < 0.1] = np.nan
    found = quantile_buckets(values, quantiles=quantiles, groups=Groups(codes, ("a", "b", "c")))
    for g in range(3):
        own = np.array(
            [bucketed(np.where(c == g, row, np.nan), quantiles) for row, c in zip(values, codes, strict=True)]
        )
        np.testing.assert_array_equal(found[codes == g], own[codes == g])
    assert not found[np.isnan(codes)].any()


def test_a_factor_of_two_values_has_a_bottom_and_a_top_and_nothing_else():
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.5, 0.8, 0.95):
        signs = np.where(rng.random((50, 40)) < share, 1.0, -1.0)
        signs[:, :2] = [[-1.0, 1.0]]
        found = quantile_buckets(signs, quantiles=5)
        np.testing.assert_array_equal(found, np.where(signs > 0, 5, 1))
        earned = bucket_returns(found, signs * 0.01, quantiles=5)
        np.testing.assert_allclose(earned[:, [0, 4]], [[-0.01, 0.01]] * 50, rtol=1e-15)
        assert np.isnan(earned[:, 1:4]).all()
        weights = long_short_weights(found, quantiles=5)
        np.testing.assert_allclose(np.where(weights > 0, weights, 0).sum(axis=1), 1.0)
    three = np.array([[-1.0] * 4 + [0.0] * 3 + [1.0] * 4])
    assert quantile_buckets(three, quantiles=5)[0].tolist() == [1] * 4 + [3] * 3 + [5] * 4
    assert not quantile_buckets(np.full((3, 20), 7.0), quantiles=5).any()
    assert distinct_values(np.array([[1.0, 1.0, np.nan], [3.0, 2.0, 1.0], [np.nan] * 3])).tolist() == [1, 3, 0]


def test_buckets_within_groups_are_those_of_each_group_alone(market):
    values, _, groups = market
    found = quantile_buckets(values, quantiles=3, groups=groups)
    for code in range(groups.n):
        columns = np.flatnonzero(groups.codes[0] == code)
        np.testing.assert_array_equal(found[:, columns], quantile_buckets(values[:, columns], quantiles=3))
    assert not found[:, 2].any()  # no group, no bucket


def test_buckets_see_members_only(market):
    values = market[0]
    members = np.random.default_rng(1).random((T, N)) < 0.7
    expected = quantile_buckets(np.where(members, values, np.nan), quantiles=4)
    np.testing.assert_array_equal(quantile_buckets(values, quantiles=4, universe=members), expected)


def test_bucket_returns_are_group_means(market):
    values, returns, _ = market
    buckets = quantile_buckets(values, quantiles=5)
    found = bucket_returns(buckets, returns, quantiles=5)
    long = pd.DataFrame({"t": np.repeat(np.arange(T), N), "b": buckets.ravel(), "r": returns.ravel()})
    expected = long[long.b > 0].groupby(["t", "b"]).r.mean().unstack().reindex(range(T))
    np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-12, equal_nan=True)


def test_long_short_is_neutral_and_earns_top_less_bottom(market):
    values, returns, _ = market
    whole = np.nan_to_num(returns)  # so that waiting positions and means agree
    buckets = quantile_buckets(values, quantiles=5)
    weights = long_short_weights(buckets, quantiles=5)
    held = (buckets > 0).any(axis=1)
    np.testing.assert_allclose(weights.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(weights).sum(axis=1), np.where(held, 2.0, 0.0), atol=1e-12)
    earned = bucket_returns(buckets, whole, quantiles=5)
    path = hold(weights, whole)
    np.testing.assert_allclose(path.gross[held], (earned[:, 4] - earned[:, 0])[held], rtol=1e-10)
    np.testing.assert_allclose(hold(long_short_weights(buckets, quantiles=5, sign=-1), whole).gross, -path.gross)


def slow_hold(weights, returns):
    gross, traded = [], []
    before = np.zeros(weights.shape[1])
    started = False
    for w, r in zip(weights, np.nan_to_num(returns), strict=True):
        move = np.abs(w - before).sum()
        started = np.abs(w).sum() > 0 or move > 0
        gross.append((w * r).sum() if started else np.nan)
        traded.append(move if started else np.nan)
        before = w * (1 + r) / (1 + (w * r).sum())
    return np.array(gross), np.array(traded)


@pytest.mark.parametrize("threads", [1, 3])
def test_paths_follow_drifting_weights(market, threads):
    values, returns, _ = market
    weights = long_short_weights(quantile_buckets(values, quantiles=5), quantiles=5)
    gross, traded = slow_hold(weights, returns)
    path = hold(weights, returns, threads=threads)
    np.testing.assert_allclose(path.gross, gross, rtol=1e-10, atol=1e-15, equal_nan=True)
    np.testing.assert_allclose(path.traded, traded, rtol=1e-10, atol=1e-15, equal_nan=True)


def test_buying_and_holding_one_name_trades_once():
    weights = np.zeros((4, 3))
    weights[1:, 1] = 1.0
    path = hold(weights, np.full((4, 3), 0.01))
    np.testing.assert_allclose(path.traded[1:], [1.0, 0.0, 0.0], atol=1e-15)
    assert math.isnan(path.gross[0])
    np.testing.assert_allclose(path.net(10)[1:], [0.01 - 0.001, 0.01, 0.01])


def slow_top_k(values, k, n_drop):
    """With sets and sorted lists, as the strategy is described."""
    held: list[int] = []
    out = np.zeros(values.shape)
    for t, row in enumerate(values):
        score = {i: v for i, v in enumerate(row) if np.isfinite(v)}
        if score:
            outside = sorted((i for i in score if i not in held), key=lambda i: -score[i])
            entrants = outside[: n_drop + max(0, k - len(held))]
            everyone = sorted([*held, *entrants], key=lambda i: (score.get(i, -np.inf), i))
            sold = [i for i in everyone[:n_drop] if i in held]
            bought = entrants[: len(sold) + k - len(held)]
            held = [i for i in held if i not in sold] + bought
        for i in held:
            out[t, i] = 1.0 / len(held)
    return out


@pytest.mark.parametrize(("k", "n_drop"), [(5, 1), (10, 3), (8, 8)])
def test_top_k_replaces_at_most_n_drop_a_day(market, k, n_drop):
    values = market[0]
    found = top_k_weights(values, k=k, n_drop=n_drop)
    np.testing.assert_allclose(found, slow_top_k(values, k, n_drop))
    names = found > 0
    bought = (names[1:] & ~names[:-1]).sum(axis=1)
    assert bought[names[:-1].sum(axis=1) == k].max() <= n_drop
    assert names.sum(axis=1).max() == k


def test_performance_of_a_known_path():
    rng = np.random.default_rng(2)
    gross, traded = rng.normal(0.001, 0.01, 250), rng.uniform(0.2, 0.6, 250)
    gross[0] = traded[0] = np.nan
    found = Path(gross, traded).performance()
    assert [level.cost_bp for level in found.costs] == [0.0, 5.0, 10.0, 20.0]
    assert found.n_days == 249
    net = (gross - traded * 10 / 1e4)[1:]
    at_ten = found.costs[2]
    assert at_ten.annual_return == pytest.approx(net.mean() * 252)
    assert at_ten.sharpe == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(252))
    wealth = pd.Series(np.concatenate(([1.0], np.cumprod(1 + net))))
    assert at_ten.max_drawdown == pytest.approx(-(wealth / wealth.cummax() - 1).min())
    assert np.nanmean(Path(gross, traded).net(found.break_even_bp)) == pytest.approx(0.0, abs=1e-15)


def test_drawdown_and_sharpe_at_the_edges():
    assert max_drawdown([0.1, -0.5, 0.2]) == pytest.approx(0.5)
    assert max_drawdown([-0.1]) == pytest.approx(0.1)
    assert max_drawdown([0.1, 0.2]) == 0.0
    assert max_drawdown([0.1, -1.0, 5.0]) == 1.0
    assert math.isnan(max_drawdown([]))
    assert math.isnan(sharpe([0.01, 0.01, 0.01]))


def test_capacity_of_a_portfolio_that_one_can_check_by_hand():
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    volume = np.array([[1e6, 1e6], [1e6, 4e6]])
    # Both trades are 1. With capital C they take C / 1e6 and C / 4e6 of their days: 5/8 C / 1e6 on average.
    assert capacity(weights, volume, participation=0.05) == pytest.approx(0.05 * 1e6 * 8 / 5)
    assert math.isnan(capacity(weights[[0, 0]], volume))
    assert math.isnan(capacity(weights, np.full((2, 2), np.nan)))


def test_what_makes_no_sense_is_refused(market):
    values, returns, groups = market
    with pytest.raises(ConfigError, match="quantiles must be 2 to 100"):
        quantile_buckets(values, quantiles=1)
    with pytest.raises(ConfigError, match="1 <= n_drop <= k"):
        top_k_weights(values, k=3, n_drop=4)
    with pytest.raises(DataError, match="groups has shape"):
        quantile_buckets(values[:, :5], groups=groups)
    with pytest.raises(DataError, match="returns has shape"):
        hold(values, returns[:, :3])


def _waiting_oracle(wanted, tradable, returns):
    """One date and one name after another, with a book of what is held."""
    out = np.zeros(wanted.shape)
    book = np.zeros(wanted.shape[1])
    for t in range(len(wanted)):
        for i in range(wanted.shape[1]):
            if tradable[t, i]:
                book[i] = wanted[t, i]
            elif not np.isfinite(returns[t:, i]).any():
                book[i] = 0.0
        out[t] = book
        earned = np.nan_to_num(returns[t])
        book = book * (1.0 + earned) / (1.0 + book @ earned)
    return out


def test_entries_and_exits_wait_until_a_name_can_be_traded():
    rng = np.random.default_rng(3)
    shape = (60, 9)
    returns = rng.normal(0.0, 0.03, shape)
    returns[rng.uniform(size=shape) < 0.1] = np.nan
    returns[40:, 2] = np.nan  # gone for good
    wanted = rng.choice([0.0, 0.25, -0.25], size=shape)
    tradable = rng.uniform(size=shape) < 0.6
    tradable[40:, 2] = False
    found = waiting_weights(wanted, tradable, returns)
    np.testing.assert_allclose(found, _waiting_oracle(wanted, tradable, returns), rtol=1e-12, atol=1e-15)
    assert not found[40:, 2].any()
    np.testing.assert_array_equal(waiting_weights(wanted, np.ones(shape, bool), returns), wanted)
    none = waiting_weights(wanted, np.zeros(shape, bool), returns)
    assert not none.any()


def test_what_waits_is_not_traded():
    returns = np.array([[0.1, 0.0], [0.0, 0.0], [0.2, 0.0], [0.0, 0.0]])
    wanted = np.array([[0.5, 0.5], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    tradable = np.array([[True, True], [False, True], [False, True], [True, True]])
    weights = waiting_weights(wanted, tradable, returns)
    assert weights[1, 0] == pytest.approx(0.55 / 1.05)  # held on, as it grew
    assert weights[3, 0] == 0.0
    traded = hold(weights, returns).traded
    assert traded[1] == pytest.approx(1.0 - 0.5 / 1.05)  # of the second name alone
    for bad in (tradable[:2], np.full(tradable.shape, 0.5)):
        with pytest.raises(DataError, match="tradable"):
            waiting_weights(wanted, bad, returns)
