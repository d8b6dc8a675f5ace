"""Optional logging of a run to MLflow (`tracking.mlflow_uri`): settings, figures by round, verdict, result.

The ledger is the truth and decides everything; MLflow gets a copy to compare runs by. A store that cannot be used is
an error before the run starts; one that fails later costs the run one warning and nothing else. What it missed is
sent when the run ends, if it answers again. No secret is sent: not the name of the key, nor a password of a URL.

In MLflow a run is found by its tag `fama_run_id`; a resumed run goes on with the MLflow run that has it.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.mining.config_file import leaves
from fama_fast.mining.progress.mlflow_store import (
    can_connect,
    experiment_id,
    imported,
    not_installed,
    quiet,
    without_password,
    words,
)
from fama_fast.mining.progress.plain import PassedOn
from fama_fast.mining.verdict.findings import Status
from fama_fast.mining.verdict.results import write_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.progress.plain import Progress, RoundReport, RunStart

TAG = "fama_run_id"
_VALUE_ROOM = 500  # characters of a parameter that every MLflow version takes
_TAG_ROOM = 5000
_SPLITS = ("valid", "test")
_BATCH = 100  # parameters in one request: MLflow's limit
_METRICS = 1000
_PRIVATE = ("tracking.", "ledger", "llm.api_key_env", "logging.", "paths.output_dir")


def tracked(config: MiningConfig, shown: Progress) -> Progress:
    """`shown`, wrapped so that everything is logged to MLflow as well where the configuration asks for it.

    Raises:
        ConfigError: MLflow is not installed, or its store or experiment cannot be used.
    """
    tracking = config.tracking
    return shown if tracking.mlflow_uri is None else MLflowProgress(shown, tracking.mlflow_uri, tracking.experiment)


class MLflowProgress(PassedOn):
    """Logs a run to an MLflow experiment, made where there is none, beside another progress.

    Raises:
        ConfigError: see `tracked`.
    """

    def __init__(self, shown: Progress, uri: str, experiment: str) -> None:
        super().__init__(shown)
        self._where = without_password(uri)
        mlflow, self._entities = imported("mlflow"), imported("mlflow.entities")
        with quiet():
            try:
                can_connect(uri)
                self._client = mlflow.MlflowClient(tracking_uri=uri)
                self._experiment = experiment_id(self._client, uri, experiment)
            except ConfigError:
                raise
            except ModuleNotFoundError as error:
                raise not_installed(error) from error
            # A store fails in the words of its client: requests, SQLAlchemy, Alembic, a driver, the file system.
            except Exception as error:
                raise ConfigError(f"tracking.mlflow_uri {self._where}: MLflow cannot use it: {words(error)}") from error
        self._start: RunStart | None = None
        self._run: str | None = None
        self._failed = False
        self._waiting: list[Any] = []

    def run_started(self, start: RunStart) -> None:
        super().run_started(start)
        self._start = start
        with self._copying("start"):
            self._run = self._begin(start)

    def round_done(self, report: RoundReport) -> None:
        super().round_done(report)
        self._remember(round_metrics(report), report.number)
        if not self._failed:
            with self._copying(f"round {report.number}"):
                self._send()

    def run_ended(self, document: Mapping[str, Any]) -> None:
        super().run_ended(document)
        with self._copying("end"):
            if self._run is None and self._start is not None:
                self._run = self._begin(self._start)
            self._remember(final_metrics(document), document["search"]["rounds"])
            self._send()
            for key, value in final_tags(document).items():
                self._client.set_tag(self._run, key, value)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "result.yaml"
                write_document(dict(document), path)
                self._client.log_artifact(self._run, str(path))
            stopped = document["verdict"]["status"] == Status.INTERRUPTED.value
            self._client.set_terminated(self._run, "KILLED" if stopped else "FINISHED")
            self._run = None
            if self._failed:
                self.shown.note(f"MLflow at {self._where} answers again: it has the whole run")

    def close(self) -> None:
        # Still open: the search failed. It can be resumed, and goes on here then.
        if self._run is not None and not self._failed:
            with self._copying("end"):
                self._client.set_terminated(self._run, "FAILED")
        self._run = None
        super().close()

    def _begin(self, start: RunStart) -> str:
        runs = self._client.search_runs([self._experiment], f"tags.`{TAG}` = '{start.run}'", max_results=1)
        if runs:
            run = str(runs[0].info.run_id)
            self._client.update_run(run, status="RUNNING")
            self._client.set_tag(run, "resumed_after_round", str(start.done))
            return run
        tags = {
            TAG: start.run,
            "fama_version": start.version,
            "fama_ledger": start.ledger[:_TAG_ROOM],
            "proposer": start.proposer,
            "data.source": str(start.data["source"])[:_TAG_ROOM],
            "data.hash": str(start.data["hash"]),
            "mlflow.source.name": "fama-fast mine",
        }
        run = str(self._client.create_run(self._experiment, tags=tags, run_name=start.run).info.run_id)
        settings = [self._entities.Param(k, v) for k, v in parameters(start.settings).items()]
        for first in range(0, len(settings), _BATCH):
            self._client.log_batch(run, params=settings[first : first + _BATCH])
        return run

    def _remember(self, figures: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._waiting += [self._entities.Metric(name, value, now, step) for name, value in figures.items()]

    def _send(self) -> None:
        while self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting[:_METRICS])
            del self._waiting[:_METRICS]

    @contextmanager
    def _copying(self, what: str) -> Iterator[None]:
        with quiet():
            try:
                yield
            # Whatever is wrong with the copy, the run goes on.
            except Exception as error:  # noqa: BLE001
                failed_before, self._failed = self._failed, True
                if not failed_before:
                    later = "" if what == "end" else "; the run goes on, and MLflow is tried once more at its end"
                    self.shown.note(
                        f"warning: MLflow at {self._where} did not take the {what} of the run, which the ledger has: "
                        f"{words(error)}{later}"
                    )


def parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted key as MLflow parameters, without unset ones, secrets and paths of this machine."""
    return {
        key: without_password(value if isinstance(value, str) else json.dumps(value))[:_VALUE_ROOM]
        for key, value in leaves(settings)
        if value is not None and not key.startswith(_PRIVATE)
    }


