"""Tolerant reader of JSON as language models write it: cut short, single or curly quotes, trailing commas, bare keys.

One pass with a work budget, never an exception and never `eval`: what cannot be read is skipped, a string
that the text ends inside is marked as `Cut`. It knows nothing of factors; `answers` looks for them in what
this returns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_OPENING = re.compile(r"[\[{]")
_MAX_DEPTH = 40
_CLOSERS = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": '\u201d\u201c"',
    "\u201d": '\u201d\u201c"',
    "\u2018": "\u2019\u2018'",
    "\u2019": "\u2019\u2018'",
    "\u00ab": "\u00bb",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ENDS = ",:}]=\uff1a"
_HEX = frozenset("0123456789abcdefABCDEF")


class Cut(str):
    """A string whose end is missing: the text stopped inside it."""

    __slots__ = ()


class Members:
    """A parsed object: its members in order; keys may repeat in a broken answer, a missing key is ''. `cut`: the text
    ended before the object did.
    """

    __slots__ = ("cut", "items")

    def __init__(self) -> None:
        self.items: list[tuple[str, object]] = []
        self.cut = False


class _ExhaustedError(Exception):
    """The work budget is spent."""


class Reader:
    """Reads values out of `text`; every character looked at counts against `budget`."""

    def __init__(self, text: str, budget: int) -> None:
        self.text = text
        self.pos = 0
        self.left = budget

    def _spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise _ExhaustedError

    def _blank(self, extra: str = "") -> str:
        """Skip white space, comments and `extra`; returns the current character, or '' at the end."""
        text, n, start = self.text, len(self.text), self.pos
        while self.pos < n:
            c = text[self.pos]
            if c.isspace() or c in extra:
                self.pos += 1
            elif c == "/" and text.startswith("//", self.pos):
                end = text.find("\n", self.pos)
                self.pos = n if end < 0 else end
            elif c == "/" and text.startswith("/*", self.pos):
                end = text.find("*/", self.pos)
                self.pos = n if end < 0 else end + 2
            else:
                break
        self._spend(1 + self.pos - start)
        return text[self.pos] if self.pos < n else ""

    def value(self, depth: int = 0) -> object:
        """Read the value that starts here."""
        c = self._blank()
        if c in ("{", "["):
            if depth >= _MAX_DEPTH:
                self.pos += 1
                return None
            return self._object(depth) if c == "{" else self._array(depth)
        if c in _CLOSERS and c:
            return self._string(in_value=True)
        return self._bare()

    def _array(self, depth: int) -> list[object]:
        self.pos += 1
        out: list[object] = []
        while True:
            c = self._blank(",:")
            if c == "]":
                self.pos += 1
                return out
            if c in ("", "}"):  # a missing bracket: the brace belongs to whoever opened it
                return out
            out.append(self.value(depth + 1))

    def _object(self, depth: int) -> Members:
        self.pos += 1
        out = Members()
        while True:
            c = self._blank(",")
            if c == "}":
                self.pos += 1
                return out
            if c in ("", "]"):
                out.cut = c == ""
                return out
            if c in "{[:":
                if c == ":":
                    self.pos += 1
                else:
                    out.items.append(("", self.value(depth + 1)))
                continue
            key = self._string(in_value=False) if c in _CLOSERS else self._bare(key=True)
            c = self._blank()
            if c in (":", "=", "\uff1a"):
                self.pos += 1
                if self._blank() == ">":  # key => value
                    self.pos += 1
                value: object = Cut() if self._blank() == "" else self.value(depth + 1)
                out.items.append(((key or "").strip(), value))
            else:
                out.items.append(("", key))

    def _string(self, *, in_value: bool) -> str:
        """Read a quoted string. A quote ends it only where JSON could go on, so inner quotes left unescaped survive."""
        text, n = self.text, len(self.text)
        closers = _CLOSERS[text[self.pos]]
        start = self.pos = self.pos + 1
        out: list[str] = []
        while self.pos < n:
            c = text[self.pos]
            self._spend(1)
            if c == "\\":
                out.append(self._escape())
            elif c in closers:
                here = self.pos
                self.pos += 1
                follow = self._blank()
                newline = "\n" in text[here : self.pos]
                if in_value and follow == ":" and "\n" in text[start:here]:
                    return self._unterminated(start, here)
                if follow == "" or follow in _ENDS or (newline and follow in _CLOSERS):
                    return "".join(out)
                self.pos = here + 1
                out.append(c)
            else:
                out.append(c)
                self.pos += 1
        return Cut("".join(out))

    def _unterminated(self, start: int, stop: int) -> str:
        """Read a string that ran into the next key: it ends at its first line end, and reading resumes there."""
        end = self.text.index("\n", start, stop)
        self._spend(end - start)
        self.pos = end
        return self.text[start:end].rstrip().rstrip(",")

    def _escape(self) -> str:
        text = self.text
        c = text[self.pos + 1 : self.pos + 2]
        self.pos += 2
        if c != "u":
            return _ESCAPES.get(c, c)
        digits = text[self.pos : self.pos + 4]
        if len(digits) < 4 or not _HEX.issuperset(digits):
            return "u"
        self.pos += 4
        code = int(digits, 16)
        if 0xD800 <= code < 0xDC00 and text.startswith("\\u", self.pos):
            low = text[self.pos + 2 : self.pos + 6]
            if len(low) == 4 and _HEX.issuperset(low) and 0xDC00 <= int(low, 16) < 0xE000:
                self.pos += 6
                return chr(0x10000 + ((code - 0xD800) << 10) + int(low, 16) - 0xDC00)
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)

    def _bare(self, *, key: bool = False) -> str | None:
        """Read unquoted text up to the next separator; commas and colons inside parentheses belong to it."""
        text, n, start, depth = self.text, len(self.text), self.pos, 0
        while self.pos < n:
            c = text[self.pos]
            if c in "{}[]\n" or (c == ":" and key) or (c == "," and depth <= 0):
                break
            depth += (c == "(") - (c == ")")
            self.pos += 1
        self._spend(1 + self.pos - start)
        if self.pos == start:
            self.pos += 1
            return None
        word = text[start : self.pos].strip().rstrip("\"'`")
        if self.pos >= n and not key:
            return Cut(word)
        return None if word in ("null", "None", "") else word


def read_values(text: str, useful: Callable[[object], bool], budget: int) -> list[object]:
    """The objects (`Members`), arrays (lists) in `text` that are `useful`, from left to right.

    A value is a string, None (null), a list or `Members`. Inside a value that is not useful (a brace in
    prose) the search goes on. Reading stops when `budget` characters have been looked at: what was found
    until then stands.
    """
    reader = Reader(text, budget)
    values: list[object] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        reader.pos = opening.start()
        try:
            value = reader.value()
        except _ExhaustedError:
            break
        if useful(value):
            values.append(value)
            at = max(reader.pos, opening.end())
        else:
            at = opening.end()
    return values
