"""Distils earlier runs on the same kind of data into a few themes: which structures did better in training than others.

A theme is an operator, a field, an operator on a field, or how far a formula looks back. Its effect is the mean of the
objective in training of the formulas that have it, less that of those that have it not, with Welch's t. What is not
clear (|t| below 2) is no theme. Searchers follow what earns, so formulas are not independent: a t ranks, and tests
nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import ops
from fama_fast.errors import ExpressionError
from fama_fast.ir import FIELD, LEAVES, postorder
from fama_fast.ledger.finished_runs import alike_before, measured_formulas
from fama_fast.mining.library.gates import PASSED_TRAINING
from fama_fast.passes import lookback
from fama_fast.proposals.memory import Memory, Theme
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.ir import Node
    from fama_fast.ledger.finished_runs import Measured
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord
    from fama_fast.types import BoolArray, FloatArray

_FORMULAS = 2000  # distilled, the latest ones
_LEAST = 8  # formulas with a theme, and without it
_CLEAR = 2.0  # |t|
_MOST = 6  # themes of either side
_HELD = "held"  # the gate of what an agent scored, and every other gate let pass
_PASSED = {*PASSED_TRAINING, _HELD}
_HISTORY = ((5, "at most 5 days"), (20, "6 to 20 days"), (60, "21 to 60 days"), (math.inf, "more than 60 days"))

Structure = tuple[str, str]  # kind and name of a theme


def earlier_themes(ledger: Ledger, run: RunRecord, test_first: str) -> Memory:
    """What finished runs on this kind of data have learnt in training, up to when `run` began; empty without any.

    It does not depend on what happens later, so a run that is resumed has the same.

    Args:
        test_first: first date of the run's test split: nothing that was measured on it, or later, is used.
    """
    runs = alike_before(ledger, run, test_first)
    return distilled(measured_formulas(ledger, runs, _FORMULAS), len(runs)) if runs else Memory()


def distilled(formulas: Iterable[Measured], runs: int) -> Memory:
    """The themes of formulas that so many runs measured."""
    known: list[tuple[Measured, frozenset[Structure]]] = []
    for formula in formulas:
        try:
            known.append((formula, _structures(formula)))
        except ExpressionError:  # of an operator that is not there any more
            continue
    if not known:
        return Memory()
    scores = np.array([f.score for f, _ in known])
    passed = np.array([f.gate in _PASSED for f, _ in known])
    themes = []
    for kind, name in sorted({s for _, found in known for s in found}):
        has = np.array([(kind, name) in found for _, found in known])
        effect, t = _difference(scores, has)
        if abs(t) >= _CLEAR:
            themes.append(Theme(kind, name, int(has.sum()), int(passed[has].sum()), effect, t))
    themes.sort(key=lambda theme: (-abs(theme.t), theme.kind, theme.name))
    return Memory(
        runs,
        len(known),
        int(passed.sum()),
        float(scores.mean()),
        tuple(theme for theme in themes if theme.t > 0.0)[:_MOST],
        tuple(theme for theme in themes if theme.t < 0.0)[:_MOST],
    )


def _difference(scores: FloatArray, has: BoolArray) -> tuple[float, float]:
    """Mean of the scores that have something less that of the others, and Welch's t; a t of 0 where too few are on
    either side, or none of them vary."""
    ours, theirs = scores[has], scores[~has]
    if min(len(ours), len(theirs)) < _LEAST:
        return 0.0, 0.0
    error = math.sqrt(float(ours.var(ddof=1)) / len(ours) + float(theirs.var(ddof=1)) / len(theirs))
    effect = float(ours.mean() - theirs.mean())
    return effect, effect / error if error > 0.0 else 0.0


def _structures(formula: Measured) -> frozenset[Structure]:
    """The themes that a formula belongs to.

    Raises:
        ExpressionError: it cannot be read any more.
    """
    from fama_fast.engine import compile_recorded

    root = compile_recorded(formula.canonical, fields=formula.fields, groups=formula.groups).node
    found: set[Structure] = {("history", next(name for most, name in _HISTORY if lookback(root) <= most))}
    for node in postorder(root):
        if node.op == FIELD:
            found.add(("field", node.name))
        elif node.op not in LEAVES and _says_something(node):
            found.add(("operator", node.op))
            found |= {("pair", f"{node.op} on {field}") for field in _fields(node)}
    return frozenset(found)


def _says_something(node: Node) -> bool:
    """Whether an operator is more than arithmetic, or the rank that nearly every formula has."""
    spec = ops.find(node.op)
    return spec is not None and spec.family is not Family.ELEMENT and spec.name != "RANK"


def _fields(node: Node) -> set[str]:
    return {n.name for n in postorder(node) if n.op == FIELD}