def round_metrics(report: RoundReport) -> dict[str, float]:
    """Figures of a round; those not defined are left out."""
    figures = {
        "proposed": report.proposed,
        "admitted": report.admitted,
        "new_factors": report.new_factors,
        "candidates": report.candidates,
        "best_train_rank_ic": report.best_train,
        "pool_valid_rank_ic": report.pool_valid,
        "candidates_per_second": report.rate,
        "round_seconds": report.seconds,
        "tokens": report.tokens,
        "cost": report.cost,
        "logged_tokens": report.logged_tokens,
        "logged_cost": report.logged_cost,
        **{f"stopped.{gate}": n for gate, n in report.funnel.items() if gate != "admitted"},
    }
    return {name: float(v) for name, v in figures.items() if v is not None and math.isfinite(v)}


def _in_short(pool: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures of a pool by split, without those of its members and its parts."""
    return {
        split: {name: value for name, value in figures.items() if name not in ("weights", "other_models", "horizons")}
        for split, figures in pool.items()
    }


def final_metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of a result document: how many factors hold, both pools on validation and, where it was opened, on the
    test split, and the null controls."""
    verdict = document["verdict"]
    pool, wide = _in_short(verdict.get("pool", {})), verdict.get("wide", {})
    wide = wide and {**_in_short({s: wide[s] for s in _SPLITS}), **{k: v for k, v in wide.items() if k not in _SPLITS}}
    metrics = {
        "factors": len(document["factors"]),
        "factors_holding": len(verdict.get("holding", ())),
        "seconds": document["record"].get("seconds"),
        **dict(leaves({"final": {"pool": pool, "wide": wide, "control": verdict.get("control", {})}})),
    }
    numbers = {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def final_tags(document: Mapping[str, Any]) -> dict[str, str]:
    """The verdict in words, and why the search ended."""
    verdict = document["verdict"]
    return {
        "verdict": verdict["status"],
        "headline": verdict["headline"][:_TAG_ROOM],
        "stop": document["search"]["stop"][:_TAG_ROOM],
    }
