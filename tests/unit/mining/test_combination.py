"""The pool of new factors: ridge against scikit-learn, walking forward, caches, and what it never looks at."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

import fama_fast as ff
from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.errors import ConfigError
from fama_fast.evaluation.ranks import Ranks, centred_ranks, oriented_ranks
from fama_fast.library import Factor, make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool, PoolScores, blend
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.ridge_penalty import BLOCKS, PENALTIES, Block, blocks_of, ridge_weights, walked_penalty
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


def plain_ridge(market: Market, factors: list[Factor], before: int, share: float) -> np.ndarray[Any, Any]:
    """Weights from the cells themselves, all dates whose labels end before a row, by scikit-learn."""
    from sklearn.linear_model import Ridge

    ranks = [np.nan_to_num(r) for r in pool_ranks(market, factors)]
    target = centred_ranks(market.labels.values, market.panel.universe)
    rows = [*range(*market.rows.train.indices(10**6)), *range(*market.rows.valid.indices(10**6))]
    cut = market.config.splits
    rows = [t for t in rows if t + cut.entry_lag + cut.horizon < before]
    x = np.stack([r[rows] for r in ranks], axis=-1)[np.isfinite(target[rows])]
    y = target[rows][np.isfinite(target[rows])]
    penalty = share * float((x**2).sum()) / len(factors)
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
        weights = plain_ridge(market, FACTORS, start, found.penalty)
        forecast = sum(w * r for w, r in zip(weights, ranks, strict=True))
        for t, row in enumerate(range(part.start, part.stop)):
            labels = market.labels.values[row]
            there = np.isfinite(labels) & np.isfinite(market.panel["CLOSE"][row])
            want.append(scipy_stats.spearmanr(forecast[t][there], labels[there]).statistic)
    np.testing.assert_allclose(np.nanmean(found.daily["ridge"].rank_ic), np.nanmean(want), atol=2e-3)
    np.testing.assert_allclose(
        list(found.weights.values()), plain_ridge(market, FACTORS, starts[-1], found.penalty), rtol=1e-4
    )
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
    admits, slow = (config(pool={"short_list": False}, run={"min_gain": gain}) for gain in (0.0, 0.5))
    update_pool(state, pool, admits)
    assert (state.stale, state.pool, state.best_pool) == (1, {}, None)
    nothing = np.zeros(4, np.float32)
    state.library.admit(Member(FACTORS[0], field("CLOSE"), nothing, mined=True))
    update_pool(state, pool, admits)
    assert (state.stale, state.best_pool) == (0, state.pool["rank_ic"])
    update_pool(state, pool, admits)
    assert state.stale == 1
    state.library.admit(Member(FACTORS[2], field("OPEN"), nothing, mined=True))
    update_pool(state, pool, slow)  # no such gain
    assert state.stale == 2


def best_by_hand(market: Market, factors: list[Factor], blocks: list[tuple[int, slice]]) -> float:
    """The penalty with the best mean correlation, over blocks forecast by what was known before, cell by cell."""
    from sklearn.linear_model import Ridge

    target = centred_ranks(market.labels.values, market.panel.universe)
    ranks = [np.nan_to_num(r) for r in pool_ranks(market, factors)]
    mining = [*range(market.rows.train.start, market.rows.train.stop), *range(market.rows.valid.start, len(target))]

    def cells(rows: list[int]) -> tuple[Any, Any]:
        known = np.isfinite(target[rows])
        return np.stack([r[rows][known] for r in ranks], axis=-1), target[rows][known]

    worth = []
    for penalty in PENALTIES:
        own = []
        for known_before, block in blocks:
            x, y = cells([t for t in mining if t < known_before])
            alpha = penalty * float((x**2).sum()) / len(factors)
            w = Ridge(alpha=alpha, fit_intercept=False).fit(x, y).coef_
            x, y = cells([t for t in mining if block.start <= t < block.stop])
            own.append(float((x @ w) @ y / np.sqrt(((x @ w) ** 2).sum() * (x**2).sum() / len(factors))))
        worth.append(np.mean(own))
    return PENALTIES[int(np.argmax(worth))]


@pytest.fixture(scope="module")
def noisy() -> Market:
    """A market whose pools want different penalties."""
    return Market(simulate(SimulationSpec(n_symbols=25, n_dates=260, seed=11)), config())


ALIKE = ("DELTA(CLOSE, 5)", "DELTA(CLOSE, 6)", "DELTA(CLOSE, 7)")  # only little shrinkage tells them apart


@pytest.mark.parametrize("texts", [(SIGNAL, *OTHERS), (*OTHERS, "HIGH / LOW", *ALIKE), ALIKE, ("RET",)])
def test_the_penalty_is_the_best_of_a_walk_forward_over_earlier_dates(noisy: Market, texts: tuple[str, ...]) -> None:
    factors = [factor(text) for text in texts]
    train, valid, reach = noisy.rows.train, noisy.rows.valid, noisy.reach
    edges = np.linspace(train.start, train.stop, BLOCKS + 1).astype(int)
    blocks = [(a - reach, slice(a, b)) for a, b in itertools.pairwise(edges[1:])]
    pool = FactorPool(noisy, noisy.config.pool)
    assert pool.valid(factors).penalty == best_by_hand(noisy, factors, blocks)
    blocks.append((valid.start - reach, slice(valid.start, min(valid.stop, noisy.rows.test.start - reach))))
    assert pool.test(factors).penalty == best_by_hand(noisy, factors, blocks)


def test_a_penalty_that_is_set_is_the_one_that_is_used(market: Market) -> None:
    pools: dict[Any, PoolScores] = {}
    for ridge in ("auto", *PENALTIES):
        settings = config(pool={"ridge": ridge}).pool
        pools[ridge] = FactorPool(market, settings).valid(FACTORS)
        assert pools[ridge].penalty in PENALTIES
    assert all(pools[ridge].penalty == ridge for ridge in PENALTIES)
    assert pools["auto"].weights == pools[pools["auto"].penalty].weights
    assert pools[1.0].weights != pools[0.01].weights


@pytest.mark.parametrize("ridge", [0, -1.0, "some", None])
def test_a_penalty_that_makes_no_sense_is_refused(ridge: Any) -> None:
    with pytest.raises(ConfigError, match=r"pool\.ridge"):
        config(pool={"ridge": ridge})


def test_blocks_know_only_what_ends_before_them() -> None:
    found = blocks_of(slice(0, 100), [slice(105, 140)], reach=5)
    assert found == [Block(k - 5, k, k + 20) for k in (20, 40, 60, 80)] + [Block(100, 105, 140)]
    assert blocks_of(slice(0, 30), [], reach=5) == [Block(k - 5, k, k + 6) for k in (12, 18, 24)]  # 6 teaches 1 row
    assert blocks_of(slice(0, 4), [], reach=1) == []
    assert blocks_of(slice(0, 0), [slice(3, 3)], reach=1) == []


def test_without_anything_to_tell_the_strongest_penalty_is_taken() -> None:
    nothing = lambda *rows: (np.zeros((2, 2)), np.zeros(2))  # noqa: E731
    assert walked_penalty([], nothing, nothing) == PENALTIES[0]
    assert walked_penalty([Block(10, 12, 20)], nothing, nothing) == PENALTIES[0]
    flat = lambda *rows: (np.eye(2), np.zeros(2))  # noqa: E731  (no penalty forecasts anything)
    assert walked_penalty([Block(10, 12, 20)], flat, flat) == PENALTIES[0]
