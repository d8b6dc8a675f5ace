"""The mean of a dependent series: t, interval and resamples against slow definitions; edges; sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fama_fast.errors import ConfigError, DataError
from fama_fast.evaluation.mean_tests import (
    block_length,
    cosine_count,
    cosines,
    mean_test,
    resampled_rows,
    studentised_interval,
)

NAN = float("nan")


def slow_test(x: np.ndarray, horizon: int) -> tuple[float, float, int]:
    x = x[np.isfinite(x)]
    n = len(x)
    count = max(1, min(int(n ** (2 / 3)), int(0.3 * n / horizon)))
    total = 0.0
    for j in range(1, count + 1):
        own = 0.0
        for t in range(n):
            own += math.sqrt(2 / n) * math.cos(math.pi * j * (t + 0.5) / n) * x[t]
        total += own * own
    error = math.sqrt(total / count / n)
    return float(x.mean()), error, count


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_t_is_that_of_its_definition(horizon: int) -> None:
    x = np.random.default_rng(horizon).normal(0.1, 1.0, 130)
    x[[3, 77]] = NAN, np.inf
    found = mean_test(x, horizon=horizon)
    mean, error, count = slow_test(x, horizon)
    assert (found.mean, found.error) == (pytest.approx(mean), pytest.approx(error))
    assert found.t == pytest.approx(mean / error)
    assert (found.freedom, found.days) == (count, 128)
    assert found.p == pytest.approx(stats.t.sf(mean / error, count))
    low, high = found.interval(0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, count, loc=mean, scale=error))


def test_cosines_are_orthonormal_and_add_up_to_zero() -> None:
    waves = cosines(50, 12)
    assert waves.T @ waves == pytest.approx(np.eye(12), abs=1e-12)
    assert waves.sum(axis=0) == pytest.approx(np.zeros(12), abs=1e-12)


def test_the_number_of_cosines_falls_with_the_horizon() -> None:
    assert [cosine_count(500, h) for h in (1, 5, 20, 1000)] == [62, 30, 7, 1]


@pytest.mark.parametrize("x", [[], [1.0], [NAN, NAN], [2.0, 2.0, 2.0], [0.1] * 40])
def test_what_has_no_error_has_no_t(x: list[float]) -> None:
    found = mean_test(x)
    assert math.isnan(found.t)
    assert found.p == 1.0
    assert all(math.isnan(b) for b in (*found.interval(), *studentised_interval(x, resamples=20)))


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e200])
def test_t_does_not_depend_on_the_unit(scale: float) -> None:
    x = np.random.default_rng(1).normal(0.1, 1.0, 90)
    plain, scaled = mean_test(x), mean_test(x * scale)
    assert scaled.t == pytest.approx(plain.t, rel=1e-9)
    assert studentised_interval(x * scale, resamples=99)[0] == pytest.approx(
        studentised_interval(x, resamples=99)[0] * scale, rel=1e-6
    )


def test_resamples_go_on_in_blocks_and_do_not_depend_on_the_chunk() -> None:
    whole = np.concatenate(list(resampled_rows(40, 8.0, 300, 5, 300)))
    parts = np.concatenate(list(resampled_rows(40, 8.0, 300, 5, 7)))
    assert (whole == parts).all()
    goes_on = (whole[:, 1:] - whole[:, :-1]) % 40 == 1
    assert goes_on.mean() == pytest.approx(1.0 - 1.0 / 8.0 + 1.0 / 8.0 / 40.0, abs=0.01)
    assert np.bincount(whole.ravel(), minlength=40) / whole.size == pytest.approx(np.full(40, 1 / 40), abs=0.006)
    assert (np.concatenate(list(resampled_rows(9, 1.0, 50, 0, 9))) < 9).all()


def test_blocks_are_no_shorter_than_the_horizon() -> None:
    assert [block_length(500, h) for h in (1, 5, 20)] == [8.0, 8.0, 20.0]


def test_the_interval_is_the_percentile_t_of_its_resamples() -> None:
    x = np.random.default_rng(3).normal(0.2, 1.0, 60)
    centre, error, _ = slow_test(x, 1)
    ts = []
    for rows in np.concatenate(list(resampled_rows(60, block_length(60), 40, 9, 40))):
        mean, own, _ = slow_test(x[rows] - centre, 1)
        ts.append(mean / own)
    # The 90% point of 40 absolute values: nine tenths of the way from the 36th to the 37th.
    ordered = sorted(abs(t) for t in ts)
    half = (ordered[35] + 0.9 * (ordered[36] - ordered[35])) * error
    found = studentised_interval(x, confidence=0.9, resamples=40, seed=9)
    assert found == pytest.approx((centre - half, centre + half))


def test_draws_widen_the_interval() -> None:
    x = np.random.default_rng(4).normal(0.0, 1.0, 300)
    plain = studentised_interval(x, seed=2)
    same = studentised_interval(x, seed=2, draws=[0.5])
    wide = studentised_interval(x, seed=2, draws=[0.3, -0.3, 0.1, NAN, -0.2, 0.4])
    assert same == plain
    assert wide[0] < plain[0] < plain[1] < wide[1]


def test_equal_seeds_equal_bounds_and_wrong_arguments() -> None:
    x = np.random.default_rng(5).normal(size=80)
    assert studentised_interval(x, seed=1) == studentised_interval(x, seed=1)
    assert studentised_interval(x, seed=1) != studentised_interval(x, seed=2)
    with pytest.raises(ConfigError, match="confidence"):
        studentised_interval(x, confidence=1.0)
    with pytest.raises(ConfigError, match="horizon"):
        mean_test(x, horizon=0)
    with pytest.raises(DataError, match="series"):
        mean_test("abc")


def test_overlapping_labels_do_not_make_the_test_reject_too_often() -> None:
    rng = np.random.default_rng(6)
    horizon, rejected, by_newey_west = 20, 0, 0
    from fama_fast.evaluation import newey_west_t

    for _ in range(600):
        total = np.cumsum(rng.normal(size=300 + horizon))
        x = total[horizon:] - total[:-horizon]
        rejected += mean_test(x, horizon=horizon).p <= 0.05
        by_newey_west += newey_west_t(x, horizon=horizon) > 1.6449
    assert 0.025 <= rejected / 600 <= 0.08
    assert by_newey_west > rejected
