"""Whether hypotheses and expressions say the same, and what becomes of those that do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fama_fast.engine import compile as compile_alpha
from fama_fast.library.factor import Factor
from fama_fast.llm.answers import parse_answer
from fama_fast.llm.prompt import load_templates, render_prompt
from fama_fast.mining.agreement import disagreement, follows_past_returns
from fama_fast.mining.coe import ChainBook
from fama_fast.mining.proposers.dialogue import Dialogue, without_rethought
from fama_fast.proposals.protocol import PromptContext, ProposalRequest


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("RANK(CLOSE / DELAY(CLOSE, 5))", 1),
        ("-RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5))", -1),
        ("RANK(TS_MEAN(CLOSE, 20) / CLOSE)", -1),
        ("TS_MEAN(RET, 20)", 1),
        ("RANK(TS_STDDEV(RET, 20))", 0),
        ("RANK(VOLUME / TS_MEAN(VOLUME, 20))", 0),
        ("TS_MEAN(RET, 250) * 0", 0),
    ],
)
def test_what_follows_past_returns_is_measured(text: str, sign: int) -> None:
    assert follows_past_returns(compile_alpha(text)) == sign


UP, DOWN = "RANK(CLOSE / DELAY(CLOSE, 5))", "-RANK(CLOSE / DELAY(CLOSE, 5))"


@pytest.mark.parametrize(
    ("hypothesis", "text", "said"),
    [
        ("Short-term reversal: losers rebound.", UP, "the hypothesis expects moves to come back"),
        ("Short-term reversal: losers rebound.", DOWN, None),
        ("Momentum continues.", DOWN, "the hypothesis expects moves to go on"),
        ("Momentum continues.", UP, None),
        ("Momentum that ends in a reversal.", UP, None),
        ("Nothing is said of it.", UP, None),
        ("", UP, None),
        ("High volume attracts attention.", UP, "the hypothesis speaks of volume, which the expression does not read"),
        ("High volume attracts attention.", "RANK(ADV20)", None),
        ("Overnight gaps close.", UP, "the hypothesis speaks of the open"),
        ("Overnight gaps close.", "RANK(OPEN / DELAY(CLOSE, 1))", None),
        ("Cheap against its industry peers.", UP, "the hypothesis speaks of groups"),
    ],
)
def test_a_hypothesis_and_its_expression(hypothesis: str, text: str, said: str | None) -> None:
    found = disagreement(hypothesis, compile_alpha(text))
    assert (found is None) if said is None else (found is not None and found.startswith(said))


def test_a_field_of_the_data_may_be_what_is_spoken_of() -> None:
    alpha = compile_alpha("RANK(TURN_RATE)", fields=("TURN_RATE", "CLOSE"))
    assert disagreement("High turnover attracts attention.", alpha) is None
    assert follows_past_returns(alpha) == 0


TURNED = Factor(
    "-RANK(CLOSE / OPEN)", "-RANK(CLOSE / OPEN)", "f", {}, "winners go on", {"contradicted": "winners go on"}
)


def test_contradicted_is_the_hypothesis_not_the_factor() -> None:
    assert TURNED.contradicted
    assert not dataclasses.replace(TURNED, hypothesis="winners fall back").contradicted
    assert not dataclasses.replace(TURNED, hypothesis="", provenance={"contradicted": ""}).contradicted
    assert not dataclasses.replace(TURNED, provenance={}).contradicted


def request(*factors: Factor) -> ProposalRequest:
    return ProposalRequest(2, contexts=(PromptContext(contradicted=factors),), known=frozenset({TURNED.canonical}))


def test_a_prompt_asks_for_another_hypothesis() -> None:
    user = render_prompt(request(TURNED), load_templates())[1].content
    assert "`-RANK(CLOSE / OPEN)`, thought for its negative: winners go on" in user
    assert "with a hypothesis that fits it" in user
    assert "with a hypothesis that fits it" not in render_prompt(request(), load_templates())[1].content


ANSWER = """{"alphas": [
 {"hypothesis": "winners fall back", "expression": "-1 * RANK(CLOSE / OPEN)", "explanation": ""},
 {"hypothesis": "a", "expression": "RANK(HIGH / LOW)", "explanation": ""},
 {"hypothesis": "b", "expression": "RANK(OPEN / LOW)", "explanation": ""},
 {"hypothesis": "c", "expression": "RANK(OPEN / HIGH)", "explanation": ""}]}"""


def read(*factors: Factor) -> tuple[Dialogue, Any]:
    dialogue = Dialogue(0, request(*factors), (), 2)
    return dialogue, without_rethought(parse_answer(ANSWER, 4), dialogue)


def test_what_is_given_once_more_is_a_hypothesis_and_no_proposal() -> None:
    dialogue, answer = read(TURNED)
    assert dialogue.hypotheses == [(TURNED.canonical, "winners fall back")]
    assert [p.expression for p in answer.proposals] == ["RANK(HIGH / LOW)", "RANK(OPEN / LOW)"]
    assert [r.reason for r in answer.dropped] == ["more than the 2 that were asked for"]
    dialogue, answer = read(dataclasses.replace(TURNED, hypothesis="winners fall back"))
    assert dialogue.hypotheses == [], "the same once more is no other"
    assert len(answer.proposals) == 2
    dialogue, answer = read()
    assert dialogue.hypotheses == []
    assert answer.proposals[0].expression == "-1 * RANK(CLOSE / OPEN)"


def test_chains_have_the_hypothesis_too() -> None:
    book = ChainBook.build([TURNED], [0])
    mended = dataclasses.replace(TURNED, hypothesis="winners fall back")
    assert book.with_factor(mended).chains[0].members == (mended,)
    assert book.with_factor(dataclasses.replace(mended, fingerprint="another")) == book
