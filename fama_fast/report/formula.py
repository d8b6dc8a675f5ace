"""Lays a formula out over several lines: long calls are broken, one operand a line.

It works on canonical text through the parser, so it never guesses at brackets; what does not parse is left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import FamaError

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 72
_INDENT = "  "


def laid_out(text: str, width: int = WIDTH) -> str:
    """`text` on one line when it fits in `width`, else broken after opening brackets and commas, outermost first."""
    from fama_fast.lang import parse_syntax

    try:
        parse_syntax(text)
    except FamaError:
        return text
    return _broken(" ".join(text.split()), width, 0)


def _broken(text: str, width: int, depth: int) -> str:
    if len(text) + len(_INDENT) * depth <= width:
        return text
    start = _outermost(text)
    if start is None:
        return text
    head, inner, tail = text[: start[0] + 1], text[start[0] + 1 : start[1]], text[start[1] :]
    pad = _INDENT * (depth + 1)
    parts = [_broken(part.strip(), width, depth + 1) for part in _operands(inner)]
    return head + "\n" + ",\n".join(pad + part for part in parts) + "\n" + _INDENT * depth + tail


def _outermost(text: str) -> tuple[int, int] | None:
    """The longest bracketed part at the outermost level."""
    best: tuple[int, int] | None = None
    opened: list[int] = []
    for i, c in enumerate(text):
        if c == "(":
            opened.append(i)
        elif c == ")" and opened:
            first = opened.pop()
            if not opened and (best is None or i - first > best[1] - best[0]):
                best = (first, i)
    return best


def _operands(text: str) -> Iterator[str]:
    """Split at commas outside brackets."""
    depth = start = 0
    for i, c in enumerate(text):
        if c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    yield text[start:]
