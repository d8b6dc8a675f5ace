"""What the search climbs: directions, units, costs, scores; and that pools and races follow it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.errors import ConfigError
from fama_fast.evaluation import newey_west_t
from fama_fast.evaluation.ranks import tamed_labels
from fama_fast.library import make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.objective import OBJECTIVES, Measured, Yardstick, deviations
from fama_fast.panel import Panel

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
TEXTS = ("-RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))", "RANK(DELTA(VOLUME, 1))", "TS_STDDEV(RET, 10)")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate(SimulationSpec(n_symbols=60, n_dates=420, seed=4, signals=(PlantedSignal(SIGNAL, 0.1),)))


def market(panel: Panel, objective: str, **more: Any) -> Market:
    return Market(panel, config_from_dict({"objective": objective, "splits": {"horizon": 2}, **more}))


def measured(seed: int = 0, dates: int = 60) -> Measured:
    rng = np.random.default_rng(seed)
    series = [rng.normal(-0.02, 0.1, dates), rng.normal(0.01, 0.1, dates), rng.normal(0.004, 0.01, dates)]
    series[2][3] = np.nan
    return Measured(*series, rng.uniform(0.0, 4.0, dates), np.full(dates, 0.9))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_series_and_scores_are_what_they_say(name: str) -> None:
    one, rows = measured(), slice(5, 40)
    yardstick = Yardstick.of(name, cost_bps=25.0, scale=0.02, horizon=3)
    unit = 1.0 / (3.51 * 0.02) if name in ("spread", "net") else 1.0
    for sign in (1, -1):
        own = {
            "rank_ic": sign * one.rank_ic,
            "ic": sign * one.ic,
            "spread": sign * one.spread,
            "net": sign * one.spread - 0.0025 * one.traded,
        }
        np.testing.assert_allclose(yardstick.series(one, sign), own[name] * unit, rtol=1e-12, atol=1e-15)
        found = yardstick.scores(one, sign, rows)
        for measure, series in own.items():
            part = series[rows]
            assert found[measure] == pytest.approx(np.nanmean(part))
            assert found[f"{measure}_t"] == pytest.approx(newey_west_t(part, horizon=3))
        assert (found["objective"], found["objective_t"]) == (found[name], found[f"{name}_t"])
        assert found["score"] == pytest.approx(found[name] * unit)
    assert yardstick.direction(one, rows) == (-1 if name == "rank_ic" else 1)


def test_costs_are_paid_either_way_round() -> None:
    one = measured()
    yardstick = Yardstick.of("net", cost_bps=1000.0, scale=0.02, horizon=1)
    both = yardstick.series(one, 1) + yardstick.series(one, -1)
    known = np.isfinite(one.spread)
    np.testing.assert_allclose(both[known], (-2.0 * 0.1 * one.traded / (3.51 * 0.02))[known])


def test_a_spread_counts_as_the_rank_ic_that_would_earn_it() -> None:
    """Of normal labels with a known IC: spread / (3.51 sigma) is about the RankIC."""
    rng = np.random.default_rng(1)
    from fama_fast.evaluation import daily

    signal = rng.normal(size=(300, 400))
    labels = 0.03 * (0.1 * signal + rng.normal(size=signal.shape))
    found = daily(signal, labels)
    scale = float(np.nanmean(deviations(labels, None)))
    assert scale == pytest.approx(labels.std(), rel=0.01)
    yardstick = Yardstick.of("spread", cost_bps=0.0, scale=scale, horizon=1)
    assert np.nanmean(yardstick.gross(found)) == pytest.approx(np.nanmean(found.ic), rel=0.05)


def test_labels_that_do_not_differ_need_no_unit() -> None:
    assert Yardstick.of("spread", cost_bps=0.0, scale=0.0, horizon=1).unit == 1.0
    assert np.isnan(deviations(np.array([[np.nan, 1.0], [np.nan, np.nan]]), None)).all()


def test_an_unknown_objective_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"objective.*rank_ic, ic, spread, net.*did you mean spread"):
        config_from_dict({"objective": "spraed"})
    with pytest.raises(ConfigError, match="cost_bps"):
        config_from_dict({"cost_bps": -1.0})


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_race_is_run_on_the_objective(panel: Panel, name: str) -> None:
    """Its estimates are the means of the exact series on the sampled dates, as far as what is traded is known there."""
    here = market(panel, name, racing={"blocks": 4, "rungs": 2}, cost_bps=2.0)
    assert here.race is not None
    alphas = [compile_alpha(t) for t in TEXTS]
    found = here.race.run(alphas, [0.0] * len(alphas), np.empty((here.panel.shape[0], 0)))
    for one, result in zip(here.measure(alphas), found, strict=True):
        assert result is not None
        skipped = here.horizon if name == "net" else 0
        dates = np.concatenate([np.arange(b.start + skipped, b.stop) for b in here.race.blocks])
        gross = here.yardstick.gross(one)
        blocks = np.concatenate([gross[b] for b in here.race.blocks])
        sign = -1 if name == "net" and np.nansum(blocks) < 0.0 else 1
        assert result.score == pytest.approx(sign * np.nanmean(here.yardstick.series(one, sign)[dates]), abs=1e-6)
    lost = here.race.run(alphas, [9.0] * len(alphas), np.empty((here.panel.shape[0], 0)))
    assert all(r is not None and r.lost for r in lost)


def test_costs_that_eat_the_spread_lose_a_race(panel: Panel) -> None:
    """A factor that trades all of its tenths every day is dropped for its costs, not for its spread."""
    alphas = [compile_alpha("-RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))")]
    for cost, lost in ((0.0, False), (500.0, True)):
        here = market(panel, "net", racing={"blocks": 4, "rungs": 2}, cost_bps=cost)
        assert here.race is not None
        (found,) = here.race.run(alphas, [0.02], np.empty((here.panel.shape[0], 0)))
        assert found is not None
        assert found.lost is lost


def test_labels_are_tamed_as_they_are_said_to_be() -> None:
    rng = np.random.default_rng(2)
    labels = rng.standard_t(2, size=(7, 250))
    labels[0, :30], labels[1], labels[2, 0] = np.nan, np.nan, np.inf
    universe = rng.random(labels.shape) < 0.9
    for members in (None, universe):
        found = tamed_labels(labels, members, 2.0)
        for t in range(len(labels)):
            known = np.isfinite(labels[t]) & (True if members is None else members[t])
            assert (np.isfinite(found[t]) == known).all()
            if not known.any():
                continue
            own = labels[t, known] - labels[t, known].mean()
            ordered, cut = np.sort(own), int(0.01 * (known.sum() - 1))
            expected = np.clip(own, ordered[cut], ordered[-1 - cut]) / 2.0
            np.testing.assert_allclose(found[t, known], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ic", "spread", "net"])
def test_the_pool_fits_the_label_itself(panel: Panel, name: str) -> None:
    """Its weights are those of ridge regression of the tamed labels, written out."""
    here = market(panel, name, pool={"refit": 1000})
    factors = [make_factor(t, sign=s) for t, s in zip(TEXTS, (-1, 1, 1), strict=True)]
    pool = FactorPool(here, here.config.pool)
    found = pool.valid(factors)
    target = tamed_labels(here.labels.values, here.held.universe, here.scale)
    (chunk,) = pool.rank_chunks(factors, here.panel, here.label_rows, 0, here.panel.shape[0])
    last = here.rows.valid.start - here.reach
    rows = slice(0, min(last, here.rows.train.stop))
    x = [np.where(np.isfinite(target) & np.isfinite(r), r, 0.0)[rows].astype(np.float64) for r in chunk.ranks]
    y = np.nan_to_num(target)[rows]
    gram = np.array([[(a * b).sum() for b in x] for a in x])
    cross = np.array([(a * y).sum() for a in x])
    penalty = found.penalty * np.trace(gram) / len(x)
    expected = np.linalg.solve(gram + penalty * np.eye(len(x)), cross)
    np.testing.assert_allclose([found.weights[f.fingerprint] for f in factors], expected, rtol=1e-5)
    scores = found.scores["ridge"]
    assert scores["objective"] == scores[name]
    assert math.isfinite(scores["objective_t"])


def test_series_of_texts_come_back_as_training_turned_them(panel: Panel) -> None:
    here = market(panel, "net")
    series = here.training_series(TEXTS)
    train = here.rows.train
    for text, own, one in zip(TEXTS, series, here.measure([compile_alpha(t) for t in TEXTS]), strict=True):
        sign = -1 if np.nanmean(one.spread[train]) < 0.0 else 1
        np.testing.assert_array_equal(own, here.yardstick.series(one, sign)[train], err_msg=text)
    assert here.yardstick.direction(one, train) in (-1, 1)
