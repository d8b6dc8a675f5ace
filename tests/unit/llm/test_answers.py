"""What is found in the answers that models really give, and what is said of the rest."""
# ruff: noqa: E501  (tables of answers as they came)

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.llm import answers
from fama_fast.llm.answers import parse_answer
from fama_fast.llm.expression_text import Shape, clean_expression, shape_of

_WORDS = {"CLOSE", "OPEN", "HIGH", "LOW", "VOLUME", "RET", "RANK", "DELTA", "TS_MEAN", "CORREL", "ABS"}


def known(text: str) -> bool:
    """Stands for the compiler: every name is one of a few, and there is more than a name."""
    names = re.findall(r"[A-Za-z_]+", text)
    return len(text) > 6 and all(n.upper() in _WORDS for n in names) and text.count("(") == text.count(")")


# what the model wrote -> the expressions that are in it
UGLY: dict[str, tuple[str, list[str]]] = {
    "plain array": ('[{"hypothesis":"h","expression":"RANK(CLOSE)","explanation":"e"}]', ["RANK(CLOSE)"]),
    "fenced object with a list, braces in prose": (
        'Sure {here}:\n```json\n{"alphas":[{"expression":"RANK(CLOSE)"},{"expression":"RANK(OPEN)"}]}\n```\nOk [1]?',
        ["RANK(CLOSE)", "RANK(OPEN)"],
    ),
    "list under factors": ('{"factors": [{"expr": "RANK(CLOSE)"}]}', ["RANK(CLOSE)"]),
    "json lines": (
        '{"expression":"RANK(CLOSE)"}\n{"expression":"RANK(OPEN)"}',
        ["RANK(CLOSE)", "RANK(OPEN)"],
    ),
    "single object": ('{"hypothesis":"h","expression":"RANK(CLOSE)"}', ["RANK(CLOSE)"]),
    "array of texts": ('["RANK(CLOSE)", "RANK(OPEN)"]', ["RANK(CLOSE)", "RANK(OPEN)"]),
    "object of texts": ('{"momentum": "RANK(CLOSE)", "note": "hello"}', ["RANK(CLOSE)"]),
    "nested": ('{"result": {"alpha": {"expression": "RANK(CLOSE)"}}}', ["RANK(CLOSE)"]),
    "cut in an expression": (
        '[{"expression":"RANK(CLOSE)","explanation":"e"},{"hypothesis":"x","expression":"RANK(DELTA(CLO',
        ["RANK(CLOSE)"],
    ),
    "cut in an explanation": ('[{"expression":"RANK(CLOSE)","explanation":"because th', ["RANK(CLOSE)"]),
    "trailing commas": ('[{"expression":"RANK(CLOSE)",},]', ["RANK(CLOSE)"]),
    "single quotes and an apostrophe": (
        "[{'hypothesis': 'the stock's move', 'expression': 'RANK(CLOSE)'}]",
        ["RANK(CLOSE)"],
    ),
    "curly quotes": ("{“hypothesis”: “the “January” effect”, “expression”: “RANK(CLOSE)”}", ["RANK(CLOSE)"]),
    "inner quotes": ('{"hypothesis": "the "January" effect", "expression": "RANK(CLOSE)"}', ["RANK(CLOSE)"]),
    "newlines in strings": ('{"hypothesis": "a\nb", "expression": "RANK(\n  CLOSE\n)"}', ["RANK( CLOSE )"]),
    "comma missing": ('{"hypothesis":"h"\n"expression":"RANK(CLOSE)"\n"explanation":"e"}', ["RANK(CLOSE)"]),
    "quote missing": ('{"expression": "RANK(CLOSE),\n "explanation": "x"}', ["RANK(CLOSE)"]),
    "bare keys and values": (
        "{hypothesis: foo, expression: RANK(DELTA(CLOSE, 5)), explanation: bar}",
        ["RANK(DELTA(CLOSE, 5))"],
    ),
    "thinking tags within JSON": (
        '[{"hypothesis": "<think>", "expression": "RANK(CLOSE)", "explanation": "</think>"}]',
        ["RANK(CLOSE)"],
    ),
    "comments": ('[ // first\n {"expression": "RANK(CLOSE)"} /* done */ ]', ["RANK(CLOSE)"]),
    "markdown escape": (r'{"expression":"TS\_MEAN(CLOSE, 5)"}', ["TS_MEAN(CLOSE, 5)"]),
    "a name called alpha": ('{"alpha":"Momentum one","expression":"RANK(CLOSE)"}', ["RANK(CLOSE)"]),
    "numbered list": (
        "Here they are:\n1. RANK(CLOSE) - strong ones\n2. **Rev**: `RANK(DELTA(CLOSE, 5)) * -1` — buys\n3) RANK(OPEN)",
        ["RANK(CLOSE)", "RANK(DELTA(CLOSE, 5)) * -1", "RANK(OPEN)"],
    ),
    "bullets, infix": (
        "- CLOSE / OPEN - 1\n- momentum / reversal\n* RANK(LOW)",
        ["CLOSE / OPEN - 1", "RANK(LOW)"],
    ),
    "prose bullets only": ("- Momentum (short term) is good\n- Reversal (short) too", []),
    "key and value blocks": (
        "**Hypothesis:** foo\n**Expression:** `RANK(CLOSE)`\n\n**Hypothesis:** bar\n**Expression:** RANK(OPEN)",
        ["RANK(CLOSE)", "RANK(OPEN)"],
    ),
    "yaml": (
        "- hypothesis: a: b\n  expression: RANK(CLOSE)\n- hypothesis: c\n  expression: RANK(OPEN)\n",
        ["RANK(CLOSE)", "RANK(OPEN)"],
    ),
    "block with a fence": ("Expression:\n```\nRANK(\n CLOSE)\n```\nExplanation: x", ["RANK( CLOSE)"]),
    "one line of keys": ("expression: RANK(DELTA(CLOSE, 5)), explanation: x", ["RANK(DELTA(CLOSE, 5))"]),
    "assignments in a fence": (
        "```python\nalpha_1 = RANK(CLOSE)\nalpha_2 = RANK(OPEN)  # up\n```",
        ["RANK(CLOSE)", "RANK(OPEN)"],
    ),
    "table": ("| # | expr | why |\n|---|---|---|\n| 1 | RANK(CLOSE) | strength |\n", ["RANK(CLOSE)"]),
    "backticks in prose": (
        "I would try `RANK(CLOSE / OPEN)`, since `CLOSE` and `foo(bar)` matter.",
        ["RANK(CLOSE / OPEN)"],
    ),
    "thinking first": ('<think>maybe `RANK(OPEN)`</think>{"expression":"RANK(CLOSE)"}', ["RANK(CLOSE)"]),
    "latex": ("$$RANK(CLOSE)$$", ["RANK(CLOSE)"]),
    "typographic minus": ('{"expression": "RANK(CLOSE) \u2212 RANK(OPEN)"}', ["RANK(CLOSE) - RANK(OPEN)"]),
    "null first": ('[{"expression":null},{"expression":"RANK(CLOSE)"}]', ["RANK(CLOSE)"]),
    "refusal": ("I cannot help with that.", []),
    "html": ("<html><body><h1>502 Bad Gateway</h1></body></html>", []),
}


