"""Groups made by expressions, choices, optional operands, and operators with state, in the language and on values."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from fama_fast import ops
from fama_fast.backends.numba_vm.run import execute
from fama_fast.errors import ArgumentError, ParseError
from fama_fast.ir import const, field, make, postorder
from fama_fast.lang import parse
from fama_fast.lang.printer import to_text
from fama_fast.mining.proposers.random_tree import TreeMaker, fits
from fama_fast.ops.spec import Algebra, OpSpec, choice, series
from fama_fast.panel import GroupField, Panel
from fama_fast.passes import canonicalise, lookback, lower, verify
from fama_fast.plan import make_plan
from fama_fast.proposals.protocol import Vocabulary
from fama_fast.types import Family
from tests.support.oracle import Array, evaluate_oracle
from tests.unit.ops.test_operators import BACKENDS, assert_equal, holes, make_panel

MADE = (
    "GROUP_MEAN(X, CS_BUCKET(Y, 3))",
    "GROUP_RANK(X, BUCKET(Y, -1, 1, 0.5))",
    "GROUP_NEUTRALIZE(X, BUCKET(Y, -1, 1, 0.5, skipBegin=TRUE, skipEnd=TRUE))",
    "GROUP_COUNT(X, CS_BUCKET(TS_MEAN(Y, 5, min_periods=2), 100))",
    "GROUP_SCALE(X, DENSIFY(ROUND(Y * 1.5)))",
    "GROUP_ZSCORE(X, DENSIFY(CS_BUCKET(Y, 2)))",
    "GROUP_MEDIAN(X, CS_BUCKET(Y, 2))",
    "GROUP_NORMALIZE(X, CS_BUCKET(Y, 2), scale=2)",
    "GROUP_BACKFILL(X, CS_BUCKET(Y, 2), 3)",
    "GROUP_VECTOR_NEUT(X, ABS(Y), CS_BUCKET(Y, 2))",
    "RANK(CS_BUCKET(X, 4) + GROUP_MAX(CS_BUCKET(Y, 3), CS_BUCKET(X, 4)))",
)


def panels() -> list[Panel]:
    rng = np.random.default_rng(17)
    x, y = holes(rng.normal(size=(30, 13)), rng), holes(rng.normal(size=(30, 13)), rng)
    members = rng.random(x.shape) < 0.7
    return [make_panel(x, y), make_panel(x, y, universe=members), make_panel(x[:, :1], y[:, :1])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", MADE)
def test_group_operators_take_made_groups(text: str, backend: str) -> None:
    node = parse(text, fields=["X", "Y"], groups=["SECTOR"])
    for panel in panels():
        expected = evaluate_oracle(node, panel)
        assert_equal(BACKENDS[backend](node, panel), expected, 10.0)
        assert panel.shape[1] == 1 or np.isfinite(expected).any()


@pytest.mark.parametrize("text", MADE)
def test_made_groups_print_verify_and_lower(text: str) -> None:
    node = parse(text, fields=["X", "Y"], groups=["SECTOR"])
    assert parse(to_text(node)) is node
    verify(node)
    low = lower(canonicalise(node))
    verify(low, lowered=True)
    for n in postorder(low):
        for p, a in zip(ops.get(n.op).operands if n.args else (), n.args, strict=True):
            assert p.kind.value != "group" or a.op in ("GROUP", "DENSIFY")


def test_a_series_is_no_group() -> None:
    for text in ("GROUP_MEAN(X, RANK(Y))", "GROUP_MEAN(X, Y + 1)", "GROUP_MEAN(X, BUCKET(Y) + 1)"):
        with pytest.raises(ArgumentError, match="needs the name of a group"):
            parse(text)


def test_buckets_are_brains() -> None:
    """The examples of BRAIN's reference: buckets by bounds, a bound belonging to the bucket under it."""
    x = np.array([[0.05, 0.5, 0.9, 0.1, 1.0, 1.5, math.nan]])
    panel = Panel([np.datetime64("2021-01-04")], list("abcdefg"), {"X": x})
    for backend in BACKENDS.values():
        got = backend(parse("BUCKET(X, 0.1, 1, 0.1)"), panel)
        np.testing.assert_array_equal(got, [[0, 4, 8, 0, 9, 10, math.nan]])
        got = backend(parse("BUCKET(X, 0.1, 1, 0.1, skipBegin=TRUE, skipEnd=TRUE)"), panel)
        np.testing.assert_array_equal(got, [[math.nan, 4, 8, math.nan, 9, math.nan, math.nan]])
        got = backend(parse("CS_BUCKET(X, 3)"), panel)
        np.testing.assert_array_equal(got, [[0, 1, 1, 0, 2, 2, math.nan]])


