"""Daily RankIC of many expressions straight from the engine: their values are never kept.

The figures have the bits of `fama_fast.evaluation.rank_ic` on the values; only memory and time differ. On a sample of
dates, cross-sectional work is done for those dates alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import shown, whole
from fama_fast.backends.numba_vm.orders import checked_order
from fama_fast.engine.evaluate import has_universe, lowered
from fama_fast.errors import DataError
from fama_fast.ir import Node, field
from fama_fast.ops import build
from fama_fast.plan import UNIVERSE, make_plan, mask_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.backends.numba_vm.run import RowOrder
    from fama_fast.engine.alpha import Alpha
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import FloatArray, IntArray

BATCH = 64  # expressions a plan: enough to share work, few enough that intermediates stay small
_BATCH_BYTES = 512 * 2**20  # of values at a time


def daily_rank_ic(
    items: Sequence[str | Alpha],
    panel: Panel,
    labels: RowOrder,
    *,
    rows: IntArray | None = None,
    min_pairs: int = 3,
    min_coverage: float | None = None,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """RankIC by date of each expression with one label.

    Args:
        items: texts in the default dialect, or compiled alphas; K of them.
        labels: forward returns with the order of each date's (anything with values, order and count, such as
            `evaluation.SortedRows.of(forward_returns(panel))`).
        rows: dates to score (ascending row indices); default all. Others are NaN.
        min_pairs: fewest symbols with a value and a label.
        min_coverage, threads: as for `evaluate`.

    Returns:
        (K, T) RankIC, NaN where a date has none; (K, T) how many members have a value.

    Raises:
        DataError: labels of another shape, rows out of range. ExpressionError: from compiling.
    """
    from fama_fast.backends.numba_vm.run import execute

    t, _ = panel.shape
    min_pairs = whole(min_pairs, "min_pairs", 0, 1_000_000_000)
    labels = _checked_labels(labels)
    if rows is not None:
        rows = np.unique(row_numbers(rows, t))
    roots = sink_roots(items, panel, min_coverage)
    figures = np.full((len(roots), t, 2), np.nan)
    for start in range(0, len(roots), BATCH):
        plan = make_plan(roots[start : start + BATCH], sink=True, min_pairs=min_pairs)
        out = list(figures[start : start + BATCH])
        execute(plan, panel, threads=threads, out=out, labels=labels, rows=rows)
    return figures[:, :, 0], figures[:, :, 1]


def ranks_on(
    items: Sequence[str | Alpha],
    panel: Panel,
    rows: IntArray,
    *,
    min_coverage: float | None = None,
    threads: int | None = None,
) -> Iterator[FloatArray]:
    """Cross-sectional ranks in (0, 1] on some dates (len(rows), N) for each expression in turn, NaN where missing.

    The bits are those of `RANK` of the expression on every date; cross-sections of other dates are left out.

    Args:
        items, min_coverage, threads: as for `daily_rank_ic`. rows: ascending row indices.
    """
    from fama_fast.backends.numba_vm.run import execute

    roots = rank_roots(items, panel, min_coverage)
    t, n = panel.shape
    rows = row_numbers(rows, t)
    batch = max(1, min(BATCH, _BATCH_BYTES // (8 * t * n)))
    if not rows.size:
        yield from (np.empty((0, n)) for _ in roots)
        return
    for start in range(0, len(roots), batch):
        for values in execute(make_plan(roots[start : start + batch]), panel, threads=threads, rows=rows):
            yield values[rows]


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


def _checked_labels(labels: Any) -> RowOrder:
    if getattr(labels, "trusted", False):
        return labels  # type: ignore[no-any-return]
    from fama_fast.backends.numba_vm.run import SortedLabels

    try:
        arrays = labels.values, labels.order, labels.count
    except AttributeError:
        raise DataError(
            f"labels must be sorted rows, such as evaluation.SortedRows.of(...), not {shown(labels)}"
        ) from None
    return SortedLabels(*checked_order(*arrays))


def sink_roots(items: Sequence[str | Alpha], source: Panel | Dataset, min_coverage: float | None = None) -> list[Node]:
    """What a RankIC sink reads for each expression."""
    # A rank puts the symbols in the order of what it ranks: no sort for it where nothing but the order counts.
    roots = [_ranked(root) for root in lowered(items, source, min_coverage)]
    if has_universe(source):
        member: Node = field(UNIVERSE)
        roots = [build("MASK", root, member) for root in roots]
    return roots


def rank_roots(items: Sequence[str | Alpha], source: Panel | Dataset, min_coverage: float | None = None) -> list[Node]:
    """The cross-sectional rank of each expression."""
    roots = [build("RANK", root) for root in lowered(items, source, min_coverage)]
    return list(mask_members(roots)) if has_universe(source) else roots


def _ranked(root: Node) -> Node:
    while root.op == "RANK":
        root = root.args[0]
    return root
