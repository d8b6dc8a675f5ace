"""qlib's folder of `.bin` files: read as it lies, indices by date, and from there to a mined factor."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fama_fast.cli import main
from fama_fast.data import SimulationSpec, load_market_data, quality_report, scan_market_data, simulate, to_frame
from fama_fast.errors import DataError
from fama_fast.panel import Panel
from fama_fast.panel.io.qlib_bin import indices, is_qlib, read_spells
from tests.support.qlib_folder import write_qlib


def prices() -> pl.DataFrame:
    """Three symbols on five days; B starts late, C misses a day, D ends early."""
    days = [dt.date(2020, 1, d) for d in (2, 3, 6, 7, 8)]
    rows = [
        (day, symbol, float(10 * n + i), float(100 * n + i))
        for n, (symbol, own) in enumerate({"SH600000": 0, "SZ000001": 2, "NUL": 0}.items(), start=1)
        for i, day in enumerate(days)
        if i >= own and not (symbol == "NUL" and i == 1)
    ]
    return pl.DataFrame(rows, schema=["date", "symbol", "close", "volume"], orient="row")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`prices` as a qlib folder with an index csi2; NUL lies in `_qlib_nul`, as qlib has names that Windows keeps."""
    place = write_qlib(
        prices(),
        tmp_path / "qlib",
        indices={"csi2": [("SH600000", "2020-01-03", "2020-01-06"), ("SH600000", "2020-01-08", "2099-12-31")]},
    )
    (place / "features" / "nul").rename(place / "features" / "_qlib_nul")
    return place


def test_a_folder_is_read_as_it_lies(folder: Path) -> None:
    assert is_qlib(folder)
    expected = Panel.from_frame(prices())
    found = load_market_data(folder)
    assert found.layout == "qlib folder, day calendar; 3 symbols of instruments/all.txt"
    assert found.data_hash == expected.data_hash
    assert found.warnings == ()
    parts = scan_market_data(folder)
    assert parts.data_hash == expected.data_hash
    assert parts.ordered
    assert quality_report(folder).n_rows == prices().height
    np.testing.assert_array_equal(load_market_data(folder, fields=["VOLUME"])["VOLUME"], expected["VOLUME"])
    cut = load_market_data(folder, start="2020-01-03", end="2020-01-07")
    np.testing.assert_array_equal(cut["CLOSE"], expected["CLOSE"][1:4])


def test_values_are_float32_to_the_bit(tmp_path: Path) -> None:
    market = to_frame(simulate(SimulationSpec(n_symbols=7, n_dates=50, seed=2, late_listing=0.4, missing=0.05)))
    folder = write_qlib(market, tmp_path / "q")
    found = load_market_data(folder)
    expected = Panel.from_frame(market.with_columns(pl.col(pl.Float64).cast(pl.Float32)))
    for name in found.supplied_fields:
        np.testing.assert_array_equal(found[name], expected[name])
    assert load_market_data(folder, dtype="float32").dtype == np.float32


def test_an_index_is_a_universe_by_date_with_its_last_day(folder: Path) -> None:
    expected = np.zeros((5, 3), dtype=bool)
    expected[:, 1] = [False, True, True, False, True]  # sorted: NUL, SH600000, SZ000001
    for name in ("csi2", "CSI2", "csi2.txt", str(folder / "instruments" / "csi2.txt")):
        found = load_market_data(folder, universe=name)
        np.testing.assert_array_equal(found.universe, expected)
        np.testing.assert_array_equal(scan_market_data(folder, universe=name).panel().universe, expected)
    assert found.warnings == ("2 symbols are not in csi2.txt and never members: NUL, SZ000001",)
    listed = np.ones((5, 3), dtype=bool)
    listed[:2, 2] = False  # SZ000001 starts on the third day; a day without a price is one in the index
    np.testing.assert_array_equal(load_market_data(folder, universe="all").universe, listed)
    with pytest.raises(DataError, match=r"no index 'csi3' .*\(there are all, csi2\); did you mean 'csi2'"):
        load_market_data(folder, universe="csi3")
    with pytest.raises(DataError, match=r"no index 'csi3'"):
        scan_market_data(folder, universe="csi3")


def test_what_lies_outside_a_listing_is_not_read(folder: Path) -> None:
    (folder / "instruments" / "all.txt").write_text(
        "sh600000\t2020-01-03\t2020-01-06\nSH600000\t2020-01-08\t2020-01-08\nSZ000001\t2020-01-02\t2099-12-31\nZZ\t"
        "2020-01-01\t2020-01-02\n"
    )
    found = load_market_data(folder)
    assert found.symbols.tolist() == ["SH600000", "SZ000001"]
    nan = np.nan
    np.testing.assert_array_equal(found["CLOSE"], [[11, nan], [12, 22], [nan, 23], [14, 24]])
    assert found.layout == (
        "qlib folder, day calendar; 2 symbols of instruments/all.txt; 1 left out (features/_qlib_nul)"
    )
    assert found.warnings == (
        "1 listed symbols have no folder in features/: ZZ",
        "2 days of symbols lie outside their spells in instruments/ and are not read",
        "1 date has no value and is no market day: 2020-01-02",
    )
    assert scan_market_data(folder).data_hash == found.data_hash


