"""Nodes to text and back: goldens, and parse(to_text(node)) is node over every operator."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.errors import LimitError
from fama_fast.ir import const, field, make
from fama_fast.lang import parse, to_text
from fama_fast.lang.binder import infix_spec
from fama_fast.lang.printer import _OPERANDS, format_number
from fama_fast.ops import build, specs
from tests.support.lang import cases, nodes


@pytest.mark.parametrize(("text", "canonical"), cases("print.txt"))
def test_print_golden(text: str, canonical: str) -> None:
    node = parse(text)
    assert to_text(node) == canonical
    assert parse(canonical) is node


@given(nodes())
@settings(max_examples=500, deadline=None)
def test_printed_text_reads_back_as_the_same_node(node) -> None:  # type: ignore[no-untyped-def]
    assert parse(to_text(node)) is node
    assert parse(to_text(node).lower()) is node


@given(st.floats(allow_infinity=False))
def test_numbers_read_back_exactly(value: float) -> None:
    text = format_number(value)
    back = parse(text).value
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert len(text) <= len(repr(value))


def test_every_infix_operator_prints_and_parses_as_infix() -> None:
    infix = [s for s in specs() if s.symbol is not None]
    assert {(s.symbol, len(s.operands)) for s in infix} == set(_OPERANDS)
    names = [field(n) for n in ("A1", "B1", "C1")]
    for spec in infix:
        operands = names[: len(spec.operands)]
        text = to_text(build(spec.name, *operands))
        assert "(" not in text
        assert parse(text) is build(spec.name, *operands)
        assert infix_spec(spec.symbol or "", len(spec.operands)) is spec


@pytest.mark.parametrize("spec", tuple(specs()), ids=lambda s: s.name)
def test_every_example_parses_and_prints(spec) -> None:  # type: ignore[no-untyped-def]
    node = parse(spec.example)
    assert parse(to_text(node)) is node


def test_a_shared_graph_that_would_explode_as_text_is_refused() -> None:
    node = field("CLOSE")
    for _ in range(60):
        node = make("ADD", (node, node))
    with pytest.raises(LimitError):
        to_text(node)


def test_minus_belongs_to_a_literal() -> None:
    assert parse("-5") is const(-5)
    assert parse("-(5)") is const(-5)
    assert parse("NEG(5)") is build("NEG", 5)
    assert parse("--5") is build("NEG", -5)
    assert parse("-5^2") is build("NEG", build("POWER", 5, 2))
