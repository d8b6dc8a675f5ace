"""Short stretches of data in memory, kept with what the engine makes of their fields: much is asked of the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.engine import ranks_on
from fama_fast.mining.measure.race import first_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray, IntArray


class Cuts:
    """Cuts of one panel, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], Panel] = {}

    def of(self, panel: Panel, first: int, stop: int) -> Panel:
        """Rows [first, stop) of the panel."""
        if (first, stop) not in self._made:
            self._made[first, stop] = panel.slice_dates(first, stop)
        return self._made[first, stop]

    def ranks(self, panel: Panel, alphas: Sequence[Alpha], rows: IntArray, **options: Any) -> list[FloatArray]:
        """(len(rows), N) cross-sectional ranks of each alpha on ascending rows, with the bits of `ranks_on` the panel.

        No more is computed than what each looks back on from there, so the rows should lie near to each other.

        Args:
            options: of `ranks_on`.
        """
        stop = int(rows[-1]) + 1
        alike: dict[int, list[int]] = {}
        for place, alpha in enumerate(alphas):
            alike.setdefault(first_row([alpha], slice(int(rows[0]), stop)), []).append(place)
        found: list[FloatArray] = [np.empty(0)] * len(alphas)
        for first, places in alike.items():
            some = [alphas[i] for i in places]
            ranks = ranks_on(some, self.of(panel, first, stop), rows - first, before=first, **options)
            for place, own in zip(places, ranks, strict=True):
                found[place] = own
        return found
