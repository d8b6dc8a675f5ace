"""An expression as a list of steps: each one native Polars expression that becomes one column of a frame.

Steps refer to columns of the frame and to earlier steps. The frame is in (symbol, date) order, with the
date and the symbol as whole numbers in `DATE_CODE` and `SYMBOL_CODE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from fama_fast import ops
from fama_fast.errors import DataError
from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polars import Expr

    from fama_fast.ir import Param

DATE_CODE = "__date"
SYMBOL_CODE = "__symbol"


class Step(NamedTuple):
    """One column.

    Attributes:
        name: of the column. expr: how it is computed. may_overflow: whether an infinity or NaN in it must become null.
        guard: a column without which true anywhere the step is left out, or is `otherwise`, where that is given.
    """

    name: str
    expr: pl.Expr
    may_overflow: bool
    guard: str | None = None
    otherwise: pl.Expr | None = None


class Context:
    """What a lowering may use (see `fama_fast.ops.spec.PolarsContext`); it collects the steps in order."""

    pl: Any = pl

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._guard: str | None = None

    def by_symbol(self, expr: Expr) -> Expr:
        return expr.over(SYMBOL_CODE)

    def by_date(self, expr: Expr) -> Expr:
        return expr.over(DATE_CODE)

    def by_date_and(self, group: Expr, expr: Expr) -> Expr:
        return pl.when(group.is_not_null()).then(expr.over(DATE_CODE, group))

    def finite(self, expr: Expr) -> Expr:
        return pl.when(expr.is_finite()).then(expr)

    def step(self, expr: Expr) -> Expr:
        return self._add(expr, may_overflow=False)

    def mend(self, value: Expr, where: Expr, again: Callable[[], Expr]) -> Expr:
        condition = self.step(where.fill_null(False))
        outer, self._guard = self._guard, condition.meta.output_name()
        mended = pl.when(condition).then(again()).otherwise(value)
        name = f"__{len(self.steps)}"
        self.steps.append(Step(name, mended, False, self._guard, value))
        self._guard = outer
        return pl.col(name)

    def kernel(self, op: str, operands: list[Expr], params: tuple[Param, ...]) -> Expr:
        def run(columns: Any) -> pl.Series:
            from fama_fast.backends.numba_vm.single import apply

            symbol, *values = columns
            n_symbols = symbol.n_unique()
            if len(symbol) % n_symbols:
                raise DataError(f"{op} needs a complete grid: complete it first with complete_grid(frame)")
            arrays = [_numbers(v).reshape(n_symbols, -1).T.copy() for v in values]
            return pl.Series(apply(op, arrays, params).T.ravel(), nan_to_null=True)

        return pl.map_batches([pl.col(SYMBOL_CODE), *operands], run, return_dtype=pl.Float64)

    def _add(self, expr: Expr, *, may_overflow: bool) -> Expr:
        name = f"__{len(self.steps)}"
        self.steps.append(Step(name, expr, may_overflow, self._guard))
        return pl.col(name)

    def node(self, expr: Expr) -> Expr:
        """The step of a whole node: whatever is not finite in it is missing at once."""
        return self._add(expr, may_overflow=True)


def _numbers(values: pl.Series) -> Any:
    """As a float64 array, NaN for null; group labels become codes from 0."""
    if not values.dtype.is_numeric():
        values = values.rank("dense") - 1
    return values.cast(pl.Float64).to_numpy()


def build_steps(root: Node, column: Callable[[Node], str]) -> tuple[list[Step], str]:
    """The steps that compute a lowered expression, and the column its result is in.

    Args:
        root: lowered: operators with kernels only.
        column: the column of a FIELD or GROUP leaf.
    """
    context = Context()
    values: dict[Node, pl.Expr] = {}
    for node in postorder(root):
        values[node] = _lower(context, node, values, column)
    return context.steps, values[root].meta.output_name()


def _lower(context: Context, node: Node, values: Mapping[Node, pl.Expr], column: Callable[[Node], str]) -> pl.Expr:
    if node.op in (FIELD, GROUP):
        return pl.col(column(node))
    if node.op == CONST:
        # A whole column, not a literal: Polars divides by a literal through its reciprocal, one bit off.
        return context.node(pl.col(SYMBOL_CODE) * 0.0 + node.value)
    spec = ops.get(node.op)
    if spec.polars is None:
        raise ValueError(f"{node.op} is not lowered")
    return context.node(spec.polars(context, *(values[a] for a in node.args), *node.params))


def run_steps(frame: pl.DataFrame, steps: list[Step], result: str) -> pl.Series:
    """Execute the steps on a sorted frame; a column is dropped after its last use."""
    last_use: dict[str, int] = {result: len(steps)}
    for i, step in enumerate(steps):
        for name in (*step.expr.meta.root_names(), *((step.guard,) if step.guard else ())):
            last_use[name] = max(last_use.get(name, 0), i)
    keep = {DATE_CODE, SYMBOL_CODE}
    for i, (name, expr, may_overflow, guard, otherwise) in enumerate(steps):
        needed = guard is None or frame[guard].any()
        if needed or otherwise is not None:
            frame = frame.with_columns((expr if needed or otherwise is None else otherwise).alias(name))
        if may_overflow:
            value = pl.col(name)
            # Adding 0 makes a minus zero plain, so that it ties with zero in a rank.
            frame = frame.with_columns(pl.when(value.is_finite()).then(value + 0.0).alias(name))
        frame = frame.drop([c for c in frame.columns if c not in keep and last_use.get(c, -1) <= i])
    return frame[result]
