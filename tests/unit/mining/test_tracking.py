"""Runs logged to a real MLflow store: a SQLite database with its folder of artefacts."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.errors import ConfigError, ProposerError
from fama_fast.mining.config_file import config_from_dict, document
from fama_fast.mining.progress.mlflow import final_metrics, parameters, tracked
from fama_fast.mining.progress.mlflow_store import quiet
from fama_fast.mining.progress.plain import NoProgress, RoundReport
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.stopping import StopRequest
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch, ProposalRequest, Usage

ROUNDS = (
    ("RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))", "RANK(CLOSE"),
    ("RANK(HIGH - LOW)",),
    ("RANK(TS_STDDEV(RET, 10))",),
)


@dataclass
class Scripted:
    """Proposes what it is told to, at a price; fails in the round it is told to."""

    fails_in: int = 0
    name: str = "scripted"
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(deterministic=True))

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        if request.round == self.fails_in:
            raise ProposerError("out of words")
        return ProposalBatch(tuple(Proposal(t) for t in ROUNDS[request.round - 1]), usage=Usage(1, 10, 5, 0.25))


class Watcher(NoProgress):
    """Keeps notes and reports; does something after a round."""

    def __init__(self, after: dict[int, Any] | None = None) -> None:
        self.notes: list[str] = []
        self.reports: list[RoundReport] = []
        self._after = after or {}

    def note(self, text: str) -> None:
        self.notes.append(text)

    def round_done(self, report: RoundReport) -> None:
        self.reports.append(report)
        self._after.get(report.number, lambda: None)()


@pytest.fixture(scope="module")
def panel() -> Panel:
    signal = PlantedSignal("RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * -1", 0.15)
    return simulate(SimulationSpec(n_symbols=24, n_dates=260, seed=3, signals=(signal,)))


def client(uri: str) -> Any:
    with quiet():
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, whose making takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with quiet():
        client(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


def settings(store: Path, **rest: Any) -> dict[str, Any]:
    return {
        "paths": {"output_dir": str(store.parent / "runs")},
        "run": {"rounds": 3, "seed": 1},
        "control": {"random": False},
        "k": 5,
        "l": 3,
        "tracking": {"mlflow_uri": f"sqlite:///{store}", "experiment": "alphas"},
        **rest,
    }


def logged(store: Path) -> list[Any]:
    """The experiment's runs."""
    with quiet():
        known = client(f"sqlite:///{store}")
        experiment = known.get_experiment_by_name("alphas")
        return list(known.search_runs([experiment.experiment_id]))


def history(store: Path, run: Any, name: str) -> list[tuple[int, float]]:
    with quiet():
        found = client(f"sqlite:///{store}").get_metric_history(run.info.run_id, name)
    return sorted((m.step, m.value) for m in found)


def artefact(run: Any) -> dict[str, Any]:
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    return dict(yaml.safe_load((place / "result.yaml").read_text(encoding="utf-8")))


def test_settings_rounds_verdict_and_result_are_logged(store: Path, panel: Panel) -> None:
    progress = Watcher()
    result = mine(settings(store), panel=panel, proposer=Scripted(), progress=progress)
    (run,) = logged(store)
    assert run.info.status == "FINISHED"
    assert run.data.tags["fama_run_id"] == run.info.run_name == result.run_id
    assert run.data.tags["verdict"] == result.verdict.status.value == "found"
    assert run.data.tags["headline"] == result.verdict.headline
    assert run.data.tags["data.hash"] == panel.data_hash
    assert run.data.params["run.seed"] == "1"
    assert run.data.params["control.random"] == "false"
    assert run.data.params["splits.fractions"] == "[0.6, 0.2, 0.2]"

    reports = progress.reports
    assert len(reports) == 3
    assert history(store, run, "admitted") == [(r.number, r.admitted) for r in reports]
    assert history(store, run, "best_train_rank_ic") == [(r.number, r.best_train) for r in reports]
    assert history(store, run, "pool_valid_rank_ic") == [(r.number, r.pool_valid) for r in reports]
    assert history(store, run, "candidates_per_second") == [(r.number, r.rate) for r in reports]
    assert history(store, run, "tokens") == [(1, 15), (2, 30), (3, 45)]
    assert history(store, run, "cost") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert history(store, run, "stopped.answer") == [(1, 1), (2, 1), (3, 1)]
    assert run.data.metrics["final.pool.test.rank_ic"] == result.test["pool"]["rank_ic"]
    assert run.data.metrics["factors_holding"] == len(result.verdict.holding)
    assert artefact(run) == result.to_dict()
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(store.parent / "mlartifacts")
    assert not [note for note in progress.notes if "warning" in note]


