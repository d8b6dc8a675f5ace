"""What `engine.daily` gives, of data larger than memory: dates in chunks, daily figures and sampled ranks kept.

The labels of a chunk are asked for when the chunk is there, so that no label of all dates need be in memory. The bits
are those of one run over everything.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.backends.numba_vm.run import SortedLabels, execute
from fama_fast.engine.chunks import chunks
from fama_fast.engine.daily import rank_roots, sink_roots
from fama_fast.engine.evaluate import plan_chunks, read_names
from fama_fast.ops.registry import on_unregister
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.engine.chunks import Loaded, RowsView
    from fama_fast.ir import Node
    from fama_fast.panel.dataset import Dataset
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray, IntArray

_PADDED = 8 + 4  # bytes a cell of a batch's rows: labels and their order, with rows before the chunk


@dataclass(frozen=True)
class ChunkLabels:
    """Where a chunk's labels come from.

    Attributes:
        sort: the labels of the chunk's own dates with their order. fields: what it reads of the data. rows_after: rows
            after the chunk that it needs. cell_bytes: what it takes a cell of the chunk.
    """

    sort: Callable[[Loaded], SortedLabels]
    fields: tuple[str, ...]
    rows_after: int
    cell_bytes: int


@functools.lru_cache(maxsize=256)
def _sink_plan(roots: tuple[Node, ...], min_pairs: int) -> Plan:
    return make_plan(roots, sink=True, min_pairs=min_pairs)


on_unregister(_sink_plan.cache_clear)


def daily_rank_ic_in_chunks(
    items: Sequence[str | Alpha],
    source: Dataset,
    labels: ChunkLabels,
    *,
    budget: int,
    first: int = 0,
    last: int | None = None,
    floor: int = 0,
    held: int = 0,
    min_pairs: int = 3,
    min_coverage: float | None = None,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """RankIC by date of each expression with one label, in one pass over the dates [first, last).

    Args:
        items: K expressions. labels: by chunk. budget: bytes, of which `held` are taken already.
        floor: the row that history begins at, for the bits of data cut there. Others as for `daily_rank_ic`.

    Returns:
        (K, last - first) RankIC, NaN where a date has none; of the same shape, how many members have a value.

    Raises:
        ConfigError: a budget too small for one chunk. DataError: from reading. ExpressionError: from compiling.
    """
    stop = len(source.dates) if last is None else last
    roots = sink_roots(items, source, min_coverage)
    figures = np.full((len(roots), stop - first, 2), np.nan)
    if not roots:
        return figures[:, :, 0], figures[:, :, 1]
    fields, groups = read_names(roots, source)
    fields = list(dict.fromkeys([*fields, *labels.fields]))
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        plan=lambda part: _sink_plan(part, min_pairs),
        rows_after=labels.rows_after,
        extra=labels.cell_bytes,
        extra_batch=_PADDED,
        sink=True,
        walked=stop - first,
        held=held,
    )
    for loaded in chunks(source, schedule, fields, groups, first, stop, floor):
        padded = _padded(labels.sort(loaded), loaded.start - max(floor, loaded.start - schedule.halo))
        lead = len(padded.count) - (loaded.stop - loaded.start)
        own = slice(loaded.start - first, loaded.stop - first)
        view = None
        for batch in schedule.batches:
            begin = max(floor, loaded.start - batch.halo)
            before = loaded.start - begin
            if view is None or len(view.dates) != loaded.stop - begin:
                view = None  # its copies go with what `_fresh` lets go of
                view = _fresh(loaded, begin)
            out = [np.full((before + loaded.stop - loaded.start, 2), np.nan) for _ in batch.indices]
            execute(
                batch.plan,
                view,
                threads=threads,
                origin=begin - floor,
                out=out,
                labels=_from(padded, lead - before),
                rows=np.arange(before, before + loaded.stop - loaded.start),
            )
            for index, found in zip(batch.indices, out, strict=True):
                figures[index, own] = found[before:]
            _keep_little()
        del view, padded
        _let_go()
    return figures[:, :, 0], figures[:, :, 1]


def ranks_in_chunks(
    items: Sequence[str | Alpha],
    source: Dataset,
    rows: IntArray,
    *,
    budget: int,
    held: int = 0,
    min_coverage: float | None = None,
    threads: int | None = None,
) -> list[FloatArray]:
    """Cross-sectional ranks on some dates, as `ranks_on`, (len(rows), N) of each expression; all of them are kept.

    Of the budget `held` bytes are taken already, and the ranks count too.

    Raises:
        As `daily_rank_ic_in_chunks`.
    """
    n = len(source.symbols)
    roots = rank_roots(items, source, min_coverage)
    out = [np.full((len(rows), n), np.nan) for _ in roots]
    if not roots or not len(rows):
        return out
    fields, groups = read_names(roots, source)
    first, last = int(rows[0]), int(rows[-1]) + 1
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        walked=last - first,
        shared=False,
        held=held + 8 * n * len(rows) * len(roots),
    )
    for loaded in chunks(source, schedule, fields, groups, first, last):
        asked = np.flatnonzero((rows >= loaded.start) & (rows < loaded.stop))
        if not asked.size:
            continue
        view = None
        for batch in schedule.batches:
            begin = max(0, int(rows[asked[0]]) - batch.halo)
            if view is None or len(view.dates) != loaded.stop - begin:
                view = None  # its copies go with what `_fresh` lets go of
                view = _fresh(loaded, begin)
            here = rows[asked] - begin
            found = execute(batch.plan, view, threads=threads, origin=begin, rows=here)
            for index, values in zip(batch.indices, found, strict=True):
                out[index][asked] = values[here]
            del found, values
            _keep_little()
        del view
        _let_go()
    return out


def _padded(labels: SortedLabels, before: int) -> SortedLabels:
    """Labels with rows in front that have none: a sink may look at those though nobody asks for their figures."""
    rows, n = labels.values.shape
    values = np.full((before + rows, n), np.nan)
    order = np.zeros((before + rows, n), dtype=np.int32)
    count = np.zeros(before + rows, dtype=np.int64)
    values[before:], order[before:], count[before:] = labels.values, labels.order, labels.count
    return SortedLabels(values, order, count)


def _from(labels: SortedLabels, row: int) -> SortedLabels:
    return SortedLabels(labels.values[row:], labels.order[row:], labels.count[row:])


def _fresh(loaded: Loaded, begin: int) -> RowsView:
    """Rows from `begin` on; arrays of another length are of no use any more."""
    _let_go()
    return loaded.rows(begin, loaded.stop)


def _keep_little() -> None:
    """The memory is counted: the pool keeps less of it from batch to batch than it may elsewhere."""
    from fama_fast.backends.numba_vm.memory import POOL, SPARE_BYTES

    POOL.trim(SPARE_BYTES)


def _let_go() -> None:
    from fama_fast.backends.numba_vm.memory import POOL

    POOL.clear()
