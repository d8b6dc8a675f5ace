"""What the registry says of each operator, proved on values: lookback, algebra, folding; and its checks."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fama_fast import ops
from fama_fast.errors import ArgumentError, UnknownName, WindowError
from fama_fast.ir import GROUP, Node, const, field, make, postorder
from fama_fast.lang import parse
from fama_fast.ops import MIN_PERIODS, Algebra, OpSpec
from fama_fast.ops.spec import number, series, window
from fama_fast.panel import Panel
from fama_fast.types import Family, Kind
from tests.support.oracle import CASES, ORACLE, Array, finite
from tests.unit.ops.test_operators import BACKENDS, SPECS, holes, make_panel, node_of, panel_of

WITH_LOOKBACK = [name for name, spec in SPECS.items() if spec.lookback is not None]


def with_fields(panel: Panel, **fields: Array) -> Panel:
    return panel.replace(fields=fields)


def same(a: Array, b: Array) -> bool:
    """Bit for bit, but for the sign of zero."""
    return bool(np.array_equal(a, b, equal_nan=True))


# --- the registry itself ----------------------------------------------------------------------------


def test_every_operator_has_an_oracle_and_cases() -> None:
    assert set(SPECS) == set(ORACLE) == set(CASES)
    assert len(SPECS) >= 35


@pytest.mark.parametrize("name", SPECS)
def test_the_example_uses_the_operator(name: str) -> None:
    node = parse(SPECS[name].example, groups=["SECTOR"])
    assert any(n.op == name for n in postorder(node))


def test_names_and_aliases_are_unique_and_found_in_any_case() -> None:
    every = [n.upper() for spec in SPECS.values() for n in (spec.name, *spec.aliases)]
    assert len(every) == len(set(every))
    assert ops.get("ts_corr") is ops.get("Correlation") is ops.get("CORREL")
    for alias in ("stddev", "ts_argmax", "decay_linear", "IndNeutralize", "Mean", "Ref", "SignedPower"):
        assert ops.find(alias) is not None, alias


def test_precedence_agrees_with_the_language() -> None:
    loosest_first = ["IF_ELSE", "OR", "AND", "NOT", "LT", "ADD", "MUL", "NEG", "POWER"]
    levels = [SPECS[name].precedence for name in loosest_first]
    assert levels == sorted(set(levels))
    for alike in (("LT", "LE", "GT", "GE", "EQ", "NE"), ("ADD", "SUB"), ("MUL", "DIV")):
        assert len({SPECS[name].precedence for name in alike}) == 1


def spec_with(**changes: Any) -> OpSpec:
    entry: dict[str, Any] = {
        "name": "TRIAL",
        "family": Family.ELEMENT,
        "parameters": (series(),),
        "doc": "A trial.",
        "example": "TRIAL(CLOSE)",
        "source": "here",
        "kernel": "elementwise.trial",
        "polars": lambda ctx, x: x,
    }
    return OpSpec(**{**entry, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Trial"}, "upper case"),
        ({"doc": " "}, "needs a doc"),
        ({"source": ""}, "needs a source"),
        ({"example": "RANK(CLOSE)"}, "does not use it"),
        ({"parameters": (number("a"),)}, "no operand"),
        ({"parameters": (number("a"), series())}, "before static"),
        ({"parameters": (series(), series())}, "share a name"),
        ({"kernel": None}, "a kernel or a lowering"),
        ({"lower": lambda x: x}, "a kernel or a lowering"),
        ({"polars": None}, "needs a Polars lowering"),
        ({"family": Family.TIME_SERIES}, "declares its lookback"),
        ({"algebra": Algebra(commutative=True)}, "two operands"),
        ({"parameters": (series(), MIN_PERIODS, window())}, "min_periods comes last"),
        ({"parameters": (series(), window(), MIN_PERIODS), "no_min_periods": "none"}, "says why it does not"),
        ({"ordered": (("x", "a"),), "parameters": (series(), number("a"))}, "only static parameters"),
    ],
)
def test_a_wrong_definition_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_with(**changes)


@pytest.mark.parametrize("name", SPECS)
def test_a_window_can_be_relaxed_or_the_entry_says_why_not(name: str) -> None:
    spec = SPECS[name]
    has_window = any(p.kind is Kind.WINDOW and p is not MIN_PERIODS for p in spec.statics)
    assert has_window == bool(spec.windowed or spec.no_min_periods)
    assert spec.windowed != bool(spec.no_min_periods) or not has_window


@pytest.mark.parametrize("name", [n for n, s in SPECS.items() if s.ordered])
def test_parameters_that_have_an_order_are_refused_the_wrong_way_round(name: str) -> None:
    for params in CASES[name]:
        node = node_of(name, params)
        named = SPECS[name].named(params)
        for low, high in SPECS[name].ordered:
            least = next(p.minimum for p in SPECS[name].statics if p.name == high)
            wrong = {**named, low: named[high], high: named[low]}
            if named[low] == named[high] or (least is not None and wrong[high] < least):
                continue
            with pytest.raises(ArgumentError, match=f"{low} .* is larger than"):
                ops.build(name, *node.args, **wrong)


def test_a_taken_name_is_refused() -> None:
    for taken in ({"name": "RANK", "example": "RANK(x)"}, {"aliases": ("stddev",)}, {"aliases": ("field",)}):
        with pytest.raises(ValueError, match="is taken"):
            ops.register(spec_with(**taken))
    assert ops.find("TRIAL") is None


def test_building_checks_arguments() -> None:
    x = field("X")
    assert ops.build("ts_mean", x, 5, min_periods=3) is make("TS_MEAN", [x], [5, 3])
    assert ops.build("MIN", x, 2) is make("MIN", [x, const(2)])
    wrong: list[tuple[type[Exception], Callable[[], Node]]] = [
        (UnknownName, lambda: ops.build("TS_MAEN", x, 5)),
        (ArgumentError, lambda: ops.build("TS_MEAN", x)),
        (ArgumentError, lambda: ops.build("TS_MEAN", x, 5, 3)),
        (ArgumentError, lambda: ops.build("TS_MEAN", x, 5, d=5)),
        (ArgumentError, lambda: ops.build("TS_MEAN", x, 5, periods=5)),
        (ArgumentError, lambda: ops.build("TS_QUANTILE", x, 5, 1.5)),
        (WindowError, lambda: ops.build("TS_MEAN", x, 0)),
        (WindowError, lambda: ops.build("TS_MEAN", x, 2.5)),
        (WindowError, lambda: ops.build("TS_MEAN", x, math.nan)),
        (WindowError, lambda: ops.build("TS_MEAN", x, 10_001)),
        (WindowError, lambda: ops.build("DELAY", x, -1)),
        (WindowError, lambda: ops.build("CORREL", x, x, 1)),
        (WindowError, lambda: ops.build("TS_MEAN", x, 5, min_periods=6)),
    ]
    for error, attempt in wrong:
        with pytest.raises(error):
            attempt()


# --- constants --------------------------------------------------------------------------------------

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.0, 1 / 3, -8.0, 1e-9, 1e10, -1e10, 710.0, -750.0, math.nan)


@pytest.mark.parametrize("name", [n for n, s in SPECS.items() if s.evaluate is not None])
def test_folding_a_constant_equals_the_oracle_and_the_back_ends(name: str) -> None:
    spec = SPECS[name]
    assert spec.evaluate is not None
    cells = list(itertools.product(SPECIAL, repeat=len(spec.operands)))
    operands = [np.array(column)[:, None] for column in zip(*cells, strict=True)]
    node = make(name, [field(f"F{i}") for i in range(len(operands))], CASES[name][0])
    dates = np.datetime64("2021-01-04") + np.arange(len(cells))
    panel = Panel(dates, ["S"], {f"F{i}": o for i, o in enumerate(operands)})
    folded = finite([[spec.evaluate(*cell, *CASES[name][0])] for cell in cells])
    np.testing.assert_allclose(folded, ORACLE[name](*operands, *CASES[name][0]), rtol=1e-14, atol=0)
    for backend in BACKENDS.values():
        np.testing.assert_allclose(folded, backend(node, panel), rtol=1e-14, atol=0)


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPECS)
def test_the_future_does_not_matter(name: str, backend: str) -> None:
    panel, cut = panel_of("missing"), 23
    other = np.random.default_rng(1).normal(size=(2, *panel.shape)) * 1e6
    x, y = panel["X"].copy(), panel["Y"].copy()
    x[cut:], y[cut:] = other[0, cut:], np.nan
    changed = with_fields(panel, X=x, Y=y)
    for params in CASES[name]:
        node = node_of(name, params)
        before = BACKENDS[backend](node, panel)[:cut]
        assert same(before, BACKENDS[backend](node, changed)[:cut]), node


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", WITH_LOOKBACK)
def test_the_lookback_is_enough(name: str, backend: str) -> None:
    panel = panel_of("missing")
    for params in CASES[name]:
        node = node_of(name, params)
        rows = SPECS[name].own_lookback(params) + 1
        full = BACKENDS[backend](node, panel)
        for end in (len(full), 27):
            part = BACKENDS[backend](node, panel.slice_dates(max(0, end - rows), end))
            np.testing.assert_allclose(part[-1], full[end - 1], rtol=1e-12, atol=1e-13)


def disturbances(rows: int) -> Iterator[tuple[Array, Array]]:
    """Pairs of inputs that differ in their oldest row only."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, 5))
    sparse = x.copy()
    sparse[1:] = np.nan
    for base in (x, sparse, np.ones((rows, 5))):
        for value in (1e3, -1e3, np.nan):
            other = base.copy()
            other[0] = value
            yield base, other


