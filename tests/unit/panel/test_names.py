"""Names that people have for columns are read as they are; what is not clear is asked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import fama_fast as ff
from fama_fast.cli.app import build_app
from fama_fast.data import quality_report
from fama_fast.errors import ConfigError, DataError, UnknownName
from fama_fast.panel import Panel, names
from fama_fast.panel.columns import MARKET_FIELDS
from fama_fast.types import STANDARD_GROUPS

DAYS = [dt.date(2020, 1, 2), dt.date(2020, 1, 3)]
BAR = {"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": 100.0}


def bars(**names: str) -> pl.DataFrame:
    """Two days of two symbols; `names` are the columns' other names."""
    rows = [
        {"date": d, "symbol": s, **{k: v + i + 10 * j for k, v in BAR.items()}}
        for i, d in enumerate(DAYS)
        for j, s in enumerate(("000001", "600000"))
    ]
    return pl.DataFrame(rows).rename(names)


PLAIN_HASH = Panel.from_frame(bars()).data_hash

LAYOUTS: dict[str, dict[str, str]] = {
    "Tushare": {"date": "trade_date", "symbol": "ts_code", "volume": "vol"},
    "AkShare": dict(
        zip(
            ["date", "symbol", "open", "high", "low", "close", "volume"],
            ["日期", "股票代码", "开盘", "最高", "最低", "收盘", "成交量"],
            strict=True,
        )
    ),
    "AkShare with units": {"date": "日期", "symbol": "代码", "close": "收盘价(元)", "volume": "成交量(手)"},
    "qlib": {k: f"${k}" for k in BAR} | {"date": "datetime", "symbol": "instrument"},
    "Stooq": {
        "date": "<DATE>",
        "symbol": "<TICKER>",
        "open": "<OPEN>",
        "high": "<HIGH>",
        "low": "<LOW>",
        "close": "<CLOSE>",
        "volume": "<VOL>",
    },
    "Bloomberg": {"open": "PX_OPEN", "high": "PX_HIGH", "low": "PX_LOW", "close": "PX_LAST", "volume": "PX_VOLUME"},
    "CRSP": {
        "symbol": "PERMNO",
        "open": "OPENPRC",
        "high": "ASKHI",
        "low": "BIDLO",
        "close": "PRC",
        "volume": "VOL",
    },
    "CRSP, since 2022": {"date": "DlyCalDt", "symbol": "PERMNO", "close": "DlyPrc", "volume": "DlyVol"},
    "Compustat": {
        "date": "datadate",
        "symbol": "tic",
        "open": "prcod",
        "high": "prchd",
        "low": "prcld",
        "close": "prccd",
        "volume": "cshtrd",
    },
    "RiceQuant": {"symbol": "order_book_id"},
    "JoinQuant": {"date": "time", "symbol": "code"},
    "Wind": {"date": "TRADE_DT", "symbol": "S_INFO_WINDCODE", "close": "S_DQ_CLOSE", "volume": "S_DQ_VOLUME"},
    "CSMAR": {"date": "Trddt", "symbol": "Stkcd", "close": "Clsprc", "volume": "Dnshrtrd"},
    "polygon": {"date": "t", "symbol": "T", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"},
    "Alpha Vantage": {
        "date": "timestamp",
        "open": "1. open",
        "high": "2. high",
        "low": "3. low",
        "close": "4. close",
        "volume": "5. volume",
    },
    "Binance": {"date": "Open time"},
    "Nasdaq": {"close": "Close/Last"},
    "investing.com": {"close": "Price", "volume": "Vol."},
    "pandas, index without a name": {"date": "Unnamed: 0"},
    "pandas, index in Parquet": {"date": "__index_level_0__"},
    "KRX": {"date": "날짜", "close": "종가", "volume": "거래량"},
    "German": {"date": "Datum", "open": "Eröffnung", "close": "Schluss", "volume": "Volumen"},
    "Kaggle": {"symbol": "Name"},
}


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("how", ["frame", "csv", "parquet", "parts"])
def test_names_of_a_source_are_the_data(source: str, how: str, tmp_path: Path) -> None:
    frame = bars(**LAYOUTS[source])
    if how == "frame":
        found = Panel.from_frame(frame)
    elif how == "csv":
        frame.write_csv(tmp_path / "p.csv")
        found = ff.load_market_data(tmp_path / "p.csv")
    else:
        frame.write_parquet(tmp_path / "p.parquet")
        scanned = ff.scan_market_data if how == "parts" else ff.load_market_data
        found = scanned(tmp_path / "p.parquet")
    assert found.data_hash == PLAIN_HASH
    assert found.supplied_fields == ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")


def test_the_table_is_sound() -> None:
    for column, name in names.FIELD_ALIASES.items():
        assert names.plain(column) == column
        assert names.field_name(name) == name
        assert column not in names.DATE_NAMES + names.SYMBOL_NAMES
    # A name that is a field's own is nobody else's.
    own = {f.lower() for f in (*MARKET_FIELDS, *STANDARD_GROUPS)}
    assert not own & set(names.FIELD_ALIASES)
    assert names.DATE_NAMES[0] == "date"
    assert names.SYMBOL_NAMES[0] == "symbol"


def test_what_is_no_other_name_keeps_its_own() -> None:
    # Percents and thousands stay what they are: PCT_CHG is no RET, and returns may be of any kind.
    frame = bars().with_columns(pct_chg=1.0, pre_close=2.0, returns=0.1, amount=5.0, money=6.0, close1=1.0)
    panel = Panel.from_frame(frame)
    assert panel.supplied_fields[5:] == ("PCT_CHG", "PRE_CLOSE", "RETURNS", "AMOUNT", "MONEY", "CLOSE1")


def test_the_exact_name_wins_and_the_other_keeps_its_own() -> None:
    panel = Panel.from_frame(bars().with_columns(vol=7.0, px_last=8.0, 收盘=9.0))
    assert panel["VOLUME"][0, 0] == 100.0
    assert panel["VOL"][0, 0] == 7.0
    assert panel["PX_LAST"][0, 0] == 8.0
    assert any("'收盘' is not used" in w and "--columns" in w for w in panel.warnings)


def test_two_other_names_are_a_question() -> None:
    frame = bars(close="px_last").with_columns(prc=1.0)
    with pytest.raises(DataError, match=r"which column is CLOSE, 'px_last' or 'prc'\?.*--columns close=px_last"):
        Panel.from_frame(frame)
    panel = Panel.from_frame(frame, columns={"close": "px_last"})
    assert panel["CLOSE"][0, 0] == 2.0
    assert panel["PRC"][0, 0] == 1.0


def test_an_expression_with_the_other_name_is_told_the_right_one() -> None:
    panel = Panel.from_frame(bars(volume="vol", close="px_last"))
    for text, meant in (("RANK(VOL)", "VOLUME"), ("RANK(PX_LAST)", "CLOSE"), ("vol * 2", "VOLUME")):
        with pytest.raises(UnknownName) as caught:
            ff.score([text], panel)
        assert caught.value.suggestion == meant
    with pytest.raises(UnknownName) as caught:
        Panel.from_frame(bars(volume="vol"), fields=["vol"])
    assert caught.value.suggestion == "VOLUME"


def test_rows_numbers_and_identifiers_are_no_fields() -> None:
    frame = bars(symbol="PERMNO").with_columns(
        **{"Unnamed: 0": 1, "index": 2, "": 3, "PERMCO": 7, "CUSIP": pl.lit("0378"), "TICKER": pl.lit("X"), "t": 1.0}
    )
    panel = Panel.from_frame(frame)
    assert panel.supplied_fields == ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "T")
    assert panel.groups == ()
    assert panel.symbols.tolist() == ["000001", "600000"]
    assert "PERMCO" in Panel.from_frame(frame, fields=["PERMCO"]).fields
    # Row numbers are no dates either.
    with pytest.raises(DataError, match=r"no date column 'date'"):
        Panel.from_frame(bars(date="day_of").rename({"day_of": "when"}).with_columns(index=pl.lit(3)))