def test_tracking_changes_nothing_of_the_result(store: Path, panel: Panel) -> None:
    ways = (settings(store), settings(store) | {"tracking": {}})
    documents = [mine(way, panel=panel, proposer=Scripted()).to_dict() for way in ways]
    for each in documents:
        del each["record"]
    assert documents[0] == documents[1]


def test_a_resumed_run_goes_on_with_its_mlflow_run(store: Path, panel: Panel) -> None:
    stop = StopRequest()
    watcher = Watcher({1: lambda: stop.ask("the test")})
    first = mine(settings(store), panel=panel, proposer=Scripted(), progress=watcher, stop=stop)
    (run,) = logged(store)
    assert (run.info.status, run.data.tags["verdict"]) == ("KILLED", "interrupted")
    with pytest.raises(ProposerError):
        mine(settings(store), panel=panel, proposer=Scripted(fails_in=3), resume="last")
    assert [r.info.status for r in logged(store)] == ["FAILED"]
    last = mine(settings(store), panel=panel, proposer=Scripted(), resume="last")
    assert last.run_id == first.run_id
    (run,) = logged(store)
    assert (run.info.status, run.data.tags["verdict"]) == ("FINISHED", "found")
    assert run.data.tags["resumed_after_round"] == "2"
    assert history(store, run, "tokens") == [(1, 15), (2, 30), (3, 45)]
    assert artefact(run) == last.to_dict()


def renamed(store: Path, old: str, new: str) -> Any:
    def rename() -> None:
        base = sqlite3.connect(store)
        base.execute(f"ALTER TABLE {old} RENAME TO {new}")
        base.commit()
        base.close()

    return rename


