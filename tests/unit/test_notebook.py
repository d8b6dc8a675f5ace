"""How objects show themselves: one short line each, and HTML that is escaped, self-contained and well formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import notebook_html as html
from fama_fast.data import SimulationSpec, simulate
from fama_fast.library.factor import Factor

EVIL = "<script>alert('x')</script>&\""


def markup(obj: Any) -> ET.Element:
    """The HTML of an object, parsed: it must be well formed, run nothing and load nothing."""
    text = obj if isinstance(obj, str) else obj._repr_html_()
    assert "<script" not in text.lower()
    assert "http" not in text
    assert "url(" not in text
    assert not re.search(r"\son\w+=", text)
    return ET.fromstring(text.replace("&nbsp;", " "))


def words(obj: Any) -> str:
    return " ".join(" ".join(markup(obj).itertext()).split())


@pytest.fixture(scope="module")
def panel() -> ff.Panel:
    return simulate(SimulationSpec(n_symbols=12, n_dates=60, seed=1, late_listing=0.3))


def test_a_panel(panel: ff.Panel) -> None:
    assert repr(panel).startswith("Panel(60 dates x 12 symbols, ")
    assert "\n" not in repr(panel)
    said = words(panel)
    for part in ("60, 2015-01-01 to", "12: SIM0001", "CLOSE", "median", "symbols in the data, by date"):
        assert part in said
    close = panel["CLOSE"]
    assert f"{np.isfinite(close).mean():.1%} {np.nanmedian(close):,.2f} {np.nanmin(close):,.2f}" in said
    assert len(markup(panel).findall(".//path")) == 1
    assert "RET derived" in said


def test_a_panel_of_odd_names_and_nothing_in_it() -> None:
    days = np.datetime64("2020-01-01") + np.arange(2)
    codes = ff.GroupField(np.zeros((2, 2)), (EVIL,))
    odd = ff.Panel(days, [EVIL, "b"], {"CLOSE": np.full((2, 2), np.nan)}, groups={"SECTOR": codes}, source=EVIL)
    odd.warnings = (EVIL,)
    assert EVIL in "".join(markup(odd).itertext())
    assert "universe" in words(odd.replace(universe=np.ones((2, 2), dtype=bool)))
    assert ff.Panel(days, ["a"], {})._repr_html_()
    assert repr(codes) == f"GroupField(2 dates x 2 symbols, labels {EVIL})"
    one = ff.Panel(days[:1], ["a"], {"CLOSE": [[1.0]]})
    assert len(markup(one).findall(".//path")) == 1


def test_a_large_panel_shows_a_sample(monkeypatch: pytest.MonkeyPatch, panel: ff.Panel) -> None:
    from fama_fast.panel import card

    monkeypatch.setattr(card, "_CELLS", 100)
    monkeypatch.setattr(card, "_FIELDS", 2)
    said = words(panel)
    assert "figures of every 8th date" in said
    assert f"and {len(panel.supplied_fields) - 2} more" in said


def test_an_alpha() -> None:
    alpha = ff.compile("RANK(DELTA(CLOSE, 5)) * -1")
    assert repr(alpha) == "Alpha('RANK(DELTA(CLOSE, 5)) * -1')"
    said = words(alpha)
    assert f"Alpha {alpha.canonical} fields CLOSE looks back {alpha.lookback} rows" in said
    assert alpha.canonical in said
    assert f"as written (fama) {alpha.text}" in said
    qlib = ff.compile("Mean($close, 5)", dialect="qlib")
    assert repr(qlib) == "Alpha('Mean($close, 5)', dialect='qlib')"
    assert "as written (qlib) Mean($close, 5)" in words(qlib)
    assert "as written" not in words(ff.compile(alpha.canonical))
    compared = ff.compile("IF(CLOSE < OPEN && CLOSE > 1, 1, 0)")
    assert compared.canonical in words(compared)
    mixed = ff.compile("CLOSE + VOLUME")
    assert mixed.warnings[0] in words(mixed)
    long = ff.compile(" + ".join(["CLOSE"] * 60))
    assert len(repr(long)) < 130


def test_factors() -> None:
    def factor(text: str, train: float | None, idea: str = "") -> Factor:
        alpha = ff.compile(text)
        scores = {} if train is None else {"train": {"rank_ic": train}, "valid": {"rank_ic": train / 2}}
        return Factor(text, alpha.canonical, alpha.fingerprint, scores, idea)

    none = ff.FactorSet()
    assert repr(none) == "FactorSet(0 factors)"
    assert words(none) == "FactorSet(0 factors)"
    plain = ff.FactorSet([factor("RANK(CLOSE)", None)])
    assert repr(plain) == "FactorSet(1 factor)"
    assert "RankIC" not in words(plain)
    assert "idea" not in words(plain)
    assert repr(plain[0]) == "Factor('RANK(CLOSE)')"
    scored = ff.FactorSet([factor("RANK(CLOSE)", 0.0312, EVIL), factor("CLOSE < OPEN", -0.01)])
    assert repr(scored[0]) == "Factor('RANK(CLOSE)', train +0.0312)"
    said = words(scored)
    assert "RankIC, train RankIC, valid" in said
    assert "+0.0312 +0.0156" in said
    assert EVIL in "".join(markup(scored).itertext())
    many = ff.FactorSet(factor(f"DELAY(CLOSE, {d})", 0.01) for d in range(1, 61))
    assert "and 10 more" in words(many)
    assert len(markup(many).findall(".//tbody/tr")) == 50


def test_lines() -> None:
    drawn = markup(html.lines({"a": [1.0, np.nan, 3.0, 2.0]}, EVIL))
    path = drawn.find(".//path")
    assert path is not None
    assert path.attrib["d"].count("M") == 2
    assert path.attrib["d"].count("L") == 1
    svg = drawn.find(".//svg")
    assert svg is not None
    assert svg.attrib["aria-label"] == f"{EVIL} (1 to 3)"
    assert not html.lines({}, "x")
    assert not html.lines({"a": [np.nan, np.inf], "b": []}, "x")
    assert markup(html.lines({"a": [5.0]}, "one point")) is not None
    two = html.lines({EVIL: [1.0, 2.0], "b": [2.0]}, "two")
    assert EVIL in "".join(markup(two).itertext())
    long = markup(html.lines({"a": np.arange(100_001.0).tolist()}, "long")).find(".//path")
    assert long is not None
    assert len(long.attrib["d"]) < 12_000
    assert long.attrib["d"].endswith(" 3.0"), "the last value is drawn"
    assert len(markup(html.lines({str(i): [1.0, 2.0] for i in range(20)}, "many")).findall(".//path")) == 8


def test_public_names_alone_are_listed() -> None:
    assert [name for name in dir(ff) if name.startswith("_")] == ["__version__"]
    assert set(dir(ff)) == set(ff.__all__)
