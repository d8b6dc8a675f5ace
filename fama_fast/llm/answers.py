"""Parses the answer of a language model: proposals, and reasons for the parts that could not be used.

JSON first (whole, fenced, in prose, as lines, half broken), then `expression:` blocks, then lists and bare
lines, then expressions in backticks. The text is only ever read, never evaluated, and the time is bounded. It
knows nothing of prompts, servers or data; whether an expression is right is decided when it is compiled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.llm.answer_items import (
    MAX_EXPRESSION,
    Item,
    from_backticks,
    from_blocks,
    from_json,
    from_lines,
)
from fama_fast.llm.expression_text import clean_expression
from fama_fast.proposals.protocol import Proposal, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ANSWER = 131_072  # characters read of one answer
MAX_PROSE = 2_000
_MAX_DROPPED = 100

# Why a part was dropped, in words that a model asked again can act on.
CUT = "the answer was cut off inside this expression"
EMPTY = "the answer is empty"
NOTHING = "no expression was found in the answer"
REPEATED = "repeated in the same answer"


@dataclass(frozen=True)
class Answer:
    """A parsed answer. `truncated`: it stopped in the middle of a proposal."""

    proposals: tuple[Proposal, ...]
    dropped: tuple[Rejection, ...] = ()
    truncated: bool = False


def printable(text: str) -> str:
    """`text` on one line without control, invisible and half characters, which could act on a terminal or fail in a
    store.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _short(text: str, limit: int = 200) -> str:
    text = printable(text[: 8 * limit])
    return text if len(text) <= limit else text[: limit - 3] + "..."


class _Collector:
    """Collects items, dropping the unusable ones with a reason."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.proposals: list[Proposal] = []
        self.dropped: list[Rejection] = []
        self.seen: set[str] = set()
        self.truncated = False

    def add(self, item: Item) -> None:
        text = clean_expression(item.expression)
        reason = None
        if item.cut:
            self.truncated, reason = True, CUT
        elif not text:
            reason = "the expression is empty"
        elif len(text) > MAX_EXPRESSION:
            reason = f"the expression is longer than {MAX_EXPRESSION} characters"
        else:
            key = "".join(text.split()).casefold()
            if key in self.seen:
                reason = REPEATED
            elif len(self.proposals) >= self.count:
                reason = f"more than the {self.count} that were asked for"
            self.seen.add(key)
        if reason:
            self.dropped.append(Rejection(_short(text), reason))
        else:
            hypothesis, explanation = (
                printable(t[: 8 * MAX_PROSE])[:MAX_PROSE] for t in (item.hypothesis, item.explanation)
            )
            self.proposals.append(Proposal(printable(text), hypothesis, explanation))

    def answer(self) -> Answer:
        surplus = len(self.dropped) - _MAX_DROPPED
        if surplus > 0:
            self.dropped[_MAX_DROPPED:] = [Rejection("", f"{surplus} more parts of the answer were dropped")]
        return Answer(tuple(self.proposals), tuple(self.dropped), self.truncated)


def _without_thinking(text: str) -> tuple[str, bool]:
    """The answer after a reasoning model's `<think>` part; and whether that part never ended."""
    end = text.rfind("</think>")
    if end >= 0:
        return text[end + len("</think>") :], False
    return (text[: text.index("<think>")], True) if "<think>" in text else (text, False)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _parses(text: str) -> bool:
    from fama_fast.errors import FamaError
    from fama_fast.lang import parse

    try:
        parse(text)
    except FamaError:
        return False
    return True


def parse_answer(text: str, count: int, *, is_expression: Callable[[str], bool] | None = None) -> Answer:
    """Up to `count` proposals found in `text`, and what was dropped.

    Args:
        text: a model's answer, however broken. At most `MAX_ANSWER` characters are read.
        count: proposals wanted; the surplus is dropped with a reason.
        is_expression: decides about text that only might be an expression (infix text in a list, backticks in
            prose); default: it parses. Expressions under a key or written as a call are taken as they are, so
            that what is wrong with them can be said to the model.
    """
    out = _Collector(count)
    accept = is_expression or _parses
    if len(text) > MAX_ANSWER:
        out.dropped.append(Rejection("", f"only the first {MAX_ANSWER} of {len(text)} characters were read"))
        text = text[:MAX_ANSWER]
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").replace("\ufeff", "")
    # Valid JSON is the answer itself: a `<think>` in it is a part of some text.
    text, thinking = (text, False) if _is_json(text) else _without_thinking(text)
    if thinking:
        out.truncated = True
        out.dropped.append(Rejection("", "the answer ended before the model finished thinking"))
    if not text.strip():
        if not thinking:
            out.dropped.append(Rejection("", EMPTY))
        return out.answer()
    items = from_json(text)
    if not items:
        lines = text.split("\n")
        items = from_blocks(lines) or from_lines(lines, accept) or from_backticks(text, accept)
    for item in items:
        out.add(item)
    if not items:
        out.dropped.append(Rejection(_short(text), NOTHING))
    return out.answer()
