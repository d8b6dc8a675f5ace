"""Untrusted text as data: one printable line of bounded length, without what chat templates put around turns."""

from __future__ import annotations

import re

# What chat templates put around turns. A server that reads them in a message would take text for a turn of its own.
_MARKER = re.compile(
    r"<(?=[|\uff5c/<])|(?<=[|\uff5c])>|\[(?=/?(?:INST|SYS|TOOL|AVAILABLE_TOOLS)\b)"
    r"|<(?=(?:s|bos|eos|start_of_turn|end_of_turn|start_header_id|end_header_id|eot_id|im_start|im_end)>)",
    re.IGNORECASE,
)


def without_markers(text: str) -> str:
    """`text` with the brackets of turn markers replaced by parentheses-like characters that no tokeniser reads so."""
    return _MARKER.sub(lambda m: "\u2039" if m[0] in "<[" else "\u203a", text)


def one_line(text: str, limit: int) -> str:
    """Untrusted text as data: printable, one line, at most `limit` characters, unable to close its own
    quotation.
    """
    flat = "".join(c if c.isprintable() else " " for c in text[: limit * 8])
    flat = " ".join(without_markers(flat.replace("`", "'")).split())
    return flat if len(flat) <= limit else flat[: limit - 3].rstrip() + "..."
