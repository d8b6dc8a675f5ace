"""Figures of numbers that differ by little beside their level: the true ones, or missing where nothing differs."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import evaluation as ev

LEVELS = (1.0, 0.1, -3.0, 1e12, 1e-12, 1e300, 1e-290)


def exact_correlation(x: Any, y: Any) -> float:
    """Of the numbers as they are, in fractions; only the root is rounded."""
    a, b = ([Fraction(float(v)) for v in side] for side in (x, y))
    n = len(a)
    xx, yy = (n * sum(v * v for v in side) - sum(side) ** 2 for side in (a, b))
    xy = n * sum(p * q for p, q in zip(a, b, strict=True)) - sum(a) * sum(b)
    if not xx or not yy:
        return math.nan
    squared = xy * xy / (xx * yy)
    return math.copysign(math.sqrt(squared), xy)


def near(level: float, steps: Any) -> Any:
    """The level and so many units in its last place above."""
    return level + np.asarray(steps, dtype=float) * np.spacing(abs(level))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("most", [1, 2, 50, 10**6, 10**12])
def test_the_correlation_of_values_units_in_the_last_place_apart_is_the_true_one(level: float, most: int) -> None:
    rng = np.random.default_rng(most)
    steps = rng.integers(0, most + 1, (6, 40))
    x, y = near(level, steps), rng.normal(size=(6, 40))
    narrow = near(0.7, rng.integers(0, most + 1, (6, 40)))
    for a, b in ((x, y), (y, x), (x, narrow), (-x, y)):
        expected = [exact_correlation(p, q) for p, q in zip(a, b, strict=True)]
        np.testing.assert_allclose(ff.ic(a, b), expected, rtol=1e-9, atol=1e-12)


def test_a_step_of_one_symbol_is_seen_and_a_constant_date_is_missing() -> None:
    x = np.ones((3, 5))
    x[1, 2] += 2e-16
    x[2] = 0.1
    y = np.array([[1.0, 2.0, 5.0, 1.0, 1.0]] * 3)
    found = ff.ic(x, y)
    assert math.isnan(found[0]) and math.isnan(found[2])  # noqa: PT018
    assert found[1] == pytest.approx(exact_correlation(x[1], y[1]), rel=1e-12)
    np.testing.assert_array_equal(np.isnan(ff.rank_ic(x, y)), [True, False, True])
    np.testing.assert_array_equal(np.isnan(ff.ic(y, x)), [True, False, True])
    assert ev.score_values(x, y).n_days == 1


def test_ordinary_values_are_right_to_their_last_digits() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(100.0, 15.0, (20, 300)), rng.normal(0.0, 0.02, (20, 300))
    expected = [exact_correlation(p, q) for p, q in zip(x, y, strict=True)]
    # Sums of 300 terms near 1 are off by some units of 1e-16, whatever their order.
    np.testing.assert_allclose(ff.ic(x, y), expected, rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("most", [1, 3, 1000, 10**9])
def test_figures_of_a_series_that_hardly_moves_are_the_true_ones(level: float, most: int) -> None:
    rng = np.random.default_rng(most)
    x = near(level, rng.integers(0, most + 1, 250))
    exact = [Fraction(float(v)) for v in x]
    centre = sum(exact) / len(exact)
    variance = sum((v - centre) ** 2 for v in exact) / (len(exact) - 1)
    ratio = math.copysign(math.sqrt(centre * centre / variance), centre)
    assert ev.mean(x) == pytest.approx(float(centre), rel=1e-15)
    shift = Fraction(2) ** -round(math.log2(float(abs(centre))))  # the variance itself may be no number
    assert ev.std(x) * float(shift) == pytest.approx(math.sqrt(variance * shift * shift), rel=1e-9)
    assert ev.information_ratio(x) == pytest.approx(ratio, rel=1e-9)
    assert ev.t_statistic(x) == pytest.approx(ratio * math.sqrt(250), rel=1e-9)
    assert ev.newey_west_t(x, lag=0) == pytest.approx(ratio * math.sqrt(250), rel=1e-9)
    assert ev.sharpe(x) == pytest.approx(ratio * math.sqrt(252), rel=1e-9)
    whole = ev.level(x)
    assert (whole.mean, whole.ratio, whole.t) == (ev.mean(x), ev.information_ratio(x), ev.newey_west_t(x))
    low, high = ev.stationary_bootstrap_interval(x, resamples=200)
    assert x.min() <= low <= high <= x.max()
    if most > 100:
        assert low < float(centre) < high


@pytest.mark.parametrize("level", [*LEVELS, 0.0, 1e-320])
@pytest.mark.parametrize("n", [2, 3, 7, 250])
def test_a_series_that_does_not_move_has_a_level_and_no_ratio(level: float, n: int) -> None:
    x = np.full(n, level)
    assert ev.mean(x) == level
    assert ev.std(x) == 0.0
    for figure in (ev.information_ratio, ev.t_statistic, ev.newey_west_t, ev.sharpe):
        assert math.isnan(figure(x))
    assert math.isnan(ev.deflated_sharpe(x, trials=3, variance=0.1))
    assert ev.stationary_bootstrap_interval(x, resamples=50) == (level, level)
    whole = ev.level(x)
    assert whole.mean == level
    assert math.isnan(whole.ratio) and math.isnan(whole.t)  # noqa: PT018


def test_a_strategy_that_hardly_moves_is_ranked_by_what_it_earns() -> None:
    rng = np.random.default_rng(0)
    moves = rng.normal([0.0, 0.3, 0.6], 1.0, (160, 3))
    plain = ev.overfitting_probability(moves, blocks=4)
    assert ev.overfitting_probability(moves * 2.0**-30, blocks=4) == plain
    # On a level of their own: what is best does not depend on the rounding of squares.
    risen = ev.overfitting_probability(np.round(moves * 2**10) * 2.0**-50 + 1.0, blocks=4)
    assert risen.loss_probability == 0.0
    assert risen.slope == pytest.approx(risen.slope)
    flat = np.full((160, 2), 0.1)
    flat[:, 1] = 0.3
    assert ev.overfitting_probability(flat, blocks=4).probability == 1.0


def test_what_controls_and_groups_explain_leaves_exactly_nothing() -> None:
    rng = np.random.default_rng(1)
    codes = np.tile(np.arange(30) % 3, (4, 1)).astype(float)
    groups = ev.Groups(codes, ("a", "b", "c"))
    control, other = rng.normal(size=(2, 4, 30))
    for values in (codes * 0.1, codes * 0.1 + 1e9, np.full((4, 30), 0.1), near(3.0, codes)):
        assert not ev.residual_values(values, control[None], groups).any()
    assert not ev.residual_values(control * 0.3, control[None], groups).any()
    assert not ev.residual_values(control * 0.3 + codes, control[None], groups).any()
    assert np.isnan(ff.rank_ic(ev.residual_values(codes * 0.1, control[None], groups), other)).all()
    # A control that groups explain adds nothing, as if it were not there.
    plain = ev.residual_values(other, control[None], groups)
    both = ev.residual_values(other, np.stack([codes * 0.1 + 0.7, control]), groups)
    np.testing.assert_allclose(both, plain, rtol=1e-10, atol=1e-13)
    # What hardly moves has the residuals of what moves.
    steps = rng.integers(0, 1000, (4, 30))
    narrow = ev.residual_values(near(5.0, steps), control[None], groups) / np.spacing(5.0)
    np.testing.assert_allclose(narrow, ev.residual_values(steps, control[None], groups), rtol=1e-9, atol=1e-9)
