"""Regressions, ranks, entropy, decay and state of a window against NumPy and SciPy, on long and hard series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import fama_fast as ff
from fama_fast.panel import Panel
from tests.support.oracle import entropy

T, N = 320, 5
NAN = math.nan
Array = np.ndarray[Any, np.dtype[np.float64]]


def panel_of(**fields: Array) -> Panel:
    rows, columns = next(iter(fields.values())).shape
    dates = np.datetime64("2020-01-01") + np.arange(rows)
    return Panel(dates, [f"S{i}" for i in range(columns)], {k.upper(): v for k, v in fields.items()})


def values(text: str, **fields: Array) -> Array:
    return ff.compile(text).evaluate(panel_of(**fields))


def column(*numbers: float) -> Array:
    """One symbol's series, the latest last."""
    return np.array(numbers, dtype=np.float64)[:, None]


def latest(text: str, **fields: Array) -> float:
    return float(values(text, **fields)[-1, 0])


def hard(name: str) -> Array:
    rng = np.random.default_rng(4)
    noise: Array = rng.normal(size=(T, N))
    if name == "offset":  # rounded as it is in the sum, so that the noise alone is the same series
        return noise + 1e12
    if name == "jump":
        noise[T // 3] += 1e10
        noise[T // 2 :] *= 1e-3
    return noise


@pytest.mark.parametrize("name", ["plain", "offset", "jump"])
@pytest.mark.parametrize("d", [20, 250])
def test_lines_equal_numpy_on_hard_series(name: str, d: int) -> None:
    y = hard(name)
    days = np.arange(1.0, d + 1.0)
    got = {k: values(f"{k}(Y, {d})", y=y) for k in ("TS_SLOPE", "TS_INTERCEPT", "TS_RSQUARE", "TS_RESIDUAL")}
    for t in range(d - 1, T, 37):
        window = y[t - d + 1 : t + 1]
        level = window[0]
        exact = (window - level).astype(np.longdouble)
        a = days - days.mean()
        b = exact - exact.mean(axis=0)
        slope = (a[:, None] * b).sum(axis=0) / (a * a).sum()
        errors = b - slope * a[:, None]
        spread = np.abs(b).max(axis=0)
        r2 = 1 - (errors**2).sum(axis=0) / (b**2).sum(axis=0)
        intercept = level + (exact.mean(axis=0) - slope * days.mean())
        for key, expected, scale in (
            ("TS_SLOPE", slope, spread / d),
            ("TS_RESIDUAL", errors[-1], spread),
            ("TS_RSQUARE", r2, 1.0),
            ("TS_INTERCEPT", intercept, spread + np.abs(level)),
        ):
            assert np.all(np.abs(got[key][t] - expected) <= 1e-9 * scale), (key, t)


def test_regression_equals_scipy_in_every_return() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 1)) * 3 + 50
    y = 0.4 * x + rng.normal(size=(40, 1))
    d, lag = 25, 2
    b, a = y[-d:, 0], x[-d - lag : -lag, 0]
    fit = stats.linregress(a, b)
    estimate = fit.intercept + fit.slope * a
    sse = ((b - estimate) ** 2).sum()
    expected = [
        b[-1] - estimate[-1],
        fit.intercept,
        fit.slope,
        estimate[-1],
        sse,
        ((b - b.mean()) ** 2).sum(),
        fit.rvalue**2,
        sse / (d - 2),
        fit.stderr,
        fit.intercept_stderr,
    ]
    for rettype, number in enumerate(expected):
        text = f"TS_REGRESSION(Y, X, {d}, lag={lag}, rettype={rettype})"
        assert latest(text, x=x, y=y) == pytest.approx(number, rel=1e-10), rettype
    assert latest(f"TS_BETA(Y, X, {d})", x=x, y=y) == pytest.approx(stats.linregress(x[-d:, 0], b).slope, rel=1e-10)


def test_a_perfect_line_leaves_nothing() -> None:
    x = column(*(0.1 * k for k in range(30)))
    y = 3.0 - 7.0 * x
    assert latest("TS_REGRESSION(Y, X, 20, 0, 6)", x=x, y=y) == 1.0
    assert latest("TS_REGRESSION(Y, X, 20)", x=x, y=y) == 0.0
    assert latest("TS_REGRESSION(Y, X, 20, 0, 4)", x=x, y=y) == 0.0
    assert latest("TS_RESIDUAL(Y, 20)", x=x, y=y) == 0.0
    flat = np.full((30, 1), 0.1)
    assert latest("TS_SLOPE(X, 20)", x=flat) == 0.0
    assert latest("TS_INTERCEPT(X, 20)", x=flat) == 0.1
    assert math.isnan(latest("TS_RSQUARE(X, 20)", x=flat))
    assert math.isnan(latest("TS_REGRESSION(Y, X, 20, 0, 5)", x=flat, y=y))


