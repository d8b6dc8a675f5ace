"""Values of many expressions on a panel, with common work done once.

1. Texts are compiled against the panel's fields and groups (`prepare.compiled`).
2. Derived fields that the panel lacks and composite operators are lowered, windows relaxed and members masked as the
   run asks (`prepare.lowered_roots`).
3. All expressions become one plan (`fama_fast.plan`), which runs on all cores (`fama_fast.backends.numba_vm.run`).
4. Where that would not fit the memory budget, the data are not in memory, or values go to a file, dates are taken in
   chunks and expressions in batches instead (`engine.budget`, `engine.chunked_values`), with the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fama_fast import passes
from fama_fast.arguments import shown, whole
from fama_fast.backends.numba_vm.threads import thread_count
from fama_fast.engine.alpha import Alpha
from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
from fama_fast.engine.chunked_values import are_days, arrays_in_chunks, frame_in_chunks, write_in_chunks
from fama_fast.engine.outputs import Output, Writer, Written, about
from fama_fast.engine.prepare import compiled, fits, lowered_roots, plan_of
from fama_fast.errors import ConfigError
from fama_fast.panel import Panel
from fama_fast.panel.labelled import check_names, pandas_long, read_library
from fama_fast.panel.panel import read_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl

    from fama_fast.panel.labelled import Library
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray


def _listed(items: Any) -> list[Any]:
    """The items of a list of expressions.

    Raises:
        TypeError: one expression in place of a list of them. ConfigError: no list.
    """
    if isinstance(items, str | Alpha):
        raise TypeError("evaluate takes a list of expressions; for one, use Alpha.evaluate or [expression]")
    if not isinstance(items, Iterable) or not getattr(items, "ndim", 1):
        raise ConfigError(f"give a list of expressions, not {shown(items)}")
    return list(items)


@overload
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = ...,
    min_coverage: float | None = ...,
    memory_budget: int | float | str | None = ...,
    output: None = ...,
    names: Sequence[str] | None = ...,
    dtype: Any = ...,
    layout: Literal["dates", "blocks"] = ...,
    tile_rows: int | None = ...,
    optimise: bool = ...,
    dialect: str = ...,
    frame: None = ...,
) -> list[FloatArray]: ...
@overload
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = ...,
    min_coverage: float | None = ...,
    memory_budget: int | float | str | None = ...,
    output: Output,
    names: Sequence[str] | None = ...,
    dtype: Any = ...,
    layout: Literal["dates", "blocks"] = ...,
    tile_rows: int | None = ...,
    optimise: bool = ...,
    dialect: str = ...,
    frame: None = ...,
) -> Written: ...
@overload
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = ...,
    min_coverage: float | None = ...,
    memory_budget: int | float | str | None = ...,
    output: None = ...,
    names: Sequence[str] | None = ...,
    dtype: Any = ...,
    layout: Literal["dates", "blocks"] = ...,
    tile_rows: int | None = ...,
    optimise: bool = ...,
    dialect: str = ...,
    frame: Literal["polars"],
) -> pl.DataFrame: ...
@overload
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = ...,
    min_coverage: float | None = ...,
    memory_budget: int | float | str | None = ...,
    output: None = ...,
    names: Sequence[str] | None = ...,
    dtype: Any = ...,
    layout: Literal["dates", "blocks"] = ...,
    tile_rows: int | None = ...,
    optimise: bool = ...,
    dialect: str = ...,
    frame: Literal["pandas"],
) -> pd.DataFrame: ...
@overload
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = ...,
    min_coverage: float | None = ...,
    memory_budget: int | float | str | None = ...,
    output: None = ...,
    names: Sequence[str] | None = ...,
    dtype: Any = ...,
    layout: Literal["dates", "blocks"] = ...,
    tile_rows: int | None = ...,
    optimise: bool = ...,
    dialect: str = ...,
    frame: Library,
) -> pl.DataFrame | pd.DataFrame: ...
def evaluate(
    items: Sequence[str | Alpha],
    panel: Source | MarketData,
    *,
    threads: int | None = None,
    min_coverage: float | None = None,
    memory_budget: int | float | str | None = None,
    output: Output | None = None,
    names: Sequence[str] | None = None,
    dtype: Any = np.float64,
    layout: Literal["dates", "blocks"] = "dates",
    tile_rows: int | None = None,
    optimise: bool = True,
    dialect: str = "fama",
    frame: Library | None = None,
) -> list[FloatArray] | Written | pl.DataFrame | pd.DataFrame:
    """Values of expressions on a panel, in order, each (T, N) of `dtype` with NaN where missing.

    Common subexpressions are computed once. The bits do not depend on threads, tiles, budget or company. A panel of
    float32 fields is computed in float64 all the same: what differs is the rounding of the data, relative 6e-8.

    Args:
        items: texts, or compiled alphas.
        panel: a `Panel`, or a `Dataset` of which parts are read; or data that a panel is made of, as
            `load_market_data` takes them: a path, a frame, wide frames by field. With a memory budget the data at a
            path are read in parts.
        threads: default `FAMA_THREADS`, else all processors.
        min_coverage: share of a window that must be present where an operator gives no `min_periods` (default: all).
        memory_budget: bytes, or "800MB", for what is read, intermediates and the results of one pass; a panel in
            memory and results returned are extra. Dates are then taken in chunks, with the rows before them that
            windows need. Default: none for a panel, `budget.DEFAULT_BUDGET` for a data set.
        output: writes the values instead of returning them: a .parquet or .csv file, a new folder of Parquet files, or
            a function called with each `Chunk` in the order of dates. Files and folders appear whole or not at all.
        names: of the columns written, or of the frame; by default each one's canonical text. What a column holds is
            said in the file (Parquet, `outputs.ABOUT`) or beside it (`values.csv.json`).
        dtype: of the values: float64, or float32, rounded once at the end, in half the memory; beyond 3.4e38 infinite.
        layout: "dates" for (T, N) arrays; "blocks" for the engine's own (ceil(N / 8), T, 8): eight symbols wide, all
            their dates contiguous, NaN behind the last symbol. That costs less to write and suits work along time;
            `values.transpose(1, 0, 2).reshape(T, -1)[:, :N]` turns it round. Only for a panel in memory.
        dialect: of the texts: "fama"; "alpha101", "qlib" or "brain" for the conventions of those systems.
        frame: "polars" or "pandas" returns one labelled frame in place of arrays: of Polars with columns date, symbol
            and one an expression, of pandas with an index of dates and symbols. Rows are the cells where the data have
            a symbol or an expression has a value.
        tile_rows, optimise: for tests: dates a cross-sectional tile, and whether lowered work is shared again.

    Raises:
        UnknownName: a field or group that the panel lacks. Other ExpressionErrors: from compiling.
        ConfigError: a budget too small for one chunk; the message says the least that would do.
        OutputError: a place that cannot be written. DataError: from reading.
    """
    from fama_fast.panel.source import source_of

    texts = _listed(items)
    library = read_library(frame)
    kept_as = read_dtype(dtype)
    thread_count(threads)
    if tile_rows is not None:
        whole(tile_rows, "tile_rows", 1)
    given = parse_bytes(memory_budget) if memory_budget is not None else None
    panel = source_of(panel, in_parts=given is not None)
    budget = given if given is not None else None if isinstance(panel, Panel) else DEFAULT_BUDGET
    alphas = compiled(texts, panel, dialect)
    if names is not None and len(names) != len(alphas):
        raise ConfigError(f"names has {len(names)} names for {len(alphas)} expressions")
    columns = tuple(names) if names is not None else ()
    if names is None and (output is not None or library is not None):
        columns = tuple(a.canonical for a in alphas)
    if library is not None:
        if output is not None or layout != "dates":
            raise ConfigError('frame= returns a labelled frame: it goes neither with output= nor with layout="blocks"')
        if not alphas:
            raise ConfigError("there is no expression to make a frame of")
        check_names(columns)
    if layout not in ("dates", "blocks"):
        raise ConfigError(f'layout must be "dates" or "blocks", not {layout!r}')
    blocks = layout == "blocks"
    if blocks and (not isinstance(panel, Panel) or output is not None):
        raise ConfigError('layout="blocks" is for values of a panel in memory that are returned, not written or read')
    writer = None
    if output is not None:
        said = about(columns, alphas, panel, min_coverage)
        writer = Writer(output, columns, days=are_days(panel), about=said)
    roots = lowered_roots(alphas, panel, min_coverage, optimise)
    options = {"threads": threads, "tile_rows": tile_rows}
    if writer is not None:
        if not alphas:
            raise ConfigError("there is no expression to write the values of")
        with writer:
            write_in_chunks(roots, panel, budget, writer, kept_as, options)
            return writer.finish()
    if library is not None:
        whole_fits = isinstance(panel, Panel) and (budget is None or fits(roots, panel, budget))
        if not whole_fits:
            return _in_library(frame_in_chunks(roots, panel, budget, columns, kept_as, options), library)
    values: list[FloatArray] = []
    if alphas and isinstance(panel, Panel) and (budget is None or fits(roots, panel, budget)):
        from fama_fast.backends.numba_vm.run import execute

        values = execute(plan_of(tuple(roots), blocks), panel, threads=threads, tile_rows=tile_rows, dtype=kept_as)
    elif blocks and alphas:
        raise ConfigError('layout="blocks" needs all dates at once: memory_budget is too small for that')
    elif alphas:
        values = arrays_in_chunks(roots, panel, budget, kept_as, options)
    if library is None:
        return values
    assert isinstance(panel, Panel)
    return _in_library(panel.to_polars(dict(zip(columns, values, strict=True))), library)


def _in_library(frame: pl.DataFrame, library: Library) -> pl.DataFrame | pd.DataFrame:
    return frame if library == "polars" else pandas_long(frame)


def evaluate_from(
    items: Sequence[str | Alpha],
    panel: Panel,
    row: int,
    *,
    threads: int | None = None,
    min_coverage: float | None = None,
) -> list[FloatArray]:
    """Values of the dates from `row` on, (T - row, N) each: the bits of `evaluate`, for what these dates cost.

    Rows before them are computed as far as windows need them.

    Args:
        items, threads, min_coverage: as for `evaluate`.

    Raises:
        As `evaluate`.
    """
    from fama_fast.backends.numba_vm.run import execute

    row = whole(row, "row", 0, len(panel.dates))
    alphas = compiled(_listed(items), panel)
    if not alphas:
        return []
    roots = lowered_roots(alphas, panel, min_coverage)
    available = frozenset(panel.supplied_fields)
    first = max(0, row - max(passes.lookback(root, available) for root in roots))
    return execute(plan_of(roots), panel, threads=threads, first=first, wanted=row)


def compute_factor_values(
    expressions: Sequence[str | Alpha],
    data: Source | MarketData,
    *,
    threads: int | None = None,
    dialect: str = "fama",
) -> dict[str, FloatArray]:
    """Values by expression text: `{text: (T, N) float64}`, in order; repeated texts appear once.

    Args:
        data, threads, dialect: as for `evaluate`.
    """
    items = _listed(expressions)
    texts = [e.text if isinstance(e, Alpha) else e for e in items]
    return dict(zip(texts, evaluate(items, data, threads=threads, dialect=dialect), strict=True))
