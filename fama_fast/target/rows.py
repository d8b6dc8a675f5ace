"""Labels by rows of the data: of a chunk of dates they are made when the chunk is there.

Labels of closes are made at each call (`ReturnLabels`), or are in memory already (`GivenLabels`); those of any other
target are `labels.TargetLabels`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.backends.numba_vm.sorted_rows import SortedRows
from fama_fast.data.labels import MIN_MEMBERS, label_exits, label_span, only_scored, returns_to
from fama_fast.engine.chunk_labels import ChunkLabels

if TYPE_CHECKING:
    from fama_fast.data.labels import Horizon
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray, IntArray

# Bytes a cell of a label: its values, order and what computing them takes.
LABEL_BYTES = 8 + 4 + 8 + 8


class LabelRows(ChunkLabels, Protocol):
    """Labels by rows of the data: `fields` and `groups` are read for them, in the rows asked for, `rows_before` rows
    before and `rows_after` rows after those."""

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        """(stop - start, N) labels of the dates [start, stop), which must lie in memory."""

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        """The same with the order of each date's."""

    def later(self, rows: int) -> LabelRows:
        """Of each date the label so many rows later; none where the data end before."""


@dataclass(frozen=True)
class ReturnLabels:
    """Forward returns of the closes at hand, on dates that are scored (`data.labels.only_scored`).

    `exits` (T,) rows at which positions are left. `ahead`: of each date the label so many rows later.
    """

    exits: IntArray
    entry_lag: int
    rows_after: int
    min_members: int
    ahead: int = 0
    fields: tuple[str, ...] = field(default=("CLOSE",), init=False)
    groups: tuple[str, ...] = field(default=(), init=False)
    rows_before: int = field(default=0, init=False)
    cell_bytes: int = field(default=LABEL_BYTES, init=False)

    @classmethod
    def of(cls, source: Source, horizon: Horizon, entry_lag: int, *, min_members: int = MIN_MEMBERS) -> ReturnLabels:
        """Of the data with these dates: no label knows a close behind their last one."""
        sessions = source.sessions
        exits, rows_after = label_exits(sessions, horizon, entry_lag), label_span(sessions, horizon, entry_lag)
        return cls(exits, entry_lag, rows_after, min_members)

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        del threads
        end = min(self.exits.size, stop + self.rows_after)
        found = returns_to(loaded.rows(start, end)["CLOSE"], self.exits[start:stop] - start, self.entry_lag)
        first, last = min(self.exits.size, start + self.ahead), min(self.exits.size, stop + self.ahead)
        members = loaded.rows(first, last).universe if last > first else None
        if members is not None:
            found[: last - first] = only_scored(found[: last - first], members, self.min_members)
        return found

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        return SortedRows.of(self.rows(loaded, start, stop, threads), threads=threads)

    def later(self, rows: int) -> ReturnLabels:
        dates = self.exits.size
        moved = np.concatenate([self.exits[rows:], np.full(min(rows, dates), dates)])
        return replace(
            self,
            exits=moved,
            entry_lag=self.entry_lag + rows,
            rows_after=self.rows_after + rows,
            ahead=self.ahead + rows,
        )


@dataclass(frozen=True)
class GivenLabels:
    """Labels (T, N) in memory, such as shuffled ones.

    `ahead`: of each date the label so many rows later. `order`: of each date's values, where they are sorted once for
    all chunks.
    """

    values: FloatArray
    ahead: int = 0
    order: SortedRows | None = None
    fields: tuple[str, ...] = field(default=(), init=False)
    groups: tuple[str, ...] = field(default=(), init=False)
    rows_before: int = field(default=0, init=False)
    rows_after: int = field(default=0, init=False)
    cell_bytes: int = field(default=LABEL_BYTES, init=False)

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        del loaded, threads
        found: FloatArray = filled_up(self.values[start + self.ahead : stop + self.ahead], stop - start, np.nan)
        return found

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        if self.order is None:
            return SortedRows.of(self.rows(loaded, start, stop, threads), threads=threads)
        if self.ahead == start == 0 and stop == len(self.values):
            return self.order
        found = self.order.part(slice(start + self.ahead, stop + self.ahead))
        arrays = ((found.values, np.nan), (found.order, 0), (found.count, 0))
        return SortedRows.made(*(filled_up(a, stop - start, nothing) for a, nothing in arrays))

    def later(self, rows: int) -> GivenLabels:
        return replace(self, ahead=self.ahead + rows)

    def cut(self, start: int, stop: int) -> GivenLabels:
        """Those of the dates [start, stop) alone, of data that are cut there."""
        rows = slice(start + self.ahead, stop + self.ahead)
        return GivenLabels(self.values[rows], 0, None if self.order is None else self.order.part(rows))


def filled_up(array: Any, rows: int, nothing: float) -> Any:
    """The array, with as many rows of `nothing` behind it as `rows` rows ask for."""
    if len(array) == rows:
        return array
    out = np.full((rows, *array.shape[1:]), nothing, dtype=array.dtype)
    out[: len(array)] = array
    return out
