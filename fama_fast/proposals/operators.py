"""The operators that a proposal may use on given data, for prompts and for the evolutionary proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.types import Kind

if TYPE_CHECKING:
    from fama_fast.ops import OpSpec
    from fama_fast.proposals.protocol import Vocabulary


def proposable_specs(vocabulary: Vocabulary) -> tuple[OpSpec, ...]:
    """Operators in the registry's order, without internal ones and those the data cannot serve.

    Group operators need a group field; windows that start above `vocabulary.max_window` cannot be used at
    all.
    """
    from fama_fast import ops

    def usable(spec: OpSpec) -> bool:
        if spec.internal or (not vocabulary.groups and any(p.kind is Kind.GROUP for p in spec.operands)):
            return False
        return all(p.kind is not Kind.WINDOW or (p.minimum or 1) <= vocabulary.max_window for p in spec.statics)

    return tuple(s for s in ops.specs() if usable(s))


WINDOWS = (2, 3, 5, 10, 15, 20, 30, 40, 60, 90, 120, 180, 250)
