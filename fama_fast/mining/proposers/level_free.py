"""Random expressions whose order across symbols is free of price levels, made so rather than drawn until one is.

What `passes.price_level` judges is kept true of every part while it is made: what is compared or added up is brought to
one level, what is ranked to none. Which operator does what follows from the registry, as in `random_tree`.
Measured in docs/decisions/032-price-levels.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.ir import CONST, LEAVES, Node, field, make
from fama_fast.mining.proposers.random_tree import TreeMaker, is_boolean, is_group
from fama_fast.passes import level_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from fama_fast.ops import OpSpec
    from fama_fast.passes.price_level import PriceLevel
    from fama_fast.proposals.protocol import Vocabulary

_ONE_LEVEL = 0.75  # how often operands that do not go together are brought to one level, rather than to none
_FORGOTTEN = 0.3  # how often a level is lost by a rank in time and the like, rather than divided out
_SMOOTHED = 0.5  # how often a field beside another is a window over it
_TRIES = 3


class LevelFreeMaker(TreeMaker):
    """Draws typed trees no part of which has lost its price level, and whole ones that have none."""

    level_free = True

    def __init__(self, rng: random.Random, vocabulary: Vocabulary) -> None:
        super().__init__(rng, vocabulary)
        self._levels: dict[Node, PriceLevel] = {}
        self._fields = [field(name) for name in vocabulary.fields]
        self._levelless = [f for f in self._fields if self.level(f).free]

    def level(self, node: Node) -> PriceLevel:
        """How the values of a tree move with their symbol's price level."""
        return level_of(node, self._levels)

    def alike(self, new: Node, old: Node) -> bool:
        """Whether both move alike with the price level, so that what stands around them is judged alike."""
        return self._same(self.level(new), self.level(old))

    def admits(self, node: Node) -> bool:
        """Whether the tree is free of price levels."""
        return self.level(node).free

    @staticmethod
    def _same(a: PriceLevel, b: PriceLevel) -> bool:
        return a.lost is None and b.lost is None and (a.degree, a.shift) == (b.degree, b.shift)

    def leaf_like(self, old: Node) -> Node:
        """A random field at the level of another."""
        return self.rng.choice([f for f in self._fields if self.alike(f, old)] or [old])

    def tree_like(self, old: Node, depth: int) -> Node:
        """A random tree at the level of another."""
        if is_boolean(old):
            return self.tree(depth, condition=True)
        return self._at(self.level(old), depth, ())

    def apply(self, spec: OpSpec, depth: int, first: Node | None = None) -> Node:
        """`spec` over random operands whose levels go together; `first` is left as it is."""
        node = super().apply(spec, depth, first)
        return node if self.level(node).lost is None or node.op in LEAVES else self._mended(node, depth, first)

    def expression(self, depth: int) -> Node:
        """A random tree that is free of price levels."""
        return self.freed(super().expression(depth), depth)

    def _below_root(self, depth: int) -> Node:
        return self.freed(super()._below_root(depth), depth)

    def _mended(self, node: Node, depth: int, first: Node | None) -> Node:
        """An operation over other operands in place of those whose levels do not go together."""
        args = list(node.args)
        series = [i for i, a in enumerate(args) if a.op != CONST and not is_group(a) and not is_boolean(a)]
        if len(series) > 1 and self.rng.random() < _ONE_LEVEL:
            model = args[series[0]] if first is None else first
            for i in series:
                if args[i] is not model and not self.alike(args[i], model):
                    args[i] = self._at(self.level(model), depth - 1, args)
            brought = make(node.op, args, node.params)
            if self.level(brought).lost is None:
                return brought
        for i in series:
            if args[i] is not first:
                args[i] = self.freed(args[i], depth - 1)
        return make(node.op, args, node.params)

    def freed(self, node: Node, depth: int) -> Node:
        """The tree, or something like it, free of price levels, and of no more than this depth where that can be."""
        if self.level(node).free or node.op == CONST:
            return node
        if any(node.op == s.name for s in self.ratios):
            ratio = make(node.op, (node.args[0], self._at(self.level(node.args[0]), depth - 1, node.args[:1])))
            if self.level(ratio).free:
                return ratio
        if depth <= node.depth and depth > 1:  # no room for what divides it out
            node = self.tree(max(1, depth - self.rng.randint(1, 2)))
            if self.level(node).free:
                return node
        if depth <= 1 and self._levelless:
            return self.rng.choice(self._levelless)
        if self.rng.random() >= _FORGOTTEN or not self.palette.forgetters:
            level = self.level(node)
            spec = self.rng.choice(self.palette.differences if level.shift else self.ratios)
            apart = ops.build(spec.name, node, self._at(level, max(depth - 1, 1), (node,)))
            if self.level(apart).free and apart.args[0] is not apart.args[1]:
                return apart
        return self._windowed(self.palette.forgetters, node) if self.palette.forgetters else node

    def _windowed(self, specs: Sequence[OpSpec], node: Node) -> Node:
        spec = self.choose(specs)
        return ops.build(spec.name, node, **self.statics(spec))

    def _at(self, level: PriceLevel, depth: int, beside: Sequence[Node]) -> Node:
        """A random tree at a level, unlike those that it stands beside."""
        if level.free:
            return self.freed(self.tree(depth), depth)
        for _ in range(_TRIES):
            tree = self.tree(depth)
            if self._same(self.level(tree), level) and all(tree is not b for b in beside):
                return tree
        fields = [f for f in self._fields if self._same(self.level(f), level)]
        others = [f for f in fields if all(f is not b for b in beside)]
        smoothed = depth > 1 and bool(self.palette.keepers)
        if others and not (smoothed and self.rng.random() < _SMOOTHED):
            return self.rng.choice(others)
        if smoothed:
            series = [b for b in beside if b.depth < depth and self._same(self.level(b), level)]
            if fields or series:
                return self._windowed(self.palette.keepers, self.rng.choice(series or fields))
        return self.tree(depth)


def tree_maker(rng: random.Random, vocabulary: Vocabulary, *, level_free: bool) -> TreeMaker:
    """What draws trees for these settings."""
    return LevelFreeMaker(rng, vocabulary) if level_free else TreeMaker(rng, vocabulary)
