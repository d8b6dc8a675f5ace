"""`fama-fast data`: reports, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("fama_fast.cli.app")

from fama_fast.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["data", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "m.parquet"
    code, out, _ = run(capsys, "simulate", "--symbols", "20", "--dates", "60", "--seed", "3", "-o", str(path))
    assert code == 0
    assert out.startswith("simulator (seed 3, 20 symbols x 60 days, pure noise): 1,")
    return path


def test_simulate_writes_the_same_file_twice(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.read_parquet(simulated)
    assert frame.columns == ["date", "symbol", "open", "high", "low", "close", "volume", "sector", "industry"]
    again = simulated.with_name("again.csv")
    code, out, _ = run(
        capsys, "simulate", "--symbols", "20", "--dates", "60", "--seed", "3", "--output", str(again), "--json"
    )
    assert code == 0
    assert json.loads(out)["rows"] == frame.height
    assert pl.read_csv(again, try_parse_dates=True)["close"].to_list() == pytest.approx(frame["close"].to_list())


def test_simulate_with_a_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fama_fast.engine")
    path = str(tmp_path / "s.parquet")
    text = "CLOSE > OPEN ? 1 : 0:0.2"
    code, out, err = run(capsys, "simulate", "--symbols", "30", "--dates", "40", "-o", path, "--signal", text)
    assert (code, err) == (0, "")
    assert "planted: CLOSE > OPEN ? 1 : 0 with RankIC 0.2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--signal", "RANK(CLOSE)"), "--signal must be an expression and a RankIC"),
        (("--signal", "RANK(CLOSE):much"), "--signal must be"),
        (("--signal", "RANK(CLOSE):1.5"), "between -1 and 1"),
        (("--start", "soon"), "--start must be a date"),
        (("--missing", "2"), "missing must be a share"),
    ],
)
def test_simulate_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run(capsys, "simulate", "-o", str(tmp_path / "x.parquet"), *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_simulate_into_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("no/x.parquet", "does not exist"), ("x.xlsx", "must end in")):
        code, _, err = run(capsys, "simulate", "-o", str(tmp_path / name))
        assert code == 2
        assert message in err
    assert not list(tmp_path.iterdir())


def test_check_reports_and_passes(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", str(simulated))
    assert (code, err) == (0, "")
    assert "20 symbols, 60 dates" in out
    assert "survivorship" in out
    code, out, _ = run(capsys, "check", str(simulated), "--json")
    assert code == 0
    assert json.loads(out)["n_symbols"] == 20


def test_check_fails_on_duplicates_and_says_which(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.read_parquet(simulated)
    pl.concat([frame, frame[:1].with_columns(close=pl.lit(1.0))]).write_parquet(simulated)
    code, out, err = run(capsys, "check", str(simulated))
    assert code == 2
    assert f"(2015-01-01, SIM0001) in row 1, row {frame.height + 1:,}" in out
    assert "cannot be loaded" in err
    code, out, err = run(capsys, "describe", str(simulated))
    assert (code, out) == (2, "")
    assert "1 (date, symbol) key is in more than one row" in err


def test_check_of_a_missing_file(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", str(simulated.with_name("n.parquet")))
    assert (code, out) == (2, "")
    assert "did you mean" in err
    assert "Traceback" not in err


def test_describe(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = tmp_path / "members.csv"
    members.write_text("symbol,start,end\nSIM0001,2015-01-01,\nSIM0002,2015-01-01,2015-01-10\n")
    code, out, err = run(capsys, "describe", str(simulated), "--universe", str(members))
    assert code == 0
    assert "universe: 1 to 2 members a day" in out
    assert "SECTOR" in out
    assert "18 symbols are not in members.csv" in err
    code, out, _ = run(capsys, "describe", str(simulated), "--json")
    about = json.loads(out)
    assert about["n_dates"] == 60
    assert {f["field"] for f in about["fields"]} == {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP"}
    assert len(about["data_hash"]) == 32