# --columns


def test_columns_name_fields_groups_keys_and_the_universe() -> None:
    frame = bars(date="d", symbol="s", close="x1", volume="5 d").with_columns(
        板块=pl.lit("bank"), in_=pl.Series([True, False, True, True]), close=9.0
    )
    columns = {"date": "D", "symbol": "s", "close": "X1", "volume": "5 d", "sector": "板块", "universe": "in_"}
    panel = Panel.from_frame(frame, columns=columns)
    assert panel["CLOSE"][0, 0] == 2.0
    assert panel["VOLUME"][0, 0] == 100.0
    assert panel.group("SECTOR").labels == ("bank",)
    assert panel.universe is not None
    assert panel.universe.sum() == 3
    # The column that had the name by itself is left out, and that is said.
    assert "column 'close' is not used: CLOSE is 'x1', as asked for" in panel.warnings


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"close": "px_lst"}, DataError, r"no close column 'px_lst'.*did you mean 'px_last'"),
        ({"date": "dat"}, DataError, r"no date column 'dat'.*did you mean 'date'"),
        ({"universe": "inn"}, DataError, r"no universe column 'inn'"),
        ({"5d": "open"}, ConfigError, r"'5d' cannot be a field's name"),
    ],
)
def test_columns_that_are_not_there(columns: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Panel.from_frame(bars(close="px_last"), columns=columns)


def test_columns_on_every_command(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    days = [dt.date(2020, 1, 1) + dt.timedelta(d) for d in range(40)]
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"d": [d for d in days for _ in range(12)], "s": [f"S{i}" for i in range(12)] * 40})
    frame.with_columns(a=rng.random(480) + 5, b=rng.random(480)).write_parquet(path)
    columns = ["--columns", "date=d,symbol=s,close=a,volume=b"]
    runner = CliRunner()
    for command in (
        ["score", "RANK(VOLUME)", "--data", str(path)],
        ["score", "RANK(VOLUME)", "--data", str(path), "--memory-budget", "1GB"],
        ["compute", "RANK(VOLUME)", "--data", str(path), "--output", str(tmp_path / "v.parquet")],
        ["check", "RANK(VOLUME)", "--data", str(path)],
        ["data", "check", str(path)],
        ["data", "describe", str(path)],
    ):
        done = runner.invoke(build_app(), [*command, *columns])
        assert done.exit_code == 0, (command, done.output)
    wrong = runner.invoke(
        build_app(), ["score", "RANK(VOLUME)", "--data", str(path), "--columns", "date=d,symbol=s,close=aa"]
    )
    assert isinstance(wrong.exception, DataError)
    assert "no close column 'aa'" in str(wrong.exception)


