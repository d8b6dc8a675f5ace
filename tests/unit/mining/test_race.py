"""Racing: the estimate on a sample, who leaves, how often a contender is lost, and what it saves."""

from __future__ import annotations

import math
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.race import Account, Race, controls_of, critical, estimate

TEXTS = (
    "RANK(DELTA(CLOSE, 5))", "RANK(VOLUME / TS_MEAN(VOLUME, 20))", "RANK(CORREL(CLOSE, VOLUME, 10))",
    "RANK(TS_STDDEV(RET, 20))", "RANK(HIGH / LOW)", "TS_RANK(CLOSE, 10)", "RANK(OPEN / DELAY(CLOSE, 1))",
    "RANK(TS_MEAN(RET, 250))",
)  # fmt: skip


@pytest.fixture(scope="module")
def market() -> Market:
    signal = PlantedSignal("RANK(DELTA(CLOSE, 5)) * -1", 0.08)
    panel = simulate(SimulationSpec(n_symbols=60, n_dates=520, seed=4, signals=(signal,)))
    return Market(panel, config_from_dict({"racing": {"blocks": 3, "rungs": 2}}))


def of_threads(market: Market, threads: int) -> Market:
    config = market.config.model_copy(update={"run": market.config.run.model_copy(update={"threads": threads})})
    return Market(market.whole, config)


def test_estimate_without_controls_is_the_mean_with_a_finite_population_s_error() -> None:
    x = np.random.default_rng(0).normal(0.02, 0.1, 200)
    mean, error = estimate(x, np.empty((200, 0)), np.empty(0), 800)
    assert mean == pytest.approx(x.mean(), abs=1e-9)
    assert error == pytest.approx(0.1 / math.sqrt(200) * math.sqrt(0.75), rel=0.3)
    assert estimate(x, np.empty((200, 0)), np.empty(0), 200)[1] == 0.0


def test_controls_take_out_what_factors_share() -> None:
    rng = np.random.default_rng(1)
    mood = rng.normal(0.0, 0.1, 600)
    known = np.stack([mood * w + rng.normal(0.0, 0.01, 600) for w in (1.0, -0.7, 0.4)])
    unknown = 0.8 * mood + 0.03 + rng.normal(0.0, 0.01, 600)
    controls = controls_of(known)
    sample = np.arange(100)
    mean, error = estimate(unknown[sample], controls[sample], controls.mean(axis=0), 600)
    plain, plain_error = estimate(unknown[sample], controls[sample, :0], np.empty(0), 600)
    assert abs(mean - unknown.mean()) < abs(plain - unknown.mean())
    assert error < 0.3 * plain_error


@pytest.mark.parametrize("autocorrelation", [-0.2, 0.0, 0.3, 0.5])
def test_a_contender_is_lost_about_as_often_as_stated(autocorrelation: float) -> None:
    """A block of a series whose exact mean is at the bar: P(|m| + z s < bar) is the stated 5%, give or take.

    The bound is the stated error plus three standard errors of 2,000 runs.
    """
    rng = np.random.default_rng(2)
    total, block, lost, runs = 756, 126, 0, 2000
    for _ in range(runs):
        noise = rng.normal(0.0, 0.05, total + 50)
        for t in range(1, total + 50):
            noise[t] += autocorrelation * noise[t - 1]
        series = noise[50:] - noise[50:].mean() + 0.02
        start = block * int(rng.integers(6))
        mean, error = estimate(series[start : start + block], np.empty((block, 0)), np.empty(0), total)
        lost += abs(mean) + critical(0.05, block) * error < 0.02
    assert lost / runs < 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / runs)


def test_sampled_figures_are_those_of_the_whole_panel(market: Market) -> None:
    assert market.race is not None
    alphas = [compile_alpha(t) for t in TEXTS]
    exact = market.measure(alphas).rank_ic
    found = market.race.run(alphas, [0.0] * len(alphas), np.empty((market.panel.shape[0], 0)))
    assert found[-1] is None  # it looks too far back to be worth a race
    dates = np.sort(np.concatenate([np.arange(b.start, b.stop) for b in market.race.blocks]))
    for series, race_result in zip(exact[:-1], found[:-1], strict=True):
        assert race_result is not None
        assert not race_result.lost
        assert race_result.score == pytest.approx(np.nanmean(series[dates]), abs=2e-6)
        assert race_result.days == np.isfinite(series[dates]).sum()


