"""Polars forms of the windowed operators, given the window d and min_periods (None: all of the window).

A rolling sum with unit weights is one dot product a window, without drift. Moments are in `moment_windows` and
`pair_windows`. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.ops.far import exponent, times_two_to, two_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from fama_fast.ops.spec import PolarsContext


def _balanced(terms: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """`combine` over the terms as a balanced tree: depth and memory grow with the window's logarithm."""
    level = list(terms)
    while len(level) > 1:
        pairs = [combine(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def added(terms: Sequence[Any]) -> Any:
    """Their sum, as a balanced tree."""
    return _balanced(terms, lambda a, b: a + b)


def weighted(ctx: PolarsContext, x: pl.Expr, weights: Sequence[float]) -> pl.Expr:
    """Sum of weight * value over the window, oldest weight first; a missing value or day counts as 0."""
    filled = x.fill_null(0.0).rolling_sum(len(weights), weights=list(weights), min_samples=1)
    return ctx.by_symbol(filled)


def present_days(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    """How many days of the window are present."""
    return ctx.step(ctx.by_symbol(x.is_not_null().cast(ctx.pl.Float64).rolling_sum(d, min_samples=1)))


def if_enough(ctx: PolarsContext, n: pl.Expr, d: int, min_periods: int | None, value: Any, least: int = 1) -> pl.Expr:
    """The value where n days suffice, which are `least` in any case."""
    result: pl.Expr = ctx.pl.when(n >= max(min_periods or d, least)).then(value)
    return result


def is_constant(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    """Whether the window's present days have one value."""
    high = ctx.by_symbol(x.rolling_max(d, min_samples=1))
    low = ctx.by_symbol(x.rolling_min(d, min_samples=1))
    return ctx.step(high == low)


def deviations(x: Any, centre: Any, d: int, scale: Any = None) -> list[Any]:
    """Of each day of the window, today first, its value less the centre; times `scale` where it is given."""
    lags = [x.shift(i) - centre for i in range(d)]
    return lags if scale is None else [e * scale for e in lags]


def centre_of(ctx: PolarsContext, x: pl.Expr, n: pl.Expr, d: int) -> pl.Expr:
    """The window's mean, up to rounding."""
    return ctx.step(weighted(ctx, x, [1.0] * d) / n)


def largest_size(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    """The largest |x| of the window."""
    return ctx.by_symbol(x.abs().rolling_max(d, min_samples=1))


def day_number(ctx: PolarsContext) -> pl.Expr:
    """0 on the first date, 1 on the next."""
    return ctx.step(ctx.by_symbol(ctx.pl.int_range(ctx.pl.len()).cast(ctx.pl.Float64)))


def total(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return if_enough(ctx, present_days(ctx, x, d), d, min_periods, weighted(ctx, x, [1.0] * d))


def mean(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    n = present_days(ctx, x, d)
    return if_enough(ctx, n, d, min_periods, weighted(ctx, x, [1.0] * d) / n)


def product(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    n = present_days(ctx, x, d)
    plain = ctx.step(_product_of_days(ctx, x.fill_null(1.0), range(d)))
    # Whatever the order, no product on the way is further from 1 than this.
    reach = weighted(ctx, ctx.pl.when(x != 0.0).then(x.abs().log(2.0).abs()), [1.0] * d)
    far = (reach > 1000.0) & (n >= (min_periods or d))
    value = ctx.mend(plain, far, lambda: _product_with_exponents(ctx, x, d))
    return if_enough(ctx, n, d, min_periods, value)


def _product_of_days(ctx: PolarsContext, x: Any, days: range) -> Any:
    """The product of the values of so many days ago; a day before the first counts as 1."""
    values = ctx.step(x)
    return ctx.by_symbol(_balanced([values.shift(i, fill_value=1.0) for i in days], lambda a, b: a * b))


def _product_with_exponents(ctx: PolarsContext, x: pl.Expr, d: int) -> Any:
    """Exponents are added up apart; of what is left, from 2^-53 on, so many at a time are numbers."""
    at_once = 16
    e = exponent(ctx, x.abs(), 1022.0)
    part = ctx.pl.when(x == 0.0).then(0.0).otherwise(x * two_to(ctx, -e)).fill_null(1.0)
    value, total = ctx.pl.lit(1.0), ctx.step(weighted(ctx, ctx.pl.when(x != 0.0).then(e), [1.0] * d))
    for start in range(0, d, at_once):
        value = ctx.step(value * _product_of_days(ctx, part, range(start, min(start + at_once, d))))
        more = ctx.step(ctx.pl.when(value != 0.0).then(exponent(ctx, value.abs())).otherwise(0.0))
        value, total = ctx.step(value * two_to(ctx, -more)), ctx.step(total + more)
    return times_two_to(ctx, value, total.clip(-2000.0, 2000.0))


def kth_element(ctx: PolarsContext, x: pl.Expr, d: int, k: int) -> pl.Expr:
    seen = ctx.step(ctx.by_symbol(x.is_not_null().cast(ctx.pl.Int64).cum_sum()))
    days = [ctx.pl.when(x.shift(i).is_not_null() & (seen - seen.shift(i) == k - 1)).then(x.shift(i)) for i in range(d)]
    return ctx.by_symbol(_balanced(days, ctx.pl.coalesce))


def last_diff_value(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    days = [ctx.pl.when(x.shift(i) != x).then(x.shift(i)) for i in range(1, d)]
    return ctx.by_symbol(_balanced(days, ctx.pl.coalesce))


def days_from_last_change(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    days = [ctx.pl.when(x.shift(i) != x).then(float(i)) for i in range(1, d)]
    changed = ctx.by_symbol(_balanced(days, ctx.pl.coalesce))
    whole_window = (day_number(ctx) >= d - 1.0) & (present_days(ctx, x, d) >= 2.0)
    unchanged = ctx.pl.when(x.is_not_null() & whole_window).then(float(d))
    value: pl.Expr = ctx.pl.coalesce(changed, unchanged)
    return value


def delta_limit(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, share: float, d: int) -> pl.Expr:
    when = ctx.pl.when
    limit = ctx.step(y * share)
    present = ctx.step(when(limit >= 0.0).then(x))
    held = ctx.step(ctx.by_symbol(present.shift(d - 1)))
    for k in range(d - 2, -1, -1):
        v, reach = (ctx.step(ctx.by_symbol(e.shift(k))) for e in (present, limit))
        change = v - held
        followed = when(change > reach).then(held + reach).when(change < -reach).then(held - reach).otherwise(v)
        held = ctx.step(when(v.is_null()).then(held).when(held.is_null()).then(v).otherwise(followed))
    result: pl.Expr = when(present.is_not_null()).then(held)
    return result


def minimum(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return ctx.by_symbol(x.rolling_min(d, min_samples=min_periods or d))


def maximum(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return ctx.by_symbol(x.rolling_max(d, min_samples=min_periods or d))


def _latest_at(ctx: PolarsContext, x: pl.Expr, extreme: pl.Expr, d: int) -> pl.Expr:
    days = [ctx.pl.when(x.shift(i) == extreme).then(float(i)) for i in range(d)]
    return ctx.by_symbol(_balanced(days, ctx.pl.coalesce))


def argmin(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return _latest_at(ctx, x, ctx.step(minimum(ctx, x, d, min_periods)), d)


def argmax(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return _latest_at(ctx, x, ctx.step(maximum(ctx, x, d, min_periods)), d)


def rank(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    n = present_days(ctx, x, d)
    position = ctx.by_symbol(x.rolling_rank(d, method="average", min_samples=1))
    return if_enough(ctx, n, d, min_periods, position / n)


def quantile(ctx: PolarsContext, x: pl.Expr, d: int, q: float, min_periods: int | None) -> pl.Expr:
    return ctx.by_symbol(x.rolling_quantile(q, interpolation="linear", window_size=d, min_samples=min_periods or d))


def _weighted_mean(
    ctx: PolarsContext, x: pl.Expr, weights: Sequence[float], min_periods: int | None, *, dense: bool = True
) -> pl.Expr:
    d = len(weights)
    given = weighted(ctx, x.is_not_null().cast(ctx.pl.Float64), weights) if dense else sum(weights)
    return if_enough(ctx, present_days(ctx, x, d), d, min_periods, weighted(ctx, x, weights) / given)


def decay_linear(ctx: PolarsContext, x: pl.Expr, d: int, dense: bool, min_periods: int | None) -> pl.Expr:
    return _weighted_mean(ctx, x, [float(i + 1) for i in range(d)], min_periods, dense=dense)


def decay_exp(ctx: PolarsContext, x: pl.Expr, d: int, factor: float, min_periods: int | None) -> pl.Expr:
    return _weighted_mean(ctx, x, [factor ** (d - 1 - i) for i in range(d)], min_periods)


def ema(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    keep = 1.0 - 2.0 / (d + 1.0)
    return _weighted_mean(ctx, x, [keep ** (d - 1 - i) for i in range(d)], min_periods)
