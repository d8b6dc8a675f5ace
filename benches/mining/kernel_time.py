"""How much of a run's wall time is spent inside compiled code: the engine's programs and the evaluation's row loops.

What is counted is the time during which at least one thread is inside a compiled function of `_PLACES`: `lead`, which
runs a program's kernels and sinks together with helpers and ends when the last of them is done, and the loops that
sort, rank, correlate and add up rows. Threads at work together count once, and the Python around them (planning,
assembling, waking threads) does not count. Nor does waiting for the interpreter's lock at the end of a call: the clock
is read in compiled code, on either side of the function.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

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

_read_clock = ctypes.CDLL(None).clock_gettime
_read_clock.argtypes, _read_clock.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_int
_MONOTONIC = time.CLOCK_MONOTONIC


@functools.cache
def _stamped(function: Any) -> Any:
    """The compiled function, with seconds and nanoseconds before and after it in its first argument."""

    @njit(nogil=True)
    def call(stamps, *arguments):  # type: ignore[no-untyped-def]
        _read_clock(_MONOTONIC, stamps[:2].ctypes.data)
        found = function(*arguments)
        _read_clock(_MONOTONIC, stamps[2:].ctypes.data)
        return found

    return call


class KernelTime:
    """`seconds` of wall time with a thread in compiled code."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []  # nanoseconds of the monotonic clock

    @property
    def seconds(self) -> float:
        total = last = 0
        for began, ended in sorted(self._spans):
            total += max(0, ended - max(began, last))
            last = max(last, ended)
        return total / 1e9

    def timed(self, function: Any) -> Any:
        """The compiled function, with the time inside it counted."""
        stamped = _stamped(function)

        def call(*arguments: Any) -> Any:
            stamps = np.zeros(4, dtype=np.int64)
            found = stamped(stamps, *arguments)
            began, began_ns, ended, ended_ns = stamps.tolist()
            self._spans.append((began * 10**9 + began_ns, ended * 10**9 + ended_ns))
            return found

        return call


@contextmanager
def kernel_seconds() -> Iterator[KernelTime]:
    """Inside the block compiled code is timed; other threads than those of the block's own work must not run any.

    The first block of a process compiles what reads the clock: warm up in one, and measure in the next.
    """
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
