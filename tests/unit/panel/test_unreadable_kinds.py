"""Files that are not read end in one message that says what to do with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.errors import DataError
from fama_fast.panel.keys import read_dates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READS: list[Callable[..., object]] = [ff.load_market_data, lambda p, **o: ff.scan_market_data(p, **o).panel()]
BARS = "date,open,high,low,close,volume\n2020-01-02,1,2,1,2,5\n"


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("prices.csv.zip", "unpack it first"),
        ("prices.feather", r"polars.read_ipc\(FILE\)"),
        ("prices.PKL", r"pandas.read_pickle\(FILE\)"),
        ("prices.h5", r"pandas.read_hdf\(FILE\)"),
        ("prices.xlsx", "save it as CSV"),
        ("prices.jsonl", "write it as CSV or Parquet, a row a date"),
    ],
)
def test_files_of_other_kinds_say_what_to_do(read: Callable[..., object], name: str, way: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=f"neither CSV nor Parquet.*; {way}"):
        read(tmp_path / name)
    with pytest.raises(DataError, match=rf"holds no .parquet or .csv file \(there is {name}\); {way}"):
        read(tmp_path)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("day", ["07/30/2019", "30/07/2019", "7/3/19", "13-05-2020", "07/30/2019 16:00"])
def test_dates_whose_order_depends_on_the_country_say_so(read: Callable[..., object], day: str, tmp_path: Path) -> None:
    for symbol in ("AA", "BB"):
        (tmp_path / f"{symbol}.csv").write_text(BARS.replace("2020-01-02", day))
    with pytest.raises(DataError, match=r"column 'date', AA.csv row 1: '.*depends on the country: write them as YYYY"):
        read(tmp_path)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("day", ["5-Mar-19", "3.4.19", "05MAR19", "Mar 5, 19"])
def test_years_of_two_digits_are_refused(read: Callable[..., object], day: str, tmp_path: Path) -> None:
    """strptime takes them for the years 0 to 99."""
    for symbol in ("AA", "BB"):
        (tmp_path / f"{symbol}.csv").write_text(BARS.replace("2020-01-02", f'"{day}"'))
    with pytest.raises(DataError, match="write the year with four digits"):
        read(tmp_path)


@pytest.mark.parametrize("day", ["0019-03-04", "19-03-04", "0019-03-04 09:30:00", "2019111 9:30"])
def test_years_before_1000_are_no_dates(day: str) -> None:
    with pytest.raises(DataError, match="is not a date"):
        read_dates(pl.Series("date", [day]), source="prices")


@pytest.mark.parametrize(
    "text", ["2020/1/2 9:30", "2020/01/02 09:30", "2020.01.02 09:30:00", "20200102 09:30", "2020-1-2 9:30:00+08:00"]
)
def test_dates_with_a_time_are_read_however_the_date_is_written(text: str) -> None:
    read = read_dates(pl.Series("date", [text]), source="prices")
    assert [str(moment) for moment in read] == ["2020-01-02 09:30:00"]


@pytest.mark.parametrize("mark", [",", "\u202f", "\u00a0", "'", "\u2019"])
def test_marks_that_separate_thousands_are_named(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f'date,symbol,close\n2020-01-02,A,"1{mark}234.50"\n2020-01-03,A,"1{mark}236.5"\n', encoding="utf-8")
    with pytest.raises(DataError, match="separates thousands: write the numbers without it"):
        ff.load_market_data(path)


@pytest.mark.parametrize("day", ["43831", "43831.5"])
def test_a_spreadsheets_number_of_days_is_named(day: str) -> None:
    with pytest.raises(DataError, match="a spreadsheet's number of days"):
        read_dates(pl.Series("date", [day]), source="prices")


@pytest.mark.parametrize("read", READS)
def test_a_title_above_the_names_of_columns_is_named(read: Callable[..., object], tmp_path: Path) -> None:
    for symbol in ("SH600000", "SZ000001"):
        (tmp_path / f"{symbol}.csv").write_text(f"{symbol} daily\n" + BARS.replace(",", "\t"))
    with pytest.raises(
        DataError, match=r"SH600000.csv: the first line, 'SH600000 daily', is one cell, and the next has 6"
    ):
        read(tmp_path)


@pytest.mark.parametrize("read", READS)
def test_parquet_with_two_levels_of_columns_says_what_to_do(read: Callable[..., object], tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_product([["Close", "Volume"], ["AA", "BB"]], names=["Price", "Ticker"])
    frame = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], index=pd.DatetimeIndex(["2020-01-02"], name="Date"), columns=columns)
    frame.to_parquet(tmp_path / "download.parquet")
    with pytest.raises(DataError, match=r"pairs such as \('Close', 'AA'\).*write the frame as CSV"):
        read(tmp_path / "download.parquet")


def test_the_minus_of_crsp_is_explained(tmp_path: Path) -> None:
    frame = pl.DataFrame({"date": ["20200102", "20200103"], "PERMNO": [10001] * 2, "PRC": [-5.0, 5.0], "VOL": [1, 2]})
    frame.write_csv(tmp_path / "crsp.csv")
    said = ff.load_market_data(tmp_path / "crsp.csv").warnings
    assert any("'PRC' is CRSP's price: a negative one marks the midpoint" in w for w in said)
    frame.rename({"PRC": "close"}).write_csv(tmp_path / "other.csv")
    assert not any("CRSP" in w for w in ff.load_market_data(tmp_path / "other.csv").warnings)


@pytest.mark.parametrize("folder", [False, True])
def test_messages_about_rows_are_one_in_memory_and_in_parts(folder: bool, tmp_path: Path) -> None:
    """A single file is named once; of a folder, each row's file is."""
    good = pl.DataFrame({"date": ["2020-01-02", "2020-01-03"], "symbol": ["A"] * 2, "close": [1.0, 2.0]})
    path = tmp_path / "bars.parquet"
    where = f"{tmp_path}: .*bars.parquet row" if folder else f"{path}: [^/]*row"
    faults = [
        (pl.concat([good, good.with_columns(close=pl.col("close") + 1)]), "rows differ"),
        (good.with_columns(date=pl.Series(["2020-01-02", "someday"])), "'someday'"),
        (good.with_columns(symbol=pl.Series(["A", " "])), "is not a symbol"),
        (good.with_columns(volume=pl.Series(["5", "many"])), "row 2 is 'many'"),
        (good.with_columns(close=pl.Series(["--", "2.0"])), "row 1 is '--'"),
    ]
    for frame, fault in faults:
        frame.write_parquet(path, row_group_size=1)
        said = []
        for read in READS:
            with pytest.raises(DataError, match=fault) as caught:
                read(tmp_path if folder else path)
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert re.match(where, said[0]), said[0]
