"""Reads the first line of a text file: what separates its cells, and the names of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import DataError, quoted
from fama_fast.panel import names as nm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel.io.csv_bytes import Bytes

SEPARATORS = (",", ";", "\t", "|")
_ENDS = re.compile(rb"\r\n|\n|\r")
_SEPARATOR_LINE = re.compile(rb"sep=(.)\Z", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*\Z|\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T].*)?\Z")


@dataclass(frozen=True)
class Header:
    """The parsed header: where the rows begin in the bytes, what separates cells, and the columns' names, each once.

    `unnamed` are those without a name of their own (the names begin with `unnamed_`).
    """

    names: tuple[str, ...]
    separator: str
    start: int
    unnamed: frozenset[str]


def read_header(data: Bytes, start: int, file: str) -> Header:
    """Parse the header of a text.

    Args:
        data: UTF-8 bytes. start: where the text begins. file: for messages.

    Raises:
        DataError: no line, two columns of one name, a line of values in place of names.
    """
    line, after = next_line(data, start)
    declared = _SEPARATOR_LINE.match(line)
    if declared is not None:  # as Excel writes it
        line, after = next_line(data, after)
    text = line.decode("utf-8")
    if not text.strip():
        raise DataError(f"{file}: there is no line with the names of columns")
    separator = declared[1].decode("utf-8") if declared is not None else separator_of(text)
    cells = [name.strip() for name in cells_of(text, separator)]
    if all(_NUMBER.match(c) for c in cells[:2]) and not any(nm.is_key_name(c) for c in cells if c):
        shown = ", ".join(map(quoted, cells[:3]))
        raise DataError(
            f"{file}: the first line holds values ({shown}, ...) and not names of columns: put them before it"
        )
    if len(cells) == 1:
        _refuse_title(data, after, cells[0], file)
    twice = next((n for n, count in Counter(cells).items() if n and count > 1), None)
    if twice is not None:
        raise DataError(f"{file}: the header has two columns {quoted(twice)}")
    unnamed = [i for i, name in enumerate(cells) if not name]
    # The first column of an index has no name in files that pandas writes; others are what spreadsheets leave behind.
    for i in unnamed[0 if unnamed and unnamed[0] else 1 :]:
        cells[i] = f"unnamed_{i}"
    return Header(tuple(cells), separator, after, frozenset(cells[i] for i in unnamed))


def _refuse_title(data: Bytes, after: int, title: str, file: str) -> None:
    """Refuses a first line of one cell above lines of many."""
    line, _ = next_line(data, after)
    text = line.decode("utf-8", errors="replace")
    below = len(cells_of(text, separator_of(text)))
    if below > 2:
        raise DataError(
            f"{file}: the first line, {quoted(title)}, is one cell, and the next has {below:,}: take away what stands "
            "above the names of columns"
        )


def next_line(data: Bytes, start: int) -> tuple[bytes, int]:
    """The first line from `start` on that is not blank, and where the next one begins; a quoted line end is no end."""
    at = start
    size = len(data)
    while at < size:
        end = _line_end(data, at)
        line = data[at : end[0]]
        if line.strip():
            return line, end[1]
        at = end[1]
    return b"", size


def _line_end(data: Bytes, start: int) -> tuple[int, int]:
    """The position where a line ends, and where the next one begins."""
    quotes, at = 0, start
    while True:
        end = _ENDS.search(data, at)
        if end is None:
            return len(data), len(data)
        quotes += data[at : end.start()].count(b'"')
        if quotes % 2 == 0:
            return end.start(), end.end()
        at = end.end()


def separator_of(line: str) -> str:
    """The separator of the cells of a header: the candidate that it holds most of, outside quotes."""
    bare = _QUOTED.sub("", line)
    counts = {s: bare.count(s) for s in SEPARATORS}
    return max(SEPARATORS, key=lambda s: counts[s])


def cells_of(line: str, separator: str) -> Sequence[str]:
    """The cells of one line."""
    limit = csv.field_size_limit()
    if len(line) > limit:
        # A cell may be as long as the line; the limit is the process's, so it is not changed.
        return [c.strip('"') for c in line.split(separator)]
    return next(csv.reader(io.StringIO(line, newline=""), delimiter=separator), [])
