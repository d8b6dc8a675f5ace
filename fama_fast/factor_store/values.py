"""Computes values of expressions on some of the dates, chunk by chunk, bit-identical to a run over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.engine.chunks import Loaded, chunks, compute
from fama_fast.engine.prepare import plan_chunks
from fama_fast.errors import StoreError
from fama_fast.factor_store.history import names_read
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.ir import Node
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import BoolArray, FloatArray


def values_from(
    roots: Sequence[Node],
    source: Panel | Dataset,
    first: int,
    last: int,
    *,
    offset: int,
    budget: int,
    threads: int | None,
) -> Iterator[tuple[Any, list[FloatArray], BoolArray]]:
    """Dates, values of each expression (rows, N) and where symbols are present, for the dates [first, last).

    Args:
        first, last: numbers of dates in the store, where the data's first date has the number `offset`: windows are
            anchored to these, so that data which begin later give the same bits.

    Raises:
        StoreError: the data lack rows before `first` that windows need. DataError: from reading.
    """
    fields, groups = names_read(roots, source)
    schedule = plan_chunks(roots, source, budget, fields=fields, groups=groups, kept=len(roots), extra=1.0)
    if offset and first - schedule.halo < offset:
        raise StoreError(
            f"{source.source} begins on {source.dates[0]}, {first - offset:,} dates before the first one to compute; "
            f"the longest window needs {schedule.halo:,}: give data that begin earlier"
        )
    for chunk in chunks(source, schedule, fields, groups, first - offset, last - offset):
        loaded = Loaded(chunk.start + offset, chunk.stop + offset, [(at + offset, p) for at, p in chunk.pieces])
        del chunk
        values: list[Any] = [None] * len(roots)
        for batch, computed in compute(loaded, schedule.batches, threads=threads):
            for index, value in zip(batch.indices, computed, strict=True):
                values[index] = value
            del computed, value
        view = loaded.rows(loaded.start, loaded.stop)
        del loaded
        yield view.dates, values, trading(view)
        del view, values