@pytest.mark.parametrize("name", WITH_LOOKBACK)
def test_the_lookback_is_not_too_long(name: str) -> None:
    for params in CASES[name]:
        node, rows = node_of(name, params), SPECS[name].own_lookback(params) + 1
        y = np.abs(np.random.default_rng(3).normal(size=(rows, 5)))

        def last(x: Array, node: Node = node, y: Array = y) -> Array:
            condition = np.where(np.isnan(x), np.nan, x > 0.0)
            return BACKENDS["polars"](node, with_fields(make_panel(x, y), C=condition))[-1]

        assert any(not same(last(base), last(other)) for base, other in disturbances(rows)), (
            f"{node} does not depend on the row {rows - 1} days back"
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [n for n, s in SPECS.items() if s.windowed])
def test_min_periods_of_the_whole_window_is_the_default(name: str, backend: str) -> None:
    panel = panel_of("missing")
    for params in CASES[name]:
        d = SPECS[name].named(params)["d"]
        default, explicit = (node_of(name, (*params[:-1], m)) for m in (None, d))
        assert same(BACKENDS[backend](default, panel), BACKENDS[backend](explicit, panel))


# --- algebra ----------------------------------------------------------------------------------------


def having(law: str) -> list[str]:
    return [name for name, spec in SPECS.items() if getattr(spec.algebra, law)]


