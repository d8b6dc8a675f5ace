"""`data convert`: any layout as one Parquet file, with the same data; and the page that explains layouts."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from fama_fast.cli import main
from fama_fast.data import SimulationSpec, load_market_data, simulate, to_frame
from tests.support.paths import ROOT
from tests.support.qlib_folder import write_qlib


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return to_frame(simulate(SimulationSpec(n_symbols=10, n_dates=50, seed=6, late_listing=0.3, missing=0.03)))


def test_any_layout_becomes_one_file(
    frame: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fama_fast.cli.convert._CHUNK_CELLS", 70)  # seven dates at a time
    places = {
        "qlib": write_qlib(frame, tmp_path / "qlib"),
        "csv": tmp_path / "one.csv",
        "symbols": tmp_path / "symbols",
    }
    frame.write_csv(places["csv"])
    places["symbols"].mkdir()
    for (symbol,), own in frame.group_by("symbol"):
        own.drop("symbol").write_csv(places["symbols"] / f"{symbol}.csv")
    for name, place in places.items():
        out = tmp_path / f"{name}.parquet"
        assert main(["data", "convert", str(place), "--output", str(out)]) == 0
        found = load_market_data(out)
        assert found.data_hash == load_market_data(place).data_hash
        assert found.layout == ""
        assert pl.read_parquet(out)["date"].is_sorted()
        assert f"wrote {out}: {frame.height} rows, 50 dates x 10 symbols" in capsys.readouterr().err


def test_groups_and_a_universe_are_written_too(frame: pl.DataFrame, tmp_path: Path) -> None:
    folder = write_qlib(frame, tmp_path / "q", indices={"csi": [(frame["symbol"][0], "2015-01-05", "2015-02-02")]})
    frame.select("symbol", "sector").unique().write_csv(tmp_path / "sectors.csv")
    out = tmp_path / "out.parquet"
    options = ["--universe", "csi", "--groups", str(tmp_path / "sectors.csv")]
    assert main(["data", "convert", str(folder), "--output", str(out), *options]) == 0
    expected = load_market_data(folder, universe="csi", groups=tmp_path / "sectors.csv")
    found = load_market_data(out)
    assert found.group("SECTOR").labels == expected.group("SECTOR").labels
    assert found.universe is not None
    assert expected.universe is not None
    assert int(found.universe.sum()) == int(expected.universe.sum()) > 0


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", str(tmp_path / "none"), "--output", str(tmp_path / "x.csv")]) == 2
    assert "must end in .parquet, .pq" in capsys.readouterr().err
    assert main(["data", "convert", str(tmp_path / "none"), "--output", str(tmp_path / "x.parquet")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to_frame(simulate(SimulationSpec(n_symbols=6, n_dates=30, seed=1))).write_parquet(tmp_path / "prices.parquet")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(code, "docs/data.md", "exec"), names)
    assert capsys.readouterr().out == "wide tables: close, volume\n"
