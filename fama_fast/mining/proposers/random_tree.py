"""Random expressions drawn from the registry, typed by kind: for the random control, and as fresh candidates of
`evolve`.

No operator is named here: the registry says what takes what. Everything is drawn from the generator that is
passed in, so a seed decides the result.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.errors import FamaError
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, Node, const, field, group, postorder
from fama_fast.mining.proposers.palette import palette, usage
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.operators import WINDOWS
from fama_fast.proposals.protocol import Limits
from fama_fast.types import Family, Kind, adv_window

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence

    from fama_fast.ir import Param
    from fama_fast.ops import OpSpec, Parameter
    from fama_fast.proposals.protocol import Vocabulary


MAX_DEPTH = 6
MAX_NODES = 20
_CONSTANTS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_COUNTS = (2, 3, 5, 10, 20, 50)
_ATTEMPTS = 200
# Distinct operations that an expression may come down to. A few composite operators are hundreds of them: one such
# candidate costs as much as dozens of others.
MAX_WORK = 60
_SHARE_OF_MADE_GROUPS = 0.15
# How often the result is made comparable between stocks by its outermost operator, rather than by a ratio.
_CROSS_SECTIONAL_ROOT = 0.8


def few_digits(value: float) -> float:
    """A number rounded to six digits: 1.5 times 0.05 is 0.075, not 0.07500000000000001."""
    return float(f"{value:.6g}")


@functools.lru_cache(maxsize=1 << 14)
def is_scorable(node: Node) -> bool:
    """Whether values differ between symbols and cost no more than `MAX_WORK` operations."""
    from fama_fast.passes import identity

    if _idle(node):
        return False
    return sum(1 for n in postorder(identity(node)) if n.op not in LEAVES) <= MAX_WORK


def _idle(root: Node) -> bool:
    """Whether an operation has one value a date, or combines such a value with what is only ordered across the date,
    which keeps or turns the order."""
    differs = _differs(root)
    ranked = [root]
    for n in differs:
        spec = ops.find(n.op)
        if spec is not None and spec.family in (Family.CROSS_SECTION, Family.GROUP):
            # A number in place of an operand that may be left out is not compared.
            ranked += [
                a
                for p, a in zip(spec.operands, n.args, strict=True)
                if not is_group(a) and (p.required or a.op != CONST)
            ]
    for n in ranked:
        if not differs[n]:
            return True
        spec = ops.find(n.op)
        arithmetic = spec is not None and spec.symbol is not None and not spec.boolean
        if arithmetic and len(n.args) == 2 and any(not differs[a] and a.op != CONST for a in n.args):
            return True
    return False


def _differs(root: Node) -> dict[Node, bool]:
    """Whether the values of each node can differ between the symbols of a date: an aggregate's do not."""
    differs: dict[Node, bool] = {}
    for n in postorder(root):
        if n.op in LEAVES:
            differs[n] = n.op != CONST
            continue
        spec = ops.get(n.op)
        one_a_date = spec.family is Family.CROSS_SECTION and spec.name.startswith("CS_") and not spec.gives_group
        differs[n] = not one_a_date and any(differs[a] for a in n.args)
    return differs


def is_boolean(node: Node) -> bool:
    """Whether the outermost operator gives a condition."""
    spec = ops.find(node.op)
    return spec is not None and spec.boolean


def is_group(node: Node) -> bool:
    """Whether the node is a group field or makes groups."""
    return ops.is_group(node)


def fits(
    node: Node,
    vocabulary: Vocabulary,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
    *,
    level_free: bool = False,
) -> bool:
    """Whether the expression can be proposed: admissible, no leaf, fields, groups and windows of the data."""
    limits = Limits(max_nodes, max_depth, vocabulary.max_window, level_free)
    if node.op in LEAVES or admissible(node, limits) is not None:
        return False
    fields, groups = _names(vocabulary)
    for n in postorder(node):
        if n.op == FIELD:
            adv = adv_window(n.name)
            if n.name not in fields and not (adv and {"CLOSE", "VOLUME"} <= fields):
                return False
        elif n.op == GROUP and n.name not in groups:
            return False
        elif (spec := ops.find(n.op)) is not None:
            for p, value in zip(spec.statics, n.params, strict=True):
                if p.kind is Kind.WINDOW and value is not None and float(value) > vocabulary.max_window:
                    return False
            varying = [a for a in n.args if a.op != CONST]
            if len(set(varying)) < len(varying):  # x / x, x - x: no information
                return False
    return True


