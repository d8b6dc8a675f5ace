"""Daily figures of many expressions straight from the engine: their values are never kept.

The figures have the bits of `fama_fast.evaluation` on the values; only memory and time differ. On a sample of
dates, cross-sectional work is done for those dates alone. Dates are taken in chunks; a panel in memory without a budget
is one chunk. The labels of a chunk are asked for when the chunk is there, so that no label of all dates need be in
memory.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import shown, whole
from fama_fast.backends.numba_vm.memory import SPARE_BYTES
from fama_fast.engine.chunk_labels import labels_by_chunk, padded_labels, part_of_labels
from fama_fast.engine.chunks import chunks
from fama_fast.engine.legs import DailyMeasures, Legs
from fama_fast.engine.prepare import lowered, plan_chunks, read_names
from fama_fast.errors import DataError
from fama_fast.ir import Node, field
from fama_fast.ops import build
from fama_fast.ops.registry import on_unregister
from fama_fast.panel import Panel
from fama_fast.plan import UNIVERSE, make_plan, mask_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.backends.numba_vm.run_memory import RowOrder
    from fama_fast.engine.alpha import Alpha
    from fama_fast.engine.budget import Batch
    from fama_fast.engine.chunk_labels import ChunkLabels
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray, IntArray

BATCH = 64  # expressions a plan: enough to share work, few enough that intermediates stay small
_BATCH_BYTES = 512 * 2**20  # of values at a time
_MOST_OF = 0.75  # of a panel's dates: computing the rest costs less than copying the fields of these
_PADDED = 8 + 4  # bytes a cell of a batch's rows: labels and their order, with rows before the chunk


@functools.lru_cache(maxsize=32)
def _sink_plan(roots: tuple[Node, ...], min_pairs: int, every: bool, levels: bool = False) -> Plan:
    return make_plan(roots, sink=True, min_pairs=min_pairs, every=every, levels=levels)


on_unregister(_sink_plan.cache_clear)


def daily_rank_ic(
    items: Sequence[str | Alpha],
    source: Source,
    labels: RowOrder | ChunkLabels,
    *,
    rows: IntArray | None = None,
    min_pairs: int = 3,
    min_coverage: float | None = None,
    threads: int | None = None,
    budget: int | None = None,
    held: int = 0,
    first: int = 0,
    last: int | None = None,
    floor: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """RankIC by date of each expression with one label, in one pass over the dates [first, last).

    Args:
        items: texts in the default dialect, or compiled alphas; K of them.
        source: T dates, in memory or read in parts.
        labels: forward returns of all dates with the order of each date's (anything with values, order and count, such
            as `evaluation.SortedRows.of(forward_returns(panel))`), or where those of a chunk come from.
        rows: dates to score (ascending row indices); default all. Others are NaN.
        min_pairs: fewest symbols with a value and a label.
        min_coverage, threads: as for `evaluate`.
        budget: bytes that chunks of dates must fit, of which `held` are taken already; None: all dates at once.
        floor: the row that history begins at, for the bits of data cut there.

    Returns:
        (K, last - first) RankIC, NaN where a date has none; of the same shape, how many members have a value.

    Raises:
        DataError: labels of another shape, rows out of range, from reading. ExpressionError: from compiling.
        ConfigError: a budget too small for one chunk.
    """
    options: dict[str, Any] = {"min_pairs": min_pairs, "min_coverage": min_coverage, "threads": threads}
    figures = _figures(
        items, source, labels, rows, None, budget=budget, held=held, first=first, last=last, floor=floor, **options
    )
    return figures[:, :, 0], figures[:, :, 1]


def daily_measures(
    items: Sequence[str | Alpha],
    source: Source,
    labels: RowOrder | ChunkLabels,
    *,
    span: int,
    min_pairs: int = 3,
    min_coverage: float | None = None,
    threads: int | None = None,
    budget: int | None = None,
    held: int = 0,
    first: int = 0,
    last: int | None = None,
    floor: int = 0,
    sampled: IntArray | None = None,
) -> DailyMeasures:
    """All daily series of each expression with one label, in one pass over the dates [first, last).

    A date is sorted once for all of them. Their bits are those of `fama_fast.evaluation.daily` on the values; of the
    first `span` dates nothing is known to be traded.

    Args:
        span: rows a label is held. sampled: ascending rows in [first, last) whose ranks in 8 bits are wanted too
            (`DailyMeasures.levels`): what they cost is one sort of these. Others, and errors: as `daily_rank_ic`.
    """
    options: dict[str, Any] = {"min_pairs": min_pairs, "min_coverage": min_coverage, "threads": threads}
    chosen = None if sampled is None else row_numbers(sampled, source.shape[0])
    levels = None if chosen is None else np.zeros((len(items), len(chosen), source.shape[1]), dtype=np.int8)
    rest: dict[str, Any] = {"first": first, "last": last, "floor": floor, **options}
    more = 0 if levels is None else levels.nbytes
    figures = _figures(
        items, source, labels, None, span, budget=budget, held=held + more, sampled=chosen, levels=levels, **rest
    )
    rank_ic, count, ic, spread, traded = (figures[:, :, i] for i in range(5))
    return DailyMeasures(rank_ic, count, ic, spread, traded, levels)


def _figures(
    items: Sequence[str | Alpha],
    source: Source,
    labels: RowOrder | ChunkLabels,
    rows: IntArray | None,
    span: int | None,
    *,
    min_pairs: int,
    min_coverage: float | None,
    threads: int | None,
    budget: int | None,
    held: int,
    first: int,
    last: int | None,
    floor: int,
    sampled: IntArray | None = None,
    levels: NDArray[np.int8] | None = None,
) -> FloatArray:
    """(K, last - first, 2) RankIC and number of values; with a span (K, last - first, 5), also IC, spread, traded.

    levels: (K, len(sampled), N), to which ranks in 8 bits of the sampled dates are written.
    """
    from fama_fast.backends.numba_vm.run import execute

    dates, symbols = source.shape
    stop = dates if last is None else last
    min_pairs = whole(min_pairs, "min_pairs", 0, 1_000_000_000)
    every = span is not None
    by_chunk = labels_by_chunk(labels, source.shape)
    wanted = np.arange(first, stop) if rows is None else np.unique(row_numbers(rows, dates))
    roots = sink_roots(items, source, min_coverage, order_alone=not every)
    figures = np.full((len(roots), stop - first, 5 if every else 2), np.nan)
    if not roots:
        return figures
    fields, groups = read_names(roots, source)
    fields = list(dict.fromkeys([*fields, *by_chunk.fields]))
    groups = list(dict.fromkeys([*groups, *by_chunk.groups]))
    ranked, samples = levels is not None, np.zeros(0, dtype=np.int64) if sampled is None else sampled
    plan = functools.partial(_sink_plan, min_pairs=min_pairs, every=every, levels=ranked)
    results = plan(tuple(roots[:1])).figures(symbols)
    legs = None if span is None else Legs(span, symbols)
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        plan=plan,
        rows_before=by_chunk.rows_before,
        rows_after=by_chunk.rows_after,
        extra=by_chunk.cell_bytes,
        extra_batch=_PADDED,
        sink=True,
        figures=8.0 * results / symbols + float(ranked) if every else 0.0,
        walked=stop - first,
        held=held + (0 if legs is None else legs.bytes_of(len(roots))),
    )
    for loaded in chunks(source, schedule, fields, groups, first, stop, floor):
        earliest = loaded.history(loaded.start, schedule.halo)
        order = padded_labels(by_chunk.sorted(loaded, loaded.start, loaded.stop, threads), loaded.start - earliest)
        asked = wanted[(wanted >= loaded.start) & (wanted < loaded.stop)]
        own = slice(loaded.start - first, loaded.stop - first)
        here = np.flatnonzero((samples >= loaded.start) & (samples < loaded.stop))
        for batch, begin, view in _views(loaded, schedule.batches, loaded.start):
            dates = loaded.stop - begin
            whole_view = len(asked) == dates
            rows_out = batch.plan.sink_rows(dates, len(here), symbols)
            out = [np.full((rows_out, results), np.nan) for _ in batch.indices]
            execute(
                batch.plan,
                view,
                threads=threads,
                origin=begin - floor,
                out=out,
                labels=order if begin == earliest else part_of_labels(order, begin - earliest, len(order.count)),
                rows=None if every or whole_view else asked - begin,
                sampled=samples[here] - begin if ranked else None,
            )
            for index, found in zip(batch.indices, out, strict=True):
                inside = found[loaded.start - begin : dates]
                if levels is not None:
                    behind = found[dates:].reshape(-1).view(np.int8)[: len(here) * symbols]
                    levels[index, here] = behind.reshape(len(here), symbols)
                figures[index, own, : min(4, results)] = inside[:, :4]
                if legs is not None:
                    figures[index, own, 4] = legs.traded(index, inside[:, 4:])
            del view
        del order
    return figures


def ranks_on(
    items: Sequence[str | Alpha],
    source: Source,
    rows: IntArray,
    *,
    min_coverage: float | None = None,
    threads: int | None = None,
    budget: int | None = None,
    held: int = 0,
    before: int = 0,
) -> Iterator[FloatArray]:
    """Cross-sectional ranks in (0, 1] on some dates (len(rows), N) for each expression in turn, NaN where missing.

    The bits are those of `RANK` of the expression on every date; cross-sections of other dates are left out. Within a
    budget one pass serves all expressions, whose ranks count too.

    Args:
        items, source, min_coverage, threads, budget, held: as for `daily_rank_ic`. rows: ascending row indices.
        before: rows of the whole data before the first of the source, for the bits of the whole.
    """
    roots = rank_roots(items, source, min_coverage)
    dates, symbols = source.shape
    rows = row_numbers(rows, dates)
    size = max(1, len(roots) if budget is not None else min(BATCH, _BATCH_BYTES // (8 * dates * symbols)))
    for at in range(0, len(roots), size):
        yield from _ranks(roots[at : at + size], source, rows, threads, budget, held, before)


def _ranks(
    roots: Sequence[Node],
    source: Source,
    rows: IntArray,
    threads: int | None,
    budget: int | None,
    held: int,
    before: int,
) -> list[FloatArray]:
    """In one pass over the dates."""
    from fama_fast.backends.numba_vm.run import execute

    n = len(source.symbols)
    out = [np.full((len(rows), n), np.nan) for _ in roots]
    if not len(rows):
        return out
    fields, groups = read_names(roots, source)
    first, last = int(rows[0]), int(rows[-1]) + 1
    if budget is None and isinstance(source, Panel) and last > _MOST_OF * len(source.dates):
        last = len(source.dates)  # what the engine made of the panel's fields serves again
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
        for batch, begin, view in _views(loaded, schedule.batches, int(rows[asked[0]])):
            here = rows[asked] - begin
            found = execute(batch.plan, view, threads=threads, origin=before + begin, rows=here)
            for index, values in zip(batch.indices, found, strict=True):
                out[index][asked] = values[here]
            del found, values, view
    return out


def _views(loaded: Loaded, batches: Sequence[Batch], row: int) -> Iterator[tuple[Batch, int, Panel]]:
    """Each batch with the rows of the chunk that it needs for dates from `row` on, and the number of their first.

    Arrays of another length are of no use any more: the caller must hold no view when it asks for the next one.
    """
    view: Panel | None = None
    for batch in batches:
        begin = loaded.history(row, batch.halo)
        if view is None or len(view.dates) != loaded.stop - begin:
            view = None  # its copies go with what is let go of here
            loaded.trim(0)
            view = loaded.rows(begin, loaded.stop)
        yield batch, begin, view
        # The memory is counted: the pool keeps less of it from batch to batch than it may elsewhere.
        loaded.trim(SPARE_BYTES)
    view = None
    loaded.trim(0)


def row_numbers(rows: Any, n_dates: int) -> IntArray:
    """Numbers of dates, each in 0 .. n_dates - 1.

    Raises:
        DataError: something else.
    """
    given = np.asarray(rows)
    if given.ndim != 1 or not (np.issubdtype(given.dtype, np.integer) or not given.size):
        raise DataError(f"rows to score must be a list of row numbers, not {shown(rows)}")
    if given.size and (given.min() < 0 or given.max() >= n_dates):
        raise DataError(f"rows to score must lie in 0..{n_dates - 1}, not {given.min()}..{given.max()}")
    return given.astype(np.int64)


def sink_roots(
    items: Sequence[str | Alpha], source: Source, min_coverage: float | None = None, *, order_alone: bool = True
) -> list[Node]:
    """What a sink reads for each expression; order_alone: whether it looks at nothing but the order of the values."""
    roots = list(lowered(items, source, min_coverage))
    if order_alone:
        # A rank puts the symbols in the order of what it ranks: no sort for it where nothing but the order counts.
        roots = [_ranked(root) for root in roots]
    if source.has_universe:
        member: Node = field(UNIVERSE)
        roots = [build("MASK", root, member) for root in roots]
    return roots


def rank_roots(items: Sequence[str | Alpha], source: Source, min_coverage: float | None = None) -> list[Node]:
    """The cross-sectional rank of each expression."""
    roots = [build("RANK", root) for root in lowered(items, source, min_coverage)]
    return list(mask_members(roots)) if source.has_universe else roots


def _ranked(root: Node) -> Node:
    while root.op == "RANK":
        root = root.args[0]
    return root
