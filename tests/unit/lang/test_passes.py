"""The passes: goldens, values kept bit for bit, well-formed nodes between, equal keys in every process."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.ir import Node, const, field, group, make, postorder
from fama_fast.lang import parse, to_text
from fama_fast.ops import build, get, specs
from fama_fast.passes import (
    PIPELINE,
    InvalidNodeError,
    canonicalise,
    fold_constants,
    lookback,
    lower,
    normalise,
    share,
    simplify,
    verify,
)
from fama_fast.types import Family
from tests.support.lang import cases, nodes
from tests.support.paths import ROOT


@pytest.mark.parametrize(("text", "expected"), cases("canonical.txt"))
def test_canonical_golden(text: str, expected: str) -> None:
    assert to_text(canonicalise(parse(text))) == expected


@pytest.mark.parametrize(("text", "expected"), cases("lowered.txt"))
def test_pipeline_golden(text: str, expected: str) -> None:
    node = parse(text)
    for run in PIPELINE:
        node = run(node)
    assert to_text(node) == expected


def test_the_pipeline_is_the_documented_one() -> None:
    expected = (normalise, fold_constants, simplify, lower, share)
    assert expected == PIPELINE


@given(nodes())
@settings(max_examples=400, deadline=None)
def test_every_pass_leaves_well_formed_nodes_and_the_canonical_form_is_a_fixpoint(node: Node) -> None:
    verify(node)
    canonical = canonicalise(node)
    verify(canonical)
    assert canonicalise(canonical) is canonical
    assert canonicalise(parse(to_text(canonical))) is canonical
    assert lookback(canonical) <= lookback(node)
    for run in PIPELINE:
        node = run(node)
        verify(node, lowered=run in (lower, share))
    assert lookback(node) == lookback(share(lower(canonical)))


# Operators of one cell, whose value on constants the registry gives: a pass is executed before and after.
_CELLWISE = [s for s in specs() if s.family is Family.ELEMENT and s.evaluate is not None]


def _value(root: Node, cell: dict[str, float]) -> float:
    done: dict[Node, float] = {}
    for node in postorder(root):
        if node.is_const:
            done[node] = node.value
        elif node.op == "FIELD":
            done[node] = cell[node.name]
        else:
            evaluate = get(node.op).evaluate
            assert evaluate is not None
            # Minus zero is zero, as in the engine's comparison of results.
            done[node] = evaluate(*(done[a] for a in node.args), *node.params) + 0.0
    return done[root]


_CELL = st.fixed_dictionaries(
    {
        name: st.sampled_from([0.0, 1.0, -1.0, 2.5, -3.0, 1e-300, math.nan]) | st.floats(-1e6, 1e6)
        for name in ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP", "CAP", "ADV20")
    }
)


@given(nodes(allowed=_CELLWISE), _CELL)
@settings(max_examples=600, deadline=None)
def test_rewriting_keeps_every_bit_and_what_is_missing(node: Node, cell: dict[str, float]) -> None:
    before, after = _value(node, cell), _value(canonicalise(node), cell)
    assert before == after or (math.isnan(before) and math.isnan(after))


def test_equal_work_written_differently_is_one_node() -> None:
    def run(text: str) -> Node:
        node = parse(text)
        for step in PIPELINE:
            node = step(node)
        return node

    assert run("ADV20") is run("TS_MEAN(VOLUME * CLOSE, 20)")
    assert run("RET") is run("TS_RETURNS(MASK(CLOSE, CLOSE > 0), 1)")
    assert run("DELTA(CLOSE, 5) * -1") is run("DELAY(CLOSE, 5) - CLOSE")
    assert run("!(CLOSE > OPEN)") is run("OPEN >= CLOSE")


def test_lower_keeps_fields_that_the_data_carries() -> None:
    node = parse("RET + VWAP + ADV20")
    have = frozenset({"ret", "VWAP", "ADV20"})
    assert lower(node, have) is node
    assert "ADV20" not in to_text(lower(node, frozenset({"RET", "VWAP"})))
    verify(lower(node), lowered=True)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("CLOSE", 0),
        ("5", 0),
        ("RET", 1),
        ("VWAP", 0),
        ("ADV20", 19),
        ("DELAY(CLOSE, 3)", 3),
        ("TS_MEAN(CLOSE, 5)", 4),
        ("TS_MEAN(DELAY(RET, 3), 5) + TS_MAX(ADV20, 2)", 20),
        ("RANK(DELTA(CLOSE, 5)) * -1", 5),
        ("GROUP_RANK(TS_SUM(CLOSE, 10), SECTOR)", 9),
    ],
)
def test_lookback(text: str, rows: int) -> None:
    assert lookback(parse(text)) == rows
    assert lookback(lower(parse(text))) == rows


def test_lookback_of_a_field_that_the_data_carries() -> None:
    assert lookback(parse("ADV20 + RET"), frozenset({"ADV20"})) == 1


def test_deep_and_shared_graphs() -> None:
    node = field("CLOSE")
    for i in range(300):
        node = build("SUB", build("NEG", node), i)
    canonical = canonicalise(node)
    assert canonicalise(canonical) is canonical
    node = field("CLOSE")
    for _ in range(200):
        node = build("MUL", build("NEG", node), node)
    verify(canonicalise(node))


def test_the_canonical_form_is_the_same_in_every_process() -> None:
    text = "MAX(RANK(OPEN) * LOW, HIGH + TS_MEAN(VOLUME, 5)) + CORREL(VOLUME, CLOSE, 5) == CAP"
    code = (
        "from fama_fast.lang import parse, to_text; from fama_fast.passes import canonicalise;"
        f"n = canonicalise(parse({text!r})); print(n.key, to_text(n))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345"},
    )
    here = canonicalise(parse(text))
    assert result.stdout.strip() == f"{here.key} {to_text(here)}"


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (make("NO_SUCH", (field("CLOSE"),)), "not the canonical name"),
        (make("SUM", (field("CLOSE"),), (5, None)), "not the canonical name"),
        (make("RANK", ()), "wrong number"),
        (make("TS_MEAN", (field("CLOSE"),), (0, None)), "at least 1"),
        (make("TS_MEAN", (field("CLOSE"),), (5.0, None)), "stored as 5"),
        (make("RANK", (group("SECTOR"),)), "must be a series"),
        (make("GROUP_RANK", (field("CLOSE"), field("OPEN"))), "must be a group"),
        (make("FIELD", (), ("close",)), "upper-case"),
        (make("CONST", (), (5,)), "float"),
        (make("CONST", (field("CLOSE"),), (5.0,)), "leaf"),
        (group("SECTOR"), "not an expression"),
    ],
)
def test_the_verifier_finds(node: Node, problem: str) -> None:
    with pytest.raises(InvalidNodeError, match=problem):
        verify(node)


def test_the_verifier_finds_what_lowering_left() -> None:
    for node in (parse("DELTA(CLOSE, 1)"), parse("RET"), parse("ADV5")):
        verify(node)
        with pytest.raises(InvalidNodeError, match="left after lowering"):
            verify(node, lowered=True)
    verify(const(1.0), lowered=True)
