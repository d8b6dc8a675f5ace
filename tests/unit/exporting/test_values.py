"""Values on their way out: CSV, Parquet and alphalens's factor_data, from Python and from a run of the ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import SimulationSpec
from fama_fast.errors import ConfigError


@pytest.fixture
def at_the_run(mined: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(mined)
    return mined


def test_values_of_a_run_point_upwards(at_the_run: Path, tmp_path: Path) -> None:
    for ending in ("parquet", "csv"):
        out = tmp_path / f"values.{ending}"
        assert main(["export", "last", "--to", ending, "--output", str(out)]) == 0
        frame = pl.read_parquet(out) if ending == "parquet" else pl.read_csv(out, try_parse_dates=True)
        wanted = tmp_path / f"computed.{ending}"
        assert main(["compute", "last", "--output", str(wanted)]) == 0
        same = pl.read_parquet(wanted) if ending == "parquet" else pl.read_csv(wanted, try_parse_dates=True)
        assert frame.equals(same)
        assert frame.width > 2


def test_factor_data_of_a_run(at_the_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tears"
    assert main(["export", "out.yaml", "--to", "alphalens", "--periods", "1,3", "--output", str(folder)]) == 0
    files = sorted(folder.iterdir())
    assert f"wrote {files[-1]}" in capsys.readouterr().err
    frame = pd.read_parquet(files[0])
    assert list(frame.columns) == ["1D", "3D", "factor", "factor_quantile"]
    assert frame.index.names == ["date", "asset"]
    panel = ff.load_market_data("panel.parquet")
    alpha = ff.compile(frame.attrs["factor"])
    values = ff.evaluate([alpha], panel, min_coverage=0.9)[0]
    pd.testing.assert_frame_equal(frame, ff.to_alphalens(values, panel, periods=(1, 3), entry_lag=1))


def test_alphalens_in_python(tmp_path: Path) -> None:
    panel = ff.simulate(SimulationSpec(30, 90, 3))
    done = ff.export(["RANK(CLOSE)", "TS_MEAN(RET, 5)"], "alphalens", data=panel, names=["a", "b"], group="SECTOR")
    assert done.frames is not None
    assert list(done.frames) == ["a", "b"]
    assert "group" in done.frames["a"].columns
    assert repr(done) == "Exported(alphalens: 2 frames)"
    with pytest.raises(ConfigError, match="would hold one factor"):
        ff.export(["RANK(CLOSE)", "TS_MEAN(RET, 5)"], "alphalens", tmp_path / "x.parquet", data=panel)
    with pytest.raises(ConfigError, match=r"written as \.parquet or into a folder"):
        ff.export("RANK(CLOSE)", "alphalens", tmp_path / "x.csv", data=panel)
    with pytest.raises(ConfigError, match="say which file"):
        ff.export("RANK(CLOSE)", "csv", data=panel)
    with pytest.raises(ConfigError, match=r"ends in \.csv"):
        ff.export("RANK(CLOSE)", "csv", tmp_path / "x.parquet", data=panel)


def test_texts_of_a_run(at_the_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "last", "--to", "brain", "--settings", "decay=4"]) == 0
    out, err = capsys.readouterr()
    texts = out.splitlines()
    assert texts
    assert "factors said in brain" in err or "factor said in brain" in err
    for text in texts:
        assert np.isfinite(ff.compile(text, dialect="brain").evaluate("panel.parquet")).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["CLOSE", "--to", "csv", "--output", "x.csv"], "name the data"),
        (["CLOSE", "--to", "brain", "--settings", "decay"], "--settings says delay=1,decay=4"),
        (["CLOSE", "--to", "brain", "--field", "AMOUNT"], "--field says AMOUNT=turnover"),
        (["CLOSE", "--to", "alphalens", "--periods", "1,x"], "--periods are whole days"),
        (["CLOSE", "--to", "qlib", "--universe", "x"], "those that --data names"),
        (["CLOSE", "--tto", "qlib"], "did you mean --to"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *arguments, *(["--to", "qlib"] if "--tto" in arguments else [])]) == 2
    assert words in capsys.readouterr().err


def test_nothing_said_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "RANK(CLOSE) * RANK(VOLUME)", "--to", "qlib"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "RANK: qlib's expressions see one instrument at a time" in err
    assert "0 of 1 factor said in qlib" in err
