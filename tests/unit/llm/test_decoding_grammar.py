"""Grammars for constrained decoding: whatever they generate is in the language, and engines take both written forms."""

from __future__ import annotations

import functools
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fama_fast import ops
from fama_fast.errors import ConfigError
from fama_fast.ir import count_nodes, postorder
from fama_fast.llm.answers import parse_answer
from fama_fast.llm.decoding import decoding_grammar, forms
from fama_fast.llm.decoding.answer import MAX_EXPRESSION, answer_grammar, bounded_expressions, literal_grammar
from fama_fast.llm.decoding.calls import call_forms
from fama_fast.llm.decoding.cfg import Grammar, Prose, Ref, Text
from fama_fast.llm.decoding.expressions import expression_grammar, usable_fields
from fama_fast.llm.decoding.skeleton import skeleton
from fama_fast.mining.proposers.check import compiled
from fama_fast.passes import lookback
from fama_fast.proposals.operators import proposable_specs
from fama_fast.proposals.protocol import Limits, Vocabulary

PRICES = Vocabulary(("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"), (), 250)
RICH = Vocabulary(("OPEN", "CLOSE", "VOLUME", "RET", "VWAP", "PE_RATIO"), ("SECTOR", "INDUSTRY"), 250)
SHORT = Vocabulary(("CLOSE", "X"), ("SECTOR",), 12)
ANY_SIZE = Limits(10_000, 10_000)
VOCABULARIES = (PRICES, RICH, SHORT)


@functools.cache
def made(vocabulary: Vocabulary, depth: int, infix: bool = True) -> tuple[Grammar, int]:
    return bounded_expressions(vocabulary, depth, infix=infix)


@pytest.mark.slow
@pytest.mark.parametrize("infix", [True, False])
@given(seed=st.integers(0, 2**32), vocabulary=st.sampled_from(VOCABULARIES), depth=st.sampled_from((2, 4, 6)))
@examples(max_examples=150, deadline=None)
def test_everything_generated_is_in_the_language(infix: bool, seed: int, vocabulary: Vocabulary, depth: int) -> None:
    grammar, bounded = made(vocabulary, depth, infix)
    text = grammar.sample(random.Random(seed))
    # Parses, has right arities, kinds and windows, uses a field, is no condition.
    node = compiled(text, vocabulary, ANY_SIZE)
    assert lookback(node) < vocabulary.max_window
    assert len(text) <= grammar.longest()
    # A depth is given up only when its longest expression would not fit.
    if bounded < depth:
        assert expression_grammar(vocabulary, bounded + 1, infix=infix).longest() > MAX_EXPRESSION


def test_every_operator_of_the_registry_can_be_written() -> None:
    """But for those whose shortest form needs more rows than the depth leaves to each level."""
    for infix in (True, False):
        text = forms.lark(expression_grammar(RICH, 3, infix=infix))
        reached = set(re.findall(r'"([A-Z][A-Z0-9_]*)\("', text))
        written = reached | (set(skeleton().names) if infix else set())
        missing = {s.name for s in proposable_specs(RICH)} - written
        assert missing == set(), (infix, missing)


def test_infix_forms_are_those_of_the_language_file() -> None:
    found = skeleton()
    assert found.chain[0] == "conditional"
    assert found.chain[-1] == "atom"
    symbols = {s.symbol for s in ops.specs() if s.symbol}
    assert {o.spec.symbol for each in found.operations.values() for o in each} == symbols
    assert found.logical == {"AND", "OR", "NOT"}
    rng = random.Random(5)
    grammar = expression_grammar(PRICES, 4)
    seen = " ".join(grammar.sample(rng) for _ in range(600))
    assert all(f" {s} " in seen for s in ("+", "-", "*", "/", "^", "<", ">=", "==", "&&", "||", "?"))


