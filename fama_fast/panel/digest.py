"""Hashes a data set in a few streaming passes: the hash that its panel would have.

A panel's hash takes its columns one after another, each with all its dates. A pass over the dates therefore feeds one
column to the hash and holds the next ones until it is through: as many as fit the memory given, so that data a few
times its size take a few passes. Every value is read once, so whatever is wrong with one is met here.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fama_fast.panel.panel import Panel
    from fama_fast.panel.reader import Reader

_FIXED = 24 << 20  # rows being decoded
_WORK = 8 * 4 + 2  # bytes a cell of what reading and feeding a chunk take beside its columns
_LEAST_DATES = 16  # a chunk has that many, if there are
_MOST_DATES = 128  # and no more, where rows come in the order of dates: longer ones would save nothing

Column = tuple[str, str]  # ("field" | "group" | "universe", name)


class Hashable(Protocol):
    """What `content_hash` needs of a data set (`dataset.Dataset`)."""

    dates: Any
    symbols: Any
    join: Any

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def supplied_fields(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def has_universe(self) -> bool: ...
    @property
    def ordered(self) -> bool: ...
    def reader(self, fields: Iterable[str] | None = None, groups: Iterable[str] | None = None) -> Reader: ...


def content_hash(data: Hashable, memory: int) -> str:
    """The hash that `Panel.data_hash` has of the data; reads every value, within about `memory` bytes, but never fewer
    than a few dates at a time.

    Raises:
        DataError: from reading.
    """
    columns: list[Column] = [("field", f) for f in sorted(data.supplied_fields)]
    columns += [("group", g) for g in sorted(data.groups)]
    if data.has_universe:
        columns.append(("universe", ""))
    at_once, core = _parts(data, len(columns), memory)
    h = hashlib.blake2b(digest_size=16)
    h.update(np.ascontiguousarray(data.dates.astype("datetime64[us]").astype(np.int64)).data)
    h.update("\0".join(data.symbols).encode())
    for at in range(0, max(1, len(columns)), at_once):
        part = columns[at : at + at_once]
        reader = data.reader([n for k, n in part if k == "field"], [n for k, n in part if k == "group"])
        _feed(h, data, reader, part, core)
    return h.hexdigest()


def _parts(data: Hashable, columns: int, memory: int) -> tuple[int, int]:
    """Number of columns a pass takes, and of dates a chunk: what decodes least within the memory."""
    dates, symbols = data.shape
    always = 8 * len(data.groups) if data.join is not None else 0
    best: tuple[int, int, int] | None = None
    for at_once in range(1, max(1, columns) + 1):
        room = memory - _FIXED - (at_once - 1) * 8 * dates * symbols
        # A chunk's columns, and the hash's copies of them.
        core = min(dates, room // (symbols * (16 * at_once + always + _WORK)), _MOST_DATES if data.ordered else dates)
        if core < min(dates, _LEAST_DATES):
            break
        decoded = -(-columns // at_once) * (1 if data.ordered else -(-dates // core))
        if best is None or decoded < best[0]:
            best = decoded, at_once, core
    if best is None:
        return 1, min(dates, _LEAST_DATES)
    return best[1], best[2]


def _feed(h: Any, data: Hashable, reader: Reader, part: Sequence[Column], core: int) -> None:
    """One pass: feed the columns of `part` to the hash."""
    # One array a column: memory of that size goes back to the system when it is let go.
    waiting = [np.empty(data.shape, dtype=bool if k == "universe" else np.float64) for k, _ in part[1:]]
    labels: dict[str, tuple[str, ...]] = {}
    for start, panel in _chunks(data, reader, core):
        for i, (kind, name) in enumerate(part):
            array = _array(panel, kind, name)
            if kind == "group":
                labels[name] = panel.group(name).labels
            if i:
                waiting[i - 1][start : start + len(array)] = array
                continue
            if not start:
                _head(h, kind, name, labels)
            h.update(array.data)
        del panel, array  # before the next chunk is read
    for kind, name in part[1:]:
        _head(h, kind, name, labels)
        h.update(waiting.pop(0).data)


def _chunks(data: Hashable, reader: Reader, core: int) -> Iterator[tuple[int, Panel]]:
    dates = len(data.dates)
    for start in range(0, dates, core):
        yield start, reader.read(start, min(dates, start + core))


def _head(h: Any, kind: str, name: str, labels: dict[str, tuple[str, ...]]) -> None:
    """The bytes that `Panel.data_hash` writes before a column."""
    if kind == "field":
        h.update(f"\0field {name}\0".encode())
    elif kind == "group":
        h.update(f"\0group {name}\0{labels[name]}".encode())


def _array(panel: Panel, kind: str, name: str) -> Any:
    """The column's bytes as `Panel.data_hash` takes them."""
    if kind == "field":
        return np.add(panel[name], 0.0, dtype=np.float64)
    if kind == "group":
        return np.ascontiguousarray(panel.group(name).codes)
    return panel.universe
