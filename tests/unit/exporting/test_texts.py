"""Texts for BRAIN and qlib: what they say is what the formula says, and what cannot be said is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.errors import ConfigError, DataError, OutputError
from fama_fast.exporting.brain_text import BRAIN
from fama_fast.exporting.qlib_text import QLIB
from fama_fast.exporting.writing import write
from fama_fast.library import FactorSet, make_factor
from fama_fast.ops import specs
from tests.unit.lang.test_dialect_qlib import make_market

BOTH = {  # formula: (BRAIN's text, qlib's text)
    "CORREL(CLOSE, VOLUME, 10)": ("ts_corr(close, volume, 10)", "Corr($close, $volume, 10)"),
    "TS_RANK(VOLUME, 5)": ("(ts_rank(volume, 5) * 4 + 1) / 5", "Rank($volume, 5)"),
    "TS_ARGMAX(CLOSE, 10)": ("ts_arg_max(close, 10)", "10 - IdxMax($close, 10)"),
    "TS_MEAN(OPEN < CLOSE, 5)": ("ts_mean(open < close, 5)", "Mean(If(Lt($open, $close), 1, 0), 5)"),
    "DELTA(CLOSE, 5) / (OPEN - HIGH)": (
        "-1 * (ts_delta(close, 5) / (high - open))",
        "-1 * (Delta($close, 5) / ($high - $open))",
    ),
    "CLOSE / (OPEN * HIGH)": ("close / (high * open)", "$close / ($high * $open)"),
    "-TS_MIN(LOW, 3)": ("-1 * ts_min(low, 3)", "-1 * Min($low, 3)"),
    "DECAY_LINEAR(CLOSE, 6)": ("ts_decay_linear(close, 6, dense = true)", "WMA($close, 6) * 6"),
    "TS_BETA(CLOSE, VOLUME, 10)": (
        "ts_regression(close, volume, 10, rettype = 2)",
        "Cov($volume, $close, 10) / Var($volume, 10)",
    ),
    "OPEN < CLOSE ? 1 : -1": ("if_else(open < close, 1, -1)", "If(Lt($open, $close), 1, -1)"),
    "ADV20": ("ts_mean(close * volume, 20)", "Mean($close * $volume, 20)"),
    "TS_SLOPE(CLOSE, 8)": ("ts_regression(close, ts_step(1), 8, rettype = 2)", "Slope($close, 8)"),
    "TS_STDDEV(CLOSE, 1 + 1)": ("1.4142135623730951 * ts_std_dev(close, 2)", "Std($close, 2)"),
    "LOG(CLOSE) * (OPEN < CLOSE && LOW < 3)": (
        "and(low < 3, open < close) * log(close)",
        "If(And(Lt($low, 3), Lt($open, $close)), 1, 0) * Log($close)",
    ),
}


@pytest.mark.parametrize("formula", BOTH)
def test_the_text_has_the_values_of_the_formula(formula: str) -> None:
    for to, text in zip(("brain", "qlib"), BOTH[formula], strict=True):
        done = ff.export(formula, to)  # type: ignore[arg-type]
        (item,) = done.translations
        assert item.text == text
        assert item.meaning == "same"
        assert item.whole is not None
        assert item.whole.cells > 500
        assert done.texts == {item.formula: text}
        assert not done.left_out


@pytest.mark.parametrize("spelling", [BRAIN, QLIB], ids=lambda s: s.name)
def test_every_rule_is_read_back_and_held_to_the_operator(spelling: object) -> None:
    """Each operator that a language has words for, by the example of its registration."""
    assert spelling in (BRAIN, QLIB)
    names = {s.name for s in specs()}
    assert set(spelling.rules) <= names  # type: ignore[attr-defined]
    formulas = {
        s.name: s.example
        for s in specs()
        if s.name in spelling.rules and not s.internal and not s.gives_group  # type: ignore[attr-defined]
    }
    found = {n: ff.compile(text) for n, text in formulas.items()}
    unique = {a.canonical: a for a in found.values()}
    done = ff.export(list(unique.values()), spelling.name)  # type: ignore[attr-defined]
    for item in done.translations:
        assert not any("read back it is another formula" in reason for reason in item.cannot), item
        if item.meaning == "near":
            assert item.differs, item
        if item.said and item.meaning == "same":
            assert item.whole is not None
            assert item.whole.equal == 1.0
    said = sum(t.said for t in done.translations)
    assert said > (0.75 if spelling is BRAIN else 0.6) * len(done.translations)


def test_what_brain_computes_otherwise_is_said_and_keeps_the_order() -> None:
    (item,) = ff.export("-RANK(TS_STDDEV(RET, 20))", "brain").translations
    assert item.text == "-1 * rank(1.025978352085154 * ts_std_dev(returns, 20))"
    assert item.meaning == "order"
    assert any(reason.startswith("RANK: ranks of a date are (r - 1)/(n - 1)") for reason in item.differs)
    assert any(reason.startswith("windows: ") for reason in item.differs)
    (inner,) = ff.export("RANK(CLOSE) * TS_MEAN(VOLUME, 5)", "brain").translations
    assert inner.meaning == "near"
    assert inner.whole is not None
    assert 0.9 < inner.whole.order < 1.0


def test_qlib_has_no_words_across_symbols_but_an_outermost_rank_keeps_the_order() -> None:
    (item,) = ff.export("-RANK(DELTA(CLOSE, 5))", "qlib").translations
    assert (item.text, item.meaning) == ("-1 * Delta($close, 5)", "order")
    assert item.differs[0].startswith("RANK: left out where it is outermost")
    done = ff.export(["RANK(CLOSE) * GROUP_NEUTRALIZE(VOLUME, SECTOR)", "TS_MEAN(CLOSE, 5)"], "qlib")
    (reasons,) = done.left_out.values()
    assert [reason.partition(":")[0] for reason in reasons] == ["the group SECTOR", "GROUP_NEUTRALIZE", "RANK"]
    assert list(done.texts.values()) == ["Mean($close, 5)"]
    assert repr(done) == "Exported(1 of 2 factors said in qlib)"
    assert "RANK: qlib" in done._repr_html_()
    assert done.table()["text"].to_list() == [None, "Mean($close, 5)"]


def test_every_operator_without_words_is_named() -> None:
    (item,) = ff.export("MOD(CLOSE, 3) + TS_RANK_CORR(CLOSE, VOLUME, 5) + AMOUNT", "brain").translations
    assert not item.said
    assert item.meaning == "unsaid"
    assert [reason.partition(":")[0] for reason in item.cannot] == ["MOD", "TS_RANK_CORR", "the field AMOUNT"]


def test_fields_of_other_names() -> None:
    (item,) = ff.export("AMOUNT / VOLUME", "brain", fields={"amount": "turnover"}).translations
    assert (item.text, item.meaning) == ("turnover / volume", "same")
    (item,) = ff.export("GROUP_NEUTRALIZE(CLOSE, BOARD)", "brain", fields={"BOARD": "exchange"}).translations
    assert (item.text, item.meaning) == ("group_neutralize(close, exchange)", "same")
    (item,) = ff.export("AMOUNT / VOLUME", "qlib", fields={"AMOUNT": "$money"}).translations
    assert (item.text, item.meaning) == ("$money / $volume", "same")


def test_a_wrong_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dict(QLIB.rules) | {"TS_MEAN": QLIB.rules["TS_SUM"]}
    monkeypatch.setattr(
        "fama_fast.exporting.translate.LANGUAGES", {"qlib": type(QLIB)(**vars(QLIB) | {"rules": wrong})}
    )
    (item,) = ff.export("CLOSE / TS_MEAN(CLOSE, 4, min_periods=1)", "qlib").translations
    assert not item.said
    assert "read back it is another formula" in item.cannot[0]


def test_the_oriented_factor_is_exported() -> None:
    factor = make_factor("-TS_MEAN(RET, 5)", hypothesis="losers come back")
    done = ff.export(FactorSet([factor]), "brain")
    assert done.translations[0].text == "-1 * ts_mean(returns, 5)"


def test_agreement_on_data_with_gaps() -> None:
    panel = make_market()
    (item,) = ff.export("TS_MEAN(CLOSE, 5)", "qlib", data=panel).translations
    assert item.on_data is not None
    known = np.isfinite(ff.compile("TS_MEAN(CLOSE, 5)").evaluate(panel))
    assert item.on_data.cells == int(known.sum())
    assert item.on_data.equal == 1.0
    more = np.isfinite(ff.compile(item.text, dialect="qlib").evaluate(panel)) & ~known
    assert item.on_data.added == more.sum() / known.sum() > 0.0
    (item,) = ff.export("HIGH - VWAP", "qlib", data=panel).translations
    assert item.text == "$high - ($high + $low + $close) / 3"


def test_files(tmp_path: Path) -> None:
    formulas = ["RANK(CLOSE)", "MOD(CLOSE, 3)", "TS_SKEW(CLOSE, 9)"]
    text = tmp_path / "alphas.txt"
    ff.export(formulas, "brain", text, settings={"decay": "4", "universe": "top500"}, entry_lag=0)
    lines = text.read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["rank(close)", "ts_skewness(close, 9)"]
    assert "universe TOP500, delay 0, decay 4, neutralization MARKET" in lines[1]
    assert any("MOD: brain has no such operator" in line for line in lines)
    assert any("beyond the base level: ts_skewness" in line for line in lines)
    data = tmp_path / "alphas.json"
    ff.export(formulas, "brain", data)
    document = json.loads(data.read_text("utf-8"))
    assert document["factors"][0]["request"]["regular"] == "rank(close)"
    assert document["factors"][0]["request"]["settings"]["delay"] == 1
    assert [left["formula"] for left in document["left_out"]] == ["MOD(CLOSE, 3)"]
    ff.export(["TS_MEAN(CLOSE, 5)"], "qlib", data, names=["mean"])
    document = json.loads(data.read_text("utf-8"))
    assert (document["fields"], document["names"]) == (["Mean($close, 5)"], ["mean"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"to": "qlb"}, ConfigError, r"did you mean qlib\?"),
        ({"to": "brain", "settings": {"delays": 1}}, ConfigError, "did you mean delay"),
        ({"to": "brain", "settings": {"delay": 2}}, ConfigError, "setting delay: .* not 2"),
        ({"to": "qlib", "settings": {"delay": 1}}, ConfigError, "settings are BRAIN's"),
        ({"to": "csv", "fields": {"A": "b"}}, ConfigError, "fields are names in another"),
        ({"to": "qlib", "output": "a.csv"}, OutputError, r"must end in \.txt, \.json"),
        ({"to": "csv"}, DataError, "give the data"),
        ({"to": "brain", "names": ["a", "b"]}, ConfigError, "1 factors and 2 names"),
    ],
)
def test_wrong_use(options: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ff.export("CLOSE", **options)  # type: ignore[arg-type]


def test_nothing_to_export_and_twice_the_same() -> None:
    with pytest.raises(DataError, match="there is no factor"):
        ff.export([], "qlib")
    with pytest.raises(DataError, match="two factors are called 'CLOSE'"):
        ff.export(["CLOSE", "close"], "qlib")
    with pytest.raises(DataError, match="a Factor, an Alpha or a text"):
        ff.export([3], "qlib")


def test_constants_and_depth() -> None:
    assert write(ff.compile("CLOSE * 1e-7").node, QLIB).text == "$close * 1e-7"
    assert write(ff.compile("IS_NAN(CLOSE) ? NAN : CLOSE").node, BRAIN).text == "if_else(is_nan(close), nan, close)"
    assert write(ff.compile("OPEN < CLOSE ? NAN : CLOSE").node, QLIB).cannot == ("NAN: qlib has no missing constant",)
    long = "CLOSE"
    for d in range(2, 14):
        long = f"TS_ZSCORE({long}, {d})"
    assert "characters, at most" in write(ff.compile(long).node, QLIB).cannot[0]


def test_windows_with_missing_days_are_said_where_the_formula_has_values_there_too() -> None:
    (item,) = ff.export("TS_RANK(VOLUME, 20, min_periods=1)", "brain").translations
    assert (item.text, item.meaning) == ("(ts_rank(volume, 20) * 19 + 1) / 20", "same")
    assert item.differs == (
        "windows: TS_RANK: the factor that turns BRAIN's number into ours is of all days of the window",
    )
    (item,) = ff.export("TS_MEAN(VOLUME, 20, min_periods=1)", "brain").translations
    assert (item.meaning, item.differs) == ("same", ())


def test_a_text_of_that_language_stays_as_it_is() -> None:
    alpha = ff.compile("Corr($close,\n  $volume, 5)", dialect="qlib")
    (item,) = ff.export(alpha, "qlib").translations
    assert (item.text, item.meaning, item.differs) == ("Corr($close, $volume, 5)", "same", ())


def test_published_libraries_never_read_back_as_another_formula() -> None:
    from fama_fast.library.alpha101 import alpha101

    alphas = {a.canonical: a for a in (ff.compile(t, dialect="alpha101") for t in alpha101().values())}
    said = {"brain": 0, "qlib": 0}
    for to in said:
        for item in ff.export(list(alphas.values()), to).translations:  # type: ignore[arg-type]
            assert not any("another formula" in reason or "would not read" in reason for reason in item.cannot), item
            assert item.cannot or item.said
            said[to] += item.said
    assert said["brain"] == len(alphas)
    assert said["qlib"] >= 20
