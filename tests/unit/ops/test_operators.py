"""One suite over every operator and every back end: oracle = Polars = numba, on awkward panels.

A new operator needs one definition in `oracle.ORACLE` (parameters in `oracle.CASES`) to be tested here. What rounding
may leave of a result follows from the conditioning that it declares.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from fama_fast import ops
from fama_fast.backends.polars_expr import to_expr
from fama_fast.ir import Node, field, group, make
from fama_fast.ops.conditioning import Conditioning
from fama_fast.panel import GroupField, Panel
from fama_fast.passes import lower
from fama_fast.plan.universe import mask_members
from fama_fast.types import Kind
from tests.support.oracle import CASES, OPERANDS, ORACLE, Array, evaluate_oracle

SPECS = {spec.name: spec for spec in ops.specs()}
SECTOR = ("energy", "tech", "lone")


# --- back ends ------------------------------------------------------------------------------------


def long_frame(panel: Panel) -> pl.DataFrame:
    """The panel as a shuffled long frame, with null, NaN and infinity all standing for missing."""
    t, n = panel.shape
    columns: dict[str, Any] = {
        "date": np.repeat(panel.dates, n),
        "symbol": np.tile(panel.symbols.astype(str), t),
    }
    for name in panel.supplied_fields:
        values = panel[name].ravel().copy()
        holes = np.flatnonzero(np.isnan(values))
        values[holes[::3]] = np.inf
        values[holes[1::3]] = -np.inf
        columns[name.lower()] = values
    frame = pl.DataFrame(columns, nan_to_null=False)
    for name in panel.groups:
        g = panel.group(name)
        labels = [None if math.isnan(c) else g.labels[int(c)] for c in g.codes.ravel()]
        frame = frame.with_columns(pl.Series(name.lower(), labels, dtype=pl.String))
    if panel.universe is not None:
        frame = frame.with_columns(pl.Series("in_universe", panel.universe.ravel()))
    return frame.with_row_index("row").sample(fraction=1.0, shuffle=True, seed=3)


def on_polars(node: Node, panel: Panel) -> Array:
    expr = to_expr(node, universe=None if panel.universe is None else "in_universe", allow_single=1 in panel.shape)
    out = long_frame(panel).select("row", expr.alias("out")).sort("row")["out"]
    assert out.dtype == pl.Float64
    assert not out.drop_nulls().is_nan().any(), "missing must be null, never NaN"
    return out.to_numpy().reshape(panel.shape)


def on_numba(node: Node, panel: Panel) -> Array:
    try:
        from fama_fast.backends.numba_vm.run import execute
        from fama_fast.plan import make_plan
    except ImportError as error:
        pytest.skip(f"the numba engine is absent: {error}")
    roots: tuple[Node, ...] = (lower(node, frozenset(panel.supplied_fields)),)
    return execute(make_plan(roots if panel.universe is None else mask_members(roots)), panel)[0]


BACKENDS: dict[str, Callable[[Node, Panel], Array]] = {"polars": on_polars, "numba": on_numba}


# --- panels ---------------------------------------------------------------------------------------


def make_panel(x: Array, y: Array, *, universe: Any = None, seed: int = 0) -> Panel:
    rng = np.random.default_rng(seed)
    codes = rng.choice([0.0, 1.0, np.nan], size=x.shape, p=[0.45, 0.45, 0.1])
    codes[:, 0] = 2.0  # a group of one
    dates = np.datetime64("2021-01-04") + np.arange(len(x))
    symbols = [f"S{i}" for i in range(x.shape[1])]
    groups = {"SECTOR": GroupField(codes, SECTOR)}
    condition = np.where(rng.random(x.shape) < 0.1, np.nan, rng.integers(0, 2, x.shape))
    return Panel(dates, symbols, {"X": x, "Y": y, "C": condition}, universe=universe, groups=groups)


def holes(x: Array, rng: np.random.Generator, share: float = 0.2) -> Array:
    return np.where(rng.random(x.shape) < share, np.nan, x)


@functools.cache
def panel_of(name: str) -> Panel:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 40, 7))
    if name == "plain":
        return make_panel(x, y + 0.5 * x)
    if name == "missing":
        x, y = holes(x, rng), holes(y, rng)
        x[:, 3] = np.nan
        x[20], y[30] = np.nan, np.nan
        x[5, 1], x[6, 2], y[7, 1] = np.inf, -np.inf, np.inf
        return make_panel(x, y)
    if name == "ties":  # ties, constant stretches, constant dates, zeros of both signs
        x, y = np.round(holes(x, rng, 0.1)), np.round(y)
        x[5:25, 2], y[10:30, 2], x[30], x[35] = 3.0, 1e12, 0.1, 0.0
        x[15:30, 4] = -0.0
        return make_panel(x, y)
    if name == "offset":  # small moves on a large level
        return make_panel(x + 1e12, holes(y, rng) * 1e3 - 1e12)
    if name == "jumps":  # to 1e10 and back
        x[15, :4], x[28, 2:], y[16] = 1e10, -1e10, 1e10
        return make_panel(x, y)
    if name == "universe":
        return make_panel(holes(x, rng, 0.1), y, universe=rng.random(x.shape) < 0.7)
    if name == "one_row":
        return make_panel(x[:1], y[:1])
    if name == "one_column":
        return make_panel(x[:, :1], y[:, :1])
    assert name == "one_cell"
    return make_panel(x[:1, :1], y[:1, :1])


PANELS = ("plain", "missing", "ties", "offset", "jumps", "universe", "one_row", "one_column", "one_cell")


# --- comparison -----------------------------------------------------------------------------------


def node_of(name: str, params: tuple[Any, ...]) -> Node:
    """The operator on the fields X and Y (and on C and SECTOR, where it takes a condition or a group)."""
    names = {"condition": "C", "members": "C", "y": "Y", "z": "C", "limit": "Y", "start": "C"}
    fields = [group("SECTOR") if p.kind is Kind.GROUP else field(names.get(p.name, "X")) for p in SPECS[name].operands]
    return make(name, OPERANDS.get(name, fields), params)


def scale_of(node: Node, panel: Panel, expected: Array) -> Array:
    """The size of the numbers added up in each cell, for what rounding may leave of a cancelling sum."""
    spec = SPECS[node.op]
    sort = spec.own_conditioning(node.params)
    operands = [evaluate_oracle(a, panel) for a in node.args]
    if sort is Conditioning.RESULT:
        return np.zeros(panel.shape)
    if sort is Conditioning.ONE:
        return np.ones(panel.shape)
    if sort is Conditioning.TERMS:
        return ORACLE[node.op](np.abs(operands[0]), *operands[1:], *node.params)
    if sort in (Conditioning.LARGEST_RESULT, Conditioning.LARGEST_OPERAND):
        of = np.abs(expected if sort is Conditioning.LARGEST_RESULT else operands[0])
        largest = np.max(np.where(np.isnan(of), 0.0, of), axis=1, keepdims=True)
        return np.broadcast_to(largest, panel.shape)
    return scale_of_window(sort, operands, spec.named(node.params))


def scale_of_window(sort: Conditioning, operands: list[Array], params: Mapping[str, Any]) -> Array:
    """The same from statistics of the window, over the days that have all operands."""
    window = params["d"], params["min_periods"]
    x, *others = operands
    # Without another operand the line is one on time.
    days = np.broadcast_to(np.arange(len(x), dtype=float)[:, None], x.shape)
    y = ORACLE["DELAY"](others[0], params["lag"]) if params.get("lag") else others[0] if others else days
    x, y = (np.where(np.isnan(x + y), np.nan, v) for v in (x, y))

    def spread(v: Array) -> Array:
        return ORACLE["TS_STDDEV"](v, *window)

    def level(v: Array) -> Array:
        return ORACLE["TS_MEAN"](np.abs(v), *window)

    with np.errstate(divide="ignore", invalid="ignore"):
        match sort:
            case Conditioning.LEVEL:
                return level(x)
            case Conditioning.RANGE:
                return ORACLE["TS_MAX"](x, *window) - ORACLE["TS_MIN"](x, *window)
            case Conditioning.SPREAD:
                return spread(x)
            case Conditioning.SPREADS:
                return spread(x) * spread(y)
            case Conditioning.VARIANCE:
                return spread(x) ** 2
            case Conditioning.SUM_OF_SQUARES:
                return window[0] * spread(x) ** 2
            case Conditioning.LEVEL_IN_SPREADS:
                return level(x) / spread(x)
            case Conditioning.SLOPE:
                return spread(x) / spread(y)
        assert sort is Conditioning.INTERCEPT
        return level(x) + spread(x) / spread(y) * (level(y) if others else window[0])


def assert_equal(actual: Array, expected: Array, scale: Array | float = 0.0) -> None:
    assert actual.shape == expected.shape
    wrong = np.isnan(actual) != np.isnan(expected)
    gap = np.abs(np.where(wrong, 0.0, actual) - np.where(wrong, 0.0, expected))
    allowed = 1e-9 * np.abs(expected) + 1e-9 * np.nan_to_num(np.broadcast_to(scale, expected.shape))
    wrong |= np.nan_to_num(gap) > np.nan_to_num(allowed)
    if wrong.any():
        t, n = np.argwhere(wrong)[0]
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} cells differ; the first at row {t}, column {n}: "
            f"{actual[t, n]!r} and not {expected[t, n]!r}"
        )


@functools.cache
def expected_values(name: str, params: tuple[Any, ...], panel_name: str) -> Array:
    return evaluate_oracle(node_of(name, params), panel_of(panel_name))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPECS)
def test_equals_the_oracle(name: str, backend: str) -> None:
    for panel_name in PANELS:
        panel = panel_of(panel_name)
        for params in CASES[name]:
            node = node_of(name, params)
            expected = expected_values(name, params, panel_name)
            try:
                assert_equal(BACKENDS[backend](node, panel), expected, scale_of(node, panel, expected))
            except AssertionError as error:
                raise AssertionError(f"{node!r} on the panel {panel_name!r}: {error}") from None
