"""Polars forms of covariances, correlations and least-squares lines over a window.

Sums are of deviations from the window's means, lag by lag, as in `moment_windows`. This module imports no Polars: the
context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.ops import windows
from fama_fast.ops.far import exponent, is_far, times_two_to, two_to

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from fama_fast.ops.spec import PolarsContext


class _Pairs(NamedTuple):
    """Of the complete pairs of a window: their number, sums of products of deviations, means, today's deviations."""

    n: Any
    cross: Any
    x_square: Any
    y_square: Any
    x_constant: Any
    y_constant: Any
    x_mean: Any
    y_mean: Any
    x_today: Any
    y_today: Any


def _pair_moments(
    ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, x_scale: Any = None, y_scale: Any = None
) -> _Pairs:
    """Of the window's complete pairs, times `x_scale` and `y_scale` where they are given."""
    both = x.is_not_null() & y.is_not_null()
    x, y = ctx.step(ctx.pl.when(both).then(x)), ctx.step(ctx.pl.when(both).then(y))
    n = windows.present_days(ctx, x, d)
    x_centre, y_centre = windows.centre_of(ctx, x, n, d), windows.centre_of(ctx, y, n, d)
    x_lags = windows.deviations(x, x_centre, d, x_scale)
    y_lags = windows.deviations(y, y_centre, d, y_scale)

    def lag_sum(terms: list[Any]) -> Any:
        return ctx.step(ctx.by_symbol(windows.added([t.fill_null(0.0) for t in terms])))

    sx, sy = lag_sum(x_lags), lag_sum(y_lags)
    return _Pairs(
        n=n,
        cross=lag_sum([a * b for a, b in zip(x_lags, y_lags, strict=True)]) - sx * sy / n,
        x_square=lag_sum([a * a for a in x_lags]) - sx * sx / n,
        y_square=lag_sum([b * b for b in y_lags]) - sy * sy / n,
        x_constant=windows.is_constant(ctx, x, d),
        y_constant=windows.is_constant(ctx, y, d),
        x_mean=(x_centre if x_scale is None else x_centre * x_scale) + sx / n,
        y_mean=(y_centre if y_scale is None else y_centre * y_scale) + sy / n,
        x_today=windows.deviations(x, x_centre, 1, x_scale)[0] - sx / n,
        y_today=windows.deviations(y, y_centre, 1, y_scale)[0] - sy / n,
    )


def _of_pairs(
    ctx: PolarsContext,
    x: pl.Expr,
    y: pl.Expr,
    d: int,
    min_periods: int | None,
    statistic: Callable[[_Pairs], Any],
    degrees: tuple[int, int],
    *,
    timed: bool = False,
) -> tuple[_Pairs, pl.Expr]:
    """A statistic of each window's complete pairs, after what it was made of.

    Args:
        degrees: it is f times as large to these powers where all x, or all y, are f times as large.
        timed: x are days, which are never far from 1.
    """
    p = _pair_moments(ctx, x, y, d)

    def again() -> Any:
        both = x.is_not_null() & y.is_not_null()
        ey = exponent(ctx, windows.largest_size(ctx, ctx.step(ctx.pl.when(both).then(y)), d))
        ex = ey * 0.0 if timed else exponent(ctx, windows.largest_size(ctx, ctx.step(ctx.pl.when(both).then(x)), d))
        scaled = statistic(_pair_moments(ctx, x, y, d, None if timed else two_to(ctx, -ex), two_to(ctx, -ey)))
        return times_two_to(ctx, scaled, ex * degrees[0] + ey * degrees[1]) if any(degrees) else scaled

    far = ~p.y_constant & is_far(p.y_square)
    if not timed:
        far = ~p.x_constant & (far | is_far(p.x_square))
    return p, ctx.mend(ctx.step(statistic(p)), far & (p.n >= max(min_periods or d, 2)), again)


