"""A search that starts from a published library: what is measured, left out, recorded, resumed, and read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.engine import budget
from fama_fast.errors import ConfigError
from fama_fast.ledger.ledger import Ledger
from fama_fast.library import FactorSet, gtja191, make_factor
from fama_fast.library.published import PUBLISHED
from fama_fast.mining.progress.plain import NoProgress
from fama_fast.mining.run.stopping import StopRequest
from fama_fast.panel import digest

SIGNAL = PlantedSignal("-RANK(TS_MEAN(VOLUME, 5))", 0.15)
SETTINGS: dict[str, Any] = {
    "k": 4,
    "l": 2,
    "run": {"wanted": 1000, "rounds": 2, "candidates": 6, "patience": 100, "seed": 5, "threads": 1},
    "control": {"random": True},
}
MEASURED = {"alpha101": 19, "alpha158": 158, "alpha360": 358, "gtja191": 89}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a configuration that names them."""
    folder = tmp_path_factory.mktemp("start")
    to_frame(simulate(SimulationSpec(24, 600, seed=3, signals=(SIGNAL,)))).write_parquet(
        folder / "prices.parquet", row_group_size=997
    )
    config = SETTINGS | {"paths": {"market_data": "prices.parquet"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in place.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document.pop("record")
    return document


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_library_is_measured_recorded_and_mined_from(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["mine", "--config", "run.yaml", "--library", name, "--output", "out.yaml"]) in (0, 1)
    out = capsys.readouterr().out
    assert f"scored {MEASURED[name]} factors from {PUBLISHED[name].title}, best training RankIC +" in out
    assert result(here / "out.yaml")["settings"]["library"] == name
    with Ledger.open(here / "runs" / "ledger.sqlite", create=False) as ledger:
        run = ledger.get_run("last")
        start = ledger.starting_factors(run.id)
        assert run.config["library"] == name
        rows = ledger.candidates(run.id)
    # What could not be proposed is shown to nobody, so no parent is refused.
    assert len(rows) == 12
    assert not [r for r in rows if r["gate"] == "answer"]
    assert len(start) == MEASURED[name]
    assert all(np.isfinite(f.score) for f in start)
    left_out = [line for line in out.splitlines() if line.startswith("left out of the library: ")]
    whole = len(PUBLISHED[name].factors())
    refused = whole - MEASURED[name]
    assert bool(left_out) is bool(refused)
    if name == "gtja191":
        assert any(f"96 of {whole} factors whose order hangs on each symbol's price level" in t for t in left_out)
        assert any("3 of 189 factors (" in t and "no field 'BENCHMARK_CLOSE'" in t for t in left_out)
        assert any("no field 'BENCHMARK_OPEN'" in t for t in left_out)


def test_with_the_index_and_price_levels_allowed_all_of_gtja_is_measured(
    here: Path,
) -> None:
    panel = ff.load_market_data(here / "prices.parquet")
    closes = panel["CLOSE"]
    index = np.broadcast_to(np.nanmean(closes, axis=1, keepdims=True), closes.shape)
    opened = np.broadcast_to(np.nanmean(panel["OPEN"], axis=1, keepdims=True), closes.shape)
    fields = {"BENCHMARK_CLOSE": index.copy(), "BENCHMARK_OPEN": opened.copy()}
    settings = SETTINGS | {
        "library": "gtja191",
        "gates": {"price_level": "allow"},
        "control": {"random": False},
        "ledger": "all.sqlite",
    }
    found = ff.mine(settings, panel=panel.replace(fields=fields))
    assert len(found.library) >= len(gtja191())


class _Stop(NoProgress):
    """Asks the search to stop after its first round."""

    def __init__(self) -> None:
        self.stop = StopRequest()

    def phase(self, text: str) -> None:
        if text.startswith("round 1:"):
            self.stop.ask("enough")


def test_read_in_parts_stopped_and_resumed_it_has_the_same_bits(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_FIXED", 0)
    monkeypatch.setattr(digest, "_FIXED", 0)

    def settings(name: str, library: str = "gtja191", memory: str | None = None) -> dict[str, Any]:
        run = SETTINGS["run"] | {"memory_budget": memory}
        more = {"library": library, "paths": {"market_data": str(here / "prices.parquet")}, "ledger": f"{name}.sqlite"}
        return SETTINGS | more | {"run": run}

    whole = ff.mine(settings("whole")).to_dict()
    watch = _Stop()
    stopped = ff.mine(settings("parts", memory="6500kB"), progress=watch, stop=watch.stop)
    assert stopped.verdict.status.value == "interrupted"
    with pytest.raises(ConfigError, match="library is 'alpha158', was 'gtja191'"):
        ff.mine(settings("parts", "alpha158"), resume="last")
    again = ff.mine(settings("parts", memory="7MB"), resume="last").to_dict()
    for document in (whole, again):
        document.pop("record")
        document["data"].pop("quality")  # of data that are read in parts none is made
    assert repr(again) == repr(whole)


def test_a_cache_comes_first_and_keeps_the_library_it_began_with(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((here / "run.yaml").read_text(encoding="utf-8"))
    config["paths"]["factor_cache"] = "cache.yaml"
    config |= {"library": "alpha158", "gates": {"max_correlation": 1.0, "min_t": 0.0, "min_rank_ic": 0.0}}
    (here / "cached.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["mine", "--config", "cached.yaml"]) in (0, 1)
    out = capsys.readouterr().out
    assert "scored 158 factors from qlib's Alpha158 (the factor cache " in out
    assert "holds none yet)" in out
    kept = FactorSet.from_yaml(here / "cache.yaml")
    assert len(kept) > 158
    assert main(["mine", "--config", "cached.yaml", "--library", "alpha360"]) in (0, 1)
    out = capsys.readouterr().out
    assert f"scored {len(kept)} factors from the factor cache" in out
    assert "cache.yaml, which comes before library: alpha360" in out


def test_a_wrong_name_is_one_message(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "--config", "run.yaml", "--library", "gtja101"]) == 2
    error = capsys.readouterr().err
    assert "library must be one of seeds, alpha101, alpha158, alpha360, gtja191, not 'gtja101'; did you mean" in error
    with pytest.raises(ConfigError, match=r"library must be one of .*not 'alpha159'; did you mean alpha158\?"):
        ff.mine({"library": "alpha159"})
    assert not (here / "runs").exists()


def test_a_folder_of_factors_is_mined_from_recorded_and_not_needed_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "ideas"
    folder.mkdir()
    FactorSet([make_factor("RANK(HIGH / LOW)"), make_factor("RANK(DELTA(CLOSE, 5) / CLOSE)")]).to_yaml(
        folder / "a.yaml"
    )
    (folder / "b.txt").write_text("RANK(HIGH / LOW)\nflow: RANK(VOLUME / TS_MEAN(VOLUME, 20))\n", encoding="utf-8")
    assert main(["mine", "--config", "run.yaml", "--library", "ideas", "--output", "out.yaml"]) in (0, 1)
    out = capsys.readouterr().out
    assert f"scored 3 factors from 2 files of the folder {folder}, best training RankIC +" in out
    assert "library: 1 factor that came before counts once (RANK(HIGH / LOW) of b.txt)" in out
    document = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
    assert document["settings"]["library"] == str(folder)
    read = document["record"]["library"]
    assert [(f["path"], f["factors"]) for f in read["files"]] == [
        (str(folder / "a.yaml"), 2),
        (str(folder / "b.txt"), 1),
    ]
    with Ledger.open(here / "runs" / "ledger.sqlite", create=False) as ledger:
        run = ledger.get_run("last")
        assert run.data is not None
        assert run.data["library"] == read
        assert len(ledger.starting_factors(run.id)) == 3
    assert main(["report", "out.yaml", "--output", "page.html"]) == 0
    capsys.readouterr()
    # The result of one run is what another starts from.
    found = len(document["factors"])
    assert found
    assert main(["mine", "--config", "run.yaml", "--library", "out.yaml"]) in (0, 1)
    assert f"scored {found} factors from the file {here / 'out.yaml'}" in capsys.readouterr().out


def test_files_are_read_before_anything_is_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.txt").write_text("RANK(CLOSE)\nRANK(CLOSE\n", encoding="utf-8")
    assert main(["mine", "--config", "run.yaml", "--library", "bad.txt"]) == 2
    assert "bad.txt, line 2 (RANK(CLOSE): the expression is not valid" in capsys.readouterr().err
    assert main(["mine", "--config", "run.yaml", "--library", "dab.txt"]) == 2
    error = capsys.readouterr().err
    assert f"there is no file or folder {here / 'dab.txt'}" in error
    assert "Traceback" not in error
    assert not (here / "runs").exists()


def test_a_library_of_files_read_in_parts_stopped_and_resumed_has_the_same_bits(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_FIXED", 0)
    monkeypatch.setattr(digest, "_FIXED", 0)
    ideas = here / "ideas.txt"
    ideas.write_text("RANK(TS_MEAN(VOLUME, 120))\nRANK(HIGH / LOW)\n", encoding="utf-8")

    def settings(name: str, memory: str | None = None) -> dict[str, Any]:
        run = SETTINGS["run"] | {"memory_budget": memory}
        more = {
            "library": str(ideas),
            "paths": {"market_data": str(here / "prices.parquet")},
            "ledger": f"{name}.sqlite",
        }
        return SETTINGS | more | {"run": run}

    whole = ff.mine(settings("whole")).to_dict()
    watch = _Stop()
    assert ff.mine(settings("parts", "6500kB"), progress=watch, stop=watch.stop).verdict.status.value == "interrupted"
    ideas.unlink()  # what the run began with is in its ledger
    again = ff.mine(settings("parts", "7MB"), resume="last").to_dict()
    assert again["record"]["library"] == whole["record"]["library"]
    for document in (whole, again):
        document.pop("record")
        document["data"].pop("quality")  # of data that are read in parts none is made
    assert repr(again) == repr(whole)
