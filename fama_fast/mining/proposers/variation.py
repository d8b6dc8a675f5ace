"""Mutation and crossover of typed expression trees; a function gives None where it does not apply.

Trees are addressed by paths (operand indices from the root). No operator is named: what may stand where
follows from the registry. Limits and duplicates are the caller's business.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.errors import FamaError
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, const, field, make
from fama_fast.mining.proposers.random_tree import TreeMaker, few_digits, is_boolean, is_group
from fama_fast.proposals.operators import WINDOWS
from fama_fast.types import Kind

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from fama_fast.ir import Param
    from fama_fast.ops import OpSpec, Parameter

Path = tuple[int, ...]
_TRIED_WINDOWS = (20, 5, 60)
_SWAPS = 6  # draws of an operator that leaves price levels as they are


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every path of the tree with its subtree, in preorder."""
    yield path, node
    for i, a in enumerate(node.args):
        yield from walk(a, (*path, i))


def replace(node: Node, path: Path, new: Node) -> Node:
    """The tree with `path` replaced by another subtree."""
    if not path:
        return new
    args = list(node.args)
    args[path[0]] = replace(args[path[0]], path[1:], new)
    return make(node.op, args, node.params)


def sort_of(node: Node) -> str:
    """The sort of a subtree, which it may be exchanged within: group, condition or series."""
    return "group" if is_group(node) else "condition" if is_boolean(node) else "series"


def _places(node: Node, *sorts: str) -> list[tuple[Path, Node]]:
    return [(p, n) for p, n in walk(node) if sort_of(n) in sorts and n.op != CONST]


def _rebuilt(spec: OpSpec, args: tuple[Node, ...], params: tuple[Param, ...]) -> Node | None:
    named = {p.name: v for p, v in zip(spec.statics, params, strict=True) if v is not None}
    for p in spec.statics:
        value = named.get(p.name)
        if p.kind is Kind.WINDOW and p.minimum is not None and isinstance(value, int):
            named[p.name] = max(value, int(p.minimum))
    try:
        return ops.build(spec.name, *args, **named)
    except FamaError:
        return None