def test_case_future_days_and_other_calendars(folder: Path) -> None:
    (folder / "features" / "sh600000").rename(folder / "features" / "SH600000")
    (folder / "calendars" / "day_future.txt").write_text("2020-01-02\n2030-01-01\n")
    (folder / "calendars" / "1min.txt").write_text("2020-01-02 09:31:00\n")
    (folder / "features" / "SH600000" / "close.1min.bin").write_bytes(b"rubbish")
    found = load_market_data(folder)
    assert found.data_hash == Panel.from_frame(prices()).data_hash
    assert "left out (calendars/1min.txt)" in found.layout
    (folder / "calendars" / "day.txt").rename(folder / "calendars" / "5min.txt")
    with pytest.raises(DataError, match=r"which calendar, 1min or 5min\? There is no calendars/day.txt"):
        load_market_data(folder)


def test_another_calendar_alone(tmp_path: Path) -> None:
    folder = tmp_path / "minutes"
    for name in ("calendars", "instruments", "features/aa"):
        (folder / name).mkdir(parents=True)
    (folder / "calendars" / "1min.txt").write_text("2020-01-02 09:31:00\n2020-01-02 09:32:00\n")
    (folder / "instruments" / "all.txt").write_text("AA\t2020-01-02\t2020-01-02\n")
    np.array([1, 7.5], dtype="<f4").tofile(folder / "features" / "aa" / "close.1min.bin")
    found = load_market_data(folder)
    assert found.layout.startswith("qlib folder, 1min calendar")
    assert [str(d) for d in found.dates] == ["2020-01-02T09:32:00.000000"]
    np.testing.assert_array_equal(found["CLOSE"], [[7.5]])


def test_without_a_list_of_all_the_only_index_lists_the_symbols(folder: Path) -> None:
    (folder / "instruments" / "all.txt").unlink()
    found = load_market_data(folder)
    assert found.symbols.tolist() == ["SH600000"]
    assert "1 symbols of instruments/csi2.txt" in found.layout
    (folder / "instruments" / "csi3.txt").write_text("SZ000001\t2020-01-02\t2020-01-08\n")
    with pytest.raises(DataError, match=r"no instruments/all.txt, which lists the symbols \(there are csi2, csi3\)"):
        load_market_data(folder)
    for file in (folder / "instruments").iterdir():
        file.unlink()
    (folder / "instruments").rmdir()
    assert is_qlib(folder)
    with pytest.raises(DataError, match=r"no instruments/all.txt"):
        load_market_data(folder)


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


def floats(*values: float) -> bytes:
    return np.array(values, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("features/sh600000/close.day.bin", floats(0, 1, 2)[:-1], r"close.day.bin: the file is cut: 11 bytes"),
        ("features/sh600000/close.day.bin", b"", r"close.day.bin: the file is cut: 0 bytes"),
        ("features/sh600000/close.day.bin", floats(3, 1, 2, 3), r"3 values from day 4 .* go beyond its 5 days"),
        ("features/sh600000/close.day.bin", floats(0.5, 1), r"must be a place in the calendar .*, not 0.5"),
        ("features/sh600000/close.day.bin", floats(-1, 1), r"must be a place in the calendar .*, not -1.0"),
        ("features/sh600000/close.day.bin", floats(np.nan, 1), r"must be a place in the calendar .*, not nan"),
        ("features/sh600000/close.day.bin", floats(np.inf, 1), r"must be a place in the calendar .*, not inf"),
        ("calendars/day.txt", b"", r"day.txt: no day is listed"),
        ("calendars/day.txt", b"2020-01-02\nsoon\n", r"day.txt: .*line 2: 'soon' is not a date"),
        (
            "calendars/day.txt",
            b"2020-01-03\n\n2020-01-02\n",
            r"day.txt line 3: 2020-01-02 does not come after 2020-01-03",
        ),
        ("calendars/day.txt", b"2020-01-02\n2020-01-02\n", r"does not come after"),
        ("calendars/day.txt", b"\xff\xfe\x00", r"day.txt: cannot be read"),
        ("instruments/all.txt", b"", r"all.txt: no symbol is listed"),
        ("instruments/all.txt", b"SH600000\t2020-01-02\n", r"all.txt line 1: .* is not SYMBOL, first day and last day"),
        ("instruments/all.txt", b"SH600000\t2020-01-02\tlater\n", r"all.txt: .*line 1: 'later' is not a date"),
        (
            "instruments/all.txt",
            b"XX\t2020-01-02\t2020-01-09\n",
            r"no symbol of instruments/all.txt has a folder in features/",
        ),
    ],
)
def test_folders_that_are_damaged(folder: Path, name: str, content: bytes, message: str) -> None:
    put(folder, name, content)
    for read in (load_market_data, scan_market_data):
        with pytest.raises(DataError, match=message) as caught:
            read(folder)
        assert "\n" not in str(caught.value)


