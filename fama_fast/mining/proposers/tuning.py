"""Variants of a model's own structures with other windows: ideas are the model's, their constants are searched here.

The best of its results have each of their windows moved to the next places of a grid. It costs no answer, and equal
results give equal variants.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.mining.proposers.check import compiled
from fama_fast.mining.proposers.level_free import tree_maker
from fama_fast.mining.proposers.variation import moved_windows
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fama_fast.ir import Node
    from fama_fast.proposals.protocol import Attempt, ProposalRequest

ORIGIN = "constants tuned"
_LEAST_T = 1.0


def tuned(request: ProposalRequest, count: int) -> list[Proposal]:
    """Up to `count` variants of the best results of the request's experience, the best results' first and in turn.

    None of them is known already, and each is admissible.
    """
    from fama_fast.lang import to_text

    if count < 1:
        return []
    results = {a.expression: a for a in request.experience.results if math.isfinite(a.t) and a.t >= _LEAST_T}
    ranked = sorted(results.values(), key=lambda a: (-a.t, a.expression))
    variants = [_variants(a, request) for a in ranked]
    out: list[Proposal] = []
    met = set(request.known)
    while variants and len(out) < count:
        for turn in list(variants):
            found = next(turn, None)
            if found is None:
                variants.remove(turn)
                continue
            attempt, node = found
            text = to_text(node)
            if text not in met and len(out) < count:
                met.add(text)
                parents = (attempt.fingerprint,) if attempt.fingerprint else ()
                # A hypothesis that training contradicted is none for what works the other way round.
                hypothesis = "" if attempt.turned else attempt.hypothesis
                out.append(Proposal(text, hypothesis, parents=parents, origin=ORIGIN))
    return out


def _variants(attempt: Attempt, request: ProposalRequest) -> Iterator[tuple[Attempt, Node]]:
    """A result's formula with each of its windows moved, the nearest places first."""
    from fama_fast.passes import canonicalise

    maker = tree_maker(random.Random(0), request.vocabulary, level_free=request.limits.level_free)  # noqa: S311  (it draws nothing)
    try:
        node = compiled(attempt.expression, request.vocabulary, request.limits)
    except FamaError:  # a result of other limits
        return
    for moved in moved_windows(maker, node):
        try:
            own = canonicalise(moved)
        except FamaError:
            continue
        if admissible(own, request.limits) is None:
            yield attempt, own
