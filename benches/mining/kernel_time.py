"""How much of a run's wall time is spent inside compiled kernels: the engine's stages and the evaluation's row loops.

Calls are timed where Python hands over to compiled code, so what is counted includes the hand-over to the threads.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the functions that enter compiled code are looked up by those who call them.
_PLACES = (
    ("fama_fast.backends.numba_vm.run", "_run_stage"),
    ("fama_fast.evaluation.rows", "over_rows"),
    ("fama_fast.evaluation.ic", "over_rows"),
    ("fama_fast.evaluation.turnover", "over_rows"),
)


@contextmanager
def kernel_seconds() -> Iterator[dict[str, float]]:
    """Inside the block, `seconds` of the mapping grows by the time of every outermost call into kernels."""
    import importlib

    spent = {"seconds": 0.0, "depth": 0.0}
    kept = []
    for name, attribute in _PLACES:
        module = importlib.import_module(name)
        original = getattr(module, attribute)
        kept.append((module, attribute, original))
        setattr(module, attribute, _timed(original, spent))
    try:
        yield spent
    finally:
        for module, attribute, original in kept:
            setattr(module, attribute, original)


def _timed(function: Any, spent: dict[str, float]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        spent["depth"] += 1
        try:
            return function(*arguments, **options)
        finally:
            spent["depth"] -= 1
            if not spent["depth"]:
                spent["seconds"] += time.perf_counter() - began

    return call
