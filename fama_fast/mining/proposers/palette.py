"""The operators that random expressions and their variations are drawn from, sorted once for each vocabulary.

What is common in the field is drawn more often. No operator is offered here that the data cannot serve.
"""

from __future__ import annotations

import functools
from itertools import accumulate
from typing import TYPE_CHECKING

from fama_fast import ops
from fama_fast.ir import field
from fama_fast.ops.registry import on_unregister
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.passes import level_of
from fama_fast.proposals.operators import proposable_specs
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ops import OpSpec
    from fama_fast.proposals.protocol import Vocabulary

    # Operators, and what `usage` says of them added up: what a draw among them needs.
    _Drawn = tuple[list[OpSpec], list[float]]
    _Families = tuple[list[float], list[tuple[_Drawn, _Drawn]]]

_WEIGHTS = {Family.TIME_SERIES: 5.0, Family.ELEMENT: 4.0, Family.CROSS_SECTION: 2.0, Family.GROUP: 1.0}
_UNUSUAL = 0.3  # added to each operator's usage, so that one that no published set uses is drawn too
_COMMONEST = 8  # windows over one series that a sweep tries on fields


def _explodes(spec: OpSpec) -> bool:
    """Numbers of ordinary size give one beyond use, as a power or an exponential does."""
    if spec.evaluate is None or spec.statics or any(p.kind is not Kind.SERIES for p in spec.operands):
        return False
    value = spec.evaluate(*[100.0] * len(spec.operands))
    return not abs(value) < 1e9


def _only_a_window(spec: OpSpec) -> bool:
    """A window is the one thing that must be said beside the operands."""
    return [p.kind for p in spec.statics if p.required] == [Kind.WINDOW]


def usage(specs: Sequence[OpSpec]) -> list[float]:
    """How often each is drawn: those that are common in the field more often, none never."""
    return [_UNUSUAL + s.usage for s in specs]


class Palette:
    """The operators that one vocabulary allows, sorted by what they are drawn for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.specs = proposable_specs(vocabulary)
        self.numeric = tuple(s for s in self.specs if not s.boolean and not s.gives_group)
        self.groupers = tuple(s for s in self.specs if s.gives_group)
        self.explosive = frozenset(s.name for s in self.specs if _explodes(s))
        self.conditions = tuple(s for s in self.specs if s.boolean)
        self.roots = tuple(s for s in self.numeric if s.family in (Family.CROSS_SECTION, Family.GROUP))
        self.root_names = frozenset(s.name for s in self.roots)
        self.ratios = tuple(s for s in self.numeric if s.symbol == "/" and len(s.operands) == 2)
        self.wrappers = tuple(s for s in self.numeric if sum(p.kind is Kind.SERIES for p in s.operands) == 1)
        orders = [s for s in self.roots if s.algebra.increasing and s.algebra.idempotent and not s.statics]
        # The commonest that keeps the order.
        self.orders = tuple(sorted(orders, key=lambda s: -s.usage)[:1])
        self.residuals = tuple(s for s in self.roots if s.algebra.residual)
        windowed = [s for s in self.numeric if len(s.operands) == 1 and _only_a_window(s)]
        self.windowed = tuple(sorted(windowed, key=lambda s: -s.usage)[:_COMMONEST])
        probe = field("CLOSE")
        levels = [(s, level_of(ops.build(s.name, probe, 20), {})) for s in windowed]
        # Windows over one series that keep a price a price, and those after which its level is gone.
        self.keepers = tuple(s for s, level in levels if level.degree == 1 and s.family is Family.TIME_SERIES)
        self.forgetters = tuple(s for s, level in levels if level.free and s.unit is UnitRule.FREE)
        self.differences = tuple(s for s in self.numeric if s.symbol == "-" and len(s.operands) == 2)
        self.alike: dict[tuple[object, ...], list[OpSpec]] = {}
        for s in self.specs:
            self.alike.setdefault(self.shape(s), []).append(s)
        self.families = {id(specs): self._by_family(specs) for specs in (self.numeric, self.conditions, self.roots)}

    @staticmethod
    def shape(spec: OpSpec) -> tuple[object, ...]:
        """Equal for operators that may stand in each other's place."""
        return spec.boolean, spec.gives_group, *(p.kind for p in spec.parameters)

    def _by_family(self, specs: Sequence[OpSpec]) -> _Families:
        """By family, in the order of their names: the families' weights, the operators, and the infix ones."""
        families = sorted({s.family for s in specs}, key=lambda f: f.value)
        lists = []
        for family in families:
            mine = [s for s in specs if s.family is family]
            mine = [s for s in mine if s.name not in self.explosive or len(s.operands) > 1] or mine
            infix = [s for s in mine if s.symbol]
            lists.append(((mine, list(accumulate(usage(mine)))), (infix, list(accumulate(usage(infix))))))
        return [_WEIGHTS[f] for f in families], lists


@functools.lru_cache(maxsize=16)
def palette(vocabulary: Vocabulary, _registered: tuple[str, ...]) -> Palette:
    """The palette of a vocabulary, while these names are registered."""
    return Palette(vocabulary)


on_unregister(palette.cache_clear)
