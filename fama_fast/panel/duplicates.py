"""Decides which rows that share their date and symbol are kept, and what is reported of the others.

Rows that are identical in all columns used are one row. Of others nobody knows which is right: they are an error,
unless the caller says to keep the first or the last. The order is that of the files, and of the rows in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import DataError
from fama_fast.panel.columns import is_text
from fama_fast.panel.text_values import labels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.panel.reading import Duplicates
    from fama_fast.types import BoolArray, IntArray

MOST_LISTED = 100_000
"""Keys that an error lists; it counts all."""
_SHOWN = 5


@dataclass(frozen=True)
class Repeated:
    """A key (a symbol, or a date and symbol) that several rows have; `rows` says where they lie."""

    date: str | None
    symbol: str
    rows: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        date = {} if self.date is None else {"date": self.date}
        return {**date, "symbol": self.symbol, "rows": list(self.rows)}

    def __str__(self) -> str:
        key = self.symbol if self.date is None else f"({self.date}, {self.symbol})"
        more = ", ..." if len(self.rows) > _SHOWN else ""
        return f"{key} in {', '.join(self.rows[:_SHOWN])}{more}"


@dataclass
class Duplicated:
    """Counts of rows that share their key with others.

    Attributes:
        which: to keep of rows that differ. of: what a key is, in words.
        same: rows left out because another one says the same. same_keys: the first of those keys.
        keys: how many keys have rows that differ. dropped: rows of theirs left out. differing: the first `MOST_LISTED`
            of those keys.
    """

    which: Duplicates
    of: str = "(date, symbol) key"
    same: int = 0
    same_keys: list[Repeated] = field(default_factory=list)
    keys: int = 0
    dropped: int = 0
    differing: list[Repeated] = field(default_factory=list)

    def judge(self, cells: IntArray, values: pl.DataFrame, describe: Callable[[IntArray], Repeated]) -> BoolArray:
        """Decide which of some rows stay, one a cell, and count the others.

        Args:
            cells: of each row, in the order of the rows; every cell occurs more than once, with all its rows.
            values: the rows' columns, keys left out. describe: a key by the numbers of its rows.
        """
        numbered = pl.DataFrame({"__cell": cells, "__row": np.arange(cells.size)})
        # There may be no column but the keys.
        compared = numbered.with_columns(comparable(values).get_columns())
        names = [c for c in compared.columns if c not in ("__cell", "__row")]
        versions = pl.struct(names).n_unique() if names else pl.lit(1)
        groups = compared.group_by("__cell", maintain_order=True).agg(pl.col("__row"), (versions > 1).alias("differ"))
        groups = groups.sort("__cell")
        rows = pl.col("__row")
        last = pl.col("differ") if self.which == "last" else pl.lit(value=False)
        chosen = groups.select(pl.when(last).then(rows.list.last()).otherwise(rows.list.first())).to_series()
        keep: BoolArray = np.zeros(cells.size, dtype=np.bool_)
        keep[chosen.to_numpy()] = True
        for differ, group in groups.partition_by("differ", as_dict=True).items():
            left_out = int(group["__row"].list.len().sum()) - group.height
            listed, most = (self.differing, MOST_LISTED) if differ[0] else (self.same_keys, _SHOWN + 1)
            listed += [describe(r.to_numpy()) for r in group["__row"].head(most - len(listed))]
            if differ[0]:
                self.keys, self.dropped = self.keys + group.height, self.dropped + left_out
            else:
                self.same += left_out
        return keep

    def refuse(self, source: str) -> None:
        """Raise where rows of one key differ and the caller did not say which to keep.

        Raises:
            DataError: names the first keys; its `details` list them.
        """
        if not self.keys or self.which != "error":
            return
        are = "is" if self.keys == 1 else "are"
        raise DataError(
            f"{source}: {self._counted} {are} in more than one row, and the rows differ: "
            f"{_some(self.differing)} (--duplicates first or last keeps one of them; in Python duplicates=)",
            details={"duplicates": [d.as_dict() for d in self.differing], "count": self.keys},
        )

    @property
    def _counted(self) -> str:
        return f"{self.keys:,} {self.of}{'' if self.keys == 1 else 's'}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about the rows that were left out."""
        out = []
        if self.same:
            noun = "row is" if self.same == 1 else "rows are"
            out.append(f"{self.same:,} {noun} left out that say what another one says: {_some(self.same_keys)}")
        if self.dropped and self.which != "error":
            noun = "row is" if self.dropped == 1 else "rows are"
            of = f"{self._counted} with rows that differ"
            out.append(f"{self.dropped:,} {noun} left out, of {of}; the {self.which} is kept: {_some(self.differing)}")
        return tuple(out)


def comparable(values: pl.DataFrame) -> pl.DataFrame:
    """Columns in which rows are equal that would make equal panels: one missing value, one zero, texts stripped."""
    out = []
    for column in values.iter_columns():
        if is_text(column.dtype):
            out.append(labels_of(column))
        elif column.dtype.is_numeric() or isinstance(column.dtype, pl.Boolean):
            number = column.cast(pl.Float64) + 0.0
            out.append(number.set(~number.is_finite(), None))
        else:
            out.append(column)
    return pl.DataFrame(out)


def _some(found: Sequence[Repeated]) -> str:
    return "; ".join(map(str, found[:_SHOWN])) + ("; ..." if len(found) > _SHOWN else "")
