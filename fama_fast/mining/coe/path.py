"""Improvement paths through a chain: steps that are improvements, beyond noise, on something alike.

The members of a chain are of one idea and ordered by score, which does not make each an improvement on the one before:
neighbours may have little to do with each other, and a difference of a few ten-thousandths is noise. Here each member
has at most one parent: the weaker member most like it, at least `floor` alike, that it leads with a t of at least
`least_t`. A path runs from a member that is nobody's parent back to one that has none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.mining.coe.chain import strength
from fama_fast.proposals.protocol import PathStep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.coe.chain import Chain

    Relation = Callable[[Factor, Factor], float]


def parents_of(
    members: Sequence[Factor], correlation: Relation, lead: Relation, *, floor: float, least_t: float
) -> list[int | None]:
    """The place of each member's parent among the members, None where it improves on none.

    Args:
        members: by ascending score. correlation: of two factors' rankings. lead: t of how far the first of two factors
            is above the second. floor, least_t: what a step must have at least.
    """
    return [_parent(members, place, correlation, lead, floor, least_t) for place in range(len(members))]


def _parent(
    members: Sequence[Factor], place: int, correlation: Relation, lead: Relation, floor: float, least_t: float
) -> int | None:
    own = members[place]
    alike = sorted(
        ((abs(r), i) for i in range(place) if abs(r := correlation(own, members[i])) >= floor), reverse=True
    )  # NaN reaches no floor
    for _, i in alike:
        if strength(own) > strength(members[i]) > -math.inf and lead(own, members[i]) >= least_t:
            return i
    return None


def improvement_path(
    chain: Chain, correlation: Relation, lead: Relation, *, floor: float, least_t: float, turn: int = 0
) -> tuple[PathStep, ...]:
    """One path of a chain, its first step first.

    A chain may have several: the strongest end is shown first, then, by `turn`, the others; ends that improved on
    something come before those that improved on nothing.

    Args:
        floor, least_t: see `parents_of`. turn: which of the paths, from 0; it goes round.
    """
    members = chain.members
    parents = parents_of(members, correlation, lead, floor=floor, least_t=least_t)
    ends = [i for i in range(len(members)) if i not in parents]
    ends.sort(key=lambda i: (parents[i] is None, -i))
    at: int | None = ends[turn % len(ends)]
    steps: list[PathStep] = []
    while at is not None:
        before = parents[at]
        own = members[at]
        if before is None:
            steps.append(PathStep(own))
        else:
            last = members[before]
            steps.append(PathStep(own, own.score - last.score, lead(own, last), correlation(own, last)))
        at = before
    return tuple(reversed(steps))
