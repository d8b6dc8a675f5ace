"""How data lie on disk: folders, one file a symbol, wide tables; the same from every door."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fama_fast.cli import main
from fama_fast.data import (
    SimulationSpec,
    load_market_data,
    quality_report,
    scan_market_data,
    simulate,
    to_frame,
)
from fama_fast.errors import DataError
from fama_fast.panel import Panel
from fama_fast.panel.io.folder import list_files, matches

BARS = ("open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Daily bars of 12 symbols, some of them listed late, some days missing."""
    return to_frame(simulate(SimulationSpec(n_symbols=12, n_dates=60, seed=4, late_listing=0.3, missing=0.02))).select(
        "date", "symbol", *BARS
    )


@pytest.fixture(scope="module")
def panel(frame: pl.DataFrame) -> Panel:
    return Panel.from_frame(frame)


def same(path: Path | str, panel: Panel, **options: str) -> Panel:
    """The panel of a path, which is the expected one, read whole and in parts."""
    found = load_market_data(path, **options)  # type: ignore[arg-type]
    parts = scan_market_data(path, **options)  # type: ignore[arg-type]
    assert found.data_hash == panel.data_hash
    assert parts.data_hash == panel.data_hash
    assert parts.panel().data_hash == panel.data_hash
    assert found.layout == parts.layout == parts.panel().layout
    assert found.warnings == parts.warnings == parts.panel().warnings
    report = quality_report(path, **options)  # type: ignore[arg-type]
    assert (report.n_dates, report.n_symbols) == panel.shape
    assert report.layout == found.layout
    return found


# Folders.


def touch(folder: Path, *names: str, text: str = "date,symbol,close\n2020-01-02,A,1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_folder_is_its_sub_folders_without_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a/z.csv", "a/b/c.CSV", ".x.csv", "_x.csv", "a/_old/y.csv", ".git/c.csv", "a/README.md")
    touch(tmp_path, "notes.txt", "a/book.xlsx")
    found = list_files(tmp_path)
    assert [f.name for f in found.files] == ["a/b/c.CSV", "a/z.csv", "b.csv"]
    assert found.left_out == (".git/", ".x.csv", "_x.csv", "a/README.md", "a/_old/", "a/book.xlsx", "notes.txt")
    assert found.text == "3 files; 7 left out (.git/, .x.csv, _x.csv, ...)"


