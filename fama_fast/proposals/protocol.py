"""The protocol between the loop and whatever proposes expressions: requests, batches, budgets.

The loop makes a `ProposalRequest` from the library's state; a proposer answers with a `ProposalBatch`. A proposer never
sees the panel and never decides what is admitted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.ir import Node
    from fama_fast.library.factor import Factor
    from fama_fast.proposals.brief import Brief
    from fama_fast.proposals.memory import Memory


ONE_MODEL = "llm "  # the origin of what one of several models proposes begins so, and goes on with its name


@dataclass(frozen=True)
class Vocabulary:
    """The fields, groups and longest window that a proposal may use."""

    fields: tuple[str, ...]
    groups: tuple[str, ...] = ()
    max_window: int = 250


@dataclass(frozen=True)
class Limits:
    """Bounds on a formula: its size, how many rows before today it may read, and whether its order across symbols must
    be free of their price levels (`passes.depends_on_level`)."""

    max_nodes: int = 40
    max_depth: int = 12
    max_lookback: int = 250
    level_free: bool = False


@dataclass(frozen=True)
class Rejection:
    """A candidate that failed, with the reason that a model is shown when it is asked again; `origin` as a proposal's,
    where it is known who it was."""

    expression: str
    reason: str
    origin: str = "dropped"


@dataclass(frozen=True)
class Elite:
    """A good candidate of this run, admitted or not.

    `canonical` is the text as it was proposed, `fingerprint` that of the factor, which may be its negative. `score` is
    its oriented training RankIC; `fitness` is what it is ranked by: that over all training days, with days that have
    none as 0, less what its nodes cost.
    """

    fingerprint: str
    canonical: str
    score: float
    nodes: int
    fitness: float


@dataclass(frozen=True)
class ResidualPair:
    """A rejected candidate and the library member that it was too like: the residual of the first beside the second may
    be new.

    Both texts are those that were proposed, both fingerprints those of the factors. `fitness` is an estimate of what
    the residual adds to the pool of the run's factors, in RankIC (`residuals`).
    """

    fingerprint: str
    canonical: str
    beside: str
    beside_canonical: str
    fitness: float


@dataclass(frozen=True)
class Earner:
    """A formula of the wide pool, as it was proposed, and what the pool earns by it out of fold (`WidePool.earnings`).

    `fingerprint` is the factor's.
    """

    fingerprint: str
    canonical: str
    earning: float


@dataclass(frozen=True)
class SearchView:
    """The state of the search that a proposer may read.

    Attributes:
        elites: the best of every niche, best first. earners: formulas of the wide pool that earn, in order of arrival;
            empty where the search is paid for a formula's own score. rates: how often each move (`Proposal.origin`)
            paid lately.
        residuals: rejected candidates with something new in them, best first.
        stuck: nothing better was found for long. ranking_hashes: rankings that were met (`passes.ranking_hash`).
        fresh: the share of proposals that are drawn anew rather than bred, whatever was found; none: as moves pay.
    """

    elites: tuple[Elite, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    stuck: bool = False
    ranking_hashes: frozenset[str] = frozenset()
    residuals: tuple[ResidualPair, ...] = ()
    earners: tuple[Earner, ...] = ()
    fresh: float | None = None


@dataclass(frozen=True)
class Usage:
    """The cost of a batch: requests that were sent, tokens and money of the answers that were used.

    `logged_tokens` and `logged_cost` are the part of answers that came from a log of earlier exchanges: it was paid for
    then, not now.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    logged_tokens: int = 0
    logged_cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.logged_tokens + other.logged_tokens,
            self.logged_cost + other.logged_cost,
        )


@dataclass(frozen=True)
class Allowance:
    """The remaining budget of a run for model answers; None is without bound.

    Attributes:
        tokens: of prompts and answers together. cost: in the currency of `llm.max_cost`.
        deadline: on the monotonic clock. stopped: whether the run was asked to stop. say: tells the user what is waited
            for, where that may last.
    """

    tokens: int | None = None
    cost: float | None = None
    deadline: float | None = None
    stopped: Callable[[], bool] | None = None
    say: Callable[[str], None] | None = None

    def used_up(self, usage: Usage) -> str | None:
        """The budget that `usage` has used up, or that the run shall stop, in words; or None."""
        if self.is_stopped:
            return "the run was asked to stop"
        if self.tokens is not None and usage.prompt_tokens + usage.completion_tokens >= self.tokens:
            return "the token budget (run.max_tokens) is used up"
        if self.cost is not None and usage.cost >= self.cost:
            return "the money budget (llm.max_cost) is used up"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "the time budget (run.max_seconds) is used up"
        return None

    @property
    def is_stopped(self) -> bool:
        """Whether the run was asked to stop: nothing may be sent any more."""
        return self.stopped is not None and self.stopped()


@dataclass(frozen=True)
class PathStep:
    """One step of an improvement path: a factor, and what it gains on the step before, which is beyond noise.

    gain: difference of the scores; t: of the daily series' difference; correlation: of the rankings. NaN for the first.
    """

    factor: Factor
    gain: float = math.nan
    t: float = math.nan
    correlation: float = math.nan


