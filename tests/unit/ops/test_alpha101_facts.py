"""What each of the 101 formulas needs, and how much of the S&P 500 it covers."""

from __future__ import annotations

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.data.join import symbol_columns
from fama_fast.errors import UnknownName
from fama_fast.ir import postorder
from fama_fast.lang import to_text
from fama_fast.library import alpha101_facts
from fama_fast.library.alpha101 import SPARSE
from tests.support.paths import MARKET

DATA = MARKET
RAW = {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "CAP"}
# Whose formula is the min or max of two series.
OF_TWO = {71: "max", 73: "max", 76: "max", 77: "min", 82: "min", 87: "max", 88: "min", 92: "min", 96: "max"}


def test_needs_without_data() -> None:
    facts = alpha101_facts()
    assert [f.number for f in facts] == list(range(1, 102))
    assert all(set(f.fields) <= RAW and f.fields and f.coverage is None and not f.lacking for f in facts)
    assert {f.number for f in facts if "CAP" in f.fields} == {56}
    assert facts[100].lookback == 0
    assert facts[0].fields == ("CLOSE",)
    by_group = {g: {f.number for f in facts if g in f.groups} for g in ("SECTOR", "INDUSTRY", "SUBINDUSTRY")}
    assert by_group["SUBINDUSTRY"] == {48, 67, 90, 100}
    assert {58, 79} <= by_group["SECTOR"]
    assert {59, 63, 69, 70, 80, 97} <= by_group["INDUSTRY"]


def test_what_the_data_lack_is_named_and_not_computed() -> None:
    panel = simulate(SimulationSpec(n_symbols=6, n_dates=40, seed=1))
    lacking = {f.number: f for f in alpha101_facts(panel) if f.lacking}
    assert lacking[56].lacking == ("CAP",)
    assert lacking[48].lacking == ("SUBINDUSTRY",)
    assert all(f.coverage is None for f in lacking.values())


def test_a_level_that_the_data_lack_is_lent() -> None:
    text = ff.alpha101(48)
    with pytest.raises(UnknownName, match="to lend it one") as caught:
        ff.compile(text, dialect="alpha101", groups=["SECTOR", "INDUSTRY"])
    assert "'SUBINDUSTRY': panel.group('INDUSTRY')" in str(caught.value)
    assert caught.value.suggestion == "INDUSTRY"
    ff.compile(text, dialect="alpha101", groups=["SECTOR", "INDUSTRY", "SUBINDUSTRY"])


def test_max_and_min_of_two_series_take_the_present_side() -> None:
    nan = np.nan
    panel = ff.Panel(
        np.datetime64("2024-01-02") + np.arange(2),
        ["A", "B", "C", "D"],
        {"OPEN": [[1.0, nan, 3.0, nan], [5.0, 6.0, nan, -1.0]], "CLOSE": [[2.0, 4.0, nan, nan], [5.0, -6.0, 0.0, nan]]},
    )

    def rows(text: str, dialect: str) -> list[list[float]]:
        values: list[list[float]] = ff.compile(text, dialect=dialect).evaluate(panel).tolist()
        return values

    larger = [[2.0, 4.0, 3.0, nan], [5.0, 6.0, 0.0, -1.0]]
    smaller = [[1.0, 4.0, 3.0, nan], [5.0, -6.0, 0.0, -1.0]]
    np.testing.assert_array_equal(rows("max(open, close)", "alpha101"), larger)
    np.testing.assert_array_equal(rows("min(close, open)", "alpha101"), smaller)
    np.testing.assert_array_equal(rows("FMAX(OPEN, CLOSE)", "fama"), larger)
    np.testing.assert_array_equal(rows("MAX(OPEN, CLOSE)", "fama"), [[2.0, nan, nan, nan], [5.0, 6.0, nan, nan]])
    np.testing.assert_array_equal(rows("MIN(OPEN, CLOSE)", "fama"), [[1.0, nan, nan, nan], [5.0, -6.0, nan, nan]])
    # A number is no series, and from 1 on it is a window.
    np.testing.assert_array_equal(rows("max(close, 0.5)", "alpha101"), [[2.0, 4.0, nan, nan], [5.0, 0.5, 0.5, nan]])
    np.testing.assert_array_equal(rows("max(close, 1)", "alpha101"), rows("close", "alpha101"))


def test_canonical_text_of_the_present_side_reads_back_in_our_dialect() -> None:
    for n, text in ff.alpha101().items():
        alpha = ff.compile(text, dialect="alpha101")
        inside = {node.op for node in postorder(alpha.node)}
        assert inside & {"FMIN", "FMAX"} == ({f"F{OF_TWO[n].upper()}"} if n in OF_TWO else set()), n
        assert not inside & {"MIN", "MAX"}, n
        assert ff.compile(alpha.canonical).node is alpha.node, n


def test_the_formulas_of_two_series_are_numpys_fmax_and_fmin_of_their_sides() -> None:
    panel = simulate(SimulationSpec(n_symbols=40, n_dates=400, seed=2, missing=0.02))
    panel = panel.replace(groups={"SUBINDUSTRY": panel.group("INDUSTRY")})
    for n, name in OF_TWO.items():
        node = ff.compile(ff.alpha101(n), dialect="alpha101").node
        sign = -1.0 if node.op == "NEG" else 1.0
        (two,) = node.args if node.op == "NEG" else (node,)
        whole, *sides = ff.evaluate([ff.Alpha(to_text(x), "fama", x) for x in (node, *two.args)], panel)
        pick = np.fmax if name == "max" else np.fmin
        np.testing.assert_array_equal(whole, sign * pick(*sides), err_msg=str(n))


@pytest.mark.market_data
@pytest.mark.skipif(not (DATA / "sp500_2013_2018.parquet").is_file(), reason=f"no market data in {DATA}")
def test_coverage_on_the_sp500() -> None:
    sectors = DATA / "sp500_sectors.csv"
    panel = ff.load_market_data(DATA / "sp500_2013_2018.parquet", groups=sectors, start="2015-06-01", end="2017-12-31")
    _, caps, _ = symbol_columns(panel, [sectors], fields={"CAP": "market_cap"})
    panel = panel.replace(groups={"SUBINDUSTRY": panel.group("INDUSTRY")}, fields=caps)
    facts = alpha101_facts(panel)
    assert not any(f.lacking for f in facts)
    coverage = {f.number: f.coverage or 0.0 for f in facts}
    assert {n for n, c in coverage.items() if c < 0.75} == set(SPARSE) == {f.number for f in facts if f.note}
    assert {n for n, c in coverage.items() if c < 0.85} <= {15, *SPARSE}
    assert all(coverage[n] > 0.99 for n in OF_TWO if n not in SPARSE)
    assert coverage[96] > 0.5
    # With half of each window nothing is missing for its own sake.
    assert all((f.relaxed_coverage or 0.0) > (0.4 if f.number in SPARSE else 0.85) for f in facts)
