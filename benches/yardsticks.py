"""Plain yardsticks that need no other package: what this machine can do in one run.

`copy` is one field copied in memory into an array that exists, the floor of everything that reads and writes a panel
once; `sort` is NumPy sorting one field along its symbols, for work that computes rather than moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benches.duel import Yardstick

if TYPE_CHECKING:
    from fama_fast.panel import Panel


def copy(panel: Panel) -> Yardstick:
    """Copying one field."""
    source = panel["CLOSE"]
    target = np.zeros_like(source)
    return Yardstick(lambda: np.copyto(target, source), own=True)


def sort(panel: Panel) -> Yardstick:
    """NumPy sorting one field date by date, on one thread."""
    source = panel["CLOSE"]
    return Yardstick(lambda: np.sort(source, axis=1), own=True)
