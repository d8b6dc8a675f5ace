"""Dates in chunks: rows of a panel or a data set with the halo that windows need, read ahead.

1. `chunks` walks over the dates. Of a `Dataset` the next chunk's rows are read by a thread of their own while this
   one's are computed; of the rows behind, only the halo is kept.
2. A `Loaded` chunk shows any of its rows as a panel (`Loaded.rows`) whose arrays are put together when they are read,
   so that no second copy of them stays.
3. `compute` runs a batch's program on the rows that it needs, anchored by their place in the whole: the bits are those
   of one run over everything.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fama_fast.panel import GroupField, Panel
from fama_fast.panel.panel import derive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine.budget import Batch, Schedule
    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray, FloatArray

S = TypeVar("S", bound=np.generic)


class RowsView(Panel):
    """Consecutive rows of pieces that follow one another, as a panel; arrays are made anew at each access."""

    def __init__(self, pieces: Sequence[tuple[int, Panel]], start: int, stop: int) -> None:
        self._parts = [
            (panel, slice(max(0, start - at), min(len(panel.dates), stop - at)))
            for at, panel in pieces
            if at < stop and at + len(panel.dates) > start
        ]
        first = self._parts[0][0]
        self.dates = np.concatenate([p.dates[rows] for p, rows in self._parts])
        self.symbols, self.dtype, self.source, self.warnings = first.symbols, first.dtype, first.source, first.warnings
        self._hash = None
        self._first = first
        masks = [p.universe[rows] for p, rows in self._parts if p.universe is not None]
        self.universe: BoolArray | None = _joined(masks) if masks else None

    @property
    def supplied_fields(self) -> tuple[str, ...]:
        return self._first.supplied_fields

    @property
    def fields(self) -> tuple[str, ...]:
        return self._first.fields

    @property
    def groups(self) -> tuple[str, ...]:
        return self._first.groups

    def __getitem__(self, name: str) -> FloatArray:
        key = name.upper()
        if key in self.supplied_fields or key not in self.fields:
            return _joined([p[key][rows] for p, rows in self._parts])
        return derive(key, _Supplied(self))

    def read(self, name: str) -> FloatArray:
        return self[name]

    def group(self, name: str) -> GroupField:
        found = [p.group(name) for p, _ in self._parts]
        codes = [g.codes[rows] for g, (_, rows) in zip(found, self._parts, strict=True)]
        return GroupField.view(_joined(codes), found[0].labels)

    def settled(self) -> Panel:
        """These rows as a panel with arrays of its own."""
        return Panel(
            self.dates,
            self.symbols,
            {f: self[f] for f in self.supplied_fields},
            universe=self.universe,
            groups={g: self.group(g) for g in self.groups},
            warnings=self.warnings,
            source=self.source,
            dtype=self.dtype,
            copy=len(self._parts) == 1,
        )


class _Supplied(dict[str, Any]):
    def __init__(self, view: RowsView) -> None:
        self._view = view

    def __missing__(self, name: str) -> FloatArray:
        return self._view[name]


def _joined(arrays: Sequence[NDArray[S]]) -> NDArray[S]:
    """One array of all rows; a view where there is one part alone."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


@dataclass
class Loaded:
    """Dates [start, stop) of the data with rows around them in memory; history begins at row `floor`.

    `counted`: memory is, so that nothing may stay of it that the chunk does not need.
    """

    start: int
    stop: int
    pieces: list[tuple[int, Panel]]
    floor: int = 0
    counted: bool = True

    def rows(self, start: int, stop: int) -> Panel:
        """Rows [start, stop) of the data, which must lie in memory."""
        if not self.counted and start == 0 and stop == len(self.pieces[0][1].dates):
            return self.pieces[0][1]  # what the engine made of it serves again
        return RowsView(self.pieces, start, stop)

    def history(self, row: int, halo: int) -> int:
        """The first row to compute from, for dates from `row` on that look back `halo` rows.

        Where memory is not counted that is the first of all, so that all work on the same copies.
        """
        return max(self.floor, row - halo) if self.counted else self.floor

    def trim(self, capacity: int) -> None:
        """Where memory is counted, lets the engine keep no more than so many bytes for what comes."""
        from fama_fast.backends.numba_vm.memory import POOL

        if self.counted:
            POOL.trim(capacity)


