"""Extractors of proposals from a model's answer, one for each way of writing them, items in document order.

JSON, `expression:` blocks, lists and bare lines, expressions in backticks. Which way is tried first, what
counts as a repeat and what is said of the rest is the business of `answers`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.llm.expression_text import Shape, clean_expression, pieces, plain_letters, shape_of, without_remark
from fama_fast.llm.loose_json import Cut, Members, read_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_EXPRESSION = 4_000
_MAX_CHECKS = 300
_MAX_LINE = 8_000
_MAX_WRAPS = 8  # texts of JSON within the JSON that are read
_FULL_WIDTH = str.maketrans("\uff5b\uff5d\uff3b\uff3d\uff02\uff07\uff1a\uff0c", "{}[]\"':,")

# Keys by role, the surest first: {"alpha": "Momentum", "expression": "RANK(...)"} has one expression.
_KEYS: dict[str, tuple[str, ...]] = {
    "expression": (
        *("expression", "alpha_expression", "factor_expression", "expr", "formula", "alpha_formula"),
        *("alpha", "factor", "code"),
    ),
    "hypothesis": ("hypothesis", "idea", "intuition", "title", "name"),
    "builds_on": ("builds_on", "based_on", "develops", "parent"),
    "explanation": ("explanation", "rationale", "reasoning", "reason", "description", "why", "comment"),
}
_KEY_LINE = re.compile(
    r"\s{0,20}(?:[-*+>\u2022#]{1,4}\s{1,4}|\d{1,3}[.)]\s{0,4})?[*_`\"']{0,3}"
    r"(?P<key>[A-Za-z]{3,12}(?:[ _][A-Za-z]{3,12})?)\s{0,2}#?\d{0,3}[*_`\"']{0,3}\s{0,4}[:=\uff1a]"
    r"[*_]{0,3}(?P<value>.*)"
)
_BULLET = re.compile(r"\s{0,20}(?:[-*+\u2022\u2013>]\s+|\(?\d{1,3}\)?[.):]?\s+|[a-z]\)\s+)")
_INLINE_KEY = re.compile(
    r"[,;|]\s{0,4}[*_\"']{0,3}(?:hypothesis|explanation|rationale|reason)[*_\"']{0,3}\s{0,2}:",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s{0,20}(?:```|~~~)[A-Za-z0-9_+-]{0,20}\s{0,20}\Z")
_BACKTICKED = re.compile(r"`{1,3}([^`\n]{3,4000})`{1,3}")


@dataclass
class Item:
    """One extracted proposal. `cut`: the text stopped inside its expression."""

    expression: str = ""
    hypothesis: str = ""
    explanation: str = ""
    cut: bool = False
    builds_on: str = ""  # label of what it develops, where one was given


def _role(key: str) -> tuple[str, int] | None:
    """The role of a key (expression, hypothesis, ...) and its rank of certainty (0 is surest), or None."""
    folded = plain_letters(key).strip().strip("*_`\"'").casefold()
    folded = folded.replace(" ", "_").replace("-", "_").rstrip("0123456789_#")
    for role, keys in _KEYS.items():
        if folded in keys:
            return role, keys.index(folded)
    return None


def _looks_right(text: str) -> bool:
    return shape_of(clean_expression(text)) is not Shape.PROSE


def _json_items(value: object, wraps: list[str]) -> Iterator[Item]:
    """Items anywhere inside a value, in document order. Texts that are JSON themselves are added to `wraps`, read last,
    while there are few."""
    if isinstance(value, list):
        for v in value:
            if isinstance(v, str) and _looks_right(v):
                yield Item(v, cut=isinstance(v, Cut))
            else:
                yield from _json_items(v, wraps)
    elif isinstance(value, Members):
        yield from _object_items(value, wraps)
    elif isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and len(wraps) < _MAX_WRAPS:
        wraps.append(value)


def _object_items(members: Members, wraps: list[str]) -> Iterator[Item]:
    best: dict[str, tuple[int, list[str]]] = {}
    nested: list[object] = []
    named: list[tuple[str, str]] = []
    for key, value in members.items:
        role = _role(key)
        if role and (isinstance(value, str) or (value is None and role[0] == "expression")):
            rank, texts = best.setdefault(role[0], (role[1], []))
            if role[1] < rank:
                best[role[0]] = (role[1], ["" if value is None else value])
            elif role[1] == rank:
                texts.append("" if value is None else value)
        elif isinstance(value, str) and value.lstrip()[:1] not in ("{", "["):
            named.append((key, value))
        else:
            nested.append(value)
    hypothesis, explanation, label = (best.get(r, (0, [""]))[1][0] for r in ("hypothesis", "explanation", "builds_on"))
    if "expression" in best:
        for text in best["expression"][1]:
            yield Item(text, hypothesis, explanation, isinstance(text, Cut), label)
    else:
        for key, text in named:  # {"momentum": "RANK(...)"}
            if _looks_right(text):
                yield Item(text, key, cut=isinstance(text, Cut))
    for value in nested:
        yield from _json_items(value, wraps)


def from_json(text: str, *, outermost: bool = True) -> tuple[list[Item], bool]:
    """Items of all JSON in the text, and whether the text ends inside a proposal whose expression is missing.

    Where there is none it may be in a text within the JSON, or its quotes be escaped (a text of JSON that is broken) or
    full-width.
    """
    items: list[Item] = []
    wraps: list[str] = []
    cut = False

    def useful(value: object) -> bool:
        nonlocal cut
        before = len(items)
        items.extend(_json_items(value, wraps))
        cut = cut or _lacks_expression(value)
        return len(items) > before

    read_values(text, useful, budget=1_000 + 6 * len(text))
    if not items and outermost:
        for inner in wraps:
            items += from_json(inner, outermost=False)[0]
    if not items and outermost:
        plain = text.replace('\\"', '"').replace("\\n", "\n") if '\\"' in text else text
        plain = plain.translate(_FULL_WIDTH)
        if plain != text:
            return from_json(plain, outermost=False)
    return items, cut


def _lacks_expression(value: object) -> bool:
    """Whether the text ends inside this value, and its last object is a proposal without its expression."""
    while isinstance(value, list):
        if not value:
            return False
        value = value[-1]
    if not isinstance(value, Members) or not value.cut:
        return False
    roles = {role[0] for key, _ in value.items if (role := _role(key))}
    last = value.items[-1][1] if value.items else None
    if "expression" in roles:
        return False
    return bool(roles) or _lacks_expression(last) or (isinstance(last, list) and not last)


def from_blocks(lines: list[str]) -> list[Item]:
    """Items of `Hypothesis: ...`, `Expression: ...` blocks, with or without bullets and bold type."""
    items: list[Item] = []
    current = Item()
    role: str | None = None
    for line in lines:
        if len(line) > _MAX_LINE or _FENCE.match(line):
            continue
        m = _KEY_LINE.match(line)
        key_role = _role(m["key"]) if m else None
        if m and key_role:
            role = key_role[0]
            if current.expression and role in ("expression", "hypothesis"):
                items.append(current)
                current = Item()
            setattr(current, role, m["value"].strip())
            continue
        if not line.strip():
            role = role if role and not getattr(current, role) else None
        elif role:
            known = getattr(current, role)
            if role != "expression" or not known or known.count("(") > known.count(")"):
                setattr(current, role, f"{known} {line.strip()}"[: MAX_EXPRESSION * 2])
            else:
                role = None
    if current.expression:
        items.append(current)
    for item in items:
        inline = _INLINE_KEY.search(item.expression)
        if inline:
            item.explanation = item.explanation or item.expression[inline.end() :].strip()
            item.expression = item.expression[: inline.start()]
        ticked = _BACKTICKED.search(item.expression)
        if ticked:
            item.expression = ticked[1]
    if items and role == "expression" and shape_of(clean_expression(items[-1].expression)) is Shape.OPEN:
        items[-1].cut = True
    # A heading such as "Alpha: a study" is not an expression block.
    return [i for i in items if i.cut or _looks_right(i.expression) or "(" in i.expression]


def _statements(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Pairs of a line without its bullet, an unclosed call joined with what follows, and whether it is the last."""
    pending = ""
    joined = 0
    full = [line for line in lines if line.strip() and len(line) <= _MAX_LINE and not _FENCE.match(line)]
    for i, raw in enumerate(full):
        bullet = _BULLET.match(raw)
        line = raw[bullet.end() :] if bullet else raw.strip()
        if pending and not bullet and joined < 30:
            line = f"{pending} {line.strip()}"
            joined += 1
        elif pending:
            yield pending, False
            joined = 0
        pending = ""
        last = i + 1 == len(full)
        if shape_of(clean_expression(line)) is Shape.OPEN and not last:
            pending = line
            continue
        joined = 0
        yield line.strip(), last


