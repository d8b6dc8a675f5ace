"""One panel from every kind of data that people hold, and the way back: labelled frames of values."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel import Panel
from fama_fast.panel.source import source_of
from tests.support.paths import ROOT

FORMULA = "RANK(DELTA(CLOSE, 3)) * VOLUME"


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    market = to_frame(simulate(SimulationSpec(n_symbols=9, n_dates=40, seed=5, late_listing=0.3, missing=0.03)))
    sectors = pl.col("symbol").str.slice(-1).cast(pl.Int64) % 3
    return market.select("date", "symbol", "close", "volume", ("S" + sectors.cast(pl.String)).alias("sector"))


@pytest.fixture(scope="module")
def panel(frame: pl.DataFrame) -> Panel:
    return Panel.from_frame(frame)


class Capsule:
    """A table of some other library: it has the PyCapsule interface and nothing else."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._table = frame.to_arrow()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def indexed(frame: pl.DataFrame, order: list[str], names: list[str | None]) -> pd.DataFrame:
    return frame.to_pandas().set_index(order).rename_axis(names)


LONG: dict[str, Any] = {
    "polars": lambda f: f,
    "lazy": lambda f: f.lazy(),
    "shuffled": lambda f: f.sample(fraction=1.0, shuffle=True, seed=3),
    "categorical of polars": lambda f: f.with_columns(pl.col("symbol").cast(pl.Categorical)),
    "stamps with a zone": lambda f: f.with_columns(
        pl.col("date").cast(pl.Datetime("ns")).dt.replace_time_zone("Asia/Shanghai")
    ),
    "arrow": lambda f: f.to_arrow(),
    "arrow of decimals": lambda f: f.to_arrow().append_column(
        "wide", pa.array([None] * f.height, pa.decimal256(50, 3))
    ),
    "record batch": lambda f: f.to_arrow().combine_chunks().to_batches()[0],
    "stream": lambda f: f.to_arrow().to_reader(),
    "capsule": Capsule,
    "pandas": lambda f: f.to_pandas(),
    "pandas with gaps in its row numbers": lambda f: f.to_pandas().sort_values("symbol"),
    "date and symbol": lambda f: indexed(f, ["date", "symbol"], ["date", "symbol"]),
    "symbol and date": lambda f: indexed(f, ["symbol", "date"], ["symbol", "date"]),
    "levels without names": lambda f: indexed(f, ["date", "symbol"], [None, None]),
    "the other way, without names": lambda f: indexed(f, ["symbol", "date"], [None, None]),
    "one level without a name": lambda f: indexed(f, ["date", "symbol"], ["date", None]),
    "the other one": lambda f: indexed(f, ["date", "symbol"], [None, "symbol"]),
    "levels of texts without names": lambda f: indexed(
        f.with_columns(pl.col("date").cast(pl.String)), ["symbol", "date"], [None, None]
    ),
    "dates alone in the index": lambda f: f.to_pandas().set_index("date"),
    "dates alone, without a name": lambda f: f.to_pandas().set_index("date").rename_axis(None),
    "categories of pandas": lambda f: f.to_pandas().astype({"symbol": "category", "sector": "category"}),
    "categories in the index": lambda f: (
        f.to_pandas().astype({"symbol": "category"}).set_index(["symbol", "date"]).rename_axis([None, None])
    ),
    "a zone of pandas": lambda f: f.to_pandas().assign(
        date=lambda t: pd.to_datetime(t["date"]).dt.tz_localize("America/New_York")
    ),
    "dates of Python": lambda f: f.to_pandas().assign(date=f["date"].to_list()),
    "periods": lambda f: f.to_pandas().assign(date=lambda t: pd.to_datetime(t["date"]).dt.to_period("D")),
    "periods in the index": lambda f: (
        f.to_pandas().assign(date=lambda t: pd.to_datetime(t["date"]).dt.to_period("D")).set_index(["date", "symbol"])
    ),
    "nullable types": lambda f: f.to_pandas().convert_dtypes(),
    "pandas on Arrow": lambda f: f.to_pandas().convert_dtypes(dtype_backend="pyarrow"),
    "numbers as objects": lambda f: f.to_pandas().astype({"close": object}),
}


