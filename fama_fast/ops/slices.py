"""Polars forms of the operators over one date, or one group on one date.

Deviations are taken from the rounded mean and then corrected by their own mean, so that a large common offset
costs no digits. Every result is missing where x is. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.ops.far import exponent, is_far, times_two_to, two_to

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


def _of_spread(
    ctx: PolarsContext,
    s: _Slice,
    over: _Over,
    statistic: Callable[[Any, Any], Any],
    *,
    degree: int,
    digits: bool = True,
) -> Any:
    """A statistic of x minus the mean and of the standard deviation (ddof 1; 0 for one value, missing for a lone one).

    Args:
        degree: it is f times as large to this power where all values are f times as large.
        digits: whether it is missing where it is too small a number to have all its digits.
    """
    when = ctx.pl.when

    def of(centred: Any) -> tuple[Any, Any]:
        variance = ctx.step(over((centred * centred).sum()) / (s.n - 1.0))
        spread = when(s.n < 2.0).then(None).when(s.flat).then(0.0).otherwise(variance.sqrt())
        return variance, ctx.step(statistic(centred, ctx.step(spread)))

    def again() -> Any:
        e = exponent(ctx, over(s.centred.abs().max()))
        _, scaled = of(ctx.step(s.centred * two_to(ctx, -e)))
        return times_two_to(ctx, scaled, e * degree, digits=digits) if degree else scaled

    variance, value = of(s.centred)
    return ctx.mend(value, ~s.flat & (s.n >= 2.0) & is_far(variance), again)


def _spread(ctx: PolarsContext, s: _Slice, over: _Over, *, digits: bool = True) -> Any:
    return _of_spread(ctx, s, over, lambda _, spread: spread, degree=1, digits=digits)


def _rank(ctx: PolarsContext, x: Any, over: _Over) -> Any:
    # Two columns, then the quotient: Polars divides by one number through its reciprocal, a bit off.
    n = ctx.step(over(x.count().cast(ctx.pl.Float64)))
    return over(x.rank(method="average")) / n


def _zscore(ctx: PolarsContext, x: pl.Expr, over: _Over) -> Any:
    def statistic(centred: Any, spread: Any) -> Any:
        return ctx.pl.when(spread > 0.0).then(centred / spread)

    return _of_spread(ctx, _about_mean(ctx, x, over), over, statistic, degree=0)


def rank(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    ranked: pl.Expr = _rank(ctx, x, ctx.by_date)
    return ranked


def zscore(ctx: PolarsContext, x: pl.Expr) -> Any:
    return _zscore(ctx, x, ctx.by_date)


def demean(ctx: PolarsContext, x: pl.Expr) -> pl.Expr:
    return _about_mean(ctx, x, ctx.by_date).centred


_FEW = 2.0**-64  # of the largest number; times any number of symbols it is one


def scale(ctx: PolarsContext, x: pl.Expr, a: float, longscale: float, shortscale: float) -> Any:
    when = ctx.pl.when

    def scaled(x: Any) -> tuple[Any, Any]:
        if longscale == 0.0 and shortscale == 0.0:
            size = ctx.by_date(x.abs().sum())
            return size, x / size * a
        longs = ctx.step(ctx.by_date(x.clip(lower_bound=0.0).sum()))
        shorts = ctx.step(ctx.by_date((-x).clip(lower_bound=0.0).sum()))
        sides = when(x > 0.0).then(x / longs * longscale).when(x < 0.0).then(x / shorts * shortscale).otherwise(x)
        return longs + shorts, sides

    size, value = scaled(x)
    return ctx.mend(ctx.step(value), size.is_infinite(), lambda: scaled(x * _FEW)[1])


def winsorize(ctx: PolarsContext, x: pl.Expr, std: float) -> pl.Expr:
    s = _about_mean(ctx, x, ctx.by_date)
    reach = ctx.step(std * _spread(ctx, s, ctx.by_date, digits=False))
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


def _vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, over: _Over) -> Any:
    both = ctx.step(x.is_not_null() & y.is_not_null())
    x, y = (ctx.step(ctx.pl.when(both).then(v)) for v in (x, y))

    def beside(x: Any, y: Any) -> tuple[Any, Any]:
        products, squares = (ctx.step(over((v * y).sum())) for v in (x, y))
        share = ctx.step(products / squares)
        far = is_far(squares) | is_far(products.abs()) | is_far(share.abs())
        return far, ctx.step(x - y * share)

    def again() -> Any:
        ex, ey = (exponent(ctx, over(v.abs().max())) for v in (x, y))
        _, scaled = beside(ctx.step(x * two_to(ctx, -ex)), ctx.step(y * two_to(ctx, -ey)))
        return times_two_to(ctx, scaled, ex, digits=False)

    far, value = beside(x, y)
    return ctx.mend(value, both & far, again)


def vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr) -> Any:
    return _vector_neut(ctx, x, y, ctx.by_date)


def group_vector_neut(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, group: pl.Expr) -> Any:
    return _vector_neut(ctx, x, y, _in_group(ctx, group))


def regression_neut(ctx: PolarsContext, y: pl.Expr, *regressors: pl.Expr) -> pl.Expr:
    """Gram and Schmidt, one regressor after the other, each projection taken twice.

    What lies far from 1 is taken times a power of two, and the residuals are divided by theirs.
    """

    def total(values: Any) -> Any:
        return ctx.step(ctx.by_date(values.sum()))

    def centred(values: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
        """Deviations, where there are none, and what puts those of them right that were taken times a power of two."""
        values = ctx.step(ctx.pl.when(complete).then(values))
        s = _about_mean(ctx, values, ctx.by_date)
        far = ctx.step(~s.flat & is_far(total(s.centred * s.centred)))
        e: list[Any] = []

        def near_1() -> Any:
            e.append(exponent(ctx, ctx.by_date(s.centred.abs().max())))
            return s.centred * two_to(ctx, -e[0])

        near = ctx.mend(s.centred, far, near_1)
        return near, s.flat, lambda left: ctx.mend(left, far, lambda: times_two_to(ctx, left, e[0], digits=False))

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
        values, flat, _ = centred(x)
        whole = total(values * values)
        left = beside(values, bases)
        square = total(left * left)
        coefficients = ctx.step(coefficients + ctx.pl.when(flat).then(0.0).otherwise(1.0))
        usable = ctx.step(usable & (flat | (square.sqrt() > DEPENDENT * whole.sqrt())))
        bases.append((left, square))
    values, _, put_back = centred(y)
    residual = put_back(beside(values, bases))
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


def group_zscore(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> Any:
    return _zscore(ctx, x, _in_group(ctx, group))


def group_std(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    return _where_present(ctx, x, _spread(ctx, _about_mean(ctx, x, over), over))


def group_scale(ctx: PolarsContext, x: pl.Expr, group: pl.Expr) -> pl.Expr:
    over = _in_group(ctx, group)
    low = ctx.step(over(x.min()))
    return (x - low) / ctx.step(ctx.finite(over(x.max()) - low))
