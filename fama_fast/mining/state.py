"""The loop's state between rounds, and its way through the ledger: library, chains, failures, counters.

A resumed run gets exactly the state that an uninterrupted one would have: factors, scores and chains are read
back bit for bit, rank vectors are computed again from the same data. It decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fama_fast.atomic import ensure_writable
from fama_fast.errors import ExpressionError, StoreError
from fama_fast.library import Factor, FactorSet
from fama_fast.library.codec import factor_from_dict
from fama_fast.mining.candidate import LibraryView, Member
from fama_fast.mining.coe import ChainBook, FailureMemory
from fama_fast.mining.memory import SearchMemory, elite_of, ranking_print, series_print
from fama_fast.mining.racing import Account
from fama_fast.mining.residuals import ResidualMemory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.market import Market
    from fama_fast.mining.records import StartingFactor
    from fama_fast.types import IntArray

IN_LIBRARY = "in the library already"
PROPOSED = "proposed before in this run"


@dataclass
class LoopState:
    """Everything that the next round depends on.

    Attributes:
        library: members in order. book: chains; None when Chain-of-Experience is off.
        memory: the archive that searchers breed from, the rankings that were met, and which moves paid.
        residuals: rejected candidates that have something beside the library.
        tried: why a fingerprint is a duplicate. known: canonical texts tried.
        pool: validation scores of the equal-weight pool of new factors; empty before there is one.
        best_pool: best validation RankIC of the pool so far. stale: rounds since it was reached.
        seconds: of search so far, in every part of a run that was resumed; counted only where time is a budget, so that
            equal runs otherwise have equal states.
        exhausted: the proposer had nothing more to say. races: what races cost and saved so far.
        clusters: of the library as it was when they were last asked for, see `steps`; they follow from it.
    """

    library: LibraryView
    book: ChainBook | None = None
    failures: FailureMemory = field(default_factory=FailureMemory)
    memory: SearchMemory = field(default_factory=SearchMemory)
    residuals: ResidualMemory = field(default_factory=ResidualMemory)
    tried: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    pool: dict[str, float] = field(default_factory=dict)
    best_pool: float | None = None
    stale: int = 0
    round: int = 0
    proposed: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    exhausted: bool = False
    races: Account = field(default_factory=Account)
    clusters: tuple[object, IntArray] | None = None

    @property
    def new_factors(self) -> list[Factor]:
        """What the run itself found and keeps, in order of admission."""
        return [m.factor for m in self.library.mined]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the ledger; `tried` and `known` follow from its candidates."""
        return {
            "library": [m.entry for m in self.library.members],
            "book": None if self.book is None else self.book.to_dict(),
            "failures": self.failures.to_dict(),
            "memory": self.memory.to_dict(),
            "residuals": self.residuals.to_dict(),
            "pool": dict(self.pool),
            "best_pool": self.best_pool,
            "stale": self.stale,
            "round": self.round,
            "proposed": self.proposed,
            "tokens": self.tokens,
            "cost": self.cost,
            "seconds": self.seconds,
            "exhausted": self.exhausted,
            "races": [self.races.spent, self.races.saved],
        }


