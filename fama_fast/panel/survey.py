"""The keys of market data, read once: their dates and symbols, the labels of their groups, the order of their rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.keys import read_symbols
from fama_fast.panel.rows import between, moments_of
from fama_fast.panel.text_values import labels_of, no_group

if TYPE_CHECKING:
    from fama_fast.panel.columns import Columns
    from fama_fast.panel.io.source import RowSource
    from fama_fast.types import IntArray


@dataclass
class Survey:
    """What a pass over the keys finds.

    Attributes:
        moments: (T,) dates in microseconds. symbols: (N,) sorted names. labels: of each group, sorted. labelled: rows
            that have a label of each.
        spans: first and last moment of each row group. ordered: rows come in the order of dates.
    """

    moments: IntArray
    symbols: pl.Series
    labels: dict[str, tuple[str, ...]]
    labelled: dict[str, int]
    spans: list[tuple[int, int]]
    ordered: bool
    rows: int


def survey(files: RowSource, columns: Columns, low: int | None, high: int | None) -> Survey:
    """Reads the keys of all rows.

    Args:
        low, high: the moments wanted, [low, high); None is no limit.

    Raises:
        DataError: a key that cannot be read; no rows.
    """
    moments: IntArray = np.empty(0, dtype=np.int64)
    names: pl.Series = pl.Series([], dtype=pl.String)
    labels = {g: pl.Series([], dtype=pl.String) for g in columns.groups}
    labelled = dict.fromkeys(columns.groups, 0)
    spans: list[tuple[int, int]] = []
    ordered, last = True, -(2**63)
    total = 0
    wanted = list(dict.fromkeys([columns.date, columns.symbol, *columns.groups.values()]))
    for group in files.groups:
        first_seen, last_seen = 2**63 - 1, -(2**63)
        for batch in files.batches(group, wanted, threads=True):
            table = batch.table
            when = moments_of(table[columns.date], batch)
            steps = np.flatnonzero(when[1:] != when[:-1])
            ordered = ordered and bool(when[0] >= last) and bool(np.all(when[steps + 1] > when[steps]))
            last = int(when[-1])
            heads = np.unique(when[np.concatenate(([0], steps + 1))])
            first_seen, last_seen = min(first_seen, int(heads[0])), max(last_seen, int(heads[-1]))
            inside = between(heads, low, high)
            found = read_symbols(table[columns.symbol], source=batch.file.name, locate=batch.locate)
            if not inside.all():
                keep = between(when, low, high)
                total += int(keep.sum())
                found, table = found.filter(pl.Series(keep)), table.filter(pl.Series(keep))
            else:
                total += len(when)
            moments = np.union1d(moments, heads[inside])
            names = pl.concat([names, found.rename("").unique()]).unique()
            for name, column in columns.groups.items():
                texts = labels_of(table[column]).drop_nulls().rename("")
                labelled[name] += len(texts)
                labels[name] = pl.concat([labels[name], texts.unique()]).unique()
        spans.append((first_seen, last_seen))
    if moments.size == 0:
        if files.rows == 0:
            raise DataError(f"{files.source}: no rows")
        raise DataError(f"{files.source}: no rows between the dates asked for")
    return Survey(
        moments,
        names.sort(),
        {g: tuple(s.sort().to_list()) for g, s in labels.items()},
        labelled,
        spans,
        ordered,
        total,
    )


def only_groups(columns: Columns, found: Survey) -> Columns:
    """The columns without those of text that are no groups; what is said of them is among `unused`."""
    reasons = {
        name: no_group(name, column, found.labels[name], rows=found.labelled[name], symbols=len(found.symbols))
        for name, column in columns.groups.items()
    }
    said = tuple(reason for reason in reasons.values() if reason is not None)
    groups = {name: column for name, column in columns.groups.items() if reasons[name] is None}
    return replace(columns, groups=groups, unused=(*columns.unused, *said))
