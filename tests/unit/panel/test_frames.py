"""Market data in memory: long frames of polars and pandas, dicts of wide ones."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, quality_report, scan_market_data, simulate, to_frame
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel import Panel

FIELDS = ("close", "volume")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    market = to_frame(simulate(SimulationSpec(n_symbols=9, n_dates=40, seed=5, late_listing=0.3, missing=0.03)))
    return market.select("date", "symbol", *FIELDS)


@pytest.fixture(scope="module")
def panel(frame: pl.DataFrame) -> Panel:
    return Panel.from_frame(frame)


def wide(frame: pl.DataFrame, field: str) -> pl.DataFrame:
    return frame.pivot(on="symbol", index="date", values=field)


def test_long_frames(frame: pl.DataFrame, panel: Panel) -> None:
    plain = frame.to_pandas()
    for data in (frame, frame.lazy(), plain, plain.set_index(["date", "symbol"]), plain.set_index("date")):
        found = ff.load_market_data(data)
        assert found.data_hash == panel.data_hash
        assert found.source == "frame"
        assert quality_report(data).n_rows == frame.height
    renamed = frame.rename({"date": "when", "symbol": "who", "close": "px"})
    found = ff.load_market_data(renamed, date="when", symbol="who", columns={"close": "px"})
    assert found.data_hash == panel.data_hash
    # As qlib's own reader gives it.
    index = plain.rename(columns={"date": "datetime", "symbol": "instrument", "close": "$close", "volume": "$volume"})
    assert ff.load_market_data(index.set_index(["instrument", "datetime"])).data_hash == panel.data_hash


def test_dicts_of_wide_frames(frame: pl.DataFrame, panel: Panel) -> None:
    polars = {f: wide(frame, f) for f in FIELDS}
    named = {f: t.to_pandas().set_index("date") for f, t in polars.items()}
    unnamed = {f: t.rename_axis(None) for f, t in named.items()}
    mixed = {"close": polars["close"].lazy(), "volume": named["volume"]}
    for data in (polars, named, unnamed, mixed, {f: t.to_pandas() for f, t in polars.items()}):
        found = ff.load_market_data(data)
        assert found.data_hash == panel.data_hash
        assert found.layout == "wide tables: close, volume"
    assert ff.load_market_data(
        {"px": polars["close"], "volume": polars["volume"]}, columns={"close": "px"}
    ).data_hash == (panel.data_hash)
    cut = ff.load_market_data(polars, start=frame["date"].min(), fields=["CLOSE"])
    assert cut.supplied_fields == ("CLOSE",)


@pytest.mark.parametrize("order", [("field", "symbol"), ("symbol", "field")])
def test_columns_in_two_levels(frame: pl.DataFrame, panel: Panel, order: tuple[str, str]) -> None:
    """As yfinance gives several tickers."""
    long = frame.rename({"close": "Close", "volume": "Volume"}).unpivot(index=["date", "symbol"], variable_name="field")
    table = long.to_pandas().pivot(index="date", columns=list(order), values="value")
    assert isinstance(table.columns, pd.MultiIndex)
    assert ff.load_market_data(table).data_hash == panel.data_hash


def test_symbols_that_are_numbers_become_text(frame: pl.DataFrame) -> None:
    table = pd.DataFrame({600000: [1.0, 2.0], 1: [3.0, 4.0]}, index=pd.to_datetime(["2020-01-02", "2020-01-03"]))
    assert ff.load_market_data({"close": table}).symbols.tolist() == ["1", "600000"]


def test_frames_that_are_none(frame: pl.DataFrame) -> None:
    table = wide(frame, "close")
    for data in (table, table.to_pandas().set_index("date")):
        with pytest.raises(DataError, match=r"say which field it holds: \{'close': frame\}"):
            ff.load_market_data(data)
    with pytest.raises(
        DataError,
        match=r"must be a path, a Polars or pandas data frame, an Arrow table, or a dict .*, not list: make a frame",
    ):
        ff.load_market_data([1, 2])  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"close: a wide table must be a Polars or pandas data frame or an Arrow table, .*, not int$"
    ):
        ff.load_market_data({"close": 3})
    with pytest.raises(DataError, match=r"a dict of wide frames holds none"):
        ff.load_market_data({})
    text = pl.DataFrame({"date": ["2020-01-02", "2020-01-03"], "A": ["1", "x"], "B": [1, 2]})
    with pytest.raises(DataError, match=r"volume: column 'A' holds text, not numbers: row 2 is 'x'"):
        ff.load_market_data({"volume": text})
    with pytest.raises(ConfigError, match="only data on disk"):
        scan_market_data(frame)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="two levels"):
        ff.load_market_data(pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", "b")])))