def known_figures(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores without those that are not defined: what is stored reads back equal."""
    return {k: v for k, v in scores.items() if math.isfinite(v)}


def first_state(market: Market, factors: Sequence[Factor]) -> tuple[LoopState, list[str]]:
    """The state before the first round: `factors` measured on the training rows of this market.

    Returns:
        The state, and a note for each factor that the data cannot serve.
    """
    from fama_fast.engine import compile as compile_alpha

    vocabulary = market.vocabulary
    usable, alphas, notes = [], [], []
    for factor in factors:
        try:
            alpha = compile_alpha(factor.canonical, fields=vocabulary.fields, groups=vocabulary.groups)
        except ExpressionError as error:
            notes.append(f"left out of the library: {factor.canonical}: {error.message}")
            continue
        usable.append(factor)
        alphas.append(alpha)
    state = LoopState(LibraryView())
    found = zip(*market.measure(alphas), market.vectors(alphas), strict=True)
    penalty = market.config.gates.complexity_penalty
    for factor, alpha, (series, covered, vector) in zip(usable, alphas, found, strict=True):
        train = market.scores(series, covered, "train")
        measured = replace(
            factor,
            sign=-1 if train["rank_ic"] < 0.0 else 1,
            scores={"train": known_figures(train)},
            provenance={**factor.provenance, "data_hash": market.whole.data_hash},
        )
        breadth = market.breadth(series, covered)
        _put(state, Member(measured, alpha.node, vector, series=series, breadth=breadth))
        state.memory.prints |= {ranking_print(alpha.node), "=" + series_print(series)}
        own = series[market.rows.train]
        state.memory.consider(elite_of(alpha, own, penalty, breadth), own)
    return state, notes


def restored_state(
    market: Market,
    data: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]],
    start: Sequence[StartingFactor] = (),
) -> LoopState:
    """The state that `to_dict` described, with the run's candidates and starting library from the ledger.

    Raises:
        StoreError: it is not such a state, or its factors no longer read as they did.
    """
    vocabulary = market.vocabulary
    known: dict[str, Any] = {"fields": vocabulary.fields, "groups": vocabulary.groups}
    try:
        entries = [
            (factor_from_dict(e["factor"], where="the run's library", **known), e["mined"]) for e in data["library"]
        ]
        book = None if data["book"] is None else ChainBook.from_dict(data["book"], **known)
        state = LoopState(
            LibraryView(),
            book=book,
            failures=FailureMemory.from_dict(data["failures"]),
            memory=SearchMemory.from_dict(data["memory"], market.training_series),
            residuals=ResidualMemory.from_dict(data.get("residuals", {}), market.training_series),
            pool=dict(data["pool"]),
            best_pool=data["best_pool"],
            stale=data["stale"],
            round=data["round"],
            proposed=data["proposed"],
            tokens=data["tokens"],
            cost=data.get("cost", 0.0),
            seconds=data.get("seconds", 0.0),
            exhausted=data["exhausted"],
            races=Account(*data.get("races", ())),
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"the stored state of the run is damaged: {error!r}") from error
    for row in candidates:
        if row["fingerprint"]:
            # What was in the library once stays a duplicate of it, replaced or not.
            if row["admitted"] or state.tried.get(row["fingerprint"]) != IN_LIBRARY:
                state.tried[row["fingerprint"]] = IN_LIBRARY if row["admitted"] else PROPOSED
            state.known.add(row["canonical"])
    for begun_with in start:
        state.tried[begun_with.fingerprint] = IN_LIBRARY
        state.known.add(begun_with.canonical)
    gone = [f for f in (book.members() if book else ()) if all(f.fingerprint != e.fingerprint for e, _ in entries)]
    everyone = [(f, bool(mined), True) for f, mined in entries] + [(f, False, False) for f in gone]
    alphas = market.compiled(f.canonical for f, _, _ in everyone)
    found = zip(*market.measure(alphas), market.vectors(alphas), strict=True)
    for (factor, mined, member), alpha, (series, covered, vector) in zip(everyone, alphas, found, strict=True):
        if member:
            _put(state, Member(factor, alpha.node, vector, mined, series, market.breadth(series, covered)))
        else:
            state.library.vectors.add({factor.fingerprint: vector})
    left = market.compiled(k.canonical for k in state.residuals.kept.values())
    state.library.vectors.add(dict(zip(state.residuals.kept, market.vectors(left), strict=True)))
    return state


def _put(state: LoopState, member: Member) -> None:
    factor = member.factor
    if state.library.get(factor.fingerprint) is None:
        state.library.admit(member)
    state.tried[factor.fingerprint] = IN_LIBRARY
    state.known.add(factor.canonical)


def factor_of(candidate: Candidate, *, proposer: str, number: int, seed: int, data_hash: str) -> Factor:
    """The factor that an admitted candidate becomes. Nothing in it depends on the clock or the run's name."""
    proposal = candidate.proposal
    provenance: dict[str, Any] = {
        "proposer": proposer,
        "origin": proposal.origin,
        "round": number,
        "parents": list(proposal.parents),
        "seed": seed,
        "data_hash": data_hash,
    }
    if proposal.prompt_hash is not None:
        provenance["prompt_hash"] = proposal.prompt_hash
    if proposal.explanation:
        provenance["explanation"] = proposal.explanation
    return Factor(
        proposal.expression,
        candidate.compiled.canonical,
        candidate.compiled.fingerprint,
        sign=candidate.sign,
        scores={split: known_figures(s) for split, s in candidate.scores.items() if split in ("train", "valid")},
        hypothesis=proposal.hypothesis,
        provenance=provenance,
    )


def starting_factors(path: str | None) -> tuple[list[Factor], str]:
    """The library to start from, and where it is from: the factor cache where there is one, else the seeds.

    Raises:
        StoreError: the cache cannot be read.
    """
    from fama_fast.library import FactorCache, seed_factors

    if path is None:
        return list(seed_factors()), "the packaged seed alphas"
    cache = FactorCache(path)
    found = list(cache.load())
    if found:
        return found, f"the factor cache {cache.factors_path}"
    return list(seed_factors()), f"the packaged seed alphas (the factor cache {cache.factors_path} holds none yet)"


def check_cache(path: str) -> None:
    """Prove that the cache can be written before a run begins that will want to.

    Raises:
        StoreError: it is not a factor cache. OutputError: it cannot be written.
    """
    from fama_fast.library import FactorCache

    cache = FactorCache(path)
    if not cache.stores_values or cache.factors_path.parent.exists():
        ensure_writable(cache.factors_path)


def save_factors(path: str, new: Sequence[Factor], start: Sequence[Factor]) -> None:
    """Add new factors to the cache. One that was empty gets the starting library too.

    Raises:
        OutputError: it cannot be written.
    """
    from fama_fast.library import FactorCache

    cache = FactorCache(path)
    kept = cache.load()
    if not len(kept):
        kept = FactorSet(start)
    for factor in new:
        if factor not in kept:
            kept.add(factor)
    cache.save(kept)