def test_parts_that_are_missing(folder: Path) -> None:
    for file in folder.glob("features/*/*.bin"):
        file.rename(file.with_name(file.name.replace(".day.", ".1min.")))
    with pytest.raises(DataError, match=r"no file in features/ ends in .day.bin"):
        load_market_data(folder)
    (folder / "calendars" / "day.txt").unlink()
    with pytest.raises(DataError, match=r"there is no calendars/day.txt, which lists the market days"):
        load_market_data(folder)


def test_a_qlib_folder_near_by_is_named(folder: Path) -> None:
    for path in (folder.parent, folder / "features", folder / "features" / "sh600000"):
        with pytest.raises(DataError, match=rf"{folder} is a qlib folder"):
            load_market_data(path)
    with pytest.raises(DataError, match="the path of the data is empty"):
        load_market_data("")


def test_two_folders_of_one_symbol(folder: Path) -> None:
    (folder / "features" / "SH600000").mkdir()
    with pytest.raises(DataError, match=r"SH600000 and sh600000 would both be the symbol 'SH600000'"):
        load_market_data(folder)


def test_a_spell_that_ends_before_it_starts_holds_no_day(folder: Path) -> None:
    """Index files of qlib's own have such lines."""
    spells = "SH600000\t2020-01-06\t2020-01-03\nSH600000\t2020-01-07\t2020-01-07\nSZ000001\t2020-01-06\t2020-01-02\n"
    (folder / "instruments" / "csi2.txt").write_text(spells)
    found = load_market_data(folder, universe="csi2")
    assert found.universe is not None
    assert found.universe.sum(axis=0).tolist() == [0, 1, 0]
    assert found.universe[3, 1]
    told = "csi2.txt: 2 spells end before they start and hold no day: SH600000 (line 1), SZ000001 (line 3)"
    assert told in found.warnings
    assert told in scan_market_data(folder, universe="csi2").warnings


def test_spells_and_indices(folder: Path) -> None:
    assert list(indices(folder)) == ["all", "csi2"]
    spells = read_spells(folder / "instruments" / "csi2.txt")
    assert spells.symbols == ("SH600000", "SH600000")
    assert [str(d) for d in spells.last] == ["2020-01-06", "2099-12-31"]


def test_from_a_qlib_folder_to_a_mined_factor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """mine, score, compute, the factor store and the report, with an index as the universe and in parts."""
    market = to_frame(simulate(SimulationSpec(n_symbols=40, n_dates=260, seed=3, late_listing=0.1)))
    half = sorted(market["symbol"].unique().to_list())[:25]
    folder = write_qlib(market, tmp_path / "q", indices={"csi300": [(s, "2015-02-02", "2015-11-30") for s in half]})
    (tmp_path / "conf.yaml").write_text(
        "run: {candidates: 30, threads: 2}\ngates: {min_rank_ic: 0.0, min_t: 0.0}\ncontrol: {random: false}\n"
        f"paths: {{output_dir: {tmp_path / 'runs'}}}\n"
    )
    mine = ["mine", "--data", str(folder), "--universe", "csi300", "--rounds", "1", "--config"]
    mine.append(str(tmp_path / "conf.yaml"))
    results = []
    for i, more in enumerate(([], ["--memory-budget", "200MB"])):
        out = tmp_path / f"run{i}.yaml"
        told = main([*mine, "--output", str(out), *more])
        assert told in (0, 1)
        assert capsys.readouterr().out.startswith(f"data: {folder}: qlib folder, day calendar; 40 symbols")
        results.append(out.read_text())
    assert "expression" in results[0]
    own = ["--data", str(folder), "--universe", "csi300"]
    figures = []
    for more in ([], ["--memory-budget", "50MB"]):
        assert main(["score", "RANK(DELTA(CLOSE, 5))", *own, *more, "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0] == figures[1]
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    assert main(["compute", "a: RANK(CLOSE)", *own, "--output", str(whole)]) == 0
    assert main(["compute", "a: RANK(CLOSE)", *own, "--output", str(parts), "--memory-budget", "50MB"]) == 0
    assert pl.read_parquet(whole).equals(pl.read_parquet(parts))
    store = str(tmp_path / "store")
    assert main(["compute", "a: RANK(CLOSE)", *own, "--store", store]) == 0
    assert main(["compute", "a: RANK(CLOSE)", *own, "--store", store, "--append"]) == 0
    assert "nothing to do" in capsys.readouterr().err
