"""The keys of Parquet data, read once: their dates and symbols, the labels of their groups, the order of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.keys import read_symbols
from fama_fast.panel.rows import between, group_texts, moments_of

if TYPE_CHECKING:
    from fama_fast.panel.columns import Columns
    from fama_fast.panel.parquet import ParquetFiles
    from fama_fast.types import IntArray


@dataclass
class Survey:
    """What a pass over the keys finds.

    Attributes:
        moments: (T,) dates in microseconds. symbols: (N,) sorted names. labels: of each group, sorted.
        spans: first and last moment of each row group. ordered: rows come in the order of dates.
    """

    moments: IntArray
    symbols: pl.Series
    labels: dict[str, tuple[str, ...]]
    spans: list[tuple[int, int]]
    ordered: bool
    rows: int


def survey(files: ParquetFiles, columns: Columns, low: int | None, high: int | None) -> Survey:
    """Reads the keys of all rows.

    Args:
        low, high: the moments wanted, [low, high); None is no limit.

    Raises:
        DataError: a key that cannot be read; no rows.
    """
    moments: IntArray = np.empty(0, dtype=np.int64)
    names: pl.Series = pl.Series([], dtype=pl.String)
    labels = {g: pl.Series([], dtype=pl.String) for g in columns.groups}
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
                texts = group_texts(table[column]).unique().drop_nulls().rename("")
                labels[name] = pl.concat([labels[name], texts]).unique()
        spans.append((first_seen, last_seen))
    if moments.size == 0:
        if files.rows == 0:
            raise DataError(f"{files.source}: no rows")
        raise DataError(f"{files.source}: no rows between the dates asked for")
    return Survey(
        moments, names.sort(), {g: tuple(s.sort().to_list()) for g, s in labels.items()}, spans, ordered, total
    )
