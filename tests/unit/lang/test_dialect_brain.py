"""WorldQuant BRAIN's dialect, against the examples of its operator reference and by hand where it gives none."""

from __future__ import annotations

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.errors import ArgumentError, UnknownName, WindowError
from fama_fast.ir import field
from fama_fast.lang import parse, to_text
from fama_fast.lang.dialects.brain import OPERATORS, REFUSED
from fama_fast.panel import GroupField, Panel

NAN = float("nan")


def dates(n: int) -> np.ndarray:
    return np.datetime64("2020-01-01") + np.arange(n)


def over_days(text: str, *latest_first: list[float]) -> float:
    """Today's value for one instrument whose past values are given as BRAIN gives them: the latest first."""
    names = ("X", "Y", "Z")
    fields = {n: np.array(v[::-1], dtype=float)[:, None] for n, v in zip(names, latest_first, strict=False)}
    panel = Panel(dates(len(latest_first[0])), ["A"], fields)
    return float(ff.compile(text, dialect="brain").evaluate(panel)[-1, 0])


def over_instruments(text: str, *vectors: list[float], group: list[int] | None = None) -> list[float]:
    names = ("X", "Y", "Z")
    fields = {n: np.array([v], dtype=float) for n, v in zip(names, vectors, strict=False)}
    groups = {}
    if group is not None:
        codes = np.array([group], dtype=float)
        groups = {"SECTOR": GroupField(codes, tuple(f"g{i}" for i in range(max(group) + 1)))}
    panel = Panel(dates(1), [f"S{i}" for i in range(len(vectors[0]))], fields, groups=groups)
    return [float(v) for v in ff.compile(text, dialect="brain").evaluate(panel)[0]]


# Examples printed in the operator reference, with as many digits as it prints.
WEEK = [2.0, 3, 5, 6, 3, 8, 10]
SIX = [6.0, 2, 8, 5, 9, 4]
PUBLISHED_DAYS = [
    ("ts_arg_max(x, 6)", (SIX,), 4.0, 0),
    ("ts_arg_min(x, 6)", (SIX,), 1.0, 0),
    ("ts_av_diff(x, 6)", ([6.0, 2, 8, 5, 9, NAN],), 0.0, 12),
    ("ts_corr(x, y, 7)", (WEEK, [100.0, 190, 150, 180, 210, 220, 240]), 0.6891, 4),
    ("ts_count_nans(x, 4)", ([100.0, NAN, NAN, 200],), 2.0, 0),
    ("ts_decay_linear(x, 5)", ([30.0, 5, 4, 5, 6],), 13.2, 12),
    ("ts_delay(x, 6)", (WEEK,), 10.0, 0),
    ("ts_delta(x, 6)", (WEEK,), -8.0, 0),
    ("ts_product(x, 7)", (WEEK,), 43200.0, 6),
    ("ts_rank(x, 3)", ([100.0, 0, 200],), 0.5, 12),
    ("ts_scale(x, 6, constant = 1)", (SIX,), 1.57, 2),
    ("ts_zscore(x, 5)", ([100.0, 0, 50, 60, 25],), 1.57, 2),
    ("ts_std_dev(x, 5)", ([100.0, 0, 50, 60, 25],), 33.7, 1),
    ("add(x, 5, filter=true)", ([NAN],), 5.0, 0),
    ("subtract(x, 5, filter=true)", ([NAN],), -5.0, 0),
    ("multiply(x, 5, filter=true)", ([NAN],), 5.0, 0),
    ("signed_power(x, 0.5)", ([-9.0],), -3.0, 12),
    ("signed_power(x, 2)", ([3.0],), 9.0, 12),
]
DAY = [100.0, 0, 50, 60, 25]
PUBLISHED_INSTRUMENTS = [
    ("rank(x)", ([4.0, 3, 6, 10, 2],), [0.5, 0.25, 0.75, 1, 0], 12),
    ("Rank(x, rate=0)", ([4.0, 3, 6, 10, 2],), [0.5, 0.25, 0.75, 1, 0], 12),
    ("sign(x)", ([2.0, -3, 5, 6, 3, NAN, -10],), [1, -1, 1, 1, 1, NAN, -1], 0),
    ("normalize(x)", ([3.0, 5, 6, 2],), [-1, 1, 2, -2], 12),
    ("normalize(x, useStd = true, limit = 0.0)", ([3.0, 5, 6, 2],), [-0.55, 0.55, 1.1, -1.1], 2),
    # Printed as (2.81, ..., 8.03): cut, not rounded.
    ("winsorize(x, std=1)", ([2.0, 4, 5, 6, 3, 8, 10],), [2.815, 4, 5, 6, 3, 8, 8.035], 2),
    ("zscore(x)", (DAY,), [1.57, -1.39, 0.09, 0.39, -0.65], 2),
    ("vector_neut(x, y)", ([1.0, 2, 3], [3.0, 4, 5]), [-0.56, -0.08, 0.4], 2),
]