@pytest.mark.parametrize("kind", LONG)
def test_long_frames_of_every_kind_are_one_panel(frame: pl.DataFrame, panel: Panel, kind: str) -> None:
    make = LONG[kind]
    if kind == "arrow of decimals":
        found = ff.load_market_data(make(frame), fields=["CLOSE", "VOLUME"])
        assert found.data_hash == panel.data_hash
        return
    for found in (ff.load_market_data(make(frame)), Panel.from_frame(make(frame)), source_of(make(frame))):
        assert found.data_hash == panel.data_hash
        assert found.groups == ("SECTOR",)
        assert found.dates.dtype == np.dtype("datetime64[D]")
        assert found.source == "frame"
        assert found.warnings == ()
    values = ff.compile(FORMULA).evaluate(panel)
    np.testing.assert_array_equal(ff.compile(FORMULA).evaluate(make(frame)), values)
    np.testing.assert_array_equal(ff.evaluate([FORMULA], make(frame))[0], values)
    np.testing.assert_array_equal(ff.compute_factor_values([FORMULA], make(frame))[FORMULA], values)


WIDE: dict[str, Any] = {
    "polars": lambda t: t,
    "lazy": lambda t: t.lazy(),
    "arrow": lambda t: t.to_arrow(),
    "capsule": Capsule,
    "pandas": lambda t: t.to_pandas().set_index("date"),
    "pandas with names": lambda t: t.to_pandas().set_index("date").rename_axis(columns="symbol"),
    "pandas without names": lambda t: t.to_pandas().set_index("date").rename_axis(None),
    "pandas with dates as a column": lambda t: t.to_pandas(),
    "periods": lambda t: t.to_pandas().set_index("date").to_period("D"),
}


@pytest.mark.parametrize("kind", WIDE)
def test_dicts_of_wide_frames_of_every_kind_are_one_panel(frame: pl.DataFrame, panel: Panel, kind: str) -> None:
    fields = ("close", "volume", "sector")
    made = {f: WIDE[kind](frame.pivot(on="symbol", index="date", values=f)) for f in fields}
    assert ff.load_market_data(made).data_hash == panel.data_hash
    assert Panel.from_frame(made).data_hash == panel.data_hash
    np.testing.assert_array_equal(ff.evaluate([FORMULA], made)[0], ff.evaluate([FORMULA], panel)[0])


def test_a_series_with_a_name_is_a_field(frame: pl.DataFrame) -> None:
    series = frame.to_pandas().set_index(["symbol", "date"])["close"]
    assert (
        ff.load_market_data(series).data_hash == ff.load_market_data(frame.select("date", "symbol", "close")).data_hash
    )
    with pytest.raises(DataError, match=r"a series of one field needs a name .*to_frame"):
        ff.load_market_data(series.rename(None))