def test_columns_in_membership_and_group_files(tmp_path: Path) -> None:
    bars(symbol="stk_code", close="px").write_parquet(tmp_path / "p.parquet")
    (tmp_path / "m.csv").write_text("stk_code,start,end\n000001,2020-01-03,\n", encoding="utf-8")
    (tmp_path / "g.csv").write_text("stk_code,GICS Sector,branche,web\n 000001 ,IT,a,x\n600000,Banks,N/A,y\n")
    options: dict[str, Any] = {
        "universe": tmp_path / "m.csv",
        "groups": tmp_path / "g.csv",
        "columns": {"symbol": "stk_code", "close": "px", "industry": "branche"},
    }
    for load in (ff.load_market_data, ff.scan_market_data):
        found = load(tmp_path / "p.parquet", **options)
        panel = found if isinstance(found, Panel) else found.panel()
        assert panel.groups == ("SECTOR", "INDUSTRY", "WEB")
        assert panel.group("INDUSTRY").labels == ("a",)
        assert panel.universe is not None
        np.testing.assert_array_equal(panel.universe, [[False, False], [True, False]])


def test_the_simulator_has_no_columns_to_name() -> None:
    with pytest.raises(ConfigError, match="columns says how files are read"):
        ff.load_market_data(None, columns={"close": "px"})
    with pytest.raises(ConfigError, match="adjusted says how files are read"):
        ff.load_market_data(None, adjusted=True)


# Adjusted prices


def adjusted_bars() -> pl.DataFrame:
    """The first day's prices are halved by a split on the second."""
    half = pl.when(pl.col("date") == DAYS[0]).then(0.5).otherwise(1.0)
    return bars().with_columns((pl.col("close") * half).alias("Adj Close"), vwap=pl.col("close"), ret=0.25)