def test_in_a_glob_the_pattern_decides(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a/z.csv", "a/b/c.csv", ".x.csv", "_x.csv", "_old/y.csv", "README.md")

    def names(pattern: str) -> list[str]:
        return [str(Path(f.path).relative_to(tmp_path)) for f in list_files(tmp_path / pattern).files]

    assert names("*.csv") == ["b.csv"]
    assert names("_*.csv") == ["_x.csv"]
    assert names(".*.csv") == [".x.csv"]
    assert names("**/*.csv") == ["a/b/c.csv", "a/z.csv", "b.csv"]
    assert names("*") == ["a/b/c.csv", "a/z.csv", "b.csv"]  # a folder that matches is what is in it
    assert names("_old/*") == ["_old/y.csv"]
    assert list_files(tmp_path / "*").left_out == (".x.csv", "README.md", "_old/", "_x.csv")
    assert list_files(tmp_path / "*.csv").left_out == (".x.csv", "_x.csv")


def test_a_pattern_as_parts() -> None:
    assert matches(("a", "b", "c.csv"), ("**", "*.csv"))
    assert matches(("c.csv",), ("**", "*.csv"))
    assert not matches(("_a", "c.csv"), ("**", "*.csv"))
    assert matches(("_a", "c.csv"), ("**", "*.csv"), hidden=True)
    assert matches(("_a", "c.csv"), ("_*", "*.csv"))
    assert not matches(("a", "c.csv"), ("*.csv",))


def test_what_a_folder_does_not_hold_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "README.md", "_a.csv")
    with pytest.raises(DataError, match=r"holds no .parquet or .csv file \(there is README.md, _a.csv\)"):
        list_files(tmp_path)
    touch(tmp_path, "aapl.us.txt")
    with pytest.raises(DataError, match=r"name text files with a pattern, such as .*\*.txt"):
        list_files(tmp_path)
    assert list_files(tmp_path / "*.txt").kind == "csv"
    assert list_files(tmp_path / "aapl.us.txt").files[0].stem == "aapl.us"
    touch(tmp_path, "a.csv", "b.parquet")
    with pytest.raises(DataError, match=r"both CSV and Parquet files \(a.csv and b.parquet\)"):
        list_files(tmp_path)
    touch(tmp_path / "delta", "a.parquet", "_delta_log/0.json")
    with pytest.raises(DataError, match="a Delta table"):
        list_files(tmp_path / "delta")
    touch(tmp_path / "cut", "a.csv")
    (tmp_path / "cut" / "b.csv").write_text("")
    listing = list_files(tmp_path / "cut")
    assert ([f.name for f in listing.files], listing.left_out) == (["a.csv"], ("b.csv (empty)",))
    (tmp_path / "cut" / "a.csv").write_text("")
    with pytest.raises(DataError, match=r"a.csv: the file is empty"):
        list_files(tmp_path / "cut")
    touch(tmp_path / "short", "a.parquet")
    (tmp_path / "short" / "b.parquet").write_text("")
    with pytest.raises(DataError, match=r"b.parquet: the file is empty"):
        list_files(tmp_path / "short")


def test_linked_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.csv")
    touch(tmp_path / "far", "b.csv")
    (tmp_path / "data" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "data")
    assert [f.name for f in list_files(tmp_path / "data").files] == ["a.csv", "near/b.csv"]


