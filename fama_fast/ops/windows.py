"""Polars forms of the windowed operators, given the window d and min_periods (None: all of the window).

Polars' rolling variance, skewness and correlation carry running moments, whose error after a jump of 1e10
is larger than the answer. So moments are taken in two passes here: a centre (the window's mean), then
sums of powers of the deviations from it, lag by lag, corrected for the rounding of the centre. A rolling
sum with unit weights is one dot product a window, without drift either. This module imports no Polars:
the context carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fama_fast.ops.far import exponent, is_far, times_two_to, two_to

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
    n = _present(ctx, x, d)
    plain = ctx.step(_product_of_days(ctx, x.fill_null(1.0), range(d)))
    # Whatever the order, no product on the way is further from 1 than this.
    reach = _weighted(ctx, ctx.pl.when(x != 0.0).then(x.abs().log(2.0).abs()), [1.0] * d)
    far = (reach > 1000.0) & (n >= (min_periods or d))
    value = ctx.mend(plain, far, lambda: _product_with_exponents(ctx, x, d))
    return _enough(ctx, n, d, min_periods, value)


def _product_of_days(ctx: PolarsContext, x: Any, days: range) -> Any:
    """The product of the values of so many days ago; a day before the first counts as 1."""
    values = ctx.step(x)
    return ctx.by_symbol(_balanced([values.shift(i, fill_value=1.0) for i in days], lambda a, b: a * b))


def _product_with_exponents(ctx: PolarsContext, x: pl.Expr, d: int) -> Any:
    """Exponents are added up apart; what is left lies between 1/2 and 4, so many of them at a time are numbers."""
    at_once = 256
    e = exponent(ctx, x.abs())
    part = ctx.pl.when(x == 0.0).then(0.0).otherwise(x * two_to(ctx, -e)).fill_null(1.0)
    value, total = ctx.pl.lit(1.0), ctx.step(_weighted(ctx, ctx.pl.when(x != 0.0).then(e), [1.0] * d))
    for start in range(0, d, at_once):
        value = ctx.step(value * _product_of_days(ctx, part, range(start, min(start + at_once, d))))
        more = ctx.step(ctx.pl.when(value != 0.0).then(exponent(ctx, value.abs())).otherwise(0.0))
        value, total = ctx.step(value * two_to(ctx, -more)), ctx.step(total + more)
    return times_two_to(ctx, value, total.clip(-2000.0, 2000.0))


class _Moments(NamedTuple):
    """Present days, the window's centre, the mean deviation from it, today's from the mean, central sums of powers."""

    n: Any
    centre: Any
    offset: Any
    today: Any
    second: Any
    third: Any
    fourth: Any


def _deviations(x: Any, centre: Any, d: int, scale: Any = None) -> list[Any]:
    lags = [x.shift(i) - centre for i in range(d)]
    return lags if scale is None else [e * scale for e in lags]


def _centre(ctx: PolarsContext, x: pl.Expr, n: pl.Expr, d: int) -> pl.Expr:
    return ctx.step(_weighted(ctx, x, [1.0] * d) / n)


def _moments(ctx: PolarsContext, x: pl.Expr, d: int, order: int, scale: Any = None) -> _Moments:
    """Of the window's values, times `scale` where it is given."""
    n = _present(ctx, x, d)
    centre = _centre(ctx, x, n, d)
    lags = _deviations(x, centre, d, scale)

    def power_sum(k: int) -> Any:
        return ctx.step(ctx.by_symbol(_sum([_power(e, k).fill_null(0.0) for e in lags])))

    s1 = power_sum(1)
    m = ctx.step(s1 / n)
    today = _deviations(x, centre, 1, scale)[0] - m
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


