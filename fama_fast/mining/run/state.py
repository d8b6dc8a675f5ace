"""The loop's state between rounds, and its form in the ledger: library, chains, failures, counters.

A resumed run gets exactly the state that an uninterrupted one would have: factors, scores and chains are read
back bit for bit, rank vectors are computed again from the same data. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import ExpressionError, StoreError, listed
from fama_fast.ledger.records import as_proposed, known_figures
from fama_fast.library import Factor
from fama_fast.library.codec import factor_from_dict
from fama_fast.library.factor import CONTRADICTED
from fama_fast.library.identity import factor_from_alpha
from fama_fast.mining.candidate import Member
from fama_fast.mining.coe import ChainBook, FailureLog
from fama_fast.mining.library.archive import SearchArchive, elite_of, series_hash
from fama_fast.mining.library.residuals import ResidualArchive
from fama_fast.mining.library.view import LibraryView
from fama_fast.mining.measure.levels import unit_vector
from fama_fast.mining.measure.race import Account
from fama_fast.mining.pools.wide import WidePool
from fama_fast.mining.run.kept_figures import KeptFigures
from fama_fast.mining.run.model_memory import ModelMemory
from fama_fast.mining.run.wide_filling import listable_of, measure_again, measured, measured_texts, offer
from fama_fast.passes import ranking_hash
from fama_fast.proposals.admissible import admissible, level_fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.ledger.records import StartingFactor
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.pools.near_copies import NearCopies
    from fama_fast.proposals.protocol import Proposal
    from fama_fast.types import IntArray

# Of a stored state. 2: texts and figures are oriented; before, a sign stood beside them.
LAYOUT = 2
IN_LIBRARY = "in the library already"
PROPOSED = "proposed before in this run"


@dataclass
class LoopState:
    """Everything in a run that the next round depends on.

    Attributes:
        library: members in order. book: chains; None when Chain-of-Experience is off.
        archive: the elites that searchers breed from, the rankings that were met, and which moves paid.
        residuals: rejected candidates that have something beside the library.
        tried: why a fingerprint is a duplicate. known: canonical texts tried. Both are of what was proposed, and of the
            library.
        turned: (fingerprint, canonical text) of the factor that an expression became which training turned round, by
        the
            fingerprint of what was proposed. begun_as: what the starting factors among them were proposed as, by
            fingerprint.
        pool: validation RankIC of the wide pool by what is known of its formulas, or without short lists scores of the
            pool of new factors; empty before there is one.
        best_pool: best validation RankIC of the pool so far. stale: rounds since it was reached.
        seconds: of search so far, in every part of a run that was resumed; counted only where time is a budget, so that
            equal runs otherwise have equal states.
        exhausted: the proposer had nothing more to say. races: what races cost and saved so far.
        clusters: of the library as it was when they were last asked for, see `steps`; they follow from it.
        wide: every formula that was measured; it follows from the run's candidates. listable: those that may be in the
            short list, by fingerprint, with the round in which they were proposed first, and how; likewise.
        relatives: members of chains with their series, of those that have left the library too; they follow from the
            book and the library. leads: t of how far one is above another, as far as it was asked for. built_of:
            members that the library had when its chains were built. prompts: that were sent so far. model: what became
            of a language model's proposals.
        near: what knows everything that was measured on a few dates; it follows too, and is None where near-copies are
            not left out. near_copies: how many were.
        best_passed: best training score of what passed the gates, where nothing is admitted. figures: what the tests at
            the end ask for, of the rounds that this process ran.
    """

    library: LibraryView
    book: ChainBook | None = None
    failures: FailureLog = field(default_factory=FailureLog)
    archive: SearchArchive = field(default_factory=SearchArchive)
    residuals: ResidualArchive = field(default_factory=ResidualArchive)
    tried: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    turned: dict[str, tuple[str, str]] = field(default_factory=dict)
    begun_as: dict[str, str] = field(default_factory=dict)
    pool: dict[str, float] = field(default_factory=dict)
    best_pool: float | None = None
    stale: int = 0
    round: int = 0
    proposed: int = 0
    tokens: int = 0
    cost: float = 0.0
    logged_tokens: int = 0
    logged_cost: float = 0.0
    seconds: float = 0.0
    exhausted: bool = False
    races: Account = field(default_factory=Account)
    clusters: tuple[object, IntArray] | None = None
    wide: WidePool | None = None
    listable: dict[str, tuple[int, Proposal]] = field(default_factory=dict)
    near: NearCopies | None = None
    near_copies: int = 0
    best_passed: float = 0.0
    relatives: dict[str, Member] = field(default_factory=dict)
    leads: dict[tuple[str, str], float] = field(default_factory=dict)
    built_of: int = 0
    prompts: int = 0
    model: ModelMemory = field(default_factory=ModelMemory)
    figures: KeptFigures = field(default_factory=KeptFigures)

    @property
    def new_factors(self) -> list[Factor]:
        """The factors that the run itself found and keeps, in order of admission."""
        return [m.factor for m in self.library.mined]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the ledger; `tried`, `known` and `turned` follow from its candidates."""
        return {
            "layout": LAYOUT,
            "begun_as": dict(self.begun_as),
            "library": [m.entry for m in self.library.members],
            "book": None if self.book is None else self.book.to_dict(),
            "failures": self.failures.to_dict(),
            "memory": self.archive.to_dict(),
            "residuals": self.residuals.to_dict(),
            "pool": dict(self.pool),
            "best_pool": self.best_pool,
            "stale": self.stale,
            "round": self.round,
            "proposed": self.proposed,
            "tokens": self.tokens,
            "cost": self.cost,
            "logged_tokens": self.logged_tokens,
            "logged_cost": self.logged_cost,
            "seconds": self.seconds,
            "exhausted": self.exhausted,
            "races": [self.races.spent, self.races.saved],
            "near_copies": self.near_copies,
            "built_of": self.built_of,
            "prompts": self.prompts,
            "model": self.model.to_dict(),
        }


