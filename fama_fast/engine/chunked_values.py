"""Values of lowered expressions, chunk by chunk: into a writer, into arrays of all dates, or as one long frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.outputs import Chunk, Writer
from fama_fast.engine.prepare import plan_chunks, read_names
from fama_fast.panel.labelled import long_frame
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray


def write_in_chunks(
    roots: Sequence[Node],
    source: Source,
    budget: int | None,
    writer: Writer,
    dtype: np.dtype[Any],
    options: dict[str, Any],
) -> None:
    """Values chunk by chunk into a writer."""
    fields, groups = read_names(roots, source)
    # Rows of the output are where the data have a symbol.
    fields = list(
        dict.fromkeys([*fields, *(("CLOSE",) if "CLOSE" in source.supplied_fields else source.supplied_fields)])
    )
    exact = dtype == np.float64
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        kept=len(roots) if exact else 0,
        extra=1.0 if exact else 1.0 + dtype.itemsize * len(roots),
    )
    for loaded in chunks(source, schedule, fields, groups):
        values: list[Any] = [None] * len(roots)
        for batch, found in compute(loaded, schedule.batches, **options):
            for index, value in zip(batch.indices, found, strict=True):
                values[index] = value.astype(dtype, copy=False)
            del found, value
        view = loaded.rows(loaded.start, loaded.stop)
        writer.put(Chunk(loaded.start, view.dates, source.symbols, writer.names, values, trading(view)))
        del view, values


def arrays_in_chunks(
    roots: Sequence[Node], source: Source, budget: int | None, dtype: np.dtype[Any], options: dict[str, Any]
) -> list[FloatArray]:
    """Values chunk by chunk into arrays of all dates."""
    fields, groups = read_names(roots, source)
    schedule = plan_chunks(roots, source, budget, fields=fields, groups=groups)
    out: list[Any] = [np.empty(source.shape, dtype=dtype) for _ in roots]
    for loaded in chunks(source, schedule, fields, groups):
        for batch, found in compute(loaded, schedule.batches, **options):
            for index, value in zip(batch.indices, found, strict=True):
                out[index][loaded.start : loaded.stop] = value
            del found, value
    return out


def frame_in_chunks(
    roots: Sequence[Node],
    source: Source,
    budget: int | None,
    names: tuple[str, ...],
    dtype: np.dtype[Any],
    options: dict[str, Any],
) -> pl.DataFrame:
    """Values chunk by chunk as one long frame."""
    import polars as pl

    days = are_days(source)
    parts: list[pl.DataFrame] = []

    def take(chunk: Chunk) -> None:
        named = dict(zip(names, chunk.values, strict=True))
        parts.append(long_frame(chunk.dates, chunk.symbols, named, chunk.present, days=days))

    writer = Writer(take, names, days=days)
    with writer:
        write_in_chunks(roots, source, budget, writer, dtype, options)
    return pl.concat(parts)


def are_days(source: Source) -> bool:
    """Whether all dates are days, without a time."""
    return bool((source.dates.astype("datetime64[D]") == source.dates).all())