def test_many_groups_on_few_symbols() -> None:
    """Group numbers far above the number of symbols never reach a kernel."""
    rng = np.random.default_rng(1)
    panel = make_panel(rng.normal(size=(9, 3)), rng.normal(size=(9, 3)) * 1e3)
    for op in ("GROUP_RANK", "GROUP_MEAN", "GROUP_MEDIAN", "GROUP_COUNT"):
        for made in ("CS_BUCKET(Y, 10000)", "BUCKET(Y, 0, 10000, 1)", "DENSIFY(Y * 1e12)"):
            node = parse(f"{op}(X, {made})")
            assert_equal(BACKENDS["numba"](node, panel), evaluate_oracle(node, panel), 1.0)


# --- choices, counts, optional operands -------------------------------------------------------------


def test_choices_are_words() -> None:
    node = parse("quantile(CLOSE, driver=Cauchy)")
    assert node is make("QUANTILE", [field("CLOSE")], ["cauchy", 1.0])
    assert to_text(node) == "QUANTILE(CLOSE, cauchy)"
    assert to_text(parse("QUANTILE(CLOSE, gaussian, 1)")) == "QUANTILE(CLOSE)"
    assert to_text(parse("QUANTILE(CLOSE, sigma=0.5)")) == "QUANTILE(CLOSE, gaussian, 0.5)"
    assert parse(to_text(node)) is node
    verify(node)
    with pytest.raises(ArgumentError, match="gaussian, uniform or cauchy") as error:
        parse("QUANTILE(CLOSE, driver=gausian)")
    assert error.value.suggestion == "gaussian"
    for wrong in ("QUANTILE(CLOSE, 1)", "QUANTILE(CLOSE, driver=RANK(CLOSE))"):
        with pytest.raises(ArgumentError, match="driver must be"):
            parse(wrong)


def test_counts_are_whole_numbers() -> None:
    assert to_text(parse("TOP(CLOSE, 2*5)")) == "TOP(CLOSE, 10)"
    for text, message in (
        ("TOP(CLOSE, 0)", "at least 1"),
        ("TOP(CLOSE, -3)", "at least 1, not -3"),
        ("TOP(CLOSE, 2.5)", "whole number"),
        ("CS_BUCKET(CLOSE, 1)", "at least 2"),
        ("CS_BUCKET(CLOSE, VOLUME)", "must be a constant"),
    ):
        with pytest.raises(ArgumentError, match=message):
            parse(text)


def test_an_operand_can_be_left_out() -> None:
    node = parse("REGRESSION_NEUT(RET, CLOSE)")
    assert node is parse("REGRESSION_NEUT(RET, CLOSE, 0, x3=0)")
    assert node.args == (field("RET"), field("CLOSE"), const(0), const(0))
    assert to_text(node) == "REGRESSION_NEUT(RET, CLOSE)"
    assert to_text(parse("REGRESSION_NEUT(RET, CLOSE, x3=VOLUME)")) == "REGRESSION_NEUT(RET, CLOSE, 0, VOLUME)"
    with pytest.raises(ArgumentError, match="needs x1"):
        parse("REGRESSION_NEUT(RET)")


def test_a_kernel_takes_no_words() -> None:
    with pytest.raises(ValueError, match="numbers only"):
        OpSpec(
            name="TRIAL",
            family=Family.ELEMENT,
            parameters=(series(), choice("mode", "one", "two")),
            doc="A trial.",
            example="TRIAL(CLOSE)",
            source="here",
            kernel="elementwise.trial",
            polars=lambda ctx, x, mode: x,
            algebra=Algebra(),
        )


# --- regression -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_regression_on_several_equals_least_squares(backend: str) -> None:
    rng = np.random.default_rng(3)
    fields = {name: holes(rng.normal(size=(25, 30)) * size + level, rng, 0.1) for name, size, level in FIELDS}
    fields["C"][4] = 2.0  # constant: nothing beside the intercept
    fields["B"][5] = 3 * fields["A"][5] - 1  # dependent: missing
    fields["A"][6, 4:] = math.nan  # too few
    panel = Panel(np.datetime64("2021-01-04") + np.arange(25), range(30), fields)
    for text, names in (("REGRESSION_NEUT(Y, A, B, C)", "ABC"), ("REGRESSION_NEUT(Y, A, B)", "AB")):
        got = BACKENDS[backend](parse(text), panel)
        assert_equal(got, evaluate_oracle(parse(text), panel), 10.0)
        for t in range(25):
            columns = [fields[n][t] for n in names]
            rows = ~np.isnan([fields["Y"][t], *columns]).any(axis=0)
            if t in (5, 6):
                assert np.isnan(got[t]).all()
                continue
            design = np.column_stack([np.ones(rows.sum()), *(c[rows] for c in columns)])
            residual = fields["Y"][t, rows] - design @ np.linalg.lstsq(design, fields["Y"][t, rows])[0]
            np.testing.assert_allclose(got[t, rows], residual, rtol=1e-7, atol=1e-7)
            assert np.isnan(got[t, ~rows]).all()


