"""Proposals by evolution: exemplars and the chain are varied, crossed, grafted, and mixed with fresh random
ones.

The embedded default: it needs no model, no key and no network, and equal requests get equal answers. It names
no operator (the registry does) and never sees data; what is good is for the loop's gates to say.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.mining.proposers import variation
from fama_fast.mining.proposers.check import compiled
from fama_fast.mining.proposers.random_tree import TreeMaker, fits, random_expression
from fama_fast.mining.protocol import Capabilities, Proposal, ProposalBatch, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Node
    from fama_fast.library.factor import Factor
    from fama_fast.mining.protocol import ProposalRequest, Vocabulary

MAX_DEPTH = 9
MAX_NODES = 30
_ATTEMPTS_PER_PROPOSAL = 60
_FRESH_DEPTH = 5

_MUTATIONS: dict[str, Callable[[TreeMaker, Node], Node | None]] = {
    "operator swap": variation.swap_operator,
    "field change": variation.change_leaf,
    "wrap": variation.wrap,
    "unwrap": variation.unwrap,
    "subtree replacement": variation.replace_subtree,
}
_MOVES = {"mutation": 0.4, "parameter step": 0.18, "crossover": 0.2, "graft": 0.1, "fresh": 0.12}


@dataclass(frozen=True)
class _Parent:
    node: Node
    fingerprint: str
    canonical: str


class EvolveProposer:
    """Seeded evolutionary proposer."""

    name = "evolve"
    capabilities = Capabilities(deterministic=True)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Up to `request.count` new expressions in canonical text, none of them in `request.known`.

        Fewer when the vocabulary has no more to offer within a bounded search; `dropped` then says so, as it
        does for parents that do not compile against the vocabulary.
        """
        from fama_fast.lang import to_text
        from fama_fast.passes import canonicalise

        rng = random.Random(f"{self.seed} {request.seed} {request.round}")  # noqa: S311  (no secret)
        vocabulary = request.vocabulary
        if request.count <= 0 or not vocabulary.fields:
            return ProposalBatch((), (Rejection("", "the data has no fields"),) if request.count > 0 else ())
        maker = TreeMaker(rng, vocabulary)
        exemplars, bad = _parents(request.exemplars, vocabulary)
        chain, worse = _parents(request.chain, vocabulary)
        seen = set(request.known) | {p.canonical for p in (*exemplars, *chain)}
        out: list[Proposal] = []
        for _ in range(request.count * _ATTEMPTS_PER_PROPOSAL):
            if len(out) >= request.count:
                break
            try:
                node, origin, parents = _draw(maker, exemplars, chain)
                if node is None or not fits(node, vocabulary, MAX_DEPTH, MAX_NODES):
                    continue
                node = canonicalise(node)
                if not fits(node, vocabulary, MAX_DEPTH, MAX_NODES):
                    continue
            except FamaError:  # parameters that do not go together
                continue
            text = to_text(node)
            if text in seen:
                continue
            seen.add(text)
            fingerprints = tuple(dict.fromkeys(p.fingerprint for p in parents))
            out.append(Proposal(text, parents=fingerprints, origin=origin))
        dropped = [*bad, *worse]
        if len(out) < request.count:
            dropped.append(Rejection("", f"only {len(out)} of {request.count} new expressions were found"))
        return ProposalBatch(tuple(out), tuple(dropped))


def _parents(factors: Sequence[Factor], vocabulary: Vocabulary) -> tuple[list[_Parent], list[Rejection]]:
    from fama_fast.lang import to_text

    parents: list[_Parent] = []
    bad: list[Rejection] = []
    for factor in factors:
        text = factor.canonical or factor.expression
        try:
            node = compiled(text, vocabulary)
            parents.append(_Parent(node, factor.fingerprint, to_text(node)))
        except FamaError as error:
            bad.append(Rejection(text, f"no parent here: {error}"))
    return parents, bad


def _draw(
    maker: TreeMaker, exemplars: Sequence[_Parent], chain: Sequence[_Parent]
) -> tuple[Node | None, str, tuple[_Parent, ...]]:
    """One candidate, how it arose, and from whom."""
    rng = maker.rng
    # The end of the chain is where improvement stands, so it is drawn as often as two exemplars.
    pool = [*exemplars, *chain[-1:], *chain]
    moves = dict(_MOVES) if pool else {"fresh": 1.0}
    if len({p.node for p in pool}) < 2:
        moves.pop("crossover", None)
    if len(chain) < 2:
        moves.pop("graft", None)
    move = rng.choices(list(moves), list(moves.values()))[0]
    if move == "fresh":
        return random_expression(rng, maker.vocabulary, max_depth=_FRESH_DEPTH), move, ()
    parent = rng.choice(pool)
    if move == "parameter step":
        return variation.step_parameter(maker, parent.node), move, (parent,)
    if move == "crossover":
        other = rng.choice(pool)
        return variation.crossover(maker, parent.node, other.node), move, (parent, other)
    if move == "graft":
        host = rng.choice([*exemplars, *chain[:-1]])
        before, after = chain[-2], chain[-1]
        return variation.graft(maker, host.node, before.node, after.node), move, (host, after)
    kind = rng.choice(list(_MUTATIONS))
    return _MUTATIONS[kind](maker, parent.node), f"mutation: {kind}", (parent,)
