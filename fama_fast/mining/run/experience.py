"""What a language model learns from its results: what became of its proposals, and the ideas that it goes on with.

Everything here is of the training dates. It is kept in the run's state, bounded, so that a run that goes on shows its
model what an uninterrupted one would have.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.ir import LEAVES, count_nodes, postorder
from fama_fast.mining.agreement import disagreement
from fama_fast.mining.library.gates import PASSED_TRAINING
from fama_fast.mining.run.model_memory import ModelMemory, Thread
from fama_fast.proposals.protocol import Attempt, Experience

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.config import GateSettings, MiningConfig
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.run.state import LoopState
    from fama_fast.proposals.protocol import Elite, ResidualPair

KEPT = 120  # results of the model that are remembered
OPEN = 8  # ideas that may be gone on with
_PROMISING_T = 1.0  # least t of what is worth a refinement
_ASKED = 1  # factors whose hypothesis is contradicted, of one prompt
_OFFERED = 2  # parents, and pairs, of one prompt
_OVERUSED_NODES, _OVERUSED_SHARE, _OVERUSED = 3, 0.12, 6
_TRADED = 1.0  # share of the book a day beyond which trading is a weak side
_TINY = 1e-9


def experience_of(state: LoopState) -> Experience:
    """What every prompt of a round is told."""
    return Experience(
        library=tuple(m.factor for m in state.library.members),
        results=tuple(state.model.results),
        overused=_overused(state),
    )


def _overused(state: LoopState) -> tuple[tuple[str, int], ...]:
    """Parts that many members of the library share, most frequent first, with how many; of two where one lies within
    the other and both are as frequent the larger."""
    from fama_fast.lang import to_text

    counts: Counter[str] = Counter()
    for member in state.library.members:
        parts = {n for n in postorder(member.node) if n.op not in LEAVES and count_nodes(n) >= _OVERUSED_NODES}
        counts.update({to_text(n) for n in parts})
    least = max(3, math.ceil(_OVERUSED_SHARE * len(state.library)))
    chosen: list[tuple[str, int]] = []
    for text, count in sorted(counts.items(), key=lambda item: (-item[1], -len(item[0]), item[0])):
        if count < least or len(chosen) >= _OVERUSED:
            break
        if not any(text in other and count == n for other, n in chosen):
            chosen.append((text, count))
    return tuple(chosen)


def threads_for(state: LoopState, config: MiningConfig, number: int, prompts: int) -> dict[int, Thread]:
    """The idea that each prompt of a round goes on with, by the prompt's place; at most half of them do.

    Ideas that were begun first, then the most certain ones. A single prompt goes on with one in every other round.
    """
    places = [i for i in range(prompts) if (i + number) % 2]
    open_ones = [t for t in state.model.threads if t.turns < config.llm.refine]
    open_ones.sort(key=lambda t: (not t.turns, -_certainty(t), -t.id))
    chosen = dict(zip(places, open_ones, strict=False))
    state.model.under_way = tuple(t.id for t in chosen.values())
    return chosen


def _certainty(thread: Thread) -> float:
    return max((a.t for a in thread.attempts if math.isfinite(a.t)), default=-math.inf)


def parents_for(state: LoopState, number: int) -> tuple[tuple[Elite, ...], tuple[ResidualPair, ...]]:
    """Elites outside the library and residual pairs for one prompt; later prompts are offered others."""
    inside = {m.factor.fingerprint for m in state.library.members}
    elites = [e for e in state.archive.elites if e.fingerprint not in inside]
    return _some(elites, number), _some(state.residuals.shown, number)


def _some(values: Sequence[Any], number: int) -> tuple[Any, ...]:
    if not values:
        return ()
    count = min(_OFFERED, len(values))
    return tuple(values[(number * _OFFERED + i) % len(values)] for i in range(count))


def contradicted_for(state: LoopState, unfit: Collection[str]) -> tuple[Factor, ...]:
    """Factors whose hypothesis training contradicted, for which a prompt asks another; each is asked for once."""
    asked = set(state.model.asked) | set(unfit)
    mine = sorted(state.library.members, key=lambda m: not m.mined)  # what the model itself thought comes first
    chosen = [m.factor for m in mine if m.factor.contradicted and m.factor.fingerprint not in asked][:_ASKED]
    state.model.asked += [f.fingerprint for f in chosen]
    return tuple(chosen)


def take_hypotheses(state: LoopState, given: Sequence[tuple[str, str]]) -> None:
    """Give factors the hypotheses that the model has for them now, in the library and in chains.

    Args:
        given: (canonical text, hypothesis).
    """
    texts = dict(given)
    for place, member in enumerate(state.library.members):
        if member.factor.canonical not in texts or not member.factor.contradicted:
            continue
        factor = dataclasses.replace(member.factor, hypothesis=texts[member.factor.canonical])
        own = dataclasses.replace(member, factor=factor)
        state.library.members[place] = own
        state.model.hypotheses[factor.fingerprint] = factor.hypothesis
        if factor.fingerprint in state.relatives:
            state.relatives[factor.fingerprint] = own
        if state.book is not None:
            state.book = state.book.with_factor(factor)


def with_own_hypothesis(state: LoopState, factor: Factor) -> Factor:
    """A factor with the hypothesis that was given in place of a contradicted one, where there is one."""
    text = state.model.hypotheses.get(factor.fingerprint)
    return factor if text is None else dataclasses.replace(factor, hypothesis=text)


def learn_results(
    state: LoopState, config: MiningConfig, market: Market, candidates: Sequence[Candidate], number: int
) -> None:
    """Remember what became of the model's proposals of a round, and go on with the ideas that are worth it."""
    own = [c for c in candidates if c.proposal.prompt_hash is not None]
    alike = _nearest(state, market, [c for c in own if "train" in c.scores])
    attempts = [(_attempt_of(c, config, alike.get(c.position), number), c) for c in own]
    memory = state.model
    memory.results = [*memory.results, *(a for a, _ in attempts)][-KEPT:]
    memory.threads = _gone_on(memory, attempts, config.llm.refine)
    memory.under_way = ()