def test_the_same_days_in_memory_and_in_parts(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    middle = frame["date"].unique().sort()[30]
    (tmp_path / "late").mkdir()
    frame.filter(pl.col("date") < middle).write_parquet(tmp_path / "a.parquet")
    frame.filter(pl.col("date") >= middle).write_parquet(tmp_path / "late" / "b.parquet")
    frame.with_columns(pl.col("date").dt.offset_by("1y")).write_parquet(tmp_path / "_x.parquet")
    found = same(tmp_path, panel)
    assert found.layout == "2 files; 1 left out (_x.parquet)"
    same(str(tmp_path / "**" / "*.parquet"), panel)
    same(f"file://{tmp_path}", panel)
    same(f"file://{tmp_path}/**/*.parquet", panel)


def test_the_first_line_counts_what_is_left_out(
    frame: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "prices"
    data.mkdir()
    frame.write_parquet(data / "a.parquet")
    (data / "README.md").write_text("about")
    told = f"data: {data}: 1 file; 1 left out (README.md)"
    for more in ([], ["--memory-budget", "100MB"]):
        assert main(["score", "RANK(CLOSE)", "--data", str(data), *more]) == 0
        assert capsys.readouterr().err.splitlines()[0] == told
        out = str(tmp_path / "values.parquet")
        assert main(["compute", "RANK(CLOSE)", "--data", str(data), "--output", out, *more]) == 0
        assert capsys.readouterr().err.splitlines()[0] == told
    for command in ("check", "describe"):
        assert main(["data", command, str(data)]) == 0
        assert capsys.readouterr().out.startswith(f"{data}: 1 file; 1 left out (README.md): ")
    run = ["mine", "--data", str(data), "--rounds", "1", "--seed", "1", "--output", str(tmp_path / "run.yaml")]
    (tmp_path / "conf.yaml").write_text(
        f"run: {{candidates: 10}}\ncontrol: {{random: false}}\npaths: {{output_dir: {tmp_path / 'runs'}}}\n"
    )
    assert main([*run, "--config", str(tmp_path / "conf.yaml")]) in (0, 1)
    assert capsys.readouterr().out.startswith(f"{told}: 60 dates")


def test_a_plain_file_says_nothing_of_its_layout(
    frame: pl.DataFrame, panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.write_parquet(tmp_path / "a.parquet")
    assert same(tmp_path / "a.parquet", panel).layout == ""
    assert main(["score", "RANK(CLOSE)", "--data", str(tmp_path / "a.parquet")]) == 0
    assert "data:" not in capsys.readouterr().err


# One file a symbol.


def by_symbol(frame: pl.DataFrame, folder: Path, name: str = "{}.csv") -> Path:
    folder.mkdir(exist_ok=True)
    for (symbol,), own in frame.group_by("symbol", maintain_order=True):
        place = folder / name.format(symbol)
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = own.drop("symbol").sort("date")
        if place.suffix == ".csv":
            rows.write_csv(place)
        else:
            rows.write_parquet(place)
    return folder


@pytest.mark.parametrize("name", ["{}.csv", "{}.parquet", "sub/{}.csv", "sub/{}.parquet"])
def test_the_name_of_a_file_is_its_symbol(frame: pl.DataFrame, panel: Panel, tmp_path: Path, name: str) -> None:
    folder = by_symbol(frame, tmp_path / "bars", name)
    (folder / "README.md").write_text("about")
    assert same(folder, panel).layout == "12 files, one a symbol; 1 left out (README.md)"
    ending = name.rpartition(".")[2]
    same(str(folder / "**" / f"*.{ending}"), panel)


def test_a_symbol_is_the_whole_stem(tmp_path: Path) -> None:
    touch(tmp_path, "000001.SZ.csv", "AAPL_daily.csv", "TRUE.csv", "NA.csv", text="date,close\n2020-01-02,1\n")
    assert load_market_data(tmp_path).symbols.tolist() == ["000001.SZ", "AAPL_daily", "NA", "TRUE"]


def test_files_of_many_columns_are_one_symbol_each(tmp_path: Path) -> None:
    more = [f"factor_{i}" for i in range(40)]
    touch(tmp_path, "AA.csv", "BB.csv", text=f"Date,Open,Close,Vol,{','.join(more)}\n2020-01-02{',1' * 43}\n")
    found = load_market_data(tmp_path)
    assert found.symbols.tolist() == ["AA", "BB"]
    assert len(found.supplied_fields) == 43


def test_names_of_other_sources(tmp_path: Path) -> None:
    touch(tmp_path / "a", "000001.csv", "600000.csv", text="日期,开盘,收盘,成交量\n2020-01-02,1,2,3\n")
    assert load_market_data(tmp_path / "a")["VOLUME"].tolist() == [[3, 3]]
    touch(tmp_path / "b", "X.csv", "Y.csv", text="t,o,h,l,c,v\n2020-01-02,1,2,3,4,5\n")
    assert load_market_data(tmp_path / "b")["CLOSE"].tolist() == [[4, 4]]
    touch(tmp_path / "c", "X.csv", "Y.csv", text="day,px\n2020-01-02,1\n")
    found = load_market_data(tmp_path / "c", columns={"close": "px"})
    assert found.symbols.tolist() == ["X", "Y"]
    with pytest.raises(DataError, match=r"no file has a column of symbols, and neither .* --columns close=NAME"):
        load_market_data(tmp_path / "c")


def test_two_files_of_one_name_are_refused_unless_they_are_a_partition(tmp_path: Path) -> None:
    touch(tmp_path, "a/AA.csv", "b/AA.csv", text="date,close\n2020-01-02,1\n")
    with pytest.raises(DataError, match=r"b/AA.csv and a/AA.csv would both be the symbol 'AA'"):
        load_market_data(tmp_path)
    for year in (2019, 2020):
        into = tmp_path / "hive" / f"year={year}"
        into.mkdir(parents=True)
        for symbol in ("AA", "BB"):
            pl.DataFrame({"date": [dt.date(year, 1, 2)], "close": [float(year)]}).write_parquet(
                into / f"{symbol}.parquet"
            )
    found = load_market_data(tmp_path / "hive")
    assert found.symbols.tolist() == ["AA", "BB"]
    np.testing.assert_array_equal(found["CLOSE"], [[2019, 2019], [2020, 2020]])
    assert scan_market_data(tmp_path / "hive").data_hash == found.data_hash


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_folders_may_spell_the_date_and_the_symbol(frame: pl.DataFrame, tmp_path: Path, ending: str) -> None:
    by_day, by_name = tmp_path / "days", tmp_path / "names"
    for (day,), own in frame.group_by("date"):
        (by_day / f"date={day}").mkdir(parents=True)
        place = by_day / f"date={day}" / f"part.{ending}"
        own.drop("date").write_csv(place) if ending == "csv" else own.drop("date").write_parquet(place)
    for (symbol,), own in frame.group_by("symbol"):
        (by_name / f"ticker={symbol}").mkdir(parents=True)
        place = by_name / f"ticker={symbol}" / f"part.{ending}"
        own.drop("symbol").write_csv(place) if ending == "csv" else own.drop("symbol").write_parquet(place)
    for folder in (by_day, by_name):
        same(folder, Panel.from_frame(frame))


def test_one_file_alone_has_no_symbol(tmp_path: Path) -> None:
    touch(tmp_path, "AAPL.csv", text="date,open,close\n2020-01-02,1,2\n")
    with pytest.raises(DataError, match=r"no symbol column .*so it is one symbol's: .* or give the folder"):
        load_market_data(tmp_path / "AAPL.csv")
    assert load_market_data(tmp_path).symbols.tolist() == ["AAPL"]


def test_files_without_rows_or_values_do_not_refuse_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "A.csv", text="date,close,volume,pe\n2020-01-02,1,10,\n2020-01-03,2,20,\n")
    touch(tmp_path, "B.csv", text="date,close,volume,pe\n20200102,1.5,10,3.5\n20200103,2,20.5,4\n")
    touch(tmp_path, "C.csv", text="date,close,volume,pe\n")
    touch(tmp_path, "D.csv", text="date,close,volume,pe\n2020-01-02,7,,NA\n")
    found = load_market_data(tmp_path)
    assert found.symbols.tolist() == ["A", "B", "D"]
    nan = np.nan
    np.testing.assert_array_equal(found["CLOSE"], [[1, 1.5, 7], [2, 2, nan]])
    np.testing.assert_array_equal(found["PE"], [[nan, 3.5, nan], [nan, 4, nan]])
    assert "1 file has no rows: C.csv" in found.warnings
    parts = scan_market_data(tmp_path)
    assert parts.data_hash == found.data_hash
    assert parts.warnings == found.warnings


def test_columns_that_some_files_lack_are_missing_there(tmp_path: Path) -> None:
    touch(tmp_path, "A.csv", text="date,close,turnover\n2020-01-02,1,10\n")
    touch(tmp_path, "B.csv", text="date,Close\n2020-01-02,2\n")
    found = load_market_data(tmp_path)
    np.testing.assert_array_equal(found["TURNOVER"], [[10, np.nan]])
    np.testing.assert_array_equal(found["CLOSE"], [[1, 2]])
    assert "1 of 2 files has no column 'turnover', which is missing there: B.csv" in found.warnings
    assert scan_market_data(tmp_path).warnings == found.warnings
    touch(tmp_path, "sectors.csv", text="date,sector\n2020-01-02,Tech\n")
    with pytest.raises(DataError, match=r"sectors.csv: columns differ from A.csv: there is no close"):
        load_market_data(tmp_path)
    (tmp_path / "sectors.csv").unlink()
    touch(tmp_path, "C.csv", text="date,symbol,close\n2020-01-02,Z,2\n")
    with pytest.raises(DataError, match=r"A.csv: columns differ from C.csv: there is no column of symbols"):
        load_market_data(tmp_path)


def test_kinds_of_columns_across_files(tmp_path: Path) -> None:
    days = [dt.date(2020, 1, 2), dt.date(2020, 1, 3)]
    when = pl.Series(days).cast(pl.Datetime("ns"))
    pl.DataFrame({"date": days, "close": [1, 2], "industry": ["a", "b"]}).write_parquet(tmp_path / "A.parquet")
    pl.DataFrame({"date": when, "close": [1.5, 2.5], "industry": [7, 8]}).write_parquet(tmp_path / "B.parquet")
    pl.DataFrame({"date": ["2020-01-02", "20200103"], "close": [3.0, None], "industry": [None, None]}).write_parquet(
        tmp_path / "C.parquet"
    )
    pl.DataFrame({"date": [20200102, 20200103], "close": pl.Series([4, 5], dtype=pl.Float32)}).write_parquet(
        tmp_path / "D.parquet"
    )
    found = load_market_data(tmp_path)
    np.testing.assert_array_equal(found["CLOSE"], [[1, 1.5, 3, 4], [2, 2.5, np.nan, 5]])
    assert found.dates.tolist() == days
    assert found.group("INDUSTRY").labels == ("7", "8", "a", "b")
    assert scan_market_data(tmp_path).data_hash == found.data_hash
    pl.DataFrame({"date": when, "close": ["1", "x"]}).write_parquet(tmp_path / "E.parquet")
    with pytest.raises(DataError, match=r"E.parquet: column 'close' is text, but numbers in A.parquet"):
        load_market_data(tmp_path)
    with pytest.raises(DataError, match=r"E.parquet: column 'close' is text, but numbers in A.parquet"):
        scan_market_data(tmp_path)


def test_a_parquet_column_without_a_name(tmp_path: Path) -> None:
    """As an index without a name is written."""
    days = [dt.date(2020, 1, 2), dt.date(2020, 1, 3)]
    for symbol in ("A", "B"):
        pl.DataFrame({"": days, "close": [1.0, 2.0], "sector": ["x", "y"]}).write_parquet(
            tmp_path / f"{symbol}.parquet"
        )
    found = load_market_data(tmp_path)
    assert found.dates.tolist() == days
    assert scan_market_data(tmp_path).data_hash == found.data_hash


def test_what_is_no_text_in_a_damaged_page_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"date": [dt.date(2020, 1, 2)], "symbol": ["QQQQ"], "close": [1.0]})
    frame.write_parquet(path, compression="uncompressed", statistics=False)
    content = path.read_bytes()
    assert b"QQQQ" in content
    path.write_bytes(content.replace(b"QQQQ", b"Q\xff\xfeQ"))
    for read in (load_market_data, scan_market_data):
        with pytest.raises(DataError, match=r"a.parquet: cannot be read: .*(?i:utf-?8)"):
            read(path)


