"""The evolutionary proposer: it mutates and crosses elites, exemplars and the chain, proposes residuals of rejected
candidates, and draws fresh random expressions.

The embedded default: it needs no model, no key and no network, and equal requests get equal answers. It names
no operator (the registry does) and never sees data; what is good is for the loop's gates to say, and the
archive it breeds from is the loop's (`LoopState.archive`).

Parents are elites, drawn by tournament (Goldberg and Deb 1991), exemplars and chains. A search that is paid for what
the wide pool earns (`run.reward: pool`) draws most of them from that pool, in proportion to what it earns by each (in
the spirit of GFlowNets: Bengio et al. 2021). Moves are drawn by what their children earned or were admitted lately,
with a floor for each (probability matching: Thierens 2005). A search that is stuck begins anew from fresh expressions
and doubly mutated parents of every niche. Where there is a wide pool, which lives of breadth, a share of the proposals
(`wide.fresh`) is drawn anew whatever the moves paid. What was tried: docs/decisions/004-parents-of-the-search.md,
040-what-the-search-is-paid-for.md and 044-what-a-search-adds.md.
"""

from __future__ import annotations

import bisect
import random
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError, FamaError
from fama_fast.mining.proposers import variation
from fama_fast.mining.proposers.check import compiled, spelled
from fama_fast.mining.proposers.level_free import tree_maker
from fama_fast.mining.proposers.random_tree import NothingToDrawError, is_scorable
from fama_fast.passes import ranking_hash
from fama_fast.proposals.admissible import level_fault
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.ir import Node
    from fama_fast.library.factor import Factor
    from fama_fast.mining.proposers.random_tree import TreeMaker
    from fama_fast.proposals.protocol import Earner, ProposalRequest, SearchView, Vocabulary

MAX_DEPTH = 9
MAX_NODES = 30
_ATTEMPTS_PER_PROPOSAL = 60
_FRESH_DEPTHS = (3, 4, 4, 4, 5)

_MUTATIONS: dict[str, Callable[[TreeMaker, Node], Node | None]] = {
    "operator swap": variation.swap_operator,
    "field change": variation.change_leaf,
    "wrap": variation.wrap,
    "unwrap": variation.unwrap,
    "subtree replacement": variation.replace_subtree,
}
# How often each move is made before anything is known of what it earns.
_PRIOR = {
    "fresh": 0.2,
    "sweep": 0.25,
    "parameter step": 0.12,
    "crossover": 0.14,
    "combine": 0.1,
    "graft": 0.04,
    "residual": 0.1,
    "double mutation": 0.07,
    **{f"mutation: {name}": 0.06 for name in _MUTATIONS},
}
# How far what a move earns may bend its prior. A lower floor nearly ends fresh expressions once something was found
# (docs/decisions/004-parents-of-the-search.md).
_LEAST, _MOST = 0.5, 5.0
_STUCK = {"fresh": 3.0, "double mutation": 3.0}  # what a restart favours
# A search begins wide: one that breeds from its first few finds stays with those that chance favoured.
_EARLY_ROUNDS, _EARLY = 10, {"fresh": 6.0}
_TOURNAMENT, _SWEEP_TOURNAMENT = 4, 8
_SHARE_OF_EARNERS = 0.75  # parents that come from the wide pool, where it earns; of the others:
_SHARE_OF_ELITES = 0.75  # parents that come from the archive rather than from exemplars and chain
_LONGEST_CACHE = 4096


@dataclass(frozen=True)
class _Parent:
    node: Node
    fingerprint: str
    canonical: str
    fitness: float = 0.0


@dataclass(frozen=True)
class _Stock:
    """The expressions that may be parents: exemplars, the chain, the run's elites (best first), its wide pool."""

    exemplars: Sequence[_Parent]
    chain: Sequence[_Parent]
    elites: Sequence[_Parent]
    residuals: Sequence[tuple[_Parent, _Parent]] = ()
    stuck: bool = False
    earners: _Earners | None = None

    @property
    def shown(self) -> list[_Parent]:
        # The end of the chain is where improvement stands, so it is drawn as often as two exemplars.
        return [*self.exemplars, *self.chain[-1:], *self.chain]

    def draw(self, rng: random.Random) -> _Parent:
        """A parent: a formula of the wide pool, an elite that wins its tournament, or one of those shown."""
        shown = self.shown
        if self.earners and (rng.random() < _SHARE_OF_EARNERS or not (shown or self.elites)):
            return self.earners.draw(rng)
        if self.elites and (not shown or rng.random() < _SHARE_OF_ELITES):
            entrants = 1 if self.stuck else _TOURNAMENT
            return self.elites[min(rng.randrange(len(self.elites)) for _ in range(entrants))]
        return rng.choice(shown)

    def distinct(self) -> int:
        return max(len({p.node for p in (*self.shown, *self.elites)}), len(self.earners or ()))