@pytest.mark.parametrize(("text", "given", "expected", "digits"), PUBLISHED_DAYS)
def test_published_examples_over_days(text: str, given: tuple[list[float], ...], expected: float, digits: int) -> None:
    tolerance = 0.5001 * 10.0**-digits if digits < 12 else 1e-12
    assert abs(over_days(text, *given) - expected) <= tolerance


@pytest.mark.parametrize(("text", "given", "expected", "digits"), PUBLISHED_INSTRUMENTS)
def test_published_examples_over_instruments(
    text: str, given: tuple[list[float], ...], expected: list[float], digits: int
) -> None:
    tolerance = 0.5001 * 10.0**-digits if digits < 12 else 1e-12
    np.testing.assert_allclose(over_instruments(text, *given), expected, rtol=0, atol=tolerance)


def test_spreads_divide_by_n() -> None:
    assert over_days("ts_std_dev(x, 4)", [1.0, 2, 3, 4]) == pytest.approx(np.std([1, 2, 3, 4]), rel=1e-14)
    assert over_days("ts_std_dev(x, 4)", [1.0, NAN, 3, 4]) == pytest.approx(np.std([1, 3, 4]), rel=1e-14)
    assert over_days("ts_std_dev(x, 4)", [1.0, NAN, NAN, NAN]) == 0.0
    assert np.isnan(over_days("ts_std_dev(x, 4)", [NAN, NAN, NAN, NAN]))
    assert over_days("ts_std_dev(x, 4, min_periods=4)", [1.0, 2, 3, 4]) == pytest.approx(np.std([1, 2, 3, 4]))
    assert np.isnan(over_days("ts_std_dev(x, 4, min_periods=4)", [1.0, NAN, 3, 4]))
    assert over_days("ts_std_dev(x, 1)", [3.0, 9.0]) == 0.0
    x, y = [1.0, 5, 2, 8], [2.0, 1, 7, 9]
    assert over_days("ts_covariance(y, x, 4)", x, y) == pytest.approx(np.cov(x, y, ddof=0)[0, 1], rel=1e-12)
    gapped = [1.0, NAN, 2, 8]
    expected = np.cov([1, 2, 8], [2, 7, 9], ddof=0)[0, 1]
    assert over_days("ts_covariance(y, x, 4)", gapped, y) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(
        over_instruments("group_zscore(x, sector)", [1.0, 2, 4, 7, 9], group=[0, 0, 0, 1, 1]),
        [*((np.array([1, 2, 4]) - 7 / 3) / np.std([1, 2, 4])), -1, 1],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        over_instruments("group_std_dev(x, sector)", [1.0, 2, 4, 7], group=[0, 0, 0, 1]),
        [*[np.std([1, 2, 4])] * 3, 0.0],
        rtol=1e-12,
    )


def test_ranks_run_from_0_to_1_with_average_ties() -> None:
    assert over_instruments("rank(x)", [2.0, 2, 1, NAN, 3]) == pytest.approx([0.5, 0.5, 0, NAN, 1], nan_ok=True)
    assert over_days("ts_rank(x, 4)", [3.0, 3, 1, 5]) == pytest.approx(0.5)
    assert over_days("ts_rank(x, 4, constant=2)", [5.0, 3, 1, 4]) == pytest.approx(3.0)
    assert over_days("ts_rank(x, 4)", [5.0, NAN, 1, NAN]) == 1.0
    assert over_instruments("group_rank(x, sector)", [3.0, 1, 2, 9, 8], group=[0, 0, 0, 1, 1]) == [1, 0, 0.5, 1, 0]
    # Shares r/n of every n come back exact, halves included.
    for n in (3, 7, 49, 101, 1000):
        values = np.r_[np.arange(n - 2, dtype=float), n / 3.0 - 0.5, n / 3.0 - 0.5]
        order = np.array(over_instruments("rank(x)", list(values)))
        expected = [((values < v).sum() + ((values == v).sum() + 1) / 2 - 1) / (n - 1) for v in values]
        np.testing.assert_array_equal(order, expected)