@functools.cache
def law_panels() -> list[Panel]:
    rng = np.random.default_rng(8)
    wide = holes(rng.normal(size=(40, 9)) * 10.0 ** rng.integers(-9, 9, size=(40, 9)), rng)
    return [*map(panel_of, ("missing", "ties", "offset", "jumps")), make_panel(wide, wide[::-1])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("commutative"))
def test_commutative(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        node = node_of(name, params)
        turned = make(name, node.args[::-1], params)
        assert same(BACKENDS[backend](node, panel), BACKENDS[backend](turned, panel))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted({*having("odd"), *having("even")}))
def test_odd_and_even(name: str, backend: str) -> None:
    sign = -1.0 if SPECS[name].algebra.odd else 1.0
    for panel, params in itertools.product(law_panels(), CASES[name]):
        node = node_of(name, params)
        negated = BACKENDS[backend](node, with_fields(panel, X=-panel["X"]))
        assert same(negated, sign * BACKENDS[backend](node, panel)), node


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("idempotent"))
def test_idempotent(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        once = node_of(name, params)
        twice = make(name, (once, *once.args[1:]), params)
        assert same(BACKENDS[backend](twice, panel), BACKENDS[backend](once, panel)), once


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("increasing"))
def test_increasing(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        node = node_of(name, params)
        assert all(a.op != GROUP for a in node.args)
        for x, out in zip(panel["X"], BACKENDS[backend](node, panel), strict=True):
            order = np.argsort(x[~np.isnan(x)], kind="stable")
            steps = np.diff(out[~np.isnan(x)][order])
            assert not (steps[~np.isnan(steps)] < 0).any(), node


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("strictly_increasing"))
def test_strictly_increasing(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        node = node_of(name, params)
        for x, out in zip(panel["X"], BACKENDS[backend](node, panel), strict=True):
            there = np.isfinite(x)
            order = np.argsort(x[there], kind="stable")
            ups, steps = np.diff(x[there][order]), np.diff(out[there][order])
            if ups.any():  # else they have no order, and the result may be missing
                beyond_rounding = ups > 1e-12 * np.abs(x[there]).max()
                assert (steps >= 0).all(), node
                assert (steps[beyond_rounding] > 0).all(), node


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("of_order"))
def test_of_the_order_alone(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        node = node_of(name, params)
        ranks = make(name, [make("RANK", node.args[:1])], params)
        assert same(BACKENDS[backend](ranks, panel), BACKENDS[backend](node, panel)), node


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [n for n, s in SPECS.items() if s.algebra.neutral is not None])
def test_a_neutral_constant_changes_nothing(name: str, backend: str) -> None:
    for panel, params in itertools.product(law_panels(), CASES[name]):
        x = node_of(name, params).args[0]
        value = make(name, [x, const(SPECS[name].algebra.neutral or 0.0)], params)
        found, expected = BACKENDS[backend](value, panel), finite(panel["X"])
        if name == "POWER":  # whose kernel may round the last digit
            np.testing.assert_array_max_ulp(found, expected)
        else:
            assert same(found, expected), value


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", having("residual"))
def test_a_residual_is_uncorrelated_with_what_was_taken_out(name: str, backend: str) -> None:
    checked = 0
    for panel, params in itertools.product(map(panel_of, ("missing", "ties")), CASES[name]):
        node = node_of(name, params)
        regressor = BACKENDS[backend](make("ADD", (node.args[1], const(0.0))), panel)
        for x, out in zip(regressor, BACKENDS[backend](node, panel), strict=True):
            there = np.isfinite(x) & np.isfinite(out)
            if there.sum() >= 4 and np.ptp(x[there]) > 0.0 and np.ptp(out[there]) > 1e-9:
                assert abs(np.corrcoef(x[there], out[there])[0, 1]) < 1e-6, node
                checked += 1
    assert checked > 10
