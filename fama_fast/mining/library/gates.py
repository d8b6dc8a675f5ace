"""The gates that a candidate must pass to be admitted, cheapest first: `GATES` is the whole list in its order.

A gate is a name, a stage, a sentence and a check that returns the reason to stop, or None. Checks fill in
what later gates need. To add one, write the check and add one entry to `GATES`; counting, logging and
progress follow. A gate sees training rows only: no gate knows validation or test.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.errors import ExpressionError, FamaError, LimitError, ParseError
from fama_fast.evaluation import mean
from fama_fast.ir import count_nodes
from fama_fast.mining.library.view import subtree_sizes
from fama_fast.mining.objective import OBJECTIVES
from fama_fast.passes import ranking_hash
from fama_fast.proposals.admissible import kind_fault, level_fault, lookback_fault, size_fault

if TYPE_CHECKING:
    from fama_fast.mining.candidate import Candidate, Member
    from fama_fast.mining.config import GateSettings
    from fama_fast.mining.library.view import LibraryView
    from fama_fast.proposals.protocol import Vocabulary
    from fama_fast.types import FloatArray


class Measures(Protocol):
    """The figures of the market that gates may ask for; training rows only."""

    def lead(self, candidate: Candidate, member: Member) -> float:
        """t-statistic of the candidate's daily series less the member's, each adjusted for its coverage."""

    def training(self, series: FloatArray) -> FloatArray:
        """The training rows of a daily series (T,)."""


@dataclass
class GateContext:
    """The state of the run that checks may read. `tried` says where a fingerprint was met before, `ranking_hashes`
    which rankings were. `objective`: what people call that which the search climbs."""

    settings: GateSettings
    vocabulary: Vocabulary
    library: LibraryView
    tried: dict[str, str]
    measures: Measures
    wanted: int | None  # new factors that the library may hold; None: any number
    ranking_hashes: set[str] = field(default_factory=set)
    objective: str = "RankIC"


class GateCost(enum.Enum):
    """The cost of a gate, which decides when it runs."""

    TEXT = "text"  # on the expression alone
    SAMPLE = "sample"  # on a sample of training dates, raced with the batch
    TRAINING = "training"  # on its exact daily series
    ADMISSION = "admission"  # against the library, best candidate first


class Lesson(enum.Enum):
    """The part of a failed candidate that proposers are shown, so that they avoid it."""

    NOTHING = "nothing"  # it says nothing about the formula
    FORMULA = "formula"  # this formula fails
    PARTS = "parts"  # what it is made of may be at fault, too


# The means that are to be of one sign, by key of the scores.
_MEANS = {found.name: found.label for found in OBJECTIVES.values() if not found.costed}

Check = Callable[["Candidate", GateContext], "str | None"]


@dataclass(frozen=True)
class Gate:
    """One gate. `check` returns the reason to stop a candidate, or None to let it pass."""

    name: str
    stage: GateCost
    doc: str
    check: Check
    lesson: Lesson = Lesson.FORMULA


def reason_of(error: FamaError) -> str:
    """An error on one line: message, position and suggestion, without the caret drawing."""
    if not isinstance(error, ExpressionError):
        return " ".join(str(error).split())
    where = f" (line {error.line}, column {error.column})" if error.text else ""
    hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
    wanted = f"; expected {', '.join(error.expected[:6])}" if error.expected and not hint else ""
    return " ".join(f"{error.message}{where}{wanted}{hint}".split())[:400]


def check_answer(candidate: Candidate, context: GateContext) -> str | None:
    """Stops answers that are empty or visibly cut short."""
    text = candidate.proposal.expression.strip()
    if not text:
        return "empty"
    if text.endswith(("...", "\u2026")):
        return "cut short: it ends in an ellipsis"
    missing = text.count("(") - text.count(")")
    if missing > 0:
        return f"cut short: {missing} closing parenthes{'is' if missing == 1 else 'es'} missing"
    if text.endswith((",", "(", "+", "-", "*", "/", "^", "?", ":", "&", "|", "<", ">", "=")):
        return f"cut short: it ends in {text[-1]!r}"
    return None


def check_parse(candidate: Candidate, context: GateContext) -> str | None:
    """Stops texts that are not in the language. What is in the language but wrong is left to the next gates."""
    from fama_fast.engine import Alpha
    from fama_fast.engine import compile as compile_alpha

    vocabulary, proposal = context.vocabulary, candidate.proposal
    try:
        if proposal.node is not None:
            candidate.alpha = Alpha(proposal.expression, "fama", proposal.node)
        else:
            candidate.alpha = compile_alpha(proposal.expression, fields=vocabulary.fields, groups=vocabulary.groups)
    except FamaError as error:
        candidate.error = error
        return reason_of(error) if isinstance(error, ParseError) else None
    candidate.nodes = count_nodes(candidate.alpha.node)
    return None


def check_arguments(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas with an unknown operator or field, wrong arity, a wrong window or no numbers that rank; with
    `strict_units` mixed units."""
    error = candidate.error
    if error is not None:
        return None if isinstance(error, LimitError) else reason_of(error)
    fault = kind_fault(candidate.compiled.node)
    if fault is not None:
        return fault
    if context.settings.strict_units and candidate.compiled.warnings:
        return "; ".join(candidate.compiled.warnings)
    return None


