"""How much of a run's wall time is spent inside compiled code: the engine's programs and the evaluation's row loops.

What is counted is the time during which at least one thread is inside a compiled function of `_PLACES`: `lead`, which
runs a program's kernels and sinks together with helpers and ends when the last of them is done, and the loops that
sort, rank, correlate and add up rows. Threads at work together count once, and the Python around them (planning,
assembling, waking threads) does not count; taking the interpreter's lock again at the end of a call does, which Python
has no way to tell apart.
"""

from __future__ import annotations

import importlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Compiled functions by the module through which their callers look them up at every call.
_PLACES = {
    "fama_fast.backends.numba_vm.loop": ("lead",),
    "fama_fast.backends.numba_vm.stats": (
        "sort_rows",
        "find_ties",
        "rank_correlation",
        "correlation",
        "rank_change",
        "rank_products",
        "centre_ranks",
        "double_ranks",
        "blend_rows",
        "inner_products",
    ),
}


class KernelTime:
    """`seconds` of wall time with a thread in compiled code."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def timed(self, function: Any) -> Any:
        """The function, with the time inside it counted."""

        def call(*arguments: Any) -> Any:
            began = time.perf_counter()
            with self._lock:
                if not self._inside:
                    self._since = began
                self._inside += 1
            try:
                return function(*arguments)
            finally:
                ended = time.perf_counter()
                with self._lock:
                    self._inside -= 1
                    if not self._inside:
                        self.seconds += ended - self._since

        return call


@contextmanager
def kernel_seconds() -> Iterator[KernelTime]:
    """Inside the block compiled code is timed; other threads than those of the block's own work must not run any."""
    spent = KernelTime()
    kept = []
    for name, attributes in _PLACES.items():
        module = importlib.import_module(name)
        for attribute in attributes:
            original = getattr(module, attribute)
            kept.append((module, attribute, original))
            setattr(module, attribute, spent.timed(original))
    try:
        yield spent
    finally:
        for module, attribute, original in kept:
            setattr(module, attribute, original)