def test_a_store_that_dies_costs_one_warning_and_not_the_run(store: Path, panel: Panel) -> None:
    watcher = Watcher({2: renamed(store, "metrics", "gone")})
    result = mine(settings(store), panel=panel, proposer=Scripted(), progress=watcher)
    assert (result.rounds, result.verdict.status.value) == (3, "found")
    warnings = [note for note in watcher.notes if "MLflow" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: MLflow at sqlite:///{store} did not take the round 2 of the run")
    renamed(store, "gone", "metrics")()
    (run,) = logged(store)
    assert history(store, run, "tokens") == [(1, 15)]


def test_what_a_store_missed_is_sent_at_the_end(store: Path, panel: Panel) -> None:
    away, back = renamed(store, "metrics", "gone"), renamed(store, "gone", "metrics")
    watcher = Watcher({1: away, 3: back})
    mine(settings(store), panel=panel, proposer=Scripted(), progress=watcher)
    (run,) = logged(store)
    assert history(store, run, "tokens") == [(1, 15), (2, 30), (3, 45)]
    assert run.info.status == "FINISHED"
    assert [n.partition(" sqlite")[0] for n in watcher.notes if "MLflow" in n] == ["warning: MLflow at", "MLflow at"]


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.timeout(60)  # a moment; MLflow itself would go on trying for minutes
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://127.0.0.1:{port}", "MLflow cannot use it: API request to http://127.0.0.1"),
        ("postgresql+psycopg://someone@127.0.0.1:{port}/mlflow", r"MLflow cannot use it: .*[Cc]onnection"),
        ("sqlite:///{folder}/none/mlflow.db", r"the folder .*none does not exist"),
        ("sqlite:///{folder}/garbage.db", "file is not a database"),
        ("carrier-pigeon://loft", "unsupported URI"),
        ("mysql+nodriver://127.0.0.1/x", "MLflow cannot use it"),
    ],
)
def test_a_store_that_cannot_be_used_is_met_before_the_run(
    tmp_path: Path, panel: Panel, uri: str, message: str
) -> None:
    (tmp_path / "garbage.db").write_text("this is no database " * 9, encoding="utf-8")
    place = uri.format(port=closed_port(), folder=tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        mine(settings(tmp_path / "x") | {"tracking": {"mlflow_uri": place}}, panel=panel, proposer=Scripted())
    assert "\n" not in str(caught.value)
    assert "tracking.mlflow_uri" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["garbage.db"]


def test_a_deleted_experiment_is_not_used(store: Path, panel: Panel) -> None:
    with quiet():
        known = client(f"sqlite:///{store}")
        known.delete_experiment(known.create_experiment("alphas"))
    with pytest.raises(ConfigError, match=r"tracking\.experiment 'alphas' is deleted in MLflow"):
        mine(settings(store), panel=panel, proposer=Scripted())
    assert not (store.parent / "runs").exists()


def test_without_mlflow_the_message_says_what_to_install(
    tmp_path: Path, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"package mlflow is not installed: install fama_fast\[mlflow\]"):
        mine(settings(tmp_path / "x"), panel=panel, proposer=Scripted())
    assert not list(tmp_path.iterdir())
    progress = NoProgress()
    assert tracked(config_from_dict({}), progress) is progress


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mlruns", "must be a URL such as"),
        ("postgresql://me:topsecret@host/db", "must not hold a password"),
        ("https://:topsecret@host", "must not hold a password"),
    ],
)
def test_what_the_key_takes(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"tracking\.mlflow_uri {message}") as caught:
        config_from_dict({"tracking": {"mlflow_uri": uri}})
    assert "topsecret" not in str(caught.value)


def test_no_secret_and_no_place_of_this_machine_becomes_a_parameter() -> None:
    config = config_from_dict(
        {
            "ledger": "postgresql://me:topsecret@host/ledger",
            "paths": {"market_data": "s3://me:topsecret@bucket/prices.parquet", "output_dir": "/home/me/runs"},
            "tracking": {"mlflow_uri": "http://tracker:5000"},
            "llm": {"api_key_env": "MY_KEY_NAME"},
        }
    )
    found = parameters(document(config))
    assert found["paths.market_data"].startswith("s3://***@bucket/")
    shown = repr(found)
    for hidden in ("topsecret", "MY_KEY_NAME", "tracker", "/home/me/runs"):
        assert hidden not in shown
    assert found["k"] == "7"
    assert "run.max_tokens" not in found


def test_figures_that_are_not_defined_are_left_out() -> None:
    verdict = {
        "holding": [],
        "pool": {"valid": {"rank_ic": float("nan"), "ic": 0.02, "weights": {"f": 1.0}}, "test": {}},
        "control": {"random_formulas": {"admitted": 3, "pool": {"valid": {"rank_ic": 0.01}}}},
        "wide": {
            "formulas": 40,
            "expected": {"mean": 0.05},
            "stands": True,
            "valid": {"rank_ic": 0.04, "net": float("nan"), "horizons": {"1": {"ic": 0.1}}},
            "test": {},
        },
    }
    assert final_metrics({"factors": [], "verdict": verdict, "record": {}}) == {
        "factors": 0.0,
        "factors_holding": 0.0,
        "final.pool.valid.ic": 0.02,
        "final.wide.formulas": 40.0,
        "final.wide.expected.mean": 0.05,
        "final.wide.valid.rank_ic": 0.04,
        "final.control.random_formulas.admitted": 3.0,
        "final.control.random_formulas.pool.valid.rank_ic": 0.01,
    }
