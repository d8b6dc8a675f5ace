"""Interned nodes: identity is structure, in this process and in every other."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
import threading

import pytest

from fama_fast import ir, ops


def tree(d: int = 5) -> ir.Node:
    return ops.build("RANK", ops.build("TS_MEAN", ops.build("ADD", ir.field("close"), 1.0), d))


def test_equal_structure_is_one_object() -> None:
    assert tree() is tree()
    assert tree(5) is not tree(6)
    assert ir.field("close") is ir.field("CLOSE")
    assert ir.field("SECTOR") is not ir.group("SECTOR")


def test_types_of_parameters_are_kept_apart() -> None:
    nodes = {ir.make("X", (), (p,)) for p in (1, 1.0, True, "1", None)}
    assert len(nodes) == 5
    assert len({n.key for n in nodes}) == 5


def test_missing_constant_and_minus_zero_have_one_node_each() -> None:
    assert ir.const(math.inf) is ir.const(math.nan) is ir.const(-math.nan)
    assert ir.const(-0.0) is ir.const(0.0)


def test_nodes_are_immutable_and_survive_pickling() -> None:
    node = tree()
    with pytest.raises(AttributeError):
        node.op = "ABS"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(node)) is node
    assert copy.deepcopy(node) is node


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = "from tests.unit.lang.test_ir import tree; print(tree().key)"
    for seed in ("0", "1"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert out.stdout.strip() == tree().key


def test_interning_from_many_threads_gives_one_object() -> None:
    found: list[ir.Node] = []
    threads = [threading.Thread(target=lambda: found.extend(tree(d) for d in range(2, 60))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(found)) == 58


def test_postorder_yields_each_node_once_and_operands_first() -> None:
    shared = ops.build("ABS", ir.field("close"))
    root = ops.build("ADD", shared, ops.build("NEG", shared))
    order = list(ir.postorder(root, shared))
    assert len(order) == len(set(order)) == 4
    for node in order:
        assert all(order.index(a) < order.index(node) for a in node.args)
    assert ir.count_nodes(root) == 6


def test_deep_graphs_need_no_recursion() -> None:
    node = ir.field("close")
    for _ in range(5000):
        node = ops.build("NEG", node)
    assert node.depth == 5001
    assert ir.rewrite(node, lambda n: n) is node


def test_a_rule_that_never_settles_is_loud() -> None:
    with pytest.raises(RuntimeError, match="does not settle"):
        ir.fixpoint(ir.field("close"), lambda n: ir.field("open" if n.name == "CLOSE" else "close"))


def test_an_operand_that_is_met_again_comes_where_it_was_first_needed() -> None:
    x, y = ir.field("close"), ir.field("open")
    low = ops.build("ABS", x)
    root = ops.build("ADD", ops.build("SUB", y, low), ops.build("MUL", low, x))
    assert list(map(repr, ir.postorder(root))) == [
        "OPEN",
        "CLOSE",
        "ABS(CLOSE)",
        "SUB(OPEN, ABS(CLOSE))",
        "MUL(ABS(CLOSE), CLOSE)",
        "ADD(SUB(OPEN, ABS(CLOSE)), MUL(ABS(CLOSE), CLOSE))",
    ]
    known = {low}
    assert [repr(n) for n in ir.unknown((root,), known)][:2] == ["OPEN", "SUB(OPEN, ABS(CLOSE))"]


def test_a_rewriter_asks_its_rule_once_a_node_and_says_what_rewrite_says() -> None:
    asked: list[ir.Node] = []

    def rule(node: ir.Node) -> ir.Node:
        asked.append(node)
        return ir.field("open") if node is ir.field("close") else node

    first = ops.build("ABS", ops.build("ADD", ir.field("close"), ir.field("low")))
    second = ops.build("NEG", first.args[0])
    again = ir.Rewriter(rule)
    results = [again(n) for n in (first, second, first)]
    assert len(asked) == 5  # CLOSE, LOW, their sum, and the two above it
    assert results == [ir.rewrite(n, rule) for n in (first, second, first)]


def test_a_rewriter_forgets_when_told_and_settles_like_fixpoint() -> None:
    names = {"close": "open"}

    def rule(node: ir.Node) -> ir.Node:
        return ir.field(names[node.name.lower()]) if node.op == ir.FIELD and node.name.lower() in names else node

    again = ir.Rewriter(rule)
    root = ops.build("ABS", ir.field("close"))
    assert repr(again(root)) == "ABS(OPEN)"
    names["open"] = "low"
    assert repr(again(root)) == "ABS(OPEN)"
    again.forget()
    assert repr(again.settled(root)) == repr(ir.fixpoint(root, rule)) == "ABS(LOW)"
    names["low"] = "close"
    again.forget()
    with pytest.raises(RuntimeError, match="'rule' does not settle"):
        again.settled(root)
