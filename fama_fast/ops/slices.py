"""Polars forms of the operators over one date, or one group on one date.

Deviations are taken from the rounded mean and then corrected by their own mean, so that a large common offset
costs no digits. Every result is missing where x is. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ops.spec import PolarsContext

# What is left of a regressor beside the others, as a share of its own size, below which it says nothing of its own.
DEPENDENT = 1e-9

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


def scale(ctx: PolarsContext, x: pl.Expr, a: float, longscale: float, shortscale: float) -> pl.Expr:
    if longscale == 0.0 and shortscale == 0.0:
        return x / ctx.by_date(x.abs().sum()) * a
    longs = ctx.step(ctx.by_date(x.clip(lower_bound=0.0).sum()))
    shorts = ctx.step(ctx.by_date((-x).clip(lower_bound=0.0).sum()))
    when = ctx.pl.when
    result: pl.Expr = when(x > 0.0).then(x / longs * longscale).when(x < 0.0).then(x / shorts * shortscale).otherwise(x)
    return result


def winsorize(ctx: PolarsContext, x: pl.Expr, std: float) -> pl.Expr:
    s = _about_mean(ctx, x, ctx.by_date)
    reach = ctx.step(std * _spread(ctx, s, ctx.by_date))
    high, low = ctx.step(s.mean + reach), ctx.step(s.mean - reach)
    when = ctx.pl.when
    held = when(x > high).then(high).when(x < low).then(low).otherwise(x)
    result: pl.Expr = when(s.n < 2.0).then(None).when(s.flat).then(x).otherwise(held)
    return result


def statistic(aggregate: Callable[[Any], Any]) -> Callable[..., Any]:
    """An aggregate of the date's members, where x is present."""
    return lambda ctx, x: _where_present(ctx, x, ctx.by_date(aggregate(x)))


def std(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _where_present(ctx, x, _spread(ctx, _about_mean(ctx, x, ctx.by_date), ctx.by_date))


def percentile(ctx: PolarsContext, x: pl.Expr, percentage: float) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date(x.quantile(percentage, interpolation="linear")))


def winsorize_quantile(ctx: PolarsContext, x: pl.Expr, lower: float, upper: float) -> pl.Expr:
    low, high = (ctx.step(percentile(ctx, x, q)) for q in (lower, upper))
    when = ctx.pl.when
    raised = ctx.step(when(x < low).then(low).otherwise(x))
    result: pl.Expr = when(raised > high).then(high).otherwise(raised)
    return result


def _place(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    """Ranks shifted into [1/n, 1 - 1/n], less a half; 0 for a lone member."""
    n = ctx.step(ctx.by_date(x.count().cast(ctx.pl.Float64)))
    doubled = ctx.step(ctx.by_date(x.rank(method="average")) * 2.0 - (n + 1.0))
    value = doubled * (1.0 - 2.0 / n) / (2.0 * (n - 1.0))
    return ctx.step(_where_present(ctx, x, ctx.pl.when(n > 1.0).then(value).otherwise(0.0)))


def quantile_uniform(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _place(ctx, x)


def quantile_gaussian(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    """Polars has no normal quantile: SciPy computes it, of the lower tail, which is exact on both sides."""

    def lower_tail(shares: pl.Series) -> pl.Series:
        from scipy.special import ndtri

        found: pl.Series = ctx.pl.Series(ndtri(shares.to_numpy()), nan_to_null=True)
        return found

    place = _place(ctx, x)
    size = ctx.step((0.5 - place.abs()).map_batches(lower_tail, return_dtype=ctx.pl.Float64))
    result: pl.Expr = ctx.pl.when(place > 0.0).then(-size).otherwise(size)
    return result


def quantile_cauchy(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return (_place(ctx, x) * math.pi).tan()


def flag(*, top: bool) -> Callable[..., Any]:
    """1 for the n largest (smallest) members and their equals, else 0."""

    def polars(ctx: PolarsContext, x: pl.Expr, n: int) -> Any:
        place = ctx.step(ctx.by_date(x.rank(method="min", descending=top)))
        return _where_present(ctx, x, (place <= n).cast(ctx.pl.Float64))

    return polars


def densify(ctx: PolarsContext, x: pl.Expr) -> Any:
    return ctx.by_date(x.rank(method="dense")).cast(ctx.pl.Float64) - 1.0


def _vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, over: _Over) -> pl.Expr:
    both = ctx.step(x.is_not_null() & y.is_not_null())
    products, squares = (ctx.step(over(ctx.pl.when(both).then(v * y).sum())) for v in (x, y))
    result: pl.Expr = ctx.pl.when(both).then(x - y * (products / squares))
    return result


def vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr) -> pl.Expr:
    return _vector_neut(ctx, x, y, ctx.by_date)


def group_vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, group: pl.Expr) -> pl.Expr:
    return _vector_neut(ctx, x, y, _in_group(ctx, group))


def regression_neut(ctx: PolarsContext, y: pl.Expr, *regressors: pl.Expr) -> pl.Expr:
    """Gram and Schmidt, one regressor after the other, each projection taken twice."""

    def total(values: Any) -> Any:
        return ctx.step(ctx.by_date(values.sum()))

    def centred(values: Any) -> tuple[Any, Any]:
        values = ctx.step(ctx.pl.when(complete).then(values))
        s = _about_mean(ctx, values, ctx.by_date)
        return s.centred, s.flat

    def beside(values: Any, bases: list[tuple[Any, Any]]) -> Any:
        for _ in range(2):
            for base, square in bases:
                share = ctx.step(ctx.pl.when(square > 0.0).then(total(values * base) / square).otherwise(0.0))
                values = ctx.step(values - share * base)
        return values

    complete = ctx.step(ctx.pl.all_horizontal([v.is_not_null() for v in (y, *regressors)]))
    members = total(complete.cast(ctx.pl.Float64))
    bases: list[tuple[Any, Any]] = []
    coefficients, usable = ctx.pl.lit(1.0), complete
    for x in regressors:
        values, flat = centred(x)
        whole = total(values * values)
        left = beside(values, bases)
        square = total(left * left)
        coefficients = ctx.step(coefficients + ctx.pl.when(flat).then(0.0).otherwise(1.0))
        usable = ctx.step(usable & (flat | (square.sqrt() > DEPENDENT * whole.sqrt())))
        bases.append((left, square))
    residual = beside(centred(y)[0], bases)
    result: pl.Expr = ctx.pl.when(usable & (members >= coefficients + 1.0)).then(residual)
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


def group_percentile(ctx: PolarsContext, x: pl.Expr, group: pl.Expr, percentage: float) -> pl.Expr:
    return _where_present(ctx, x, ctx.by_date_and(group, x.quantile(percentage, interpolation="linear")))


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
