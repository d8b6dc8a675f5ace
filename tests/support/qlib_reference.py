"""qlib's expressions computed on one stock's pandas series, as qlib's own code does: an independent second opinion.

A text is evaluated as Python over these functions, `$close` being the stock's series from its first to its last day on
the market's calendar. Two things are ours: an infinite value is missing, and IdxMax passes over a missing day (NumPy's
argmax, which qlib calls, answers with the missing day itself).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

FLAT = 2e-5


def _apply(x: pd.Series, d: int, function: Callable[[np.ndarray], float]) -> pd.Series:
    return x.rolling(d, min_periods=1).apply(function, raw=True)


def _present(v: np.ndarray) -> np.ndarray:
    return v[~np.isnan(v)]


def _spread(v: np.ndarray) -> float:
    v = _present(v)
    return float(np.std(v, ddof=1)) if len(v) > 1 else np.nan


def _line(v: np.ndarray) -> tuple[float, float, float]:
    """Slope, today's residual and R squared on days 1, 2, ..., the last one being today."""
    days = np.arange(len(v), dtype=float)
    known = ~np.isnan(v)
    if known.sum() < 2:
        return np.nan, np.nan, np.nan
    t, y = days[known], v[known]
    t_mean, y_mean = t.mean(), y.mean()
    slope = ((t - t_mean) * (y - y_mean)).sum() / ((t - t_mean) ** 2).sum()
    residual = v[-1] - (y_mean + slope * (days[-1] - t_mean))
    total = ((y - y_mean) ** 2).sum()
    fit = (slope**2) * ((t - t_mean) ** 2).sum() / total if total > 0 else np.nan
    return slope, residual, fit


def _pairs(x: pd.Series, y: pd.Series, d: int, statistic: Callable[[np.ndarray, np.ndarray], float]) -> pd.Series:
    out = np.full(len(x), np.nan)
    a, b = x.to_numpy(), y.to_numpy()
    for t in range(len(x)):
        u, v = a[max(0, t - d + 1) : t + 1], b[max(0, t - d + 1) : t + 1]
        both = ~(np.isnan(u) | np.isnan(v))
        if both.sum() > 1:
            out[t] = statistic(u[both], v[both])
    return pd.Series(out, x.index)


def _correlation(u: np.ndarray, v: np.ndarray) -> float:
    u, v = u - u.mean(), v - v.mean()
    bottom = np.sqrt((u @ u) * (v @ v))
    return float(u @ v / bottom) if bottom > 0 else np.nan


def _weighted(v: np.ndarray) -> float:
    w = np.arange(len(v)) + 1
    return float(np.nanmean(w / w.sum() * v))


def _rank(v: np.ndarray) -> float:
    if np.isnan(v[-1]):
        return np.nan
    v = _present(v)
    return float(((v < v[-1]).sum() + ((v == v[-1]).sum() + 1) / 2) / len(v))


def _mean_distance(v: np.ndarray) -> float:
    v = _present(v)
    return float(np.abs(v - v.mean()).mean())


def _corr(x: pd.Series, y: pd.Series, d: int) -> pd.Series:
    value = _pairs(x, y, d, _correlation)
    flat = (_apply(x, d, _spread) <= FLAT) | (_apply(y, d, _spread) <= FLAT)
    return value.mask(flat)


FUNCTIONS: dict[str, Callable[..., pd.Series]] = {
    "Ref": lambda x, d: x.shift(d),
    "Delta": lambda x, d: x - x.shift(d),
    "Mean": lambda x, d: x.astype(float).rolling(d, min_periods=1).mean(),
    "Sum": lambda x, d: x.rolling(d, min_periods=1).sum(),
    "Std": lambda x, d: _apply(x, d, _spread),
    "Var": lambda x, d: _apply(x, d, _spread) ** 2,
    "Max": lambda x, d: x.rolling(d, min_periods=1).max(),
    "Min": lambda x, d: x.rolling(d, min_periods=1).min(),
    "Med": lambda x, d: x.rolling(d, min_periods=1).median(),
    "Quantile": lambda x, d, q: x.rolling(d, min_periods=1).quantile(q),
    "Mad": lambda x, d: _apply(x, d, _mean_distance),
    "Rank": lambda x, d: _apply(x, d, _rank),
    "Count": lambda x, d: x.notna().astype(float).rolling(d, min_periods=1).sum(),
    "IdxMax": lambda x, d: _apply(x, d, lambda v: np.nanargmax(v) + 1),
    "IdxMin": lambda x, d: _apply(x, d, lambda v: np.nanargmin(v) + 1),
    "Slope": lambda x, d: _apply(x, d, lambda v: _line(v)[0]),
    "Resi": lambda x, d: _apply(x, d, lambda v: _line(v)[1]),
    "Rsquare": lambda x, d: _apply(x, d, lambda v: _line(v)[2]).mask(_apply(x, d, _spread) <= FLAT),
    "WMA": lambda x, d: _apply(x, d, _weighted),
    "EMA": lambda x, d: x.ewm(span=d, min_periods=1).mean(),
    "Corr": _corr,
    "Cov": lambda x, y, d: _pairs(x, y, d, lambda u, v: float((u - u.mean()) @ (v - v.mean()) / (len(u) - 1))),
    "Abs": np.abs,
    "Sign": np.sign,
    "Log": np.log,
    "Power": np.power,
    "Add": lambda x, y: x + y,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "Div": lambda x, y: x / y,
    "Greater": np.maximum,
    "Less": np.minimum,
    "Gt": lambda x, y: (x > y).astype(float),
    "Ge": lambda x, y: (x >= y).astype(float),
    "Lt": lambda x, y: (x < y).astype(float),
    "Le": lambda x, y: (x <= y).astype(float),
    "Eq": lambda x, y: (x == y).astype(float),
    "Ne": lambda x, y: (x != y).astype(float),
    "And": lambda x, y: ((x != 0) & (y != 0)).astype(float),
    "Or": lambda x, y: ((x != 0) | (y != 0)).astype(float),
    "Not": lambda x: (x == 0).astype(float),
    "If": lambda c, x, y: pd.Series(np.where(c != 0, x, y), c.index),
    "Skew": lambda x, d: x.rolling(d, min_periods=1).skew(),
    "Kurt": lambda x, d: x.rolling(d, min_periods=1).kurt(),
}


def reference(text: str, fields: dict[str, pd.Series]) -> np.ndarray:
    """Values of a qlib expression for one stock."""
    code = re.sub(r"\$(\w+)", r"field_\1", text)
    names = {f"field_{name}": series for name, series in fields.items()}
    with np.errstate(all="ignore"):
        values = np.asarray(eval(code, {"__builtins__": {}}, {**FUNCTIONS, **names}), dtype=float)
    return np.where(np.isfinite(values), values, np.nan)
