"""The slow, obvious definition of each operator, on (T dates, N symbols) arrays with NaN for missing.

Plain loops and extended precision: this is what an operator *means*. `ORACLE[name](*operands, *params)` takes
the operands and static parameters in the registry's order. `CASES[name]` are the static parameters that the
common suite tries. `evaluate_oracle(node, panel)` walks an expression as it was written, not lowered.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from fama_fast import ops
from fama_fast.ir import CONST, FIELD, GROUP, Node, const, field, make, postorder
from fama_fast.panel import Panel
from fama_fast.types import Family, adv_window

Array = np.ndarray[Any, np.dtype[np.float64]]
NAN = math.nan


def finite(x: Any) -> Array:
    """What is not finite is missing."""
    x = np.array(x, dtype=np.float64)
    x[~np.isfinite(x)] = NAN
    return x


TINY, LARGEST = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)


def rounded(x: Any) -> float:
    """A moment as float64: missing where it is too large, or too small to have all its digits."""
    return float(x) if x == 0 or TINY <= abs(x) <= LARGEST else NAN


def exact_product(v: Array) -> float:
    return rounded(math.prod(Fraction(float(x)) for x in v))


# --- cell by cell ---------------------------------------------------------------------------------


def cellwise(function: Callable[..., float], *, strict: bool = True) -> Callable[..., Array]:
    """One cell at a time; with `strict`, a missing operand makes the result missing."""

    def operator(*values: Any) -> Array:
        arrays = [v for v in values if isinstance(v, np.ndarray)]
        params = [v for v in values if not isinstance(v, np.ndarray)]
        out = np.full(arrays[0].shape, NAN)
        for cell in np.ndindex(out.shape):
            operands = [float(a[cell]) for a in arrays]
            if strict and any(map(math.isnan, operands)):
                continue
            try:
                result = function(*operands, *params)
            except (ArithmeticError, ValueError):
                continue
            if not isinstance(result, complex):
                out[cell] = result
        return finite(out)

    return operator


def sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def modulo(x: float, y: float) -> float:
    return x % y


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)


# --- windows --------------------------------------------------------------------------------------


def window(function: Callable[..., float], *, least: int = 1, today: bool = False) -> Callable[..., Array]:
    """`function(values, ages, *params)` over the present days of each window; ages count back from today.

    Args:
        least: present days that the statistic needs in any case. today: it is missing when today is.
    """

    def operator(x: Array, d: int, *rest: Any) -> Array:
        *params, min_periods = rest
        out = np.full(x.shape, NAN)
        for t, n in np.ndindex(x.shape):
            ages = np.array([a for a in range(d) if t - a >= 0 and not math.isnan(x[t - a, n])], dtype=int)
            if len(ages) < max(min_periods or d, least) or (today and math.isnan(x[t, n])):
                continue
            out[t, n] = function(x[t - ages, n], ages, d, *params)
        return finite(out)

    return operator


def deviations(v: Array) -> Any:
    """From the mean, in extended precision; the second pass removes the rounding of the mean."""
    e = v.astype(np.longdouble)
    e = e - e.mean()
    return e - e.mean()


def constant(v: Array) -> bool:
    return bool(v.max() == v.min())


def variance(v: Array) -> Any:
    """In extended precision: a variance may be no float64 where its root is one."""
    return np.longdouble(0.0) if constant(v) else (deviations(v) ** 2).sum() / (len(v) - 1)


def skew(v: Array) -> float:
    if constant(v):
        return NAN
    n, e = len(v), deviations(v)
    biased = (e**3).mean() / (e**2).mean() ** np.longdouble(1.5)
    return float(np.sqrt(np.longdouble(n * (n - 1))) / (n - 2) * biased)


def kurt(v: Array) -> float:
    if constant(v):
        return NAN
    n, e = len(v), deviations(v)
    excess = (e**4).mean() / (e**2).mean() ** 2 - 3
    return float((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6))


def zscore_first(v: Array) -> float:
    return NAN if constant(v) else float(deviations(v)[0] / np.sqrt(variance(v)))


def average_rank(v: Array, x: float) -> float:
    return ((v < x).sum() + ((v == x).sum() + 1) / 2) / len(v)


def interpolated_quantile(v: Array, q: float) -> float:
    s = np.sort(v)
    at = q * (len(s) - 1)
    low = math.floor(at)
    high = min(low + 1, len(s) - 1)
    return float(s[low] + (s[high] - s[low]) * (at - low))


def weighted_mean(v: Array, weights: Any) -> float:
    w = np.asarray(weights, dtype=np.longdouble)
    return float((v * w).sum() / w.sum())


def pair_window(function: Callable[[Array, Array], float]) -> Callable[..., Array]:
    """Over the days of the window on which both are present, at least two."""

    def operator(x: Array, y: Array, d: int, min_periods: int | None) -> Array:
        out = np.full(x.shape, NAN)
        for t, n in np.ndindex(x.shape):
            rows = [r for r in range(max(0, t - d + 1), t + 1) if not math.isnan(x[r, n] + y[r, n])]
            if len(rows) >= max(min_periods or d, 2):
                out[t, n] = function(x[rows, n], y[rows, n])
        return finite(out)

    return operator


def covariance(x: Array, y: Array) -> float:
    return rounded((deviations(x) * deviations(y)).sum() / (len(x) - 1))


def correlation(x: Array, y: Array) -> float:
    if constant(x) or constant(y):
        return NAN
    a, b = deviations(x), deviations(y)
    r = float((a * b).sum() / (np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())))
    return r if abs(r) <= 1.0 - 1e-14 else math.copysign(1.0, r)


def delay(x: Array, d: int) -> Array:
    out = np.full(x.shape, NAN)
    out[d:] = x[: max(0, len(x) - d)]
    return out


def backfill(x: Array, d: int) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(x.shape):
        for age in range(d):
            if t - age >= 0 and not math.isnan(x[t - age, n]):
                out[t, n] = x[t - age, n]
                break
    return out


def autocorrelation(x: Array, d: int, lag: int, min_periods: int | None) -> Array:
    return pair_window(correlation)(x, delay(x, lag), d, min_periods)


def rank_correlation(x: Array, y: Array) -> float:
    return correlation(ranks(x), ranks(y))


def partial_correlation(x: Array, y: Array, z: Array, d: int, min_periods: int | None) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(x.shape):
        rows = [r for r in range(max(0, t - d + 1), t + 1) if not math.isnan(x[r, n] + y[r, n] + z[r, n])]
        if len(rows) < max(min_periods or d, 3):
            continue
        a, b, c = x[rows, n], y[rows, n], z[rows, n]
        xy, xz, yz = correlation(a, b), correlation(a, c), correlation(b, c)
        if not (math.isnan(xy + xz + yz) or abs(xz) == 1 or abs(yz) == 1):
            out[t, n] = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    return finite(out)


def line(y: Array, x: Array, rettype: int, today: bool) -> float:
    """A number of the least-squares line of y on x; both begin with the latest day, which is today if so."""
    if constant(x):
        return NAN
    n, mean_x, mean_y = len(y), x.astype(np.longdouble).mean(), y.astype(np.longdouble).mean()
    a, b = deviations(x), deviations(y)
    sxx, syy = (a * a).sum(), (b * b).sum()
    slope = (a * b).sum() / sxx
    errors = b - slope * a
    errors[np.abs(errors) <= 1e-13 * np.sqrt(syy)] = 0
    r = correlation(y, x)
    sse = (errors**2).sum()
    mse = sse / (n - 2) if n > 2 else NAN
    values = (
        errors[0] if today else NAN,
        mean_y - slope * mean_x,
        slope,
        mean_y + slope * a[0] if today else NAN,
        sse,
        syy,
        r * r,
        mse,
        np.sqrt(mse / sxx),
        np.sqrt(mse * (1 / np.longdouble(n) + mean_x**2 / sxx)),
    )
    return rounded(values[rettype])


def regression(y: Array, x: Array, d: int, lag: int, rettype: int, min_periods: int | None) -> Array:
    if lag:
        x = delay(x, lag)
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(x.shape):
        rows = [r for r in range(t, max(-1, t - d), -1) if not math.isnan(x[r, n] + y[r, n])]
        if len(rows) >= max(min_periods or d, 2):
            out[t, n] = line(y[rows, n], x[rows, n], rettype, rows[0] == t)
    return finite(out)


def on_time(rettype: int) -> Callable[..., Array]:
    return window(lambda v, ages, d: line(v, d - 1.0 * ages, rettype, ages[0] == 0), least=2)


def entropy(v: Array, buckets: int) -> float:
    if constant(v):
        return 0.0
    place = np.minimum(np.floor((v - v.min()) * buckets / (v.max() - v.min())), buckets - 1)
    share = np.unique(place, return_counts=True)[1] / len(v)
    return float(-(share * np.log(share)).sum())


def kth_element(x: Array, d: int, k: int) -> Array:
    return window(lambda v, ages, d: v[k - 1] if len(v) >= k else NAN)(x, d, 1)


def last_diff_value(x: Array, d: int) -> Array:
    def latest(v: Array, ages: Array, d: int) -> float:
        different = v[v != v[0]]
        return different[0] if len(different) else NAN

    return window(latest, today=True)(x, d, 1)


def days_from_last_change(x: Array, d: int) -> Array:
    def days(v: Array, ages: Array, d: int) -> float:
        different = ages[v != v[0]]
        return different[0] if len(different) else d if len(v) > 1 else NAN

    out = window(days, today=True)(x, d, 1)
    out[: d - 1][out[: d - 1] == d] = NAN
    return out


def delta_limit(x: Array, y: Array, share: float, d: int) -> Array:
    out = np.full(x.shape, NAN)
    limit = finite(y * share)
    for t, n in np.ndindex(x.shape):
        held = NAN
        for r in range(max(0, t - d + 1), t + 1):
            if not math.isnan(x[r, n]) and limit[r, n] >= 0:
                held = x[r, n] if math.isnan(held) else held + np.clip(x[r, n] - held, -limit[r, n], limit[r, n])
        if not math.isnan(x[t, n]) and limit[t, n] >= 0:
            out[t, n] = held
    return finite(out)


def decay_linear(x: Array, d: int, dense: bool, min_periods: int | None) -> Array:
    def mean(v: Array, ages: Array, d: int) -> float:
        weights = d - ages
        return weighted_mean(v, weights) * (1.0 if dense else weights.sum() / (d * (d + 1) / 2))

    return window(mean)(x, d, min_periods)


def sma(x: Array, n: int, m: int | None, d: int | None, min_periods: int | None) -> Array:
    if m is None:
        return ORACLE["TS_MEAN"](x, d or n, min_periods)
    days = d or max(math.ceil(2 * n / m) - 1, 1)
    return ORACLE["DECAY_EXP"](x, days, 1 - m / n, min_periods)


def sum_if(x: Array, condition: Array, d: int, min_periods: int | None) -> Array:
    taken = np.where(np.isnan(condition), NAN, np.where(condition == 0, 0.0, x))
    return ORACLE["TS_SUM"](taken, d, min_periods)


def count_nans(x: Array, d: int, min_periods: int | None) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(x.shape):
        days = x[max(0, t - d + 1) : t + 1, n]
        if len(days) >= (min_periods or d):
            out[t, n] = np.isnan(days).sum()
    return out


# --- one date, one group --------------------------------------------------------------------------


def per_date(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function(values, *params)` over the present values of each date."""

    def operator(x: Array, *params: Any) -> Array:
        out = np.full(x.shape, NAN)
        for t in range(len(x)):
            present = ~np.isnan(x[t])
            if present.any():
                out[t, present] = function(x[t, present], *params)
        return finite(out)

    return operator