@pytest.mark.parametrize("d", [5, 250])
def test_rank_correlation_equals_scipy(d: int) -> None:
    rng = np.random.default_rng(2)
    x, y = np.round(rng.normal(size=(2, T, N)), 1)
    x[rng.random((T, N)) < 0.2] = NAN
    got = values(f"RANK_CORR(X, Y, {d}, min_periods=3)", x=x, y=y)
    for t in range(0, T, 13):
        for n in range(N):
            rows = slice(max(0, t - d + 1), t + 1)
            here = ~np.isnan(x[rows, n])
            a, b = x[rows, n][here], y[rows, n][here]
            if here.sum() < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
                assert math.isnan(got[t, n])
            else:
                assert got[t, n] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_partial_correlation_is_that_of_the_residuals() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(60, 1))
    x, y = z + rng.normal(size=(60, 1)), rng.normal(size=(60, 1)) - z
    rest = [v[:, 0] - np.polyval(np.polyfit(z[:, 0], v[:, 0], 1), z[:, 0]) for v in (x, y)]
    expected = np.corrcoef(*rest)[0, 1]
    assert latest("PARTIAL_CORR(X, Y, Z, 60)", x=x, y=y, z=z) == pytest.approx(expected, rel=1e-10)
    assert math.isnan(latest("PARTIAL_CORR(X, Y, X + Y * 0, 60)", x=x, y=y))
    x[10] = NAN  # a day without x counts for none of the three correlations
    keep = np.arange(60) != 10
    rest = [v[keep, 0] - np.polyval(np.polyfit(z[keep, 0], v[keep, 0], 1), z[keep, 0]) for v in (x, y)]
    got = latest("PARTIAL_CORR(X, Y, Z, 60, min_periods=5)", x=x, y=y, z=z)
    assert got == pytest.approx(np.corrcoef(*rest)[0, 1], rel=1e-10)


@pytest.mark.parametrize("d", [12, 250])
def test_entropy_equals_that_of_numpys_histogram(d: int) -> None:
    x = np.random.default_rng(6).normal(size=(T, 1))
    counts = np.histogram(x[-d:, 0], bins=10)[0]
    assert latest(f"TS_ENTROPY(X, {d})", x=x) == pytest.approx(stats.entropy(counts), rel=1e-12)


@pytest.mark.parametrize("buckets", [2, 7, 100])
@pytest.mark.parametrize(("step", "level"), [(1.0, 0.0), (0.1, 1e9), (1.0 / 3.0, 7.0), (1e304, 0.0), (5e-324, 0.0)])
def test_entropy_of_values_on_the_edges_of_bars(step: float, level: float, buckets: int) -> None:
    x = level + step * np.random.default_rng(7).integers(0, 29, size=(T, 2))
    x[::9, 1] = NAN
    got = values(f"TS_ENTROPY(X, 30, {buckets}, min_periods=3)", x=x)
    for t in range(29, T, 7):
        for n in range(2):
            v = x[t - 29 : t + 1, n]
            assert got[t, n] == pytest.approx(entropy(v[~np.isnan(v)], buckets), rel=1e-12)


@pytest.mark.parametrize("name", ["plain", "offset", "jump"])
def test_deviations_on_hard_series(name: str) -> None:
    x = hard(name)
    mean, mad = values("TS_AV_DIFF(X, 250)", x=x), values("TS_MAD(X, 250)", x=x)
    for t in range(249, T, 17):
        window = x[t - 249 : t + 1].astype(np.longdouble)
        e = window - window.mean(axis=0)
        e -= e.mean(axis=0)
        np.testing.assert_allclose(mad[t], np.abs(e).mean(axis=0).astype(float), rtol=1e-9)
        assert np.all(np.abs(mean[t] - e[-1]) <= 1e-9 * np.abs(e).max(axis=0))


def test_smoothed_mean_nears_the_recursion_over_the_whole_past() -> None:
    x = np.random.default_rng(7).normal(size=(T, 1)) + 10
    n, m = 6, 1
    y = x[0, 0]
    for v in x[1:, 0]:
        y = (m * v + (n - m) * y) / n
    assert latest("SMA(X, 6, 1, d=200)", x=x) == pytest.approx(y, rel=1e-12)
    assert latest("SMA(X, 6, 2)", x=x) == latest("EMA(X, 5)", x=x)
    assert latest("SMA(X, 6)", x=x) == latest("TS_MEAN(X, 6)", x=x)
    assert ff.compile("SMA(X, 6, 1)").lookback == 10
    weights = 0.9 ** np.arange(20)
    expected = (x[::-1][:20, 0] * weights).sum() / weights.sum()
    assert latest("TS_DECAY_EXP_WINDOW(X, 20, factor=0.9)", x=x) == pytest.approx(expected, rel=1e-12)


