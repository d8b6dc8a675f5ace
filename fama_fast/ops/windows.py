"""Polars forms of the windowed operators, given the window d and min_periods (None: all of the window).

Polars' rolling variance, skewness and correlation carry running moments, whose error after a jump of 1e10
is larger than the answer. So moments are taken in two passes here: a centre (the window's mean), then
sums of powers of the deviations from it, lag by lag, corrected for the rounding of the centre. A rolling
sum with unit weights is one dot product a window, without drift either. This module imports no Polars:
the context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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


def _sum(terms: Sequence[Any]) -> Any:
    return _balanced(terms, lambda a, b: a + b)


def _weighted(ctx: PolarsContext, x: pl.Expr, weights: Sequence[float]) -> pl.Expr:
    """Sum of weight * value over the window, oldest weight first; a missing value or day counts as 0."""
    filled = x.fill_null(0.0).rolling_sum(len(weights), weights=list(weights), min_samples=1)
    return ctx.by_symbol(filled)


def _present(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    """How many days of the window are present."""
    return ctx.step(ctx.by_symbol(x.is_not_null().cast(ctx.pl.Float64).rolling_sum(d, min_samples=1)))


def _enough(ctx: PolarsContext, n: pl.Expr, d: int, min_periods: int | None, value: Any, least: int = 1) -> pl.Expr:
    result: pl.Expr = ctx.pl.when(n >= max(min_periods or d, least)).then(value)
    return result


def _constant(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    high = ctx.by_symbol(x.rolling_max(d, min_samples=1))
    low = ctx.by_symbol(x.rolling_min(d, min_samples=1))
    return ctx.step(high == low)


def total(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return _enough(ctx, _present(ctx, x, d), d, min_periods, _weighted(ctx, x, [1.0] * d))


def mean(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    n = _present(ctx, x, d)
    return _enough(ctx, n, d, min_periods, _weighted(ctx, x, [1.0] * d) / n)


def product(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    ones = ctx.step(x.fill_null(1.0))
    lags = [ones.shift(i, fill_value=1.0) for i in range(d)]
    value = ctx.by_symbol(_balanced(lags, lambda a, b: a * b))
    return _enough(ctx, _present(ctx, x, d), d, min_periods, value)


class _Moments(NamedTuple):
    """Present days, the window's centre, the mean deviation from it, and central sums of powers."""

    n: Any
    centre: Any
    offset: Any
    second: Any
    third: Any
    fourth: Any


def _deviations(x: Any, centre: Any, d: int) -> list[Any]:
    return [x.shift(i) - centre for i in range(d)]


def _centre(ctx: PolarsContext, x: pl.Expr, n: pl.Expr, d: int) -> pl.Expr:
    return ctx.step(_weighted(ctx, x, [1.0] * d) / n)


def _moments(ctx: PolarsContext, x: pl.Expr, d: int, order: int) -> _Moments:
    n = _present(ctx, x, d)
    centre = _centre(ctx, x, n, d)
    lags = _deviations(x, centre, d)

    def power_sum(k: int) -> Any:
        return ctx.step(ctx.by_symbol(_sum([_power(e, k).fill_null(0.0) for e in lags])))

    s1, s2 = power_sum(1), power_sum(2)
    m = ctx.step(s1 / n)
    second = ctx.step(s2 - n * m * m)
    third = fourth = None
    if order > 2:
        s3 = power_sum(3)
        third = s3 - 3.0 * m * s2 + 2.0 * n * m * m * m
    if order > 3:
        s4 = power_sum(4)
        fourth = s4 - 4.0 * m * s3 + 6.0 * m * m * s2 - 3.0 * n * m * m * m * m
    return _Moments(n, centre, m, second, third, fourth)


def _power(e: Any, k: int) -> Any:
    square = e * e
    return {1: e, 2: square, 3: square * e, 4: square * square}[k]


def variance(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 2)
    value = ctx.pl.when(_constant(ctx, x, d)).then(0.0).otherwise(m.second / (m.n - 1.0))
    return _enough(ctx, m.n, d, min_periods, value, least=2)


