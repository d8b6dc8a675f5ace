"""Numbers far from 1: a power of two goes through every operator, or the value is missing; never a wrong number.

What is homogeneous is found from the values, so a new operator is tested without being named here.
"""

from __future__ import annotations

import functools
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.backends.numba_vm.run import execute
from fama_fast.backends.numba_vm.single import apply
from fama_fast.backends.polars_expr import steps
from fama_fast.evaluation import ic, inference, residual_values
from fama_fast.panel import Panel
from fama_fast.passes import lower
from fama_fast.plan import make_plan
from fama_fast.types import Family
from tests.support.oracle import CASES, TINY, Array, evaluate_oracle
from tests.unit.engine.test_stream import alpha_of, assert_streams
from tests.unit.ops.test_operators import BACKENDS, SPECS, holes, make_panel, node_of, scale_of

MOMENTS = {
    "TS_VAR", "TS_STDDEV", "TS_SKEW", "TS_KURT", "TS_ZSCORE", "TS_IR", "TS_PRODUCT", "CORREL", "TS_COVARIANCE",
    "TS_AUTOCORR", "TS_PARTIAL_CORR", "TS_SLOPE", "TS_INTERCEPT", "TS_RSQUARE", "TS_RESIDUAL", "TS_REGRESSION",
    "TS_BETA", "Z_SCORE", "NORMALIZE", "WINSORIZE", "CS_STD", "VECTOR_NEUT", "REGRESSION_NEUT", "GROUP_ZSCORE",
    "GROUP_STD", "GROUP_VECTOR_NEUT", "GROUP_BACKFILL",
}  # fmt: skip
LINEAR = {
    "TS_SUM", "TS_MEAN", "TS_MAD", "TS_AV_DIFF", "TS_SCALE", "TS_ENTROPY", "TS_RANK_CORR", "DECAY_LINEAR", "EMA",
    "DEMEAN", "SCALE", "CS_SUM", "CS_MEAN", "MAD_CLIP", "GROUP_MEAN", "GROUP_NEUTRALIZE", "GROUP_SCALE",
    "GROUP_NORMALIZE", "TS_TARGET_TVR_DECAY", "TS_TARGET_TVR_HUMP",
}  # fmt: skip
# 2^-996 to 2^996 is 1e-300 to 1e300; the others are where squares, cubes and fourths begin to fail, and on both sides
# of where sums of squares are seen to.
SCALES = (-996, -700, -530, -452, -340, -270, 270, 340, 449, 451, 530, 700, 996)
FEW_SCALES = (-996, -530, 340, 996)
# Powers of two for X and for Y together.
WAYS = ((1, 0), (0, 1), (1, 1), (1, -1))

needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="long double is a double here: nothing to compare with"
)


# --- a power of two --------------------------------------------------------------------------------


@functools.cache
def plain() -> tuple[Array, Array]:
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(2, 24, 7))
    x, y = holes(x, rng, 0.05), holes(y + 0.4 * x, rng, 0.05)
    x[8:17, 3] = x[8, 3]
    return x, y


@functools.cache
def scaled_panel(i: int, j: int) -> Panel:
    x, y = plain()
    return make_panel(np.ldexp(x, i), np.ldexp(y, j))


def values(name: str, params: tuple[Any, ...], backend: str, i: int, j: int) -> Array:
    return BACKENDS[backend](node_of(name, params), scaled_panel(i, j))


def reads_y(name: str) -> bool:
    return any(a.name == "Y" for a in node_of(name, CASES[name][0]).args if a.op == "FIELD") or name == "TRADE_WHEN"


