"""From a node to one `pl.Expr`: which columns it reads, and what happens to them when the query runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from fama_fast.backends.polars_expr import grid
from fama_fast.backends.polars_expr.steps import (
    DATE_CODE,
    SYMBOL_CODE,
    build_steps,
    run_steps,
)
from fama_fast.ir import FIELD, GROUP, Node, postorder
from fama_fast.passes import comparing_operator, lookback, lower
from fama_fast.plan.universe import UNIVERSE, mask_members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULT = "factor"
_ROW = "__row"


def to_expr(
    node: Node,
    *,
    columns: Mapping[str, str | pl.Expr] | None = None,
    universe: str | None = None,
    groups: Mapping[str, str] | None = None,
    check_grid: bool = True,
    allow_single: bool = False,
) -> pl.Expr:
    """The expression over a long frame with columns `date`, `symbol` and fields in lower case.

    The result is a Float64 column named `factor`, null where missing, in the frame's row order, whatever it is; no
    rows give no rows. It stands in a `select` or `with_columns`. Inside `.over`, `group_by` or `rolling` Polars shows
    it the rows of one group at a time, and to the alpha these are the whole market, dates and symbols. That is right
    for a time-series alpha over the symbol, or for sectors as markets of their own; what can only be a mistake is
    refused (`allow_single`).

    Args:
        columns: field to column or expression, where it is not the field's name in lower case:
            `{"CLOSE": "px_last"}`. RET, VWAP and ADV{d} are computed from the other fields unless they are
            mapped here.
        universe: a column, true or 1 for members; cross-sectional and group operators see only those.
        groups: group field to column, where it is not the group's name in lower case.
        check_grid: make sure, when the query runs, that the frame is a complete date x symbol grid. Without
            it a lag is so many rows of the symbol, whatever their dates.
        allow_single: take a single symbol where the alpha compares symbols, and a single date where it looks back.
            Such rows are mostly a group of a larger frame, and are refused unless you say that they are all there is.

    Raises:
        DataError: when the query runs, for a frame that is not a complete grid (`complete_grid(frame)` makes it one),
            or a single symbol or date.
    """
    mapped = {k.upper(): v for k, v in (columns or {}).items()}
    group_columns = {k.upper(): v for k, v in (groups or {}).items()}
    root = lower(node, frozenset(mapped))
    if universe is not None:
        root = mask_members([root])[0]
    compares = comparing_operator(root)
    looks_back = lookback(root, frozenset(mapped)) > 0
    leaves = [n for n in postorder(root) if n.op in (FIELD, GROUP)]
    names = {leaf: f"{leaf.op}:{leaf.name}" for leaf in leaves}
    steps, result = build_steps(root, names.__getitem__)

    def column(leaf: Node) -> pl.Expr:
        if leaf.name == UNIVERSE and universe is not None:
            return pl.col(universe)
        if leaf.op == GROUP:
            return pl.col(group_columns.get(leaf.name, leaf.name.lower()))
        target = mapped.get(leaf.name, leaf.name.lower())
        return pl.col(target) if isinstance(target, str) else target

    def run(series: Sequence[pl.Series]) -> pl.Series:
        date, symbol, *values = series
        if not len(date):
            return pl.Series(RESULT, [], dtype=pl.Float64)
        keys = pl.DataFrame([date.alias(grid.DATE), symbol.alias(grid.SYMBOL)])
        if check_grid:
            grid.check_grid(keys)
        if not allow_single:
            grid.check_not_single(keys, compares, looks_back)
        cells = [_clean(s, leaf).alias(names[leaf]) for s, leaf in zip(values, leaves, strict=True)]
        frame = _sorted(keys, cells)
        rows = frame[_ROW]
        answer = run_steps(frame.drop(_ROW), steps, result)
        return pl.DataFrame([rows, answer.alias(RESULT)]).sort(_ROW)[RESULT]

    inputs = [pl.col(grid.DATE), pl.col(grid.SYMBOL), *map(column, leaves)]
    return pl.map_batches(inputs, run, return_dtype=pl.Float64).alias(RESULT)


def _clean(values: pl.Series, leaf: Node) -> pl.Series:
    """A field as Float64 with null for NaN and infinities; a group as it is."""
    if leaf.op == GROUP:
        return values
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite(), None)


def _sorted(keys: pl.DataFrame, cells: Sequence[pl.Series]) -> pl.DataFrame:
    """The frame in (symbol, date) order, keys as whole numbers, with each row's place in the caller's."""
    coded = keys.select(
        pl.col(grid.DATE).rank("dense").alias(DATE_CODE),
        pl.col(grid.SYMBOL).cast(pl.String).rank("dense").alias(SYMBOL_CODE),
    )
    return coded.with_columns(cells).with_row_index(_ROW).sort(SYMBOL_CODE, DATE_CODE)
