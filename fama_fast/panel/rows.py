"""Rows of market data as they are decoded, a batch at a time, each with its moment; cutting them by date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.panel.keys import read_dates

if TYPE_CHECKING:
    from fama_fast.panel.io.source import Batch
    from fama_fast.types import BoolArray, IntArray

MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class Rows:
    """Some rows of one batch.

    Attributes:
        batch: they are of it. table: their columns. numbers: which of its rows they are, None for all. when: the moment
            of each, as `moments_of`.
    """

    batch: Batch
    table: pl.DataFrame
    numbers: IntArray | None
    when: IntArray

    def locate(self, row: int) -> str:
        """Where the 0-based row lies, for messages."""
        return self.batch.locate(row if self.numbers is None else int(self.numbers[row]))

    def where(self, keep: BoolArray) -> Rows | None:
        """Those that `keep` is true for; None if there are none."""
        chosen = np.flatnonzero(keep)
        if chosen.size == 0:
            return None
        if chosen.size == self.when.size:
            return self
        kept = chosen if self.numbers is None else self.numbers[chosen]
        return Rows(self.batch, self.table.filter(pl.Series(keep)), kept, self.when[chosen])

    def cut(self, low: int, high: int) -> tuple[Rows | None, Rows | None]:
        """Those of [low, high], None if there are none; and, if there are any, those behind `high`."""
        when = self.when
        first, last = int(when.min()), int(when.max())
        if first >= low and last <= high:
            return self, None
        return self.where((when >= low) & (when <= high)), self.where(when > high) if last > high else None


def moments_of(column: pl.Series, batch: Batch) -> IntArray:
    """Dates as microseconds since 1970, local clock time.

    Raises:
        DataError: what is no date, with its file and row.
    """
    read = read_dates(column, source=batch.file.name, locate=batch.locate)
    moments: IntArray = read.to_physical().to_numpy().astype(np.int64)
    return moments * MICROSECONDS_A_DAY if isinstance(read.dtype, pl.Date) else moments


def between(when: IntArray, low: int | None, high: int | None) -> BoolArray:
    """Which moments lie in [low, high); None is no limit."""
    keep: BoolArray = np.ones(when.shape, dtype=np.bool_)
    if low is not None:
        keep &= when >= low
    if high is not None:
        keep &= when < high
    return keep