@functools.cache
def degrees(name: str, params: tuple[Any, ...], way: tuple[int, int]) -> Array | None:
    """p of each cell with f(2^k x) = 2^(p k) f(x), bit for bit, near 1; None where some cell has none."""
    i, j = way
    base = values(name, params, "numba", 0, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.nan_to_num(np.log2(values(name, params, "numba", i, j) / base))
    if not np.array_equal(p, np.round(p)):
        return None
    whole = p.astype(int)
    for k in (1, 2, -3):
        if not np.array_equal(values(name, params, "numba", k * i, k * j), np.ldexp(base, k * whole), equal_nan=True):
            return None
    return whole


def ways(name: str) -> tuple[tuple[int, int], ...]:
    return WAYS if reads_y(name) else WAYS[:1]


# Cell by cell the rules of the number format hold.
ACROSS_CELLS = [name for name, spec in SPECS.items() if spec.family is not Family.ELEMENT]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ACROSS_CELLS)
def test_a_power_of_two_goes_through(name: str, backend: str) -> None:
    exact = backend == "numba"
    for params in CASES[name] if exact else CASES[name][:10]:
        base = values(name, params, backend, 0, 0)
        for way in ways(name) if exact else ways(name)[:2]:
            p = degrees(name, params, way)
            if p is None:
                continue
            for k in SCALES if exact else FEW_SCALES:
                found = values(name, params, backend, k * way[0], k * way[1])
                with np.errstate(over="ignore"):
                    expected = np.ldexp(base, k * p)
                a_number = np.isfinite(expected) & ((np.abs(expected) >= TINY) | (base == 0.0))
                same = found == expected if exact else np.abs(found - expected) <= 1e-9 * np.abs(expected)
                ok = np.where(a_number, same, np.isnan(found) | (found == expected))
                assert ok.all(), (params, way, k, found[~ok][0], expected[~ok][0])


def test_the_operators_with_moments_are_among_them() -> None:
    never = {
        name
        for name in MOMENTS | LINEAR
        if all(degrees(name, params, way) is None for params in CASES[name] for way in ways(name))
    }
    assert not never
    for name in MOMENTS - {"NORMALIZE"}:  # with a limit NORMALIZE is not homogeneous
        assert all(degrees(name, params, way) is not None for params in CASES[name] for way in ways(name)), name


# --- sizes mixed, against the definitions ------------------------------------------------------------


@functools.cache
def far_panel(name: str) -> Panel:
    rng = np.random.default_rng(3)
    x, y = (holes(v, rng, 0.06) for v in rng.normal(size=(2, 26, 6)))
    if name == "outliers":
        x[rng.random(x.shape) < 0.04], y[rng.random(y.shape) < 0.04] = 1e200, -1e160
    elif name == "jumps":  # windows whose days differ by 1e300
        x[:9] *= 1e-280
        x[14:20] *= 1e20
        x[20:] *= 1e270
        y[7:] *= 1e200
        y[18:] *= 1e-230
    elif name == "exponentials":
        x, y = np.exp(180 * x), np.exp(-180 * y)
    elif name == "unlike":
        x, y = x * 1e-160, y * 1e220
    else:
        assert name == "levels"  # small moves on a large level
        x, y = 1e250 * (1 + np.round(x * 1e6) * 2.0**-45), 1e-250 * (1 + np.round(y * 1e6) * 2.0**-45)
    return make_panel(x, y)


# An R-square that near to 1 is 1 by definition, and what errors are left is then 0: rettypes 4 and 7 to 9 are its.
MIXED = [
    (name, params)
    for name in sorted(MOMENTS | LINEAR - {"TS_TARGET_TVR_HUMP"})
    for params in CASES[name][:7]
    if name not in ("TS_PARTIAL_CORR", "TS_REGRESSION") or (name == "TS_REGRESSION" and params[2] not in (4, 7, 8, 9))
]


@needs_extended
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["outliers", "jumps", "exponentials", "unlike", "levels"])
def test_mixed_sizes_equal_the_oracle_or_are_missing(name: str, backend: str) -> None:
    panel = far_panel(name)
    for op, params in MIXED:
        node = node_of(op, params)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            expected, size = mixed_definition(name, op, params)
            found = BACKENDS[backend](node, panel)
            allowed = 1e-9 * np.abs(expected) + 1e-9 * np.nan_to_num(np.abs(size), posinf=0.0)
            wrong = ~np.isnan(found) & ~(np.abs(found - expected) <= allowed)
        # What is nearly too large may be lost on its way.
        lost = np.isnan(found) & ~np.isnan(expected) & (np.abs(expected) < 1e300)
        bad = wrong | lost
        assert not bad.any(), f"{node!r}: {bad.sum()} cells, the first {found[bad][0]!r} and not {expected[bad][0]!r}"


@functools.cache
def mixed_definition(name: str, op: str, params: tuple[Any, ...]) -> tuple[Array, Array]:
    node, panel = node_of(op, params), far_panel(name)
    expected = evaluate_oracle(node, panel)
    return expected, np.asarray(scale_of(node, panel, expected))


