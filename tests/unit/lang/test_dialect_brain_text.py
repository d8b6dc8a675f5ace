"""BRAIN's texts in quotes, its count of days, and how the command line lists what a dialect writes otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.errors import ArgumentError, ParseError, UnknownName
from fama_fast.lang import DIALECTS, parse, to_text
from fama_fast.panel import Panel
from tests.unit.lang.test_dialect_brain import NAN, dates, over_days, over_instruments


def test_published_buckets() -> None:
    assert over_instruments('bucket(x, buckets="2, 5, 6, 7, 10")', [-1.0, 3, 6, 8, 12]) == [0, 1, 2, 4, 5]
    assert over_instruments('bucket(x, range="0.1, 1, 0.1")', [0.05, 0.5, 0.9]) == [0, 4, 8]
    assert over_instruments("bucket(x, range='0.1,1,0.1')", [0.05, 0.5, 0.9]) == [0, 4, 8]


def test_hidden_buckets_and_the_group_of_the_missing() -> None:
    given = [-1.0, 3, 12, NAN]

    def buckets(flags: str) -> list[float]:
        return over_instruments(f'bucket(x, buckets="2, 5, 10", {flags})', given)

    np.testing.assert_array_equal(buckets("skipBegin=true"), [NAN, 1, 3, NAN])
    np.testing.assert_array_equal(buckets("skipEnd=true"), [0, 1, NAN, NAN])
    np.testing.assert_array_equal(buckets("skipBoth=true"), [NAN, 1, NAN, NAN])
    np.testing.assert_array_equal(buckets("NANGroup=true"), [0, 1, 3, 4])
    np.testing.assert_array_equal(buckets("skipBoth=true, NANGroup=true"), [NAN, 1, NAN, 4])


def test_buckets_stand_for_groups() -> None:
    x = [1.0, 2, 7, 9, NAN]
    found = over_instruments('group_sum(1, bucket(x, buckets="5", NANGroup=true))', x)
    assert found == [2, 2, 2, 2, 1]
    neutral = over_instruments('group_neutralize(x, bucket(rank(x), range="0, 1, 0.5"))', [1.0, 2, 3, 4, 5])
    np.testing.assert_allclose(neutral, [0.0, -0.5, 0.5, -0.5, 0.5], atol=1e-12)


def test_many_bounds_need_no_short_text() -> None:
    bounds = ", ".join(str(k) for k in range(100))
    assert over_instruments(f'bucket(x, buckets="{bounds}")', [-1.0, 0.5, 98.5, 99.5]) == [0, 1, 99, 100]


def test_numbers_that_count_as_missing() -> None:
    assert over_days('kth_element(x, 4, 1, ignore="NAN 0")', [0.0, NAN, 7, 3]) == 7.0
    assert over_days("kth_element(x, 4, 1)", [0.0, NAN, 7, 3]) == 0.0
    assert over_days('ts_backfill(x, 4, k=2, ignore="0 3")', [0.0, 5, 3, 8]) == 8.0
    assert over_days("ts_backfill(x, 4, k=2)", [NAN, 5, 3, 8]) == 3.0


def test_words_may_be_quoted() -> None:
    quoted, bare = (parse(f"quantile(close, driver={w})", dialect="brain") for w in ('"cauchy"', "cauchy"))
    assert quoted is bare


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("bucket(close)", ArgumentError, "either range"),
        ('bucket(close, range="0,1,0.1", buckets="1")', ArgumentError, "either range"),
        ('bucket(close, range="0,1")', ArgumentError, "three numbers, not 2"),
        ('bucket(close, range="0,1,0")', ArgumentError, "step above 0"),
        ('bucket(close, range="0,1,a")', ArgumentError, "'a' is none"),
        ('bucket(close, buckets="1,1")', ArgumentError, "go up"),
        ('bucket(close, buckets="1,inf")', ArgumentError, "finite"),
        ("bucket(close, range=5)", ArgumentError, "text in quotes"),
        ('rank("close")', ArgumentError, "did you mean close"),
        ('group_rank(close, "sector")', ArgumentError, "did you mean sector"),
        ('ts_mean(close, "5")', ArgumentError, "cannot stand here"),
        ('quantile(close, driver="couchy")', ArgumentError, "did you mean cauchy"),
        ('rank("close)', ParseError, "quotation mark"),
        ('rank(close) + + "x"', ParseError, "column 15"),
    ],
)
def test_mistakes_with_texts(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        parse(text, dialect="brain")
    assert "column" in str(caught.value)


def test_other_dialects_have_no_texts() -> None:
    for name in ("fama", "alpha101", "qlib"):
        with pytest.raises(ParseError, match="quotation mark"):
            parse('rank("close")', dialect=name)


@pytest.mark.parametrize("rettype", [0, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("dialect", ["fama", "brain"])
def test_a_regression_on_a_count_of_days_is_one_on_any_count(rettype: int, dialect: str) -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(30, 3))
    y[7, 1] = y[20, 2] = np.nan
    y[:, 0] = np.round(y[:, 0])
    for start in (1.0, 500.0):  # where the count began
        count = np.broadcast_to(np.arange(30.0)[:, None] + start, y.shape).copy()
        panel = Panel(dates(30), ["A", "B", "C"], {"Y": y, "N": count})
        on_step = ff.compile(f"ts_regression(y, ts_step(1), 8, 0, {rettype})", dialect=dialect).evaluate(panel)
        on_count = ff.compile(f"ts_regression(y, n, 8, 0, {rettype})", dialect=dialect).evaluate(panel)
        if rettype == 7:  # needs a third day, as an operator of its own
            on_step = np.where(np.isnan(on_count), np.nan, on_step)
        np.testing.assert_allclose(on_step, on_count, rtol=1e-9, atol=1e-9)


def test_a_correlation_with_a_count_of_days() -> None:
    y = np.random.default_rng(5).normal(size=(30, 3))
    count = np.broadcast_to(np.arange(30.0)[:, None], y.shape).copy()
    panel = Panel(dates(30), ["A", "B", "C"], {"Y": y, "N": count})
    expected = ff.compile("CORREL(Y, N, 8)").evaluate(panel)
    for text in ("CORREL(Y, TS_STEP(1), 8)", "ts_corr(step(1), y, 8)"):
        np.testing.assert_allclose(ff.compile(text).evaluate(panel), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("TS_STEP(1)", UnknownName, "no finite lookback.*TS_REGRESSION"),
        ("TS_REGRESSION(TS_STEP(1), CLOSE, 20)", UnknownName, "no finite lookback"),
        ("TS_REGRESSION(CLOSE, TS_STEP(2), 20)", ArgumentError, r"written TS_STEP\(1\)"),
        ("TS_REGRESSION(CLOSE, TS_STEP(), 20)", ArgumentError, r"written TS_STEP\(1\)"),
        ("TS_REGRESSION(CLOSE, TS_STEP(1), 20, rettype=1)", ArgumentError, "where the count began"),
    ],
)
def test_mistakes_with_a_count(text: str, kind: type[Exception], message: str) -> None:
    for dialect in ("fama", "brain"):
        with pytest.raises(kind, match=message) as caught:
            parse(text, dialect=dialect)
        assert "column" in str(caught.value)


def test_canonical_text_of_a_count() -> None:
    node = parse("ts_regression(close, ts_step(1), 20, lag=0, rettype=2)", dialect="brain")
    assert to_text(node) == "TS_SLOPE(CLOSE, 20, min_periods=1)"


# The command line.


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["ops", *arguments]) in (0, None)
    return capsys.readouterr().out


def test_a_dialect_lists_its_own_operators(capsys: pytest.CaptureFixture[str]) -> None:
    for dialect in DIALECTS.values():
        text = shown(capsys, "--dialect", dialect.name)
        for name in (*dialect.own, *(dialect.refused if dialect.name != "fama" else ())):
            assert f"  {name}" in text, (dialect.name, name)
    described = json.loads(shown(capsys, "--dialect", "brain", "--json"))
    assert described["min_periods"] == 1
    bucket = next(o for o in described["own"] if o["name"] == "BUCKET")
    assert "NANGroup" in bucket["signature"]


def test_an_entry_says_which_dialect_it_is_of(capsys: pytest.CaptureFixture[str]) -> None:
    brain = shown(capsys, "ts_covariance", "--dialect", "brain")
    assert "brain only" in brain
    assert "stands for" in brain
    assert "19 in that" in brain
    ours = shown(capsys, "TS_COVARIANCE")
    assert "otherwise in brain" in ours
    assert "brain only" not in ours
    assert "qlib only" in shown(capsys, "IdxMax")  # found though no dialect is named
    assert "otherwise" not in shown(capsys, "TS_KURT")