def first_state(market: Market, factors: Sequence[Factor], *, wide: bool = True) -> tuple[LoopState, list[str]]:
    """The state before the first round: `factors` measured on the training rows of this market.

    Args:
        wide: whether there is a wide pool, where the settings have one.

    Returns:
        The state, and notes of the factors that the data cannot serve, or the gates refuse for their price levels.
    """
    from fama_fast.engine import compile as compile_alpha

    vocabulary, limits = market.vocabulary, market.config.gates.limits
    usable, alphas, notes, refused = [], [], [], []
    unserved: dict[str, list[str]] = {}
    for factor in factors:
        try:
            alpha = compile_alpha(factor.as_proposed[0], fields=vocabulary.fields, groups=vocabulary.groups)
        except ExpressionError as error:
            unserved.setdefault(error.message, []).append(factor.canonical)
            continue
        if level_fault(alpha.node, limits) is not None:
            refused.append(factor.canonical)
            continue
        usable.append(factor)
        alphas.append(alpha)
    for reason, texts in unserved.items():
        which = texts[0] if len(texts) == 1 else f"{len(texts)} of {len(factors)} factors ({listed(texts, 3)})"
        notes.append(f"left out of the library: {which}: {reason}")
    if refused:
        notes.append(
            f"left out of the library: {len(refused)} of {len(factors)} factors whose order hangs on each symbol's "
            f"price level, which is arbitrary on adjusted prices ({listed(refused, 3)}); gates.price_level: allow "
            "keeps them"
        )
    pool = state_pool(market, wide=wide)
    state = LoopState(LibraryView(), wide=pool)
    known = list(measured(market, alphas))
    penalty = market.config.gates.complexity_penalty
    begun: list[tuple[str, int]] = []
    for i, (factor, alpha, (found, _, of_vector)) in enumerate(zip(usable, alphas, known, strict=True)):
        sign = market.yardstick.direction(found, market.rows.train)
        series = market.yardstick.series(found, sign)
        turned = _turned(factor, alpha, sign)
        own_factor = replace(
            turned,
            scores={"train": known_figures(market.scores(found, sign, "train"))},
            provenance={**turned.provenance, "data_hash": market.whole.data_hash},
        )
        before = state.library.get(own_factor.fingerprint)
        if before is not None:
            notes.append(f"left out of the library: {factor.canonical} is the negative of {before.factor.canonical}")
            continue
        begun.append((own_factor.fingerprint, i))
        scored_coverage = market.scored_coverage(series, found.covered)
        vector = unit_vector(of_vector * np.int8(sign))
        _put(
            state,
            Member(own_factor, alpha.node, vector, series=series, scored_coverage=scored_coverage),
            alpha,
        )
        if own_factor.proposed:
            state.turned[alpha.fingerprint] = own_factor.fingerprint, own_factor.canonical
            state.begun_as[own_factor.fingerprint] = own_factor.proposed
        state.archive.ranking_hashes |= {ranking_hash(alpha.node), "=" + series_hash(found.rank_ic)}
        own = series[market.rows.train]
        if admissible(alpha.node, limits) is None:  # nothing is bred from what could not be proposed
            elite = elite_of(alpha, own, penalty, scored_coverage, fingerprint=own_factor.fingerprint)
            state.archive.consider(elite, own)
    places = [i for _, i in sorted(begun)]  # as the ledger gives them to a run that goes on
    offer(pool, market, [alphas[i] for i in places], [known[i] for i in places], begun_with=True)
    return state, notes


