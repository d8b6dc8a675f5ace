"""The choice of the short list against brute force: what each formula adds, ties, bounds, what may not be taken."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from fama_fast.mining.pools.short_list import PENALTY, choose


def case(size: int, seed: int, factors: int = 3) -> tuple[Any, Any]:
    """Correlations of `size` formulas with some common parts, and what each is worth."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(4 * size, factors)) @ rng.normal(size=(factors, size)) + rng.normal(size=(4 * size, size))
    return np.corrcoef(values.T), np.abs(rng.normal(0.02, 0.01, size=size))


def explained(correlations: Any, target: Any, taken: list[int], penalty: float) -> float:
    """g' (R + a I)^-1 g of the formulas taken."""
    if not taken:
        return 0.0
    within = correlations[np.ix_(taken, taken)] + penalty * np.eye(len(taken))
    return float(target[taken] @ np.linalg.solve(within, target[taken]))


def by_brute_force(
    correlations: Any, target: Any, allowed: Any, wanted: int, bound: float, penalty: float
) -> list[int]:
    """Every formula tried in every step, the whole pool solved anew each time."""
    taken: list[int] = []
    while len(taken) < wanted:
        best, gain = -1, 0.0
        for j in range(len(target)):
            if j in taken or not allowed[j] or any(abs(correlations[j, k]) > bound for k in taken):
                continue
            more = explained(correlations, target, [*taken, j], penalty) - explained(
                correlations, target, taken, penalty
            )
            if more > gain * (1.0 + 1e-9):
                best, gain = j, more
        if best < 0:
            break
        taken.append(best)
    return taken


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("bound", "penalty"), [(1.0, 0.03), (0.5, 0.03), (0.3, 1.0)])
def test_each_step_takes_what_adds_most(seed: int, bound: float, penalty: float) -> None:
    correlations, target = case(24, seed)
    allowed = np.random.default_rng(seed).random(24) < 0.8
    found = choose(correlations, target, allowed, wanted=9, bound=bound, penalty=penalty)
    assert found == by_brute_force(correlations, target, allowed, 9, bound, penalty)
    assert len(found) >= 2
    assert all(allowed[found])
    between = np.abs(correlations[np.ix_(found, found)] - np.eye(len(found)))
    assert between.max() <= bound


def test_a_shorter_list_is_the_head_of_a_longer_one() -> None:
    correlations, target = case(40, 1)
    every = np.ones(40, dtype=bool)
    longest = choose(correlations, target, every, wanted=40, bound=0.9)
    for wanted in range(len(longest) + 1):
        assert choose(correlations, target, every, wanted=wanted, bound=0.9) == longest[:wanted]


def test_two_halves_of_one_signal_are_worth_more_than_its_copies() -> None:
    """Three formulas like the best and one that is weaker but new: the new one comes second."""
    correlations = np.full((4, 4), 0.95)
    correlations[3] = correlations[:, 3] = 0.0
    np.fill_diagonal(correlations, 1.0)
    target = np.array([0.05, 0.049, 0.048, 0.02])
    every = np.ones(4, dtype=bool)
    assert choose(correlations, target, every, wanted=2, bound=1.0) == [0, 3]
    assert choose(correlations, target, every, wanted=4, bound=0.7) == [0, 3]  # copies are over the bound


def test_of_equals_the_first_is_taken() -> None:
    target = np.full(5, 0.03)
    every = np.ones(5, dtype=bool)
    assert choose(np.eye(5), target, every, wanted=3, bound=0.7) == [0, 1, 2]
    assert choose(np.ones((5, 5)), target, every, wanted=3, bound=0.7) == [0]


def test_what_corrects_the_others_is_taken_though_its_weight_is_below_zero() -> None:
    """Of three, one is worth nothing alone, but the best is mostly noise that it shares with this one."""
    correlations = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]])
    target = np.array([0.05, 0.001, 0.02])
    every = np.ones(3, dtype=bool)
    within = correlations[:2, :2] + PENALTY * np.eye(2)
    assert np.linalg.solve(within, target[:2])[1] < 0.0
    assert choose(correlations, target, every, wanted=2, bound=0.7) == [0, 1]
    assert choose(correlations, target, every, wanted=2, bound=0.5) == [0, 2]


def test_nothing_is_taken_of_nothing() -> None:
    correlations, target = case(6, 2)
    every = np.ones(6, dtype=bool)
    assert choose(correlations, target, np.zeros(6, dtype=bool), wanted=3, bound=0.7) == []
    assert choose(correlations, np.zeros(6), every, wanted=3, bound=0.7) == []
    assert choose(correlations, np.full(6, np.nan), every, wanted=3, bound=0.7) == []
    assert choose(np.empty((0, 0)), np.empty(0), np.empty(0, dtype=bool), wanted=3, bound=0.7) == []
    assert choose(correlations, target, every, wanted=0, bound=0.7) == []


def test_what_is_not_a_number_is_passed_over() -> None:
    correlations, target = case(12, 3)
    broken, every = target.copy(), np.ones(12, dtype=bool)
    broken[[1, 4]] = np.nan, np.inf
    allowed = every.copy()
    allowed[[1, 4]] = False
    assert choose(correlations, broken, every, wanted=6, bound=0.9) == choose(
        correlations, target, allowed, wanted=6, bound=0.9
    )


def test_the_arguments_are_left_alone_and_single_precision_will_do() -> None:
    correlations, target = case(30, 4)
    every = np.ones(30, dtype=bool)
    single = correlations.astype(np.float32)
    before = single.copy(), target.copy(), every.copy()
    found = choose(single, target, every, wanted=10, bound=0.8)
    assert found == by_brute_force(single.astype(np.float64), target, every, 10, 0.8, PENALTY)
    for now, then in zip((single, target, every), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_thousands_are_chosen_from_in_a_moment() -> None:
    correlations, target = case(1500, 5, factors=20)
    began = time.perf_counter()
    assert len(choose(correlations, target, np.ones(1500, dtype=bool), wanted=20, bound=0.7)) == 20
    assert time.perf_counter() - began < 5.0  # about a twentieth of a second on an idle machine
