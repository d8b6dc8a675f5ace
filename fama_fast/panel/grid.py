"""The dense date x symbol grid of a long frame, and the cell of each of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from fama_fast.types import FloatArray, IntArray


@dataclass(frozen=True)
class Grid:
    """The dense shape of a frame and the flat cell (date * N + symbol) of each of its rows.

    `dates` and `symbols` are sorted and unique.
    """

    dates: pl.Series
    symbols: pl.Series
    cells: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dates), len(self.symbols)

    def spread(self, values: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """One value a row into a (T, N) array, NaN where there is no row."""
        out = np.full(self.shape[0] * self.shape[1], np.nan, dtype=dtype)
        out[self.cells] = values
        return out.reshape(self.shape)


def lay_out(dates: pl.Series, symbols: pl.Series) -> Grid:
    """The grid of rows with these keys (already read by `keys`)."""
    days = dates.unique().sort()
    names = symbols.unique().sort()
    row = np.searchsorted(days.to_physical().to_numpy(), dates.to_physical().to_numpy())
    # An Enum over the sorted names is a dictionary encoding whose codes are positions.
    column = symbols.cast(pl.Enum(names)).to_physical().to_numpy()
    return Grid(days, names, row.astype(np.int64) * len(names) + column)


def duplicate_rows(grid: Grid) -> IntArray:
    """Numbers, ascending, of rows that share their cell with another."""
    per_cell = np.bincount(grid.cells, minlength=0)
    return np.flatnonzero(per_cell[grid.cells] > 1)
