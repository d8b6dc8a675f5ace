"""Starts a cluster on this machine: a scheduler in this process and workers of one thread each, all on 127.0.0.1.

No HTTP server is started, neither a dashboard nor the health and metrics pages that Dask opens without one. A worker
that dies is started again.
"""

from __future__ import annotations

import copy
import logging
import signal
from typing import Any

from distributed import Nanny, Scheduler, Status, Worker
from distributed.deploy.spec import SpecCluster

LOOPBACK = "127.0.0.1"


class QuietScheduler(Scheduler):
    """A scheduler without an HTTP port."""

    def start_http_server(self, *args: Any, **options: Any) -> None:
        """None."""


class QuietWorker(Worker):
    """A worker without an HTTP port, in a process of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A terminal sends Ctrl-C to workers too; it is the client's to answer, which lets the batch at hand finish.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def start_http_server(self, *args: Any, **options: Any) -> None:
        """None."""


def start_local(workers: int, *, memory_limit: int | None, losses: int) -> SpecCluster:
    """Start a cluster of `workers` processes.

    Args:
        memory_limit: bytes a worker; one that takes 95% of it is ended and started again. None: none.
        losses: workers that a task may lose before it is given up.
    """
    import dask

    worker: dict[str, Any] = {
        "host": LOOPBACK,
        "nthreads": 1,
        "memory_limit": 0 if memory_limit is None else memory_limit,
        "worker_class": QuietWorker,
        "silence_logs": logging.CRITICAL,
        "dashboard": False,
    }
    # Panels are kept by the workers themselves, not by Dask, and results are small: nothing is ever spilled to disk.
    settings = {
        "distributed.scheduler.allowed-failures": losses,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.profile.enabled": False,
    }
    with dask.config.set(settings):
        # Nannies that are made later must not fall back on the settings outside of this block.
        worker["config"] = copy.deepcopy(dask.config.config)
        return SpecCluster(  # type: ignore[no-untyped-call]
            scheduler={"cls": QuietScheduler, "options": {"host": LOOPBACK, "port": 0, "dashboard": False}},
            workers={i: {"cls": Nanny, "options": worker} for i in range(workers)},
            silence_logs=logging.CRITICAL,
            name="fama-fast",
        )


def revive(cluster: SpecCluster) -> None:
    """Replace nannies (the processes that restart workers) that gave up; returns at once.

    A nanny starts a worker again that died, but closes when that one dies too before it is ready, and a cluster closes
    a nanny whose worker takes long to come back.
    """
    gone = [n for n, nanny in list(cluster.workers.items()) if nanny.status in (Status.closed, Status.failed)]
    for name in gone:
        cluster.workers.pop(name, None)
    if gone or len(cluster.workers) < len(cluster.worker_spec):
        cluster.scale(len(cluster.worker_spec))  # type: ignore[no-untyped-call]
