"""Parses the answer of a language model: proposals, and reasons for the parts that could not be used.

JSON first (whole, fenced, in prose, as lines, half broken), then `expression:` blocks, then lists and bare
lines, then expressions in backticks. What a model thought aloud is taken out first (`drafts`), names of parts are
replaced by the parts (`definitions`), and a remark behind a formula is none of it. The text is only ever read, never
evaluated, and the time is bounded. It knows nothing of prompts, servers or data; whether an expression is right is
decided when it is compiled.
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
from fama_fast.llm.definitions import one_expression, put_in
from fama_fast.llm.drafts import without_drafts
from fama_fast.llm.expression_text import Shape, clean_expression, shape_of, without_remark
from fama_fast.proposals.protocol import Proposal, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ANSWER = 131_072  # characters read of one answer
MAX_PROSE = 2_000
_MAX_DROPPED = 100
_MAX_REMARKS = 300  # texts of one answer that are looked through for a remark
_MAX_WRAPS = 4

# Why a part was dropped, in words that a model asked again can act on.
CUT = "the answer was cut off inside this expression"
CUT_BEFORE = "the answer was cut off before the expression of a proposal"
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

    def __init__(self, count: int, accept: Callable[[str], bool]) -> None:
        self.count = count
        self.accept = accept
        self.remarks = 0
        self.proposals: list[Proposal] = []
        self.dropped: list[Rejection] = []
        self.seen: set[str] = set()
        self.truncated = False

    def add(self, item: Item) -> None:
        text = clean_expression(one_expression(item.expression))
        reason = None
        if not item.cut and text and self.remarks < _MAX_REMARKS and shape_of(text) is Shape.PROSE:
            self.remarks += 1
            parts = None if self.accept(text) else without_remark(text)
            if parts is not None:
                text, remark = parts
                item.explanation = item.explanation or remark
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
            label = printable(item.builds_on[:64])[:16]
            self.proposals.append(Proposal(printable(text), hypothesis, explanation, builds_on=label))

    def answer(self) -> Answer:
        surplus = len(self.dropped) - _MAX_DROPPED
        if surplus > 0:
            self.dropped[_MAX_DROPPED:] = [Rejection("", f"{surplus} more parts of the answer were dropped")]
        return Answer(tuple(self.proposals), tuple(self.dropped), self.truncated)


def _whole_json(text: str) -> str | None:
    """`text` where it is JSON as a whole, out of the strings that it may be wrapped in; None where it is not."""
    for _ in range(_MAX_WRAPS):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, dict | list):
            return text
        if not isinstance(value, str):
            return None
        text = value
    return None


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
    accept = is_expression or _parses
    out = _Collector(count, accept)
    if len(text) > MAX_ANSWER:
        out.dropped.append(Rejection("", f"only the first {MAX_ANSWER} of {len(text)} characters were read"))
        text = text[:MAX_ANSWER]
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").replace("\ufeff", "")
    # Valid JSON is the answer itself: a `<think>` in it is a part of some text.
    whole = _whole_json(text)
    text, thinking = (whole, False) if whole is not None else without_drafts(text)
    if thinking:
        out.truncated = True
        out.dropped.append(Rejection("", "the answer ended before the model finished thinking"))
    if not text.strip():
        if not thinking:
            out.dropped.append(Rejection("", EMPTY))
        return out.answer()
    items, cut = from_json(text)
    if not items:
        lines = put_in(text.split("\n"))
        items = from_blocks(lines) or from_lines(lines, accept) or from_backticks(text, accept)
    for item in items:
        out.add(item)
    if cut:
        out.truncated = True
        if not any(item.cut for item in items):
            out.dropped.append(Rejection("", CUT_BEFORE))
    elif not items:
        out.dropped.append(Rejection(_short(text), NOTHING))
    return out.answer()
