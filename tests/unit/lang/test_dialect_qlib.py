"""qlib's expression language: its names, its semantics on gaps and listings, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fama_fast as ff
from fama_fast.errors import ArgumentError, ParseError, UnknownName, WindowError
from fama_fast.ir import field
from fama_fast.lang import parse, to_text
from fama_fast.lang.dialects.qlib import EMA_TAIL, OPERATORS, REFUSED, RENAMED, ema_window
from fama_fast.panel import Panel
from tests.support.qlib_reference import FUNCTIONS, reference

T = 90
NAMES = ("open", "high", "low", "close", "volume")
LISTED = 17  # first day of the last symbol
GAP = 40  # missing day of symbol 1


def make_market(seed: int = 3, symbols: int = 5) -> Panel:
    """Prices in cents with ties; one missing day in symbol 1, a quiet stretch in 2, the last symbol listed late."""
    rng = np.random.default_rng(seed)
    close = np.round(10.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (T, symbols)), axis=0)), 1)
    close[50:58, 2] = close[50, 2]
    high = np.round(close + np.abs(rng.normal(0.0, 0.1, close.shape)), 1)
    low = np.round(close - np.abs(rng.normal(0.0, 0.1, close.shape)), 1)
    fields = {
        "OPEN": np.round((high + low) / 2.0, 1),
        "HIGH": high,
        "LOW": low,
        "CLOSE": close,
        "VOLUME": rng.integers(1, 40, close.shape) * 100.0,
    }
    for values in fields.values():
        values[GAP, 1] = np.nan
        values[:LISTED, -1] = np.nan
    return Panel(np.datetime64("2020-01-01") + np.arange(T), [f"S{i}" for i in range(symbols)], fields)


def stock(panel: Panel, symbol: int) -> dict[str, pd.Series]:
    """The fields of one symbol from its first day, as qlib loads them."""
    first = LISTED if symbol == panel.symbols.size - 1 else 0
    return {name: pd.Series(panel[name][first:, symbol]) for name in (*NAMES, "vwap")}


def compare(text: str, panel: Panel, symbols: list[int], rtol: float = 1e-8) -> None:
    values = ff.compile(text, dialect="qlib").evaluate(panel)
    for symbol in symbols:
        fields = stock(panel, symbol)
        first = T - len(fields["close"])
        assert np.isnan(values[:first, symbol]).all(), text
        np.testing.assert_allclose(values[first:, symbol], reference(text, fields), rtol, 1e-9, err_msg=text)


@pytest.fixture(scope="module")
def market() -> Panel:
    return make_market()


ELEMENT = [
    "Abs($close-$open)",
    "Sign($close-$open)",
    "Log($volume)",
    "Power($close, 2)",
    "Add($close, $open)*2-Sub($high, $low)/Mul($volume, 3)+Div($close, $open)",
    "Greater($open, $close)-Less($open, 9.5)",
    "If($close>$open, $high, $low)",
    "If(Gt($close, Ref($close, 1)), 1, -1)",
    "Gt($close, $open)+2*Ge($close, $open)+4*Lt($close, 10)+8*Le($close, $open)+16*Eq($open, $close)+32*Ne($open, 1)",
    "And(Gt($close, $open), Lt($close, $high))+2*Or(Gt($close, $open), Lt($close, 9))+4*Not(Gt($close, $open))",
    "2*($close >= $open) + 3*($close != $high) + 5*($close <= $low)",
    "Ref($close, 3)/$close",
    "Delta($close, 5)",
]
ROLLING = ["Mean", "Sum", "Std", "Var", "Max", "Min", "Med", "Mad", "Rank", "Slope", "Resi", "Rsquare", "WMA"]


@pytest.mark.parametrize("text", ELEMENT)
def test_element_operators(market: Panel, text: str) -> None:
    # On a missing day qlib's comparisons are 0, ours missing where nothing is there to compare.
    compare(text, market, [0, 2, 3] + ([1, 4] if "$" in text and not any(c in text for c in "<>GLEN!") else []))


@pytest.mark.parametrize("name", ROLLING)
def test_rolling_operators_with_gaps_and_a_late_listing(market: Panel, name: str) -> None:
    # WMA counts its weights from the window's first present day: a missing one at the start is like one before listing.
    symbols = [0, 2, 3, 4] if name == "WMA" else [0, 1, 2, 3, 4]
    for d in (2, 7, 30):
        compare(f"{name}($close, {d})", market, symbols, rtol=1e-7)


@pytest.mark.parametrize(
    "text",
    [
        "Quantile($close, 10, 0.8)",
        "Quantile($close, 7, 0.2)/$close",
        "Corr($close, $volume, 10)",
        "Corr($close, Log($volume+1), 5)",
        "Cov($close, $volume, 8)",
        "Mean($close>Ref($close, 1), 5)",
        "Mean(Mean($close, 3), 5)-Std(Delta($close, 2), 7)",
    ],
)
def test_more_rolling_operators(market: Panel, text: str) -> None:
    compare(text, market, [0, 1, 2, 3, 4], rtol=1e-7)


def test_skewness_and_kurtosis_of_varied_windows(market: Panel) -> None:
    compare("Skew($volume, 10)", market, [0, 1, 3, 4], rtol=1e-6)
    compare("Kurt($volume, 12)", market, [0, 1, 3, 4], rtol=1e-6)


def test_count_is_never_missing(market: Panel) -> None:
    values = ff.compile("Count($close, 6)", dialect="qlib").evaluate(market)
    for symbol in range(4):
        np.testing.assert_array_equal(values[:, symbol], reference("Count($close, 6)", stock(market, symbol)))
    np.testing.assert_array_equal(values[LISTED - 1 : LISTED + 7, 4], [0, 1, 2, 3, 4, 5, 6, 6])


@pytest.mark.parametrize("d", [1, 5, 20])
def test_the_place_of_an_extreme_counts_from_the_windows_first_day(market: Panel, d: int) -> None:
    for text in (f"IdxMax($high, {d})", f"IdxMin($low, {d})", f"(IdxMax($high, {d})-IdxMin($low, {d}))/{d}"):
        compare(text, market, [0, 2, 3, 4])
    # A missing day inside counts as a day and is passed over; at the window's start it is not part of it.
    high = market["HIGH"][:, 1]
    places = ff.compile(f"IdxMax($high, {d})", dialect="qlib").evaluate(market)[:, 1]
    for t in (GAP, GAP + 2, GAP + d - 1, GAP + d):
        window = high[max(0, t - d + 1) : t + 1]
        present = np.flatnonzero(~np.isnan(window))
        expected = np.nan if not present.size else np.nanargmax(window) - present[0] + 1
        np.testing.assert_equal(places[t], expected)


def test_of_equal_extremes_the_first_counts() -> None:
    values = np.array([[1.0], [3.0], [2.0], [3.0], [1.0]])
    panel = Panel(np.datetime64("2020-01-01") + np.arange(5), ["A"], {"HIGH": values, "LOW": values})
    assert ff.compile("IdxMax($high, 5)", dialect="qlib").evaluate(panel)[-1, 0] == 2.0
    assert ff.compile("IdxMin($low, 5)", dialect="qlib").evaluate(panel)[-1, 0] == 1.0
    assert ff.compile("TS_ARGMAX(HIGH, 5)").evaluate(panel)[-1, 0] == 1.0


def test_the_exponential_mean_is_qlibs_up_to_the_tail(market: Panel) -> None:
    days = ema_window(3)
    assert (1 - 2 / 4) ** days <= EMA_TAIL < (1 - 2 / 4) ** (days - 1)
    assert ff.compile("EMA($close, 3)", dialect="qlib").lookback == days - 1
    compare("EMA($close, 3)", market, [0, 1, 2, 3, 4], rtol=2e-6)
    assert ff.compile("EMA($close, 1)", dialect="qlib").lookback == 0


def test_a_comparison_with_one_missing_side_is_false_and_with_none_missing(market: Panel) -> None:
    values = ff.compile("$close>Ref($close, 1)", dialect="qlib").evaluate(market)
    assert values[0, 0] == 0.0
    assert values[GAP, 1] == values[GAP + 1, 1] == 0.0
    assert np.isnan(values[LISTED - 1, 4])
    assert values[LISTED, 4] == 0.0
    assert ff.compile("Ne($close, Ref($close, 1))", dialect="qlib").evaluate(market)[0, 0] == 1.0


def test_every_operator_of_qlib_is_known() -> None:
    known = {*OPERATORS, *RENAMED, *REFUSED}
    assert {name.upper() for name in FUNCTIONS} - {"AND", "OR", "NOT"} <= known


def test_names_are_qlibs_and_the_canonical_text_is_ours() -> None:
    assert to_text(parse("mean($CLOSE, 5)", dialect="qlib")) == "TS_MEAN(CLOSE, 5, min_periods=1)"
    assert parse("$close", dialect="qlib") is field("CLOSE")
    assert parse("($close)", dialect="qlib") is field("CLOSE")
    assert parse("Mean($close, 5, min_periods=5)", dialect="qlib").params[-1] == 5
    alpha = ff.compile("Mean($close>Ref($close, 1), 5)", dialect="qlib")
    assert alpha.lookback == 5
    assert ff.compile(alpha.canonical).node is alpha.node


@pytest.mark.parametrize(
    "text", ["Ref($close, -2)/$close-1", "Ref($close, -1)", "Delta($close, -5)", "Mean($close, -3)"]
)
def test_the_future_is_refused(text: str) -> None:
    with pytest.raises(WindowError, match="look ahead") as caught:
        parse(text, dialect="qlib")
    assert caught.value.text == text
    assert text[caught.value.start] == "-"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("Ref($close, 0)", WindowError, "whole history"),
        ("Mean($close, 0)", WindowError, "whole history"),
        ("EMA($close, 0.3)", WindowError, "whole number"),
        ("Mask($close, 5)", UnknownName, "another instrument"),
        ("Mean(close, 5)", UnknownName, r"fields are written \$name"),
        ("$ close", ParseError, "directly before"),
        ("$$roe_q", ParseError, "directly before"),
        ("3$close", ParseError, "directly before"),
        ("Mean($close)", ArgumentError, "needs d"),
        ("Corr($close, $open)", ArgumentError, "needs d"),
        ("Std($close, 1)", WindowError, "at least 2"),
        ("Meann($close, 3)", UnknownName, "unknown operator"),
        ("$close &", ParseError, "unexpected"),
    ],
)
def test_mistakes(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse(text, dialect="qlib")


def test_the_mark_is_part_of_the_suggestion() -> None:
    with pytest.raises(UnknownName) as caught:
        parse("Mean(close, 5)", dialect="qlib")
    assert caught.value.suggestion == "$close"
    assert str(caught.value).count("Mean(close, 5)") == 1


def test_both_back_ends_agree(market: Panel) -> None:
    from fama_fast.data import to_frame

    frame = ff.complete_grid(to_frame(market)).sort("date", "symbol")
    for text in ("Corr($close, $volume, 6)", "IdxMax($high, 7)", "Mean($close>Ref($close, 1), 5)", "WMA($close, 6)"):
        alpha = ff.compile(text, dialect="qlib")
        column = frame.with_columns(alpha.to_polars().alias("x"))["x"].to_numpy().reshape(market.shape)
        np.testing.assert_allclose(column, alpha.evaluate(market), 1e-9, 1e-12, err_msg=text)