class _Earners:
    """Formulas of the wide pool, drawn in proportion to what it earns by them.

    Args:
        earners: of the search. parent: makes a parent of a text and a fingerprint, raises where it cannot be one.
    """

    def __init__(self, earners: Sequence[Earner], parent: Callable[[Earner], _Parent]) -> None:
        self._earners = [e for e in earners if e.earning > 0.0]
        self._sums = list(accumulate(e.earning for e in self._earners))
        self._parent = parent

    def __len__(self) -> int:
        return len(self._earners)

    def draw(self, rng: random.Random) -> _Parent:
        """One of them; there must be one. Only those drawn are read: there are thousands."""
        place = bisect.bisect(self._sums, rng.random() * self._sums[-1])
        return self._parent(self._earners[min(place, len(self._earners) - 1)])


class _Sweep:
    """Enumerates the neighbours of the best elites, one at a time, without those that are in `seen`.

    Chance alone leaves the obvious untried for long: the part of a good expression that did it all, the next window.
    """

    def __init__(self, seen: set[str]) -> None:
        self._seen = seen
        self._left: dict[Node, Iterator[Node]] = {}

    def next(self, maker: TreeMaker, stock: _Stock) -> tuple[Node | None, tuple[_Parent, ...]]:
        """The next neighbour that is new, and the parent it is of."""
        from fama_fast.lang import to_text
        from fama_fast.passes import canonicalise

        parent = stock.elites[min(maker.rng.randrange(len(stock.elites)) for _ in range(_SWEEP_TOURNAMENT))]
        if parent.node not in self._left:
            self._left[parent.node] = variation.neighbours(maker, parent.node)
        for neighbour in self._left[parent.node]:
            node = canonicalise(neighbour)
            if to_text(node) not in self._seen:
                return node, (parent,)
        return None, ()