def stddev(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return variance(ctx, x, d, min_periods).sqrt()


def skewness(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 3)
    n, spread = m.n, (m.second / m.n).sqrt()
    biased = m.third / n / (spread * spread * spread)
    value = (n * (n - 1.0)).sqrt() / (n - 2.0) * biased
    return _enough(ctx, n, d, min_periods, ctx.pl.when(~_constant(ctx, x, d)).then(value), least=3)


def kurtosis(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 4)
    n = m.n
    excess = n * m.fourth / (m.second * m.second) - 3.0
    value = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * excess + 6.0)
    return _enough(ctx, n, d, min_periods, ctx.pl.when(~_constant(ctx, x, d)).then(value), least=4)


def zscore(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 2)
    value = (x - m.centre - m.offset) / (m.second / (m.n - 1.0)).sqrt()
    return _enough(ctx, m.n, d, min_periods, ctx.pl.when(~_constant(ctx, x, d)).then(value), least=2)


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
    n = _present(ctx, x, d)
    position = ctx.by_symbol(x.rolling_rank(d, method="average", min_samples=1))
    return _enough(ctx, n, d, min_periods, position / n)


def quantile(ctx: PolarsContext, x: pl.Expr, d: int, q: float, min_periods: int | None) -> pl.Expr:
    return ctx.by_symbol(x.rolling_quantile(q, interpolation="linear", window_size=d, min_samples=min_periods or d))


class _Pairs(NamedTuple):
    n: Any
    cross: Any
    x_square: Any
    y_square: Any
    x_constant: Any
    y_constant: Any


def _pair_moments(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int) -> _Pairs:
    both = x.is_not_null() & y.is_not_null()
    x, y = ctx.step(ctx.pl.when(both).then(x)), ctx.step(ctx.pl.when(both).then(y))
    n = _present(ctx, x, d)
    x_lags = _deviations(x, _centre(ctx, x, n, d), d)
    y_lags = _deviations(y, _centre(ctx, y, n, d), d)

    def lag_sum(terms: list[Any]) -> Any:
        return ctx.step(ctx.by_symbol(_sum([t.fill_null(0.0) for t in terms])))

    sx, sy = lag_sum(x_lags), lag_sum(y_lags)
    return _Pairs(
        n=n,
        cross=lag_sum([a * b for a, b in zip(x_lags, y_lags, strict=True)]) - sx * sy / n,
        x_square=lag_sum([a * a for a in x_lags]) - sx * sx / n,
        y_square=lag_sum([b * b for b in y_lags]) - sy * sy / n,
        x_constant=_constant(ctx, x, d),
        y_constant=_constant(ctx, y, d),
    )


def correlation(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    p = _pair_moments(ctx, x, y, d)
    value = ctx.step(p.cross / (p.x_square.sqrt() * p.y_square.sqrt()))
    exact = ctx.pl.when(value.abs() > 1.0 - 1e-14).then(value.sign()).otherwise(value)
    varied = ctx.pl.when(~(p.x_constant | p.y_constant)).then(exact)
    return _enough(ctx, p.n, d, min_periods, varied, least=2)


def covariance(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    p = _pair_moments(ctx, x, y, d)
    value = ctx.pl.when(p.x_constant | p.y_constant).then(0.0).otherwise(p.cross / (p.n - 1.0))
    return _enough(ctx, p.n, d, min_periods, value, least=2)


def _weighted_mean(ctx: PolarsContext, x: pl.Expr, weights: Sequence[float], min_periods: int | None) -> pl.Expr:
    d = len(weights)
    given = _weighted(ctx, x.is_not_null().cast(ctx.pl.Float64), weights)
    return _enough(ctx, _present(ctx, x, d), d, min_periods, _weighted(ctx, x, weights) / given)


def decay_linear(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return _weighted_mean(ctx, x, [float(i + 1) for i in range(d)], min_periods)


def ema(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    keep = 1.0 - 2.0 / (d + 1.0)
    return _weighted_mean(ctx, x, [keep ** (d - 1 - i) for i in range(d)], min_periods)
