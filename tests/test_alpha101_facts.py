"""What each of the 101 formulas needs, and how much of the S&P 500 it covers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.data.join import symbol_columns
from fama_fast.errors import UnknownName
from fama_fast.library import alpha101_facts
from fama_fast.library.alpha101 import SPARSE

DATA = Path(os.environ.get("FAMA_DATA", Path(__file__).parents[2] / "shared" / "data"))
RAW = {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "CAP"}


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
    assert {n for n, c in coverage.items() if c < 0.5} == set(SPARSE) == {f.number for f in facts if f.note}
    assert {n for n, c in coverage.items() if c < 0.85} <= {15, 71, 88, 92, *SPARSE}
    # With half of each window nothing is missing for its own sake.
    assert all((f.relaxed_coverage or 0.0) > (0.4 if f.number in SPARSE else 0.85) for f in facts)