def test_windows_take_what_is_there() -> None:
    assert over_days("ts_mean(x, 10)", [1.0, NAN, 3]) == 2.0
    assert over_days("ts_sum(x, 3)", [1.0, NAN, 3]) == 4.0
    assert over_days("ts_decay_linear(x, 3)", [1.0, NAN, 3]) == pytest.approx(6 / 6)
    assert over_days("ts_decay_linear(x, 3, dense=true)", [1.0, NAN, 3]) == pytest.approx(6 / 4)
    assert np.isnan(over_days("ts_decay_linear(x, 3)", [NAN, NAN, NAN]))
    assert over_days("ts_backfill(x, 3)", [NAN, 7.0, 3]) == 7.0
    assert over_days("ts_backfill(x, lookback = 2)", [NAN, NAN, 3]) != over_days("ts_backfill(x, 3)", [NAN, NAN, 3])


def test_scales_and_weighted_group_means() -> None:
    assert over_instruments("scale(x, scale=4)", [1.0, -1, 2]) == pytest.approx([1, -1, 2])
    assert over_instruments("scale(x, longscale=4, shortscale=3)", [1.0, 3, -5]) == pytest.approx([1, 3, -3])
    weighted = over_instruments("group_mean(x, y, sector)", [1.0, 3, 9, NAN], [1.0, 3, 2, 5], group=[0, 0, 1, 1])
    assert weighted == pytest.approx([2.5, 2.5, 9, NAN], nan_ok=True)


def test_any_number_of_terms() -> None:
    assert over_days("max(x, y, z)", [1.0], [5.0], [3.0]) == 5.0
    assert over_days("min(x, y, z, 0.5)", [1.0], [5.0], [3.0]) == 0.5
    assert over_days("add(x, y, z)", [1.0], [5.0], [3.0]) == 9.0
    assert over_days("subtract(x, y, z)", [1.0], [5.0], [3.0]) == -7.0
    assert over_days("multiply(x, y, z)", [2.0], [5.0], [3.0]) == 30.0
    assert over_days("add(x, y, z, filter=true)", [1.0], [NAN], [3.0]) == 4.0
    assert np.isnan(over_days("add(x, y, z)", [1.0], [NAN], [3.0]))


def test_names_and_canonical_text() -> None:
    assert parse("returns", dialect="brain") is field("RET")
    assert to_text(parse("ts_mean(close, 5)", dialect="brain")) == "TS_MEAN(CLOSE, 5, min_periods=1)"
    assert to_text(parse("close + open", dialect="brain")) == "CLOSE + OPEN"
    alpha = ff.compile("rank(ts_std_dev(returns, 20))", dialect="brain")
    assert alpha.lookback == 20
    assert ff.compile(alpha.canonical).fingerprint == alpha.fingerprint
    for name in OPERATORS:
        assert name not in REFUSED


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("ts_quantile(close, 5)", UnknownName, "disagree"),
        ("ts_delay(close, -1)", WindowError, "look ahead"),
        ("ts_std_dev(close)", ArgumentError, "needs d"),
        ("group_mean(close, sector)", ArgumentError, "group"),
        ("rank(close, speed=2)", UnknownName, "no parameter"),
    ],
)
def test_mistakes(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse(text, dialect="brain")


def test_both_back_ends_agree() -> None:
    from fama_fast.data import SimulationSpec, simulate, to_frame

    market = simulate(SimulationSpec(n_symbols=12, n_dates=60, seed=2))
    frame = ff.complete_grid(to_frame(market)).sort("date", "symbol")
    for text in (
        "rank(ts_std_dev(close, 5))",
        "winsorize(ts_rank(volume, 8), std=1)",
        "ts_covariance(close, volume, 6)",
    ):
        alpha = ff.compile(text, dialect="brain")
        column = frame.with_columns(alpha.to_polars().alias("x"))["x"].to_numpy().reshape(market.shape)
        np.testing.assert_allclose(column, alpha.evaluate(market), 1e-9, 1e-12, err_msg=text)
