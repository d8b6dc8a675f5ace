"""Code that runs on a worker: builds what tasks need once, keeps it, and refuses what does not fit.

A task names what it needs by a key; the first task of a key builds it while others of that key wait. What is kept is
the process's own, outside Dask's store: Dask neither moves nor spills it, and a process that ends forgets it.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.cluster.identity import installed, unlike
from fama_fast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.cluster.identity import Installation

_KEEP = 2  # things kept at once: what is used, and what was used before it


class Unfit(Exception):  # noqa: N818  (a verdict on this worker, not a fault)
    """Raised where this worker must not compute a task; the text says why."""


class Builder(Protocol):
    """Protocol of objects that build what tasks work with; they travel to workers by pickle."""

    def __call__(self, memory: int | None) -> Any:
        """Builds it within `memory` bytes (None: no limit).

        Raises:
            Unfit: not on this worker.
        """


@dataclass(frozen=True)
class Kept:
    """Description of what tasks work with: its key, how it is made, and the installation that may make it."""

    key: str
    build: Builder
    installation: Installation


@dataclass(frozen=True)
class Done:
    """The result of a task, with the seconds that it took and those of building what it needed."""

    value: Any
    seconds: float
    building: float


@dataclass(frozen=True)
class Refused:
    """The refusal of a worker that does not fit: its address, and why."""

    worker: str
    reason: str


@functools.cache
def _installation() -> Installation:
    return installed()


@dataclass
class _Shelf:
    lock: threading.Lock
    thing: Any = None
    ready: bool = False
    refusal: str | None = None


_SHELVES: OrderedDict[str, _Shelf] = OrderedDict()
_SHELVES_LOCK = threading.Lock()


def _kept(kept: Kept, memory: int | None) -> _Shelf:
    with _SHELVES_LOCK:
        shelf = _SHELVES.setdefault(kept.key, _Shelf(threading.Lock()))
        _SHELVES.move_to_end(kept.key)
        while len(_SHELVES) > _KEEP:
            _SHELVES.popitem(last=False)
    with shelf.lock:
        if not shelf.ready:
            shelf.refusal = unlike(_installation(), kept.installation)
            if shelf.refusal is None:
                try:
                    shelf.thing = kept.build(memory)
                except (Unfit, DataError, ConfigError, OSError) as error:
                    shelf.refusal = " ".join(str(error).split())
            shelf.ready = True
    return shelf


def perform(kept: Kept, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Done | Refused:
    """Run one task: `work(what is kept, *arguments)`."""
    from distributed import get_worker

    worker = get_worker()
    began = time.perf_counter()
    shelf = _kept(kept, worker.memory_manager.memory_limit)
    built = time.perf_counter()
    if shelf.refusal is not None:
        return Refused(worker.address, shelf.refusal)
    value = work(shelf.thing, *arguments)
    return Done(value, time.perf_counter() - built, built - began)