def test_paths_and_panels(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    frame.write_parquet(path, row_group_size=50)
    assert Panel.from_frame(path).data_hash == panel.data_hash
    assert Panel.from_frame(str(path)).source == str(path)
    values = ff.evaluate([FORMULA], panel)[0]
    for data in (path, str(path)):
        np.testing.assert_array_equal(ff.evaluate([FORMULA], data)[0], values)
        np.testing.assert_array_equal(ff.compile(FORMULA).evaluate(data), values)
    # With a budget the file is read in parts; the bits are the same.
    np.testing.assert_array_equal(ff.evaluate([FORMULA], path, memory_budget="64MB")[0], values)
    table = ff.score([FORMULA], panel)
    for data in (path, frame, frame.to_pandas(), frame.to_arrow()):
        assert ff.score([FORMULA], data).equals(table)
    assert ff.score([FORMULA], path, memory_budget="64MB").equals(table)
    assert source_of(panel) is panel


def test_content_that_differs_has_another_hash(frame: pl.DataFrame, panel: Panel) -> None:
    other = frame.to_pandas()
    other.loc[3, "close"] += 1.0
    assert ff.load_market_data(other).data_hash != panel.data_hash


def test_rows_that_repeat(frame: pl.DataFrame, panel: Panel) -> None:
    table = frame.to_pandas().set_index(["symbol", "date"])
    twice = pd.concat([table, table.iloc[:2]])
    found = ff.load_market_data(twice)
    assert found.data_hash == panel.data_hash
    assert any("2" in said for said in found.warnings)
    twice = pd.concat([table, table.iloc[:1].assign(close=1.0)])
    for load in (ff.load_market_data, Panel.from_frame):
        with pytest.raises(DataError, match=r"in more than one row, and the rows differ"):
            load(twice)
        assert load(twice, duplicates="first").data_hash == panel.data_hash


LEVELS = pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")])
DATES = pd.MultiIndex.from_tuples([("2020-01-02", "2020-01-03"), ("2020-01-03", "2020-01-02")])
UNREADABLE: list[tuple[Any, str]] = [
    (3, r"market data must be a path, .*, not int$"),
    (None, r"there are no data: give a Panel, a Dataset, a path"),
    ([{"date": 1}], r"not list: make a frame of rows or columns with polars\.DataFrame\(data\)"),
    ({"date": ["2020-01-02"], "close": [1.0]}, r"date: a wide table must be .*not list: make a frame"),
    (np.ones((2, 3)), r"not ndarray: an array has no dates and no symbols; say them with ff\.Panel\(dates, symbols"),
    ({"close": np.ones((2, 3))}, r"close: .*ff\.Panel\(dates, symbols, \{'close': array\}\)"),
    (pl.Series("close", [1.0]), r"not Series: a series of one field needs a name"),
    (pd.DataFrame(), r"there is no date column"),
    (
        pd.DataFrame({"close": [1.0, 2.0]}, index=LEVELS),
        r"neither can be told to hold the dates: name them \(frame\.re",
    ),
    (pd.DataFrame({"close": [1.0, 2.0]}, index=DATES), r"both can be told to hold the dates: name them"),
    (pd.DataFrame([[1.0, 2.0]], columns=["close", "close"]), r"the frame has two columns 'close'"),
    (pa.table([[1.0], [2.0]], names=["close", "close"]), r"the frame has two columns 'close'"),
    (pa.table({"close": [1.0]}), r"there is no date column"),
    (pa.chunked_array([[1.0]]), r"ChunkedArray: Arrow cannot read it as a table"),
]


@pytest.mark.parametrize(("data", "message"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_said_with_a_way_to_give_it(data: Any, message: str) -> None:
    loads = [
        lambda: ff.evaluate(["CLOSE"], data),
        lambda: ff.score("CLOSE", data),
        lambda: ff.compile("CLOSE").evaluate(data),
    ]
    if data is not None:  # of which load_market_data makes simulated prices
        loads += [lambda: ff.load_market_data(data), lambda: Panel.from_frame(data)]
    for load in loads:
        with pytest.raises(DataError, match=message):
            load()


def test_a_stream_can_be_read_once(frame: pl.DataFrame) -> None:
    reader = frame.to_arrow().to_reader()
    ff.load_market_data(reader)
    with pytest.raises(DataError, match=r"no rows|a stream is read once"):
        ff.load_market_data(reader)


def test_empty_frames_and_missing_fields(frame: pl.DataFrame) -> None:
    for empty in (
        frame.clear(),
        frame.to_pandas().iloc[:0],
        frame.clear().to_arrow(),
        indexed(frame.clear(), ["date", "symbol"], [None, None]),
    ):
        with pytest.raises(DataError, match="no rows"):
            ff.load_market_data(empty)
    for data in (frame, frame.to_pandas(), frame.to_arrow()):
        with pytest.raises(ff.UnknownName, match=r"the data has no field 'OPEN'"):
            ff.evaluate(["RANK(OPEN)"], data)
        with pytest.raises(ff.UnknownName, match=r"OPEN"):
            ff.load_market_data(data, fields=["OPEN"])


def test_two_columns_that_could_be_the_symbol(frame: pl.DataFrame) -> None:
    two = frame.rename({"symbol": "ticker"}).with_columns(code=pl.lit("x"))
    for data in (two, two.to_pandas(), two.to_arrow()):
        for load in (ff.load_market_data, Panel.from_frame):
            with pytest.raises(DataError, match=r"which column is the symbol, 'ticker' or 'code'"):
                load(data)


def test_a_column_and_a_level_of_one_name(frame: pl.DataFrame) -> None:
    table = frame.to_pandas().set_index("date", drop=False)
    with pytest.raises(DataError, match=r"'date' is a column and a level of the index: drop one of them"):
        ff.load_market_data(table)


def test_pandas_is_not_imported_for_others(frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "prices.parquet")
    program = (
        "import sys, polars as pl, fama_fast as ff\n"
        "frame = pl.read_parquet('prices.parquet')\n"
        "panel = ff.load_market_data(frame)\n"
        "ff.Panel.from_frame(frame.lazy()), panel.to_polars(), panel.to_polars(panel['CLOSE'], wide=True)\n"
        "ff.evaluate(['CLOSE'], frame, frame='polars')\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_values_with_their_labels(panel: Panel) -> None:
    close = panel["CLOSE"]
    long = panel.to_polars(close)
    assert long.columns == ["date", "symbol", "value"]
    assert long.height == np.isfinite(close).sum()
    row = {d: i for i, d in enumerate(panel.dates.tolist())}
    column = {s: j for j, s in enumerate(panel.symbols)}
    for date, symbol, value in long.iter_rows():
        assert value == close[row[date], column[symbol]]
    assert long.select("date", "symbol").equals(long.select("date", "symbol").sort("date", "symbol"))

    values = np.where(close > np.nanmedian(close), np.nan, close)
    both = panel.to_polars({"all": close, "some": values})
    assert both["some"].null_count() == np.isfinite(close).sum() - np.isfinite(values).sum()
    # A value where the data have no symbol has its row, too.
    assert panel.to_polars(np.ones(panel.shape)).height == close.size

    wide = panel.to_polars(close, wide=True)
    assert wide.columns == ["date", *panel.symbols]
    np.testing.assert_array_equal(wide.drop("date").to_numpy(), close)
    assert wide["date"].to_list() == panel.dates.tolist()

    table = panel.to_pandas(close, wide=True)
    np.testing.assert_array_equal(table.to_numpy(), close)
    assert (table.index.name, table.columns.name) == ("date", "symbol")
    assert table.columns.tolist() == panel.symbols.tolist()
    indexed_values = panel.to_pandas({"all": close, "some": values})
    assert indexed_values.index.names == ["date", "symbol"]
    np.testing.assert_array_equal(indexed_values["some"].to_numpy(), both["some"].to_numpy())
    assert panel.to_polars(close.astype(np.float32))["value"].dtype == pl.Float32


@pytest.mark.parametrize("universe", [False, True])
def test_a_panel_comes_back_from_each_of_its_frames(panel: Panel, universe: bool) -> None:
    if universe:
        panel = Panel.from_frame(panel.replace(universe=panel["CLOSE"] > np.nanmedian(panel["CLOSE"])).to_polars())
        assert panel.universe is not None
    for again in (panel.to_polars(), panel.to_pandas(), panel.to_polars(wide=True), panel.to_pandas(wide=True)):
        assert ff.load_market_data(again).data_hash == panel.data_hash
    assert to_frame(panel).equals(panel.to_polars())


def test_bars_within_a_day_come_back(frame: pl.DataFrame) -> None:
    bars = Panel.from_frame(
        frame.with_columns(pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours=pl.col("symbol").str.len_chars()))
    )
    assert bars.dates.dtype == np.dtype("datetime64[us]")
    for again in (bars.to_polars(), bars.to_pandas(), bars.to_polars(wide=True), bars.to_pandas(wide=True)):
        assert ff.load_market_data(again).data_hash == bars.data_hash


def test_labels_that_do_not_fit(panel: Panel) -> None:
    with pytest.raises(DataError, match=r"have shape \(3, 2\), not \(dates, symbols\) = \(40, 9\)"):
        panel.to_polars(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"must be numbers, not text"):
        panel.to_polars([["a"]])
    with pytest.raises(ConfigError, match=r"two columns would be called 'date'"):
        panel.to_polars({"date": panel["CLOSE"]})
    with pytest.raises(ConfigError, match=r"is text, not 3"):
        panel.to_polars({3: panel["CLOSE"]})
    odd = Panel(panel.dates, ["date", *panel.symbols[1:]], {"CLOSE": panel["CLOSE"]})
    with pytest.raises(DataError, match=r"a symbol is called 'date'"):
        odd.to_polars(odd["CLOSE"], wide=True)


def test_pandas_that_is_not_installed(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for ask in (panel.to_pandas, lambda: ff.evaluate(["CLOSE"], panel, frame="pandas")):
        with pytest.raises(ConfigError, match=r"pandas is not installed: pip install pandas"):
            ask()


def test_evaluate_gives_labelled_frames(panel: Panel, frame: pl.DataFrame, tmp_path: Path) -> None:
    texts = [FORMULA, "-RANK(CLOSE)"]
    arrays = ff.evaluate(texts, panel)
    names = [ff.compile(t).canonical for t in texts]
    table = ff.evaluate(texts, panel, frame="polars")
    assert table.columns == ["date", "symbol", *names]
    assert table.equals(panel.to_polars(dict(zip(names, arrays, strict=True))))
    named = ff.evaluate(texts, frame.to_arrow(), frame="polars", names=["a", "b"])
    assert named.equals(table.rename(dict(zip(names, ("a", "b"), strict=True))))

    pandas = ff.evaluate(texts, panel, frame="pandas", names=["a", "b"])
    assert pandas.index.names == ["date", "symbol"]
    np.testing.assert_array_equal(pandas["b"].to_numpy(), named["b"].to_numpy())
    date, symbol = panel.dates[-1], panel.symbols[0]
    assert pandas.loc[(pd.Timestamp(date), symbol), "a"] == arrays[0][-1, 0]

    # What is written to a file is what is returned, whole or in parts.
    ff.evaluate(texts, panel, output=tmp_path / "values.parquet")
    assert pl.read_parquet(tmp_path / "values.parquet").equals(table)
    frame.write_parquet(tmp_path / "prices.parquet", row_group_size=40)
    for data in (tmp_path / "prices.parquet", ff.scan_market_data(tmp_path / "prices.parquet")):
        assert ff.evaluate(texts, data, frame="polars", memory_budget="64MB").equals(table)

    alpha = ff.compile(FORMULA)
    assert alpha.evaluate(frame, frame="polars", name="a").equals(named.drop("b"))
    assert alpha.evaluate(frame, frame="pandas").columns.tolist() == [alpha.canonical]
    single = ff.evaluate([FORMULA], panel, frame="polars", dtype="float32", names=["a"])
    assert single["a"].dtype == pl.Float32


def test_frames_that_cannot_be_given(panel: Panel, tmp_path: Path) -> None:
    wrong: Any = "arrow"
    with pytest.raises(ConfigError, match=r'frame must be "polars" or "pandas", not \'arrow\''):
        ff.evaluate(["CLOSE"], panel, frame=wrong)
    unhashable: Any = ["polars"]
    with pytest.raises(ConfigError, match=r'frame must be "polars" or "pandas"'):
        ff.evaluate(["CLOSE"], panel, frame=unhashable)
    with pytest.raises(ConfigError, match=r"goes neither with output= nor"):
        ff.evaluate(["CLOSE"], panel, frame="polars", output=tmp_path / "v.csv")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"goes neither with output= nor"):
        ff.evaluate(["CLOSE"], panel, frame="polars", layout="blocks")
    with pytest.raises(ConfigError, match=r"two columns would be called 'CLOSE'"):
        ff.evaluate(["CLOSE", "CLOSE"], panel, frame="polars")
    with pytest.raises(ConfigError, match=r"no expression to make a frame of"):
        ff.evaluate([], panel, frame="polars")


def test_dialects(panel: Panel) -> None:
    qlib = "Mean($close, 5) / $close"
    ours = ff.evaluate([qlib], panel, dialect="qlib")[0]
    np.testing.assert_array_equal(ours, ff.compile(qlib, dialect="qlib").evaluate(panel))
    np.testing.assert_array_equal(ff.compute_factor_values([qlib], panel, dialect="qlib")[qlib], ours)
    assert ff.score(qlib, panel, dialect="qlib")["expression"].to_list() == [qlib]
    for dialect in ("fama", "alpha101", "brain"):
        for text in (qlib, "$close", "CLOSE / $open", "-RANK($_x)"):
            for ask in (ff.evaluate, ff.score):
                with pytest.raises(ff.ParseError) as caught:
                    ask([text], panel, dialect=dialect)
                said = str(caught.value)
                assert f"written $name in the qlib dialect, and this is read as {dialect}: say dialect='qlib'" in said
                assert "--dialect qlib" in said
                assert f"column {text.index('$') + 1}" in said
    for text in ("CLOSE $", "$ 3", "$(CLOSE)", "$"):
        with pytest.raises(ff.ParseError, match=r"unexpected character '\$'"):
            ff.compile(text)
    with pytest.raises(ff.UnknownName, match=r"fields are written \$name in the qlib dialect"):
        ff.evaluate(["CLOSE"], panel, dialect="qlib")


def test_dates_are_dates(panel: Panel) -> None:
    assert panel.to_polars(panel["CLOSE"])["date"].dtype == pl.Date
    assert isinstance(panel.to_polars()["date"][0], dt.date)
    assert panel.to_pandas().index.get_level_values("date").dtype.kind == "M"