@pytest.mark.parametrize("name", UGLY)
def test_finds_the_expressions(name: str) -> None:
    text, expected = UGLY[name]
    answer = parse_answer(text, 10, is_expression=known)
    assert [p.expression for p in answer.proposals] == expected
    assert expected or answer.dropped


def test_keeps_what_stands_beside() -> None:
    a = parse_answer("1. RANK(CLOSE) - strong stay strong", 3, is_expression=known)
    assert a.proposals[0].hypothesis == "strong stay strong"
    b = parse_answer('{"hypothesis":"h\\u00e9","expression":"RANK(CLOSE)","explanation":"line\\nline"}', 3)
    assert (b.proposals[0].hypothesis, b.proposals[0].explanation) == ("hé", "line line")


@pytest.mark.parametrize(
    ("text", "count", "reason"),
    [
        ("", 3, answers.EMPTY),
        (" \n\t", 3, answers.EMPTY),
        ("no idea", 3, answers.NOTHING),
        ('["RANK(CLOSE)", "rank( close )"]', 3, answers.REPEATED),
        ('["RANK(CLOSE)", "RANK(OPEN)"]', 1, "more than the 1 that were asked for"),
        ('[{"expression": "RANK(DELTA(CLO', 3, answers.CUT),
        ("1. RANK(CLOSE)\n2. RANK(DELTA(CLOSE,", 3, answers.CUT),
        ('[{"expression": ""}]', 3, "the expression is empty"),
        ("<think>hm", 3, "the answer ended before the model finished thinking"),
        (
            '{"expression": "RANK(' + "CLOSE + " * 1000 + 'CLOSE)"}',
            3,
            "the expression is longer than 4000 characters",
        ),
    ],
)
def test_says_what_was_dropped(text: str, count: int, reason: str) -> None:
    answer = parse_answer(text, count, is_expression=known)
    assert reason in [r.reason for r in answer.dropped]
    assert answer.truncated == (reason == answers.CUT or "thinking" in reason)