def swap_operator(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one operator becomes another with the same kinds of parameters."""
    places = [(p, n) for p, n in walk(node) if n.op not in LEAVES]
    if not places:
        return None
    path, old = maker.rng.choice(places)
    spec = ops.find(old.op)
    if spec is None:
        return None
    palette = maker.palette
    others = [s for s in palette.alike.get(palette.shape(spec), ()) if s.name != spec.name]
    for _ in range(_SWAPS if others else 0):
        new = _rebuilt(maker.choose(others), old.args, old.params)
        if new is None or maker.alike(new, old):
            return replace(node, path, new) if new else None
    return None


def change_leaf(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one field or group becomes another."""
    leaves = [(p, n) for p, n in walk(node) if n.op in (FIELD, GROUP)]
    if not leaves:
        return None
    path, old = maker.rng.choice(leaves)
    new = maker.group() if old.op == GROUP and maker.vocabulary.groups else maker.leaf_like(old)
    return None if new is old or is_group(old) != is_group(new) else replace(node, path, new)


def wrap(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one subtree gets an operator around it."""
    places = _places(node, "series")
    if not places:
        return None
    path, old = maker.rng.choice(places)
    single = maker.palette.wrappers
    for _ in range(_SWAPS if single else 0):
        new = maker.apply(maker.choose(single), 2, first=old)
        if maker.alike(new, old):
            return replace(node, path, new)
    return None


def unwrap(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one operator is replaced by one of its operands."""
    hoists = [
        (p, a)
        for p, n in walk(node)
        for a in n.args
        if sort_of(a) == sort_of(n) and a.op not in (CONST, GROUP) and maker.alike(a, n)
    ]
    if not hoists:
        return None
    path, inner = maker.rng.choice(hoists)
    return replace(node, path, inner)


def replace_subtree(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one subtree becomes a fresh random one of the same sort."""
    places = [(p, n) for p, n in _places(node, "series", "condition") if p]
    if not places:
        return None
    path, old = maker.rng.choice(places)
    return replace(node, path, maker.tree_like(old, maker.rng.randint(1, 3)))


def _step(maker: TreeMaker, p: Parameter, value: Param) -> Param:
    rng = maker.rng
    if p.kind is Kind.WINDOW:
        least = int(p.minimum or 1)
        grid = [w for w in WINDOWS if least <= w <= maker.vocabulary.max_window and w != value]
        if not grid:
            return value
        at = bisect.bisect_left(grid, float(value or 0))
        return rng.choice(grid[max(0, at - 2) : at + 2])
    if p.kind is Kind.NUMBER and isinstance(value, (int, float)):
        new = _scaled(rng, value)
        new = max(new, p.minimum) if p.minimum is not None else new
        return min(new, p.maximum) if p.maximum is not None else new
    return not value if p.kind is Kind.FLAG else value


def _scaled(rng: random.Random, value: float) -> float:
    """The number one step up or down: 0.75 a step down is 0.6."""
    return few_digits(value * rng.choice((0.5, 0.8, 1.25, 2.0)))


def step_parameter(maker: TreeMaker, node: Node) -> Node | None:
    """Mutation: one window or number moves by a step; of constants, only thresholds of conditions (others rank
    alike)."""
    choices: list[tuple[Path, Node, int]] = []
    for path, n in walk(node):
        spec = ops.find(n.op)
        if spec is None:
            continue
        choices += [
            (path, n, i)
            for i, (p, v) in enumerate(zip(spec.statics, n.params, strict=True))
            if v is not None and not p.keyword_only
        ]
        if spec.boolean:
            choices += [((*path, i), a, 0) for i, a in enumerate(n.args) if a.op == CONST]
    if not choices:
        return None
    path, old, i = maker.rng.choice(choices)
    if old.op == CONST:
        return replace(node, path, const(_scaled(maker.rng, old.value)))
    spec = ops.find(old.op)
    if spec is None:
        return None
    params = list(old.params)
    params[i] = _step(maker, spec.statics[i], params[i])
    new = _rebuilt(spec, old.args, tuple(params))
    return replace(node, path, new) if new and new is not old else None


def neighbours(maker: TreeMaker, node: Node) -> Iterator[Node]:
    """All trees one small step away, each once, the simplest first: each part alone, an operator left out, a window
    moved on the grid, a field exchanged, a field smoothed or compared with its past.

    They are made as they are asked for: there are hundreds, and a parent is seldom drawn that often.
    """
    met: set[Node] = set()
    for new in _steps_away(maker, node):
        if new not in met:
            met.add(new)
            if maker.admits(new):
                yield new


def _steps_away(maker: TreeMaker, node: Node) -> Iterator[Node]:
    yield from (n for p, n in _places(node, "series") if p and n.op not in LEAVES)
    for path, n in walk(node):
        yield from (replace(node, path, a) for a in n.args if path and sort_of(a) == sort_of(n) and a.op not in LEAVES)
    yield from moved_windows(maker, node)
    fields = [field(name) for name in maker.vocabulary.fields]
    for path, n in walk(node):
        if n.op == FIELD:
            yield from (replace(node, path, other) for other in fields if other is not n)
    yield from _windowed_fields(maker, node)


def _windowed_fields(maker: TreeMaker, node: Node) -> Iterator[Node]:
    """Each field under each of the commonest windows over one series, short, middle and long."""
    leaves = [(p, n) for p, n in walk(node) if n.op == FIELD]
    for window in _TRIED_WINDOWS:
        for spec in maker.palette.windowed:
            least = int(next(p.minimum for p in spec.statics if p.kind is Kind.WINDOW) or 1)
            if least <= window <= maker.vocabulary.max_window:
                yield from (replace(node, path, ops.build(spec.name, n, window)) for path, n in leaves)


def moved_windows(maker: TreeMaker, node: Node) -> Iterator[Node]:
    """Each window at the two next places of the grid to either side, the nearest first."""
    for near in (1, 2):
        for path, n in walk(node):
            spec = ops.find(n.op)
            for i, p in enumerate(spec.statics if spec else ()):
                value = n.params[i]
                if p.kind is not Kind.WINDOW or p.keyword_only or not isinstance(value, int):
                    continue
                grid = [w for w in WINDOWS if int(p.minimum or 1) <= w <= maker.vocabulary.max_window]
                below, above = [w for w in grid if w < value], [w for w in grid if w > value]
                for w in (*below[-near:][:1], *above[near - 1 : near]):
                    new = _rebuilt(spec, n.args, (*n.params[:i], w, *n.params[i + 1 :])) if spec else None
                    if new:
                        yield replace(node, path, new)


def residual(maker: TreeMaker, node: Node, other: Node) -> Node | None:
    """The residual of one parent's ranks regressed on those of the other."""
    palette = maker.palette
    if not palette.residuals or not palette.orders or sort_of(node) != "series" or sort_of(other) != "series":
        return None
    rank = palette.orders[0].name
    ranks = [n if n.op == rank else ops.build(rank, n) for n in (node, other)]
    return ops.build(palette.residuals[0].name, *ranks)


def crossover(maker: TreeMaker, node: Node, other: Node) -> Node | None:
    """Crossover: a subtree of one parent is replaced by one of the same sort of the other."""
    places = _places(node, "series", "condition")
    if not places:
        return None
    path, old = maker.rng.choice(places)
    donors = [n for p, n in _places(other, sort_of(old)) if (p or path) and n is not old and maker.alike(n, old)]
    return replace(node, path, maker.rng.choice(donors)) if donors else None


def difference(before: Node, after: Node) -> tuple[Node, Node] | None:
    """The smallest pair of subtrees at the same position in which two trees differ, or None when they are
    equal.
    """
    if before is after:
        return None
    if before.op == after.op and before.params == after.params and len(before.args) == len(after.args):
        apart = [(a, b) for a, b in zip(before.args, after.args, strict=True) if a is not b]
        if len(apart) == 1:
            return difference(*apart[0])
    return before, after


def graft(maker: TreeMaker, exemplar: Node, before: Node, after: Node) -> Node | None:
    """Apply to the exemplar the change that the last step of a chain made."""
    pair = difference(before, after)
    if pair is None:
        return None
    old, new = pair
    for path, n in walk(exemplar):  # the exemplar has what the step replaced
        if n is old:
            return replace(exemplar, path, new)
    around = next((p for p, n in walk(new) if n is old and p), None)
    if around is not None:  # the step put something around it
        places = [(p, n) for p, n in _places(exemplar, sort_of(old)) if maker.alike(n, old)]
        path, inner = maker.rng.choice(places) if places else ((), exemplar)
        return replace(exemplar, path, replace(new, around, inner))
    if old.op == new.op and old.args == new.args:  # the step moved a parameter
        for path, n in walk(exemplar):
            if n.op == new.op and n.params != new.params:
                return replace(exemplar, path, make(n.op, n.args, new.params))
    places = [(p, n) for p, n in _places(exemplar, sort_of(new)) if p and maker.alike(new, n)]
    return replace(exemplar, maker.rng.choice(places)[0], new) if places else None


def combine(maker: TreeMaker, node: Node, other: Node) -> Node | None:
    """Join both parents by one arithmetic operator, each made comparable across symbols first if it is not."""
    pairs = [s for s in maker.numeric if s.symbol and len(s.operands) == 2 and s.name not in maker.explosive]
    if not pairs or sort_of(node) != "series" or sort_of(other) != "series":
        return None
    roots = [s for s in maker.roots if len(s.operands) == 1 and not s.statics]
    names = {s.name for s in maker.roots}

    def comparable(part: Node) -> Node:
        bounded = part.op in names or any(a.op in names for a in part.args)
        return part if bounded or not roots else ops.build(maker.rng.choice(roots).name, part)

    return ops.build(maker.rng.choice(pairs).name, comparable(node), comparable(other))
