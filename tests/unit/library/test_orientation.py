"""The text of a factor in the direction of its forecast: its negative, simplified, with the bits of the negated
values."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings

from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.engine import evaluate
from fama_fast.errors import FamaError
from fama_fast.ir import Node
from fama_fast.lang import parse, to_text
from fama_fast.mining.proposers.random_tree import TreeMaker
from fama_fast.passes import canonicalise, oriented
from fama_fast.proposals.protocol import Vocabulary
from tests.support.lang import nodes


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("RANK(CLOSE)", "-RANK(CLOSE)"),
        ("RANK(CLOSE) * -1", "RANK(CLOSE)"),
        ("-1 * (-(CLOSE))", "-CLOSE"),
        ("CLOSE - OPEN", "OPEN - CLOSE"),
        ("OPEN - CLOSE", "CLOSE - OPEN"),
        ("-(CLOSE - OPEN)", "CLOSE - OPEN"),
        ("-RANK(CLOSE - OPEN)", "RANK(CLOSE - OPEN)"),
        ("OPEN * -2", "OPEN * 2"),
        ("(OPEN - CLOSE) / HIGH", "(CLOSE - OPEN) / HIGH"),
        ("TS_MEAN(OPEN - CLOSE, 5)", "TS_MEAN(CLOSE - OPEN, 5)"),
        ("-CLOSE - OPEN", "CLOSE + OPEN"),
        ("CLOSE > OPEN ? CLOSE : -CLOSE", "-(OPEN < CLOSE ? CLOSE : -CLOSE)"),
        ("-CORREL(CLOSE, VOLUME, 10)", "CORREL(CLOSE, VOLUME, 10)"),
        ("WINSORIZE_QUANTILE(RET, 0.1 * 0.75)", "-WINSORIZE_QUANTILE(RET, 0.075)"),
    ],
)
def test_the_negative_is_written_simply(text: str, turned: str) -> None:
    assert to_text(oriented(parse(text), -1)) == turned
    assert to_text(oriented(oriented(parse(text), -1), -1)) == to_text(canonicalise(parse(text)))
    assert compile_alpha(text).oriented(-1).canonical == turned
    assert compile_alpha(text).oriented(1).canonical == to_text(canonicalise(parse(text)))


@given(nodes())
@settings(max_examples=400, deadline=None)
def test_turning_twice_gives_the_expression_back(node: Node) -> None:
    there = oriented(node, -1)
    assert canonicalise(there) is there
    assert canonicalise(parse(to_text(there))) is there
    assert "--" not in to_text(there)
    assert oriented(there, -1) is canonicalise(node)
    assert oriented(node, 1) is canonicalise(node)


def test_a_sign_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="1 or -1"):
        oriented(parse("CLOSE"), 0)


def test_values_of_the_negative_are_the_negated_values_to_the_bit() -> None:
    panel = simulate(SimulationSpec(n_symbols=23, n_dates=80, seed=5))
    maker = TreeMaker(random.Random(3), Vocabulary(panel.fields, panel.groups, max_window=20))
    alphas = []
    while len(alphas) < 150:
        try:
            alphas.append(compile_alpha(to_text(maker.tree(maker.rng.randint(2, 5)))))
        except FamaError:  # parameters that do not go together
            continue
    plain = evaluate(alphas, panel)
    turned = evaluate([a.oriented(-1) for a in alphas], panel)
    for alpha, x, y in zip(alphas, plain, turned, strict=True):
        np.testing.assert_array_equal(y + 0.0, 0.0 - x, err_msg=alpha.canonical)


def test_numbers_that_are_drawn_have_few_digits() -> None:
    """What a search prints can be read by people: no 0.07500000000000001."""
    maker = TreeMaker(random.Random(1), Vocabulary(("OPEN", "CLOSE", "VOLUME"), ("SECTOR",)))
    met: set[float] = set()
    for _ in range(3000):
        try:
            tree = maker.tree(4)
        except FamaError:
            continue
        stack = [tree]
        while stack:
            node = stack.pop()
            met |= {p for p in node.params if isinstance(p, float) and not math.isnan(p)}
            stack += node.args
    assert len(met) > 20
    assert all(float(f"{value:.6g}") == value for value in met), sorted(met)