def state_pool(market: Market, *, wide: bool = True) -> WidePool:
    """An empty wide pool, as the settings have it; one that takes nothing in where `wide` is not."""
    settings = market.config.wide
    return WidePool(market, settings if wide else settings.model_copy(update={"enabled": False}))


def _turned(factor: Factor, alpha: Alpha, sign: int) -> Factor:
    """A factor of the starting library in the direction that these data give it.

    `alpha` is what was proposed once; on other data it may have been turned round, or not.
    """
    if sign == factor.as_proposed[1]:
        return factor
    provenance = {key: value for key, value in factor.provenance.items() if key != CONTRADICTED}
    if factor.hypothesis and not factor.contradicted:  # what held for the one direction does not for the other
        provenance[CONTRADICTED] = factor.hypothesis
    if sign > 0:
        return replace(
            factor,
            expression=alpha.canonical,
            canonical=alpha.canonical,
            fingerprint=alpha.fingerprint,
            proposed="",
            provenance=provenance,
        )
    return factor_from_alpha(alpha, sign, scores={}, hypothesis=factor.hypothesis, provenance=provenance)


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
    if data.get("layout") != LAYOUT:
        raise StoreError(
            "the run was begun by a version that kept a sign beside each factor, whose search this one cannot go on "
            "with: start a new run (what it found can be read: fama-fast runs show, runs export, report)"
        )
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
            failures=FailureLog.from_dict(data["failures"]),
            archive=SearchArchive.from_dict(data["memory"], market.training_series),
            residuals=ResidualArchive.from_dict(data.get("residuals", {}), market.training_series),
            pool=dict(data["pool"]),
            best_pool=_of_kind(data["best_pool"], float, int, type(None)),
            stale=_of_kind(data["stale"], int),
            round=_of_kind(data["round"], int),
            proposed=_of_kind(data["proposed"], int),
            tokens=_of_kind(data["tokens"], int),
            cost=_of_kind(data.get("cost", 0.0), float, int),
            logged_tokens=_of_kind(data.get("logged_tokens", 0), int),
            logged_cost=_of_kind(data.get("logged_cost", 0.0), float, int),
            seconds=_of_kind(data.get("seconds", 0.0), float, int),
            begun_as=dict(data["begun_as"]),
            exhausted=_of_kind(data["exhausted"], bool),
            races=Account(*(_of_kind(v, float, int) for v in data.get("races", ()))),
            near_copies=_of_kind(data.get("near_copies", 0), int),
            built_of=_of_kind(data.get("built_of", len(entries)), int),
            prompts=_of_kind(data.get("prompts", 0), int),
            model=ModelMemory.from_dict(data.get("model", {})),
            wide=state_pool(market),
            listable=listable_of(candidates) if market.config.lists else {},
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"the stored state of the run is damaged: {error!r}") from error
    for row in candidates:
        if row["fingerprint"]:
            own, text = as_proposed(row)
            # What was in the library once stays a duplicate of it, replaced or not.
            if row["admitted"] or state.tried.get(own) != IN_LIBRARY:
                state.tried[own] = IN_LIBRARY if row["admitted"] else PROPOSED
            if row["admitted"]:
                state.tried[row["fingerprint"]] = IN_LIBRARY
            state.known.add(text)
            if own != row["fingerprint"]:
                state.turned[own] = row["fingerprint"], row["canonical"]
    for begun_with in start:
        state.tried[begun_with.fingerprint] = IN_LIBRARY
        begun_as = state.begun_as.get(begun_with.fingerprint)
        state.known.add(begun_as or begun_with.canonical)
        if begun_as:
            own = market.compiled([begun_as])[0].fingerprint
            state.tried[own] = IN_LIBRARY
            state.turned[own] = begun_with.fingerprint, begun_with.canonical
    assert state.wide is not None
    begun = [state.begun_as.get(f.fingerprint) or f.canonical for f in start]
    measure_again(state.wide, market, begun, begun_with=True)
    measure_again(state.wide, market, measured_texts(candidates))
    gone = [f for f in (book.members() if book else ()) if all(f.fingerprint != e.fingerprint for e, _ in entries)]
    everyone = [(f, bool(mined), True) for f, mined in entries] + [(f, False, False) for f in gone]
    forms = [f.as_proposed for f, _, _ in everyone]
    alphas = market.compiled(text for text, _ in forms)
    figures = measured(market, alphas)
    for (factor, mined, member), (_, sign), alpha, (found, _, of_vector) in zip(
        everyone, forms, alphas, figures, strict=True
    ):
        series, vector = market.yardstick.series(found, sign), unit_vector(of_vector * np.int8(sign))
        scored_coverage = market.scored_coverage(series, found.covered)
        restored = Member(factor, alpha.node, vector, mined, series, scored_coverage)
        if member:
            _put(state, restored, alpha)
        else:
            state.library.vectors.add({factor.fingerprint: vector})
            state.relatives[factor.fingerprint] = restored
    rejected = state.residuals.kept
    left = market.vectors(market.compiled(k.canonical for k in rejected.values()))
    state.library.vectors.add(
        {name: unit * np.float32(k.sign) for (name, k), unit in zip(rejected.items(), left, strict=True)}
    )
    return state


