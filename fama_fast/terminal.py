"""Text on its way to a terminal, a pipe or a log: names from files can neither steer the screen nor stop the program.

A symbol, a label, a column or a file's name may hold anything: escape sequences that rewrite the screen, marks that
turn the direction of writing, line ends that forge a line, halves of characters that no encoding can hold. `printable`
makes such text visible; `shielded` does it for whatever is printed while a command runs, and writes what the
terminal's encoding lacks in plain letters or escapes. It imports nothing of the package.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DOUBTFUL = re.compile(r"[^ -~]")
# A line of a message may follow another one only indented, as those of the package's own are.
_FORGED = re.compile(r"\n(?!  )")
# What this program and its tables write themselves, for encodings that lack it. All else becomes an escape.
_PLAIN = {"–": "-", "−": "-", "…": ".", "∞": "inf", "ρ": "rho"}
_BRAILLE = range(0x2800, 0x2900)  # the dots that turn while one waits
_HANDLER = "fama_fast.plain"
_NARROWEST, _WIDEST = 40, 120  # columns of prose


def printable(text: str, keep: str = "") -> str:
    r"""`text` with an escape such as `\x1b`, `\n` or `\u202e` for each character that is not seen and not in `keep`.

    Not seen are control characters and line ends, marks of direction and joining, halves of surrogate pairs, and what
    Unicode has not assigned. Spaces of any width are seen.
    """
    if text.isprintable():
        return text
    return _DOUBTFUL.sub(lambda m: m[0] if m[0] in keep or _seen(m[0]) else _escape(m[0]), text)


def _seen(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def message(text: str) -> str:
    """The text of an error or a note: `printable` but for a line's end before an indented line."""
    return text if text.isprintable() else printable(_FORGED.sub(r"\\n", text), keep="\n")


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """`value` as indented JSON, missing numbers as null; what is not seen is written as JSON's escapes."""

    def clean(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: clean(x) for k, x in v.items()}
        if isinstance(v, (list, tuple)):
            return [clean(x) for x in v]
        return None if isinstance(v, float) and not math.isfinite(v) else v

    text = json.dumps(clean(value), indent=2, ensure_ascii=ascii_only)
    # Outside its strings JSON is ASCII and line ends alone, inside them it has no line ends.
    return _DOUBTFUL.sub(lambda m: m[0] if m[0] == "\n" or _seen(m[0]) else json.dumps(m[0])[1:-1], text)


def is_text(name: str | os.PathLike[str]) -> bool:
    """Whether a file's name can be written in UTF-8. The bytes of some are of another encoding; then most libraries
    cannot open the file, and no record could name it."""
    try:
        os.fspath(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines, each of which stays one line whatever names are in it."""
    for line in lines:
        print(printable(line, keep="\t"), file=file or sys.stdout)


def wrapped(text: str, file: TextIO, indent: str = "  ") -> str:
    """`text` with line ends between words where a terminal is narrower than it; as it is for a pipe or a file.

    Only spaces are changed, and lines that go on are indented: a path stays whole, and so does a line with a mark (^)
    below it.
    """
    if not file.isatty():
        return text
    width = max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))
    given = text.split("\n")
    out = []
    for line, below in zip(given, [*given[1:], ""], strict=True):
        marked = bool(below.strip()) and not below.strip(" ^")
        if len(line) <= width or marked or not line.strip(" ^"):
            out.append(line)
            continue
        start = line[: len(line) - len(line.lstrip())]
        out += textwrap.wrap(
            line, width, subsequent_indent=start + indent, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(out)


def say_prose(*sentences: str, file: TextIO | None = None) -> None:
    """Print sentences, wrapped at words on a terminal, whatever names are in them."""
    out = file or sys.stdout
    for text in sentences:
        print(wrapped(printable(text, keep="\t"), out), file=out)


def say_json(value: Any) -> None:
    """Print JSON that reads back as it was, in whatever encoding."""
    print(json_text(value, ascii_only=ascii_only()))


def ascii_only() -> bool:
    """Whether standard output may lack letters beyond ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return not codecs.lookup(encoding).name.startswith("utf")


class _Shield:
    """A stream on which all that is written is `printable`; everything else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.reader_gone = False

    def write(self, text: str) -> int:
        with self._watched():
            self.stream.write(printable(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._watched():
            self.stream.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.reader_gone = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def raw(stream: Any) -> Any:
    """The stream behind the shield, for who draws with escape sequences and shows names `printable`."""
    return stream.stream if isinstance(stream, _Shield) else stream


class Streams:
    """Standard output and error while they are shielded."""

    def __init__(self, out: _Shield, err: _Shield) -> None:
        self._both = (out, err)

    @property
    def reader_gone(self) -> bool:
        """Whether who read one of them has gone away, as `head` does."""
        return any(s.reader_gone for s in self._both)

    def flush(self) -> OSError | None:
        """Write out what is left; what cannot be written is given up, so that Python does not try again at its end."""
        failed = None
        for shield in self._both:
            try:
                shield.flush()
            except OSError as error:
                failed = failed or error
                with suppress(OSError, ValueError):  # no file behind it: nothing to try again
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nowhere, shield.fileno())
                    os.close(nowhere)
        return failed


@contextmanager
def shielded() -> Iterator[Streams]:
    """While the block runs, all that is printed is `printable`, and no encoding stops it.

    A standard stream that was closed (`>&-`) becomes one that takes everything: else the next file that is opened would
    stand in its place.
    """
    _reopen_closed()
    before = sys.stdout, sys.stderr
    out, err = _shield(sys.stdout), _shield(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield Streams(out, err)
    finally:
        sys.stdout, sys.stderr = before


def _shield(stream: Any) -> _Shield:
    if isinstance(stream, _Shield):
        return stream
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)
    return _Shield(stream)


def _reopen_closed() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        opened = os.open(os.devnull, os.O_WRONLY if number else os.O_RDONLY)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
        setattr(sys, name, stream)


def _plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join("*" if ord(c) in _BRAILLE else _PLAIN.get(c) or _escape(c) for c in lacking), error.end


codecs.register_error(_HANDLER, _plain_letters)
