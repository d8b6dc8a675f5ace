"""Values of many expressions on a panel, with common work done once.

1. Texts are compiled against the panel's fields and groups (`_compiled`).
2. Derived fields that the panel lacks and composite operators are lowered, windows relaxed and members masked as the
   run asks (`lowered_roots`).
3. All expressions become one plan (`fama_fast.plan`), which runs on all cores (`fama_fast.backends.numba_vm.run`).
4. Where that would not fit the memory budget, the data are not in memory, or values go to a file, dates are taken in
   chunks and expressions in batches instead (`engine.budget`, `engine.chunks`), with the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fama_fast import passes
from fama_fast.arguments import shown, whole
from fama_fast.backends.numba_vm.threads import thread_count
from fama_fast.engine.alpha import Alpha, compile
from fama_fast.engine.budget import DEFAULT_BUDGET, Demand, Schedule, make_schedule, parse_bytes
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.outputs import Chunk, Output, Writer, Written, about
from fama_fast.errors import ConfigError, UnknownName, nearest_name
from fama_fast.ir import FIELD, GROUP, Node, postorder
from fama_fast.ops.registry import on_unregister
from fama_fast.panel import Panel
from fama_fast.panel.labelled import check_names, long_frame, pandas_long, read_library
from fama_fast.panel.panel import read_dtype
from fama_fast.panel.presence import trading
from fama_fast.plan import UNIVERSE, make_plan, mask_members, set_min_coverage
from fama_fast.types import derived_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import polars as pl

    from fama_fast.panel.labelled import Library
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray


def _compiled(items: Sequence[str | Alpha], panel: Source, dialect: str = "fama") -> list[Alpha]:
    fields, groups = panel.fields, panel.groups
    return [i if isinstance(i, Alpha) else compile(i, dialect=dialect, fields=fields, groups=groups) for i in items]


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


def _check_names(alpha: Alpha, root: Node, panel: Source) -> None:
    for node in postorder(root):
        if node.op == FIELD and node.name not in panel and node.name != UNIVERSE:
            raise UnknownName(
                f"{alpha.text[:80]}: the data has no field {node.name} (it has {', '.join(panel.fields)})",
                suggestion=nearest_name(node.name, panel.fields),
            )
        if node.op == GROUP:
            panel.group(node.name)


@functools.lru_cache(maxsize=16384)
def _lowered_root(root: Node, available: frozenset[str], optimise: bool) -> Node:
    lowered = passes.lower(root, available)
    return passes.share(lowered) if optimise else lowered


@functools.lru_cache(maxsize=256)
def _plan(roots: tuple[Node, ...], blocked: bool = False) -> Plan:
    return make_plan(roots, blocked=blocked)


on_unregister(_lowered_root.cache_clear)
on_unregister(_plan.cache_clear)


def lowered_roots(
    alphas: Sequence[Alpha], panel: Source, min_coverage: float | None = None, optimise: bool = True
) -> tuple[Node, ...]:
    """What the engine computes for these alphas on a panel of this kind."""
    # Of float32 prices RET and VWAP are computed by the program, in float64, not rounded on their way.
    available = frozenset(panel.supplied_fields if panel.dtype == np.float32 else panel.fields)
    roots = []
    for alpha in alphas:
        root = _lowered_root(alpha.node, available, optimise)
        _check_names(alpha, root, panel)
        roots.append(root)
    if min_coverage is not None:
        roots = list(set_min_coverage(roots, min_coverage))
    if panel.has_universe:
        roots = list(mask_members(roots))
    return tuple(roots)


def read_names(roots: Sequence[Node], source: Source) -> tuple[list[str], list[str]]:
    """Fields (those that others derive from included) and groups that lowered expressions read from the data."""
    fields: dict[str, None] = {}
    groups: dict[str, None] = {}
    for node in postorder(*roots):
        if node.op == GROUP:
            groups[node.name] = None
        elif node.op == FIELD and node.name != UNIVERSE:
            derived = None if node.name in source.supplied_fields else derived_field(node.name)
            fields.update(dict.fromkeys(derived.inputs if derived else (node.name,)))
    return list(fields), list(groups)


def plan_chunks(
    roots: Sequence[Node],
    source: Source,
    budget: int | None,
    *,
    fields: Sequence[str],
    groups: Sequence[str],
    plan: Callable[[tuple[Node, ...]], Plan] | None = None,
    **needs: Any,
) -> Schedule:
    """Chunks of dates and batches of expressions for a run on `source` (see `engine.budget`; `needs`: of `Demand`)."""
    available = frozenset(source.supplied_fields)
    halos = [passes.lookback(root, available) for root in roots]
    in_memory = isinstance(source, Panel)
    dates, symbols = source.shape
    demand = Demand(
        dates=dates,
        symbols=symbols,
        item=source.dtype.itemsize,
        fields=0 if in_memory else len(fields),
        groups=0 if in_memory else len(groups),
        **{"rows_after": 0, "kept": 0, **needs},
    )
    return make_schedule(roots, halos, plan or _plan, demand, budget)


def _in_chunks(
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


def _into_arrays(
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


def _fits(roots: Sequence[Node], panel: Panel, budget: int) -> bool:
    """Whether one pass over a panel in memory stays within the budget."""
    plan = _plan(tuple(roots))
    t, n = panel.shape
    return 8 * t * (n + 7) * (plan.peak_arrays + len(plan.fields)) <= budget


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
    alphas = _compiled(texts, panel, dialect)
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
        writer = Writer(output, columns, days=_are_days(panel), about=said)
    roots = lowered_roots(alphas, panel, min_coverage, optimise)
    options = {"threads": threads, "tile_rows": tile_rows}
    if writer is not None:
        if not alphas:
            raise ConfigError("there is no expression to write the values of")
        with writer:
            _in_chunks(roots, panel, budget, writer, kept_as, options)
            return writer.finish()
    if library is not None:
        chunked = not isinstance(panel, Panel) or (budget is not None and not _fits(roots, panel, budget))
        if chunked:
            return _in_library(_frame_in_chunks(roots, panel, budget, columns, kept_as, options), library)
    values: list[FloatArray] = []
    if alphas and isinstance(panel, Panel) and (budget is None or _fits(roots, panel, budget)):
        from fama_fast.backends.numba_vm.run import execute

        values = execute(_plan(tuple(roots), blocks), panel, threads=threads, tile_rows=tile_rows, dtype=kept_as)
    elif blocks and alphas:
        raise ConfigError('layout="blocks" needs all dates at once: memory_budget is too small for that')
    elif alphas:
        values = _into_arrays(roots, panel, budget, kept_as, options)
    if library is None:
        return values
    assert isinstance(panel, Panel)
    return _in_library(panel.to_polars(dict(zip(columns, values, strict=True))), library)


def _frame_in_chunks(
    roots: Sequence[Node],
    source: Source,
    budget: int | None,
    names: tuple[str, ...],
    dtype: np.dtype[Any],
    options: dict[str, Any],
) -> pl.DataFrame:
    """Values chunk by chunk as one long frame."""
    import polars as pl

    days = _are_days(source)
    parts: list[pl.DataFrame] = []

    def take(chunk: Chunk) -> None:
        named = dict(zip(names, chunk.values, strict=True))
        parts.append(long_frame(chunk.dates, chunk.symbols, named, chunk.present, days=days))

    writer = Writer(take, names, days=days)
    with writer:
        _in_chunks(roots, source, budget, writer, dtype, options)
    return pl.concat(parts)


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
    alphas = _compiled(_listed(items), panel)
    if not alphas:
        return []
    roots = lowered_roots(alphas, panel, min_coverage)
    available = frozenset(panel.supplied_fields)
    first = max(0, row - max(passes.lookback(root, available) for root in roots))
    return execute(_plan(roots), panel, threads=threads, first=first, wanted=row)


def _are_days(source: Source) -> bool:
    return bool((source.dates.astype("datetime64[D]") == source.dates).all())


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
    texts = [e.text if isinstance(e, Alpha) else e for e in _listed(expressions)]
    return dict(zip(texts, evaluate(expressions, data, threads=threads, dialect=dialect), strict=True))


def lowered(items: Sequence[str | Alpha], panel: Source, min_coverage: float | None = None) -> tuple[Node, ...]:
    """`lowered_roots` of texts or alphas."""
    return lowered_roots(_compiled(items, panel), panel, min_coverage)
