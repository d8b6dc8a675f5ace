"""Who an expression is: equal formulas written differently share a fingerprint, different ones never do."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest

import fama_fast as ff
from fama_fast import ops, passes
from fama_fast.ir import LEAVES, Node, const, postorder, rewrite
from fama_fast.lang import parse, to_text
from fama_fast.ops import build, find
from fama_fast.passes import ranking_fingerprint
from fama_fast.passes.lower import lower_operators
from tests.unit.ops.test_random_expressions import random_alphas, random_panel


def respelt(node: Node, rng: random.Random) -> Node:
    """The same formula written another way, node by node, by laws that keep every bit."""
    done: dict[Node, Node] = {}
    for n in postorder(node):
        args = [done[a] for a in n.args]
        done[n] = n if n.op in LEAVES else _respell(n, args, rng)
    return done[node]


def _respell(node: Node, args: list[Node], rng: random.Random) -> Node:
    spec = find(node.op)
    assert spec is not None
    if spec.algebra.commutative and rng.random() < 0.5:
        args = [args[1], args[0]]
    new = ops.build(spec.name, *args, **dict(zip((p.name for p in spec.statics), node.params, strict=True)))
    if spec.gives_group:
        return new
    kind = rng.randrange(8)
    if node.op == "SUB" and kind < 4:
        new = build("ADD", args[0], build("NEG", args[1]))
    elif node.op == "GT" and kind < 4:
        new = build("LT", args[1], args[0])
    elif node.op == "LE" and kind < 4:
        new = build("NOT", build("GT", args[0], args[1]))
    if kind == 4:
        return build("NEG", build("NEG", new))
    if kind == 5:
        return build("MUL", new, build("SUB", 3, 2))
    if kind == 6:
        return build("SUB", new, 0)
    if kind == 7 and not spec.boolean:
        return build("NEG", build("MUL", const(-1.0), new))
    return new


@pytest.mark.parametrize("seed", range(3))
def test_equal_formulas_written_differently_share_a_fingerprint_and_every_bit(seed: int) -> None:
    rng = random.Random(seed)
    panel = random_panel(seed)
    alphas = random_alphas(60, 400 + seed)
    written = [ff.compile(to_text(respelt(a.node, rng))) for a in alphas]
    assert sum(w.text != a.canonical for w, a in zip(written, alphas, strict=True)) > 30
    for alpha, other in zip(alphas, written, strict=True):
        assert other.fingerprint == alpha.fingerprint, (alpha.canonical, other.text)
    texts = [parse(w.text) for w in written]
    for alpha, node in list(zip(alphas, texts, strict=True))[:20]:
        # The text as written, not its canonical form, gives the same bits.
        raw = ff.engine.Alpha(to_text(node), "fama", passes.lower(node))
        (a,) = ff.evaluate([alpha], panel)
        (b,) = ff.evaluate([raw], panel, optimise=False)
        np.testing.assert_array_equal(a + 0.0, b + 0.0, err_msg=alpha.canonical)


@pytest.mark.parametrize(
    "spellings",
    [
        ("CLOSE - OPEN", "CLOSE + -OPEN", "-(OPEN - CLOSE)", "-OPEN + CLOSE", "CLOSE - OPEN * 1", "--(CLOSE - OPEN)"),
        ("RANK(CLOSE) * -1", "-RANK(CLOSE)", "-1 * RANK(CLOSE)", "RANK(CLOSE) / -1", "0 - RANK(CLOSE)"),
        ("CLOSE * VOLUME", "VOLUME * CLOSE", "-CLOSE * -VOLUME", "multiply(close, volume)"),
        ("TS_MEAN(CLOSE, 2 * 5)", "Mean(close, 10)", "TS_MEAN(CLOSE, 10, min_periods=10)", "TS_MEAN(--CLOSE, 10)"),
        ("CLOSE > OPEN", "OPEN < CLOSE", "!(CLOSE <= OPEN)", "NOT(OPEN >= CLOSE)"),
        ("CLOSE * (2 + 3)", "5 * CLOSE", "CLOSE * 5.0"),
        ("DELAY(DELAY(CLOSE, 2), 3)", "REF(CLOSE, 5)"),
        ("CORREL(-CLOSE, VOLUME, 10)", "-CORREL(VOLUME, CLOSE, 10)", "CORREL(CLOSE, -VOLUME, 10)"),
        ("ABS(CLOSE - OPEN)", "ABS(OPEN - CLOSE)", "ABS(ABS(CLOSE - OPEN))"),
        ("RANK(RANK(CLOSE))", "RANK(CLOSE)"),
        ("TS_MEAN(OPEN - CLOSE, 5)", "-TS_MEAN(CLOSE - OPEN, 5)", "TS_MEAN(-(CLOSE - OPEN), 5)"),
        ("HIGH / (OPEN - CLOSE)", "-HIGH / (CLOSE - OPEN)", "-(HIGH / (CLOSE - OPEN))"),
        ("HIGH - (CLOSE - OPEN)", "HIGH + (OPEN - CLOSE)", "OPEN - CLOSE + HIGH"),
    ],
)
def test_spellings_of_one_formula(spellings: tuple[str, ...]) -> None:
    assert len({ff.compile(text).fingerprint for text in spellings}) == 1


@pytest.mark.parametrize("seed", range(2))
def test_equal_fingerprints_never_hide_different_values(seed: int) -> None:
    """Nearby formulas (another window, field, operator or order) differ in values exactly when fingerprints do."""
    panel = random_panel(10 + seed)
    texts = [
        *(
            f"{op}(CLOSE, {d})"
            for op in ("TS_MEAN", "TS_MAX", "TS_RANK", "DELTA", "EMA", "DECAY_LINEAR")
            for d in (3, 4)
        ),
        *(f"{a} {op} {b}" for op in "+-*/" for a in ("CLOSE", "VOLUME") for b in ("OPEN", "HIGH")),
        *(f"OPEN {op} CLOSE" for op in "+-*/"),
        *(f"CLOSE {op} OPEN" for op in ("<", "<=", ">", ">=", "==", "!=")),
        "TS_MEAN(CLOSE, 4, min_periods=2)",
        "RANK(CLOSE)",
        "-RANK(CLOSE)",
        "RANK(-CLOSE)",
        "1 - RANK(CLOSE)",
        "CLOSE ^ 2",
        "2 * CLOSE",
        "CLOSE + 2",
        "SIGNED_POWER(RET, 2)",
        "RET ^ 2",
    ]
    alphas = [ff.compile(t) for t in texts]
    values = ff.evaluate(alphas, panel)
    for i, a in enumerate(alphas):
        for j in range(i):
            same_values = np.array_equal(values[i] + 0.0, values[j] + 0.0, equal_nan=True)
            assert same_values == (a.fingerprint == alphas[j].fingerprint), (a.canonical, alphas[j].canonical)


@pytest.mark.parametrize("seed", range(2))
def test_random_expressions_of_one_fingerprint_are_computed_as_one_node(seed: int) -> None:
    alphas = random_alphas(300, 500 + seed)
    by_print: dict[str, set[Node]] = defaultdict(set)
    for alpha in alphas:
        by_print[alpha.fingerprint].add(passes.share(passes.lower(alpha.node)))
    assert all(len(nodes) == 1 for nodes in by_print.values())
    assert len(by_print) <= len({a.canonical for a in alphas})


COMPOSITES = [s.name for s in ops.specs() if s.lower is not None]


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_and_its_definition_share_a_fingerprint_and_every_bit(name: str) -> None:
    spec = ops.get(name)
    composite = ff.compile(spec.example)
    written = parse(spec.example)

    def expanded(node: Node) -> Node:
        return node if node.op != name or spec.lower is None else spec.lower(*node.args, *node.params)

    # What makes groups can stand in a group's place only as the operator that it is, so there all is written out.
    definition = lower_operators(written) if spec.gives_group else rewrite(written, expanded)
    assert definition is not written
    other = ff.engine.Alpha("", "fama", passes.canonicalise(definition))
    assert other.fingerprint == composite.fingerprint
    raw = ff.engine.Alpha("", "fama", definition)
    panel = random_panel(3)
    a, b = ff.evaluate([composite], panel)[0], ff.evaluate([raw], panel, optimise=False)[0]
    np.testing.assert_array_equal(a + 0.0, b + 0.0)


@pytest.mark.parametrize(
    ("composite", "definition"),
    [
        ("DELTA(CLOSE, 5)", "CLOSE - DELAY(CLOSE, 5)"),
        ("-DELTA(CLOSE, 5)", "REF(CLOSE, 5) - CLOSE"),
        ("RANK(TS_RETURNS(CLOSE, 2))", "RANK(CLOSE / DELAY(CLOSE, 2) - 1)"),
        ("TS_MEDIAN(VOLUME, 9)", "TS_QUANTILE(VOLUME, 9, 1 / 2)"),
        ("TS_MIN_DIFF(LOW, 20)", "LOW - TS_MIN(LOW, 20)"),
        ("CLIP(RET, -0.1, 0.1)", "MIN(MAX(RET, -0.1), 0.1)"),
    ],
)
def test_definitions_by_hand(composite: str, definition: str) -> None:
    one, other = ff.compile(composite), ff.compile(definition)
    assert one.fingerprint == other.fingerprint
    assert one.canonical != other.canonical
    assert ff.compile(one.canonical).canonical == one.canonical


def test_a_definition_of_ones_own_is_what_it_stands_for() -> None:
    ff.define("IDENTITY_TRIAL(x, d) = DELTA(x, d) / TS_STDDEV(x, d)")
    try:
        one = ff.compile("RANK(IDENTITY_TRIAL(CLOSE, 5))")
        other = ff.compile("RANK((CLOSE - DELAY(CLOSE, 5)) / TS_STDDEV(CLOSE, 5))")
        assert one.fingerprint == other.fingerprint
        assert "IDENTITY_TRIAL" in one.canonical
    finally:
        ops.unregister("IDENTITY_TRIAL")


def test_a_derived_field_is_not_its_formula() -> None:
    """Data may carry a RET of their own, such as one with dividends."""
    assert ff.compile("RET").fingerprint != ff.compile("CLOSE / DELAY(CLOSE, 1) - 1").fingerprint


SAME_ORDER = [
    ("CLOSE / OPEN", "RANK(CLOSE / OPEN)", "Z_SCORE(CLOSE / OPEN) * 2 + 1", "SCALE(RANK(CLOSE / OPEN))"),
    ("-RANK(RET)", "RANK(-RET)", "1 - RANK(RET)", "RANK(RET) * -1", "-DEMEAN(RET)", "RANK(RET) / -3"),
    ("RANK(2 * RET) * VOLUME", "VOLUME * RANK(RET)", "RANK(Z_SCORE(RET) + 1) * VOLUME / 4"),
    ("QUANTILE(RET)", "RET", "QUANTILE(RANK(RET), driver=cauchy, sigma=2)", "NORMALIZE(RET, TRUE)"),
    ("RANK(-RANK(CLOSE))", "-CLOSE"),
]


@pytest.mark.parametrize("texts", SAME_ORDER)
def test_one_order_has_one_ranking_fingerprint(texts: tuple[str, ...]) -> None:
    alphas = [ff.compile(t) for t in texts]
    assert len({a.ranking_fingerprint for a in alphas}) == 1
    assert len({a.fingerprint for a in alphas}) > 1
    panel = random_panel(1)
    ranks = ff.evaluate([ff.compile(f"RANK({a.canonical})") for a in alphas], panel)
    for found in ranks[1:]:
        both = np.isfinite(found) & np.isfinite(ranks[0])
        assert both.mean() > 0.4
        assert np.abs(found - ranks[0])[both].max() < 1e-9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RET", "-RET"),
        ("RANK(RET)", "ABS(RET)"),
        ("RANK(RET) + RANK(VOLUME)", "RET + VOLUME"),
        ("TS_MEAN(RANK(RET), 5)", "TS_MEAN(RET, 5)"),
        ("RET * VOLUME", "RET"),
        ("1 / VOLUME", "VOLUME"),
        ("SIGN(RET)", "RET"),
        ("WINSORIZE(RET, 1)", "RET"),
        ("NORMALIZE(RET, limit=0.5)", "RET"),
        ("SCALE(RET, longscale=1, shortscale=2)", "RET"),
        ("GROUP_RANK(RET, SECTOR)", "RET"),
        ("RET * 0", "RET"),
    ],
)
def test_other_orders_have_other_ranking_fingerprints(one: str, other: str) -> None:
    assert ranking_fingerprint(parse(one)) != ranking_fingerprint(parse(other))