def from_lines(lines: list[str], is_expression: Callable[[str], bool]) -> list[Item]:
    """Items of bulleted, numbered, tabulated and bare expressions, with the text beside them as the hypothesis."""
    items: list[Item] = []
    checks = 0
    for line, last in _statements(lines):
        cleaned = clean_expression(line)
        if shape_of(cleaned) is Shape.OPEN:
            items.append(Item(cleaned, cut=last))
            continue
        chosen: Item | None = None
        for candidate, beside in pieces(line):
            shape = shape_of(candidate)
            if shape in (Shape.PROSE, Shape.OPEN) or checks >= _MAX_CHECKS:
                continue
            checks += 1
            if is_expression(candidate):
                chosen = Item(candidate, beside)
                break
            if shape is Shape.CALL and chosen is None:  # wrong, but meant: the model can be told why
                chosen = Item(candidate, beside)
        if chosen is None and checks < _MAX_CHECKS and (parts := without_remark(cleaned)) is not None:
            checks += 1
            chosen = Item(*parts)
        if chosen:
            items.append(chosen)
    return items


def from_backticks(text: str, is_expression: Callable[[str], bool]) -> list[Item]:
    items: list[Item] = []
    for i, m in enumerate(_BACKTICKED.finditer(text)):
        if i >= _MAX_CHECKS:
            break
        candidate = clean_expression(m[1])
        if shape_of(candidate) in (Shape.CALL, Shape.CALL_SPACED, Shape.INFIX) and is_expression(candidate):
            items.append(Item(candidate))
    return items