# --- exact values ------------------------------------------------------------------------------------


def root(square: Fraction) -> float:
    """The square root, also of what is no float64."""
    if square == 0:
        return 0.0
    half = (square.denominator.bit_length() - square.numerator.bit_length()) // 2
    return math.ldexp(math.sqrt(float(square * Fraction(4) ** half)), -half)


def products(x: Any, y: Any) -> Fraction:
    """The sum of products of deviations from the means, exactly."""
    a, b = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    return sum(((v - mean_a) * (w - mean_b) for v, w in zip(a, b, strict=True)), Fraction(0))


def exact_correlation(x: Any, y: Any) -> float:
    cross = products(x, y)
    return math.copysign(root(cross**2 / (products(x, x) * products(y, y))), cross)


def exact_zscores(x: Any) -> list[float]:
    v = [Fraction(float(c)) for c in x]
    mean, variance = sum(v) / len(v), products(x, x) / (len(v) - 1)
    return [math.copysign(root((c - mean) ** 2 / variance), c - mean) for c in v]


def on_date(text: str, *members: float) -> list[float]:
    panel = Panel(
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        [f"S{i}" for i in range(len(members))],
        {"X": np.array([members])},
    )
    return [float(v) for v in ff.compile(text).evaluate(panel)[0]]


def over_days(text: str, *fields: Any) -> Array:
    """One symbol's values."""
    named = {n: np.asarray(v, dtype=float)[:, None] for n, v in zip("XYZ", fields, strict=False)}
    dates = np.datetime64("2020-01-01") + np.arange(len(fields[0]))
    return ff.compile(text).evaluate(Panel(dates, ["S"], named))[:, 0]


def test_one_outlier_does_not_take_the_date_with_it() -> None:
    members = (1e200, 1.0, 2.0, 3.0, 4.0)
    assert on_date("Z_SCORE(X)", *members) == pytest.approx(exact_zscores(members), rel=1e-14)
    assert on_date("Z_SCORE(X)", *members)[0] == pytest.approx(4 / math.sqrt(5), rel=1e-14)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_bounds_of_winsorize(size: float) -> None:
    members = [size * v for v in (1, 2, 3, 9)]
    low = float(sum(map(Fraction, members)) / 4) - root(products(members, members) / 3)
    found = on_date("WINSORIZE(X, 1)", *members)
    assert found[0] == pytest.approx(max(members[0], low), rel=1e-14)
    assert found[1:3] == members[1:3]
    assert members[2] < found[3] < members[3]
    assert on_date("CS_STD(X)", *members) == pytest.approx([root(products(members, members) / 3)] * 4, rel=1e-14)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e160, 1e299])
def test_shares_of_a_line(size: float) -> None:
    x = [size * v for v in (1, 5, 2, 6, 4, 3)]
    shares = [exact_correlation(x[t - 2 : t + 1], range(3)) ** 2 for t in range(2, 6)]
    assert shares[0] == pytest.approx(3 / 52)
    assert over_days("TS_RSQUARE(X, 3)", x)[2:] == pytest.approx(shares, rel=1e-13)
    assert over_days("TS_SLOPE(X, 3)", x)[2:] == pytest.approx([(x[t] - x[t - 2]) / 2 for t in range(2, 6)], rel=1e-13)


@pytest.mark.parametrize("exponent", [-300, -200, -103, -80, 80, 103, 200, 300])
def test_third_and_fourth_moments(exponent: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=12)
    for text in ("TS_SKEW(X, 8)", "TS_KURT(X, 8)", "TS_SKEW(X, 9, min_periods=5)", "TS_KURT(X, 9, min_periods=5)"):
        expected = over_days(text, x)
        np.testing.assert_allclose(over_days(text, x * float(f"1e{exponent}")), expected, rtol=1e-9)