def per_group(function: Callable[[Array], Any]) -> Callable[..., Array]:
    """`function(values)` over the present values of each group of each date."""

    def operator(x: Array, group: Array) -> Array:
        out = np.full(x.shape, NAN)
        for t in range(len(x)):
            for code in np.unique(group[t][~np.isnan(group[t])]):
                members = (group[t] == code) & ~np.isnan(x[t])
                if members.any():
                    out[t, members] = function(x[t, members])
        return finite(out)

    return operator


def ranks(v: Array) -> Array:
    return np.array([average_rank(v, x) for x in v])


def demeaned(v: Array) -> Any:
    return np.zeros(len(v)) if constant(v) else deviations(v)


def zscores(v: Array) -> Any:
    return np.full(len(v), NAN) if len(v) < 2 or constant(v) else deviations(v) / np.sqrt(variance(v))


def scaled(v: Array, a: float, longscale: float, shortscale: float) -> Any:
    if longscale == 0 and shortscale == 0:
        total = np.abs(v).sum()
        return np.full(len(v), NAN) if total == 0 else v / total * a
    longs, shorts = v[v > 0].sum(), -v[v < 0].sum()
    return [x / longs * longscale if x > 0 else x / shorts * shortscale if x < 0 else 0.0 for x in v]


def winsorized(v: Array, std: float) -> Any:
    if len(v) < 2:
        return np.full(len(v), NAN)
    if constant(v):
        return v
    mean, reach = v.astype(np.longdouble).mean(), std * np.sqrt(variance(v))
    return np.clip(v, mean - reach, mean + reach)


