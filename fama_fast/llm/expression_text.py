"""Recognises text that may be an expression by its tokens, and removes what models put around it.

It knows tokens, not operators or fields: whether an expression is right is the parser's business.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPOGRAPHY = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u00d7": "*",
        "\u22c5": "*",
        "\u00b7": "*",
        "\u00f7": "/",
        "\u2215": "/",
        "\u2044": "/",
        "\uff0d": "-",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u2260": "!=",
        "\uff08": "(",
        "\uff09": ")",
        "\uff0c": ",",
        "\u00a0": " ",
        "\u200b": "",
        "\u2060": "",
    }
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_REMARK = re.compile(
    r"\s*(?:(?P<sign>[-\u2013\u2014]{1,2}|[:;,.]|\u2192|=>|->)\s+|\s(?=\()|\s(?=(?:which|that|because|captures?|measures?|to|as"
    r"|since|so|is|this|it|i\.e\.|e\.g\.|means?|shows?|buys?|signals?|reflects?|identif(?:y|ies)|ranks?)\s))"
    r"(?P<remark>\(?\s*[A-Za-z\u00c0-\u024f].*)\Z",
    re.DOTALL,
)
_CALL = re.compile(r"[A-Za-z_]\w*\(")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,40}(?::=|=)(?!=)\s*(?=[A-Za-z(\-0-9])")
_COMMENT = re.compile(r"\s(?:#|//|--\s).*", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|(?P<number>\d[\w.]*)|(?P<op>\*\*|&&|\|\||[<>=!]=|[-+*/^<>!?:%|&=])"
    r"|(?P<open>\()|(?P<close>\))|(?P<comma>,))"
)
_WORD_OPERATORS = frozenset({"AND", "OR", "NOT"})
_SHAPE_LIMIT = 8_000
_MAX_REMARKS = 50  # places in one text where a remark might begin
_QUOTES = "`\"'\u201c\u201d\u2018\u2019$"
_SEPARATOR = re.compile(r" [-\u2013\u2014]{1,2} | ?[:;\uff1a] | (?:#|//) ?| \| | ?(?:\u2192|=>|->) ?")
_TICKED = re.compile(r"`([^`]{3,4000})`")
_CALL_START = re.compile(r"-?\s?[A-Za-z_][A-Za-z0-9_.]*\(")


class Shape(enum.Enum):
    """Kinds of text by their tokens."""

    CALL = "call"  # a whole expression with a call NAME(...)
    CALL_SPACED = "call, name and parenthesis apart"  # also how prose writes an aside
    INFIX = "infix"  # operands and operators, no call
    OPEN = "open"  # begins like a call, parentheses not closed
    PROSE = "prose"  # anything else


def plain_letters(text: str) -> str:
    """`text` with full-width, mathematical and other letters and digits as the plain ones that they stand for (NFKC).

    Raised digits are powers: the plain `2` in place of one would be another formula.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _RAISED.sub(lambda m: "^" + m[0], text)).translate(_TYPOGRAPHY)


def clean_expression(text: str) -> str:
    """`text` on one line, without quotes, backticks, an assignment, a trailing comment, typographic signs."""
    if len(text) > _SHAPE_LIMIT:
        return text[: _SHAPE_LIMIT + 1]
    out = " ".join(plain_letters(text.translate(_TYPOGRAPHY)).split())
    out = _COMMENT.sub("", out)
    before = None
    while before != out:
        before = out
        out = out.strip(" ,;").strip(_QUOTES).strip()
        if out.endswith(".") and not out[-2:-1].isdigit():
            out = out[:-1]
        if out.startswith("**") and out.endswith("**"):
            out = out[2:-2]
    return _ASSIGNMENT.sub("", out, count=1) if _ASSIGNMENT.match(out) else out


def shape_of(text: str) -> Shape:
    """Classify a cleaned text by its tokens: two operands side by side make it prose. Linear in its length."""
    if not text or len(text) > _SHAPE_LIMIT:
        return Shape.PROSE
    pos, depth, names, infix = 0, 0, 0, 0
    operand = False  # the last token ended an operand
    call = spaced = False
    name_end = -1
    opens_with_call = _CALL_START.match(text) is not None
    while pos < len(text):
        m = _TOKEN.match(text, pos)
        if m is None:
            return Shape.PROSE
        kind, token = m.lastgroup, m[m.lastgroup or 0]
        if kind == "name" and token.upper() in _WORD_OPERATORS:
            infix, operand = infix + 1, False
        elif kind in ("name", "number"):
            if operand:
                return Shape.PROSE
            operand, names = True, names + (kind == "name")
            name_end = m.end() if kind == "name" else -1
        elif kind == "open":
            if operand:
                if name_end < 0:
                    return Shape.PROSE
                call = True
                spaced = spaced or m.start("open") != name_end
            depth, operand = depth + 1, False
        elif kind == "close":
            depth -= 1
            if depth < 0 or not operand:
                return Shape.PROSE
            name_end = -1
        else:
            infix += kind == "op"
            operand = False
            if kind == "comma" and depth == 0:
                return Shape.PROSE
        if kind != "name":
            name_end = -1
        pos = m.end()
        while pos < len(text) and text[pos] == " ":
            pos += 1
    if depth > 0:
        return Shape.OPEN if opens_with_call else Shape.PROSE
    if not operand or not names:
        return Shape.PROSE
    if call:
        return Shape.CALL_SPACED if spaced else Shape.CALL
    return Shape.INFIX if infix else Shape.PROSE


def without_remark(text: str) -> tuple[str, str] | None:
    """A cleaned text as a formula and the remark that follows it, or None where it does not end in one.

    A remark is prose: words side by side, no call, after a formula with its parentheses closed and a sign of
    punctuation, an opening parenthesis or a word that no formula goes on with (`which`, `captures`).
    """
    depth = 0
    tries = 0
    for i, c in enumerate(text[:_SHAPE_LIMIT]):
        depth += (c == "(") - (c == ")")
        after = text[i + 1 : i + 2]
        if depth or not (c == ")" or c.isalnum()) or (after and (after.isalnum() or after == "_")):
            continue
        m = _REMARK.match(text, i + 1)
        if m is None:
            continue
        tries += 1
        if tries > _MAX_REMARKS:
            return None
        formula, remark = text[: i + 1], m["remark"].strip()
        bracketed = remark.startswith("(") and remark.endswith((")", ").")) and not m["sign"]
        if bracketed:
            remark = remark.rstrip(".")[1:-1].strip()
        words = remark.split()
        prose = shape_of(remark) is Shape.PROSE and (len(words) > 1 or (bracketed and remark.islower()))
        if prose and not _CALL.search(remark) and shape_of(formula) in (Shape.CALL, Shape.INFIX):
            return formula, remark
    return None


def pieces(line: str) -> Iterator[tuple[str, str]]:
    """Parts of a line that may be the expression, likeliest first, cleaned, with the rest of the line."""
    line = " ".join(line.split())
    ticked = _TICKED.search(line)
    if ticked:
        rest = (line[: ticked.start()] + " " + line[ticked.end() :]).strip(" -:*\u2013\u2014")
        yield clean_expression(ticked[1]), rest.replace("**", "")
    yield clean_expression(line), ""
    if "|" in line[:2]:
        for cell in line.strip().strip("|").split(" | "):
            yield clean_expression(cell), ""
    for n, m in enumerate(_SEPARATOR.finditer(line)):
        if n >= 6:
            break
        left, right = line[: m.start()], line[m.end() :]
        yield clean_expression(left), right.strip(" *")
        yield clean_expression(right), left.strip(" *")