def test_depth_bounds_size_and_nesting() -> None:
    rng = random.Random(1)
    for depth in (2, 3, 4, 5):
        grammar = expression_grammar(RICH, depth)
        nodes = [compiled(grammar.sample(rng), RICH, ANY_SIZE) for _ in range(80)]
        assert max(count_nodes(n) for n in nodes) < 120
    loop = Grammar("a")
    loop.add("a", [(Text("x"), Ref("a"))])
    with pytest.raises(RecursionError, match="contains itself"):
        loop.longest()


def test_windows_are_whole_numbers_shared_out_over_the_levels() -> None:
    for depth in (2, 5):
        for form in call_forms(PRICES, (PRICES.max_window - 20) // depth):
            for name in form.names:
                windows = [p for p in ops.get(name).statics if p.kind.value == "window" and p.required]
                if len(windows) == 1 and windows[0] is ops.get(name).statics[0]:
                    days = {int(s.split(", ")[1]) for s in form.statics}
                    assert max(days) <= PRICES.max_window // depth
                    assert min(days) >= (windows[0].minimum or 1)


def test_fields_that_cannot_be_written_are_left_out() -> None:
    odd = Vocabulary(
        ("CLOSE", "P/E", "a b", 'x"y', "AND", "TRUE", "1ST", "EVIL\nRULE", "MKT.CAP", "é"), ("SECTOR", "A B")
    )
    assert usable_fields(odd) == ("CLOSE", "AND", "MKT.CAP")  # AND is a field wherever an operand stands
    text = decoding_grammar(odd, 2, 3).lark
    assert '"CLOSE"' in text
    assert "EVIL" not in text
    assert "A B" not in text
    with pytest.raises(ConfigError, match="no field of the data has a name"):
        decoding_grammar(Vocabulary(("P/E",)), 1, 3)


def test_only_the_operators_that_are_allowed() -> None:
    rng = random.Random(2)
    grammar = expression_grammar(RICH, 4, ("RANK", "DELTA", "DIV"))
    nodes = [n for _ in range(200) for n in postorder(compiled(grammar.sample(rng), RICH, ANY_SIZE))]
    seen = {n.op for n in nodes if ops.find(n.op)}
    assert seen <= {"RANK", "DELTA", "DIV", "MUL", "INVERSE", "NEG", "POWER"}  # the canonical form rewrites a ratio
    assert {"RANK", "DELTA"} <= seen
    with pytest.raises(ConfigError, match="no expression can be written"):
        decoding_grammar(PRICES, 1, 3, ("GROUP_RANK",))


def test_long_names_lessen_the_depth_rather_than_break_the_answer() -> None:
    long = Vocabulary(tuple(f"{c}{'N' * 110}" for c in "ABC"))
    grammar, depth = bounded_expressions(long, 8)
    assert depth < 8
    assert grammar.longest() <= 4_000
    assert decoding_grammar(long, 2, 8).depth <= depth


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
@examples(max_examples=60, deadline=None)
def test_generated_answers_are_the_contract(seed: int, count: int) -> None:
    expressions, _ = made(RICH, 4)
    text = answer_grammar(expressions, count).sample(random.Random(seed))
    alphas = json.loads(text)["alphas"]
    assert 1 <= len(alphas) <= count
    assert all(set(a) - {"builds_on"} == {"hypothesis", "expression", "explanation"} for a in alphas)
    assert all(re.fullmatch(r"[ASPRI][1-9][0-9]?", a["builds_on"]) for a in alphas if "builds_on" in a)
    answer = parse_answer(text, count)
    named = {"".join(a["expression"].split()).casefold(): a.get("builds_on", "") for a in reversed(alphas)}
    assert all(p.builds_on == named["".join(p.expression.split()).casefold()] for p in answer.proposals)
    distinct = {"".join(a["expression"].split()).casefold() for a in alphas}
    assert {"".join(p.expression.split()).casefold() for p in answer.proposals} == distinct
    assert not answer.truncated


# What the engines say


def walk(matcher: Any, tokenizer: Any, rng: random.Random, limit: int) -> str:
    """A random text that the engine itself allows, byte by byte, leaning towards the end."""
    out = bytearray()
    for _ in range(limit):
        bits = matcher.compute_bitmask()
        allowed = [i for i in range(256) if bits[i // 8] >> (i % 8) & 1]
        if not allowed:
            break
        closing = [b for b in allowed if b in b')"]}']
        byte = rng.choice(closing) if closing and rng.random() < 0.5 else rng.choice(allowed)
        assert matcher.consume_token(byte)
        out.append(byte)
    return out.decode("utf-8", errors="replace")


@pytest.fixture(scope="module")
def guidance() -> Any:
    return pytest.importorskip("llguidance", reason="llguidance is not installed")


@pytest.fixture(scope="module")
def bytes_tokenizer(guidance: Any) -> Any:
    class Bytes:
        """One token a byte, and one for the end."""

        tokens = [bytes([i]) for i in range(256)] + [b"<end>"]
        eos_token_id = 256
        bos_token_id = None
        special_token_ids = [256]  # noqa: RUF012

        def __call__(self, text: str | bytes) -> list[int]:
            return list(text.encode() if isinstance(text, str) else text)

    return guidance.LLTokenizer(guidance.TokenizerWrapper(Bytes()))


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("depth", [2, 5, 8])
def test_llguidance_takes_the_lark_form(guidance: Any, vocabulary: Vocabulary, depth: int) -> None:
    lark = decoding_grammar(vocabulary, 10, depth).lark
    assert guidance.LLMatcher.validate_grammar(guidance.grammar_from("lark", lark)) == ""
    assert not re.search(r"%\w|\?<?[=!]|\\[1-9]", lark)  # what OpenAI's and llguidance's Lark leave out


def test_llguidance_takes_the_gbnf_form(guidance: Any) -> None:
    from llguidance.gbnf_to_lark import gbnf_to_lark

    lark = gbnf_to_lark(decoding_grammar(RICH, 10, 5).gbnf)
    assert guidance.LLMatcher.validate_grammar(guidance.grammar_from("lark", lark)) == ""


def test_what_llguidance_lets_through_is_in_the_language(guidance: Any, bytes_tokenizer: Any) -> None:
    """Random walks over the engine's own masks, not over our rules: the written form says what was meant."""
    grammar = guidance.grammar_from("lark", decoding_grammar(RICH, 2, 4).lark)
    rng = random.Random(7)
    whole = 0
    for _ in range(12):
        matcher = guidance.LLMatcher(bytes_tokenizer, grammar)
        text = walk(matcher, bytes_tokenizer, rng, 2_000)
        if not matcher.is_accepting():
            continue
        whole += 1
        for alpha in json.loads(text)["alphas"]:
            compiled(alpha["expression"], RICH, ANY_SIZE)
    assert whole >= 6


def test_a_literal_grammar_has_one_text(guidance: Any, bytes_tokenizer: Any) -> None:
    matcher = guidance.LLMatcher(bytes_tokenizer, guidance.grammar_from("lark", literal_grammar("alpha 1").lark))
    assert walk(matcher, bytes_tokenizer, random.Random(0), 100) == "alpha 1"


def test_written_forms_escape_what_they_must() -> None:
    grammar = Grammar("s")
    grammar.add("s", [(Text('say "a\\b"'), Ref("rest_of_it"))])
    grammar.add("rest_of_it", [(Prose(9),), (Text("x"),)])
    assert (
        forms.lark(grammar)
        == 'start: "say \\"a\\\\b\\"" REST_OF_IT\nREST_OF_IT: /[^"\\\\\\x00-\\x1f\\x7f]{1,9}/ | "x"\n'
    )
    assert forms.gbnf(grammar).startswith('root ::= "say \\"a\\\\b\\"" rest-of-it\nrest-of-it ::= [^')
