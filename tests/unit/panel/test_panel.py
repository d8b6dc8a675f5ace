"""Long frames and files become dense panels, and what cannot is refused by name, row and value."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.data import scan, to_frame
from fama_fast.errors import DataError, UnknownName
from fama_fast.panel import GroupField, Panel
from tests.support.paths import MARKET


def long(**columns: object) -> pl.DataFrame:
    """Two dates, two symbols; columns are added or replaced."""
    base = {
        "date": ["2020-01-02", "2020-01-02", "2020-01-03", "2020-01-03"],
        "symbol": ["B", "A", "A", "B"],
        "close": [2.0, 1.0, 1.5, 3.0],
    }
    return pl.DataFrame({k: v for k, v in {**base, **columns}.items() if v is not None}, strict=False)


def test_dense_layout_sorted_by_date_and_symbol() -> None:
    panel = Panel.from_frame(long(volume=[20, 10, 11, None]))
    assert panel.symbols.tolist() == ["A", "B"]
    assert panel.dates.dtype == np.dtype("datetime64[D]")
    np.testing.assert_array_equal(panel["close"], [[1.0, 2.0], [1.5, 3.0]])
    np.testing.assert_array_equal(panel["VOLUME"], [[10, 20], [11, np.nan]])
    assert panel.fields == ("CLOSE", "VOLUME", "RET")
    np.testing.assert_allclose(panel["RET"], [[np.nan, np.nan], [0.5, 0.5]])


def test_absent_rows_are_missing() -> None:
    panel = Panel.from_frame(long()[:3])
    np.testing.assert_array_equal(panel["CLOSE"], [[1.0, 2.0], [1.5, np.nan]])


DAYS = [dt.date(2020, 1, 2), dt.date(2020, 1, 2), dt.date(2020, 1, 3), dt.date(2020, 1, 3)]


@pytest.mark.parametrize(
    "dates",
    [
        pl.Series(DAYS),
        pl.Series(DAYS).cast(pl.Datetime("ms")),
        pl.Series(DAYS).cast(pl.Datetime("ns")).dt.replace_time_zone("America/New_York"),
        pl.Series([d.isoformat() for d in DAYS]),
        pl.Series([d.isoformat() for d in DAYS]).cast(pl.Categorical),
        pl.Series([d.strftime("%Y/%m/%d") for d in DAYS]),
        pl.Series([f"{d}T00:00:00" for d in DAYS]),
        pl.Series([f"{d} 00:00:00+05:30" for d in DAYS]),
        pl.Series([int(d.strftime("%Y%m%d")) for d in DAYS]),
        pl.Series([d.strftime("%Y%m%d") for d in DAYS]),
        pl.Series([d.strftime("%d.%m.%Y") for d in DAYS]),
        pl.Series([d.strftime("%Y.%m.%d") for d in DAYS]),
        pl.Series([d.strftime("%d%b%Y").upper() for d in DAYS]),
        pl.Series([d.strftime("%d-%b-%Y") for d in DAYS]),
        pl.Series([d.strftime("%b %d, %Y") for d in DAYS]),
    ],
    ids=lambda s: f"{s.dtype}-{s[0]}",
)
def test_every_kind_of_date(dates: pl.Series) -> None:
    panel = Panel.from_frame(long().with_columns(dates.alias("date")))
    assert panel.dates.tolist() == DAYS[1:3]
    assert panel.dates.dtype == np.dtype("datetime64[D]")


def test_intraday_stays_a_moment() -> None:
    panel = Panel.from_frame(long(date=["2020-01-02T09:30:00", "2020-01-02 09:30", "2020-01-02T16:00", "2020-01-03"]))
    assert panel.dates.dtype == np.dtype("datetime64[us]")
    assert panel.shape == (3, 2)
    assert str(panel.dates[0]) == "2020-01-02T09:30:00.000000"


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (["2020-01-02", "2020-01-02", "not a day", "x"], r"'date', row 3: 'not a day' is not a date.*\(2 such rows\)"),
        (["2020-01-02", None, "2020-01-03", "2020-01-03"], "'date', row 2: an empty value"),
        (["2020-01-02", "2020-02-30", "2020-01-03", "2020-01-03"], "row 2: '2020-02-30'"),
        ([20200102, 15779232, 20200103, 20200103], "row 2: '15779232' is not a date"),
        ([20200102, 20201399, 20200103, 20200103], "row 2: '20201399'"),
        (["01/02/2020"] * 4, "row 1: '01/02/2020'"),
        (["2020W012"] * 4, "row 1: '2020W012'"),
        ([1.5, 2.5, 3.5, 4.5], r"row 1: '1.5' is not a date.*\(4 such rows\)"),
        ([True] * 4, "type Boolean"),
        ([None] * 4, "row 1: an empty value"),
    ],
)
def test_unreadable_dates_name_column_row_and_value(dates: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Panel.from_frame(long(date=dates))


def test_symbols_null_empty_or_of_a_wrong_type() -> None:
    with pytest.raises(DataError, match=r"'symbol', row 2: an empty value is not a symbol"):
        Panel.from_frame(long(symbol=["A", None, "A", "B"]))
    with pytest.raises(DataError, match=r"'symbol', row 4: an empty value"):
        Panel.from_frame(long(symbol=["A", "B", "A", ""]))
    with pytest.raises(DataError, match=r"Float64"):
        Panel.from_frame(long(symbol=[1.0, 2.0, 1.0, 2.0]))
    assert Panel.from_frame(long(symbol=[7, 11, 7, 11])).symbols.tolist() == ["11", "7"]


def test_duplicate_keys_name_the_first_with_rows_and_the_count() -> None:
    frame = pl.concat([long(), long(close=[9.0] * 4)[1:3], long()[1:2]])
    with pytest.raises(DataError) as caught:
        Panel.from_frame(frame, source="prices.csv")
    text = str(caught.value)
    assert text.startswith("prices.csv: 2 (date, symbol) keys are in more than one row, and the rows differ")
    assert "(2020-01-02, A) in row 2, row 5, row 7" in text
    assert "(2020-01-03, A) in row 3, row 6" in text


def test_many_duplicates_are_counted_quickly() -> None:
    n = 100_000
    frame = pl.DataFrame(
        {
            "date": [dt.date(2020, 1, 1)] * 2 * n,
            "symbol": [str(i) for i in range(n)] * 2,
            "close": [1.0] * n + [2.0] * n,
        }
    )
    with pytest.raises(DataError, match=r"100,000 \(date, symbol\) keys"):
        Panel.from_frame(frame)
    assert "100,000 rows are left out" in Panel.from_frame(frame.with_columns(close=1.0)).warnings[0]


def test_text_prices_name_column_row_and_value() -> None:
    with pytest.raises(DataError, match=r"'close' holds text, not numbers: row 3 is 'abc'"):
        Panel.from_frame(long(close=["1", "2.5", "abc", "4"]))
    with pytest.raises(DataError, match=r"'close' holds text, not numbers: row 1 is '1'"):
        Panel.from_frame(long(close=["1", "2.5", "3", "4"]))
    with pytest.raises(DataError, match=r"'close' has type Boolean"):
        Panel.from_frame(long(close=[True, True, False, False]))


def test_empty_and_without_columns() -> None:
    with pytest.raises(DataError, match=r"no rows"):
        Panel.from_frame(long()[:0])
    with pytest.raises(DataError, match=r"no date column 'date'.*columns: symbol, dates, close.*did you mean 'dates'"):
        Panel.from_frame(long().rename({"date": "dates"}).select("symbol", "dates", "close"))
    with pytest.raises(DataError, match=r"no symbol column"):
        Panel.from_frame(long(symbol=None))
    with pytest.raises(DataError, match=r"no column of numbers"):
        Panel.from_frame(long(close=None))


def test_infinite_becomes_missing_and_is_counted() -> None:
    panel = Panel.from_frame(long(close=[np.inf, 1.0, -np.inf, np.nan]))
    assert int(np.isfinite(panel["CLOSE"]).sum()) == 1
    assert panel.warnings == ("CLOSE: 2 infinite values taken as missing",)


def test_all_missing_column_is_a_field_without_values() -> None:
    panel = Panel.from_frame(long(open=[None] * 4))
    assert np.isnan(panel["OPEN"]).all()
    assert "OPEN: no value at all" in panel.warnings


def test_one_symbol_one_date() -> None:
    assert Panel.from_frame(long()[:1]).shape == (1, 1)


def test_key_aliases_and_their_rule() -> None:
    renamed = long().rename({"date": "Trade_Date", "symbol": "TICKER"})
    assert Panel.from_frame(renamed).shape == (2, 2)
    both = renamed.with_columns(code=pl.lit("x"))
    with pytest.raises(DataError, match=r"which column is the symbol, 'TICKER' or 'code'"):
        Panel.from_frame(both)
    assert Panel.from_frame(both, symbol="ticker").shape == (2, 2)
    # The preferred name wins over aliases, and says that they are not used.
    panel = Panel.from_frame(long(ticker=["w", "x", "y", "z"], time=[1, 2, 3, 4]))
    assert panel.groups == ()
    assert panel.fields == ("CLOSE", "RET")
    assert len(panel.warnings) == 2
    with pytest.raises(DataError, match=r"no date column 'dat'.*did you mean 'date'"):
        Panel.from_frame(long(), date="dat")


def test_names_that_clash_or_cannot_be_named() -> None:
    with pytest.raises(DataError, match=r"'close' and 'Close' differ only in case"):
        Panel.from_frame(long(Close=[1, 2, 3, 4]))
    with pytest.raises(DataError, match=r"'adj close' and 'adj-close' would both be called ADJ_CLOSE"):
        Panel.from_frame(long(**{"adj close": [1] * 4, "adj-close": [1] * 4}))
    panel = Panel.from_frame(long(**{"Adj Close": [1, 2, 3, 4], "成交": [1, 2, 3, 4], "5d": [1, 2, 3, 4]}))
    assert panel.supplied_fields == ("CLOSE", "ADJ_CLOSE")
    assert [w for w in panel.warnings if "cannot name it" in w] == list(panel.warnings[1:])
    assert len(panel.warnings) == 3


def test_groups_from_text_and_coded_sectors() -> None:
    frame = long(sector=["T", " U ", "", None], industry=[10, 20, 20, 10], name=["w", "x", "y", "z"])
    panel = Panel.from_frame(frame)
    assert panel.groups == ("SECTOR", "INDUSTRY")
    sector = panel.group("sector")
    assert sector.labels == ("T", "U")
    np.testing.assert_array_equal(sector.codes, [[1, 0], [np.nan, np.nan]])
    assert panel.group("INDUSTRY").labels == ("10", "20")
    assert any("'name'" in w for w in panel.warnings)
    assert Panel.from_frame(frame, groups=["name"]).groups == ("NAME",)


def test_universe_by_name_by_option_and_refused() -> None:
    panel = Panel.from_frame(long(in_universe=[True, False, None, True]))
    assert panel.universe is not None
    np.testing.assert_array_equal(panel.universe, [[False, True], [False, True]])
    panel = Panel.from_frame(long(liquid=[1, 0, 1, 0]), universe="LIQUID")
    assert panel.universe is not None
    np.testing.assert_array_equal(panel.universe, [[False, True], [True, False]])
    assert Panel.from_frame(long(liquid=[True] * 4)).supplied_fields == ("CLOSE", "LIQUID")
    with pytest.raises(DataError, match=r"row 2: 3.0 is neither 0 nor 1"):
        Panel.from_frame(long(member=[1, 3, 1, 1]))
    with pytest.raises(DataError, match=r"no universe column 'liqid'.*did you mean 'liquid'"):
        Panel.from_frame(long(liquid=[1] * 4), universe="liqid")


def test_fields_asked_for_only_and_derived_ones_expanded() -> None:
    frame = long(open=["x"] * 4, high=[4.0] * 4, low=[1.0] * 4, volume=[5] * 4)
    assert Panel.from_frame(frame, fields=["ret"]).supplied_fields == ("CLOSE",)
    assert Panel.from_frame(frame, fields=["VWAP", "adv20"]).supplied_fields == ("HIGH", "LOW", "CLOSE", "VOLUME")
    with pytest.raises(UnknownName, match=r"no field 'CLOS'") as caught:
        Panel.from_frame(frame, fields=["CLOS"])
    assert caught.value.suggestion == "CLOSE"
    # A lazy frame is asked only for the columns needed: the text prices are never read.
    assert Panel.from_frame(frame.lazy(), fields=["CLOSE"]).fields == ("CLOSE", "RET")


def test_only_needed_columns_are_collected() -> None:
    def explode(_: pl.Series) -> pl.Series:
        raise AssertionError("a column nobody asked for was computed")

    lazy = long().lazy().with_columns(pl.col("close").map_batches(explode, return_dtype=pl.Float64).alias("open"))
    assert Panel.from_frame(lazy, fields=["CLOSE"]).supplied_fields == ("CLOSE",)


def test_start_and_end_are_included() -> None:
    assert Panel.from_frame(long(), start="2020-01-03").shape == (1, 2)
    assert Panel.from_frame(long(), end=20200102).shape == (1, 2)
    assert Panel.from_frame(long(), start=dt.date(2020, 1, 2), end=dt.date(2020, 1, 3)).shape == (2, 2)
    with pytest.raises(DataError, match=r"no rows between 2021-01-01 and the end .*2020-01-02 to 2020-01-03"):
        Panel.from_frame(long(), start="2021-01-01")
    with pytest.raises(DataError, match=r"'soon' is not a date"):
        Panel.from_frame(long(), start="soon")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_frame_and_panel_are_inverse(data: st.DataObject) -> None:
    n_dates, n_symbols = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    number = st.floats(-1e6, 1e6) | st.just(float("nan"))
    close = np.array(data.draw(st.lists(number, min_size=n_dates * n_symbols, max_size=n_dates * n_symbols)))
    close = close.reshape(n_dates, n_symbols)
    # Without a row, a date or symbol would not be in the frame at all.
    close[0], close[:, 0] = 1.0, 2.0
    codes = np.where(np.isnan(close), np.nan, np.arange(n_symbols) % 2.0)
    labels = ("u", "v")[: min(2, n_symbols)]
    panel = Panel(
        np.datetime64("2020-01-01") + np.arange(n_dates),
        [f"S{i}" for i in range(n_symbols)],
        {"CLOSE": close},
        groups={"SECTOR": GroupField(codes, labels)},
        universe=~np.isnan(close),
    )
    frame = to_frame(panel)
    again = Panel.from_frame(frame.sample(fraction=1.0, shuffle=True, seed=1))
    assert again.data_hash == panel.data_hash


# Files


def write(folder: Path, name: str, frame: pl.DataFrame) -> Path:
    path = folder / name
    if name.endswith(".csv"):
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def test_csv_keeps_symbols_as_text_and_reads_missing_words(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "Date,Code,Close,Volume,Sector\n20200102,000001,1.5,NA,x\n20200102,NA,nan,7,\n20200103,TRUE,-,8,x\n",
        encoding="utf-8-sig",
    )
    panel = Panel.from_parquet(path)
    assert panel.symbols.tolist() == ["000001", "NA", "TRUE"]
    np.testing.assert_array_equal(panel["CLOSE"], [[1.5, np.nan, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(panel["VOLUME"], [[np.nan, 7, np.nan], [np.nan, np.nan, 8]])
    assert panel.group("SECTOR").labels == ("x",)


def test_csv_with_semicolons_and_a_late_letter(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = [f"2020-01-02;S{i};{i}.5" for i in range(3000)]
    path.write_text("date;symbol;close\n" + "\n".join(rows) + "\n2020-01-02;Z;12a\n")
    with pytest.raises(DataError, match=r"'close' holds text, not numbers: row 3,001 is '12a'"):
        Panel.from_parquet(path)


def test_csv_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("date,symbol,close\n2020-01-02,A,1\n\n2020-01-03,A,2\n,,\n\n")
    np.testing.assert_array_equal(Panel.from_parquet(path)["CLOSE"], [[1], [2]])
    path.write_text("date,symbol,close\n2020-01-02,A,1\n,,3\n")
    with pytest.raises(DataError, match=r"'date', row 2: an empty value"):
        Panel.from_parquet(path)


def test_directory_and_glob_of_files(tmp_path: Path) -> None:
    a, b = long()[:2], long()[2:].select("close", "symbol", "date")
    write(tmp_path, "a.parquet", a)
    write(tmp_path, "b.parquet", b.with_columns(pl.col("close").cast(pl.Int64)))
    for place in (tmp_path, tmp_path / "*.parquet", str(tmp_path) + "/[ab].parquet"):
        np.testing.assert_array_equal(Panel.from_parquet(place)["CLOSE"], [[1, 2], [1, 3]])


def test_many_files_name_the_file_in_errors(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", long()[:3])
    write(tmp_path, "b.csv", long(close=[9, 9, 9, 9])[2:])
    with pytest.raises(DataError, match=r"\(2020-01-03, A\) in a.csv row 3, b.csv row 1"):
        Panel.from_parquet(tmp_path)


def test_mixed_columns_name_the_file(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", long()[:2])
    write(tmp_path, "b.parquet", long(volume=[1, 2, 3, 4])[2:])
    panel = Panel.from_parquet(tmp_path)
    np.testing.assert_array_equal(panel["VOLUME"], [[np.nan, np.nan], [3, 4]])
    assert panel.warnings[0] == "1 of 2 files has no column 'volume', which is missing there: a.parquet"
    write(tmp_path, "b.parquet", long().drop("close").with_columns(volume=1))
    with pytest.raises(DataError, match=r"b.parquet: columns differ from a.parquet: there is no 'close'"):
        scan(tmp_path)
    write(tmp_path, "b.parquet", long(close=["1", "2", "3", "x"]))
    with pytest.raises(DataError, match=r"b.parquet: column 'close' is text, but numbers in .*a.parquet"):
        scan(tmp_path)
    (tmp_path / "b.parquet").unlink()
    write(tmp_path, "c.csv", long())
    with pytest.raises(DataError, match=r"both CSV and Parquet"):
        scan(tmp_path)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    write(tmp_path, "prices.parquet", long())
    with pytest.raises(DataError, match=r"price.parquet: no such file; did you mean .*prices.parquet\?"):
        scan(tmp_path / "price.parquet")
    with pytest.raises(DataError, match=r"there is no directory"):
        scan(tmp_path / "no" / "prices.parquet")
    with pytest.raises(DataError, match=r"no file matches"):
        scan(tmp_path / "*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no .parquet or .csv"):
        scan(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"", "the file is empty"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"date,symbol,close\n", "no rows"),
        ("a.csv", b"\n\n", "no line with the names of columns"),
        ("a.parquet", b"not parquet at all", "not a Parquet file"),
        ("a.parquet", b"PAR1 and then rubbish PAR1", "a corrupt one"),
        ("a.csv", b"PAR1\0\0", "not a CSV text file"),
        ("a.xlsx", b"PK", "neither CSV nor Parquet"),
        ("a.csv", b"date,symbol,close\n2020-01-02,A,1\n2020-01-02,B,1,2,3\n", "row 2 has 5 cells and the header 3"),
        (
            "a.csv",
            b"date,symbol,close,sector\n2020-01-02,A,1,\xff\xfe\xe9\n",
            "line 2: the byte 0xff is not UTF-8 text: name the encoding with --encoding",
        ),
        ("a.csv", b"date,symbol,close,close\n2020-01-02,A,1,2\n", "the header has two columns 'close'"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Panel.from_parquet(path)
    assert str(path) in str(caught.value)


def test_truncated_parquet(tmp_path: Path) -> None:
    path = write(tmp_path, "a.parquet", long())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a corrupt one"):
        Panel.from_parquet(path)


@pytest.mark.market_data
def test_real_panel() -> None:
    path = MARKET / "sp500_2013_2018.parquet"
    if not path.exists():
        pytest.skip(f"no market data at {MARKET}")
    panel = Panel.from_parquet(path)
    assert panel.shape == (1259, 505)
    assert int(np.isfinite(panel["CLOSE"]).sum()) == 619_040
    assert int(np.isfinite(panel["OPEN"]).sum()) == 619_040 - 11
    row = pl.scan_parquet(path).filter((pl.col("symbol") == "AOS") & (pl.col("date") == dt.date(2014, 5, 19))).collect()
    at = int(np.searchsorted(panel.dates, np.datetime64("2014-05-19"))), panel.symbols.tolist().index("AOS")
    assert panel["HIGH"][at] == row["high"].item() == 23.595
    assert "BRK.B" in panel.symbols