def test_default_check_is_the_parser() -> None:
    found = parse_answer("Use `RANK(CLOSE / OPEN)`, not `import os` nor `RANK(CLOSE,`.", 3)
    assert [p.expression for p in found.proposals] == ["RANK(CLOSE / OPEN)"]


# A byte-order mark is dropped wherever it stands: it says how a file was written, not what.
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=40)
_NAMES = st.sampled_from(
    ["RANK(CLOSE)", "RANK(DELTA(CLOSE, 5)) * -1", "CLOSE / OPEN - 1", "ABS(RET) > 0.5 ? LOW : HIGH"]
)


@given(
    st.lists(st.tuples(_TEXT, _NAMES, _TEXT), min_size=1, max_size=4, unique_by=lambda t: t[1]),
    st.booleans(),
    st.sampled_from([None, 2]),
)
@settings(max_examples=150, deadline=None)
def test_valid_json_is_read_exactly(items: list[tuple[str, str, str]], ascii_only: bool, indent: int | None) -> None:
    data = [dict(zip(("hypothesis", "expression", "explanation"), t, strict=True)) for t in items]
    text = json.dumps({"alphas": data}, ensure_ascii=ascii_only, indent=indent)
    # A quote that a separator follows is where broken answers end a string: such content is theirs to lose.
    if re.search(r'\\"\s*[,:}\]=\uff1a]|\\"\s*"', text):
        return
    answer = parse_answer(text, 10)

    def shown(text: str) -> str:
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    squash = [(shown(h), e, shown(x)) for h, e, x in items]
    got = [(p.hypothesis, p.expression, p.explanation) for p in answer.proposals]
    assert [g[1] for g in got] == [s[1] for s in squash]
    assert got == squash


@given(st.text(st.sampled_from(list("{}[]()\"'`,:\\\n -*|aRANK(CLOSE)1.=?u“”<>/#")), max_size=400))
@settings(max_examples=400, deadline=None)
def test_never_raises_and_never_exceeds(text: str) -> None:
    answer = parse_answer(text, 2, is_expression=known)
    assert len(answer.proposals) <= 2
    assert answer.proposals or answer.dropped
    for p in answer.proposals:
        assert p.expression == " ".join(p.expression.split())
        (p.expression + p.hypothesis + p.explanation).encode()


