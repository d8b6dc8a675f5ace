"""The engine as the benchmarks call it: planned once, results written to arrays that already exist.

That is how the fastest peers work too, so neither side pays for fresh pages; what a call with new arrays costs is timed
by the benches of `ff.evaluate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.backends.numba_vm.memory import aligned
from fama_fast.backends.numba_vm.run import Bound
from fama_fast.backends.numba_vm.simd import LANES
from fama_fast.engine.prepare import lowered
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray


class Prepared:
    """Expressions ready to run on a panel, as one plan, and arrays for their results.

    With `blocks` results lie as the engine's own arrays do (`layout="blocks"` of `ff.evaluate`), else by date.
    """

    def __init__(self, items: Sequence[str | Alpha], panel: Panel, *, blocks: bool = False) -> None:
        self._panel = panel
        self._plan = make_plan(lowered(items, panel), blocked=blocks)
        dates, symbols = panel.shape
        shape = (-(-symbols // LANES), dates, LANES) if blocks else panel.shape
        self._values = [aligned(shape) for _ in items]
        for values in self._values:
            values.fill(0.0)  # no page is fresh when it counts
        self._bound: dict[int, Bound] = {}

    def run(self, threads: int) -> None:
        """Compute all of them."""
        if threads not in self._bound:
            self._bound[threads] = Bound(self._plan, self._panel, self._values, threads)
        self._bound[threads].run()

    def by_date(self, index: int) -> FloatArray:
        """(T, N) result of the last run."""
        found = self._values[index]
        if found.ndim == 2:
            return found
        return found.transpose(1, 0, 2).reshape(found.shape[1], -1)[:, : self._panel.shape[1]]