def correlation(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    def statistic(p: _Pairs) -> Any:
        return p.cross / (p.x_square.sqrt() * p.y_square.sqrt())

    p, value = _of_pairs(ctx, x, y, d, min_periods, statistic, (0, 0))
    exact = ctx.pl.when(value.abs() > 1.0 - 1e-14).then(value.sign()).otherwise(value)
    varied = ctx.pl.when(~(p.x_constant | p.y_constant)).then(exact)
    return windows.if_enough(ctx, p.n, d, min_periods, varied, least=2)


def covariance(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    p, covaried = _of_pairs(ctx, x, y, d, min_periods, lambda p: p.cross / (p.n - 1.0), (1, 1))
    value = ctx.pl.when(p.x_constant | p.y_constant).then(0.0).otherwise(covaried)
    return windows.if_enough(ctx, p.n, d, min_periods, value, least=2)


# What `regression` returns, numbered as WorldQuant BRAIN does.
RESIDUAL, INTERCEPT, SLOPE, ESTIMATE, ERROR_SQUARES, TOTAL_SQUARES = range(6)
R_SQUARE, MEAN_ERROR_SQUARE, SLOPE_ERROR, INTERCEPT_ERROR = range(6, 10)


_DEGREES = {SLOPE: (-1, 1), SLOPE_ERROR: (-1, 1), R_SQUARE: (0, 0)} | dict.fromkeys(
    (ERROR_SQUARES, TOTAL_SQUARES, MEAN_ERROR_SQUARE), (0, 2)
)


def regression(
    ctx: PolarsContext, y: pl.Expr, x: pl.Expr, d: int, lag: int, rettype: int, min_periods: int | None
) -> pl.Expr:
    earlier = ctx.step(ctx.by_symbol(x.shift(lag))) if lag else x
    degrees = _DEGREES.get(rettype, (0, 1))
    p, value = _of_pairs(ctx, earlier, y, d, min_periods, lambda p: _line(ctx, p, rettype), degrees)
    return windows.if_enough(ctx, p.n, d, min_periods, value, least=2)


def on_time(ctx: PolarsContext, x: pl.Expr, d: int, rettype: int, min_periods: int | None) -> pl.Expr:
    """The regression of x on the days of the window, numbered 1 (the oldest) to d (today)."""
    today = windows.day_number(ctx)

    def statistic(p: _Pairs) -> Any:
        return _line(ctx, p._replace(x_mean=p.x_mean - today + float(d)), rettype)

    p, value = _of_pairs(ctx, today, x, d, min_periods, statistic, _DEGREES.get(rettype, (0, 1)), timed=True)
    return windows.if_enough(ctx, p.n, d, min_periods, value, least=2)


def _line(ctx: PolarsContext, p: _Pairs, rettype: int) -> pl.Expr:
    when = ctx.pl.when
    slope = ctx.step(when(p.y_constant).then(0.0).otherwise(p.cross / p.x_square))
    value: Any
    if rettype == SLOPE:
        value = slope
    elif rettype == INTERCEPT:
        value = p.y_mean - slope * p.x_mean
    elif rettype == ESTIMATE:
        value = p.y_mean + slope * p.x_today
    elif rettype == TOTAL_SQUARES:
        value = when(p.y_constant).then(0.0).otherwise(p.y_square)
    elif rettype == RESIDUAL:
        rest = ctx.step(p.y_today - slope * p.x_today)
        rounding = p.y_constant | (rest.abs() <= p.y_square.sqrt() * 1e-13)
        value = when(rounding).then(rest * 0.0).otherwise(rest)
    else:
        r = ctx.step((p.cross / (p.x_square.sqrt() * p.y_square.sqrt())).abs())
        r = ctx.step(when(r > 1.0 - 1e-14).then(r.sign()).otherwise(r))  # NaN is larger than all, and stays NaN
        error = when(p.y_constant).then(0.0).otherwise(p.y_square * (1.0 - r) * (1.0 + r))
        mean_error = when(p.n > 2.0).then(error / (p.n - 2.0))
        value = {
            R_SQUARE: when(~p.y_constant).then(r * r),
            ERROR_SQUARES: error,
            MEAN_ERROR_SQUARE: mean_error,
            SLOPE_ERROR: mean_error.sqrt() / p.x_square.sqrt(),
            INTERCEPT_ERROR: mean_error.sqrt() * (1.0 / p.n + p.x_mean / p.x_square * p.x_mean).sqrt(),
        }[rettype]
    result: pl.Expr = when(~p.x_constant).then(value)
    return result
