"""The months of a store after an update: those that stay, are added, and are merged."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import OutputError
from fama_fast.factor_store.checks import Checks, data_hash, joined, read_checks, write_checks
from fama_fast.factor_store.manifest import Partition, Segment, show_moments
from fama_fast.factor_store.segments import MANY, merge, months_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fama_fast.factor_store.manifest import Manifest

Written = dict[str, dict[str, Segment]]
"""Files of values, by block and month."""


def month_spans(moments: Any, days: bool) -> list[tuple[str, int, int]]:
    """Months with the range [start, stop) of their date numbers."""
    if len(moments) == 0:
        return []
    months = months_of(show_moments(moments, days))
    edges = [0, *(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist(), len(months)]
    return [(str(months[a]), a, b) for a, b in pairwise(edges)]


def made_partitions(
    root: Path,
    base: Manifest,
    moments: Any,
    keep: int,
    extra: dict[str, Checks],
    sums: dict[str, Checks],
    written: Written,
    stamp: str,
    days: bool,
) -> Iterator[Partition]:
    """The partitions of all dates.

    Args:
        moments: (T,) all dates. keep: how many of them were stored and stay.
        extra: sums of fields that stored months have none of yet. sums: of the dates behind `keep`, by month.
    """
    stored = {p.month: p for p in base.partitions}
    for month, start, stop in month_spans(moments, days):
        before = stored.get(month) if start < keep else None
        values = dict(before.values) if before else {}
        for block, segments in written.items():
            if month in segments:
                values[block] = (*values.get(block, ()), segments[month])
        if before is not None and month not in sums and month not in extra:
            yield replace(before, values=values)
            continue
        checks = {} if before is None else {**read_checks(root / before.checks), **extra.get(month, {})}
        if month in sums:
            checks = joined(checks, sums[month])
        place = f"checks/month={month}/{stamp}-{month}.parquet"
        _write(root / place, checks)
        hashes = {name: data_hash(s) for name, s in checks.items()}
        yield Partition(month, tuple(moments[start:stop].tolist()), hashes, place, values)


def _write(path: Path, checks: Checks) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        write_checks(path, checks)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def merged(root: Path, partitions: list[Partition], stamp: str, days: bool) -> Iterator[Partition]:
    """Partitions with one file a block in months that are over; the last month may have many."""
    for i, partition in enumerate(partitions):
        most = MANY if i + 1 == len(partitions) else 2
        values = {
            block: (merge(root, block, partition.month, segments, stamp, days),) if len(segments) >= most else segments
            for block, segments in partition.values.items()
        }
        yield replace(partition, values=values)
