"""Polars forms of the operators over one date, or one group on one date.

Means and deviations are taken about the smallest member, so that a large common offset costs no digits. Every
result is missing where x is. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ops.spec import PolarsContext

# How an aggregate is spread over its slice: by date, or by date and group.
_Over = Callable[[Any], Any]


def _where_present(ctx: PolarsContext, x: pl.Expr, value: Any) -> pl.Expr:
    result: pl.Expr = ctx.pl.when(x.is_not_null()).then(value)
    return result


def _centred(ctx: PolarsContext, x: pl.Expr, over: _Over) -> Any:
    """x minus the slice's mean, as a step."""
    above = ctx.step(x - over(x.min()))
    return ctx.step(above - over(above.mean()))


def _spread(ctx: PolarsContext, centred: Any, over: _Over) -> Any:
    """The standard deviation (ddof 1), 0 for one value, missing for a lone member, as a step."""
    n = ctx.step(over(centred.count().cast(ctx.pl.Float64)))
    variance = over((centred * centred).sum()) / (n - 1.0)
    flat = ctx.step(over(centred.max() == centred.min()))
    return ctx.step(ctx.pl.when(n < 2.0).then(None).when(flat).then(0.0).otherwise(variance.sqrt()))


def _rank(x: Any, over: _Over) -> Any:
    return over(x.rank(method="average") / x.count())


def _zscore(ctx: PolarsContext, x: pl.Expr, over: _Over) -> pl.Expr:
    centred = _centred(ctx, x, over)
    spread = _spread(ctx, centred, over)
    result: pl.Expr = ctx.pl.when(spread > 0.0).then(centred / spread)
    return result


def rank(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    ranked: pl.Expr = _rank(x, ctx.by_date)
    return ranked


def zscore(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _zscore(ctx, x, ctx.by_date)


def demean(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    result: pl.Expr = _centred(ctx, x, ctx.by_date)
    return result


def scale(ctx: PolarsContext, x: pl.Expr, a: float) -> pl.Expr:
    return x / ctx.by_date(x.abs().sum()) * a


def winsorize(ctx: PolarsContext, x: pl.Expr, std: float) -> pl.Expr:
    centred = _centred(ctx, x, ctx.by_date)
    reach = ctx.step(std * _spread(ctx, centred, ctx.by_date))
    middle = ctx.step(x - centred)
    held = ctx.pl.when(centred > reach).then(middle + reach).when(centred < -reach).then(middle - reach)
    return held.otherwise(x)  # type: ignore[no-any-return]


def _in_group(ctx: PolarsContext, group: pl.Expr) -> _Over:
    return lambda expr: ctx.by_date_and(group, expr)


def group_rank(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    ranked: pl.Expr = _rank(x, _in_group(ctx, group))
    return ranked


def group_mean(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.mean()))


def group_sum(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.sum()))


def group_count(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.count().cast(ctx.pl.Float64)))


def group_max(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.max()))


def group_min(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.min()))


def group_neutralize(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    result: pl.Expr = _centred(ctx, x, _in_group(ctx, group))
    return result


def group_zscore(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _zscore(ctx, x, _in_group(ctx, group))


def group_std(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    return _where_present(ctx, x, _spread(ctx, _centred(ctx, x, over), over))


def group_scale(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    low = ctx.step(over(x.min()))
    return (x - low) / ctx.step(over(x.max()) - low)