def min_max(v: Array) -> Any:
    return np.full(len(v), NAN) if constant(v) else (v - v.min()) / (v.max() - v.min())


def normalized(v: Array, use_std: bool, limit: float) -> Any:
    out = zscores(v) if use_std else demeaned(v)
    return out if limit == 0 else np.clip(out, -limit, limit)


def mad_clipped(v: Array, k: float) -> Any:
    middle = np.median(v)
    reach = 1.4826 * k * np.median(np.abs(v - middle))
    return np.clip(v, middle - reach, middle + reach)


def rank_quantiles(inverse: Callable[[float], float]) -> Callable[..., Any]:
    """`inverse` of p, the ranks shifted into [1/n, 1 - 1/n]."""

    def function(v: Array, *sigma: float) -> Any:
        n = len(v)
        u = [((v < x).sum() + ((v == x).sum() - 1) / 2) / (n - 1) if n > 1 else 0.5 for x in v]
        return [inverse(1 / n + r * (1 - 2 / n)) * math.prod(sigma) for r in u]

    return function


NORMAL_QUANTILE = statistics.NormalDist().inv_cdf
DRIVERS: dict[str, Callable[[float], float]] = {
    "uniform": lambda p: p - 0.5,
    "gaussian": NORMAL_QUANTILE,
    "cauchy": lambda p: math.tan(math.pi * (p - 0.5)),
}


def flags(side: int) -> Callable[..., Any]:
    return lambda v, n: [float((side * v > side * x).sum() < n) for x in v]


def bucket_of(x: float, start: float, end: float, step: float, skip_begin: bool, skip_end: bool) -> float:
    bounds = [start + i * step for i in range(int((end - start) / step + 1e-9) + 1)] if end >= start else [start]
    below = sum(b < x - 1e-9 * step for b in bounds)
    return NAN if (skip_begin and below == 0) or (skip_end and below == len(bounds)) else below