class EvolveProposer:
    """Seeded evolutionary proposer."""

    name = "evolve"
    capabilities = Capabilities(deterministic=True, has_more=True)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._compiled: dict[tuple[str, Vocabulary], Node] = {}  # only spares work

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Up to `request.count` new expressions in canonical text, none of them in `request.known`, none with a ranking
        that was met before.

        Fewer when the vocabulary has no more to offer within a bounded search; `dropped` then says so, as it
        does for parents that do not compile against the vocabulary.
        """
        from fama_fast.lang import to_text
        from fama_fast.passes import canonicalise

        rng = random.Random(f"{self.seed} {request.seed} {request.round}")  # noqa: S311  (no secret)
        vocabulary = request.vocabulary
        if request.count <= 0 or not vocabulary.fields:
            return ProposalBatch((), (Rejection("", "the data has no fields"),) if request.count > 0 else ())
        level_free = request.limits.level_free
        maker, same = tree_maker(rng, vocabulary, level_free=level_free), spelled(vocabulary)
        # Of a stream of their own, so that runs on other data, or with another share of them, draw the same ones.
        anew = tree_maker(_stream(self.seed, request), vocabulary, level_free=level_free)
        stock, bad = self._stock(request)
        moves = _weights(stock, request.search, early=request.round <= _EARLY_ROUNDS)
        seen = set(request.known) | {p.canonical for p in (*stock.exemplars, *stock.chain, *stock.elites)}
        ranking_hashes = set(request.search.ranking_hashes)
        sweep, residuals = _Sweep(seen), iter(stock.residuals)
        out: list[Proposal] = []
        for _ in range(request.count * _ATTEMPTS_PER_PROPOSAL):
            if len(out) >= request.count:
                break
            move = rng.choices(list(moves), list(moves.values()))[0]
            try:
                if move == "sweep":
                    node, parents = sweep.next(maker, stock)
                elif move == "residual":
                    node, parents = _residual(maker, residuals)
                elif move == "fresh":
                    node, parents = anew.random_expression(anew.rng.choice(_FRESH_DEPTHS)), ()
                else:
                    node, parents = _draw(maker, move, stock)
                if node is None:
                    continue
                node = canonicalise(node)
                if not maker.fits(node, MAX_DEPTH, MAX_NODES) or not is_scorable(node):
                    continue
            except FamaError:  # parameters that do not go together, or a parent that cannot be one here
                continue
            except NothingToDrawError:
                break
            text = to_text(node)
            if text in seen:
                continue
            seen.add(text)
            ranking = ranking_hash(node)
            if ranking in ranking_hashes:
                continue
            ranking_hashes.add(ranking)
            fingerprints = tuple(dict.fromkeys(p.fingerprint for p in parents))
            out.append(Proposal(text, parents=fingerprints, origin=move, node=node if same else None))
            if same:
                self._compiled[text, vocabulary] = node
        dropped = [*bad]
        if len(out) < request.count:
            dropped.append(Rejection("", f"only {len(out)} of {request.count} new expressions were found"))
        return ProposalBatch(tuple(out), tuple(dropped))

    def _stock(self, request: ProposalRequest) -> tuple[_Stock, list[Rejection]]:
        bad: list[Rejection] = []

        def parents(texts: Sequence[tuple[str, str, float]]) -> list[_Parent]:
            usable = []
            for text, fingerprint, fitness in texts:
                try:
                    usable.append(self._parent(text, fingerprint, fitness, request))
                except FamaError as error:
                    bad.append(Rejection(text, f"no parent here: {error}"))
            return usable

        def of(factors: Sequence[Factor]) -> list[_Parent]:
            return parents([(f.as_proposed[0] or f.expression, f.fingerprint, 0.0) for f in factors])

        elites = parents([(e.canonical, e.fingerprint, e.fitness) for e in request.search.elites])
        pairs = []
        for left in request.search.residuals:
            both = parents(
                [(left.canonical, left.fingerprint, left.fitness), (left.beside_canonical, left.beside, 0.0)]
            )
            pairs += [(both[0], both[1])] if len(both) == 2 else []
        earners = _Earners(
            request.search.earners, lambda e: self._parent(e.canonical, e.fingerprint, e.earning, request)
        )
        search = request.search
        return _Stock(of(request.exemplars), of(request.chain), elites, pairs, search.stuck, earners), bad

    def _parent(self, text: str, fingerprint: str, fitness: float, request: ProposalRequest) -> _Parent:
        from fama_fast.lang import to_text

        vocabulary = request.vocabulary
        if len(self._compiled) > _LONGEST_CACHE:
            self._compiled.clear()
        node = self._compiled.get((text, vocabulary))
        if node is None:
            node = self._compiled[text, vocabulary] = compiled(text, vocabulary)
        if (fault := level_fault(node, request.limits)) is not None:
            raise ArgumentError(fault, text=text, end=len(text))
        return _Parent(node, fingerprint, to_text(node), fitness)


def _weights(stock: _Stock, search: SearchView, *, early: bool = False) -> dict[str, float]:
    """Probability weights of the moves: each prior scaled, within bounds, by the move's success rate; moves without
    parents are left out."""
    if not stock.distinct():
        return {"fresh": 1.0}
    moves = dict(_PRIOR)
    if not stock.elites:
        del moves["sweep"]
    if stock.distinct() < 2:
        del moves["crossover"], moves["combine"]
    if len(stock.chain) < 2:
        del moves["graft"]
    if not stock.residuals:
        del moves["residual"]
    rates = {name: rate for name, rate in search.rates if name in moves}
    if rates:
        usual = sum(rates.values()) / len(rates)
        for name, rate in rates.items():
            moves[name] *= min(_MOST, max(_LEAST, rate / usual))
    for name, factor in (*(_STUCK.items() if search.stuck else ()), *(_EARLY.items() if early else ())):
        moves[name] *= factor
    if search.fresh is None:
        return moves
    bred = sum(weight for name, weight in moves.items() if name != "fresh")
    return {name: search.fresh if name == "fresh" else (1.0 - search.fresh) * w / bred for name, w in moves.items()}


def _stream(seed: int, request: ProposalRequest) -> random.Random:
    """What fresh expressions of a round are drawn from."""
    return random.Random(f"fresh {seed} {request.seed} {request.round}")  # noqa: S311  (no secret)


def _residual(
    maker: TreeMaker, residuals: Iterator[tuple[_Parent, _Parent]]
) -> tuple[Node | None, tuple[_Parent, ...]]:
    """The next of the residuals, which come best first."""
    pair = next(residuals, None)
    return (None, ()) if pair is None else (variation.residual(maker, pair[0].node, pair[1].node), pair)


def _draw(maker: TreeMaker, move: str, stock: _Stock) -> tuple[Node | None, tuple[_Parent, ...]]:
    """One candidate made by this move, and its parents."""
    rng = maker.rng
    parent = stock.draw(rng)
    if move == "parameter step":
        return variation.step_parameter(maker, parent.node), (parent,)
    if move in ("crossover", "combine"):
        other = stock.draw(rng)
        if other.node is parent.node:
            return None, ()
        vary = variation.crossover if move == "crossover" else variation.combine
        return vary(maker, parent.node, other.node), (parent, other)
    if move == "graft":
        hosts = [*stock.exemplars, *stock.chain[:-1], *stock.elites]
        host = rng.choice(hosts)
        before, after = stock.chain[-2], stock.chain[-1]
        return variation.graft(maker, host.node, before.node, after.node), (host, after)
    if move == "double mutation":
        once = _MUTATIONS[rng.choice(list(_MUTATIONS))](maker, parent.node)
        return (None if once is None else _MUTATIONS[rng.choice(list(_MUTATIONS))](maker, once)), (parent,)
    return _MUTATIONS[move.removeprefix("mutation: ")](maker, parent.node), (parent,)
