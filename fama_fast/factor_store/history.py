"""Detects whether the data still are what stored values were computed from, and where they differ.

1. `align` lays the data's dates beside the stored ones.
2. `unproven` tells which months must be read: those whose files have another size or time than when they were last
   compared. A file that has not changed since needs no reading.
3. `read_sums` reads them, and `compare` names the dates, symbols and fields that differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.engine.prepare import read_names
from fama_fast.errors import StoreError
from fama_fast.factor_store.checks import (
    UNIVERSE,
    Checks,
    Summer,
    data_hash,
    differences,
    group_name,
    joined,
    read_checks,
)
from fama_fast.factor_store.manifest import DataFile, Manifest, Partition, show_moments
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.ir import Node
    from fama_fast.panel.dataset import Dataset

_SHOWN = 5
_READ_BYTES = 128 << 20


@dataclass(frozen=True)
class Change:
    """A change of history: number of the first stored date that it concerns, and a sentence."""

    first: int
    text: str


def moments_of(source: Panel | Dataset) -> Any:
    """(T,) dates as microseconds since 1970."""
    return source.dates.astype("datetime64[us]").astype(np.int64)


def names_read(roots: Sequence[Node], source: Panel | Dataset) -> tuple[list[str], list[str]]:
    """Fields and groups of the data that values depend on, those that say which symbols are there included."""
    fields, groups = read_names(roots, source)
    presence = ("CLOSE",) if "CLOSE" in source.supplied_fields else source.supplied_fields
    return list(dict.fromkeys([*fields, *presence])), groups


def check_names(fields: Sequence[str], groups: Sequence[str], source: Panel | Dataset) -> list[str]:
    """The names of these fields and groups in checksums; the universe is among them if there is one."""
    return [*fields, *map(group_name, groups), *([UNIVERSE] if source.has_universe else [])]


def align(manifest: Manifest, source: Panel | Dataset) -> tuple[int, Change | None]:
    """The number of stored dates that lie before the data's first, and the dates that were added or removed since.

    Raises:
        StoreError: the data begin after the store ends.
    """
    stored, moments = manifest.moments, moments_of(source)
    days = manifest.settings.days
    if stored.size == 0:
        return 0, None
    if moments[0] > stored[-1]:
        raise StoreError(
            f"{source.source} begins on {show_moments(moments[0], days)}, after the last stored date "
            f"{show_moments(stored[-1], days)}: the rows before a date that windows need are missing"
        )
    offset = int(np.searchsorted(stored, moments[0]))
    expected, same = stored[offset:], moments[moments <= stored[-1]]
    gone, come = np.setdiff1d(expected, same), np.setdiff1d(same, expected)
    if not gone.size and not come.size:
        return offset, None
    parts = []
    for dates, text in ((gone, "are missing"), (come, "were not there")):
        if dates.size:
            parts.append(f"{dates.size:,} dates {text} ({_some([str(d) for d in show_moments(dates, days)])})")
    first = int(np.searchsorted(stored, min(*gone[:1], *come[:1], stored[-1])))
    return offset, Change(first, f"of the dates up to {show_moments(stored[-1], days)}, {' and '.join(parts)}")


def data_files(source: Panel | Dataset) -> tuple[DataFile, ...]:
    """The data's files; none where they cannot show whether the data have changed."""
    if isinstance(source, Panel) or source.join is not None:
        return ()
    spans: dict[str, tuple[int, int]] = {}
    for group, (first, last) in zip(source.files.groups, source.spans, strict=True):
        if not group.file.path:
            return ()  # rows come of several files at once
        low, high = spans.get(group.file.path, (first, last))
        spans[group.file.path] = min(low, first), max(high, last)
    out = []
    for path, (first, last) in spans.items():
        try:
            place = Path(path).resolve(strict=True)
            stat = place.stat()
        except OSError:
            return ()  # not on a file system of this machine
        out.append(DataFile(str(place), stat.st_size, stat.st_mtime_ns, first, last))
    return tuple(out)


def data_columns(source: Panel | Dataset, names: Sequence[str]) -> dict[str, str]:
    """The columns of the files that hold the keys and these names."""
    if isinstance(source, Panel):
        return {}
    columns = source.columns
    places = {**columns.fields, **{group_name(g): c for g, c in columns.groups.items()}}
    by_name = {"date": columns.date, "symbol": columns.symbol, **{n: places[n] for n in names if n in places}}
    return by_name if columns.universe is None else {**by_name, UNIVERSE: columns.universe}


def unproven(
    manifest: Manifest, source: Panel | Dataset, now: Sequence[DataFile], names: Sequence[str]
) -> list[Partition]:
    """Stored months whose data must be read to know whether they have changed; `now` are the data's files."""
    columns = data_columns(source, names)
    if not now or any(columns.get(name) != column for name, column in manifest.data_columns.items()):
        return list(manifest.partitions)

    def meeting(files: Sequence[DataFile], month: Partition) -> set[DataFile]:
        return {f for f in files if f.first <= month.dates[-1] and f.last >= month.dates[0]}

    return [p for p in manifest.partitions if meeting(now, p) != meeting(manifest.data_files, p)]


def read_sums(
    source: Panel | Dataset, fields: Sequence[str], groups: Sequence[str], months: Sequence[tuple[str, int, int]]
) -> Iterator[tuple[str, Checks]]:
    """Checksums of months, each given as its name and its rows [start, stop) in the data, in order."""
    names = check_names(fields, groups, source)
    moments = moments_of(source)
    summer = Summer(source.symbols)
    reader = None if isinstance(source, Panel) else source.reader(fields, groups)
    most = max(1, _READ_BYTES // (8 * len(source.symbols) * max(1, len(names))))
    for month, start, stop in months:
        sums: Checks = {}
        edges = [*range(start, stop, most), stop]
        for first, last in pairwise(edges):
            if isinstance(source, Panel):
                panel, rows = source, slice(first, last)
            else:
                assert reader is not None
                panel, rows = reader.read(first, last), slice(0, last - first)
            sums = joined(sums, summer(panel, names, moments[first:last], rows))
        yield month, sums


def compare(root: Path, manifest: Manifest, offset: int, found: dict[str, Checks]) -> Change | None:
    """The change between the stored months and the checksums of their dates that the data have."""
    dates: list[int] = []
    symbols: set[str] = set()
    fields: set[str] = set()
    at = 0
    for partition in manifest.partitions:
        begin, at = at, at + len(partition.dates)
        if partition.month not in found:
            continue
        sums = found[partition.month]
        skipped = max(0, offset - begin)
        if not skipped and all(data_hash(sums[n]) == h for n, h in partition.data.items()):
            continue
        stored = read_checks(root / partition.checks)
        for name in stored:
            stored[name].dates = stored[name].dates[skipped:]
        rows, who, what = differences(stored, sums, partition.data)
        if not rows:
            continue
        dates += [begin + skipped + r for r in sorted(rows)]
        fields |= what
        # Sums of symbols are of whole months.
        symbols |= set() if skipped else who
    if not dates:
        return None
    shown = _some([str(d) for d in show_moments(manifest.moments[dates], manifest.settings.days)])
    who_text = f"; symbols {_some(sorted(symbols))}" if symbols else ""
    noun = "date has" if len(dates) == 1 else "dates have"
    text = f"{len(dates):,} stored {noun} other data now: {shown} (fields {_some(sorted(fields))}{who_text})"
    return Change(dates[0], text)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
