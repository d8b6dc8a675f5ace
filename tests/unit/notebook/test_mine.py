"""`ff.mine` takes data of any kind and settings by keyword; its result shows itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import fama_fast as ff
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict
from fama_fast.notebook import Mined
from fama_fast.notebook.mining import _laid_over, _target
from fama_fast.panel import Panel

SMALL: dict[str, Any] = {"run": {"candidates": 15}, "splits": {"horizon": 2}, "racing": {"enabled": False}}
QUICK: dict[str, Any] = {"rounds": 2, "seed": 4, "new": 4, "threads": 1}


@pytest.fixture(scope="module")
def panel() -> Panel:
    signal = PlantedSignal("DELTA(CLOSE, 5) / CLOSE", 0.15)
    return simulate(SimulationSpec(n_symbols=40, n_dates=260, seed=5, signals=(signal,)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


def settings(place: Path, name: str) -> dict[str, Any]:
    return {**SMALL, "paths": {"output_dir": str(place / name)}}


@pytest.fixture(scope="module")
def mined(panel: Panel, place: Path) -> Mined:
    return ff.mine(panel, settings(place, "panel"), **QUICK)


def told(result: Mined) -> dict[str, Any]:
    """What does not depend on where the data came from."""
    found = result.to_dict()
    return {key: found[key] for key in ("verdict", "search", "factors", "splits")}


def test_data_of_every_kind_give_the_same_run(mined: Mined, panel: Panel, place: Path) -> None:
    frame = to_frame(panel)
    path = place / "prices.parquet"
    frame.write_parquet(path)
    fields = [c for c in frame.columns if c not in ("date", "symbol")]
    wide = {f: frame.pivot("symbol", index="date", values=f).to_pandas().set_index("date") for f in fields}
    kinds = {"polars": frame, "pandas": frame.to_pandas(), "wide": wide, "path": path, "text": str(path)}
    want = told(mined)
    hashes = {f.provenance["data_hash"] for f in mined.factors}
    for name, data in kinds.items():
        found = told(ff.mine(data, settings(place, name), **QUICK))
        assert found["search"] == want["search"], name
        assert [f["expression"] for f in found["factors"]] == [f["expression"] for f in want["factors"]], name
        assert found["verdict"]["pool"] == want["verdict"]["pool"], name
    assert len(hashes) == 1


def test_keywords_are_laid_over_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("run: {rounds: 7, seed: 3}\nsplits: {horizon: 5}\n", encoding="utf-8")
    said = {"run.seed": 9, "target": {"winsorize": 0.02}, "objective": "ic"}
    base = {"run": {"rounds": 7, "seed": 3}, "splits": {"horizon": 5}}
    for config in (file, str(file), base, config_from_dict(base)):
        found = _laid_over(config, said)
        assert (found.run.rounds, found.run.seed, found.splits.horizon) == (7, 9, 5)
        assert (found.target.winsorize, found.objective) == (0.02, "ic")
    assert _laid_over(None, {}) == MiningConfig()
    assert base == {"run": {"rounds": 7, "seed": 3}, "splits": {"horizon": 5}}


def test_a_target_becomes_its_settings() -> None:
    returns = "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"
    assert _laid_over(None, {"target": _target(returns)}).predicted == ff.Target(returns)
    target = ff.Target(horizons=(5, 20), neutralize=("sector",), winsorize=0.01, tradable="VOLUME > 0")
    assert _laid_over(None, {"target": _target(target)}).predicted == target
    assert _target({"beta": True}) == {"beta": True}


def test_a_configuration_alone_is_mined_on_what_it_names(panel: Panel, place: Path, mined: Mined) -> None:
    own = {**settings(place, "alone"), "run": {"candidates": 15, "rounds": 2, "seed": 4, "wanted": 4, "threads": 1}}
    assert told(ff.mine(own, panel=panel)) == told(mined)
    assert told(ff.mine(config_from_dict({**own, "paths": {"output_dir": str(place / "b")}}), panel=panel)) == told(
        mined
    )


def test_what_is_said_twice_or_cannot_be_read_is_refused(panel: Panel, tmp_path: Path) -> None:
    with pytest.raises(ff.ConfigError, match="a configuration is given twice"):
        ff.mine({"run": {"seed": 1}}, {"run": {"seed": 2}})
    with pytest.raises(ff.ConfigError, match="data are given twice"):
        ff.mine(to_frame(panel), panel=panel)
    with pytest.raises(ff.ConfigError, match="universe and groups are read with the data"):
        ff.mine(panel, settings(tmp_path, "a"), universe="members.csv")
    with pytest.raises(ff.ConfigError, match=r"YAML file, not 'prices.parquet'"):
        ff.mine(panel, "prices.parquet")
    with pytest.raises(ff.DataError, match=r"load_market_data|frame"):
        ff.mine(3, settings(tmp_path, "a"))
    with pytest.raises(ff.ConfigError, match=r"run\.rounds"):
        ff.mine(panel, settings(tmp_path, "a"), rounds=-1)
    assert not (tmp_path / "a").exists()


def test_the_result_is_a_table_a_page_and_a_picture(mined: Mined, tmp_path: Path) -> None:
    assert isinstance(mined.factors, ff.FactorSet)
    assert len(mined.factors) > 0
    table = mined.table()
    assert table.schema["rank_ic"] == pl.Float64
    pools = table.filter(pl.col("pool").is_not_null())
    assert set(pools["pool"]) == {"the wide pool", "the pool"}
    assert set(table["expression"].drop_nulls()) == {f.expression for f in mined.factors}
    first = table.filter((pl.col("expression") == mined.factors[0].expression) & (pl.col("split") == "train"))
    scores = mined.factors[0].scores["train"]
    assert first["rank_ic"].item() == scores["rank_ic"]
    assert first["spread"].item() == pytest.approx(scores["spread"] * 1e4 / 2)
    page = mined.report(tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "The find beside luck" in text
    assert "Figures below are of" in text  # the factors were measured on the panel that was given
    chart = mined.plot().to_dict()
    assert "running sum of daily RankIC" in chart["description"]


def test_in_a_notebook_it_shows_verdict_chart_and_table(mined: Mined) -> None:
    assert repr(mined) == (
        f"Mined(run {mined.run_id}: {mined.verdict.status.value}, {len(mined.factors)} factors of "
        f"{mined.candidates} candidates)"
    )
    shown = mined._repr_html_()
    assert mined.verdict.headline.split(":")[0] in shown
    assert "RankIC of the factors, in their order" in shown
    assert shown.count("<tr") > len(mined.factors)
    assert "<script" not in shown
    assert "http" not in shown


def test_a_live_display_is_for_notebooks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    from fama_fast.mining.progress.live import RichProgress
    from fama_fast.notebook.mining import _usual_progress

    assert _usual_progress() is None
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert isinstance(_usual_progress(), RichProgress)
    other = type("TerminalInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: other))
    assert _usual_progress() is None