def test_losers_leave_and_contenders_stay(market: Market) -> None:
    assert market.race is not None
    alphas = [compile_alpha(t) for t in TEXTS[:-1]]
    found = market.race.run(alphas, [0.04] * len(alphas), np.empty((market.panel.shape[0], 0)))
    lost = [s.lost for s in found if s is not None]
    assert not lost[0]  # the planted one
    assert sum(lost) >= 2
    early = [s for s in found if s is not None and s.lost]
    assert min(s.days for s in early) < max(s.days for s in found if s is not None)


def test_the_same_at_any_number_of_threads(market: Market) -> None:
    alphas = [compile_alpha(t) for t in TEXTS]
    controls = controls_of(market.measure(alphas).rank_ic)

    def race(threads: int) -> Race:
        return Race(
            market.panel.shape, of_threads(market, threads).score_parts, market.rows.train, market.members,
            error=0.05, blocks=4, rungs=2, seed=3,
        )  # fmt: skip

    bars = [0.02] * len(alphas)
    assert race(1).run(alphas, bars, controls) == race(3).run(alphas, bars, controls)


def test_an_account_of_what_races_cost_and_save(market: Market) -> None:
    """Against the same sums written out: a candidate costs its dates and its planning for each rung that it ran."""
    race = market.race
    assert race is not None
    alphas = [compile_alpha(t) for t in TEXTS]
    found = race.run(alphas, [0.04] * len(alphas), np.empty((market.panel.shape[0], 0)))
    assert {s.rungs for s in found if s is not None} == {1, 2}
    assert all(s.lost for s in found if s is not None and s.rungs == 1)
    rows, symbols = market.panel.shape
    block = max(b.stop - b.start for b in race.blocks)
    runs = [(a, s) for a, s in zip(alphas, found, strict=True) if s is not None]
    planning = 160_000
    spent = sum(s.rungs * ((block + a.lookback) * symbols + planning) for a, s in runs)
    saved = sum(rows * symbols + planning for _, s in runs if s.lost)
    once = race.entered(Account(), alphas, found)
    assert once == Account(spent, saved)
    twice = race.entered(once, alphas, found)
    assert (twice.spent, twice.saved) == pytest.approx((1.9 * spent, 1.9 * saved))


@pytest.mark.parametrize(
    ("saved", "held"), [(0.0, [1, 2, 3, 8, 16]), (99.0, [1, 2, 3, 8, 16]), (100.0, [*range(1, 18)])]
)
def test_races_are_held_while_they_pay_and_now_and_then(saved: float, held: list[int]) -> None:
    assert [n for n in range(1, 18) if Account(100.0, saved).wants(n)] == held


@pytest.mark.parametrize("bar", [0.0, 0.5])
def test_a_run_races_where_nearly_all_lose_and_not_where_none_does(bar: float) -> None:
    """With a bar at which nobody can lose races stop after three rounds; with one that nobody reaches they go on."""
    from fama_fast.mining.run.mine import mine

    panel = simulate(SimulationSpec(n_symbols=200, n_dates=600, seed=4))
    raced: list[int] = []
    real = Race.run
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as place:

        def run(race: Race, alphas: Any, bars: Any, controls: Any) -> Any:
            raced.append(len(alphas))
            return real(race, alphas, [bar] * len(bars), controls)

        patch.setattr(Race, "run", run)
        settings = {
            "paths": {"output_dir": place},
            "run": {"rounds": 9, "patience": 99, "max_candidates": 180, "threads": 1, "candidates": 20},
            "control": {"random": False},
        }
        result = mine(config_from_dict(settings), panel=panel)
    assert result.rounds == 9
    assert len(raced) == (9 if bar else 4)  # the first three and the eighth
