"""The wide pool against slow NumPy: levels, correlations, weights, what a candidate adds, the forecast."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

import fama_fast as ff
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.engine import budget as budgets
from fama_fast.evaluation.ranks import centred_ranks
from fama_fast.evaluation.ranks import unit_vector as of_ranks
from fama_fast.ledger.records import AS_PROPOSED
from fama_fast.library import make_factor
from fama_fast.mining.candidate import Candidate
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.levels import LevelCells, level_rows, unit_vector
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.streamed_forecast import _ranked, weighted_forecasts
from fama_fast.mining.pools import wide as wide_module
from fama_fast.mining.pools.correlations import BLOCK, GrowingCorrelations, among
from fama_fast.mining.pools.slopes import RidgeSlopes
from fama_fast.mining.pools.weights import (
    BLOCKS,
    PENALTIES,
    POWERS,
    DailyFigures,
    WeightFitter,
    folds_of,
    solve,
)
from fama_fast.mining.pools.wide import PoolMember, WidePool
from fama_fast.mining.run.state import first_state
from fama_fast.mining.run.steps import pass_gates
from fama_fast.mining.run.to_records import record_of, start_of
from fama_fast.mining.run.wide_filling import measure_again, measured_texts
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Proposal
from tests.support.target_panel import target_panel

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
TEXTS = (
    SIGNAL,
    "DELTA(CLOSE, 5) / CLOSE",
    "TS_STDDEV(RET, 10)",
    "TS_MEAN(VOLUME, 20) / TS_MEAN(VOLUME, 5)",  # the signal's ranks turned round
    "HIGH / LOW",
    "RET > 0 ? VOLUME / TS_MEAN(VOLUME, 10) : 0 - RET",
    "TS_MEAN(RET, 60)",
)


def config(**rest: Any) -> Any:
    return config_from_dict({"run": {"seed": 1, "threads": 1}, "splits": {"horizon": 2}, **rest})


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = simulate(SimulationSpec(n_symbols=40, n_dates=300, seed=4, signals=(PlantedSignal(SIGNAL, 0.2),)))
    inside = np.random.default_rng(0).random(made.shape) < 0.9
    fields = {name: np.array(made[name]) for name in made.supplied_fields}
    fields["VOLUME"][::7, 3] = np.nan
    return Panel(made.dates, made.symbols, fields, universe=inside)


@pytest.fixture(scope="module")
def market(panel: Panel) -> Market:
    return Market(panel, config())


def filled(market: Market, texts: Any = TEXTS, batch: int = 3) -> WidePool:
    """A pool of these texts, added some at a time."""
    pool = WidePool(market, market.config.wide)
    for at in range(0, len(texts), batch):
        alphas = market.compiled(texts[at : at + batch])
        found, levels, _ = market.measure_levels(alphas)
        members, series, own = [], [], []
        for alpha, one, level in zip(alphas, found, levels, strict=True):
            sign = market.yardstick.direction(one, market.rows.train)
            members.append(PoolMember(alpha.fingerprint, alpha.canonical, alpha.canonical, sign, alpha.canonical))
            series.append(sign * market.yardstick.gross(one))
            own.append(level * np.int8(sign))
        pool.add(members, series, own)
    return pool


def dense_levels(values: Any, universe: Any) -> Any:
    """Levels of each row by sorting, one symbol at a time."""
    out = np.zeros(values.shape, dtype=np.int8)
    for t, row in enumerate(values):
        there = np.flatnonzero(np.isfinite(row) & universe[t])
        ranks = scipy_stats.rankdata(row[there])
        for place, rank in zip(there, ranks, strict=True):
            out[t, place] = round(63 * (2 * rank - len(there) - 1) / len(there))
    return out


def test_levels_are_centred_ranks_in_63_steps(market: Market, panel: Panel) -> None:
    _, levels, _ = market.measure_levels(market.compiled(TEXTS))
    rows = market.levels.rows
    assert len(rows) == 32  # 48 a year
    for text, found in zip(TEXTS, levels, strict=True):
        values = ff.evaluate([text], panel)[0][rows]
        want = dense_levels(values, panel.universe[rows])[panel.universe[rows]]
        np.testing.assert_array_equal(found, want)
        assert found.dtype == np.int8
    np.testing.assert_array_equal(levels[0], -levels[3])


def test_a_rank_vector_is_that_of_the_ranks_to_within_their_63_steps(market: Market, panel: Panel) -> None:
    alphas = market.compiled((*TEXTS, "CLOSE * 0"))
    _, _, levels = market.measure_levels(alphas)
    found = [unit_vector(own) for own in levels]
    for one, alone in zip(found, market.vectors(alphas), strict=True):
        np.testing.assert_array_equal(one, alone)
    shares = list(market.ranks(alphas, market.vector_rows))
    exact = [of_ranks(own) for own in shares]
    want = np.array([[float(a @ b) for a in exact] for b in exact])
    np.testing.assert_allclose([[float(a @ b) for a in found] for b in found], want, atol=2e-3)
    assert not found[-1].any()  # a constant has no vector


def test_sampled_dates_are_spread_and_no_more_than_cells_allow() -> None:
    days = np.arange("2010-01-01", "2016-01-01", dtype="datetime64[D]")
    rows = level_rows(days, slice(10, 2000), 12, 0)
    assert len(rows) == round(12 * 1989 / 365.25)
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 10
    assert rows[-1] < 2000
    assert np.diff(rows).max() < 2.1 * 1990 / len(rows)
    assert (rows != level_rows(days, slice(10, 2000), 12, 1)).any()
    np.testing.assert_array_equal(level_rows(days, slice(0, 7), 12, 0), np.arange(7))
    assert LevelCells.of(rows, None, 100).count == 6500
    assert len(LevelCells.of(rows, None, 1600).rows) == 40
    assert len(LevelCells.of(rows, None, 9000).rows) == 24
    few = LevelCells.of(rows, np.eye(len(rows), 1600, dtype=bool), 1600)
    assert few.count == len(rows)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_correlations_are_those_of_whole_numbers(market: Market, batch: int) -> None:
    pool = filled(market, batch=batch)
    _, levels, _ = market.measure_levels(market.compiled(TEXTS))
    kept = [i for i in range(len(TEXTS)) if i != 3]  # a copy by its levels
    assert [m.proposed for m in pool.members] == [market.compiled([TEXTS[i]])[0].canonical for i in kept]
    signs = np.array([m.sign for m in pool.members])
    exact = levels[kept].astype(np.int64)
    products = exact @ exact.T
    own = np.sqrt(np.diag(products).astype(float))
    want = (products / own[:, None] / own * signs[:, None] * signs).astype(np.float32)
    np.testing.assert_array_equal(pool.correlations().astype(np.float32), want)
    np.testing.assert_array_equal(np.diag(pool.correlations()), 1.0)


def test_many_formulas_over_many_cells_are_multiplied_exactly() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(-63, 64, size=(2 * BLOCK + 40, 9000)).astype(np.int8)
    levels[0], levels[1] = 63, -63  # the largest sums there are
    grown = GrowingCorrelations(9000)
    for at, stop in ((0, 5), (5, 250), (250, 300), (300, len(levels))):
        grown.add(levels[at:stop])
    exact = levels.astype(np.int64)
    products = exact @ exact.T
    own = np.sqrt(np.diag(products).astype(float))
    want = (products / own[:, None] / own).astype(np.float32)
    np.testing.assert_array_equal(grown.matrix(), want)
    np.testing.assert_array_equal(grown.products(levels[:7]), products[:7])
    np.testing.assert_allclose(among(levels[:9]), want[:9, :9], rtol=1e-6)
    scale = rng.random(len(levels))
    system = np.tril(scale[:, None] * grown.matrix() * scale + 0.3 * np.eye(len(levels)))
    np.testing.assert_allclose(np.tril(grown.system(scale, 0.3, np.float64)), system, rtol=1e-12)
    weights = rng.normal(size=(len(levels), 3))
    by_hand = np.einsum("km,kl,lm->m", weights, grown.matrix(), weights)
    np.testing.assert_allclose(grown.variances(weights), by_hand, rtol=1e-9)


def explicit(r: Any, m: Any, a: float, p: float) -> Any:
    """S (S R S + a I)^-1 S m, letter by letter."""
    s = np.diag((np.abs(m) / np.abs(m).mean()) ** p)
    return s @ np.linalg.solve(s @ r @ s + a * np.eye(len(m)), s @ m)


@pytest.mark.parametrize("cells", [500, 20])  # more cells than formulas, and fewer: the small system
def test_weights_are_those_of_the_formula(cells: int) -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(-63, 64, size=(30, cells)).astype(np.int8)
    levels[4:9] = np.clip(levels[3] + rng.integers(-5, 6, size=(5, cells)), -63, 63)
    grown = GrowingCorrelations(cells)
    grown.add(levels)
    unit = levels / np.linalg.norm(levels.astype(float), axis=1)[:, None]
    means = rng.normal(size=(30, 2)) * 0.02
    means[5] = 0.0
    choices = [(a, p) for a in PENALTIES for p in POWERS]
    for (a, p), found in zip(choices, solve(grown, means, choices, np.float64), strict=True):
        for i in range(2):
            np.testing.assert_allclose(found[:, i], explicit(unit @ unit.T, means[:, i], a, p), rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(solve(grown, np.zeros((30, 1)), [(0.1, 1.0)], np.float64)[0], 0.0)


def walked(r: Any, series: Any, parts: Any, reach: int) -> Any:
    """The score of each choice and its daily figures, with loops."""
    first = parts[0]
    begin = first.start + (first.stop - first.start) * (BLOCKS - 1) // BLOCKS
    blocks = [slice(begin, first.stop), *parts[1:]]
    out = {}
    for p in POWERS:
        for a in PENALTIES:
            daily = []
            for block in blocks:
                rows = [t for part in parts for t in range(part.start, part.stop) if t < block.start - reach]
                w = explicit(r, np.nanmean(series[:, rows], axis=1), a, p)
                risk = math.sqrt(w @ r @ w)
                daily.append([w @ np.nan_to_num(series[:, t]) / risk for t in range(block.start, block.stop)])
            out[a, p] = np.mean([np.mean(d) for d in daily]), np.concatenate(daily)
    return out


def fitter(seed: int = 0, reach: int = 4) -> tuple[WeightFitter, Any, Any]:
    rng = np.random.default_rng(seed)
    levels = rng.integers(-63, 64, size=(12, 900)).astype(np.int8)
    levels[1] = np.clip(levels[0] // 2 + rng.integers(-20, 21, size=900), -63, 63)
    grown = GrowingCorrelations(900)
    grown.add(levels)
    series = (rng.normal(size=(12, 260)) * 0.1 + rng.random((12, 1)) * 0.05).astype(np.float32)
    series[2, :30] = np.nan  # a window that has to fill first
    figures = DailyFigures(260)
    figures.add(series)
    return WeightFitter(grown, figures, 2, reach), grown.matrix(), series.astype(float)


@pytest.mark.parametrize("parts", [(slice(0, 200),), (slice(0, 200), slice(204, 260))])
def test_the_shrinkage_is_that_of_the_best_walk_forward(parts: Any) -> None:
    for seed in range(4):
        fit, r, series = fitter(seed)
        want = walked(r, series, parts, 4)
        best = max(want, key=lambda choice: want[choice][0])
        found = fit.fit(parts)
        assert (found.penalty, found.power) == best
        rows = [t for part in parts for t in range(part.start, part.stop)]
        np.testing.assert_allclose(
            found.weights, explicit(r, np.nanmean(series[:, rows], axis=1), *best), rtol=1e-5, atol=1e-9
        )
        daily = want[best][1]
        assert found.expected == pytest.approx(daily.mean(), rel=1e-5)
        assert 0.0 < found.error < 0.1
        assert found.expected / found.error == pytest.approx(ff.evaluation.newey_west_t(daily, horizon=2), rel=1e-5)


def test_a_set_penalty_is_not_chosen() -> None:
    fit, _, _ = fitter()
    fit.penalty = 0.7
    assert fit.fit((slice(0, 200),)).penalty == 0.7
    assert fit.choices == [(0.7, 0.0), (0.7, 1.0)]


def test_nothing_is_learnt_from_labels_that_reach_into_the_block() -> None:
    parts, reach = (slice(0, 200),), 4
    fit, _, _ = fitter()
    fit.fit(parts)
    for fold in folds_of(parts, reach):
        other, _, _ = fitter()
        for t in range(fold.start - reach, 260):  # what is not known yet when the block is forecast
            for place in range(12):
                if t >= fold.stop or t < fold.start:
                    other.figures.of(place)[t] = 9.0
        other.fit(parts)
        np.testing.assert_array_equal(other._walked[fold], fit._walked[fold])
        assert max(stop for _, stop in fold.known) == fold.start - reach


def test_too_few_rows_to_walk_forward_take_the_strongest_shrinkage() -> None:
    fit, r, series = fitter(reach=300)
    found = fit.fit((slice(0, 200),))
    assert (found.penalty, found.power) == (PENALTIES[0], POWERS[0])
    assert math.isnan(found.expected)
    assert math.isnan(found.error)
    np.testing.assert_allclose(found.weights, explicit(r, np.nanmean(series[:, :200], axis=1), 1.0, 0.0), rtol=1e-5)


def test_slopes_are_ridge_slopes_however_the_pool_grew() -> None:
    rng = np.random.default_rng(2)
    levels = rng.integers(-63, 64, size=(150, 700)).astype(np.int8)
    new = rng.integers(-63, 64, size=(5, 700)).astype(np.int8)
    found = []
    for steps in ((150,), (40, 41, 64, 150), (1, 150)):
        grown = GrowingCorrelations(700)
        slopes = RidgeSlopes(grown, 0.1)
        for stop in steps:
            grown.add(levels[grown.size : stop])
            made = slopes.of(grown.with_each(new))
        found.append(made)
    want = np.linalg.solve(grown.matrix() + 0.1 * np.eye(150), grown.with_each(new).T).T
    np.testing.assert_allclose(found[0], want, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_what_a_candidate_adds_is_what_ridge_leaves_of_it(market: Market) -> None:
    train = market.rows.train
    pool = filled(market, TEXTS[:5])
    found, levels, _ = market.measure_levels(market.compiled(TEXTS[5:]))
    series = np.stack([market.yardstick.gross(one) for one in found])
    known = np.nan_to_num(series[:, train])
    np.testing.assert_array_equal(filled(market, ()).contribution(series, levels), known)
    figures = np.stack([pool._figures.of(i) for i in range(pool.size)]).astype(float)
    slopes = np.linalg.solve(pool.correlations() + 0.1 * np.eye(pool.size), pool.correlations_with(levels).T)
    want = known - slopes.T @ np.nan_to_num(figures[:, train])
    np.testing.assert_allclose(pool.contribution(series, levels), want, rtol=1e-6, atol=1e-9)
    # Of a copy next to nothing is left.
    mine = pool.contribution(figures[:1], pool._correlations._levels[0][:1])
    assert np.abs(mine).mean() < 0.2 * np.nanmean(np.abs(figures[0, train]))


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_a_formula_earns_what_the_weights_of_one_half_are_paid_in_the_other(market: Market, batch: int) -> None:
    pool = filled(market, batch=batch)
    train, reach = market.rows.train, market.reach
    middle = (train.start + train.stop) // 2
    halves = slice(train.start, middle - reach), slice(middle, train.stop)
    series = np.stack([pool._figures.of(i).astype(float) for i in range(pool.size)])
    first, second = (np.nanmean(series[:, half], axis=1) for half in halves)
    inverse = np.linalg.inv(pool.correlations() + 0.1 * np.eye(pool.size))
    each = np.maximum((inverse @ first) * second + (inverse @ second) * first, 0.0)
    found = pool.earnings()
    assert found == pytest.approx(each / each.sum(), rel=1e-6, abs=1e-12)
    assert found.sum() == pytest.approx(1.0)
    strongest = [m.canonical for m in pool.members][int(found.argmax())]
    assert "VOLUME" in strongest  # the planted one
    assert found.tobytes() == filled(market, batch=2).earnings().tobytes()


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_outlook_is_what_ridge_weights_of_training_have_on_validation(market: Market, batch: int) -> None:
    pool = WidePool(market, config().wide)
    assert np.isnan(pool.outlook())
    pool = filled(market, batch=batch)
    r, rows = np.array(pool.correlations()), market.rows
    m, found = (
        np.array([np.nanmean(pool._figures.of(i)[part].astype(float)) for i in range(pool.size)])
        for part in (rows.train, rows.valid)
    )
    w = np.linalg.solve(r + 0.1 * np.eye(len(r)), m)
    assert pool.outlook() == pytest.approx(w @ found / np.sqrt(w @ r @ w), rel=1e-6)
    assert pool.outlook() == filled(market, batch=2).outlook()


def test_means_are_the_same_however_the_formulas_came() -> None:
    rng = np.random.default_rng(3)
    series = rng.normal(size=(1100, 60)).astype(np.float32)
    series[rng.random(series.shape) < 0.2] = np.nan
    series[7] = np.nan
    parts = slice(0, 25), slice(40, 60)
    grown = DailyFigures(60)
    for start, stop in ((0, 3), (3, 515), (515, 516), (516, 1100)):
        grown.add(series[start:stop])
        grown.means(parts)
    own = series[:, np.r_[0:25, 40:60]].astype(float)
    own[7] = 0.0  # of what has no figure
    np.testing.assert_allclose(grown.means(parts), np.nanmean(own, axis=1), rtol=1e-12)
    np.testing.assert_allclose(grown.means([parts[1]]), np.nanmean(own[:, 25:], axis=1), rtol=1e-12)


def test_what_few_members_have_a_value_of_earns_nothing(market: Market) -> None:
    seldom = "RET > 0.02 ? VOLUME / TS_MEAN(VOLUME, 10) : 0 / 0"
    pool = filled(market, (*TEXTS, seldom))
    at = [m.proposed for m in pool.members].index(market.compiled([seldom])[0].canonical)
    _, levels, _ = market.measure_levels(market.compiled([seldom]))
    breadth = np.count_nonzero(levels) / levels.size
    assert pool._correlations.breadths()[at] == pytest.approx(breadth)
    assert breadth < market.config.gates.min_coverage
    earned = pool.earnings()
    assert earned[at] == 0.0
    assert earned.sum() == pytest.approx(1.0)


def test_a_run_may_begin_with_no_formula_at_all(market: Market) -> None:
    found, levels, _ = market.measure_levels([])
    assert len(list(found)) == 0
    assert levels.shape == (0, market.levels.count)


def test_an_empty_pool_earns_nothing_and_what_it_takes_in_later_counts(market: Market) -> None:
    pool = filled(market, TEXTS[:0])
    assert pool.earnings().shape == (0,)
    pool = filled(market, TEXTS[:2])
    before = pool.earnings()
    more = filled(market, TEXTS)
    assert len(before) == pool.size < more.size == len(more.earnings())


def test_what_is_no_copy_and_defined_is_taken_in_once(market: Market) -> None:
    pool = filled(market)
    sizes = pool.size
    pool.add(
        pool.members, [pool._figures.of(i).astype(float) for i in range(sizes)], list(pool._correlations._levels[0])
    )
    assert pool.size == sizes
    odd = PoolMember("f" * 32, "x", "x", 1, "unseen")
    nothing = np.full(market.panel.shape[0], np.nan)
    flat = np.zeros(market.levels.count, dtype=np.int8)
    level = np.ones(market.levels.count, dtype=np.int8)
    pool.add([odd], [nothing], [level])  # no daily figure
    pool.add([odd], [pool._figures.of(0).astype(float)], [flat])  # constant: no order
    assert pool.size == sizes
    pool.add([replace(odd, ranking=pool.members[1].ranking)], [pool._figures.of(0).astype(float)], [level])
    assert pool.size == sizes
    closed = WidePool(market, market.config.wide.model_copy(update={"enabled": False}))
    closed.add([odd], [pool._figures.of(0).astype(float)], [level])
    assert closed.size == 0


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_forecast_is_the_sum_of_weighted_ranks(market: Market, panel: Panel, split: str) -> None:
    pool = filled(market)
    fit = pool.fit()
    rows = getattr(market.rows, split)
    lengths = pool._correlations.own_lengths()
    total, count = np.zeros(panel.shape), np.zeros(panel.shape)
    for member, weight, length in zip(pool.members, fit.weights, lengths, strict=True):
        ranks = member.sign * centred_ranks(ff.evaluate([member.proposed], panel)[0], panel.universe)
        total += weight / length * np.nan_to_num(ranks)
        count += np.isfinite(ranks)
    forecast = np.where(count > 0, total, np.nan)
    labels = ff.forward_returns(panel, horizon=2, entry_lag=1)
    labels = np.where(np.count_nonzero(panel.universe, axis=1)[:, None] >= 10, labels, np.nan)
    want = ff.evaluation.daily(forecast[rows], labels[rows], panel.universe[rows], span=2)
    found = pool.forecast(fit, split).daily()
    for name in ("rank_ic", "ic", "spread", "traded", "coverage", "turnover"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=1e-5, atol=1e-7, err_msg=name)
    assert np.nanmean(found.rank_ic) > 0.1  # the planted signal is in it


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_pool_and_its_first_formulas_are_forecast_in_one_pass(
    market: Market, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart, together = filled(market), filled(market)
    want = [apart.judged(split), apart.first(3).judged(split)]
    passes: list[int] = []
    monkeypatch.setattr(wide_module, "weighted_forecasts", _counted(passes))
    found = together.judged_with(split, 3)
    assert passes == [2]  # forecasts, in a single pass
    for (fit, scores), (own_fit, own) in zip(want, found, strict=True):
        assert repr(own_fit) == repr(fit)
        assert own.scores == scores.scores
        for name in ("rank_ic", "ic", "spread", "traded", "coverage", "turnover"):
            a, b = (getattr(one.daily["ridge"], name) for one in (own, scores))
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert together.first(3).judged(split) == found[1]
    assert together.judged_with(split, together.size)[1] == found[0]
    assert passes == [2]  # and never again


def _counted(passes: list[int]) -> Any:
    def forecasts(market: Any, forms: Any, weights: Any, rows: Any, **more: Any) -> Any:
        passes.append(len(weights))
        return weighted_forecasts(market, forms, weights, rows, **more)

    return forecasts


def test_what_is_ranked_is_what_its_text_would_be(market: Market) -> None:
    texts = [a.canonical for a in market.compiled([*TEXTS, "RANK(CLOSE)", "0 - RANK(RANK(OPEN))", "CLOSE * 2 + 1"])]
    found = _ranked(market, texts)
    assert [a.node for a in found] == [a.node for a in market.compiled(f"RANK({text})" for text in texts)]


def test_an_empty_pool_forecasts_nothing(market: Market) -> None:
    pool = filled(market, ())
    fit = pool.fit()
    assert fit.weights.shape == (0,)
    assert np.isnan(pool.forecast(fit, "valid").daily().rank_ic).all()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("wide") / "market.parquet"
    to_frame(target_panel(dates=260)).write_parquet(file)
    return file


@pytest.mark.parametrize("more", [{"threads": 2}, {"memory_budget": "2MB"}, {"memory_budget": "3MB", "threads": 2}])
def test_in_parts_and_on_more_threads_everything_has_the_same_bits(
    path: Path, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "_FIXED", 0)
    rest: Any = {"target": {"horizons": [1, 5], "neutralize": ["SECTOR"]}, "gates": {"max_lookback": 60}}
    here = Market(ff.load_market_data(str(path)), config(**rest, splits={}))
    read = ff.scan_market_data if "memory_budget" in more else ff.load_market_data
    there = Market(read(str(path)), config(**rest, splits={}, run={"seed": 1, **more}))
    pools = [filled(here), filled(there, batch=2)]
    one, two = pools
    np.testing.assert_array_equal(one._correlations._levels[0], two._correlations._levels[0])
    np.testing.assert_array_equal(one.correlations(), two.correlations())
    fits = [pool.fit(here.rows.train, here.rows.valid) for pool in pools]
    np.testing.assert_array_equal(fits[0].weights, fits[1].weights)
    assert repr(fits[0]) == repr(fits[1])
    for split in ("valid", "test"):
        found = [pool.forecast(fit, split) for pool, fit in zip(pools, fits, strict=True)]
        for name in ("rank_ic", "ic", "spread", "traded", "coverage", "turnover"):
            np.testing.assert_array_equal(*(getattr(f.daily(), name) for f in found), err_msg=name)
        assert len(found[0].each()) == 2


def test_a_round_s_candidates_are_taken_in_and_a_resumed_run_has_the_same_pool(market: Market) -> None:
    starting = [make_factor(text, sign=1) for text in TEXTS[:2]]
    state, _ = first_state(market, starting)
    assert state.wide is not None
    assert [m.begun_with for m in state.wide.members] == [True, True]
    batches = [[*TEXTS[2:5], "CLOSE +"], [TEXTS[5], TEXTS[2], TEXTS[6]]]
    rows: list[dict[str, Any]] = []
    for number, texts in enumerate(batches, start=1):
        candidates = [Candidate(i, Proposal(text)) for i, text in enumerate(texts)]
        pass_gates(candidates, state, market.config, market, number, "test")
        for c in candidates:
            record = record_of(c, "test", turned=state.turned)
            rows.append({name: getattr(record, name) for name in ("fingerprint", "canonical", "scores", "extra")})
            assert c.levels is None
            assert c.wide_series is None
    assert AS_PROPOSED in {key for row in rows for key in row["extra"]}  # some were turned round
    measured_ones = [row["fingerprint"] for row in rows if "train" in row["scores"]]
    pool = state.wide
    assert [m.fingerprint for m in pool.members if not m.begun_with] == [f for f in measured_ones if f in pool.names]
    assert pool.seeds == 2
    assert pool.size >= 5
    again = WidePool(market, market.config.wide)
    start = sorted(start_of(first_state(market, starting)[0]), key=lambda f: f.fingerprint)  # as the ledger does
    begun = [state.begun_as.get(f.fingerprint) or f.canonical for f in start]
    measure_again(again, market, begun, begun_with=True)
    measure_again(again, market, measured_texts(rows))
    assert again.members == pool.members
    np.testing.assert_array_equal(again.correlations(), pool.correlations())
    np.testing.assert_array_equal(again.fit().weights, pool.fit().weights)
    shut, _ = first_state(market, starting, wide=False)
    assert shut.wide is not None
    assert shut.wide.size == 0
