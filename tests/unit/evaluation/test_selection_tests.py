"""The best of many: p-values against slow definitions, trials of clusters, the deflated Sharpe ratio, edges."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation.mean_tests import block_length, cosine_count, mean_test, resampled_rows
from fama_fast.evaluation.power import Hurdle, least_effect
from fama_fast.evaluation.selection_tests import independent_trials, luck_deflated_sharpe, selection_tests

NAN = float("nan")
module = importlib.import_module("fama_fast.evaluation.selection_tests")  # the package has the function by this name


def slow(daily: np.ndarray, horizon: int, resamples: int, seed: int) -> tuple[float, float, list[float]]:
    n, m = daily.shape

    def error(x: np.ndarray) -> float:
        count = min(cosine_count(n, horizon), n - 1)
        sums = [
            sum(math.sqrt(2 / n) * math.cos(math.pi * j * (t + 0.5) / n) * x[t] for t in range(n))
            for j in range(1, count + 1)
        ]
        return math.sqrt(sum(s * s for s in sums) / count / n)

    means = [float(daily[:, k].mean()) for k in range(m)]
    errors = [error(daily[:, k]) for k in range(m)]
    ts = [a / b for a, b in zip(means, errors, strict=True)]
    poor = [t < -math.sqrt(2 * math.log(math.log(n))) for t in ts]
    drawn = []
    largest = []
    for rows in np.concatenate(list(resampled_rows(n, block_length(n, horizon), resamples, seed, resamples))):
        x = daily[rows] - np.array(means)
        own = [error(x[:, k]) for k in range(m)]
        drawn.append([float(x[:, k].mean()) / own[k] for k in range(m)])
        largest.append(float(x.mean(axis=0).max()) / float(np.mean(own)))
    reality = (1 + sum(v >= max(means) / np.mean(errors) for v in largest)) / (1 + resamples)
    best = [max(0.0, *(d[k] for k in range(m) if not poor[k])) for d in drawn]
    spa = (1 + sum(b >= max(0.0, *ts) for b in best)) / (1 + resamples)
    order = sorted(range(m), key=lambda k: -ts[k])
    step_down, before = [0.0] * m, 0.0
    for place, k in enumerate(order):
        left = order[place:]
        before = max(before, (1 + sum(max(d[j] for j in left) >= ts[k] for d in drawn)) / (1 + resamples))
        step_down[k] = before
    return float(reality), float(spa), step_down


@pytest.mark.parametrize(("m", "horizon"), [(3, 1), (12, 1), (4, 5)])
def test_p_values_are_those_of_their_definitions(m: int, horizon: int) -> None:
    rng = np.random.default_rng(m)
    daily = rng.normal(size=(48, m)) + 0.4 * rng.normal(size=(48, 1))
    daily[:, 0] += 0.3
    daily[:, 1] -= 1.5  # certainly bad
    found = selection_tests(daily, horizon=horizon, resamples=60, seed=7)
    assert found is not None
    reality, spa, step_down = slow(daily, horizon, 60, 7)
    assert (found.reality_check, found.spa) == pytest.approx((reality, spa))
    assert found.step_down == pytest.approx(np.array(step_down))
    assert found.best == int(np.argmin(step_down))
    assert (found.n_candidates, found.n_days) == (m, 48)


def test_chunks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    daily = np.random.default_rng(2).normal(size=(60, 40))
    whole = selection_tests(daily, resamples=100)
    monkeypatch.setattr(module, "_CELLS", 5000)
    parts = selection_tests(daily, resamples=100)
    assert whole is not None
    assert parts is not None
    assert whole.as_dict() == parts.as_dict()


def test_few_and_many_candidates_are_resampled_alike() -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 30, size=(9, 30))
    centred, waves = rng.normal(size=(30, 4)), rng.normal(size=(30, 6))
    few, many = module._sums_of_few(rows, centred, waves), module._sums_of_many(rows, centred, waves)
    assert few == pytest.approx(many)
    assert few[2, 3, 1] == pytest.approx(sum(waves[t, 3] * centred[rows[2, t], 1] for t in range(30)))


def test_what_has_no_figure_is_left_out() -> None:
    rng = np.random.default_rng(4)
    daily = rng.normal(size=(80, 5))
    daily[:, 1] = 0.25  # constant
    daily[:20, 2] = NAN  # known on too few dates
    daily[5, 3] = np.inf
    daily[70:] = NAN
    found = selection_tests(daily, resamples=50)
    assert found is not None
    assert np.isnan(found.step_down).tolist() == [False, True, True, False, False]
    assert (found.n_candidates, found.n_days) == (3, 70)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (10, 0)])
def test_nothing_to_test(shape: tuple[int, int]) -> None:
    assert selection_tests(np.zeros(shape), resamples=10) is None


def test_wrong_arguments() -> None:
    with pytest.raises(DataError, match=r"\(days, candidates\)"):
        selection_tests(np.zeros(5))
    with pytest.raises(ConfigError, match="resamples"):
        selection_tests(np.zeros((5, 2)), resamples=0)
    with pytest.raises(ConfigError, match="trials"):
        luck_deflated_sharpe([1.0, 2.0], trials=0.5)


def test_a_planted_candidate_is_found_among_many() -> None:
    daily = np.random.default_rng(15).normal(size=(400, 300))
    daily[:, 17] += 6.0 / math.sqrt(400)
    found = selection_tests(daily, resamples=500)
    assert found is not None
    assert found.best == 17
    assert max(found.reality_check, found.spa, found.step_down[17]) < 0.02
    assert np.nanmin(np.delete(found.step_down, 17)) > 0.05


@pytest.mark.parametrize("m", [20, 300])
def test_independent_series_are_a_trial_each(m: int) -> None:
    found = independent_trials(np.random.default_rng(6).normal(size=(250, m)))
    assert found.series == found.clusters == m
    assert found.independent == pytest.approx(m, rel=0.35)


def test_copies_are_one_trial_and_clusters_few() -> None:
    rng = np.random.default_rng(7)
    one = rng.normal(size=(300, 1))
    copies = independent_trials(np.repeat(one, 40, axis=1) * np.arange(1.0, 41.0))
    assert copies.clusters == 1
    assert copies.independent == pytest.approx(1.0, abs=0.2)
    families = np.repeat(rng.normal(size=(300, 6)), 20, axis=1) + 0.1 * rng.normal(size=(300, 120))
    found = independent_trials(families)
    assert found.clusters == 6
    assert 5.0 < found.independent < 20.0


def test_trials_of_nothing_and_of_one() -> None:
    assert independent_trials(np.empty((10, 0))).independent == 0.0
    assert independent_trials(np.random.default_rng(1).normal(size=(30, 1))).independent == 1.0


def test_the_deflated_ratio_is_the_chance_that_luck_stays_below() -> None:
    x = np.random.default_rng(8).normal(0.15, 1.0, 500)
    p = mean_test(x).p
    assert luck_deflated_sharpe(x, trials=1.0) == pytest.approx(1.0 - p)
    assert luck_deflated_sharpe(x, trials=50.0) == pytest.approx((1.0 - p) ** 50)
    assert luck_deflated_sharpe(-10.0 + 0.0 * x + x, trials=2.0) < 1e-12
    assert math.isnan(luck_deflated_sharpe([0.1, 0.1], trials=3.0))


def test_a_real_discovery_does_not_raise_the_bar() -> None:
    rng = np.random.default_rng(9)
    daily = rng.normal(size=(500, 200))
    daily[:, :50] += 0.35 + 0.1 * rng.normal(size=50)  # many that are real
    trials = independent_trials(daily).independent
    assert luck_deflated_sharpe(daily[:, 0], trials=trials) > 0.95


def test_the_least_effect_passes_all_hurdles_as_often_as_asked() -> None:
    hurdles = [Hurdle(0.004, 0.0001), Hurdle(0.008, 0.001, 12), Hurdle(0.009, 0.025)]
    effect = least_effect(hurdles)
    rng = np.random.default_rng(10)
    passed = np.ones(40_000, dtype=bool)
    from scipy import stats

    for h in hurdles:
        bar = stats.norm.isf(h.level) if h.freedom is None else stats.t.isf(h.level, h.freedom)
        passed &= rng.normal(effect, h.error, passed.size) > bar * h.error
    assert passed.mean() == pytest.approx(0.8, abs=0.01)
    assert least_effect(hurdles, 0.9) > effect
    assert math.isnan(least_effect([Hurdle(NAN, 0.05)]))
    assert least_effect([Hurdle(1.0, 0.9)], 0.5) == 0.0
    with pytest.raises(ConfigError, match="power"):
        least_effect(hurdles, 1.0)
    with pytest.raises(ConfigError, match="0 tests"):
        least_effect([])