def test_linear_decay_dense_or_not() -> None:
    x = column(6, NAN, 4, 5, 30)
    assert latest("TS_DECAY_LINEAR(X, 5, min_periods=1)", x=x) == pytest.approx((6 + 12 + 20 + 150) / 13)
    assert latest("TS_DECAY_LINEAR(X, 5, dense=FALSE, min_periods=1)", x=x) == pytest.approx((6 + 12 + 20 + 150) / 15)
    assert latest("TS_DECAY_LINEAR(X, 5, FALSE)", x=column(6, 5, 4, 5, 30)) == pytest.approx(198 / 15)


def test_examples_of_the_brain_manual() -> None:
    x = column(4, 9, 5, 8, 2, 6)
    assert latest("TS_SCALE(X, 6, constant=1)", x=x) == pytest.approx(1 + 4 / 7)
    assert latest("TS_AV_DIFF(X, 6, min_periods=1)", x=column(NAN, 9, 5, 8, 2, 6)) == 0.0
    assert latest("TS_COUNT_NANS(X, 4)", x=column(200, NAN, NAN, 100)) == 2.0
    assert latest("DAYS_FROM_LAST_CHANGE(X)", x=column(1, 16, 5, 7, 2, 2, 2)) == 3.0
    assert latest("KTH_ELEMENT(X, 6, k=1)", x=column(3, 8, NAN)) == 8.0
    assert latest("KTH_ELEMENT(X, 6, k=2)", x=column(3, NAN, 8, NAN)) == 3.0
    assert latest("LAST_DIFF_VALUE(X, 5)", x=column(3, 8, NAN, 2, 2)) == 8.0
    assert latest("TS_MIN_MAX_DIFF(X, 6)", x=x) == 6 - 0.5 * 11
    assert latest("TS_MIN_MAX_CPS(X, 6)", x=x) == 11 - 2 * 6


def test_counting_and_summing_where_a_condition_holds() -> None:
    x, c = column(1, 2, 3, 4), column(1, 0, NAN, 1)
    assert latest("COUNT_IF(C, 4, min_periods=1)", c=c) == 2.0
    assert math.isnan(latest("TS_COUNT(C, 4)", c=c))
    assert latest("SUM_IF(X, C, 4, min_periods=1)", x=x, c=c) == 5.0


def test_days_from_last_change_saturates_and_knows_when_it_cannot_tell() -> None:
    x = column(5, 5, 5, 5)
    assert list(values("DAYS_FROM_LAST_CHANGE(X, 3)", x=x)[:, 0])[2:] == [3.0, 3.0]
    assert np.isnan(values("DAYS_FROM_LAST_CHANGE(X, 3)", x=x)[:2]).all()
    assert math.isnan(latest("DAYS_FROM_LAST_CHANGE(X, 3)", x=column(NAN, NAN, NAN, 5)))


def test_delta_limit_follows_slowly() -> None:
    x, y = column(0, 10, 10, 10, -10), np.full((5, 1), 4.0)
    got = values("TS_DELTA_LIMIT(X, Y, limit_volume=0.5, d=5)", x=x, y=y)[:, 0]
    assert list(got) == [0.0, 2.0, 4.0, 6.0, 4.0]


def test_signed_logarithm_and_where() -> None:
    x = column(-9, 0, 9)
    np.testing.assert_allclose(values("S_LOG_1P(X)", x=x)[:, 0], [-math.log(10), 0.0, math.log(10)])
    assert list(values("WHERE(X > 0, X, PURIFY(1 / X))", x=x)[[0, 2], 0]) == [-1 / 9, 9.0]


def test_wrong_counts_are_refused() -> None:
    for text in ("TS_REGRESSION(X, Y, 5, 0, 10)", "TS_REGRESSION(X, Y, 5, -1)", "KTH_ELEMENT(X, 5, 0)"):
        with pytest.raises(ff.FamaError):
            ff.compile(text)


@pytest.mark.parametrize("text", ["DECAY_LINEAR(X, {d}", "EMA(X, {d}", "DECAY_EXP(X, {d}, 0.8"])
@pytest.mark.parametrize("d", [1, 2, 7, 60])
def test_relaxed_weights_agree_with_strict_ones_whatever_the_neighbours_miss(text: str, d: int) -> None:
    rng = np.random.default_rng(1)
    x = 100.0 + rng.normal(size=(211, 13))
    holed = x.copy()
    holed[rng.random(211) < 0.05, 5] = np.nan
    others = np.arange(13) != 5
    strict = values(f"{text.format(d=d)})", x=holed)
    for least in {1, max(1, d - 1)}:
        relaxed = f"{text.format(d=d)}, min_periods={least})"
        got = values(relaxed, x=holed)
        assert np.array_equal(got[:, others], values(relaxed, x=x)[:, others], equal_nan=True)
        whole = ~np.isnan(strict)
        # They divide by the weights they find, strict ones by what those must be.
        np.testing.assert_allclose(got[whole], strict[whole], rtol=1e-14)