def check_size(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas of too many nodes or too much depth."""
    if candidate.error is not None:
        return reason_of(candidate.error)
    return size_fault(candidate.compiled.node, context.settings.limits)


def check_price_level(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas whose order across symbols depends on their price levels, which adjusted prices know from later
    days only."""
    return level_fault(candidate.compiled.node, context.settings.limits)


def check_lookback(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas that need more history than allowed."""
    return lookback_fault(candidate.compiled.node, context.settings.limits)


def check_duplicate(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas whose canonical form, or one that provably ranks alike, is in the library or was proposed
    before."""
    fingerprint = candidate.compiled.fingerprint
    before = context.tried.get(fingerprint)
    if before is not None:
        return before
    context.tried[fingerprint] = "proposed before in this run"
    ranking = ranking_hash(candidate.compiled.node)
    if ranking in context.ranking_hashes:
        return "it orders the symbols as an expression proposed before does"
    context.ranking_hashes.add(ranking)
    return None


def check_overlap(candidate: Candidate, context: GateContext) -> str | None:
    """Stops formulas whose largest common subtree with a library member is nearly all of both."""
    sizes = subtree_sizes(candidate.compiled.node)
    largest_first = sorted(sizes.items(), key=lambda item: -item[1])
    for member in context.library.members:
        theirs = context.library.subtrees(member)
        larger = max(candidate.nodes, theirs[member.node.key])
        shared = next((n for key, n in largest_first if key in theirs), 0)
        if shared > context.settings.max_overlap * larger:
            return f"{shared} of {larger} nodes are those of {member.factor.canonical}"
    return None


def check_coverage(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates that have a value for too few members."""
    limit = context.settings.min_coverage
    covered = candidate.coverage
    # Written so that a coverage that is not defined (NaN) stops too.
    return None if covered >= limit else f"coverage {covered:.3f} of training rows, at least {limit:g}"


def check_screening(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates that left the race: their figures on sampled dates cannot suffice on all dates."""
    race_result = candidate.race_result
    if race_result is None:
        return None
    # Asked once more when it is measured and has a direction.
    score = candidate.sign * race_result.score
    name = "rank_ic" if context.objective == "RankIC" else "score"
    candidate.scores["screen"] = {name: score, "margin": race_result.margin, "n_days": race_result.days}
    if not race_result.lost:
        return None
    return f"{_worth(abs(race_result.score), context)} + {race_result.margin:.4f} on {race_result.days} sampled dates"


def check_fingerprint(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates whose values rank the symbols as those of an earlier candidate."""
    ranking = "=" + candidate.ranking
    if ranking in context.ranking_hashes:
        return "its values order the symbols as those of an earlier candidate"
    context.ranking_hashes.add(ranking)
    return None


def check_training(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates of too low, or too uncertain, an objective over the training rows."""
    limits, name = context.settings, context.objective
    scores, score = candidate.scores["train"], candidate.score
    t = scores["objective_t"] if "objective_t" in scores else scores["rank_ic_t"]
    if np.isnan(score):
        return f"no {name} in training: it does not vary {'across symbols' if name == 'RankIC' else 'enough'}"
    if scores["n_days"] < limits.min_dates:
        return f"RankIC on {scores['n_days']:.0f} training dates, at least {limits.min_dates}"
    if not score >= limits.min_rank_ic:
        return f"{_worth(score, context)} in training, at least {limits.min_rank_ic:g}"
    if not t >= limits.min_t:
        return f"|t| {t:.2f} of the training {name}, at least {limits.min_t:g}"
    return None


def _worth(score: float, context: GateContext) -> str:
    """The objective, counted as a RankIC."""
    return f"|RankIC| {score:.4f}" if context.objective == "RankIC" else f"{context.objective} as a RankIC {score:.4f}"


def check_periods(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates that were right in too few of the periods that the training rows are cut into: what holds in
    one regime only."""
    limits = context.settings
    if limits.periods == 1:
        return None
    assert candidate.series is not None
    parts = np.array_split(context.measures.training(candidate.series), limits.periods)
    above = sum(mean(part) > 0.0 for part in parts)  # what is not defined (NaN) is not above
    if above >= limits.min_periods_share * limits.periods:
        return None
    least = math.ceil(limits.min_periods_share * limits.periods)
    return f"above 0 in {above} of {limits.periods} training periods, at least {least}"


def check_sign_agreement(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates whose training means of RankIC, IC and spread differ in sign: they order symbols by something
    else than what these return on average."""
    if not context.settings.sign_agreement:
        return None
    train = candidate.scores["train"]
    means = {word: train[key] for key, word in _MEANS.items() if key in train}
    if len({np.sign(value) for value in means.values()}) == 1:  # NaN is like nothing, not even NaN
        return None
    return f"{', '.join(f'{word} {value:+.5f}' for word, value in means.items())} in training: not of one sign"


def check_correlation(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates too correlated with library members that they do not beat.

    A candidate that beats everyone it is close to goes on as their rival; the admission gate decides.
    """
    assert candidate.vector is not None
    correlations = np.abs(context.library.correlations(candidate.fingerprint, candidate.vector))
    limit = context.settings.max_correlation
    close = [context.library.members[i] for i in np.flatnonzero(correlations > limit)]
    if not close:
        return None
    best = max(close, key=lambda m: _member_fitness(m, context))
    if _fitness(candidate.adjusted_score, candidate.nodes, context) <= _member_fitness(best, context):
        nearest = context.library.members[int(np.argmax(correlations))]
        return f"|correlation| {correlations.max():.3f} with {nearest.factor.canonical}, at most {limit:g}"
    candidate.replaces = tuple(m.factor.fingerprint for m in close)
    return None


def _fitness(coverage_adjusted: float, nodes: int, context: GateContext) -> float:
    return coverage_adjusted - context.settings.complexity_penalty * nodes


def _member_fitness(member: Member, context: GateContext) -> float:
    """A member's coverage-adjusted score less the penalty of its complexity; 0 less that without a score."""
    return _fitness(0.0 if np.isnan(member.adjusted_score) else member.adjusted_score, member.nodes, context)


def check_admission(candidate: Candidate, context: GateContext) -> str | None:
    """Stops candidates whose RankIC is too low for their complexity, or not clearly above that of each member they
    would replace.

    Clearly: by a share of the member's fitness, and day by day (a paired test on the same dates, for the two
    series share most of their noise).
    """
    fitness = _fitness(candidate.adjusted_score, candidate.nodes, context)
    limits = context.settings
    if not fitness >= limits.min_rank_ic:
        return f"worth {fitness:.4f} for {candidate.nodes} nodes, at least {limits.min_rank_ic:g}"
    for fingerprint in candidate.replaces:
        member = context.library.get(fingerprint)
        assert member is not None
        bar = _member_fitness(member, context) * (1.0 + limits.replace_margin)
        if not fitness > bar:
            return f"worth {fitness:.4f}, not clearly better than {member.factor.canonical} (needs {bar:.4f})"
        lead = context.measures.lead(candidate, member)
        if not lead >= limits.replace_t:
            return f"ahead of {member.factor.canonical} with t {lead:.2f}, at least {limits.replace_t:g}"
    return None


def check_quota(candidate: Candidate, context: GateContext) -> str | None:
    """Stops new factors once there are as many as wanted; a replacement of a new factor may still pass."""
    if context.wanted is None:
        return None
    replaced = [m for m in map(context.library.get, candidate.replaces) if m is not None]
    if len(context.library.mined) >= context.wanted and not any(m.mined for m in replaced):
        return f"{context.wanted} new factors are in already"
    return None


GATES: tuple[Gate, ...] = (
    Gate("answer", GateCost.TEXT, "empty or cut short", check_answer, Lesson.NOTHING),
    Gate("parse", GateCost.TEXT, "not in the language", check_parse),
    Gate("arguments", GateCost.TEXT, "unknown operator or field, wrong arity or window", check_arguments),
    Gate("size", GateCost.TEXT, "too many nodes or too deep", check_size),
    Gate("price_level", GateCost.TEXT, "its order depends on price levels", check_price_level),
    Gate("lookback", GateCost.TEXT, "needs too much history", check_lookback),
    Gate("duplicate", GateCost.TEXT, "known in canonical form", check_duplicate),
    Gate("overlap", GateCost.TEXT, "nearly all of it is a library member", check_overlap),
    Gate("coverage", GateCost.SAMPLE, "too few values", check_coverage, Lesson.PARTS),
    Gate("screening", GateCost.SAMPLE, "left the race on sampled training dates", check_screening, Lesson.PARTS),
    Gate("fingerprint", GateCost.TRAINING, "ranks as an earlier candidate does", check_fingerprint),
    Gate("training", GateCost.TRAINING, "too little training RankIC", check_training, Lesson.PARTS),
    Gate("periods", GateCost.TRAINING, "right in too few training periods", check_periods, Lesson.PARTS),
    Gate("sign_agreement", GateCost.TRAINING, "RankIC, IC and spread differ in sign", check_sign_agreement),
    Gate("correlation", GateCost.ADMISSION, "too close to the library", check_correlation),
    Gate(
        "admission", GateCost.ADMISSION, "not worth its complexity or its rival's place", check_admission, Lesson.PARTS
    ),
    Gate("quota", GateCost.ADMISSION, "enough new factors are in", check_quota, Lesson.NOTHING),
)

# Of those of training, all but the gate that remembers what it saw: whoever it let pass has passed it.
_ON_FIGURES = [g for g in GATES if g.stage is GateCost.TRAINING and g.check is not check_fingerprint]
_BEFORE_TRAINING = {g.name for g in GATES if g.stage in (GateCost.TEXT, GateCost.SAMPLE)} | {"fingerprint"}
PASSED_TRAINING = {None, *(g.name for g in GATES if g.stage is GateCost.ADMISSION)}
DROPPED = "answer"  # the gate that parts of an answer count under which no proposal could be read from


def run_gates(candidate: Candidate, stage: GateCost, context: GateContext) -> bool:
    """Run the gates of a stage on a candidate; the first reason stops it. Returns whether it passed."""
    for gate in GATES:
        if gate.stage is stage and not candidate.stopped:
            reason = gate.check(candidate, context)
            if reason is not None:
                candidate.gate, candidate.reason = gate.name, reason
    return not candidate.stopped


def may_be_listed(candidate: Candidate, context: GateContext, min_t: float) -> bool:
    """Whether a candidate that was measured passes every gate on its own training figures, with another bar for its t.

    What is like a member of the library, or not worth its place there, may still be in the short list.
    """
    if candidate.series is None or candidate.gate in _BEFORE_TRAINING:
        return False
    own = replace(context, settings=context.settings.model_copy(update={"min_t": min_t}))
    return all(gate.check(candidate, own) is None for gate in _ON_FIGURES)


def funnel(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Number of candidates that each gate stopped, in the order of the gates, then of those admitted."""
    return funnel_of(Counter(row["gate"] for row in rows))


def funnel_of(stopped: Mapping[str | None, int]) -> dict[str, int]:
    """`funnel` from counts by gate, None being those admitted. A gate of an older version keeps its name."""
    known = [gate.name for gate in GATES]
    older = sorted(g for g in stopped if g is not None and g not in known)
    return {gate: stopped.get(gate, 0) for gate in (*known, *older)} | {"admitted": stopped.get(None, 0)}
