"""Error messages: from what the parser saw to a sentence with a place, what was expected and the nearest
right answer.

Pure functions of their arguments; they know the grammar's terminals, no operator and no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import ParseError, line_and_column

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from fama_fast.errors import ExpressionError

END = "$END"
MAX_SHOWN = 40
MAX_NAME = 128  # of the grammar's NAME

_ARITHMETIC = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "POWER"})

# What people and models write from habit elsewhere, and what it is here.
_LOOKALIKES = {
    "&": "&&",
    "|": "||",
    "~": "!",
    "[": "(",
    "]": ")",
    "{": "(",
    "}": ")",
    "%": "MOD(x, y)",
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{FULLWIDTH COMMA}": ",",
    "\N{FULLWIDTH LEFT PARENTHESIS}": "(",
    "\N{FULLWIDTH RIGHT PARENTHESIS}": ")",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{NOT EQUAL TO}": "!=",
}


def placed(error: ExpressionError, text: str, start: int, end: int) -> ExpressionError:
    """The same error, at a place in a text."""
    return type(error)(
        error.message, text=text, start=start, end=end, expected=error.expected, suggestion=error.suggestion
    )


def shown(name: str) -> str:
    """A name fit for a message: cut when long."""
    return name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "..."


def expected_words(accepts: Set[str]) -> tuple[str, ...]:
    """Terminals that could have come next, in words: "a number", "a name", "',' or ')'"."""
    words: list[str] = []
    if "NAME" in accepts:
        words += ["a number", "a name", "'('"]
        return tuple(words)
    if accepts & (_ARITHMETIC | {"COMPARE", "AND", "OR"}):
        words.append("an operator")
    marks = [f"'{mark}'" for name, mark in (("COLON", ":"), ("COMMA", ","), ("RPAR", ")")) if name in accepts]
    if marks:
        words.append(" or ".join(marks))
    if END in accepts:
        words.append("the end")
    return tuple(words)


def unexpected_character(text: str, position: int, accepts: Set[str]) -> ParseError:
    """A character that begins nothing of the language."""
    c = text[position]
    name = f"'{c}'" if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}"
    message = f"unexpected character {name}"
    if c in "'\"`":
        message = "unexpected quotation mark: names are written without quotes"
    return ParseError(
        message,
        text=text,
        start=position,
        expected=expected_words(accepts),
        suggestion=_LOOKALIKES.get(c),
    )


def unexpected_token(text: str, kind: str, value: str, start: int, accepts: Set[str], previous: str) -> ParseError:
    """A token where the grammar allows others. `previous` is the text of the token before it."""
    wants_operand = "NAME" in accepts
    word = value.strip()
    end = start + max(1, len(word))
    what = {"NAME": "name ", "NUMBER": "number "}.get(kind, "")
    message = f"unexpected {what}'{shown(word)}'"
    suggestion = None
    if kind == "RPAR" and not accepts & {"RPAR", "COMMA", "COLON"} and not wants_operand:
        message = "this ')' has no '(' before it"
    elif kind == "EQUAL" and not wants_operand:
        suggestion = "=="
    elif kind == "COMPARE" and "PLUS" in accepts:
        message = "comparisons do not chain: write a < b && b < c, or use parentheses"
    elif (kind == "COMPARE" or kind in _ARITHMETIC) and not wants_operand and "AND" in accepts:
        message = f"'{word}' after '!' needs parentheses: !(x {word} y) or (!x) {word} y"
    elif kind == "BANG" and wants_operand:
        message = "'!' inside arithmetic or a comparison needs parentheses: (!x)"
    elif kind == "NAME" and start == len(text[:start].rstrip()) and len(previous) >= MAX_NAME:
        message = f"a name is longer than {MAX_NAME} characters"
    elif previous.upper() == "NOT" and kind in ("NAME", "NUMBER"):
        message = "NOT inside arithmetic or a comparison needs parentheses: (NOT x)"
    return ParseError(message, text=text, start=start, end=end, expected=expected_words(accepts), suggestion=suggestion)


def unexpected_end(text: str, open_parentheses: Sequence[int], accepts: Set[str]) -> ParseError:
    """The text stops too early; an unclosed parenthesis is named by where it was opened."""
    at = len(text.rstrip())
    if at == 0:
        return ParseError("the expression is empty", text=text, start=0, expected=expected_words(accepts))
    message = "the expression ends too early"
    if open_parentheses:
        line, column = line_and_column(text, open_parentheses[-1])
        message += f": the '(' opened at line {line}, column {column} is not closed"
    return ParseError(message, text=text, start=at, expected=expected_words(accepts))
