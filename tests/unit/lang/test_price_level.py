"""What is judged free of price levels keeps its order when each symbol's prices are scaled by a number of its own."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import lang, passes
from fama_fast.engine.alpha import Alpha
from fama_fast.errors import FamaError
from fama_fast.ir import FIELD, LEAVES, postorder
from fama_fast.mining.proposers.level_free import tree_maker
from fama_fast.panel import GroupField, Panel
from fama_fast.proposals.operators import proposable_specs
from fama_fast.proposals.protocol import Vocabulary

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.types import FloatArray

T, N = 50, 20
VOCABULARY = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP"), ("SECTOR",), max_window=12)


def a_panel() -> Panel:
    """Prices of one order of size, volumes, and three sectors."""
    rng = np.random.default_rng(5)
    close = 20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (T, N)), axis=0))
    opened = close * np.exp(rng.normal(0.0, 0.01, (T, N)))
    fields = {
        "OPEN": opened,
        "HIGH": np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.01, (T, N)))),
        "LOW": np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.01, (T, N)))),
        "CLOSE": close,
        "VOLUME": np.exp(rng.normal(8.0, 1.0, (T, N))),
    }
    sectors = GroupField(np.broadcast_to(np.arange(N) % 3.0, (T, N)).copy(), ("a", "b", "c"))
    dates = np.datetime64("2021-01-04") + np.arange(T)
    return Panel(dates, [f"S{i:02}" for i in range(N)], fields, groups={"SECTOR": sectors})


def order(values: FloatArray) -> FloatArray:
    """The rank of each value of a date, equal ones alike, -1 where missing. Rounding is no order."""
    out = np.full(values.shape, -1)
    fractions, exponents = np.frexp(values)
    rounded = np.ldexp(np.round(fractions, 9), exponents)
    for row, ranks in zip(rounded, out, strict=True):
        there = np.isfinite(row)
        ranks[there] = np.unique(row[there], return_inverse=True)[1]
    return out


def random_alphas(count: int, seed: int, *, level_free: bool) -> list[Alpha]:
    maker = tree_maker(random.Random(seed), VOCABULARY, level_free=level_free)
    found: dict[object, Alpha] = {}
    while len(found) < count:
        node = passes.canonicalise(maker.random_expression())
        found[node] = Alpha(lang.to_text(node), "fama", node)
    return list(found.values())


def test_the_judge_is_right_about_random_trees_over_all_operators() -> None:
    panel = a_panel()
    # Powers of two: the scaled arithmetic is exact.
    scale = 2.0 ** np.random.default_rng(1).integers(-7, 8, N)
    scaled = panel.replace(fields={n: panel[n] * scale for n in ("OPEN", "HIGH", "LOW", "CLOSE")})
    alphas = random_alphas(400, 1, level_free=True) + random_alphas(300, 2, level_free=False)
    before, after = ff.evaluate(alphas, panel), ff.evaluate(alphas, scaled)
    free = depend = kept = 0
    for alpha, a, b in zip(alphas, before, after, strict=True):
        first, second = order(a), order(b)
        same = np.array_equal(first, second)
        if alpha.level_dependence is None:
            free += 1
            assert same, alpha.canonical
        elif (first.max(axis=1) > 1).mean() > 0.3:  # values that differ at all
            depend += 1
            kept += same
    assert free >= 450
    assert depend >= 150
    # False alarms: branches that these data never take, and the like.
    assert kept / depend < 0.08, kept / depend
    used = {n.op for alpha in alphas for n in postorder(alpha.node) if n.op not in LEAVES}
    assert len(used) > 110


def drawn(vocabulary: Vocabulary) -> list[Node]:
    """Trees as they are drawn, before anything is refused."""
    maker, nodes = tree_maker(random.Random(3), vocabulary, level_free=True), []
    for _ in range(300):
        with contextlib.suppress(FamaError):  # parameters that do not go together
            nodes.append(passes.canonicalise(maker.expression(maker.rng.randint(3, 6))))
    assert len(nodes) > 290
    return nodes


def test_trees_that_are_to_be_free_of_price_levels_are_made_so() -> None:
    for fields in (VOCABULARY.fields, ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), ("OPEN", "CLOSE"), ("CLOSE",)):
        vocabulary = Vocabulary(fields, (), 60)
        nodes = drawn(vocabulary)
        free = sum(passes.depends_on_level(node) is None for node in nodes)
        assert free >= 0.97 * len(nodes), (fields, free)
        assert nodes == drawn(vocabulary)


def test_free_trees_use_nearly_all_operators_and_every_field() -> None:
    def used(*, level_free: bool) -> set[str]:
        alphas = random_alphas(1000, 7, level_free=level_free)
        return {n.name if n.op == FIELD else n.op for alpha in alphas for n in postorder(alpha.node)}

    offered = {s.name for s in proposable_specs(VOCABULARY)}.union(VOCABULARY.fields)
    any_tree, free = used(level_free=False) & offered, used(level_free=True) & offered
    assert len(free) >= 0.95 * len(any_tree)
    assert set(VOCABULARY.fields) <= free


@pytest.mark.parametrize("fields", [("CLOSE",), ("VOLUME",), ("RET",), ("CLOSE", "PE")])
def test_one_field_is_enough(fields: tuple[str, ...]) -> None:
    maker = tree_maker(random.Random(0), Vocabulary(fields, (), 20), level_free=True)
    for _ in range(50):
        assert passes.depends_on_level(maker.random_expression(4)) is None
