"""Windows of a model's best formulas are moved; nothing else changes, and nothing is proposed twice."""

from __future__ import annotations

import math
from typing import Any

from fama_fast.engine import compile as compile_alpha
from fama_fast.mining.proposers.built_on import built_on
from fama_fast.mining.proposers.tuning import ORIGIN, tuned
from fama_fast.proposals.protocol import Attempt, Experience, Limits, ProposalRequest, Vocabulary

VOCABULARY = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), (), 120)
BEST = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20))"
NEXT = "RANK(TS_STDDEV(HIGH / LOW, 10))"


def attempt(text: str, t: float, **more: Any) -> Attempt:
    return Attempt(text, "h", f"fp-{t}", 1, t=t, score=0.02, **more)


def request(*results: Attempt, **more: Any) -> ProposalRequest:
    return ProposalRequest(
        10, vocabulary=VOCABULARY, experience=Experience(results=results), limits=Limits(level_free=True), **more
    )


def test_windows_of_the_best_results_are_moved_in_turn() -> None:
    found = tuned(request(attempt(NEXT, 2.0), attempt(BEST, 4.0)), 6)
    assert len(found) == 6
    assert [p.parents for p in found] == [("fp-4.0",), ("fp-2.0",)] * 3
    assert {p.origin for p in found} == {ORIGIN}
    assert all(p.prompt_hash is None for p in found), "no answer was paid for it"
    assert len({p.expression for p in found}) == 6
    for p in found:
        assert compile_alpha(p.expression).canonical == p.expression
        assert built_on(p.expression, {"best": BEST, "next": NEXT}, VOCABULARY) == ("best" if "VOLUME" in p.expression else "next")  # fmt: skip  # noqa: E501
    assert tuned(request(attempt(NEXT, 2.0), attempt(BEST, 4.0)), 6) == found


def test_what_is_known_weak_or_unmeasured_is_left_out() -> None:
    first = tuned(request(attempt(BEST, 4.0)), 3)
    known = frozenset(p.expression for p in first)
    assert not known & {p.expression for p in tuned(request(attempt(BEST, 4.0), known=known), 8)}
    assert tuned(request(attempt(BEST, 0.9), attempt(NEXT, math.nan), attempt("CLOSE / OPEN", 5.0)), 5) == []
    assert tuned(request(attempt("FOO(", 5.0), attempt("RANK(NO_FIELD)", 5.0)), 5) == []
    assert tuned(request(attempt(BEST, 4.0)), 0) == []
    assert tuned(request(), 5) == []


def test_a_contradicted_hypothesis_is_not_handed_on() -> None:
    (turned,) = tuned(request(attempt(BEST, 4.0, turned=True)), 1)
    (kept,) = tuned(request(attempt(BEST, 4.0)), 1)
    assert (turned.hypothesis, kept.hypothesis) == ("", "h")


def test_windows_stay_within_the_history_allowed() -> None:
    long = "RANK(TS_MEAN(VOLUME, 60) / TS_MEAN(VOLUME, 120))"
    few = ProposalRequest(
        40,
        vocabulary=VOCABULARY,
        experience=Experience(results=(attempt(long, 4.0),)),
        limits=Limits(max_lookback=119, level_free=True),
    )
    found = tuned(few, 40)
    assert found
    assert all(compile_alpha(p.expression).lookback <= 119 for p in found)
