"""Loading: files or the simulator, membership files, group files; and the long frame written back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fama_fast.data import SimulationSpec, load_market_data, simulate, to_frame, write_frame
from fama_fast.errors import ConfigError, DataError, OutputError, UnknownName
from fama_fast.panel import Panel
from tests.support.paths import MARKET

SPEC = SimulationSpec(n_symbols=6, n_dates=30, seed=3, late_listing=0.0, missing=0.0)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Symbols A, B, C on 2020-01-01..05, with an own sector column."""
    days = [dt.date(2020, 1, d) for d in range(1, 6)]
    frame = pl.DataFrame(
        {"date": [d for d in days for _ in "ABC"], "symbol": list("ABC") * 5, "close": np.arange(15.0) + 1}
    ).with_columns(sector=pl.lit("own"), member=pl.col("symbol") != "C")
    path = tmp_path / "prices.parquet"
    frame.write_parquet(path)
    return path


def text_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_none_is_the_simulator_and_says_so() -> None:
    panel = load_market_data(None, simulation=SPEC)
    assert panel.source == "simulator (seed 3, 6 symbols x 30 days, pure noise)"
    assert panel.data_hash == simulate(SPEC).data_hash
    cut = load_market_data(None, simulation=SPEC, start="2015-01-05", end="2015-01-09")
    assert cut.shape == (5, 6)
    assert cut.source == panel.source
    with pytest.raises(DataError, match=r"no rows between"):
        load_market_data(None, simulation=SPEC, start="2030-01-05")


