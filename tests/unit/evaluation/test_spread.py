"""What the outer tenths earn and trade, against definitions written out in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation import daily, daily_by_horizon, score_values, spread_and_traded
from fama_fast.evaluation.rows import SortedRows

DATES, SYMBOLS = 40, 53


def by_definition(values, labels, span, universe=None):
    dates, symbols = values.shape
    spread, traded = np.full(dates, np.nan), np.full(dates, np.nan)
    weights = np.full((dates, symbols), np.nan)
    for t in range(dates):
        x = values[t]
        known = np.isfinite(x) & np.isfinite(labels[t])
        if universe is not None:
            known &= universe[t]
        n = known.sum()
        rank = np.array([(x[known] < v).sum() + ((x[known] == v).sum() + 1) / 2 for v in x])
        bottom, top = (known & (10 * (2 * r - 1) <= 2 * n) for r in (rank, n + 1 - rank))
        if n >= 3 and bottom.any() and top.any():
            spread[t] = labels[t, top].mean() - labels[t, bottom].mean()
            weights[t] = top / top.sum() - bottom / bottom.sum()
    for t in range(span, dates):
        traded[t] = np.abs(weights[t] - weights[t - span]).sum()
    return spread, traded


def given(seed=0, ties=False, dates=DATES, symbols=SYMBOLS):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(dates, symbols)), rng.normal(size=(dates, symbols)) * 0.02
    x = np.round(x, 1) if ties else x
    x[rng.random(x.shape) < 0.1] = np.nan
    y[rng.random(y.shape) < 0.1] = np.nan
    x[3, 5], x[4, 6], y[5, 7] = np.inf, -np.inf, np.inf
    x[8], y[9], x[10] = np.nan, np.nan, 1.5  # no value, no label, one value
    x[11, 4:], x[12, 6:] = np.nan, np.nan  # too few for a tenth; just enough, if all have labels
    return x, y


@pytest.mark.parametrize("span", [1, 3, DATES, DATES + 5])
@pytest.mark.parametrize("ties", [False, True])
def test_they_are_what_their_definition_says(span, ties):
    x, y = given(ties=ties)
    universe = np.random.default_rng(1).random(x.shape) < 0.8
    for members in (None, universe):
        spread, traded = spread_and_traded(x, y, universe=members, span=span)
        slow_spread, slow_traded = by_definition(x, y, span, members)
        np.testing.assert_allclose(spread, slow_spread, rtol=1e-12, atol=1e-17)
        np.testing.assert_allclose(traded, slow_traded, rtol=1e-12, atol=1e-15)
    assert np.isnan(spread[[8, 9, 10, 11]]).all()
    assert np.isnan(traded[:span]).all()


@pytest.mark.parametrize("symbols", [1, 4, 5, 10, 15, 63, 64, 65, 200])
def test_any_number_of_symbols(symbols):
    x, y = given(2, dates=13, symbols=max(8, symbols))
    x, y = x[:, :symbols], y[:, :symbols]
    for got, slow in zip(spread_and_traded(x, y), by_definition(x, y, 1), strict=True):
        np.testing.assert_allclose(got, slow, rtol=1e-12, atol=1e-15)


def test_a_factor_turned_round_has_exactly_the_negative_and_trades_the_same():
    x, y = given(3, ties=True)
    spread, traded = spread_and_traded(x, y, span=2)
    turned_spread, turned_traded = spread_and_traded(-x, y, span=2)
    assert np.array_equal(turned_spread, -spread, equal_nan=True)
    assert np.array_equal(turned_traded, traded, equal_nan=True)


def test_a_date_has_its_bits_whatever_is_computed_beside_it():
    x, y = given(4, dates=300, symbols=400)
    whole = spread_and_traded(x, y, span=2, threads=2)
    one = spread_and_traded(SortedRows.of(x), SortedRows.of(y), span=2, threads=1)
    part = spread_and_traded(x[100:200], y[100:200], span=2)
    for a, b, c in zip(whole, one, part, strict=True):
        assert np.array_equal(a, b, equal_nan=True)
        assert np.array_equal(a[102:200], c[2:], equal_nan=True)


def test_labels_beyond_all_numbers_have_no_spread():
    x, y = np.arange(20.0)[None], np.full((1, 20), 1.7e308)
    y[0, :10] = -1.7e308
    assert math.isnan(spread_and_traded(x, y)[0][0])


def test_wrong_arguments():
    x, y = given()
    with pytest.raises(DataError, match="shape"):
        spread_and_traded(x, y[1:])
    with pytest.raises((ConfigError, DataError), match="span"):
        spread_and_traded(x, y, span=0)


def test_the_summary_of_a_split_has_their_means_and_costs():
    x, y = given(5)
    rows = slice(20, 35)
    spread, traded = by_definition(x, y, 3)
    net = spread - 25.0 / 10_000.0 * traded
    found = score_values(x, y, rows=rows, horizon=3, cost_bps=25.0)
    assert found.spread == pytest.approx(np.nanmean(spread[rows]))
    assert found.net == pytest.approx(np.nanmean(net[rows]))
    assert found.traded == pytest.approx(np.nanmean(traded[rows]))
    whole = daily(x, y, span=3)
    assert whole.summary(rows, 3, 25.0) == found
    np.testing.assert_allclose(whole.net(25.0), net, rtol=1e-9)
    back = whole.turned(-1)
    assert back.summary(rows, 3).spread == -found.spread
    np.testing.assert_allclose(back.net(25.0), -spread - 25.0 / 10_000.0 * traded, rtol=1e-9)
    assert whole.turned(1) is whole


def test_labels_by_any_keys_are_held_as_long_as_is_said():
    x, y = given(6)
    found = daily_by_horizon(x, {"a": y, "b": y}, spans={"a": 1, "b": 4})
    for key, span in (("a", 1), ("b", 4)):
        assert np.array_equal(found[key].traded, spread_and_traded(x, y, span=span)[1], equal_nan=True)