def _of_kind(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"a {type(value).__name__} where a {kinds[0].__name__} was written")
    return value


def _put(state: LoopState, member: Member, alpha: Alpha) -> None:
    """Add a member to the library and its indices; `alpha` is the expression as proposed."""
    factor = member.factor
    if state.library.get(factor.fingerprint) is None:
        state.library.admit(member)
    state.tried[factor.fingerprint] = state.tried[alpha.fingerprint] = IN_LIBRARY
    state.known.add(alpha.canonical)


def factor_of(candidate: Candidate, *, proposer: str, number: int, seed: int, data_hash: str) -> Factor:
    """The factor of an admitted candidate. Nothing in it depends on the clock or the run's name."""
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
    if candidate.sign < 0 and proposal.hypothesis:
        provenance[CONTRADICTED] = proposal.hypothesis
    if proposal.explanation:
        provenance["explanation"] = proposal.explanation
    alpha = candidate.oriented
    return Factor(
        alpha.canonical,
        alpha.canonical,
        alpha.fingerprint,
        scores={split: known_figures(s) for split, s in candidate.scores.items() if split in ("train", "valid")},
        hypothesis=proposal.hypothesis,
        provenance=provenance,
        proposed=candidate.compiled.canonical if candidate.sign < 0 else "",
    )
