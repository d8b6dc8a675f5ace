"""Which rows of data count: repeated keys, dates outside of those asked for, thin dates; in memory as in parts."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import quality_report
from fama_fast.errors import ConfigError, DataError
from fama_fast.panel import Panel
from fama_fast.panel import survey as survey_module
from fama_fast.panel.dataset import Dataset
from fama_fast.panel.io import parquet_files as parquet_module
from tests.support.clusters import BEGINS_CLUSTERS

pytestmark = BEGINS_CLUSTERS

DAY = dt.date(2020, 1, 1)


def days(n: int) -> list[dt.date]:
    return [DAY + dt.timedelta(days=i) for i in range(n)]


def frame(n_days: int = 12, n_symbols: int = 8, seed: int = 0) -> pl.DataFrame:
    """Rows by date and symbol, all different."""
    rng = np.random.default_rng(seed)
    n = n_days * n_symbols
    return pl.DataFrame(
        {
            "date": np.repeat(np.array(days(n_days), dtype="datetime64[D]"), n_symbols),
            "symbol": [f"S{i}" for i in range(n_symbols)] * n_days,
            "close": rng.uniform(1, 2, n).round(3),
            "volume": rng.integers(1, 1000, n),
            "sector": ["tech", "food"] * (n // 2),
        }
    )


def write_parts(rows: pl.DataFrame, folder: Path, files: int = 2, group: int = 7) -> Path:
    folder.mkdir()
    edges = np.linspace(0, rows.height, files + 1).astype(int)
    for i in range(files):
        rows[edges[i] : edges[i + 1]].write_parquet(folder / f"{i}.parquet", row_group_size=group)
    return folder


def both(path: Path, **options: Any) -> Panel:
    """The panel in memory, after it was found to be that of reading in parts, warnings and all."""
    held = ff.load_market_data(path, **options)
    data = Dataset(path, **options)
    assert data.data_hash == held.data_hash
    # One file alone is not named in memory.
    assert [re.sub(r"\d\.parquet ", "", w) for w in data.warnings] == [
        re.sub(r"\d\.parquet ", "", w) for w in held.warnings
    ]
    assert data.dates.dtype == held.dates.dtype
    whole = data.panel()
    for name in held.supplied_fields:
        np.testing.assert_array_equal(whole[name], held[name])
    return held


def refused(path: Path, **options: Any) -> DataError:
    """The error in memory, after it was found to be that of reading in parts."""
    with pytest.raises(DataError) as held:
        ff.load_market_data(path, **options)
    with pytest.raises(DataError) as parts:
        Dataset(path, **options)
    ours, theirs = held.value.as_dict(), parts.value.as_dict()
    assert ours.pop("message").partition(" in ")[0] == theirs.pop("message").partition(" in ")[0]
    # Where a row lies is said in each one's words.
    for error in (ours, theirs):
        error["duplicates"] = [(d["date"], d["symbol"], len(d["rows"])) for d in error.get("duplicates", ())]
    assert ours == theirs
    return held.value


# Repeated keys


def test_identical_rows_are_one_row(tmp_path: Path) -> None:
    rows = frame()
    doubled = pl.concat([rows, rows[5:8], rows[5:6]])
    path = write_parts(doubled, tmp_path / "d")
    panel = both(path)
    assert panel.data_hash == Panel.from_frame(rows).data_hash
    (said,) = [w for w in panel.warnings if "says" in w or "say what" in w]
    assert said.startswith("4 rows are left out that say what another one says: (2020-01-01, S5) in ")


@pytest.mark.parametrize(
    "change",
    [
        {"volume": pl.col("volume") + 1},
        {"close": pl.lit(None, dtype=pl.Float64)},
        {"sector": pl.lit("other")},
        {"close": -pl.col("close")},
    ],
)
def test_rows_that_differ_in_any_column_used_are_an_error(tmp_path: Path, change: dict[str, pl.Expr]) -> None:
    rows = frame()
    path = write_parts(pl.concat([rows, rows[3:5].with_columns(**change)]), tmp_path / "d")
    error = refused(path)
    assert "2 (date, symbol) keys are in more than one row, and the rows differ" in str(error)
    assert "--duplicates first or last keeps one of them" in str(error)
    assert [d["symbol"] for d in error.details["duplicates"]] == ["S3", "S4"]
    assert error.details["duplicates"][0]["rows"] == ["0.parquet row 4", "1.parquet row 48"]
    assert error.details["count"] == 2


def test_what_differs_is_what_would_be_another_panel(tmp_path: Path) -> None:
    """Missing values, zeros and labels that mean the same are the same; columns that nobody uses say nothing."""
    rows = frame().with_columns(close=pl.when(pl.col("symbol") == "S0").then(None).otherwise("close"), note=pl.lit(1))
    again = rows[:9].with_columns(
        close=pl.col("close").fill_null(float("nan")), sector=" " + pl.col("sector") + "\t", note=pl.lit(2)
    )
    path = write_parts(pl.concat([rows, again]), tmp_path / "d")
    panel = both(path, fields=["CLOSE", "VOLUME"])
    assert any(w.startswith("9 rows are left out that say") for w in panel.warnings)
    assert "9 (date, symbol) keys" in str(refused(path, fields=["CLOSE", "NOTE"]))


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("order", ["dates", "symbols", "shuffled"])
def test_first_and_last_follow_files_and_rows(
    tmp_path: Path, which: Any, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "_CELLS", 40)
    monkeypatch.setattr(parquet_module, "BATCH_ROWS", 3)
    rng = np.random.default_rng(1)
    rows = frame()
    more = rows.sample(40, seed=2, with_replacement=True).with_columns(
        close=pl.Series(rng.uniform(1, 2, 40).round(1)), volume=pl.lit(5, dtype=pl.Int64)
    )
    rows = pl.concat([rows, more, rows[20:25]])
    if order != "shuffled":
        rows = rows.sort("date" if order == "dates" else "symbol", maintain_order=True)
    else:
        rows = rows.sample(fraction=1.0, shuffle=True, seed=3)
    path = write_parts(rows, tmp_path / "d", files=3, group=11)
    panel = both(path, duplicates=which)
    kept = rows.unique(["date", "symbol"], keep=which, maintain_order=True)
    expected = Panel.from_frame(kept)
    for name in ("CLOSE", "VOLUME"):
        np.testing.assert_array_equal(panel[name], expected[name])
    (said,) = [w for w in panel.warnings if "with rows that differ" in w]
    assert f"; the {which} is kept: (" in said
    assert "(date, symbol) keys" in str(refused(path))


def test_labels_of_rows_that_are_left_out_are_not_there(tmp_path: Path) -> None:
    rows = frame()
    wrong = rows[:1].with_columns(sector=pl.lit("wrong"))
    path = write_parts(pl.concat([wrong, rows]), tmp_path / "d")
    assert both(path, duplicates="last").group("SECTOR").labels == ("food", "tech")
    assert both(path, duplicates="first").group("SECTOR").labels == ("food", "tech", "wrong")


def test_everything_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama_fast.panel.choose_parts._ROWS", 20)
    rows = frame()
    other = rows.with_columns(close=pl.col("close") + 1)
    path = write_parts(pl.concat([rows, other]), tmp_path / "d")
    np.testing.assert_array_equal(both(path, duplicates="last")["CLOSE"], Panel.from_frame(other)["CLOSE"])
    assert f"{rows.height} (date, symbol) keys" in str(refused(path))


def test_the_list_is_complete_up_to_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama_fast.panel.duplicates.MOST_LISTED", 10)
    rows = frame()
    with pytest.raises(DataError) as caught:
        Panel.from_frame(pl.concat([rows, rows.with_columns(close=pl.lit(1.0))]))
    assert caught.value.details["count"] == rows.height
    assert len(caught.value.details["duplicates"]) == 10


# Only what was asked for is judged


def test_what_lies_outside_is_not_judged(tmp_path: Path) -> None:
    rows = frame()
    old = pl.concat([rows[:1], rows[:1].with_columns(close=pl.lit(-1.0), symbol=pl.lit(None, dtype=pl.String))])
    bad = rows[1:2].with_columns(close=pl.lit(float("inf")))
    strange = pl.DataFrame({**rows[:1].to_dict(as_series=False), "symbol": ["ONCE"], "sector": ["gone"]})
    late = rows[-1:].with_columns(close=pl.lit(0.0))
    everything = pl.concat([rows, old, bad, strange.cast(rows.schema), late])
    path = write_parts(everything, tmp_path / "d")
    with pytest.raises(DataError, match="is not a symbol"):
        ff.load_market_data(path)
    with pytest.raises(DataError, match="is not a symbol"):
        Dataset(path)
    panel = both(path, start="2020-01-02", end="2020-01-11")
    assert panel.warnings == ()
    assert panel.shape == (10, 8)
    assert panel.group("SECTOR").labels == ("food", "tech")
    assert quality_report(path, start="2020-01-02", end="2020-01-11").ok
    assert quality_report(path, start="2020-01-02", end="2020-01-11").n_rows == 80


def test_history_before_the_start_is_kept(tmp_path: Path) -> None:
    rows = frame()
    bad = rows[:1].with_columns(close=pl.lit(9.0))
    path = write_parts(pl.concat([rows, bad]), tmp_path / "d")
    panel = both(path, start="2020-01-06", history=3)
    assert (panel.dates[0], panel.shape[0]) == (np.datetime64("2020-01-03"), 10)
    assert "keys are in more" not in str(panel.warnings)
    refused(path, start="2020-01-06", history=5)
    refused(path, start="2020-01-06", history=500)
    assert both(path, start="2020-01-02", history=0).shape[0] == 11
    assert both(path, end="2020-01-03", start="2020-01-02", history=0).shape[0] == 2


def test_history_counts_market_days(tmp_path: Path) -> None:
    rows = frame(20)
    thin = rows.filter(
        ~pl.col("date").is_in([DAY + dt.timedelta(days=i) for i in (5, 6, 7, 12)]) | (pl.col("symbol") == "S1")
    )
    path = write_parts(thin, tmp_path / "d")
    panel = both(path, start="2020-01-11", history=4, min_symbols=2)
    before = panel.dates[panel.dates < np.datetime64("2020-01-11")]
    assert [str(d)[-2:] for d in before] == ["04", "05", "09", "10"]
    assert panel.shape[0] == 4 + 9


# Thin dates


@pytest.fixture
def thin(tmp_path: Path) -> Path:
    """Ten symbols of which five list late; one stray row on a Saturday, and a symbol that has no other row."""
    rows = frame(30, 10)
    saturday = DAY + dt.timedelta(days=14)
    stray = rows["date"] == saturday
    rows = rows.filter(~stray | (rows["symbol"] == "S3"))
    late = rows["symbol"].is_in(["S5", "S6", "S7", "S8", "S9"]) & (rows["date"] < DAY + dt.timedelta(days=20))
    once = pl.DataFrame({"date": [saturday], "symbol": ["ONCE"], "close": [1.0], "volume": [1], "sector": ["odd"]})
    return write_parts(pl.concat([rows.filter(~late), once.cast(rows.schema)]), tmp_path / "thin", files=1)


def test_thin_dates_are_counted_and_left_out_when_asked(thin: Path) -> None:
    # 2 of 6: S0..S4 and ONCE are alive, S5..S9 not yet.
    few = ff.load_market_data(thin)
    assert few.warnings == ()
    stray = pl.read_parquet(thin / "*.parquet").filter(pl.col("symbol") != "ONCE")
    panel = Panel.from_frame(stray)
    (said,) = panel.warnings
    assert said.startswith("thin_dates: 1 date has a row of fewer than a quarter of the living symbols")
    assert said.endswith(": 2020-01-15 (1 of 5)")
    kept = both(thin, min_symbols=3)
    assert kept.shape == (29, 10)
    assert "ONCE" not in kept.symbols
    assert kept.group("SECTOR").labels == ("food", "tech")
    assert kept.warnings == (
        "1 date is left out, with a row of fewer symbols than min_symbols, 3: 2020-01-15 (2 of 6)",
    )
    assert both(thin, min_symbols=0.5).data_hash == kept.data_hash
    assert both(thin, min_symbols=0.3).shape == (30, 11)


def test_a_stray_day_no_longer_blanks_windows(thin: Path) -> None:
    """Where it is left out, every window is that of data without it."""
    alpha = ff.compile("CORREL(CLOSE, VOLUME, 8)")
    panel = ff.load_market_data(thin)
    with_it = alpha.evaluate(panel)[:, panel.symbols.tolist().index("S0")]
    without = alpha.evaluate(ff.load_market_data(thin, min_symbols=0.5))
    assert np.isfinite(without[7:, :5]).all()
    assert np.isfinite(with_it).sum() == np.isfinite(without[:, 0]).sum() - 7


def test_no_date_is_left(thin: Path) -> None:
    assert "min_symbols 500: no date has a row of so many symbols (the most is 10)" in str(
        refused(thin, min_symbols=500)
    )


def test_a_thin_date_with_repeated_keys_is_left_out_before_they_are_judged(tmp_path: Path) -> None:
    rows = frame(30, 10)
    stray = pl.DataFrame(
        {"date": [DAY - dt.timedelta(days=4)] * 3, "symbol": ["S1"] * 3, "close": [1.0, 2.0, 3.0], "volume": [1] * 3}
    ).with_columns(sector=pl.lit("tech"))
    path = write_parts(pl.concat([stray.cast(rows.schema), rows]), tmp_path / "d")
    refused(path)
    assert both(path, min_symbols=2).shape == (30, 10)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "many"])
def test_what_min_symbols_cannot_be(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="min_symbols must be"):
        ff.load_market_data(None, min_symbols=wrong)


def test_the_report_counts_thin_dates_and_lists_repeated_keys(thin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = thin.parent / "stray.parquet"
    rows = pl.read_parquet(thin / "*.parquet").filter(pl.col("symbol") != "ONCE")
    many = rows[:8].with_columns(close=pl.lit(1.0))
    pl.concat([rows, many]).write_parquet(stray)
    report = quality_report(stray)
    assert report.count("thin_dates") == 1
    assert report.count("duplicate_keys") == 8
    assert main(["data", "check", str(stray), "--json"]) == 2
    found = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert len(found["duplicate_keys"]["details"]) == 8
    assert found["duplicate_keys"]["details"][0] == {
        "date": "2020-01-01", "symbol": "S0", "rows": ["row 1", f"row {rows.height + 1}"],
    }  # fmt: skip
    assert main(["data", "check", str(stray), "--json", "--duplicates", "first"]) == 0
    found = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["left_out_rows"]["count"] == 8
    assert "duplicate_keys" not in found


def test_random_data_read_alike_in_memory_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates, thin dates and cuts at once, in any order of rows: one panel, or one error."""
    monkeypatch.setattr(survey_module, "_CELLS", 64)
    monkeypatch.setattr("fama_fast.panel.choose_parts._ROWS", 16)
    monkeypatch.setattr(parquet_module, "BATCH_ROWS", 13)
    outcomes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = frame(int(rng.integers(2, 15)), int(rng.integers(2, 9)) // 2 * 2, seed)
        rows = rows.filter(pl.Series(rng.random(rows.height) < rng.choice([0.4, 1.0])))
        extra = rows.sample(int(rng.integers(0, 5)), with_replacement=True, seed=seed)
        if rng.random() < 0.5:
            extra = extra.with_columns(volume=pl.lit(1, dtype=pl.Int64))
        rows = pl.concat([rows, extra])
        order = rng.integers(3)
        rows = (
            rows.sort("date", maintain_order=True) if order == 0 else rows.sample(fraction=1.0, shuffle=True, seed=seed)
        )
        path = write_parts(rows, tmp_path / str(seed), files=int(rng.integers(1, 4)), group=int(rng.integers(3, 40)))
        options: dict[str, Any] = {"duplicates": str(rng.choice(["error", "first", "last"]))}
        if rng.random() < 0.5:
            options["min_symbols"] = float(rng.choice([2, 3, 0.3, 0.6]))
        if rng.random() < 0.5:
            options |= {"start": "2020-01-04", "history": int(rng.integers(0, 4))}
        if rng.random() < 0.3:
            options["end"] = "2020-01-09"
        try:
            ff.load_market_data(path, **options)
        except DataError:
            refused(path, **options)
            outcomes.add("refused")
        else:
            both(path, **options)
            outcomes.add("read")
    assert outcomes == {"read", "refused"}


# Commands


def test_score_reads_the_dates_scored_and_those_that_windows_look_back_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """152 repeated keys on one old day, of which nothing depends."""
    rows = frame(60, 20)
    old = pl.concat([rows[:20].with_columns(close=pl.lit(float(i))) for i in (1, 2)])
    path = tmp_path / "d.parquet"
    pl.concat([rows, old]).write_parquet(path)
    rows.write_parquet(tmp_path / "clean.parquet")
    score = ["score", "RANK(TS_MEAN(CLOSE, 10))", "--json", "--start", "2020-01-20", "--end", "2020-02-20", "--data"]
    for more in ([], ["--memory-budget", "100MB"]):
        assert main([*score, str(path), *more]) == 0
        out, err = capsys.readouterr()
        assert "warning" not in err
        (found,) = json.loads(out)
        (whole,) = ff.score(
            "RANK(TS_MEAN(CLOSE, 10))",
            ff.load_market_data(tmp_path / "clean.parquet"),
            start="2020-01-20",
            end="2020-02-20",
        ).to_dicts()
        assert {k: pytest.approx(v, nan_ok=True) for k, v in whole.items()} == found
        assert main([*score[:3], "--data", str(path), *more]) == 2
        assert "20 (date, symbol) keys are in more than one row" in capsys.readouterr().err
        assert main([*score[:3], "--data", str(path), "--duplicates", "first", *more]) == 0
        assert "40 rows are left out, of 20 (date, symbol) keys with rows that differ" in capsys.readouterr().err
        # Windows that look back to that day need it.
        assert main(["score", "TS_MEAN(CLOSE, 19)", *score[2:], str(path), *more]) == 2
        assert main(["score", "TS_MEAN(CLOSE, 18)", *score[2:], str(path), *more]) == 0
        capsys.readouterr()
    assert main([*score[:3], "--data", str(path), "--start", "2031-01-01"]) == 2
    assert (
        "no rows between 2031-01-01 and the end (the data runs from 2020-01-01 to 2020-02-29)"
        in capsys.readouterr().err
    )
    assert main(["score", "CLOSE", "--start", "2031-01-01"]) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["compute", "RANK(CLOSE)", "--output", "{}/a.parquet"],
        ["compute", "RANK(CLOSE)", "--output", "{}/b.parquet", "--memory-budget", "100MB"],
        ["compute", "RANK(CLOSE)", "--store", "{}/store"],
        ["data", "describe", "{}/d.parquet"],
        ["data", "check", "{}/d.parquet"],
        ["data", "convert", "{}/d.parquet", "--output", "{}/c.parquet"],
        ["check", "RANK(CLOSE)"],
        ["score", "RANK(CLOSE)", "--cluster", "local:1"],
    ],
)
def test_every_command_has_a_way_on(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = frame(30, 10)
    stray = DAY + dt.timedelta(days=20)
    pl.concat(
        [rows[:1].with_columns(close=pl.lit(9.0)), rows.filter((pl.col("date") != stray) | (pl.col("symbol") == "S1"))]
    ).write_parquet(tmp_path / "d.parquet")
    given = [part.format(tmp_path) for part in command]
    if given[0] != "data":
        given += ["--data", str(tmp_path / "d.parquet")]
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert "(2020-01-01, S0) in" in out + err
    assert main([*given, "--duplicates", "last"]) == 0
    out, err = capsys.readouterr()
    assert "thin_dates" in out + err
    again = [g.replace("/store", "/store2") for g in given]
    assert main([*again, "--start", "2020-01-03", "--min-symbols", "0.5"]) == 0
    out, err = capsys.readouterr()
    assert "thin_dates" not in out + err
    assert "1 date is left out" in out + err


@pytest.mark.parametrize(
    "command",
    [
        ["score", "RANK(CLOSE)", "--json", "--data", "{}/d.parquet"],
        ["score", "RANK(CLOSE)", "--json", "--data", "{}/d.parquet", "--memory-budget", "100MB"],
        ["data", "describe", "{}/d.parquet", "--json"],
        ["mine", "--json", "--data", "{}/d.parquet", "--ledger", "{}/ledger.sqlite"],
    ],
)
def test_machines_get_the_whole_list(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = frame(30, 10)
    pl.concat([rows, rows[:152].with_columns(close=pl.lit(9.0))]).write_parquet(tmp_path / "d.parquet")
    assert main([part.format(tmp_path) for part in command]) == 2
    out, err = capsys.readouterr()
    assert "152 (date, symbol) keys are in more than one row" in err
    found = json.loads(out)
    error = found if command[0] == "mine" else found["error"]
    assert (error["kind"], error["exit_code"], error["count"]) == ("DataError", 2, 152)
    assert len(error["duplicates"]) == 152
    assert error["duplicates"][0]["symbol"] == "S0"
    assert len(error["duplicates"][0]["rows"]) == 2
    assert not (tmp_path / "ledger.sqlite").exists()


def test_other_errors_are_told_to_machines_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "RNK(CLOSE)", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["suggestion"], error["column"]) == ("UnknownName", "RANK", 1)
    assert main(["score", "CLOSE", "--json", "--data", "nowhere.parquet"]) == 2
    assert "no such file" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["score", "CLOSE", "--json", "--entry-lag", "-1"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2
    assert main(["score", "CLOSE", "--data", "nowhere.parquet"]) == 2
    assert capsys.readouterr().out == ""


# Files about symbols


def test_group_files_with_repeated_symbols(tmp_path: Path) -> None:
    data, groups = tmp_path / "d.parquet", tmp_path / "g.csv"
    frame().drop("sector").write_parquet(data)
    # S1 has another name the second time, S2 another sector; X is no symbol of the data.
    groups.write_text(
        "symbol,name,sector\nS0,a,tech\nS1,b,food\nS1,B,food\nS2,c,tech\nS2,c,food\nS2,c,food\nX,x,1\nX,x,2\n"
    )
    for read in (ff.load_market_data, ff.scan_market_data):
        with pytest.raises(DataError) as caught:
            read(data, groups=groups)
        assert "g.csv: 1 symbol is in more than one row, and the rows differ: S2 in row 4, row 5, row 6" in str(
            caught.value
        )
        assert caught.value.details == {
            "duplicates": [{"symbol": "S2", "rows": ["row 4", "row 5", "row 6"]}],
            "count": 1,
        }
        for which, sector in (("first", "tech"), ("last", "food")):
            found = read(data, groups=groups, duplicates=which)
            panel = found if isinstance(found, Panel) else found.panel()
            group = panel.group("SECTOR")
            assert group.labels[int(group.codes[0, 2])] == sector
            assert "g.csv: 1 row is left out that say what another one says: S1 in row 2, row 3" in panel.warnings
            assert any(
                f"2 rows are left out, of 1 symbol with rows that differ; the {which} is kept" in w
                for w in panel.warnings
            )


def test_membership_files_with_repeated_spells(tmp_path: Path) -> None:
    data, members = tmp_path / "d.parquet", tmp_path / "m.csv"
    frame().write_parquet(data)
    members.write_text(
        "symbol,start,end\nS0,2020-01-02,2020-01-05\nS0,2020-01-02,2020-01-05\nS1,2020-01-03,\nS1,2020-01-03,2020-01-06\n"
        "S1,2020-01-08,2020-01-09\nX,2020-01-01,\nX,2020-01-01,2020-01-02\n"
    )
    for read in (ff.load_market_data, ff.scan_market_data):
        with pytest.raises(DataError) as caught:
            read(data, universe=members)
        assert "m.csv: 1 (start, symbol) key is in more than one row" in str(caught.value)
        assert "(2020-01-03, S1) in row 3, row 4" in str(caught.value)
        for which, days in (("first", 10), ("last", 4)):
            found = read(data, universe=members, duplicates=which)
            panel = found if isinstance(found, Panel) else found.panel()
            assert panel.universe is not None
            assert panel.universe.sum(axis=0).tolist()[:3] == [3, days, 0]
            assert (
                "m.csv: 1 row is left out that say what another one says: (2020-01-02, S0) in row 1, row 2"
                in panel.warnings
            )


# Text files: the type of a column hangs on what is asked for


def with_bad_cells(rows: pl.DataFrame, date: str) -> pl.DataFrame:
    """As a CSV has them, with words in all columns of numbers on one day."""
    texts = rows.with_columns(pl.col("close", "volume").cast(pl.String), pe=pl.lit("7.5"))
    bad = pl.col("date").cast(pl.String) == date
    return texts.with_columns(
        pl.when(bad).then(pl.lit("#ERR")).otherwise(c).alias(c) for c in ("close", "volume", "pe")
    )


@pytest.mark.parametrize("files", ["one", "by year", "wide"])
def test_bad_cells_outside_are_not_judged(files: str, tmp_path: Path) -> None:
    rows = frame(20)
    place = tmp_path / "data"
    place.mkdir()
    texts = with_bad_cells(rows, "2020-01-02")
    if files == "one":
        texts.write_csv(place / "a.csv")
    elif files == "by year":
        early = pl.col("date") < dt.date(2020, 1, 6)
        texts.filter(early).write_csv(place / "a.csv")
        texts.filter(~early).write_csv(place / "b.csv")
    else:
        for field in ("close", "volume", "pe"):
            texts.pivot("symbol", index="date", values=field).write_csv(place / f"{field}.csv")
    clean = Panel.from_frame(rows.filter(pl.col("date") >= dt.date(2020, 1, 8)))
    for options in ({"start": "2020-01-08"}, {"start": "2020-01-10", "history": 2}):
        panel = ff.load_market_data(place, **options)
        np.testing.assert_array_equal(panel["CLOSE"], clean["CLOSE"])
        assert (panel["PE"] == 7.5).all()
        assert "VOLUME" in panel.fields
    for options in ({}, {"start": "2020-01-08", "history": 6}, {"end": "2020-01-02"}):
        with pytest.raises(DataError, match=r"#ERR|'close' is numbers, but text in a\.csv"):
            ff.load_market_data(place, **options)
    if files == "one":
        assert quality_report(place / "a.csv", start="2020-01-08").ok


def test_bad_cells_and_thin_dates_in_the_history(tmp_path: Path) -> None:
    """Where dates may be passed over, more of the past may be used, and it is judged."""
    with_bad_cells(frame(20), "2020-01-02").write_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match="'close' holds text"):
        ff.load_market_data(tmp_path / "a.csv", start="2020-01-10", history=2, min_symbols=2)
    assert ff.load_market_data(tmp_path / "a.csv", start="2020-01-10", min_symbols=2).shape[0] == 11