def vector_neutral(x: Array, y: Array) -> Any:
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    return np.full(len(x), NAN) if not y.any() else a - b * ((a * b).sum() / (b * b).sum())


def regression_residual(y: Array, *regressors: Array) -> Any:
    """About their means, the columns are made orthogonal one after the other, in extended precision."""
    bases: list[Any] = []
    for x in regressors:
        if constant(x):
            continue
        e = whole = deviations(x)
        for _ in range(3):
            for b in bases:
                e = e - b * ((e * b).sum() / (b * b).sum())
        if (e**2).sum() <= 1e-18 * (whole**2).sum():
            return np.full(len(y), NAN)
        bases.append(e)
    if len(y) < len(bases) + 2:
        return np.full(len(y), NAN)
    out = np.zeros(len(y)) if constant(y) else deviations(y)
    for _ in range(3):
        for b in bases:
            out = out - b * ((out * b).sum() / (b * b).sum())
    return out


def jointly(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function` over the members of each date that have all operands."""

    def operator(*operands: Array) -> Array:
        out = np.full(operands[0].shape, NAN)
        for t in range(len(out)):
            members = ~np.isnan([o[t] for o in operands]).any(axis=0)
            if members.any():
                out[t, members] = function(*(o[t, members] for o in operands))
        return finite(out)

    return operator


def jointly_in_group(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function` over the members of each group of each date that have both operands."""

    def operator(x: Array, y: Array, group: Array) -> Array:
        out = np.full(x.shape, NAN)
        for code in np.unique(group[~np.isnan(group)]):
            inside = group == code
            masked = jointly(function)(np.where(inside, x, NAN), y)
            out = np.where(np.isnan(masked), out, masked)
        return out

    return operator


def group_backfill(x: Array, group: Array, d: int, std: float) -> Array:
    own = np.where(np.isnan(group), NAN, x)
    out = own.copy()
    for t, n in np.argwhere(np.isnan(own) & ~np.isnan(group)):
        past = own[max(0, t - d + 1) : t + 1, group[t] == group[t, n]]
        values = past[~np.isnan(past)]
        if len(values):
            reach = std * (np.sqrt(variance(values)) if len(values) > 1 else 0.0)
            mean = float(values.astype(np.longdouble).mean())
            out[t, n] = mean + np.clip(deviations(values), -reach, reach).mean()
    return finite(out)


def lone_missing_std(v: Array) -> float:
    return NAN if len(v) < 2 else rounded(np.sqrt(variance(v)))


# --- state ----------------------------------------------------------------------------------------


def trade_when(trigger: Array, alpha: Array, leave: Array, d: int) -> Array:
    out = np.full(alpha.shape, NAN)
    for t, n in np.ndindex(out.shape):
        for k in range(t, max(-1, t - d), -1):
            if leave[k, n] > 0:
                break
            if trigger[k, n] > 0:
                out[t, n] = alpha[k, n]
                break
    return out


def keep(x: Array, f: Array, period: int) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(out.shape):
        pairs = [(f[k - 1, n], f[k, n]) for k in range(max(1, t - period + 1), t + 1)]
        if any(a != b and not math.isnan(a + b) for a, b in pairs):
            out[t, n] = x[t, n]
    return out


def humped(x: Array, limit: Array, d: int) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(out.shape):
        held = NAN
        for k in range(max(0, t - d + 1), t + 1):
            v, most = x[k, n], limit[k, n]
            present = not math.isnan(v) and most >= 0
            if present and math.isnan(held):
                held = v
            elif present and abs(v - held) > most:
                held = held + most if v > held else held - most
        out[t, n] = held if present else NAN
    return finite(out)


def followed(x: Array, limit: Array, start: Array, d: int, hold: bool) -> Array:
    out = np.full(x.shape, NAN)
    for t, n in np.ndindex(out.shape):
        held = start[t, n]
        for k in range(max(0, t - d + 1), t + 1):
            v, most = x[k, n], limit[k, n]
            present = not math.isnan(v) and most >= 0
            if present and abs(v - held) > most:
                held = held + most if v > held else held - most
            elif present and not hold:
                held = v if not math.isnan(held) else NAN
        out[t, n] = held if present else NAN
    return finite(out)


def mean_turnover(y: Array, d: int) -> Array:
    """One number a date, the members' mean of what the days of the window traded; 0 where nobody has traded yet."""
    weights = np.nan_to_num(per_date(lambda v: scaled(v, 1.0, 0, 0))(y))
    traded = np.full(y.shape, NAN)
    traded[1:] = np.where(np.isnan(y), 0.0, np.abs(weights - np.roll(weights, 1, axis=0))).sum(axis=1, keepdims=True)[
        1:
    ]
    traded[np.isnan(y)] = NAN
    mean = np.where(np.isnan(y), NAN, ORACLE["TS_MEAN"](traded, d, 1))
    return np.nan_to_num(per_date(lambda v: math.fsum(v) / len(v))(mean))


def tuned(x: Array, rungs: list[Array], target: float, d: int) -> Array:
    ladder = [x, *rungs]
    turnovers = [mean_turnover(r, d) for r in ladder]
    out = rungs[-1].copy()
    for t in range(len(x)):
        trades = [v[t].max() for v in turnovers]  # one number, and 0 where x is missing
        if trades[0] <= target:
            out[t] = x[t]
            continue
        for k in range(len(rungs), 0, -1):
            if trades[k] <= target < trades[k - 1]:
                share = (target - trades[k]) / (trades[k - 1] - trades[k])
                out[t] = ladder[k][t] + share * (ladder[k - 1][t] - ladder[k][t])
                break
    return finite(out)


def tuned_decay(x: Array, low: float, high: float, target: float, d: int) -> Array:
    memories = [low + (high - low) * s for s in (0.5, 0.75, 0.875, 0.9375, 1.0)]
    rungs = [np.where(np.isnan(x), NAN, ORACLE["DECAY_EXP"](x, d, m, 1)) for m in memories]
    return tuned(x, rungs, target, d)


def tuned_limit(x: Array, size: Array, hold: bool, low: float, high: float, target: float, d: int) -> Array:
    limits = [low + (high - low) * s for s in (0.0001, 0.001, 0.01, 0.1, 1.0)]
    start = ORACLE["TS_MEAN"](x, d, 1)
    rungs = [followed(x, size * m, start, d, hold) for m in (limits if hold else limits[::-1])]
    return tuned(x, rungs, target, d)


ORACLE: dict[str, Callable[..., Array]] = {
    "ADD": cellwise(lambda x, y: x + y),
    "SUB": cellwise(lambda x, y: x - y),
    "MUL": cellwise(lambda x, y: x * y),
    "DIV": cellwise(lambda x, y: x / y),
    "NEG": cellwise(lambda x: -x),
    "POWER": cellwise(lambda x, y: x**y),
    "SIGNED_POWER": cellwise(lambda x, y: sign(x) * abs(x) ** y),
    "MIN": cellwise(min),
    "MAX": cellwise(max),
    "FMIN": cellwise(lambda x, y: y if math.isnan(x) else x if math.isnan(y) else min(x, y), strict=False),
    "FMAX": cellwise(lambda x, y: y if math.isnan(x) else x if math.isnan(y) else max(x, y), strict=False),
    "MOD": cellwise(modulo),
    "ABS": cellwise(abs),
    "SIGN": cellwise(sign),
    "LOG": cellwise(math.log),
    "LOG1P": cellwise(math.log1p),
    "EXP": cellwise(math.exp),
    "SQRT": cellwise(math.sqrt),
    "INVERSE": cellwise(lambda x: 1 / x),
    "FLOOR": cellwise(math.floor),
    "CEIL": cellwise(math.ceil),
    "ROUND": cellwise(round),
    "TANH": cellwise(math.tanh),
    "SIGMOID": cellwise(sigmoid),
    "CLIP": cellwise(lambda x, lower, upper: min(max(x, lower), upper)),
    "LT": cellwise(lambda x, y: x < y),
    "LE": cellwise(lambda x, y: x <= y),
    "GT": cellwise(lambda x, y: x > y),
    "GE": cellwise(lambda x, y: x >= y),
    "EQ": cellwise(lambda x, y: x == y),
    "NE": cellwise(lambda x, y: x != y),
    "AND": cellwise(lambda x, y: x != 0 and y != 0),
    "OR": cellwise(lambda x, y: x != 0 or y != 0),
    "NOT": cellwise(lambda x: x == 0),
    "IF_ELSE": cellwise(lambda c, x, y: NAN if math.isnan(c) else x if c else y, strict=False),
    "IS_NAN": cellwise(math.isnan, strict=False),
    "NAN_TO": cellwise(lambda x, value: value if math.isnan(x) else x, strict=False),
    "MASK": cellwise(lambda x, members: x if members else NAN),
    "DELAY": delay,
    "DELTA": lambda x, d: finite(x - delay(x, d)),
    "TS_RETURNS": lambda x, d: cellwise(lambda now, then: now / then - 1)(x, delay(x, d)),
    "BACKFILL": backfill,
    "TS_SUM": window(lambda v, ages, d: math.fsum(v)),
    "TS_MEAN": window(lambda v, ages, d: math.fsum(v) / len(v)),
    "TS_PRODUCT": window(lambda v, ages, d: exact_product(v)),
    "TS_VAR": window(lambda v, ages, d: rounded(variance(v)), least=2),
    "TS_STDDEV": window(lambda v, ages, d: rounded(np.sqrt(variance(v))), least=2),
    "TS_SKEW": window(lambda v, ages, d: skew(v), least=3),
    "TS_KURT": window(lambda v, ages, d: kurt(v), least=4),
    "TS_ZSCORE": window(lambda v, ages, d: zscore_first(v), least=2, today=True),
    "TS_MIN": window(lambda v, ages, d: v.min()),
    "TS_MAX": window(lambda v, ages, d: v.max()),
    "TS_ARGMIN": window(lambda v, ages, d: ages[np.argmin(v)]),
    "TS_ARGMAX": window(lambda v, ages, d: ages[np.argmax(v)]),
    "TS_ARGMIN_FIRST": window(lambda v, ages, d: ages[len(v) - 1 - np.argmin(v[::-1])]),
    "TS_ARGMAX_FIRST": window(lambda v, ages, d: ages[len(v) - 1 - np.argmax(v[::-1])]),
    "TS_RANK": window(lambda v, ages, d: average_rank(v, v[0]), today=True),
    "TS_MEDIAN": window(lambda v, ages, d: float(np.median(v))),
    "TS_QUANTILE": window(lambda v, ages, d, q: interpolated_quantile(v, q)),
    "CORREL": pair_window(correlation),
    "TS_COVARIANCE": pair_window(covariance),
    "DECAY_LINEAR": decay_linear,
    "EMA": window(lambda v, ages, d: weighted_mean(v, (1 - 2 / (d + 1)) ** ages)),
    "S_LOG_1P": cellwise(lambda x: sign(x) * math.log1p(abs(x))),
    "PURIFY": finite,
    "TS_AV_DIFF": window(lambda v, ages, d: float(deviations(v)[0]), today=True),
    "TS_MAD": window(lambda v, ages, d: float(np.abs(deviations(v)).mean())),
    "TS_ENTROPY": window(lambda v, ages, d, buckets: entropy(v, buckets)),
    "TS_IR": window(
        lambda v, ages, d: NAN if constant(v) else float(math.fsum(v) / len(v) / np.sqrt(variance(v))), least=2
    ),
    "COUNT_IF": window(lambda v, ages, d: float((v != 0).sum())),
    "SUM_IF": sum_if,
    "TS_COUNT_NANS": count_nans,
    "TS_SCALE": window(
        lambda v, ages, d, constant: NAN if v.max() == v.min() else (v[0] - v.min()) / (v.max() - v.min()) + constant,
        today=True,
    ),
    "TS_MIN_DIFF": window(lambda v, ages, d: v[0] - v.min(), today=True),
    "TS_MAX_DIFF": window(lambda v, ages, d: v[0] - v.max(), today=True),
    "TS_MIN_MAX_DIFF": window(
        lambda v, ages, d, f: float(v[0] - np.longdouble(f) * (np.longdouble(v.min()) + v.max())), today=True
    ),
    "TS_MIN_MAX_CPS": window(
        lambda v, ages, d, f: float(np.longdouble(v.min()) + v.max() - np.longdouble(f) * v[0]), today=True
    ),
    "KTH_ELEMENT": kth_element,
    "LAST_DIFF_VALUE": last_diff_value,
    "DAYS_FROM_LAST_CHANGE": days_from_last_change,
    "TS_DELTA_LIMIT": delta_limit,
    "DECAY_EXP": window(lambda v, ages, d, factor: weighted_mean(v, np.longdouble(factor) ** ages)),
    "SMA": sma,
    "TS_AUTOCORR": autocorrelation,
    "TS_RANK_CORR": pair_window(rank_correlation),
    "TS_PARTIAL_CORR": partial_correlation,
    "TS_SLOPE": on_time(2),
    "TS_INTERCEPT": on_time(1),
    "TS_RSQUARE": on_time(6),
    "TS_RESIDUAL": on_time(0),
    "TS_REGRESSION": regression,
    "TS_BETA": lambda y, x, d, min_periods: regression(y, x, d, 0, 2, min_periods),
    "RANK": per_date(ranks),
    "Z_SCORE": per_date(zscores),
    "DEMEAN": per_date(demeaned),
    "SCALE": per_date(scaled),
    "WINSORIZE": per_date(winsorized),
    "NORMALIZE": per_date(normalized),
    "WINSORIZE_QUANTILE": per_date(
        lambda v, lower, upper: np.minimum(np.maximum(v, np.quantile(v, lower)), np.quantile(v, upper))
    ),
    "MAD_CLIP": per_date(mad_clipped),
    "CS_COUNT": per_date(len),
    "CS_SUM": per_date(math.fsum),
    "CS_MEAN": per_date(lambda v: math.fsum(v) / len(v)),
    "CS_MAX": per_date(np.max),
    "CS_MIN": per_date(np.min),
    "CS_STD": per_date(lone_missing_std),
    "CS_PERCENTILE": per_date(interpolated_quantile),
    "CS_MEDIAN": per_date(np.median),
    **{f"QUANTILE_{name.upper()}": per_date(rank_quantiles(inverse)) for name, inverse in DRIVERS.items()},
    "QUANTILE": per_date(lambda v, driver, sigma: rank_quantiles(DRIVERS[driver])(v, sigma)),
    "TOP": per_date(flags(1)),
    "BOTTOM": per_date(flags(-1)),
    "DENSIFY": per_date(lambda v: np.unique(v, return_inverse=True)[1]),
    "CS_BUCKET": per_date(lambda v, n: [math.ceil(average_rank(v, x) * n - 1e-9) - 1 for x in v]),
    "BUCKET": cellwise(bucket_of),
    "VECTOR_NEUT": jointly(vector_neutral),
    "REGRESSION_NEUT": jointly(regression_residual),
    "TRADE_WHEN": trade_when,
    "KEEP": keep,
    "TS_HUMP": humped,
    "TS_FOLLOW": followed,
    "TS_TARGET_TVR_DECAY": tuned_decay,
    "TS_TARGET_TVR_HUMP": lambda x, *rest: tuned_limit(x, per_date(lambda v: math.fsum(np.abs(v)))(x), True, *rest),
    "TS_TARGET_TVR_DELTA_LIMIT": lambda x, y, *rest: tuned_limit(x, y, False, *rest),
    "HUMP": lambda x, hump, d: humped(x, per_date(lambda v: math.fsum(np.abs(v)) * hump)(x), d),
    "GROUP_MEDIAN": per_group(np.median),
    "GROUP_PERCENTAGE": lambda x, group, q: per_group(lambda v: interpolated_quantile(v, q))(x, group),
    "GROUP_NORMALIZE": lambda x, group, scale: per_group(lambda v: scaled(v, scale, 0, 0))(x, group),
    "GROUP_BACKFILL": group_backfill,
    "GROUP_VECTOR_NEUT": jointly_in_group(vector_neutral),
    "GROUP_RANK": per_group(ranks),
    "GROUP_MEAN": per_group(lambda v: math.fsum(v) / len(v)),
    "GROUP_SUM": per_group(math.fsum),
    "GROUP_COUNT": per_group(len),
    "GROUP_NEUTRALIZE": per_group(demeaned),
    "GROUP_ZSCORE": per_group(zscores),
    "GROUP_SCALE": per_group(min_max),
    "GROUP_STD": per_group(lone_missing_std),
    "GROUP_MAX": per_group(np.max),
    "GROUP_MIN": per_group(np.min),
}

_NO_PARAMETER = ((),)
_WINDOW = ((1, None), (5, None), (5, 2), (12, 12), (45, 3))
_PAIR = ((2, None), (5, None), (6, 2), (45, 3))

CASES: dict[str, tuple[tuple[Any, ...], ...]] = {
    **dict.fromkeys(ORACLE, _NO_PARAMETER),
    "CLIP": ((-0.5, 0.5), (1.0, -1.0)),
    "NAN_TO": ((0.0,), (-2.5,)),
    "DELAY": ((1,), (7,), (100,)),
    "DELTA": ((1,), (7,)),
    "TS_RETURNS": ((1,), (5,)),
    "BACKFILL": ((1,), (4,), (100,)),
    **dict.fromkeys(
        ("TS_SUM", "TS_MEAN", "TS_PRODUCT", "TS_MIN", "TS_MAX", "TS_ARGMIN", "TS_ARGMAX", "TS_RANK"), _WINDOW
    ),
    **dict.fromkeys(("TS_MEDIAN", "EMA", "TS_AV_DIFF", "TS_MAD", "COUNT_IF", "SUM_IF", "TS_COUNT_NANS"), _WINDOW),
    **dict.fromkeys(("TS_MIN_DIFF", "TS_MAX_DIFF"), _WINDOW),
    "DECAY_LINEAR": ((1, True, None), (5, True, None), (5, False, 2), (12, False, 12), (45, True, 3), (45, False, 3)),
    "DECAY_EXP": ((1, 0.9, None), (5, 0.5, None), (6, 1.0, 2), (12, 0.9, 12), (45, 0.97, 3)),
    "SMA": ((5, None, None, None), (6, 1, None, None), (6, 2, None, 2), (5, 1, 12, 3), (4, 4, None, None)),
    "TS_ENTROPY": ((1, 10, None), (5, 10, None), (12, 4, 2), (45, 10, 3)),
    "TS_IR": ((2, None), (5, None), (6, 1), (45, 3)),
    "TS_SCALE": ((2, 0.0, None), (6, 1.5, 2), (45, 0.0, 3)),
    "TS_MIN_MAX_DIFF": ((1, 0.5, None), (6, 0.5, 2), (6, 0.2, None), (45, 0.5, 3)),
    "TS_MIN_MAX_CPS": ((1, 2.0, None), (6, 2.0, 2), (6, 0.5, None), (45, 2.0, 3)),
    "KTH_ELEMENT": ((1, 1), (4, 1), (2, 2), (3, 3), (100, 1)),
    "TS_DELTA_LIMIT": ((0.1, 1), (0.5, 2), (0.3, 6), (1.5, 20)),
    "LAST_DIFF_VALUE": ((2,), (6,), (39,)),
    "DAYS_FROM_LAST_CHANGE": ((2,), (6,), (39,)),
    "TS_AUTOCORR": ((2, 1, None), (6, 1, 2), (12, 3, None), (30, 2, 3)),
    "TS_PARTIAL_CORR": ((3, None), (6, None), (8, 4), (45, 4)),
    **dict.fromkeys(
        ("TS_SLOPE", "TS_INTERCEPT", "TS_RSQUARE", "TS_RESIDUAL", "TS_BETA"), ((2, None), (5, None), (6, 2), (45, 3))
    ),
    "TS_REGRESSION": (
        *((6, 0, rettype, None) for rettype in range(10)),
        *((8, 3, rettype, 3) for rettype in range(10)),
        (2, 0, 0, None),
        (45, 1, 2, 3),
    ),
    **dict.fromkeys(("TS_ARGMIN_FIRST", "TS_ARGMAX_FIRST"), _WINDOW),
    **dict.fromkeys(("TS_VAR", "TS_STDDEV", "TS_ZSCORE"), ((2, None), (5, None), (6, 1), (45, 3))),
    "TS_SKEW": ((3, None), (8, None), (8, 2), (45, 5)),
    "TS_KURT": ((4, None), (8, None), (8, 2), (45, 5)),
    "TS_QUANTILE": ((5, 0.3, None), (6, 0.0, 2), (6, 1.0, 2), (45, 0.77, 3)),
    **dict.fromkeys(("CORREL", "TS_COVARIANCE", "TS_RANK_CORR"), _PAIR),
    "SCALE": ((1.0, 0.0, 0.0), (250.0, 0.0, 0.0), (1.0, 4.0, 3.0), (1.0, 0.0, 2.0)),
    "NORMALIZE": ((False, 0.0), (True, 0.0), (False, 0.5), (True, 1.0)),
    "WINSORIZE_QUANTILE": ((0.05, 0.95), (0.25, 0.6), (0.0, 1.0), (0.3, 0.3)),
    "MAD_CLIP": ((3.0,), (0.5,), (0.0,)),
    **dict.fromkeys(("CS_PERCENTILE", "GROUP_PERCENTAGE"), ((0.0,), (0.3,), (0.5,), (1.0,))),
    "QUANTILE": (("gaussian", 1.0), ("uniform", 2.0), ("cauchy", 0.5)),
    **dict.fromkeys(("TOP", "BOTTOM"), ((1,), (3,), (100,))),
    "CS_BUCKET": ((2,), (3,), (10,)),
    "BUCKET": (
        (0.0, 1.0, 0.1, False, False),
        (-1.5, 2.0, 0.5, True, False),
        (-1.0, 1.0, 1.0, False, True),
        (1.0, 0.0, 0.5, True, True),
    ),
    "TRADE_WHEN": ((250,), (5,), (1,)),
    "KEEP": ((5,), (1,), (12,)),
    "TS_HUMP": ((20,), (5,), (1,)),
    "HUMP": ((0.01, 20), (0.1, 5), (0.0, 3)),
    "TS_FOLLOW": ((6, False), (6, True), (1, False)),
    "TS_TARGET_TVR_DECAY": ((0.2, 0.9, 0.8, 3),),
    "TS_TARGET_TVR_HUMP": ((0.0, 1.0, 0.6, 5),),
    "TS_TARGET_TVR_DELTA_LIMIT": ((0.0, 1.0, 0.6, 5),),
    "GROUP_NORMALIZE": ((1.0,), (20.0,)),
    "GROUP_BACKFILL": ((4, 4.0), (1, 4.0), (6, 0.7)),
    "WINSORIZE": ((4.0,), (1.0,), (0.0,)),
}


def derived_returns(close: Array) -> Array:
    """RET of closes: a price of zero or below is no price."""
    out = np.full(close.shape, NAN)
    for t, i in itertools.product(range(1, close.shape[0]), range(close.shape[1])):
        if close[t, i] > 0 and close[t - 1, i] > 0:
            out[t, i] = close[t, i] / close[t - 1, i] - 1
    return out


def leaf(node: Node, panel: Panel) -> Array:
    if node.op == CONST:
        return np.full(panel.shape, node.value)
    if node.op == GROUP:
        return panel.group(node.name).codes
    days = adv_window(node.name)
    if days is not None and node.name not in panel:
        return ORACLE["TS_MEAN"](finite(panel["CLOSE"] * panel["VOLUME"]), days, None)
    if node.name == "RET" and "RET" not in panel.supplied_fields:
        return derived_returns(panel["CLOSE"])
    return panel[node.name]


# What the common suite puts into an operator that needs other operands than the fields of its parameters' names.
OPERANDS: dict[str, tuple[Node, ...]] = {
    "IF_ELSE": (field("C"), field("X"), field("Y")),
    "TRADE_WHEN": (make("LT", (field("X"), const(-0.8))), field("Y"), make("GT", (field("X"), const(0.8)))),
    "REGRESSION_NEUT": (field("X"), field("Y"), field("C"), const(0.0)),
}


def evaluate_oracle(node: Node, panel: Panel) -> Array:
    """The (T, N) values of an expression, operator by operator; the panel's universe masks cross-sections."""
    done: dict[Node, Array] = {}
    for n in postorder(node):
        spec = ops.find(n.op)
        if n.op in (FIELD, GROUP, CONST) or spec is None:
            done[n] = leaf(n, panel)
            continue
        operands = [done[a] for a in n.args]
        if spec.family in (Family.CROSS_SECTION, Family.GROUP) and panel.universe is not None:
            operands = [np.where(panel.universe, o, NAN) for o in operands]
        done[n] = ORACLE[n.op](*operands, *n.params)
    return done[node]
