"""The Polars namespace `.fama` on frames and expressions. Importing this module registers it.

    frame.fama.with_alphas({"reversal": "-RANK(DELTA(CLOSE, 5))"})
    frame.with_columns(pl.col("px_last").fama.alpha("RANK(DELTA(X, 5))").alias("reversal"))

Everything is native Polars through `Alpha.to_polars`, so it is part of the query and its optimisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import polars as pl

from fama_fast.backends.polars_expr import complete_grid, to_expr
from fama_fast.engine import compile
from fama_fast.integrations.named import named_alphas
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.engine import Alpha
    from fama_fast.integrations.named import Alphas

NAME = "fama"

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def alpha_expr(
    alpha: str | Alpha,
    *,
    dialect: str = "fama",
    columns: Mapping[str, str | pl.Expr] | None = None,
    universe: str | None = None,
    groups: Mapping[str, str] | None = None,
    check_grid: bool = True,
    allow_single: bool = False,
) -> pl.Expr:
    """An expression's text as a `pl.Expr` over a long frame with columns `date`, `symbol` and fields in lower case.

    Args:
        alpha: text, or a compiled alpha. dialect: of the text.
        columns: columns or Polars expressions for fields, where they are not the field's name in lower case.
        universe, groups, check_grid, allow_single: as in `Alpha.to_polars`.

    Raises:
        ExpressionError: at once, for a wrong text. DataError: when the query runs, for an incomplete grid.
    """
    compiled = compile(alpha, dialect=dialect) if isinstance(alpha, str) else alpha
    return to_expr(
        compiled.node,
        columns=columns,
        universe=universe,
        groups=groups,
        check_grid=check_grid,
        allow_single=allow_single,
    )


class FrameNamespace(Generic[Frame]):
    """`frame.fama`, on eager and lazy long frames."""

    def __init__(self, frame: Frame) -> None:
        self._frame: Frame = frame

    def with_alphas(self, alphas: Alphas, *, dialect: str = "fama", **options: Any) -> Frame:
        """The frame with a column for each alpha.

        Args:
            alphas: `{name: expression}`, or expressions whose text becomes the column's name.
            options: as in `alpha_expr`.
        """
        return self._frame.with_columns(self._exprs(alphas, dialect, options))

    def select_alphas(self, alphas: Alphas, *, dialect: str = "fama", **options: Any) -> Frame:
        """Only `date`, `symbol` and a column for each alpha."""
        return self._frame.select("date", "symbol", *self._exprs(alphas, dialect, options))

    def complete_grid(self) -> Frame:
        """The frame with a row for every (date, symbol); new rows are null elsewhere."""
        return complete_grid(self._frame)

    def to_panel(self, **options: Any) -> Panel:
        """The frame as a dense panel; options as in `Panel.from_frame`."""
        return Panel.from_frame(self._frame, **options)

    def _exprs(self, alphas: Alphas, dialect: str, options: Mapping[str, Any]) -> list[pl.Expr]:
        mapped: Mapping[str, Any] = options.get("columns") or {}
        named = named_alphas(alphas, dialect=dialect, columns=lambda: (*self._frame.collect_schema().names(), *mapped))
        return [alpha_expr(a, **options).alias(name) for name, a in named.items()]


class ExprNamespace:
    """`expr.fama`: alphas of one column, whatever it is called or computed from."""

    def __init__(self, expr: pl.Expr) -> None:
        self._expr = expr

    def alpha(self, text: str, *, dialect: str = "fama", **options: Any) -> pl.Expr:
        """The alpha `text`, in which X is this expression; other fields are columns, as in `alpha_expr`.

        `pl.col("px_last").fama.alpha("RANK(DELTA(X, 5))")`. It keeps the expression's name.
        """
        columns = {**(options.pop("columns", None) or {}), "X": self._expr}
        name = self._expr.meta.output_name(raise_if_undetermined=False)
        value = alpha_expr(text, dialect=dialect, columns=columns, **options)
        return value.alias(name) if name else value


pl.api.register_dataframe_namespace(NAME)(FrameNamespace)
pl.api.register_lazyframe_namespace(NAME)(FrameNamespace)
pl.api.register_expr_namespace(NAME)(ExprNamespace)