def test_a_missing_file_is_never_the_simulator(prices: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; did you mean .*prices.parquet"):
        load_market_data(prices.with_name("price.parquet"))
    with pytest.raises(ConfigError, match=r"not both"):
        load_market_data(prices, simulation=SPEC)


def test_membership_spells_start_in_end_out(prices: Path, tmp_path: Path) -> None:
    spells = text_file(
        tmp_path,
        "members.csv",
        "ticker,start_date,end_date\nA,2020-01-02,2020-01-04\nA,2020-01-05,\nB,,20200103\nX,2000-01-01,\n",
    )
    panel = load_market_data(prices, universe=spells)
    assert panel.universe is not None
    expected = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(panel.universe, expected)
    assert "1 symbols are not in members.csv and never members: C" in panel.warnings
    # The file wins over the data's own column, which is used otherwise.
    own = load_market_data(prices, universe="member").universe
    assert own is not None
    np.testing.assert_array_equal(own, np.tile([True, True, False], (5, 1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,start,end\nA,2020-02-01,2020-01-01\n", "row 1: A ends .2020-01-01. before it starts"),
        ("symbol,start,end\nA,someday,\n", "'start', row 1: 'someday' is not a date"),
        ("symbol,start,end\nB,2020-01-01,\nA,2020-01-01,someday\n", "'end', row 2: 'someday' is not a date"),
        ("symbol,start,end\nZZ,2020-01-01,\n", "no symbol of the data"),
        ("symbol,begin,end\nA,2020-01-01,\n", "no start column 'start'"),
    ],
)
def test_membership_files_that_cannot_be_used(prices: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_market_data(prices, universe=text_file(tmp_path, "m.csv", text))


def test_membership_file_missing(prices: Path) -> None:
    with pytest.raises(DataError, match=r"no such file"):
        load_market_data(prices, universe="nothing.csv")
    with pytest.raises(DataError, match=r"no universe column 'nothing'"):
        load_market_data(prices, universe="nothing")


def test_group_file_replaces_and_counts(prices: Path, tmp_path: Path) -> None:
    path = text_file(
        tmp_path, "g.csv", "Symbol,Name,Sector,Industry,market_cap\nB,Bee,tech,chips,10\nA,Ay,tech,,20\nZ,Zed,x,y,1\n"
    )
    panel = load_market_data(prices, groups=path)
    assert panel.groups == ("SECTOR", "INDUSTRY")
    assert panel.supplied_fields == ("CLOSE",)
    assert panel.group("SECTOR").labels == ("tech",)
    np.testing.assert_array_equal(panel.group("SECTOR").codes[3], [0, 0, np.nan])
    np.testing.assert_array_equal(panel.group("INDUSTRY").codes[0], [np.nan, 0, np.nan])
    assert "1 symbols have no SECTOR in g.csv: C" in panel.warnings
    assert "2 symbols have no INDUSTRY in g.csv: A, C" in panel.warnings
    assert "group SECTOR of the data is replaced by the group file's" in panel.warnings


def test_static_fields_only_when_asked_for(prices: Path, tmp_path: Path) -> None:
    path = text_file(tmp_path, "g.csv", "symbol,sector,market_cap\nA,t,20\nB,t,10\n")
    panel = load_market_data(prices, groups=path, static_fields={"CAP": "Market_Cap"})
    np.testing.assert_array_equal(panel["CAP"], np.tile([20, 10, np.nan], (5, 1)))
    assert "MARKET_CAP" in load_market_data(prices, groups=[path], static_fields=["market_cap"])
    with pytest.raises(UnknownName, match=r"no column 'market_capp'") as caught:
        load_market_data(prices, groups=path, static_fields=["market_capp"])
    assert caught.value.suggestion == "market_cap"
    with pytest.raises(ConfigError, match=r"groups="):
        load_market_data(prices, static_fields=["market_cap"])
    with pytest.raises(DataError, match=r"not numbers"):
        load_market_data(prices, groups=path, static_fields=["sector"])


def test_group_fields_chosen(prices: Path, tmp_path: Path) -> None:
    path = text_file(tmp_path, "g.csv", "symbol,industry,exchange\nA,t,N\nB,t,N\nC,u,N\n")
    assert load_market_data(prices, groups=path, group_fields=["INDUSTRY", "sector"]).groups == ("SECTOR", "INDUSTRY")
    assert load_market_data(prices, group_fields=[]).groups == ()
    with pytest.raises(UnknownName, match=r"no group 'SUBINDUSTRY'") as caught:
        load_market_data(prices, groups=path, group_fields=["subindustry"])
    assert caught.value.suggestion == "industry"
    with pytest.raises(UnknownName, match=r"no group 'INDUSTRY'"):
        load_market_data(prices, group_fields=["INDUSTRY"])


def test_group_files_that_disagree(prices: Path, tmp_path: Path) -> None:
    path = text_file(tmp_path, "g.csv", "symbol,sector\nA,t\nB,u\nA,u\n")
    with pytest.raises(DataError, match=r"1 symbol is in more than one row, and the rows differ: A in row 1, row 3"):
        load_market_data(prices, groups=path)
    same = text_file(tmp_path, "h.csv", "symbol,sector\nA,t\nA,t\n")
    assert load_market_data(prices, groups=same).group("SECTOR").labels == ("t",)
    with pytest.raises(DataError, match=r"SECTOR is also in .*h.csv"):
        load_market_data(prices, groups=[same, text_file(tmp_path, "i.csv", "symbol,sector\nB,t\n")])
    with pytest.raises(DataError, match=r"no symbol of the data"):
        load_market_data(prices, groups=text_file(tmp_path, "j.csv", "symbol,sector\nZ,t\n"))


def test_written_frame_reads_back(tmp_path: Path) -> None:
    panel = simulate(SimulationSpec(n_symbols=20, n_dates=60, seed=1, late_listing=0.3, missing=0.05))
    for name in ("a.parquet", "a.csv"):
        write_frame(to_frame(panel), tmp_path / name)
        again = Panel.from_parquet(tmp_path / name)
        assert again.data_hash == panel.data_hash
        assert again.groups == panel.groups
    with pytest.raises(OutputError, match=r"must end in .parquet or .csv"):
        write_frame(to_frame(panel), tmp_path / "a.txt")
    with pytest.raises(OutputError, match=r"does not exist"):
        write_frame(to_frame(panel), tmp_path / "no" / "a.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


@pytest.mark.market_data
def test_real_membership_and_sectors() -> None:
    if not (MARKET / "sp500_2013_2018.parquet").exists():
        pytest.skip(f"no market data at {MARKET}")
    panel = load_market_data(
        MARKET / "sp500_2013_2018.parquet",
        fields=["CLOSE"],
        universe=MARKET / "sp500_membership.csv",
        groups=MARKET / "sp500_sectors.csv",
    )
    assert panel.groups == ("SECTOR", "INDUSTRY")
    assert len(panel.group("SECTOR").labels) == 11
    assert "4 symbols have no INDUSTRY in sp500_sectors.csv: ANDV, BHF, BHGE, DWDP" in panel.warnings
    assert panel.universe is not None
    at = panel.symbols.tolist().index
    # FB joined on 2013-12-23, UA's second class came later; AOS joined on 2017-07-26.
    joined = panel.universe[:, at("AOS")]
    assert panel.dates[int(np.argmax(joined))] == np.datetime64("2017-07-26")
    assert panel.universe[:, at("AAPL")].all()
    # CPRI aside, joiners enter on their day: KHC on 2015-07-06.
    first = panel.dates[int(np.argmax(panel.universe[:, at("KHC")]))]
    assert first == np.datetime64("2015-07-06")
    assert 400 < panel.universe.sum(axis=1).mean() < 506