def test_many_files_of_many_kinds_keep_their_order(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    """More runs of files with the same columns than are opened as one scan each."""
    for i, (_, day) in enumerate(frame.sort("date").group_by("date", maintain_order=True)):
        kept = day if i % 2 else day.with_columns(pl.col("volume").cast(pl.Int64))
        kept.write_parquet(tmp_path / f"{i:03d}.parquet")
    same(tmp_path, panel)


# Wide tables.


def wide(frame: pl.DataFrame, folder: Path, ending: str = "parquet", fields: tuple[str, ...] = BARS) -> Path:
    folder.mkdir(exist_ok=True)
    for field in fields:
        table = frame.pivot(on="symbol", index="date", values=field)
        if ending == "csv":
            table.write_csv(folder / f"{field}.csv")
        else:
            table.write_parquet(folder / f"{field}.{ending}")
    return folder


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_wide_tables_are_read_as_they_lie(frame: pl.DataFrame, panel: Panel, tmp_path: Path, ending: str) -> None:
    folder = wide(frame, tmp_path / "wide", ending)
    (folder / "README.md").write_text("about")
    found = same(folder, panel)
    assert found.layout == "wide tables: close, high, low, open, volume; 1 left out (README.md)"
    some = load_market_data(folder, fields=["CLOSE"])
    assert some.shape == panel.shape  # days and symbols do not hang on the fields asked for
    assert scan_market_data(folder, fields=["CLOSE"]).data_hash == some.data_hash


def test_a_wide_table_alone(frame: pl.DataFrame, tmp_path: Path) -> None:
    folder = wide(frame, tmp_path / "wide", fields=("close",))
    expected = Panel.from_frame(frame.select("date", "symbol", "close"))
    assert same(folder / "close.parquet", expected).layout == "wide table: close"
    (folder / "close.parquet").rename(folder / "prices_of_mine.parquet")
    with pytest.raises(DataError, match=r"if its columns are symbols .*--columns close=prices_of_mine"):
        load_market_data(folder / "prices_of_mine.parquet")
    with pytest.raises(DataError, match=r"--columns close=NAME"):
        load_market_data(folder)
    named = load_market_data(folder, columns={"close": "prices_of_mine"})
    assert named.data_hash == expected.data_hash


def test_wide_tables_need_not_have_the_same_dates_and_symbols(tmp_path: Path) -> None:
    days = [dt.date(2020, 1, d) for d in (2, 3, 6)]
    pl.DataFrame({"": days[:2], "A": [1.0, 2.0], "B": [3.0, None]}).write_csv(tmp_path / "close.csv")
    pl.DataFrame({"Date": days[::-1], "C": [1, 2, 3], "A": [4, 5, 6]}).write_csv(tmp_path / "volume.csv")
    pl.DataFrame({"date": days, "A": [True, False, True]}).write_csv(tmp_path / "universe.csv")
    pl.DataFrame({"date": days, "A": ["x", "x", "y"], "B": ["x", None, None]}).write_csv(tmp_path / "sector.csv")
    found = load_market_data(tmp_path)
    assert found.symbols.tolist() == ["A", "B", "C"]
    assert found.dates.tolist() == days
    nan = np.nan
    np.testing.assert_array_equal(found["CLOSE"], [[1, 3, nan], [2, nan, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(found["VOLUME"], [[6, nan, 3], [5, nan, 2], [4, nan, 1]])
    np.testing.assert_array_equal(found.universe, [[True, False, False], [False, False, False], [True, False, False]])
    assert found.group("SECTOR").labels == ("x", "y")
    assert scan_market_data(tmp_path).data_hash == found.data_hash


def test_a_day_without_any_value_is_no_market_day(tmp_path: Path) -> None:
    days = [dt.date(2020, 1, d) for d in (1, 2, 3)]
    pl.DataFrame({"date": days, "A": [None, 2.0, 1.0], "B": [None, 3.0, None]}).write_parquet(
        tmp_path / "close.parquet"
    )
    found = load_market_data(tmp_path / "close.parquet")
    assert found.dates.tolist() == days[1:]
    assert found.warnings == ("1 date has no value and is no market day: 2020-01-01",)
    assert scan_market_data(tmp_path / "close.parquet").warnings == found.warnings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "date,A,B\n2020-01-02,1,2\n2020-01-02,1,3\n",
            r"1 date is in more than one row, and the rows differ: 2020-01-02 in row 1, row 2",
        ),
        ("date,A,B\n2020-01-02,1,x\n", r"column 'B' holds text, not numbers: row 1 is 'x'"),
        ("symbol,20200102,20200103\nA,1,2\n", r"dates down and its symbols across: transpose it"),
        ("name,2020-01-02,2020-01-03\nA,1,2\n", r"the columns are dates"),
        ("date,A,A \n2020-01-02,1,2\n", r"the header has two columns 'A'"),
        ("date,Unnamed: 0\n2020-01-02,1\n", r"a column for each symbol, and this one has none"),
        ("date,A,B\nsoon,1,2\n", r"'date', row 1: 'soon' is not a date"),
    ],
)
def test_wide_tables_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "close.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_market_data(tmp_path / "close.csv")


def test_a_wide_table_is_not_called_as_a_key_is(tmp_path: Path) -> None:
    touch(tmp_path, "close.csv", "Symbol.csv", text="date,A,B\n2020-01-02,1,2\n")
    for read in (load_market_data, scan_market_data):
        with pytest.raises(DataError, match=r"Symbol.csv: a wide table cannot be called 'Symbol'"):
            read(tmp_path)


def test_rows_of_one_date_in_a_wide_table(tmp_path: Path) -> None:
    (tmp_path / "close.csv").write_text("date,A,B\n2020-01-02,1,2\n2020-01-02,1,3\n2020-01-03,5,6\n2020-01-03,5,6\n")
    for kept, value in (("first", 2), ("last", 3)):
        found = load_market_data(tmp_path / "close.csv", duplicates=kept)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found["CLOSE"], [[1, value], [5, 6]])
        assert found.warnings[0].endswith("close.csv: 2 dates are in more than one row, of which one is kept")

    # What is not asked for is not judged.
    np.testing.assert_array_equal(load_market_data(tmp_path / "close.csv", start="2020-01-03")["CLOSE"], [[5, 6]])


