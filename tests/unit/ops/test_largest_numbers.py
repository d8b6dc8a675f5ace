"""Numbers whose differences are no numbers: up to the largest that there is a value is right, or missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.evaluation import overfitting_probability
from fama_fast.panel import Panel
from tests.support.oracle import CASES
from tests.unit.ops.test_operators import BACKENDS, holes, make_panel, node_of

# How many times as large a result is, as a power of what all its inputs are.
DEGREES = dict.fromkeys(
    ("TS_ZSCORE", "TS_IR", "TS_SKEW", "TS_KURT", "CORREL", "TS_AUTOCORR", "TS_RSQUARE", "TS_BETA"), 0
) | dict.fromkeys(
    (
        "TS_STDDEV",
        "TS_SLOPE",
        "TS_INTERCEPT",
        "TS_RESIDUAL",
        "TS_MEAN",
        "TS_SUM",
        "TS_MAD",
        "TS_AV_DIFF",
        "DECAY_LINEAR",
    ),
    1,
)
OF_RETTYPES = (1, 1, 0, 1, 2, 2, 0, 2, 0, 1)


def panels(seed: int) -> tuple[Panel, Panel]:
    """Numbers up to the largest that there is, and the same ones 2^40 times as small."""
    rng = np.random.default_rng(seed)
    signs = np.sign(rng.normal(size=(2, 26, 6)))
    x, y = (holes(v, rng, 0.03) for v in signs * 1.7e308 * rng.uniform(0.3, 1.0, signs.shape))
    x[:, 0], y[:, 1] = np.ldexp(x[:, 0], -600), np.ldexp(y[:, 1], -900)
    return make_panel(x, y), make_panel(np.ldexp(x, -40), np.ldexp(y, -40))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*DEGREES, "TS_REGRESSION"])
def test_values_are_right_or_missing(name: str, backend: str) -> None:
    for seed in range(3):
        large, small = panels(seed)
        for params in CASES[name]:
            node = node_of(name, params)
            with np.errstate(over="ignore"):
                degree = OF_RETTYPES[params[2]] if name == "TS_REGRESSION" else DEGREES[name]
                expected = np.ldexp(BACKENDS["numba"](node, small), 40 * degree)
            found = BACKENDS[backend](node, large)
            size = 1.0 if degree == 0 and name != "TS_BETA" else 0.0
            if name in ("TS_MEAN", "TS_SUM", "TS_AV_DIFF", "TS_RESIDUAL", "DECAY_LINEAR"):
                size = 1e306
            with np.errstate(invalid="ignore"):
                wrong = ~np.isnan(found) & ~(np.abs(found - expected) <= 1e-9 * np.abs(expected) + 1e-10 * size)
            assert not wrong.any(), (params, seed, found[wrong][0], expected[wrong][0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_line_through_the_largest_numbers(backend: str) -> None:
    x = np.array([8.46e307, -1.17e308, -1.68e308, -1.7e308, 1.02e308, 1.49e308, 9.08e307])[:, None]
    share = ff.compile("TS_RSQUARE(X, 7)").evaluate(make_panel(x * 2.0**-600, x * 2.0**-600))[-1, 0]
    found = BACKENDS[backend](node_of("TS_RSQUARE", (7, None)), make_panel(x, x))[-1, 0]
    assert 0.1 < share < 0.3
    assert np.isnan(found) or found == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("d", [3, 5])
def test_no_partial_correlation_is_beyond_1(backend: str, d: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 120, 12))
    y[:, 6:] = x[:, 6:] * 2.0
    params: tuple[Any, ...] = (d, None)
    found = BACKENDS[backend](node_of("TS_PARTIAL_CORR", params), make_panel(x, y))
    assert np.nanmax(np.abs(found)) == 1.0 or d > 3
    assert np.nanmax(np.abs(found)) <= 1.0


@pytest.mark.parametrize("k", [-990, -530, 530, 990])
def test_overfitting_does_not_depend_on_the_unit_of_returns(k: int) -> None:
    daily = np.random.default_rng(4).normal(0.01, 1.0, (96, 8))
    daily[:, 0] = np.sign(daily[:, 0])
    assert overfitting_probability(np.ldexp(daily, k), blocks=6) == overfitting_probability(daily, blocks=6)
    mixed = np.ldexp(daily, [0, k, 0, k // 2, 0, -k, 1, 2])
    assert overfitting_probability(mixed, blocks=6) == overfitting_probability(daily, blocks=6)