FIELDS: tuple[tuple[str, float, float], ...] = (("Y", 10.0, 5.0), ("A", 1.0, 100.0), ("B", 1e-3, 0.0), ("C", 1e4, -1e5))


# --- BRAIN's examples -------------------------------------------------------------------------------


def row(text: str, values: list[float]) -> Any:
    panel = Panel([np.datetime64("2021-01-04")], range(len(values)), {"X": np.array([values])})
    got = [backend(parse(text), panel)[0] for backend in BACKENDS.values()]
    np.testing.assert_allclose(got[0], got[1], rtol=1e-13)
    return got[0]


def test_published_examples() -> None:
    np.testing.assert_array_equal(row("NORMALIZE(X)", [3, 5, 6, 2]), [-1, 1, 2, -2])
    assert np.round(row("NORMALIZE(X, useStd=TRUE)", [3, 5, 6, 2]), 2).tolist() == [-0.55, 0.55, 1.1, -1.1]
    np.testing.assert_array_equal(row("NORMALIZE(X, limit=1.5)", [3, 5, 6, 2]), [-1, 1, 1.5, -1.5])
    np.testing.assert_allclose(row("SCALE(X, longscale=4, shortscale=3)", [1, 3, -2, -4, 0]), [1, 3, -1, -2, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_group_backfill_is_brains_example(backend: str) -> None:
    # Newest first in the reference: [4, 2, 5, 5], [7, NaN, 2, 9], [NaN, -4, 2, NaN] give 3.56 for the third.
    history = np.array([[4, 2, 5, 5], [7, math.nan, 2, 9], [math.nan, -4, 2, math.nan]]).T[::-1]
    panel = make_panel(history.copy(), history)
    panel = panel.replace(groups={"SECTOR": GroupField(np.zeros(history.shape), ("all",))})
    got = BACKENDS[backend](parse("GROUP_BACKFILL(X, SECTOR, 4)"), panel)
    np.testing.assert_allclose(got[-1], [4, 7, 32 / 9])


# --- state ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "text",
    [
        "TRADE_WHEN(X > 1, Y, X < -1.2)",
        "TRADE_WHEN(X, Y, X * Y > 0.5, 4)",
        "TRADE_WHEN(X > 1, Y, -1)",
        "KEEP(X, Y > 0.9, 3)",
        "TS_HUMP(X, ABS(Y) * 0.3, 7)",
        "TS_HUMP(X, 0.2)",
        "HUMP(X, 0.05)",
    ],
)
def test_state_equals_the_oracle(text: str, backend: str) -> None:
    node = parse(text)
    for panel in panels():
        assert_equal(BACKENDS[backend](node, panel), evaluate_oracle(node, panel), 1.0)


@pytest.mark.parametrize("text", ["TRADE_WHEN(X > 1, Y, X < -1.2, 6)", "KEEP(X, Y > 0, 3)", "HUMP(X, 0.05, 5)"])
def test_state_does_not_depend_on_where_the_history_starts(text: str) -> None:
    node = parse(text)
    for panel in panels():
        rows = lookback(node)
        program = make_plan([lower(node, frozenset(panel.supplied_fields))])
        whole = execute(program, panel)[0]
        for start in range(3, 20):
            part: Array = execute(program, panel.slice_dates(start, len(whole)))[0]
            np.testing.assert_array_equal(part[rows:], whole[start + rows :])


# --- proposals --------------------------------------------------------------------------------------


def test_random_trees_use_made_groups_where_a_group_is_due() -> None:
    vocabulary = Vocabulary(fields=("CLOSE", "VOLUME"), groups=("SECTOR",), max_window=60)
    maker = TreeMaker(random.Random(5), vocabulary)
    seen = set()
    for _ in range(400):
        node = maker.apply(maker.rng.choice([s for s in maker.roots if s.family is Family.GROUP]), 3)
        verify(node)
        assert parse(to_text(node)) is node
        seen |= {a.op for n in postorder(node) for a in n.args if ops.is_group(a)}
        assert not any(
            ops.is_group(a)
            for n in postorder(node)
            if n.args
            for p, a in zip(ops.get(n.op).operands, n.args, strict=True)
            if p.kind.value == "series"
        )
    assert {"GROUP", "CS_BUCKET", "BUCKET"} <= seen
    assert not fits(parse("CS_BUCKET(CLOSE, 5)"), vocabulary)


def test_words_in_quotes_are_no_choice() -> None:
    with pytest.raises(ParseError):
        parse('QUANTILE(CLOSE, driver="gaussian")')