@pytest.mark.parametrize("how", ["memory", "parts"])
def test_adjusted_prices(how: str, tmp_path: Path) -> None:
    adjusted_bars().write_parquet(tmp_path / "p.parquet")

    def load(**options: Any) -> Panel:
        if how == "parts":
            return ff.scan_market_data(tmp_path / "p.parquet", **options).panel()
        return ff.load_market_data(tmp_path / "p.parquet", **options)

    raw, panel = load(), load(adjusted=True)
    assert "ADJ_CLOSE" in raw.supplied_fields
    assert any("adjusted close found ('Adj Close'); --adjusted uses it" in w for w in raw.warnings)
    assert raw.data_hash != panel.data_hash
    assert panel.supplied_fields == ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET")
    np.testing.assert_array_equal(panel["CLOSE"], [[1.0, 6.0], [3.0, 13.0]])
    for field in ("OPEN", "HIGH", "LOW", "VWAP"):
        np.testing.assert_allclose(panel[field][0], raw[field][0] / 2, rtol=1e-15)
        np.testing.assert_array_equal(panel[field][1], raw[field][1])
    for field in ("VOLUME", "RET"):
        np.testing.assert_array_equal(panel[field], raw[field])
    said = "OPEN, HIGH, LOW, CLOSE, VWAP are adjusted by 'Adj Close'; VOLUME, RET stay as in the data"
    assert said in panel.warnings
    labels = ff.forward_returns(panel, horizon=1, entry_lag=0)
    np.testing.assert_allclose(labels[0], [2.0, 13 / 6 - 1])
    # RET follows from the adjusted close where the data have none of their own.
    only = load(adjusted=True, fields=["RET", "CLOSE"] if how == "memory" else ["CLOSE"])
    np.testing.assert_array_equal(only["CLOSE"], panel["CLOSE"])


def test_adjusted_data_in_parts_are_those_in_memory(tmp_path: Path) -> None:
    adjusted_bars().drop("ret").write_parquet(tmp_path / "p.parquet")
    for options in ({"adjusted": True}, {"adjusted": True, "dtype": "float32"}, {"adjusted": True, "fields": ["HIGH"]}):
        memory = ff.load_market_data(tmp_path / "p.parquet", **options)
        parts = ff.scan_market_data(tmp_path / "p.parquet", **options)
        assert parts.data_hash == memory.data_hash
        assert parts.panel().warnings == memory.warnings
        np.testing.assert_array_equal(parts.panel()["HIGH"], memory["HIGH"])


def test_adjusted_by_a_factor_and_other_names() -> None:
    factor = bars().with_columns(adj_factor=pl.when(pl.col("date") == DAYS[0]).then(2.0).otherwise(3.0))
    panel = Panel.from_frame(factor, adjusted=True)
    np.testing.assert_array_equal(panel["CLOSE"], [[4.0, 24.0], [9.0, 39.0]])
    np.testing.assert_array_equal(panel["VOLUME"], Panel.from_frame(bars())["VOLUME"])
    named = bars().with_columns(tr=pl.col("close") * 2)
    np.testing.assert_array_equal(
        Panel.from_frame(named, adjusted=True, columns={"adj_close": "tr"})["HIGH"],
        Panel.from_frame(bars())["HIGH"] * 2,
    )
    # An adjusted close alone is the close; where it is missing or senseless, so are the prices.
    alone = bars(close="Adj Close").drop("open", "high", "low")
    np.testing.assert_array_equal(Panel.from_frame(alone, adjusted=True)["CLOSE"], Panel.from_frame(bars())["CLOSE"])
    holes = bars().with_columns(pl.Series("Adj Close", [None, 6.0, -3.0, 13.0]))
    assert np.isnan(Panel.from_frame(holes, adjusted=True)["HIGH"][:, 0]).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (bars(), r"no adjusted close to use .*--columns adj_close=COLUMN"),
        (
            bars().with_columns(pl.lit(1.0).alias("$factor")),
            r"'\$factor' may be in the prices already.*leave --adjusted out",
        ),
        (bars(close="Adj Close"), r"OPEN, HIGH, LOW cannot be adjusted"),
        (bars().with_columns(adj_close=pl.lit("x")), r"no adjusted close|'adj_close' holds text"),
    ],
)
def test_nothing_to_adjust_by(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Panel.from_frame(frame, adjusted=True)


def test_the_quality_report_sees_adjusted_prices() -> None:
    frame = adjusted_bars()
    assert quality_report(frame, adjusted=True).fields == ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "RET")
    assert quality_report(frame).count("notes") == 1
    # The split is a jump only in raw prices.
    assert quality_report(frame, jump=2.5).count("jumps") == 0
