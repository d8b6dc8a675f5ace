"""The pool of new factors: ridge against scikit-learn, walking forward, caches, and what it never looks at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

import fama_fast as ff
from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.evaluation.ranks import Ranks, centred_ranks, oriented_ranks
from fama_fast.library import Factor, make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool, blend, ridge_weights
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.state import LoopState
from fama_fast.mining.run.steps import update_pool
from fama_fast.panel import Panel

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
OTHERS = ("RANK(DELTA(VOLUME, 3))", "RANK(TS_STDDEV(RET, 10))")


def factor(text: str, sign: int = 1) -> Factor:
    return make_factor(text, sign=sign)


def config(**rest: Any) -> Any:
    return config_from_dict({"run": {"seed": 1}, "splits": {"horizon": 2}, **rest})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate(SimulationSpec(n_symbols=40, n_dates=220, seed=4, signals=(PlantedSignal(SIGNAL, 0.2),)))


@pytest.fixture(scope="module")
def market(panel: Panel) -> Market:
    return Market(panel, config())


FACTORS = [factor(SIGNAL), factor(OTHERS[0], -1), factor(OTHERS[1])]


def test_ridge_weights_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4))
    y = x @ [0.3, 0.0, -0.2, 0.1] + rng.normal(size=400)
    gram = x.T @ x
    penalty = 0.3
    model = Ridge(alpha=penalty * np.trace(gram) / 4, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(ridge_weights(gram, x.T @ y, penalty), model.coef_, rtol=1e-9)
    np.testing.assert_array_equal(ridge_weights(np.zeros((2, 2)), np.zeros(2), 0.1), [0.0, 0.0])


def test_centred_ranks_are_average_ranks_among_members() -> None:
    values = np.array([[3.0, 1.0, 3.0, np.nan, 9.0], [np.nan] * 5])
    universe = np.array([[True, True, True, True, False]] * 2)
    want = (scipy_stats.rankdata([3.0, 1.0, 3.0]) - 2.0) / 3
    np.testing.assert_allclose(centred_ranks(values, universe)[0], [*want, np.nan, np.nan])
    assert np.isnan(centred_ranks(values, universe)[1]).all()


def test_the_combination_is_the_mean_of_what_is_there() -> None:
    nan = math.nan
    ranks = [np.array([[1.0, nan, nan]] * 2, np.float32), np.array([[0.0, 0.5, nan]] * 2, np.float32)]
    found = blend(ranks, np.array([[2.0, 3.0], [1.0, -1.0]]))
    np.testing.assert_array_equal(found["equal"], [[0.5, 0.5, nan]] * 2)
    np.testing.assert_array_equal(found["ridge"], [[2.0, 0.5, nan], [3.0, -0.5, nan]])


def pool_ranks(market: Market, factors: list[Factor]) -> list[Ranks]:
    """Oriented ranks of each factor over the mining rows."""
    forms = [f.as_proposed for f in factors]
    values = ff.evaluate([f"RANK({text})" for text, _ in forms], market.held)
    return [oriented_ranks(v, sign) for v, (_, sign) in zip(values, forms, strict=True)]


def plain_ridge(market: Market, factors: list[Factor], before: int) -> np.ndarray[Any, Any]:
    """Weights from the cells themselves, all dates whose labels end before a row, by scikit-learn."""
    from sklearn.linear_model import Ridge

    ranks = [np.nan_to_num(r) for r in pool_ranks(market, factors)]
    target = centred_ranks(market.labels.values, market.panel.universe)
    rows = [*range(*market.rows.train.indices(10**6)), *range(*market.rows.valid.indices(10**6))]
    cut = market.config.splits
    rows = [t for t in rows if t + cut.entry_lag + cut.horizon < before]
    x = np.stack([r[rows] for r in ranks], axis=-1)[np.isfinite(target[rows])]
    y = target[rows][np.isfinite(target[rows])]
    penalty = market.config.pool.ridge * float((x**2).sum()) / len(factors)
    return np.asarray(Ridge(alpha=penalty, fit_intercept=False).fit(x, y).coef_)


def test_ridge_walks_forward_with_labels_that_are_known(market: Market) -> None:
    found = FactorPool(market, config().pool).valid(FACTORS)
    rows, refit = market.rows.valid, config().pool.refit
    starts = list(range(rows.start, rows.stop, refit))
    assert len(starts) == 2
    want = []
    for start in starts:
        part = slice(start, min(start + refit, rows.stop))
        ranks = [np.nan_to_num(r[part]) for r in pool_ranks(market, FACTORS)]
        weights = plain_ridge(market, FACTORS, start)
        forecast = sum(w * r for w, r in zip(weights, ranks, strict=True))
        for t, row in enumerate(range(part.start, part.stop)):
            labels = market.labels.values[row]
            there = np.isfinite(labels) & np.isfinite(market.panel["CLOSE"][row])
            want.append(scipy_stats.spearmanr(forecast[t][there], labels[there]).statistic)
    np.testing.assert_allclose(np.nanmean(found.daily["ridge"].rank_ic), np.nanmean(want), atol=2e-3)
    np.testing.assert_allclose(list(found.weights.values()), plain_ridge(market, FACTORS, starts[-1]), rtol=1e-4)
    assert found.weights[FACTORS[0].fingerprint] > 5 * abs(found.weights[FACTORS[2].fingerprint])


def test_what_is_scored_was_never_fitted_on(panel: Panel) -> None:
    """Labels changed from a date on change no forecast of dates up to it."""
    settings = config(pool={"refit": 1})
    market = Market(panel, settings)
    cut = market.rows.valid.start + 20
    labels = np.array(market.labels.values)
    labels[cut:] = labels[cut:][:, ::-1]
    other = Market(panel, settings, labels=labels)
    one, two = (FactorPool(m, settings.pool).valid(FACTORS) for m in (market, other))
    until = cut - market.rows.valid.start
    np.testing.assert_array_equal(one.daily["ridge"].rank_ic[:until], two.daily["ridge"].rank_ic[:until])
    assert one.weights != two.weights


def test_a_pool_that_grew_equals_one_that_is_made_at_once(market: Market) -> None:
    grown = FactorPool(market, config().pool)
    grown.valid(FACTORS[:1])
    grown.valid([FACTORS[2], FACTORS[0]])
    grown.valid(FACTORS[1:])  # the first left
    late = grown.valid(FACTORS)
    fresh = FactorPool(market, config().pool).valid(FACTORS)
    assert late.scores == fresh.scores
    assert late.weights == fresh.weights


def test_a_pool_that_is_kept_evaluates_new_factors_only(market: Market, monkeypatch: Any) -> None:
    pool, asked = FactorPool(market, config().pool), []
    ranks = pool.rank_chunks
    monkeypatch.setattr(
        pool, "rank_chunks", lambda fs, *rest: asked.extend(f.expression for f in fs) or ranks(fs, *rest)
    )
    pool.valid(FACTORS[:2])
    pool.valid(FACTORS)
    assert asked == [f.expression for f in FACTORS]


def test_the_test_split_does_not_reach_the_weights(market: Market, panel: Panel) -> None:
    shuffled = np.array(panel["CLOSE"])
    start = market.rows.test.start
    shuffled[start + 1 :] = shuffled[start + 1 :][::-1]
    other = Market(panel.replace(fields={"CLOSE": shuffled}), config())
    one, two = (FactorPool(m, config().pool).test(FACTORS) for m in (market, other))
    assert one.weights == two.weights
    assert one.scores != two.scores
    assert one.scores["ridge"]["rank_ic"] > 0.05
    assert one.daily["equal"].rank_ic.shape == (market.rows.test.stop - market.rows.test.start,)


def test_patience_counts_rounds_without_gain(market: Market) -> None:
    from fama_fast.ir import field
    from fama_fast.mining.candidate import Member
    from fama_fast.mining.library.view import LibraryView

    state = LoopState(LibraryView())
    pool = FactorPool(market, config().pool)
    update_pool(state, pool, 0.0)
    assert (state.stale, state.pool, state.best_pool) == (1, {}, None)
    nothing = np.zeros(4, np.float32)
    state.library.admit(Member(FACTORS[0], field("CLOSE"), nothing, mined=True))
    update_pool(state, pool, 0.0)
    assert (state.stale, state.best_pool) == (0, state.pool["rank_ic"])
    update_pool(state, pool, 0.0)
    assert state.stale == 1
    state.library.admit(Member(FACTORS[2], field("OPEN"), nothing, mined=True))
    update_pool(state, pool, 0.5)  # no such gain
    assert state.stale == 2