@functools.lru_cache(maxsize=16)
def _names(vocabulary: Vocabulary) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(f.upper() for f in vocabulary.fields), frozenset(g.upper() for g in vocabulary.groups)


class NothingToDrawError(ValueError):
    """A vocabulary or limits that admit no expression."""


class TreeMaker:
    """Draws typed trees for one vocabulary, whatever becomes of price levels in them."""

    level_free = False

    def __init__(self, rng: random.Random, vocabulary: Vocabulary) -> None:
        if not vocabulary.fields:
            raise NothingToDrawError("a vocabulary without fields has no expressions")
        self.rng = rng
        self.vocabulary = vocabulary
        self.palette = palette(vocabulary, ops.names())
        self.numeric, self.roots, self.ratios = self.palette.numeric, self.palette.roots, self.palette.ratios
        self.groupers, self.conditions = self.palette.groupers, self.palette.conditions
        self.explosive = self.palette.explosive

    def alike(self, new: Node, old: Node) -> bool:
        """Whether one subtree may take another's place, as far as price levels go."""
        return True

    def admits(self, node: Node) -> bool:
        """Whether a whole tree may be proposed, as far as price levels go."""
        return True

    def fits(self, node: Node, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> bool:
        """Whether the expression can be proposed; see `fits`."""
        return fits(node, self.vocabulary, max_depth, max_nodes, level_free=self.level_free)

    def window(self, p: Parameter) -> int:
        """A random window of the grid, shorter ones more often."""
        least = int(p.minimum or 1)
        grid = [w for w in WINDOWS if least <= w <= self.vocabulary.max_window] or [least]
        return self.rng.choice(grid[: max(1, self.rng.randint(1, len(grid)))])

    def statics(self, spec: OpSpec) -> dict[str, Param]:
        """Random static parameters by name; what is optional mostly keeps its default."""
        out: dict[str, Param] = {}
        bare: list[str] = []
        for p in spec.statics:
            too_long = p.kind is Kind.WINDOW and not p.required and (p.default or 0) > self.vocabulary.max_window
            if p.keyword_only or (not p.required and not too_long and self.rng.random() < 0.7):
                continue
            if p.kind is Kind.WINDOW:
                out[p.name] = self.window(p)
            elif p.kind is Kind.FLAG:
                out[p.name] = self.rng.random() < 0.5
            elif p.kind is Kind.CHOICE:
                out[p.name] = self.rng.choice(p.choices)
            elif p.kind is Kind.COUNT:
                out[p.name] = self.rng.choice([n for n in _COUNTS if n >= (p.minimum or 1)])
            elif p.minimum is not None and p.maximum is not None:
                share = self.rng.choice((0.1, 0.25, 0.5, 0.75, 0.9))
                out[p.name] = few_digits(p.minimum + share * (p.maximum - p.minimum))
            elif isinstance(p.default, (int, float)) and not p.required and p.default:
                out[p.name] = few_digits(float(p.default) * self.rng.choice((0.5, 0.75, 1.5, 2.0)))
            elif p.required or p.minimum is None:
                bare.append(p.name)
        # Free numbers of one operator are bounds, given from low to high.
        drawn = sorted(self.rng.sample((-2.0, -1.0, -0.5, 0.5, 1.0, 2.0), k=min(len(bare), 6)))
        out.update(zip(bare, drawn, strict=False))
        if (wrong := spec.out_of_order({**dict.fromkeys(p.name for p in spec.statics), **out})) is not None:
            low, high = wrong
            out[low], out[high] = out[high], out[low]
        return out

    def leaf(self) -> Node:
        """A random field of the data."""
        return field(self.rng.choice(self.vocabulary.fields))

    def leaf_like(self, old: Node) -> Node:
        """A random field that may take a leaf's place."""
        return self.leaf()

    def tree_like(self, old: Node, depth: int) -> Node:
        """A random tree that may take a subtree's place."""
        return self.tree(depth, condition=is_boolean(old))

    def group(self) -> Node:
        """A random group field of the data, or now and then groups made from a field."""
        if self.groupers and self.rng.random() < _SHARE_OF_MADE_GROUPS:
            return self.apply(self.rng.choice(self.groupers), 2)
        return group(self.rng.choice(self.vocabulary.groups))

    def _pick(self, specs: Sequence[OpSpec]) -> OpSpec:
        """A random operator of the palette's `numeric`, `conditions` or `roots`."""
        weights, by_family = self.palette.families[id(specs)]
        (mine, added_up), (infix, added_up_of_infix) = by_family[self.rng.choices(range(len(weights)), weights)[0]]
        # Infix forms are what people write: they are drawn as often as all other cell-by-cell operators
        # together.
        if infix and len(infix) < len(mine) and self.rng.random() < 0.6:
            mine, added_up = infix, added_up_of_infix
        return self.rng.choices(mine, cum_weights=added_up)[0]

    def choose(self, specs: Sequence[OpSpec]) -> OpSpec:
        """A random one of some operators, those that are common in the field more often; none is left out."""
        return self.rng.choices(specs, usage(specs))[0]

    def tree(self, depth: int, *, condition: bool = False) -> Node:
        """A random series of at most this depth; a condition where one is asked for and there is room."""
        if condition and self.conditions:
            return self.apply(self._pick(self.conditions), max(depth, 2))
        if depth <= 1 or self.rng.random() < 0.15:
            return self.leaf()
        return self.apply(self._pick(self.numeric), depth)

    def apply(self, spec: OpSpec, depth: int, first: Node | None = None) -> Node:
        """`spec` over random operands of lesser depth; `first` stands in for its first series operand."""
        args: list[Node] = []
        for p in spec.operands:
            if not p.required:  # operands are optional from the end
                break
            if p.kind is Kind.GROUP:
                args.append(self.group())
            elif first is not None and all(a is not first for a in args) and not p.is_condition:
                args.append(first)
            elif p.is_condition:
                args.append(self.tree(depth - 1, condition=True))
            elif args and spec.family is Family.ELEMENT and self.rng.random() < self._share_of_constants(spec):
                args.append(const(self.rng.choice(_CONSTANTS)))
            elif not args and spec.name in self.palette.root_names:
                args.append(self._below_root(depth - 1))
            else:
                args.append(self._another(args, depth - 1))
        return ops.build(spec.name, *args, **self.statics(spec))

    def _share_of_constants(self, spec: OpSpec) -> float:
        if spec.family is not Family.ELEMENT:
            return 0.0
        if spec.name in self.explosive:
            return 1.0
        return 0.4 if spec.boolean else 0.05

    def _below_root(self, depth: int) -> Node:
        """A random operand of a cross-sectional operator: often a ratio, seldom cross-sectional itself."""
        if depth >= 2 and self.ratios and self.rng.random() < 0.4:
            return self.apply(self.rng.choice(self.ratios), depth)
        return self._another((), depth, without=self.palette.root_names)

    def _another(self, args: Sequence[Node], depth: int, without: Collection[str] = ()) -> Node:
        """A random tree unlike its neighbours, and not one of some operators if a few draws can avoid it."""
        tree = self.tree(depth)
        for _ in range(7):
            if all(tree is not a for a in args) and tree.op not in without:
                break
            tree = self.tree(depth)
        return tree

    def expression(self, depth: int) -> Node:
        """A random tree whose outermost operator makes values comparable across symbols."""
        if self.roots and (not self.ratios or self.rng.random() < _CROSS_SECTIONAL_ROOT):
            return self.apply(self._pick(self.roots), depth)
        return self.apply(self.rng.choice(self.ratios), depth) if self.ratios else self.tree(depth)

    def random_expression(self, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> Node:
        """A random expression that fits, not canonical. Raises NothingToDrawError where there is none."""
        for _ in range(_ATTEMPTS):
            try:
                node = self.expression(self.rng.randint(min(3, max_depth), max_depth))
            except FamaError:  # parameters that do not go together
                continue
            if self.fits(node, max_depth, max_nodes):
                return node
        raise NothingToDrawError(
            f"no expression of depth {max_depth} and {max_nodes} nodes was found in {_ATTEMPTS} draws"
        )


def random_expression(
    rng: random.Random, vocabulary: Vocabulary, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES
) -> Node:
    """A random expression over the vocabulary, checked but not canonical.

    Args:
        rng: decides everything. vocabulary: fields, groups and longest window (also the longest lookback).
        max_depth: levels, leaves included, at least 2. max_nodes: operators and leaves.

    Raises:
        NothingToDrawError: no fields, or limits that admit no expression.
    """
    return TreeMaker(rng, vocabulary).random_expression(max_depth, max_nodes)
