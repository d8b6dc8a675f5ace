"""What the engine gives of all daily series, and the legs that it keeps from chunk to chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.types import FloatArray


@dataclass(frozen=True)
class DailyMeasures:
    """All daily series of K expressions over D dates, (K, D) each, NaN where a date has none.

    rank_ic, ic, spread, traded: as of `fama_fast.evaluation.Daily`. count: members that have a value. levels: where
    they were asked for, (K, sampled dates, N) int8: 63 (2 r - n - 1) / n of the average rank r among n members with a
    value, 0 of those without.
    """

    rank_ic: FloatArray
    count: FloatArray
    ic: FloatArray
    spread: FloatArray
    traded: FloatArray
    levels: NDArray[np.int8] | None = None


class Legs:
    """The legs of the last dates of each expression, which those of the next chunk are held against."""

    def __init__(self, span: int, symbols: int) -> None:
        self.span, self.words = span, (symbols + 63) // 64
        self._before: dict[int, Any] = {}

    def bytes_of(self, count: int) -> int:
        """What is held of so many expressions."""
        return 16 * count * self.span * self.words

    def traded(self, index: int, bits: FloatArray) -> FloatArray:
        """(rows,) what is traded on each of a chunk's dates, of expression `index`, whose legs are the bits (rows, 2
        words) of doubles."""
        from fama_fast.backends.numba_vm.leg_loops import traded_rows

        legs = np.ascontiguousarray(bits).view(np.uint64).reshape(len(bits), 2, self.words)
        before = self._before.get(index)
        together = legs if before is None else np.concatenate([before, legs])
        out = np.empty(len(together))
        traded_rows(together, self.span, len(together) - len(legs), len(together), out)
        self._before[index] = together[-self.span :].copy()
        return out[len(together) - len(legs) :]
