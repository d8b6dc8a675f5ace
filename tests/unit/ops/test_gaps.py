"""Relaxed windows where days are missing: no neighbour, no chunk and no far level leaves a trace."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.backends.numba_vm.run import execute
from fama_fast.backends.numba_vm.single import apply
from fama_fast.engine.prepare import lowered
from fama_fast.panel import Panel
from fama_fast.plan import make_plan
from tests.support.oracle import Array

DATES = 211
SINGLE = ["TS_VAR(X, {d}", "TS_STDDEV(X, {d}", "TS_ZSCORE(X, {d}"]
PAIRS = ["TS_COVARIANCE(X, Y, {d}", "TS_CORR(X, Y, {d}"]
WEIGHTS = ["DECAY_LINEAR(X, {d}", "EMA(X, {d}", "DECAY_EXP(X, {d}, 0.8"]


def with_gaps(seed: int) -> Array:
    """Thirteen walks at a level of 100: some days missing, some stretches, one series that starts late."""
    rng = np.random.default_rng(seed)
    x = 100.0 + np.cumsum(rng.normal(size=(DATES, 13)), axis=0)
    x[rng.random(x.shape) < 0.01] = np.nan
    x[60:95, 2] = np.nan
    x[:150, 7] = np.nan
    return x


def computed(text: str, x: Array, y: Array, origin: int = 0) -> Array:
    dates = np.datetime64("2020-01-01") + np.arange(len(x))
    panel = Panel(dates, range(x.shape[1]), {"X": x, "Y": y})
    return execute(make_plan(lowered([text], panel)), panel, threads=1, origin=origin)[0]


@pytest.mark.parametrize("d", [2, 7, 60])
@pytest.mark.parametrize("text", [*SINGLE, *PAIRS, *WEIGHTS])
def test_bits_depend_on_no_neighbour_and_on_no_chunk(text: str, d: int) -> None:
    x, y = with_gaps(1), with_gaps(2)
    strict = computed(f"{text.format(d=d)})", x, y)
    relaxed = f"{text.format(d=d)}, min_periods={max(1, d // 2)})"
    got = computed(relaxed, x, y)
    whole = ~np.isnan(strict)
    assert whole.any()
    # Relaxed weighted windows divide by the weights they find, strict ones by what those must be.
    np.testing.assert_allclose(got[whole], strict[whole], rtol=1e-14 if text in WEIGHTS else 0.0)
    for lane in (0, 2, 7, 12):
        alone = computed(relaxed, x[:, [lane]], y[:, [lane]])
        assert np.array_equal(alone[:, 0], got[:, lane], equal_nan=True)
    for first in (1, d, 53):
        chunk = computed(relaxed, x[first:], y[first:], origin=first)
        assert np.array_equal(chunk[d - 1 :], got[first + d - 1 :], equal_nan=True)


@pytest.mark.parametrize("d", [2, 7])
@pytest.mark.parametrize("text", [*WEIGHTS, "DECAY_LINEAR(X, {d}, dense=FALSE"])
def test_weighted_sums_beyond_the_largest_number_are_missing(text: str, d: int) -> None:
    x = with_gaps(1)
    x[100:110, 4] = [1.5e308, -1.5e308] * 5
    relaxed = f"{text.format(d=d)}, min_periods={max(1, d // 2)})"
    got, without = computed(relaxed, x, x), computed(relaxed, x[:, [3, 5]], x[:, [3, 5]])
    assert not np.isinf(got).any()
    assert np.isnan(got[100:110, 4]).any()
    assert np.array_equal(got[:, [3, 5]], without, equal_nan=True)


@pytest.mark.parametrize("d", [2, 5, 20])
def test_windows_that_lose_their_last_day_before_a_jump(d: int) -> None:
    """The block's first days are missing and the level jumps across the gap."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(DATES, 8)), rng.normal(size=(DATES, 8))
    for block in range(d, DATES, 3 * d):
        for lane in range(8):
            gap = block + 1 + lane % d
            x[block:gap, lane] = np.nan
            x[gap : block + 3 * d // 2, lane] += 1e9
            y[gap : block + 3 * d // 2, lane] -= 1e9
    # What is left of the noise at 1e9 is exact from here on.
    variance = apply("TS_VAR", [x], (d, 2))
    covariance = apply("COVARIANCE", [x, y], (d, 2))
    correlation = apply("CORREL", [x, y], (d, 2))
    checked = 0
    for t in range(DATES):
        for lane in range(8):
            a, b = (v[max(0, t - d + 1) : t + 1, lane] for v in (x, y))
            kept = ~np.isnan(a)
            if kept.sum() < 2:
                assert np.isnan(variance[t, lane])
                assert np.isnan(covariance[t, lane])
                continue
            a, b = a[kept].astype(np.longdouble), b[kept].astype(np.longdouble)
            da, db = a - a.mean(), b - b.mean()
            scale = np.sqrt((da @ da) * (db @ db))
            assert abs(variance[t, lane] * (len(a) - 1) / (da @ da) - 1) < 1e-9
            assert abs(covariance[t, lane] * (len(a) - 1) - da @ db) < 1e-9 * scale
            assert abs(correlation[t, lane] - da @ db / scale) < 1e-9
            checked += 1
    assert checked > DATES
