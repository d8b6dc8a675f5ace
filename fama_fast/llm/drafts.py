"""Takes a model's drafts out of its answer: what it thought aloud is no proposal.

Models mark thinking by tags (`<think>`, `<thinking>`, `<reasoning>`, `[THINK]`, Kimi's U+25C1 think U+25B7, any case)
or by channels (OpenAI's harmony format). A tag inside a quoted value is a part of some text, and stays. Linear in the
length of the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|drafts?)"
_TAG = re.compile(
    rf"<\s{{0,3}}(?P<a>/?)\s{{0,3}}{_NAMES}\s{{0,3}}>|\[(?P<b>/?)THINK\]|\u25c1(?P<c>/?)\s{{0,3}}{_NAMES}\u25b7"
    r"|<\|(?P<d>begin|end)_of_thought\|>",
    re.IGNORECASE,
)
_ANSWER_TAG = re.compile(
    r"</?\s{0,3}(?:answer|output|final(?:_answer)?|response)\s{0,3}>|<\|(?:begin|end)_of_solution\|>", re.IGNORECASE
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,3}(?P<name>[A-Za-z_]{1,20})(?:[^<]|<\|constrain\|>){0,200}<\|message\|>", re.IGNORECASE
)
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|start|call)\|>", re.IGNORECASE)
_ANY_CHANNEL = re.compile(r"<\|channel\|>", re.IGNORECASE)
_BARE_ANALYSIS = re.compile(r"\s{0,20}analysis(?=[A-Z\"'{])")  # the markers were taken out as special tokens
_BARE_FINAL = re.compile(r"assistant\s{0,3}final(?![a-z])")
_MAX_TAGS = 200
_REACH = 8_000  # characters of one text in quotes, at most


def without_drafts(text: str) -> tuple[str, bool]:
    """The answer without drafts; and whether it ended before the model had finished thinking."""
    if _ANY_CHANNEL.search(text):
        return _last_channel(text)
    if _BARE_ANALYSIS.match(text):
        parts = _BARE_FINAL.split(text)
        return (parts[-1], False) if len(parts) > 1 else ("", True)
    text, unfinished = _without_tagged(text)
    return _ANSWER_TAG.sub("\n", text), unfinished


def _last_channel(text: str) -> tuple[str, bool]:
    """What the last `final` channel says; without one, only drafts came."""
    final = None
    for m in _CHANNEL.finditer(text):
        if m["name"].lower() == "final":
            final = m.end()
    if final is None:
        return "", True
    end = _CHANNEL_ENDS.search(text, final)
    return text[final : end.start() if end else len(text)], False


def _tags(text: str) -> Iterator[tuple[re.Match[str], bool]]:
    """The tags that are none of a quoted text, and whether each closes."""
    for n, m in enumerate(_TAG.finditer(text)):
        if n >= _MAX_TAGS:
            return
        closes = bool(m["a"] or m["b"] or m["c"]) or (m["d"] or "").lower() == "end"
        if not _quoted(text, m.start(), m.end()):
            yield m, closes


def _without_tagged(text: str) -> tuple[str, bool]:
    kept: list[str] = []
    at, opened, closed = 0, -1, False
    for m, closes in _tags(text):
        if not closes:
            if opened < 0:
                opened = m.start()
        elif opened >= 0:
            kept.append(text[at:opened])
            at, opened, closed = m.end(), -1, True
        elif _ends_draft(text, m):
            if closed and not _holds_something(text[m.end() :]):
                continue  # a stray tag behind the answer
            # The template of the chat had opened the draft, or it spoke of its own end.
            kept.clear()
            at, closed = m.end(), True
    if opened >= 0:
        return "".join([*kept, text[at:opened]]), True
    return "".join([*kept, text[at:]]), False


def _ends_draft(text: str, m: re.Match[str]) -> bool:
    """Whether a closing tag that nothing opened stands where drafts end, rather than in the middle of a sentence."""
    before = text[max(0, m.start() - 200) : m.start()].rstrip(" \t")
    after = text[m.end() : m.end() + 200].lstrip(" \t")
    return not before or before.endswith("\n") or not after or after[0] in "\n{[`"


def _holds_something(text: str) -> bool:
    return "(" in text or "{" in text


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is inside a quoted value: `: "...` before it, and `..."` with a separator behind."""
    opening = _last_quote(text, start)
    if opening < 0 or not text[max(0, opening - 40) : opening].rstrip().endswith((":", "=", "\uff1a")):
        return False
    closing = end
    limit = min(len(text), end + _REACH)
    while closing < limit:
        c = text[closing]
        if (
            c in "\"'\u201d"
            and text[closing - 1] != "\\"
            and text[closing + 1 : closing + 40].lstrip()[:1] in (*",}]", "")
        ):
            return True
        closing += 1
    return False


def _last_quote(text: str, before: int) -> int:
    """Position of the last quotation mark before a place that no backslash takes back; -1 where there is none."""
    at = before - 1
    stop = max(0, before - _REACH)
    while at >= stop:
        if text[at] in '"\u201c' and (at == 0 or text[at - 1] != "\\"):
            return at
        at -= 1
    return -1