def chunks(
    source: Source,
    schedule: Schedule,
    fields: Sequence[str],
    groups: Sequence[str],
    first: int = 0,
    last: int | None = None,
    floor: int = 0,
) -> Iterator[Loaded]:
    """The dates [first, last) in order, `schedule.core` at a time.

    For expressions rows before `floor` are as if they were not there (`Loaded.history`); labels may look at them.

    The caller must hold no view of a chunk when it asks for the next one, or its rows stay in memory. What the engine
    used for one chunk serves the next, and is let go of behind the last where memory is counted.

    Raises:
        DataError: from reading.
    """
    from fama_fast.backends.numba_vm.memory import POOL

    dates = len(source.dates)
    end = dates if last is None else last
    edges = [(a, min(end, a + schedule.core)) for a in range(first, end, schedule.core)]
    with ExitStack() as stack:
        if schedule.counted:
            POOL.clear()
            stack.callback(POOL.clear)
        if isinstance(source, Panel):
            for start, stop in edges:
                yield Loaded(start, stop, [(0, source)], floor, schedule.counted)
            return
        reader = source.reader(fields, groups)
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="fama-fast-read"))

        def read(start: int, stop: int) -> Future[Panel] | None:
            return pool.submit(reader.read, start, stop) if stop > start else None

        def begin_of(row: int) -> int:
            return max(0, min(max(floor, row - schedule.halo), row - schedule.rows_before))

        at = begin_of(first)
        need = min(dates, edges[0][1] + schedule.rows_after) if edges else at
        coming = read(at, need)
        pieces: list[tuple[int, Panel]] = []
        for i, (start, stop) in enumerate(edges):
            if coming is not None:
                pieces.append((at, coming.result()))
            at = need
            coming = None
            if i + 1 < len(edges):
                need = min(dates, edges[i + 1][1] + schedule.rows_after)
                coming = read(at, need)
            yield Loaded(start, stop, pieces, floor)
            begin = begin_of(stop)
            more = begin < at and i + 1 < len(edges)
            pieces = [(begin, RowsView(pieces, begin, at).settled())] if more else []


def compute(
    loaded: Loaded, batches: Sequence[Batch], *, warm: int = 0, **options: Any
) -> Iterator[tuple[Batch, list[FloatArray]]]:
    """Each batch with its values on the dates [start - warm, stop), (rows, N) float64, NaN where missing.

    The arrays are the caller's to keep; their memory is used again when it lets go of them. Fields are blocked once for
    all batches, with the rows before the chunk that the longest lookback needs; each batch works on its own rows alone.

    Args:
        warm: rows before the chunk that are wanted too; batches must have been made for them.
        options: of `execute`.
    """
    from fama_fast.backends.numba_vm.memory import POOL
    from fama_fast.backends.numba_vm.run import execute
    from fama_fast.backends.numba_vm.simd import LANES

    def row(before: int) -> int:
        return max(loaded.floor, loaded.start - before)

    halo = max(batch.halo for batch in batches)
    begin = row(halo)
    wanted = row(warm) - begin
    view = loaded.rows(begin, loaded.stop)
    dates, symbols = view.shape
    if loaded.counted:
        # What other chunks leave behind is of use where they are as long.
        POOL.keep([(-(-symbols // LANES), dates, LANES), (dates - wanted, symbols)])
    for batch in batches:
        first = row(batch.halo) - begin
        yield batch, execute(batch.plan, view, origin=begin - loaded.floor, first=first, wanted=wanted, **options)
    del view
    if loaded.counted and begin > loaded.start - halo:
        # The next chunk has more rows before it; results, of which it has as many, come back later.
        POOL.clear()
