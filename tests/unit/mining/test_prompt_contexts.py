"""What each prompt of a round shows: directions, draws, what a formula was built on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fama_fast.library.factor import Factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.css import CrossSampleSelection, direction
from fama_fast.mining.proposers.built_on import built_on
from fama_fast.mining.run.contexts import prompts_of
from fama_fast.proposals.protocol import Vocabulary

PRICES = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), ("SECTOR",), 250)


@pytest.mark.parametrize(
    ("vocabulary", "different"),
    [(PRICES, 520), (Vocabulary(("CLOSE",)), 6 * 7 * 5), (Vocabulary(("X", "Y")), 2 * 7 * 5), (Vocabulary(()), 7 * 5)],
)
def test_directions_do_not_repeat_before_all_have_come(vocabulary: Vocabulary, different: int) -> None:
    texts = [direction(n, vocabulary) for n in range(different + 1)]
    assert len(set(texts[:-1])) == different
    assert texts[-1] == texts[0]
    assert all(a != b for a, b in pairwise(texts))


def test_directions_ask_for_nothing_that_the_data_lack() -> None:
    told = " ".join(direction(n, Vocabulary(("CLOSE", "PE_RATIO"))) for n in range(200))
    assert "volume" not in told
    assert "group" not in told
    assert "PE_RATIO: what this field of the data knows" in told
    assert "relative to its group (SECTOR)" in " ".join(direction(n, PRICES) for n in range(200))


def factor(name: str, t: float) -> Factor:
    return Factor(name, name, name, {"train": {"rank_ic": 0.02, "objective_t": t}})


def test_only_significant_factors_are_examples() -> None:
    css = CrossSampleSelection(min_t=2.0)
    factors = [factor("a", 2.0), factor("b", 1.99), factor("c", float("nan")), factor("d", 5.0), Factor("e", "e", "e")]
    assert css.eligible(factors) == [0, 3]
    assert css.eligible(factors, {"d"}) == [0]
    assert css.eligible(factors[1:3]) == []
    assert CrossSampleSelection(min_t=0.0).eligible(factors) == [0, 1, 2, 3, 4]


def test_every_prompt_has_a_draw_of_its_own() -> None:
    n = 30
    factors = [factor(str(i), 3.0) for i in range(n)]
    css = CrossSampleSelection(l=3, seed=4)
    correlations, clusters = np.eye(n), np.arange(n) % 6
    draws = [
        css.select(correlations, clusters, factors, number=number, prompt=prompt).indices
        for number in range(1, 5)
        for prompt in range(4)
    ]
    assert len(set(draws)) == len(draws)
    assert css.select(correlations, clusters, factors, number=2, prompt=1).indices == draws[5]
    assert all(len({clusters[i] for i in draw}) == 3 for draw in draws)


@pytest.mark.parametrize(
    ("proposer", "rest", "count", "prompts"),
    [
        ("evolve", {}, 40, 0),
        ("llm", {}, 40, 4),
        ("llm", {}, 41, 5),
        ("llm", {"llm": {"per_prompt": 1}}, 3, 3),
        ("mixed", {"mix": {"llm": 0.25, "evolve": 0.75}}, 40, 1),
        ("mixed", {"mix": {"random": 0.25, "evolve": 0.75}}, 40, 0),
    ],
)
def test_there_is_a_context_for_every_prompt(proposer: str, rest: dict[str, object], count: int, prompts: int) -> None:
    if "random" in str(rest):
        rest = {"mix": {"replay": 0.25, "evolve": 0.75}}
    config = config_from_dict({"proposer": proposer, **rest})
    assert prompts_of(config, count, 1) == prompts


SHOWN = {"A1": "RANK(CLOSE / OPEN)", "S1": "TS_MEAN(RANK(VOLUME / TS_MEAN(VOLUME, 20)), 5)"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TS_DECAY_LINEAR(RANK(CLOSE / OPEN), 5)", "A1"),
        ("-RANK(VOLUME / TS_MEAN(VOLUME, 60))", "S1"),
        ("RANK(TS_STDDEV(CLOSE / DELAY(CLOSE, 1), 20))", None),
        ("CLOSE / OPEN", "A1"),
        ("RANK(HIGH / LOW) - RANK(CLOSE / OPEN) * TS_CORR(VOLUME, CLOSE, 10)", "A1"),
        ("NOT_A_FORMULA(", None),
    ],
)
def test_a_formula_was_built_on_what_it_shares_its_largest_part_with(text: str, name: str | None) -> None:
    assert built_on(text, SHOWN, PRICES) == name
    assert built_on(text, {}, PRICES) is None
