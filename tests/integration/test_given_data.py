"""A run that was mined from Python on data it was given is reported from, and resumed on, these very data."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, scan_market_data, simulate, to_frame
from fama_fast.data.load import load_origin
from fama_fast.data.simulator.simulate import PlantedSignal
from fama_fast.errors import ConfigError, DataError
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.run.mine import mine
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "run": {"rounds": 1, "candidates": 10, "seed": 2},
    "control": {"random": False},
    "gates": {"min_rank_ic": 0.0, "min_t": 0.0},
}
SPEC = SimulationSpec(n_symbols=20, n_dates=260, seed=5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame = to_frame(simulate(SPEC))
    frame.rename({"close": "px"}).write_csv(tmp_path / "odd.csv")
    frame.write_parquet(tmp_path / "prices.parquet")
    frame.select("symbol", pl.col("symbol").str.slice(6).alias("industry")).unique().write_csv(tmp_path / "groups.csv")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `fama-fast report` notes, and its summary."""
    capsys.readouterr()
    assert main(["report", *arguments, "--markdown"]) == 0
    out, err = capsys.readouterr()
    return err + out


@pytest.mark.parametrize(
    "load",
    [
        lambda: ff.load_market_data("prices.parquet"),
        lambda: ff.load_market_data("odd.csv", columns={"close": "px"}, groups="groups.csv", start="2015-01-05"),
        lambda: ff.load_market_data("prices.parquet", fields=["CLOSE", "VOLUME"], dtype="float32"),
        lambda: ff.load_market_data("prices.parquet", start=dt.date(2015, 1, 6), group_fields=()),
        lambda: scan_market_data("prices.parquet"),
        lambda: ff.load_market_data(None, simulation=SPEC),
        lambda: Panel.from_parquet("prices.parquet"),
    ],
    ids=["file", "options", "fields", "dates", "parts", "simulated", "by another door"],
)
def test_data_that_were_loaded_are_found_again(here: Path, capsys: pytest.CaptureFixture[str], load: Any) -> None:
    panel = load()
    mine(SETTINGS | {"run": SETTINGS["run"] | {"threads": 1}}, panel=panel, output="out.yaml")
    for target in ("last", "out.yaml"):
        summary = told(capsys, target)
        assert "not supplied" not in summary
        assert f"hash {panel.data_hash}" in summary
        assert "Figures below are of validation dates" in summary
    # The origin does not hang on the folder that the run was made in.
    with Ledger.open("runs/ledger.sqlite", create=False) as ledger:
        record = ledger.get_run("last").data
    assert record is not None
    assert record["given"] is True
    if record["origin"] is not None:
        again = load_origin(json.loads(json.dumps(record["origin"])))
        assert again.data_hash == panel.data_hash
        assert record["origin"].get("path") is None or record["origin"]["path"].startswith("/")


def test_data_made_in_memory_are_never_taken_for_the_simulator(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        ff.load_market_data(to_frame(simulate(SPEC))),
        simulate(SPEC).replace(fields={"EXTRA": simulate(SPEC)["CLOSE"]}),
        ff.load_market_data("prices.parquet").slice_dates(0, 240),
    ]
    for panel in made:
        assert panel.origin is None
        mine(SETTINGS, panel=panel, output="out.yaml")
        for target in ("last", "out.yaml"):
            err = told(capsys, target)
            assert "figures not supplied: " in err
            assert "name them with --data" in err.replace("name those with", "name them with")
        to_frame(panel).write_parquet("given.parquet")
        assert "figures not supplied" not in told(capsys, "last", "--data", "given.parquet")
        assert main(["report", "last", "--data", "prices.parquet"]) == (0 if panel is made[0] else 2)
    assert "is not the data of this run" in capsys.readouterr().err


def test_a_file_that_changed_or_went_is_not_the_data_of_the_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine(SETTINGS, panel=ff.load_market_data("prices.parquet"))
    to_frame(simulate(SPEC)).head(4000).write_parquet("prices.parquet")
    err = told(capsys, "last")
    assert "prices.parquet is no longer the data of the run (now " in err
    assert "name those with --data" in err
    (here / "prices.parquet").unlink()
    err = told(capsys, "last")
    assert "the data of the run cannot be read again (" in err
    assert "prices.parquet" in err
    assert "name them with --data" in err


def test_runs_of_earlier_versions_are_found_by_what_they_called_their_data(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fama_fast.ledger import schema

    for panel, err in (
        (ff.load_market_data("prices.parquet"), ""),
        (simulate(SPEC), "is no longer the data of the run"),
        (ff.load_market_data(to_frame(simulate(SPEC))), "and nobody recorded where these came from"),
    ):
        mine(SETTINGS, panel=panel)
        with Ledger.open("runs/ledger.sqlite", create=False) as ledger, ledger.transaction(write=True) as c:
            c.execute(schema.runs.update().values(data=None))
        assert err in told(capsys, "last")
        assert ("figures not supplied" in told(capsys, "last")) == bool(err)


def test_a_given_run_is_resumed_on_its_data_or_says_what_it_needs(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Ledger.commit_round, []

    def stop(*arguments: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        real(*arguments, **named)

    longer = SETTINGS | {"run": SETTINGS["run"] | {"rounds": 2}}
    whole = mine(longer, panel=ff.load_market_data("prices.parquet")).to_dict()
    for panel in (ff.load_market_data("prices.parquet"), ff.load_market_data(to_frame(simulate(SPEC)))):
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "commit_round", stop)
            with pytest.raises(KeyboardInterrupt):
                mine(longer, panel=panel, output="none.yaml")
        known = panel.origin is not None
        code = main(["mine", "--resume", "last", "--output", "out.yaml", "-q"])
        assert (code in (0, 1)) == known
        if not known:
            err = capsys.readouterr().err
            assert "data in memory (frame), and nobody recorded where these came from" in err
            assert "name them with --data, or give mine() the panel" in err
            with pytest.raises(ConfigError, match="name them with --data"):
                mine(longer, resume="last")
            assert main(["mine", "--resume", "last", "--data", "prices.parquet", "--output", "out.yaml", "-q"]) in (
                0,
                1,
            )
        document = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
        assert document["factors"] == json.loads(json.dumps(whole["factors"]))


def test_an_origin_is_plain_data_or_none(here: Path) -> None:
    spec = SimulationSpec(n_symbols=30, n_dates=60, signals=(PlantedSignal("RANK(DELTA(CLOSE, 2))", 0.1),))
    panel = ff.load_market_data(None, simulation=spec)
    assert load_origin(json.loads(json.dumps(panel.origin))).data_hash == panel.data_hash

    assert ff.load_market_data("prices.parquet", universe=None).origin == {"path": str(here / "prices.parquet")}
    for damaged in (
        {},
        {"path": None, "simulation": {"n_symbols": 3}},
        {"path": 5},
        {"path": "prices.parquet", "x": 1},
    ):
        with pytest.raises((DataError, ConfigError)):
            load_origin(damaged)


def test_how_data_are_read_is_said_with_the_data_or_not_at_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine(SETTINGS, panel=ff.load_market_data("prices.parquet"))
    for options in (["--groups", "groups.csv"], ["--universe", "x"], ["--start", "2015-02-01"]):
        assert main(["report", "last", *options]) == 2
        assert "goes with --data" in capsys.readouterr().err