@dataclass(frozen=True)
class Attempt:
    """What a model proposed once, and what became of it on the training dates.

    Attributes:
        expression: canonical and, once it is measured, in the direction of training. hypothesis: as it was given.
        fingerprint: of the factor; empty where it could not be read. round: in which it was proposed. turned: training
            turned it round, so its hypothesis is contradicted.
        gate, reason: what stopped it; gate is None when it was admitted.
        score, t, traded, coverage: the objective counted as a RankIC, its t, share traded a day, members with a value;
            NaN where it was not measured.
        nearest: canonical text of the library's member most like it, and correlation: with that; empty and NaN where
            that is not known.
        weakest: what holds it back most, in words. doubt: what its hypothesis says and it does not, in words.
    """

    expression: str
    hypothesis: str = ""
    fingerprint: str = ""
    round: int = 0
    turned: bool = False
    gate: str | None = None
    reason: str = ""
    score: float = math.nan
    t: float = math.nan
    traded: float = math.nan
    coverage: float = math.nan
    nearest: str = ""
    correlation: float = math.nan
    weakest: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class PromptContext:
    """What one prompt shows that no other prompt of the run does: its own draw, its own path, its own direction.

    Attributes:
        number: of the prompt in the run, from 0.
        exemplars: diverse factors (Cross-Sample Selection). path: steps of a chain, each an improvement on the one
            before (Chain-of-Experience). direction: what this prompt is to look for, a sentence.
        thread: what became of an idea so far, oldest first, where the prompt is to refine one; thread_id: of it, or -1.
        parents: good candidates that are not in the library. pairs: rejected ones with something new beside a member.
        contradicted: factors whose hypothesis training contradicted, for which this prompt asks another.
    """

    number: int = 0
    exemplars: tuple[Factor, ...] = ()
    path: tuple[PathStep, ...] = ()
    direction: str = ""
    thread: tuple[Attempt, ...] = ()
    thread_id: int = -1
    parents: tuple[Elite, ...] = ()
    pairs: tuple[ResidualPair, ...] = ()
    contradicted: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class Experience:
    """What a model is told of the run in every prompt.

    Attributes:
        library: members in order of admission; what is one of them is a duplicate. results: what became of the model's
            own proposals, latest last. overused: (part, members that have it) of the library, most frequent first.
    """

    library: tuple[Factor, ...] = ()
    results: tuple[Attempt, ...] = ()
    overused: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ProposalRequest:
    """One request for new expressions.

    Attributes:
        count: how many proposals are wanted.
        exemplars: diverse factors (Cross-Sample Selection); empty when it is switched off.
        chain: an improvement path by ascending score (Chain-of-Experience); empty when it is switched off.
        avoid: patterns and expressions that failed lately.
        known: canonical texts already tried, to avoid.
        vocabulary: fields and groups of the loaded data.
        search: the run's own good candidates and what paid, for proposers that search.
        allowance: tokens, money and time that an answer may still cost; no part of the request's identity.
        memory: what earlier runs on this kind of data have learnt; None where it is switched off (`llm.memory`).
        limits: of size, history and price levels, which a formula is to keep to.
        brief: what is asked and measured, for proposers that prompt; None where nobody told it.
        contexts: one for each prompt, for proposers that prompt; where there are none, prompts show `exemplars` and
            `chain`. experience: what the run knows, for them too.
        round, seed: identify the request; equal requests to a deterministic proposer give equal answers.
    """

    count: int
    exemplars: tuple[Factor, ...] = ()
    chain: tuple[Factor, ...] = ()
    avoid: tuple[Rejection, ...] = ()
    known: frozenset[str] = frozenset()
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")))
    round: int = 0
    seed: int = 0
    search: SearchView = field(default_factory=SearchView)
    allowance: Allowance = field(default_factory=Allowance, compare=False)
    limits: Limits = field(default_factory=Limits)
    brief: Brief | None = None
    contexts: tuple[PromptContext, ...] = ()
    experience: Experience = field(default_factory=Experience)
    memory: Memory | None = None


@dataclass(frozen=True)
class Proposal:
    """One proposed expression. `parents` are fingerprints of what it was built on; `origin` is the move that made it
    (mutation, llm, ...); `proposer` its proposer, where several work together. `thread` is the id of the idea that it
    refines, -1 where it is a new one; `builds_on` the label of what it develops, as a model gave it. `node` is
    the canonical node on the data of the run, from a
    proposer that knows it: it spares the parsing and is no part of the proposal."""

    expression: str
    hypothesis: str = ""
    explanation: str = ""
    parents: tuple[str, ...] = ()
    origin: str = ""
    prompt_hash: str | None = None
    proposer: str = ""
    thread: int = -1
    builds_on: str = ""
    node: Node | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class ProposalBatch:
    """A proposer's answer; `dropped` says which parts of it could not be used and why, `notes` what else the user
    should know. `stopped`: the run was asked to stop before all of it was asked for, so it is no whole round.
    `hypotheses`: (canonical text, hypothesis) that were given for factors whose own was contradicted. `by_model`: the
    part of `usage` of each of several models, by name."""

    proposals: tuple[Proposal, ...]
    dropped: tuple[Rejection, ...] = ()
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()
    stopped: bool = False
    hypotheses: tuple[tuple[str, str], ...] = ()
    by_model: tuple[tuple[str, Usage], ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """The properties of a proposer that the loop may rely on."""

    deterministic: bool = False  # equal requests, equal answers
    uses_prompt: bool = False  # reads exemplars and chain as text
    costs_money: bool = False
    has_more: bool = False  # a longer answer costs next to nothing


@runtime_checkable
class Proposer(Protocol):
    """Anything that proposes expressions."""

    name: str
    capabilities: Capabilities

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Up to `request.count` proposals. Raises ProposerError when it cannot go on."""


@runtime_checkable
class AsksServer(Protocol):
    """A proposer that needs a server, and can find out whether it will answer."""

    def check_server(self, stopped: Callable[[], bool] | None = None) -> None:
        """Ask it once, before anything else costs time. Raises ProposerError: a key, model or address is wrong."""