def test_a_variance_that_is_no_number_is_missing_and_its_root_is_not() -> None:
    for size in (1e-300, 1e300):
        x = [size * v for v in (1.0, 2.0, 4.0)]
        assert np.isnan(over_days("TS_VAR(X, 3)", x)).all()
        assert over_days("TS_STDDEV(X, 3)", x)[-1] == pytest.approx(root(products(x, x) / 2), rel=1e-14)
        assert np.isnan(over_days("TS_COVARIANCE(X, X, 3)", x)).all()
        assert over_days("TS_COVARIANCE(X, Y, 3)", x, [v / size / size for v in x])[-1] == pytest.approx(7 / 3)
        flat = [size] * 3
        assert over_days("TS_VAR(X, 3)", flat)[-1] == over_days("TS_STDDEV(X, 3)", flat)[-1] == 0.0
        assert np.isnan(over_days("TS_ZSCORE(X, 3)", flat)).all()


def test_what_cancels_to_nothing_is_not_taken_for_a_constant() -> None:
    x = [0.0, 1e-200, -1e-200]
    assert over_days("TS_STDDEV(X, 3)", x)[-1] == pytest.approx(1e-200, rel=1e-14)
    assert over_days("CORREL(X, Y, 3)", x, [0.0, 1.0, -1.0])[-1] == 1.0
    assert on_date("Z_SCORE(X)", *x) == pytest.approx([0.0, 1.0, -1.0])


def test_a_product_may_leave_the_numbers_on_its_way() -> None:
    for x in ([1e-200, 1e-200, 1e200, 1e200], [1e200, 1e200, 1e-200, 1e-200], [1e-160, 1e-160, 1e200, -3e100]):
        expected = float(math.prod(map(Fraction, x)))
        assert over_days("TS_PRODUCT(X, 4)", x)[-1] == pytest.approx(expected, rel=1e-15)
        assert over_days("TS_PRODUCT(X, 3, min_periods=2)", [1.0, *x])[-1] == pytest.approx(
            float(math.prod(map(Fraction, x[1:]))), rel=1e-15
        ) or not math.isfinite(math.prod(x[1:]))
    assert over_days("TS_PRODUCT(X, 3)", [1e200, 1e200, 0.0])[-1] == 0.0
    assert np.isnan(over_days("TS_PRODUCT(X, 2)", [1e-200, 1e-200])).all()
    assert np.isnan(over_days("TS_PRODUCT(X, 2)", [1e200, 1e200])).all()


def test_sums_beyond_the_largest_number_are_missing_or_right() -> None:
    huge = (1.5e308, -1e308, 1.2e308, 5e307)
    total = float(sum(abs(Fraction(v)) for v in huge) / 2**64)
    assert on_date("SCALE(X)", *huge) == pytest.approx([v * 2.0**-64 / total for v in huge], rel=1e-15)
    sides = on_date("SCALE(X, longscale=1, shortscale=1)", *huge)
    assert sides == pytest.approx([15 / 32, -1.0, 12 / 32, 5 / 32], rel=1e-14)
    for text in ("CS_SUM(X)", "CS_MEAN(X)", "Z_SCORE(X)", "DEMEAN(X)"):
        assert all(math.isnan(v) or abs(v) > 1e290 for v in on_date(text, *huge)), text
    spread = apply("GROUP_SCALE", [np.array([huge]), np.zeros((1, 4))], ())
    assert np.isnan(spread).all()  # from -1e308 to 1.5e308 is no number
    entropy = over_days("TS_ENTROPY(X, 4, 10)", [1.0e308, 1.1e308, 1.3e308, 1.7e308])[-1]
    assert entropy == pytest.approx(math.log(4))


@pytest.fixture(scope="module")
def sp500() -> Panel:
    folder = os.environ.get("FAMA_DATA")
    if folder is None or not (Path(folder) / "sp500_2013_2018.parquet").exists():
        pytest.skip("FAMA_DATA names no folder with the S&P 500's prices")
    return ff.load_market_data(Path(folder) / "sp500_2013_2018.parquet")


def test_exponentials_of_prices_across_symbols(sp500: Panel) -> None:
    powers = np.where(sp500["CLOSE"] < 709.0, np.exp(np.minimum(sp500["CLOSE"], 709.0)), np.nan)
    panel = sp500.slice_dates(600, 603).replace(fields={"X": powers[600:603]})
    found = ff.compile("Z_SCORE(X)").evaluate(panel)
    for t in range(3):
        there = ~np.isnan(panel["X"][t])
        np.testing.assert_allclose(found[t, there], exact_zscores(panel["X"][t, there]), rtol=1e-12)
    everywhere = ff.compile("Z_SCORE(EXP(CLOSE))").evaluate(sp500)
    assert (everywhere[~np.isnan(everywhere)] != 0.0).mean() > 0.99


