"""The threads that run tiles: started once, kept for the life of the process, made anew after a fork."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCK = threading.Lock()
_POOLS: dict[int, ThreadPoolExecutor] = {}


def default_threads() -> int:
    """FAMA_THREADS, else the processors that this process may use."""
    wanted = os.environ.get("FAMA_THREADS")
    if wanted and wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(helpers: int) -> ThreadPoolExecutor:
    with _LOCK:
        if helpers not in _POOLS:
            _POOLS[helpers] = ThreadPoolExecutor(helpers, thread_name_prefix="fama-fast")
        return _POOLS[helpers]


def run_together(work: Callable[[], None], threads: int) -> None:
    """Call `work` on this thread and on `threads - 1` others at the same time; the first error is raised."""
    if threads <= 1:
        work()
        return
    futures = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for future in futures:
            # One that never started has nothing left to do: this thread took its share.
            if not future.cancel():
                future.result()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOLS.clear)
