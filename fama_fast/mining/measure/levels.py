"""Ranks in 8 bits on a sample of training dates: what tells how alike thousands of formulas are.

The level of a symbol is its centred rank among the members of its date as a whole number, -63 at the bottom to 63 at
the top, 0 in the middle and where there is no value. A product of two is 3,969 at most, so 4,096 of them add up to less
than 2^24: sums of products of such blocks are exact whole numbers in float32, whatever adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray, IntArray

    Levels = NDArray[np.int8]

MOST_CELLS = 65_536  # of a formula
LEAST_DATES = 24
_SEED = 8  # of the stream of draws, beside the run's seed


def level_rows(dates: Any, train: slice, a_year: int, seed: int) -> IntArray:
    """Sampled training rows, ascending: about so many a year, one of each stretch of equal length.

    Never fewer than `LEAST_DATES`, or all rows where there are no more.

    Args:
        dates: (T,) of the mining rows. train: the training rows.
    """
    rows = train.stop - train.start
    first, last = dates[train.start], dates[train.stop - 1]
    years = float((last - first) / np.timedelta64(1, "D")) / 365.25
    count = min(rows, max(LEAST_DATES, round(a_year * years)))
    edges = train.start + np.arange(count + 1, dtype=np.int64) * rows // count
    rng = np.random.default_rng([seed, _SEED])
    return np.asarray(edges[:-1] + rng.integers(0, np.diff(edges)), dtype=np.int64)


def unit_vector(levels: Levels) -> NDArray[np.float32]:
    """Levels of a formula, of any shape, as one vector of length 1; zeros where all are in the middle."""
    # A sum of whole numbers is exact however it is added up, and as such not left to BLAS, whose threads would spin.
    flat = levels.reshape(-1).astype(np.int64)
    length = float(np.sqrt(float(flat @ flat)))
    return (flat / length if length > 0.0 else flat).astype(np.float32)


@dataclass(frozen=True)
class LevelCells:
    """The cells that levels are taken on: members of the sampled dates.

    Attributes:
        rows: (S,) the sampled dates, ascending. cells: where members are in the flattened (S, N) ranks; None: everyone.
        symbols: N.
    """

    rows: IntArray
    cells: IntArray | None
    symbols: int

    @classmethod
    def of(cls, rows: IntArray, members: BoolArray | None, symbols: int) -> LevelCells:
        """So many of the sampled rows as `MOST_CELLS` allow, but no fewer than `LEAST_DATES`; members: (S, N)."""
        found = len(rows) * symbols if members is None else int(np.count_nonzero(members))
        if found > MOST_CELLS:
            count = min(len(rows), max(LEAST_DATES, len(rows) * MOST_CELLS // found))
            kept = np.arange(count, dtype=np.int64) * len(rows) // count
            rows, members = rows[kept], None if members is None else members[kept]
        return cls(rows, None if members is None else np.flatnonzero(members), symbols)

    @property
    def count(self) -> int:
        """Cells of a formula."""
        return len(self.rows) * self.symbols if self.cells is None else len(self.cells)

    def taken(self, levels: Levels) -> Levels:
        """(K, count) of levels (K, S, N)."""
        flat = levels.reshape(len(levels), len(self.rows) * self.symbols)  # -1 would not do for none
        return flat if self.cells is None else flat[:, self.cells]


class SampledMembers:
    """Collects who is a member on sampled dates, chunk by chunk.

    Args:
        rows: (S,) the dates. symbols: N. universe: whether the data have members at all; else everyone is one.
    """

    def __init__(self, rows: IntArray, symbols: int, universe: bool) -> None:
        self.rows, self.symbols = rows, symbols
        self._members = np.zeros((len(rows), symbols), dtype=np.bool_) if universe else None

    @classmethod
    def of(cls, data: Source, train: slice, a_year: int, seed: int) -> SampledMembers:
        """For rows sampled of the training rows of some data, see `level_rows`."""
        return cls(level_rows(data.dates, train, a_year, seed), data.shape[1], data.has_universe)

    def see(self, start: int, universe: BoolArray | None) -> None:
        """The members (dates, N) of the dates from row `start` on."""
        if self._members is not None and universe is not None:
            here = (self.rows >= start) & (self.rows < start + len(universe))
            self._members[here] = universe[self.rows[here] - start]

    def cells(self) -> LevelCells:
        """The cells that levels are taken on, once all dates were seen."""
        return LevelCells.of(self.rows, self._members, self.symbols)
