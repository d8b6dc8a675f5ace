"""Texts in quotes, BRAIN's `range="0, 1, 0.1"`: hidden as names before parsing, so the grammar stays as it is.

A text becomes a name and blanks of the same length, which keeps every position; the binder then asks what stood there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fama_fast.lang.diagnostics import MAX_NAME

if TYPE_CHECKING:
    from fama_fast.lang.syntax import Expr

_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")


def hide(text: str) -> str:
    """The text with a name of underscores in the place of each quoted part."""
    return _QUOTED.sub(lambda found: ("_" * min(len(found[0]), MAX_NAME)).ljust(len(found[0])), text)


def quoted(text: str, expr: Expr) -> str | None:
    """What stood in quotes where a name was parsed, or None when it was a name."""
    # Parentheses around a name belong to its span.
    start = re.compile(r"[(\s]*").match(text, expr.start)
    match = _QUOTED.match(text, start.end() if start else expr.start)
    return match[0][1:-1] if match else None
