"""Text to syntax: goldens of messages, limits, hostile text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fama_fast.errors import FamaError, LimitError, ParseError
from fama_fast.ir import Node
from fama_fast.lang import MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse, parse_syntax
from fama_fast.lang.parser import _lark
from fama_fast.resources import grammar_dir
from tests.support.lang import GOLDEN


def _error_cases() -> list[tuple[str, str]]:
    blocks = re.split(r"^>>>", (GOLDEN / "errors.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(head.removeprefix(" "), body.strip("\n")) for head, _, body in (b.partition("\n") for b in blocks)]


@pytest.mark.parametrize(("source", "message"), _error_cases())
def test_error_messages(source: str, message: str) -> None:
    """The whole text: what, where with a caret, what was expected, the nearest right answer."""
    marked = re.match(r"\[([^\]]*=[^\]]*)\] (.*)", source)
    options: dict[str, object] = {}
    if marked:
        source = marked.group(2)
        for option in marked.group(1).split():
            key, _, value = option.partition("=")
            options[key] = value if key == "dialect" else [v for v in value.split(",") if v]
    text = source.encode("ascii").decode("unicode_escape")
    with pytest.raises(FamaError) as caught:
        parse(text, **options)  # type: ignore[arg-type]
    assert f"{type(caught.value).__name__}: {caught.value}".rstrip() == message


def test_error_fields_are_data() -> None:
    with pytest.raises(ParseError) as caught:
        parse("RANK(\n  CLOSE OPEN)")
    error = caught.value
    assert (error.line, error.column) == (2, 9)
    assert error.text[error.start : error.end] == "OPEN"
    assert error.expected == ("an operator", "',' or ')'")


def test_infix_forms_bind_as_documented() -> None:
    for text, grouped in [
        ("-x1^2", "-(x1^2)"),
        ("a1^b1^c1", "a1^(b1^c1)"),
        ("a1**-b1", "a1^(-b1)"),
        ("a1-b1-c1", "(a1-b1)-c1"),
        ("a1/b1*c1", "(a1/b1)*c1"),
        ("a1+b1*c1<d1&&e1||f1?g1:h1?i1:j1", "((((a1+(b1*c1))<d1)&&e1)||f1)?g1:(h1?i1:j1)"),
        ("not a1 and b1 or c1", "((!a1)&&b1)||c1"),
        ("a1 and(b1)", "AND(a1, b1)"),
        ("NOT\n a1", "NOT(a1)"),
        ("order1 or android1", "order1 || android1"),
    ]:
        assert parse(text) is parse(grouped), text


@pytest.mark.timeout(20)  # milliseconds; exponential parsing would never end
@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000,
        "(" * 5000,
        "(" * 3000 + "CLOSE" + ")" * 3000,
        "f(" * 4000,
        "-" * 8000 + "CLOSE",
        "!" * 8000 + "CLOSE",
        "CLOSE" + "+CLOSE" * 1300,
        "CLOSE" + "^CLOSE" * 1300,
        "CLOSE?CLOSE:" * 600 + "CLOSE",
        "RANK(" * 150 + "CLOSE" + ")" * 150,
        "F(" + "1," * 4000 + "1)",
        "x" * 5000,
        "x" * 8192,
        "9" * 8000,
        "1e" + "9" * 8000,
        "." * 8000,
        "\x00" * 8000,
        "\N{ROCKET}" * 8000,
        "__import__('os').system('x')",
        "().__class__.__bases__[0].__subclasses__()",
        "RANK(CLOSE); DROP TABLE factors",
        "TS_MEAN(CLOSE, 99999999999999999999)",
        "DELAY(CLOSE, 1e308)",
        "DELAY(CLOSE, 10^10^10)",
        "DELAY(CLOSE, (9^9)^(9^9))",
        "ADV99999999999999999999",
        "\N{FULLWIDTH LATIN CAPITAL LETTER R}ANK(CLOSE)",
        "CLOSE\N{RIGHT-TO-LEFT OVERRIDE}",
        "CLOSE\N{NO-BREAK SPACE}+ OPEN",
        "\ud800",
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_hostile_text_is_refused_quickly(text: str) -> None:
    parse("CLOSE")
    with pytest.raises(FamaError) as caught:
        parse(text)
    assert len(str(caught.value)) < 600


@given(st.text(max_size=200) | st.text("RANK(CLOSE,5)+-*/^!<>=&|?: .eE01\n", max_size=200))
@settings(max_examples=400, deadline=None)
@example("RANK(CLOSE,,)")
@example("1.e5.e5")
@example("a.b.c(1)")
@example("NOT ")
@example("x AND")
@example("\n\n  (")
def test_any_text_parses_or_is_a_clear_error(text: str) -> None:
    try:
        result: object = parse(text)
    except FamaError as error:
        result = error
    assert isinstance(result, Node) or str(result)


def test_limits_are_exact() -> None:
    deep = "RANK(" * (MAX_DEPTH - 1) + "CLOSE" + ")" * (MAX_DEPTH - 1)
    assert parse(deep).depth == MAX_DEPTH
    with pytest.raises(LimitError, match="deep"):
        parse(f"RANK({deep})")
    with pytest.raises(LimitError, match="deep"):
        parse("CLOSE" + "+CLOSE" * MAX_DEPTH)
    tree = "x1"
    for _ in range(12):
        tree = f"{tree}+({tree})"
    assert parse_syntax(tree).size == 8191
    with pytest.raises(LimitError, match=str(MAX_NODES)):
        parse(f"{tree}+({tree})")
    with pytest.raises(LimitError, match=str(MAX_LENGTH)):
        parse("1" + " " * MAX_LENGTH)
    assert parse("1" + " " * (MAX_LENGTH - 1)).value == 1.0


def test_text_only() -> None:
    with pytest.raises(ParseError, match="not int"):
        parse(5)  # type: ignore[arg-type]


def test_parser_is_built_once() -> None:
    assert _lark() is _lark()


def test_grammar_names_no_operator_and_keeps_to_the_portable_subset() -> None:
    """A decoding grammar is generated from it for engines that know no priorities, templates or imports."""
    source = (grammar_dir() / "alpha.lark").read_text(encoding="utf-8")
    rules = re.sub(r"^\s*//.*$", "", source, flags=re.MULTILINE)
    assert not re.search(
        r"%(import|declare|override|extend)|\(\?[=!<]|\\[0-9]|^\w+(\.\d+|\{)", rules, flags=re.MULTILINE
    )
    assert not re.search(r"RANK|CLOSE|TS_|DELTA", rules)