def _largest(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    return ctx.by_symbol(x.abs().rolling_max(d, min_samples=1))


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
    constant = _constant(ctx, x, d)

    def again() -> Any:
        e = exponent(ctx, _largest(ctx, x, d))
        scaled = statistic(_moments(ctx, x, d, order, two_to(ctx, -e)))
        return times_two_to(ctx, scaled, e * degree) if degree else scaled

    far = ~constant & is_far(m.second) & (m.n >= max(min_periods or d, least))
    value = ctx.mend(ctx.step(statistic(m)), far, again)
    return _enough(ctx, m.n, d, min_periods, ctx.pl.when(constant).then(of_constant).otherwise(value), least=least)


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
    value = ctx.pl.when(_constant(ctx, x, d)).then(x * 0.0).otherwise(m.today)
    return _enough(ctx, m.n, d, min_periods, value)


def mean_absolute_deviation(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    m = _moments(ctx, x, d, 1)
    distances = [(e - m.offset).abs().fill_null(0.0) for e in _deviations(x, m.centre, d)]
    value = ctx.by_symbol(_sum(distances)) / m.n
    return _enough(ctx, m.n, d, min_periods, ctx.pl.when(_constant(ctx, x, d)).then(0.0).otherwise(value))


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
    whole_window = (_day_number(ctx) >= d - 1.0) & (_present(ctx, x, d) >= 2.0)
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


def _day_number(ctx: PolarsContext) -> pl.Expr:
    """0 on the first date, 1 on the next."""
    return ctx.step(ctx.by_symbol(ctx.pl.int_range(ctx.pl.len()).cast(ctx.pl.Float64)))


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
    n = _present(ctx, x, d)
    x_centre, y_centre = _centre(ctx, x, n, d), _centre(ctx, y, n, d)
    x_lags = _deviations(x, x_centre, d, x_scale)
    y_lags = _deviations(y, y_centre, d, y_scale)

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
        x_mean=(x_centre if x_scale is None else x_centre * x_scale) + sx / n,
        y_mean=(y_centre if y_scale is None else y_centre * y_scale) + sy / n,
        x_today=_deviations(x, x_centre, 1, x_scale)[0] - sx / n,
        y_today=_deviations(y, y_centre, 1, y_scale)[0] - sy / n,
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
        ey = exponent(ctx, _largest(ctx, ctx.step(ctx.pl.when(both).then(y)), d))
        ex = ey * 0.0 if timed else exponent(ctx, _largest(ctx, ctx.step(ctx.pl.when(both).then(x)), d))
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
    return _enough(ctx, p.n, d, min_periods, varied, least=2)


def covariance(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    p, covaried = _of_pairs(ctx, x, y, d, min_periods, lambda p: p.cross / (p.n - 1.0), (1, 1))
    value = ctx.pl.when(p.x_constant | p.y_constant).then(0.0).otherwise(covaried)
    return _enough(ctx, p.n, d, min_periods, value, least=2)


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
    return _enough(ctx, p.n, d, min_periods, value, least=2)


def on_time(ctx: PolarsContext, x: pl.Expr, d: int, rettype: int, min_periods: int | None) -> pl.Expr:
    """The regression of x on the days of the window, numbered 1 (the oldest) to d (today)."""
    today = _day_number(ctx)

    def statistic(p: _Pairs) -> Any:
        return _line(ctx, p._replace(x_mean=p.x_mean - today + float(d)), rettype)

    p, value = _of_pairs(ctx, today, x, d, min_periods, statistic, _DEGREES.get(rettype, (0, 1)), timed=True)
    return _enough(ctx, p.n, d, min_periods, value, least=2)


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
        r = ctx.step(when(r > 1.0 - 1e-14).then(1.0).otherwise(r))
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


def _weighted_mean(
    ctx: PolarsContext, x: pl.Expr, weights: Sequence[float], min_periods: int | None, *, dense: bool = True
) -> pl.Expr:
    d = len(weights)
    given = _weighted(ctx, x.is_not_null().cast(ctx.pl.Float64), weights) if dense else sum(weights)
    return _enough(ctx, _present(ctx, x, d), d, min_periods, _weighted(ctx, x, weights) / given)


def decay_linear(ctx: PolarsContext, x: pl.Expr, d: int, dense: bool, min_periods: int | None) -> pl.Expr:
    return _weighted_mean(ctx, x, [float(i + 1) for i in range(d)], min_periods, dense=dense)


def decay_exp(ctx: PolarsContext, x: pl.Expr, d: int, factor: float, min_periods: int | None) -> pl.Expr:
    return _weighted_mean(ctx, x, [factor ** (d - 1 - i) for i in range(d)], min_periods)


def ema(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    keep = 1.0 - 2.0 / (d + 1.0)
    return _weighted_mean(ctx, x, [keep ** (d - 1 - i) for i in range(d)], min_periods)
