"""Polars forms of the moments of one series over a window.

Polars' rolling variance and skewness carry running moments, whose error after a jump of 1e10 is larger than the
answer. So moments are taken in two passes here: a centre (the window's mean), then sums of powers of the deviations
from it, lag by lag, corrected for the rounding of the centre. This module imports no Polars: the context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.ops import windows
from fama_fast.ops.far import exponent, is_far, times_two_to, two_to

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from fama_fast.ops.spec import PolarsContext


class _Moments(NamedTuple):
    """Present days, the window's centre, the mean deviation from it, today's from the mean, central sums of powers."""

    n: Any
    centre: Any
    offset: Any
    today: Any
    second: Any
    third: Any
    fourth: Any


def _moments(ctx: PolarsContext, x: pl.Expr, d: int, order: int, scale: Any = None) -> _Moments:
    """Of the window's values, times `scale` where it is given."""
    n = windows.present_days(ctx, x, d)
    centre = windows.centre_of(ctx, x, n, d)
    lags = windows.deviations(x, centre, d, scale)

    def power_sum(k: int) -> Any:
        return ctx.step(ctx.by_symbol(windows.added([_power(e, k).fill_null(0.0) for e in lags])))

    s1 = power_sum(1)
    m = ctx.step(s1 / n)
    today = windows.deviations(x, centre, 1, scale)[0] - m
    if order < 2:
        return _Moments(n, centre, m, today, None, None, None)
    s2 = power_sum(2)
    second = ctx.step(s2 - n * m * m)
    third = fourth = None
    if order > 2:
        s3 = power_sum(3)
        third = s3 - 3.0 * m * s2 + 2.0 * n * m * m * m
    if order > 3:
        s4 = power_sum(4)
        fourth = s4 - 4.0 * m * s3 + 6.0 * m * m * s2 - 3.0 * n * m * m * m * m
    return _Moments(n, centre, m, today, second, third, fourth)


def _power(e: Any, k: int) -> Any:
    square = e * e
    return {1: e, 2: square, 3: square * e, 4: square * square}[k]


def _of_moments(
    ctx: PolarsContext,
    x: pl.Expr,
    d: int,
    min_periods: int | None,
    statistic: Callable[[_Moments], Any],
    *,
    order: int,
    least: int,
    degree: int,
    of_constant: float | None = None,
) -> pl.Expr:
    """A statistic of each window.

    Args:
        order: the highest moment. least: days that it needs in any case. of_constant: its value of a constant window.
        degree: it is f times as large to this power where all values are f times as large.
    """
    m = _moments(ctx, x, d, order)
    constant = windows.is_constant(ctx, x, d)

    def again() -> Any:
        e = exponent(ctx, windows.largest_size(ctx, x, d))
        scaled = statistic(_moments(ctx, x, d, order, two_to(ctx, -e)))
        return times_two_to(ctx, scaled, e * degree) if degree else scaled

    far = ~constant & is_far(m.second) & (m.n >= max(min_periods or d, least))
    value = ctx.mend(ctx.step(statistic(m)), far, again)
    return windows.if_enough(
        ctx, m.n, d, min_periods, ctx.pl.when(constant).then(of_constant).otherwise(value), least=least
    )


def variance(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(m: _Moments) -> Any:
        return m.second / (m.n - 1.0)

    return _of_moments(ctx, x, d, min_periods, statistic, order=2, least=2, degree=2, of_constant=0.0)


def stddev(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(m: _Moments) -> Any:
        return (m.second / (m.n - 1.0)).sqrt()

    return _of_moments(ctx, x, d, min_periods, statistic, order=2, least=2, degree=1, of_constant=0.0)


def skewness(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(m: _Moments) -> Any:
        n, spread = m.n, (m.second / m.n).sqrt()
        biased = m.third / n / (spread * spread * spread)
        return (n * (n - 1.0)).sqrt() / (n - 2.0) * biased

    return _of_moments(ctx, x, d, min_periods, statistic, order=3, least=3, degree=0)


def kurtosis(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(m: _Moments) -> Any:
        n = m.n
        excess = n * m.fourth / (m.second * m.second) - 3.0
        return (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * excess + 6.0)

    return _of_moments(ctx, x, d, min_periods, statistic, order=4, least=4, degree=0)


def zscore(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(m: _Moments) -> Any:
        return m.today / (m.second / (m.n - 1.0)).sqrt()

    return _of_moments(ctx, x, d, min_periods, statistic, order=2, least=2, degree=0)


def av_diff(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 1)
    value = ctx.pl.when(windows.is_constant(ctx, x, d)).then(x * 0.0).otherwise(m.today)
    return windows.if_enough(ctx, m.n, d, min_periods, value)


def mean_absolute_deviation(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 1)
    distances = [(e - m.offset).abs().fill_null(0.0) for e in windows.deviations(x, m.centre, d)]
    value = ctx.by_symbol(windows.added(distances)) / m.n
    return windows.if_enough(
        ctx, m.n, d, min_periods, ctx.pl.when(windows.is_constant(ctx, x, d)).then(0.0).otherwise(value)
    )