@given(st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_any_cut_keeps_the_whole_items_before_it(cut: int) -> None:
    names = ["RANK(CLOSE)", "RANK(OPEN)", "DELTA(LOW, 5)", "ABS(RET)"]
    text = json.dumps([{"hypothesis": "h, [x]", "expression": n, "explanation": "e: {y}"} for n in names])
    answer = parse_answer(text[:cut], 10, is_expression=known)
    expected = [n for n in names if f'"{n}"' in text[:cut]]
    assert [p.expression for p in answer.proposals] == expected


N = 1_000_000
HOSTILE = {
    "parentheses": "(" * N,
    "brackets": "[" * N,
    "braces": "{" * N,
    "alternating": "[{" * (N // 2),
    "keys": '{"' * (N // 2),
    "resets": '{"a":"\n' * (N // 7),
    "quotes": '"' * N,
    "escapes": '{"' + "\\u" * (N // 2),
    "backticks": "`" * N,
    "open calls": "- a(b\n" * (N // 6),
    "keys without end": "expression: (\n" * (N // 14),
    "dashes": "a - " * (N // 4),
    "lines of dashes": ("a - " * 50 + "\n") * (N // 201),
    "dots": '{"expression":"' + "." * N + '"}',
    "spaces": " " * N,
    "comments": "/*" * (N // 2),
    "unicode": "\u2028\ufeff“" * (N // 3),
    "many lists": "RANK(CLOSE) - x\n" * (N // 16),
}


@pytest.mark.timeout(60)  # a moment; a quadratic reader would take minutes
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_megabyte_is_bounded(name: str) -> None:
    answer = parse_answer(HOSTILE[name], 5, is_expression=known)
    assert len(answer.proposals) <= 5
    assert len(answer.dropped) <= 101


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("RANK(CLOSE)", Shape.CALL),
        ("-RANK(CLOSE, d=5) * -1", Shape.CALL),
        ("RANK (CLOSE)", Shape.CALL_SPACED),
        ("CLOSE / OPEN", Shape.INFIX),
        ("CLOSE", Shape.PROSE),
        ("RANK(DELTA(CLOSE,", Shape.OPEN),
        ("buy losers", Shape.PROSE),
        ("Momentum (short term)", Shape.PROSE),
        ("RANK(CLOSE))", Shape.PROSE),
        ("1 + 2", Shape.PROSE),
        ("", Shape.PROSE),
    ],
)
def test_shapes(text: str, shape: Shape) -> None:
    assert shape_of(text) is shape


@pytest.mark.parametrize(
    "text",
    ['`RANK(CLOSE)`', '"RANK(CLOSE)",', "**RANK(CLOSE)**", "alpha = RANK(CLOSE);", "RANK(CLOSE)  # why", "$RANK(CLOSE)$."],
)  # fmt: skip
def test_cleaning(text: str) -> None:
    assert clean_expression(text) == "RANK(CLOSE)"


def test_what_a_terminal_or_a_store_would_act_on_is_taken_out() -> None:
    evil = {"hypothesis": "a\x1b[2J\u202eb\ud800\x00c", "expression": "RANK(\x1b[31mCLOSE)", "explanation": "\u200b"}
    proposal = parse_answer(json.dumps({"alphas": [evil]}), 3).proposals[0]
    assert proposal.hypothesis == "a [2J b\ufffd c"
    assert proposal.expression == "RANK( [31mCLOSE)"
    assert proposal.explanation == ""
    dropped = parse_answer("\x1b]0;owned\x07 nothing here \ud800", 3).dropped[0]
    assert dropped.expression.isprintable()


# Drafts

ANSWER = '{"alphas":[{"hypothesis":"h","expression":"RANK(CLOSE)","explanation":"e"}]}'
DRAFT = 'try {"expression":"RANK(OPEN)"} or `RANK(LOW)`\nRANK(HIGH)\n'
DRAFTS = {
    "thinking": f"<thinking>{DRAFT}</thinking>{ANSWER}",
    "reasoning, case": f"<Reasoning>\n{DRAFT}</REASONING >\n{ANSWER}",
    "triangles": f"\u25c1think\u25b7{DRAFT}\u25c1/think\u25b7{ANSWER}",
    "brackets": f"[THINK]{DRAFT}[/THINK]{ANSWER}",
    "harmony": f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
    "harmony, several": (
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|channel|>commentary<|message|>{DRAFT}<|end|>"
        f"<|start|>assistant<|channel|>final <|constrain|>json<|message|>{ANSWER}"
    ),
    "harmony, markers gone": f"analysisWe {DRAFT}assistantfinal{ANSWER}",
    "two drafts": f"<think>{DRAFT}</think>\n<think>{DRAFT}</think>\n{ANSWER}",
    "opened by the template": f"well, {DRAFT}</think>\n{ANSWER}",
    "spoke of its own end": f"<think>then I close </think> and\n{DRAFT}</think>\n{ANSWER}",
    "in tags of an answer": f"<think>{DRAFT}</think><answer>{ANSWER}</answer>",
    "literal, fenced": "```json\n" + ANSWER.replace('"e"', '"ends the </think> of it"') + "\n```",
    "literal, broken": ANSWER.replace('"e"', '"ends the </think> of it",')[:-3],
    "literal, behind a draft": f"<think>{DRAFT}</think>"
    + ANSWER.replace('"e"', '"the </think> part, the <think> part"'),
    "a stray tag behind it": f"<think>{DRAFT}</think>{ANSWER}\n</think>",
}


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_is_no_proposal_and_a_literal_tag_no_draft(name: str) -> None:
    answer = parse_answer(DRAFTS[name], 9, is_expression=known)
    assert [p.expression for p in answer.proposals] == ["RANK(CLOSE)"]
    assert not any("thinking" in r.reason for r in answer.dropped)


def test_a_tag_in_the_middle_of_a_sentence_ends_nothing() -> None:
    answer = parse_answer("1. RANK(CLOSE) - the </think> effect\n2. RANK(OPEN)", 9, is_expression=known)
    assert [p.expression for p in answer.proposals] == ["RANK(CLOSE)", "RANK(OPEN)"]


@pytest.mark.parametrize(
    "text", [f"<reasoning>{DRAFT}", f"<|channel|>analysis<|message|>{DRAFT}", f"analysisWe {DRAFT}"]
)
def test_a_draft_without_end_is_a_cut_answer(text: str) -> None:
    answer = parse_answer(text, 9, is_expression=known)
    assert answer.proposals == ()
    assert answer.truncated
    assert [r.reason for r in answer.dropped] == ["the answer ended before the model finished thinking"]


# Wrapped, in other letters, in parts


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANSWER),
        json.dumps(json.dumps(ANSWER)),
        '{"result": ' + json.dumps(ANSWER) + "}",
        "```json\n" + json.dumps(ANSWER) + "\n```",
        json.dumps(ANSWER)[:-1],
        ANSWER.replace("RANK(CLOSE)", "\uff32\uff21\uff2e\uff2b\uff08\uff23\uff2c\uff2f\uff33\uff25\uff09"),
        ANSWER.replace("RANK", "\U0001d411\U0001d400\U0001d40d\U0001d40a"),  # mathematical bold
        ANSWER.translate(str.maketrans('{}[]":,', "\uff5b\uff5d\uff3b\uff3d\uff02\uff1a\uff0c")),
    ],
)
def test_json_in_a_text_and_letters_of_other_widths(text: str) -> None:
    assert [p.expression for p in parse_answer(text, 9, is_expression=known).proposals] == ["RANK(CLOSE)"]


def test_raised_digits_are_powers() -> None:
    assert clean_expression("RANK(CLOSE\u00b2 / OPEN\u00b9\u2070)") == "RANK(CLOSE^2 / OPEN^10)"


_MOM = "DELTA(CLOSE, 5) / DELAY(CLOSE, 5)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"mom = {_MOM}\nvol = TS_MEAN(ABS(RET), 20)\nRANK(mom / vol)", [f"RANK(({_MOM}) / (TS_MEAN(ABS(RET), 20)))"]),
        (f"```\nmom := {_MOM}\nsmooth = TS_MEAN(mom, 5)\nalpha = RANK(smooth)\n```", [f"RANK((TS_MEAN(({_MOM}), 5)))"]),
        (json.dumps({"expression": f"mom = {_MOM}; RANK(mom)"}), [f"RANK(({_MOM}))"]),
        (json.dumps({"expression": f"mom = {_MOM}\nRANK(\n  mom\n)"}), [f"RANK( ({_MOM}) )"]),
        (
            json.dumps({"expression": f"RANK(mom / v), where mom = {_MOM}, v = ABS(RET)"}),
            [f"RANK(({_MOM}) / (ABS(RET)))"],
        ),
        ("alpha_1 = RANK(CLOSE)\nalpha_2 = RANK(OPEN)", ["RANK(CLOSE)", "RANK(OPEN)"]),
        ("alpha_1 = RANK(CLOSE)\nalpha_2 = ABS(alpha_1)", ["RANK(CLOSE)", "ABS((RANK(CLOSE)))"]),
        ("1. RANK(CLOSE)\n2. TS_MEAN(CLOSE, d=5) > OPEN", ["RANK(CLOSE)", "TS_MEAN(CLOSE, d=5) > OPEN"]),
    ],
)
def test_names_of_parts_are_put_back(text: str, expected: list[str]) -> None:
    answer = parse_answer(text, 9, is_expression=lambda t: "mom" not in t and "alpha" not in t and "(" in t)
    assert [p.expression for p in answer.proposals] == expected


def test_parts_of_parts_of_parts_stay_short() -> None:
    lines = ["a0 = RANK(CLOSE)", *(f"a{n} = a{n - 1} + a{n - 1}" for n in range(1, 60)), "RANK(a59)"]
    answer = parse_answer("\n".join(lines), 99, is_expression=lambda _: True)
    assert max(len(p.expression) for p in answer.proposals) <= 4_000


@pytest.mark.parametrize(
    "remark",
    [
        " (captures momentum)",
        " - captures momentum",
        " \u2014 buys what fell",
        " captures short-term momentum",
        ", which is momentum",
        "; the market reverts",
        ". It is about momentum.",
        ": a measure of strength",
        " (momentum)",
    ],
)
@pytest.mark.parametrize("form", ['{{"expression": "{}"}}', "1. {}", "Expression: {}\nHypothesis: x", "- `{}`"])
def test_a_remark_behind_a_formula_is_none_of_it(remark: str, form: str) -> None:
    answer = parse_answer(form.format("RANK(CLOSE / OPEN)" + remark), 9, is_expression=known)
    assert [p.expression for p in answer.proposals] == ["RANK(CLOSE / OPEN)"]


@pytest.mark.parametrize(
    "more", [" times the mean", " times RANK(OPEN)", " RANK(OPEN)", " - captures", " - RANK(OPN) of it", " (CLOSE)"]
)
def test_what_may_be_a_part_of_a_formula_is_not_cut_away(more: str) -> None:
    text = "RANK(CLOSE / OPEN)" + more
    answer = parse_answer(json.dumps({"expression": text}), 9, is_expression=lambda _: False)
    assert [p.expression for p in answer.proposals] == [text]


@pytest.mark.parametrize(
    "text",
    [
        '{"alphas": [{"hypothesis": "Stocks that ro',
        '{"alphas": [{"hypothesis": "Stocks that rose", ',
        '{"alphas": [{"hypothesis": "h", "explanation": "e", "expre',
        '```json\n[{"hypothesis": "Stocks that rose"',
        '{"alphas": [',
    ],
)
def test_a_cut_before_the_expression_is_a_cut(text: str) -> None:
    answer = parse_answer(text, 9, is_expression=known)
    assert answer.truncated
    assert [r.reason for r in answer.dropped] == [answers.CUT_BEFORE]


def test_what_came_whole_before_a_cut_is_kept() -> None:
    answer = parse_answer(ANSWER[:-2] + ', {"hypothesis": "Stocks that', 9, is_expression=known)
    assert [p.expression for p in answer.proposals] == ["RANK(CLOSE)"]
    assert answer.truncated
    assert [r.reason for r in answer.dropped] == [answers.CUT_BEFORE]


def test_an_open_bracket_in_prose_is_no_cut() -> None:
    assert not parse_answer("I cannot (see [1", 9, is_expression=known).truncated
