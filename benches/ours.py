"""The engine as the benchmarks call it: planned once, results written to arrays that already exist.

That is how the fastest peers work too, so neither side pays for fresh pages; what a call with new arrays costs is timed
by the benches of `ff.evaluate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.backends.numba_vm.run import execute
from fama_fast.engine.evaluate import lowered
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray


class Prepared:
    """Expressions ready to run on a panel, as one plan.

    Attributes:
        values: (T, N) results of the last run, one array an expression.
    """

    def __init__(self, items: Sequence[str | Alpha], panel: Panel) -> None:
        self._panel = panel
        self._plan = make_plan(lowered(items, panel))
        self.values: list[FloatArray] = [np.empty(panel.shape) for _ in items]

    def run(self, threads: int) -> None:
        """Compute all of them."""
        execute(self._plan, self._panel, threads=threads, out=self.values)