def test_stamps_of_wide_tables_are_moved_to_the_market(tmp_path: Path) -> None:
    stamps = ["2020-01-01T16:00:00Z", "2020-01-02T16:00:00Z"]
    pl.DataFrame({"date": stamps, "A": [1, 2]}).write_csv(tmp_path / "close.csv")
    pl.DataFrame({"date": stamps[::-1], "A": [3, 4]}).with_columns(
        pl.col("date").str.to_datetime(time_zone="UTC")
    ).write_parquet(tmp_path / "volume.parquet")
    for name, values in (("close.csv", [[1], [2]]), ("volume.parquet", [[4], [3]])):
        found = load_market_data(tmp_path / name, timezone="Asia/Shanghai")
        assert [str(d) for d in found.dates] == ["2020-01-02", "2020-01-03"]
        np.testing.assert_array_equal(found[name.partition(".")[0]], values)
        if name.endswith(".parquet"):
            assert scan_market_data(tmp_path / name, timezone="Asia/Shanghai").data_hash == found.data_hash


def test_tickers_that_are_called_as_columns_are(tmp_path: Path) -> None:
    """CODE, DAY, OPEN, LOW, T, O, H, L and C are companies."""
    symbols = ["CODE", "DAY", "OPEN", "LOW", "T", "O", "H", "L", "C", "AAPL", "MSFT", "GOOG", "IBM", "NAME", "TIME"]
    days = [dt.date(2020, 1, d) for d in range(1, 21)]
    values = {s: np.arange(20.0) + i for i, s in enumerate(symbols)}
    for ending in ("csv", "parquet"):
        folder = tmp_path / ending
        folder.mkdir()
        for field in ("close", "volume"):
            table = pl.DataFrame({"date": days, **values})
            if ending == "csv":
                table.write_csv(folder / f"{field}.csv")
            else:
                table.write_parquet(folder / f"{field}.parquet")
        found = load_market_data(folder)
        assert found.layout == "wide tables: close, volume"
        assert found.symbols.tolist() == sorted(symbols)
        assert found.shape == (20, 15)
    files = tmp_path / "files"
    touch(files, "OPEN.csv", "LOW.csv", "AAPL.csv", text="date,open,high,low,close\n2020-01-02,1,2,3,4\n")
    assert load_market_data(files).symbols.tolist() == ["AAPL", "LOW", "OPEN"]