def _gone_on(memory: ModelMemory, attempts: Sequence[tuple[Attempt, Candidate]], turns: int) -> list[Thread]:
    """The open ideas after a round: those that were refined have a turn more, promising new ones are begun."""
    refined: dict[int, list[Attempt]] = {}
    fresh: list[Attempt] = []
    for attempt, candidate in attempts:
        if candidate.proposal.thread >= 0:
            refined.setdefault(candidate.proposal.thread, []).append(attempt)
        elif _promising(attempt):
            fresh.append(attempt)
    threads: list[Thread] = []
    waiting: list[Thread] = []
    for thread in memory.threads:
        if thread.id in memory.under_way:
            best = max(refined.get(thread.id, ()), key=_rank, default=None)
            more = () if best is None else (best,)
            thread = Thread(thread.id, (*thread.attempts, *more), thread.turns + 1)  # noqa: PLW2901
        if 0 < thread.turns < turns:
            threads.append(thread)
        elif not thread.turns:
            waiting.append(thread)
    for attempt in fresh:
        waiting.append(Thread(memory.next_thread, (attempt,)))
        memory.next_thread += 1
    waiting.sort(key=_certainty, reverse=True)
    return [*threads, *waiting][:OPEN] if turns else []


def _promising(attempt: Attempt) -> bool:
    return attempt.gate in PASSED_TRAINING or (attempt.gate == "training" and attempt.t >= _PROMISING_T)


def _rank(attempt: Attempt) -> tuple[bool, float]:
    return attempt.gate is None, attempt.t if math.isfinite(attempt.t) else -math.inf


def _nearest(state: LoopState, market: Market, candidates: Sequence[Candidate]) -> dict[int, tuple[str, float]]:
    """The library's member most like each candidate but itself, and the correlation, by the candidate's position."""
    if not candidates or not len(state.library):
        return {}
    vectors = state.library.vectors
    members = [m.factor for m in state.library.members]
    names = [c.fingerprint for c in candidates]
    computed = market.vectors([c.compiled for c in candidates])
    new = {
        name: v * np.float32(c.sign)
        for name, c, v in zip(names, candidates, computed, strict=True)
        if name not in vectors
    }
    vectors.add(new)
    out = {}
    for name, candidate in zip(names, candidates, strict=True):
        others = [m for m in members if m.fingerprint != name]
        if others:
            row = np.nan_to_num(vectors.correlations(name, [m.fingerprint for m in others]))
            at = int(np.argmax(np.abs(row)))
            out[candidate.position] = others[at].canonical, float(row[at])
    vectors.forget(list(new))
    return out


def _attempt_of(candidate: Candidate, config: MiningConfig, alike: tuple[str, float] | None, number: int) -> Attempt:
    proposal, train = candidate.proposal, candidate.scores.get("train", {})
    measured = bool(train)
    text = proposal.expression
    if candidate.alpha is not None:
        text = candidate.oriented.canonical if measured else candidate.compiled.canonical
    nearest, correlation = alike or ("", math.nan)
    attempt = Attempt(
        text,
        proposal.hypothesis,
        "" if candidate.alpha is None else candidate.fingerprint,
        number,
        candidate.sign < 0,
        candidate.gate,
        candidate.reason,
        candidate.score,
        train.get("objective_t", train.get("rank_ic_t", math.nan)),
        train.get("traded", math.nan),
        train.get("coverage", math.nan),
        nearest,
        correlation,
    )
    if not measured:
        return attempt
    # Where training turned it round that is said already.
    doubt = None if attempt.turned else disagreement(proposal.hypothesis, candidate.oriented)
    return dataclasses.replace(attempt, weakest=weakest_side(attempt, config.gates), doubt=doubt or "")


def weakest_side(attempt: Attempt, limits: GateSettings) -> str:
    """What holds a measured attempt back most, with its number and what is needed.

    It is what stopped it, where that is one of these sides, else the one that is nearest its limit.
    """
    like = f"correlation {attempt.correlation:+.2f} in the library, at most {limits.max_correlation:g}"
    covered = f"values for {attempt.coverage:.0%} of the symbols, at least {limits.min_coverage:.0%}"
    score = f"score {attempt.score:+.4f}, at least {limits.min_rank_ic:g}"
    certain = f"t {attempt.t:.1f}, at least {limits.min_t:g}"
    traded = f"it trades {attempt.traded:.0%} of the book a day"
    sides = [
        ("training", attempt.score / max(limits.min_rank_ic, _TINY), score),
        ("training", attempt.t / max(limits.min_t, _TINY), certain),
        ("coverage", attempt.coverage / max(limits.min_coverage, _TINY) / 1.5, covered),  # a little more is no lack
        ("correlation", limits.max_correlation / max(abs(attempt.correlation), _TINY), like),
        ("", _TRADED / max(attempt.traded, _TINY), traded),
    ]
    known = [(gate != attempt.gate, share, text) for gate, share, text in sides if not math.isnan(share)]
    return min(known)[2] if known else ""


def named_parents(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Fingerprint of what its author said it builds on, by that of each admitted factor where it was said."""
    said = [c for c in candidates if c.admitted and c.proposal.builds_on and c.proposal.parents]
    return {c.fingerprint: c.proposal.parents[0] for c in said}
