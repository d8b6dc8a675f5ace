"""Puts named parts back into a formula that a model wrote in several statements.

    mom = DELTA(CLOSE, 5) / DELAY(CLOSE, 5)
    RANK(mom)

is RANK((DELTA(CLOSE, 5) / DELAY(CLOSE, 5))). A name that no later statement uses is a formula of its own, and so is one
that is called alpha, factor or signal. It knows tokens, no operators or fields.
"""

from __future__ import annotations

import re

from fama_fast.llm.expression_text import Shape, clean_expression, shape_of

MAX_EXPANDED = 4_000
_MAX_STATEMENTS = 60
_DEFINITION = re.compile(
    r"\s{0,20}(?:[-*+>\u2022]\s+|\d{1,3}[.)]\s+)?(?:let|where|with|define)?\s{0,4}[`*_]{0,3}"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,40})[`*]{0,3}\s{0,4}(?::=|=)(?!=)\s{0,4}(?P<value>\S.*)",
    re.IGNORECASE,
)
_OWN = re.compile(r"(?:alpha|factor|signal|expression|expr|formula)s?_?\d*\Z", re.IGNORECASE)
_WHERE = re.compile(r",?\s(?:where|with)\s(?=[A-Za-z_][A-Za-z0-9_]{0,40}\s{0,4}:?=(?!=))", re.IGNORECASE)


def _used(name: str) -> re.Pattern[str]:
    """The name as a value: not called, not a keyword's name, not a part of another."""
    return re.compile(rf"(?<![A-Za-z0-9_.]){re.escape(name)}(?![A-Za-z0-9_.]|\s*\(|\s*=(?!=))", re.IGNORECASE)


def put_in(statements: list[str]) -> list[str]:
    """The statements with the values of names in place of the names, and without the definitions that were used so.

    What is no statement (prose, a blank line, a formula without names) stays as it is. A formula that would become
    longer than `MAX_EXPANDED` keeps its names.
    """
    if len(statements) > 20 * _MAX_STATEMENTS:
        return statements
    values: dict[str, str] = {}
    places: dict[str, int] = {}
    spent: set[str] = set()
    out = list(statements)
    for i, statement in enumerate(statements):
        m = _DEFINITION.match(statement) if len(statement) <= MAX_EXPANDED else None
        text = m["value"] if m else statement
        if values and len(text) <= MAX_EXPANDED:
            text = _expanded(text, values, spent)
            out[i] = statement[: m.start("value")] + text if m else text
        if m and len(values) < _MAX_STATEMENTS:
            value = clean_expression(text)
            if shape_of(value) in (Shape.CALL, Shape.CALL_SPACED, Shape.INFIX):
                values[m["name"].casefold()] = value
                places[m["name"].casefold()] = i
    left_out = {places[name] for name in spent if not _OWN.match(name)}
    return [text for i, text in enumerate(out) if i not in left_out]


def _expanded(text: str, values: dict[str, str], spent: set[str]) -> str:
    for name, value in values.items():
        pattern = _used(name)
        hits = len(pattern.findall(text))
        if hits and len(text) + hits * len(value) <= MAX_EXPANDED:
            text = pattern.sub(lambda _, value=value: f"({value})", text)  # type: ignore[misc]
            spent.add(name)
    return text


def one_expression(text: str) -> str:
    """A formula written as several statements, by lines, semicolons or commas or with `where`, as one; others
    unchanged."""
    if "=" not in text or len(text) > MAX_EXPANDED:
        return text
    head, *rest = _WHERE.split(text)
    parts = [*(s for r in rest for s in _split(r)), *_split(head)]
    if len(parts) < 2 or not all(_DEFINITION.match(p) for p in parts[:-1]):
        return text
    left = put_in(parts)
    return left[0] if len(left) == 1 else text


def _split(text: str) -> list[str]:
    """The statements of a text: its parts between line ends, semicolons and commas that are in no parentheses."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if c in "\n;" or (c == "," and depth <= 0):
            if c == "\n" and depth > 0:
                continue
            parts.append(text[start:i])
            start = i + 1
    return [p.strip() for p in (*parts, text[start:]) if p.strip()]
