"""Polars forms of the operators over one date, or one group on one date.

Deviations are taken from the rounded mean and then corrected by their own mean, so that a large common offset
costs no digits. Every result is missing where x is. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ops.spec import PolarsContext

# How an aggregate is spread over its slice: by date, or by date and group.
_Over = Callable[[Any], Any]


def _where_present(ctx: PolarsContext, x: pl.Expr, value: Any) -> pl.Expr:
    result: pl.Expr = ctx.pl.when(x.is_not_null()).then(value)
    return result


class _Slice(NamedTuple):
    """Of each row: how many members its slice has, whether they are all one value, their mean, x minus it."""

    n: pl.Expr
    flat: pl.Expr
    mean: pl.Expr
    centred: pl.Expr


def _about_mean(ctx: PolarsContext, x: pl.Expr, over: _Over) -> _Slice:
    n = ctx.step(over(x.count().cast(ctx.pl.Float64)))
    flat = ctx.step(over(x.max() == x.min()))
    rounded = ctx.step(over(x.mean()))
    rest = ctx.step(x - rounded)
    correction = ctx.step(over(rest.mean()))
    centred = ctx.step(_where_present(ctx, x, ctx.pl.when(flat).then(0.0).otherwise(rest - correction)))
    return _Slice(n, flat, rounded + correction, centred)


def _spread(ctx: PolarsContext, s: _Slice, over: _Over) -> pl.Expr:
    """The standard deviation (ddof 1), 0 for one value, missing for a lone member."""
    variance = over((s.centred * s.centred).sum()) / (s.n - 1.0)
    value = ctx.pl.when(s.n < 2.0).then(None).when(s.flat).then(0.0).otherwise(variance.sqrt())
    return ctx.step(value)


def _rank(ctx: PolarsContext, x: Any, over: _Over) -> Any:
    # Two columns, then the quotient: Polars divides by one number through its reciprocal, a bit off.
    n = ctx.step(over(x.count().cast(ctx.pl.Float64)))
    return over(x.rank(method="average")) / n


def _zscore(ctx: PolarsContext, x: pl.Expr, over: _Over) -> pl.Expr:
    s = _about_mean(ctx, x, over)
    spread = _spread(ctx, s, over)
    result: pl.Expr = ctx.pl.when(spread > 0.0).then(s.centred / spread)
    return result


def rank(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    ranked: pl.Expr = _rank(ctx, x, ctx.by_date)
    return ranked


def zscore(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _zscore(ctx, x, ctx.by_date)


def demean(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _about_mean(ctx, x, ctx.by_date).centred


def scale(ctx: PolarsContext, x: pl.Expr, a: float) -> pl.Expr:
    return x / ctx.by_date(x.abs().sum()) * a


def winsorize(ctx: PolarsContext, x: pl.Expr, std: float) -> pl.Expr:
    s = _about_mean(ctx, x, ctx.by_date)
    reach = ctx.step(std * _spread(ctx, s, ctx.by_date))
    high, low = ctx.step(s.mean + reach), ctx.step(s.mean - reach)
    when = ctx.pl.when
    held = when(x > high).then(high).when(x < low).then(low).otherwise(x)
    result: pl.Expr = when(s.n < 2.0).then(None).when(s.flat).then(x).otherwise(held)
    return result


def _in_group(ctx: PolarsContext, group: pl.Expr) -> _Over:
    return lambda expr: ctx.by_date_and(group, expr)


def group_rank(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    ranked: pl.Expr = _rank(ctx, x, _in_group(ctx, group))
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
    return _about_mean(ctx, x, _in_group(ctx, group)).centred


def group_zscore(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _zscore(ctx, x, _in_group(ctx, group))


def group_std(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    return _where_present(ctx, x, _spread(ctx, _about_mean(ctx, x, over), over))


def group_scale(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    low = ctx.step(over(x.min()))
    return (x - low) / ctx.step(over(x.max()) - low)
