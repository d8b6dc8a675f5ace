"""Reaching an MLflow store: the client package, the place that a URL names, the experiment.

MLflow is patient by default, makes what is missing and writes to the screen; a run wants a clear answer at once.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = "10"  # for a request or a connection: nobody waits long for a copy
_WORDS_SHOWN = 240  # characters of MLflow's own message
# MLflow's own settings are its environment variables; what the user set there stays. By default it would try for
# minutes to reach a server that is gone, and report its use to its makers.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": _SECONDS,
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def without_password(text: str) -> str:
    """`text` with the user and password of every URL in it hidden."""
    return re.sub(r"(://)[^/@\s]+@", r"\1***@", text)


def imported(module: str) -> Any:
    """An imported module of MLflow.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with _environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise not_installed(error) from error


def not_installed(error: ModuleNotFoundError) -> ConfigError:
    """The error message where MLflow is not installed."""
    return ConfigError(
        f"tracking.mlflow_uri is set, but the package {error.name} is not installed: install fama_fast[mlflow] "
        "(and the driver of the database, where the URL names one), or leave the key out"
    )


def can_connect(uri: str) -> None:
    """Check the store before MLflow uses it, which would retry for minutes or create what is missing: a database, the
    folder of a file.

    Raises:
        ConfigError, SQLAlchemyError: it is not there.
    """
    kind = uri.partition("://")[0].partition("+")[0]
    file = _sqlite_file(uri)
    if file is not None and not file.parent.is_dir():
        raise ConfigError(f"tracking.mlflow_uri {uri}: the folder {file.parent} does not exist")
    if kind in ("postgresql", "mysql", "mssql"):
        import sqlalchemy as sa

        patience = {} if kind == "mssql" else {"connect_timeout": int(_SECONDS)}
        engine = sa.create_engine(uri, connect_args=patience)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def experiment_id(client: Any, uri: str, name: str) -> str:
    """The id of the experiment of this name, which is made where there is none.

    Raises:
        ConfigError: it was deleted. Exception: whatever the store's client says.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        file = _sqlite_file(uri)
        # MLflow's own default is the working folder, wherever that was; beside the database it is found again.
        place = None if file is None else (file.parent.resolve() / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except Exception:
            experiment = client.get_experiment_by_name(name)  # made meanwhile by another run
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise ConfigError(
            f"tracking.experiment {name!r} is deleted in MLflow at {without_password(uri)}: restore it, or name another"
        )
    return str(experiment.experiment_id)


def _sqlite_file(uri: str) -> Path | None:
    scheme, _, path = uri.partition(":///")
    return Path(path) if scheme.partition("+")[0] == "sqlite" and path else None


def words(error: BaseException) -> str:
    """The first line of a client's error message, short and without passwords."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    text = without_password(text)
    return text if len(text) <= _WORDS_SHOWN else f"{text[:_WORDS_SHOWN]}..."


@contextmanager
def _environment() -> Iterator[None]:
    unset = {k: v for k, v in _ENVIRONMENT.items() if k not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for key in unset:
            os.environ.pop(key, None)


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow configured to fail soon, with its own log lines and warnings kept off the display."""
    log = logging.getLogger("mlflow")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with _environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
