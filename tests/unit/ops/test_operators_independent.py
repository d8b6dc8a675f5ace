"""Operators against pandas, bottleneck and SciPy: definitions that nobody wrote for this package.

The oracle of `test_operators.py` says what each operator means here; this says that it is what the field computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import bottleneck
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import fama_fast as ff
from fama_fast.panel import GroupField, Panel

Array = np.ndarray[Any, np.dtype[np.float64]]
T, N, D = 36, 5, 10
GROUPS = np.array([0, 0, 0, 1, np.nan])
SERIES = ("plain", "missing", "infinite", "constant", "ties", "offset")


@functools.cache
def panel_of(name: str) -> Panel:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(T, N))
    y = 0.4 * x + rng.normal(size=(T, N))
    if name == "missing":
        x[rng.random(x.shape) < 0.08] = y[rng.random(x.shape) < 0.08] = np.nan
        x[:, 3], x[25] = np.nan, np.nan
    if name == "infinite":
        x[rng.random(x.shape) < 0.03], y[rng.random(x.shape) < 0.03] = np.inf, -np.inf
    if name == "constant":
        x[5:20, ::3], y[10:25, ::2], x[30] = 7.3, -1e-3, 2.0
    if name == "ties":
        x, y = np.round(2 * x), np.round(2 * y)
    if name == "offset":  # steps that are exact at that level, so that what is compared is the method
        x, y = 1e12 + np.round(x * 64) / 64, np.round(y * 64) / 64 - 1e12
    groups = {"SECTOR": GroupField(np.broadcast_to(GROUPS, x.shape).copy(), ("a", "b"))}
    dates = np.datetime64("2020-01-01") + np.arange(T)
    return Panel(dates, [f"S{i}" for i in range(N)], {"X": x, "Y": y}, groups=groups)


def known(values: Any) -> Array:
    out: Array = np.array(values, dtype=np.float64)
    out[~np.isfinite(out)] = np.nan
    return out


def windows(function: Callable[..., float], least: int) -> Callable[[Array, Array, int], Array]:
    """`function` of the complete pairs of each window, each counted from its first: levels cost no digits so."""

    def rolling(x: Array, y: Array, min_periods: int) -> Array:
        out = np.full(x.shape, np.nan)
        for t, n in np.ndindex(x.shape):
            a, b = x[max(0, t - D + 1) : t + 1, n], y[max(0, t - D + 1) : t + 1, n]
            both = ~np.isnan(a + b)
            if both.sum() >= max(min_periods, least):
                a, b = a[both], b[both]
                out[t, n] = function(a - a[0], b - b[0])
        return out

    return rolling


def of_x(function: Callable[[Array], float], least: int) -> Callable[[Array, Array, int], Array]:
    rolling = windows(lambda a, _: function(a), least)
    return lambda x, _, min_periods: rolling(x, x, min_periods)


def varied(*series: Array) -> bool:
    return all(s.max() > s.min() for s in series)


def moved(name: str, **options: Any) -> Callable[[Array, Array, int], Array]:
    move = getattr(bottleneck, name)
    return lambda x, _, min_periods: np.asarray(move(x, D, min_count=min_periods, axis=0, **options))


def rolled(method: str, *arguments: Any, **options: Any) -> Callable[[Array, Array, int], Array]:
    def rolling(x: Array, _: Array, min_periods: int) -> Array:
        window = pd.DataFrame(x).rolling(D, min_periods=min_periods)
        return np.asarray(getattr(window, method)(*arguments, **options))

    return rolling


def fitted(attribute: str, *, square: bool = False) -> Callable[[Array, Array, int], Array]:
    def line(a: Array, b: Array) -> float:
        if not varied(a) or (square and not varied(b)):
            return np.nan
        value = float(getattr(stats.linregress(a, b), attribute))
        return value**2 if square else value

    return windows(line, 2)


WINDOWED: dict[str, Callable[[Array, Array, int], Array]] = {
    "TS_STDDEV(X, {d})": of_x(lambda a: float(np.std(a, ddof=1)), 2),
    "TS_VAR(X, {d})": of_x(lambda a: float(np.var(a, ddof=1)), 2),
    "TS_SKEW(X, {d})": of_x(lambda a: float(stats.skew(a, bias=False)) if varied(a) else np.nan, 3),
    "TS_KURT(X, {d})": of_x(lambda a: float(stats.kurtosis(a, bias=False)) if varied(a) else np.nan, 4),
    "TS_MAD(X, {d})": of_x(lambda a: float(np.abs(a - a.mean()).mean()), 1),
    "TS_MEAN(X, {d})": rolled("apply", np.nanmean, raw=True),
    "TS_SUM(X, {d})": rolled("apply", np.nansum, raw=True),
    "TS_MIN(X, {d})": moved("move_min"),
    "TS_MAX(X, {d})": moved("move_max"),
    "TS_ARGMIN(X, {d})": moved("move_argmin"),
    "TS_ARGMAX(X, {d})": moved("move_argmax"),
    "TS_MEDIAN(X, {d})": moved("move_median"),
    "TS_RANK(X, {d})": rolled("rank", pct=True),
    "TS_QUANTILE(X, {d}, 0.3)": rolled("quantile", 0.3),
    "CORREL(X, Y, {d})": windows(lambda a, b: float(np.corrcoef(a, b)[0, 1]) if varied(a, b) else np.nan, 2),
    "TS_COVARIANCE(X, Y, {d})": windows(lambda a, b: float(np.cov(a, b)[0, 1]), 2),
    "TS_RANK_CORR(X, Y, {d})": windows(
        lambda a, b: float(stats.spearmanr(a, b).statistic) if varied(a, b) else np.nan, 2
    ),
    "TS_REGRESSION(Y, X, {d}, 0, 2)": fitted("slope"),
    "TS_REGRESSION(Y, X, {d}, 0, 6)": fitted("rvalue", square=True),
}


def by_date(method: str, **options: Any) -> Callable[[Array, Array], Array]:
    return lambda x, _: np.asarray(getattr(pd.DataFrame(x), method)(axis=1, **options))


def by_group(method: str, **options: Any) -> Callable[[Array, Array], Array]:
    def grouped(x: Array, _: Array) -> Array:
        rows = [getattr(pd.Series(row).groupby(GROUPS), method)(**options).reindex(range(N)) for row in x]
        return np.array(rows)

    return grouped


def centred(x: Array) -> Array:
    first = np.array([row[~np.isnan(row)][:1].sum() for row in x])[:, None]
    shifted: Array = x - first
    return shifted - np.nanmean(shifted, axis=1, keepdims=True)


CELLS: dict[str, Callable[[Array, Array], Any]] = {
    "DELAY(X, 3)": lambda x, _: pd.DataFrame(x).shift(3),
    "DELTA(X, 3)": lambda x, _: pd.DataFrame(x).diff(3),
    "BACKFILL(X, 4)": lambda x, _: pd.DataFrame(x).ffill(limit=3),
    "RANK(X)": by_date("rank", pct=True),
    "DEMEAN(X)": lambda x, _: centred(x),
    "SCALE(X)": lambda x, _: x / np.nansum(np.abs(x), axis=1, keepdims=True),
    "GROUP_RANK(X, SECTOR)": by_group("rank", pct=True),
    "GROUP_MEAN(X, SECTOR)": by_group("transform", func="mean"),
    "GROUP_MEDIAN(X, SECTOR)": by_group("transform", func="median"),
    "X / Y": lambda x, y: x / y,
    "MOD(X, Y)": np.mod,
    "SIGNED_POWER(X, 0.5)": lambda x, _: np.sign(x) * np.abs(x) ** 0.5,
    "TANH(X)": lambda x, _: np.tanh(x),
    "SIGMOID(X)": lambda x, _: special.expit(x),
    "LOG(X)": lambda x, _: np.log(x),
    "EXP(X)": lambda x, _: np.exp(x),
}


def agree(text: str, name: str, expected: Any) -> None:
    panel = panel_of(name)
    got, wanted = ff.compile(text).evaluate(panel), known(expected)
    size = np.nanmax(np.abs(wanted), initial=0.0)
    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-12 * size, err_msg=f"{text} on {name}")


@pytest.mark.parametrize("text", WINDOWED)
@pytest.mark.parametrize("name", SERIES)
def test_windows(text: str, name: str) -> None:
    x, y = (known(panel_of(name)[f]) for f in ("X", "Y"))
    for least in (D, 4):
        relaxed = "" if least == D else f", min_periods={least}"
        agree(f"{text.format(d=D)[:-1]}{relaxed})", name, WINDOWED[text](x, y, least))


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.parametrize("text", CELLS)
@pytest.mark.parametrize("name", SERIES)
def test_cells_dates_and_groups(text: str, name: str) -> None:
    x, y = (known(panel_of(name)[f]) for f in ("X", "Y"))
    expected = known(CELLS[text](x, y))
    if text.startswith("GROUP"):
        expected[np.isnan(x)] = np.nan  # pandas gives a group's value to members that have none themselves
    agree(text, name, expected)
