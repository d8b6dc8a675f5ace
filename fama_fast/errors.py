"""Every error a user can meet, as a value with structured fields.

One text serves the command line, the Python exception and the repair prompt of a language model, so the fields
(position, expected, nearest name) are data and the text is made from them by pure functions here.
Names from files may be in it, so it is made printable. This module imports nothing of the package but `terminal`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fama_fast.terminal import message as message_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EXIT_OK = 0
EXIT_NOTHING_FOUND = 1
EXIT_USAGE = 2

_SNIPPET_WIDTH = 100


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The member of `known` closest to `name` (case-insensitive), or None when none is close."""
    by_folded = {k.casefold(): k for k in known}
    hits = difflib.get_close_matches(name.casefold()[:64], list(by_folded), n=1, cutoff=0.6)
    return by_folded[hits[0]] if hits else None


def one_of(name: str, known: Iterable[str]) -> str:
    """The name, if it is among the known ones.

    Raises:
        ValueError: it is not; the message lists them and has the nearest.
    """
    names = list(known)
    if name not in names:
        near = nearest_name(name, names)
        hint = f"; did you mean {near}?" if near else ""
        raise ValueError(f"must be one of {', '.join(names)}, not {name!r}{hint}")
    return name


def shortened(text: str, width: int = 60) -> str:
    """A text for a message: control characters as spaces, and cut where it is longer than `width`."""
    # Cut first: a cell may hold a megabyte.
    line = "".join(c if c.isprintable() else " " for c in text[: width + 1])
    return line if len(line) <= width else f"{line[: width - 3]}..."


def quoted(text: object, width: int = 60) -> str:
    """A text or value for a message, `shortened` and in quotes."""
    return repr(shortened(str(text), width))


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names for a message, `none` when there are none; of many the first ones and how many more."""
    have = [shortened(n) for n in names]
    more = f" and {len(have) - most:,} more" if len(have) > most else ""
    return f"{', '.join(have[:most])}{more}" or "none"


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """1-based line and column of a 0-based character position."""
    before = text[:position]
    line = before.count("\n") + 1
    return line, position - (before.rfind("\n") + 1) + 1


def highlight(text: str, start: int, end: int) -> str:
    """The line of `text` that holds `start`, with carets under [start, end); long lines are cut around it."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    column = start - line_start
    width = max(1, min(end, line_end) - start)
    line = text[line_start:line_end].replace("\t", " ")
    left = max(0, column - _SNIPPET_WIDTH // 2)
    right = min(len(line), left + _SNIPPET_WIDTH)
    prefix = "..." if left else ""
    suffix = "..." if right < len(line) else ""
    shown = "".join(c if c.isprintable() else "?" for c in line[left:right])
    carets = " " * (len(prefix) + column - left) + "^" * min(width, max(1, right - column))
    return f"  {prefix}{shown}{suffix}\n  {carets}"


class FamaError(Exception):
    """Base of everything this package raises on purpose. `str(error)` is fit to show to a user as it is."""

    def __str__(self) -> str:
        return message_text(super().__str__())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for machines: the kind of error, its message, and what else is known of it."""
        return {"kind": type(self).__name__, "message": str(self)}


class ExpressionError(FamaError):
    """Something is wrong at a place in an expression.

    Attributes:
        message: what is wrong, one sentence.
        text: the whole expression.
        start, end: 0-based character span; line, column: 1-based position of `start`.
        expected: what could have stood there.
        suggestion: the nearest right answer, if there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        start: int = 0,
        end: int | None = None,
        expected: Sequence[str] = (),
        suggestion: str | None = None,
    ) -> None:
        self.message = message
        self.text = text
        self.start = start
        self.end = start + 1 if end is None else end
        self.line, self.column = line_and_column(text, start)
        self.expected = tuple(expected)
        self.suggestion = suggestion
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        place = {"line": self.line, "column": self.column, "text": self.text} if self.text else {}
        more = {"expected": list(self.expected), "suggestion": self.suggestion}
        return {**super().as_dict(), **place, **{name: value for name, value in more.items() if value}}

    def __str__(self) -> str:
        parts = [f"{self.message} (line {self.line}, column {self.column})" if self.text else self.message]
        if self.text:
            parts.append(highlight(self.text, self.start, self.end))
        if self.expected:
            parts.append(f"  expected: {', '.join(self.expected)}")
        if self.suggestion:
            parts.append(f"  did you mean {self.suggestion}?")
        return message_text("\n".join(parts))


class ParseError(ExpressionError):
    """The text is not in the language."""


class UnknownName(ExpressionError):  # noqa: N818  (the published name)
    """An operator, field, group or keyword that does not exist."""


class ArgumentError(ExpressionError):
    """Wrong number or kind of arguments."""


class WindowError(ArgumentError):
    """A window or lag that is not a whole number in its range."""


class LimitError(ExpressionError):
    """The expression is too long, too deep or has too many nodes."""


class DataError(FamaError):
    """Market data that cannot be used as it is; the message names the file, the rows or the column.

    `details` has in plain values what the message cannot list: where rows of one key differ, `duplicates`, a list of
    `{"date", "symbol", "rows"}`, and `count`, of all such keys.
    """

    def __init__(self, message: str = "", *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details: dict[str, Any] = dict(details or {})

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **self.details}


class ConfigError(FamaError):
    """A wrong key or value in a configuration; the message names the path of the key and the nearest right one."""


class StoreError(FamaError):
    """The ledger or a factor cache cannot be read or written."""


class NotRecorded(StoreError):  # noqa: N818  (what it says of a run, a candidate, a factor)
    """The ledger can be read, and holds no such thing."""


class OutputError(FamaError):
    """A result cannot be written where it was asked to go."""


class ClusterError(FamaError):
    """The cluster cannot be reached, was lost, or has no worker that may take part."""


class RunError(FamaError):
    """A mining run could not go on for want of memory; the message says what is kept and how to go on."""


class ProposerError(FamaError):
    """A proposer cannot be set up or has stopped answering."""


EXIT_INTERRUPTED = 130


EXIT_BROKEN_PIPE = 141  # what a shell reports for a program whose reader went away