def test_exponentials_of_prices_over_days(sp500: Panel) -> None:
    small = np.exp(-sp500["CLOSE"])
    volume = sp500["VOLUME"]
    found = ff.compile("CORREL(EXP(-CLOSE), VOLUME, 10)").evaluate(sp500)
    deviation = ff.compile("TS_STDDEV(EXP(-CLOSE), 10)").evaluate(sp500)
    cells = np.argwhere(~np.isnan(found) & (deviation < 1e-140))
    assert len(cells) > 100
    for t, n in cells[:: len(cells) // 60]:
        window = slice(t - 9, t + 1)
        assert found[t, n] == pytest.approx(exact_correlation(small[window, n], volume[window, n]), abs=1e-7)
        assert deviation[t, n] == pytest.approx(root(products(small[window, n], small[window, n]) / 9), rel=1e-7)


# --- wherever it is computed ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MOMENTS))
def test_bits_do_not_depend_on_tiles_threads_cuts_or_streams(name: str) -> None:
    panel = far_panel("jumps")
    for params in CASES[name][:3]:
        node = node_of(name, params)
        plan = make_plan([lower(node, frozenset(panel.supplied_fields))])
        whole = execute(plan, panel, threads=1)[0]
        for options in ({"tile_rows": 1}, {"tile_rows": 3, "threads": 2}):
            np.testing.assert_array_equal(execute(plan, panel, **options)[0], whole)
        for first in (3, 10):
            cut = execute(plan, panel.slice_dates(first, 26), origin=first)[0]
            rows = plan.lookback
            np.testing.assert_array_equal(cut[rows:], whole[first + rows :])
        assert_streams(alpha_of(node), panel, (4,))


def test_a_mended_column_costs_nothing_where_nothing_is_to_be_mended() -> None:
    ran = []

    def again(v: pl.Series) -> pl.Series:
        ran.append(len(v))
        return v * 0.0 - 1.0

    context = steps.Context()
    x = context.step(pl.col("x") * 1.0)
    mended = context.mend(x, pl.col("x") > 5.0, lambda: context.step(x.map_batches(again, return_dtype=pl.Float64)))
    keys = {steps.DATE_CODE: [1, 2, 3], steps.SYMBOL_CODE: [1, 1, 1]}
    for largest, expected in ((4.0, [1.0, None, 4.0]), (6.0, [1.0, None, -1.0])):
        frame = pl.DataFrame({**keys, "x": [1.0, None, largest]})
        out = steps.run_steps(frame, context.steps, mended.meta.output_name())
        assert out.to_list() == expected
        assert len(ran) == (0 if largest == 4.0 else 1)


# --- figures of factors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("i", "j"), [(-990, 990), (530, 0), (0, -530), (990, 990), (-990, -990)])
def test_figures_of_factors(i: int, j: int) -> None:
    rng = np.random.default_rng(0)
    factor, labels = rng.normal(size=(2, 5, 40))
    controls = rng.normal(size=(2, 5, 40))
    np.testing.assert_array_equal(ic(np.ldexp(factor, i), np.ldexp(labels, j)), ic(factor, labels))
    left = residual_values(np.ldexp(factor, i), np.ldexp(controls, j))
    np.testing.assert_array_equal(np.ldexp(left, -i), residual_values(factor, controls))


@pytest.mark.parametrize("k", [-990, -600, 600, 990])
def test_figures_of_series(k: int) -> None:
    series = np.random.default_rng(1).normal(0.1, 1.0, 300)
    far = np.ldexp(series, k)
    assert np.ldexp(inference.std(far), -k) == inference.std(series)
    assert inference.information_ratio(far) == inference.information_ratio(series)
    assert inference.newey_west_t(far, horizon=5) == inference.newey_west_t(series, horizon=5)
    one, other = inference.level(far), inference.level(series)
    assert np.ldexp(one.mean, -k) == other.mean
    assert (one.ratio, one.t, one.hit_rate, one.days) == (other.ratio, other.t, other.hit_rate, other.days)
    sharpe = [inference.deflated_sharpe(s, trials=10, variance=0.01) for s in (far, series)]
    assert sharpe[0] == sharpe[1]
