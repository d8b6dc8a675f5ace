"""The slow, obvious definition of each operator, on (T dates, N symbols) arrays with NaN for missing.

Plain loops and extended precision: this is what an operator *means*. `ORACLE[name](*operands, *params)` takes
the operands and static parameters in the registry's order. `CASES[name]` are the static parameters that the
common suite tries. `evaluate_oracle(node, panel)` walks an expression as it was written, not lowered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fama_fast import ops
from fama_fast.ir import CONST, FIELD, GROUP, Node, postorder
from fama_fast.panel import Panel
from fama_fast.types import Family, adv_window

Array = np.ndarray[Any, np.dtype[np.float64]]
NAN = math.nan


def finite(x: Any) -> Array:
    """What is not finite is missing."""
    x = np.array(x, dtype=np.float64)
    x[~np.isfinite(x)] = NAN
    return x


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


def variance(v: Array) -> float:
    return 0.0 if constant(v) else float((deviations(v) ** 2).sum() / (len(v) - 1))


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
    return float((deviations(x) * deviations(y)).sum() / (len(x) - 1))


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


def scaled(v: Array, a: float) -> Any:
    total = np.abs(v).sum()
    return np.full(len(v), NAN) if total == 0 else v / total * a


def winsorized(v: Array, std: float) -> Any:
    if len(v) < 2:
        return np.full(len(v), NAN)
    if constant(v):
        return v
    mean, reach = v.astype(np.longdouble).mean(), std * np.sqrt(variance(v))
    return np.clip(v, mean - reach, mean + reach)


def min_max(v: Array) -> Any:
    return np.full(len(v), NAN) if constant(v) else (v - v.min()) / (v.max() - v.min())


def lone_missing_std(v: Array) -> float:
    return NAN if len(v) < 2 else math.sqrt(variance(v))


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
    "TS_PRODUCT": window(lambda v, ages, d: float(np.prod(v.astype(np.longdouble)))),
    "TS_VAR": window(lambda v, ages, d: variance(v), least=2),
    "TS_STDDEV": window(lambda v, ages, d: math.sqrt(variance(v)), least=2),
    "TS_SKEW": window(lambda v, ages, d: skew(v), least=3),
    "TS_KURT": window(lambda v, ages, d: kurt(v), least=4),
    "TS_ZSCORE": window(lambda v, ages, d: zscore_first(v), least=2, today=True),
    "TS_MIN": window(lambda v, ages, d: v.min()),
    "TS_MAX": window(lambda v, ages, d: v.max()),
    "TS_ARGMIN": window(lambda v, ages, d: ages[np.argmin(v)]),
    "TS_ARGMAX": window(lambda v, ages, d: ages[np.argmax(v)]),
    "TS_RANK": window(lambda v, ages, d: average_rank(v, v[0]), today=True),
    "TS_MEDIAN": window(lambda v, ages, d: float(np.median(v))),
    "TS_QUANTILE": window(lambda v, ages, d, q: interpolated_quantile(v, q)),
    "CORREL": pair_window(correlation),
    "TS_COVARIANCE": pair_window(covariance),
    "DECAY_LINEAR": window(lambda v, ages, d: weighted_mean(v, d - ages)),
    "EMA": window(lambda v, ages, d: weighted_mean(v, (1 - 2 / (d + 1)) ** ages)),
    "RANK": per_date(ranks),
    "Z_SCORE": per_date(zscores),
    "DEMEAN": per_date(demeaned),
    "SCALE": per_date(scaled),
    "WINSORIZE": per_date(winsorized),
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
    **dict.fromkeys(("TS_MEDIAN", "DECAY_LINEAR", "EMA"), _WINDOW),
    **dict.fromkeys(("TS_VAR", "TS_STDDEV", "TS_ZSCORE"), ((2, None), (5, None), (6, 1), (45, 3))),
    "TS_SKEW": ((3, None), (8, None), (8, 2), (45, 5)),
    "TS_KURT": ((4, None), (8, None), (8, 2), (45, 5)),
    "TS_QUANTILE": ((5, 0.3, None), (6, 0.0, 2), (6, 1.0, 2), (45, 0.77, 3)),
    **dict.fromkeys(("CORREL", "TS_COVARIANCE"), _PAIR),
    "SCALE": ((1.0,), (250.0,)),
    "WINSORIZE": ((4.0,), (1.0,), (0.0,)),
}


def leaf(node: Node, panel: Panel) -> Array:
    if node.op == CONST:
        return np.full(panel.shape, node.value)
    if node.op == GROUP:
        return panel.group(node.name).codes
    days = adv_window(node.name)
    if days is not None and node.name not in panel:
        return ORACLE["TS_MEAN"](finite(panel["CLOSE"] * panel["VOLUME"]), days, None)
    return panel[node.name]


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
            operands[0] = np.where(panel.universe, operands[0], NAN)
        done[n] = ORACLE[n.op](*operands, *n.params)
    return done[node]
