"""Rank correlations of thousands of formulas, grown as they come.

Levels (`measure.levels`) are multiplied in blocks whose sums are exact, so a correlation has its bits whatever came
with it, before it or after it. Only the lower triangle is kept, in float32: 10,000 formulas take 200 MB and their
levels.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.evaluation.rank_correlation import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.mining.measure.levels import Levels
    from fama_fast.types import FloatArray

BLOCK = 256  # formulas whose levels and correlations are kept together
_CELLS = 4096  # products of levels that float32 adds up without rounding


class GrowingCorrelations:
    """Levels of K formulas and the correlation of every pair.

    Args:
        cells: of a formula's levels.
    """

    def __init__(self, cells: int) -> None:
        self.cells, self.size = cells, 0
        self._levels: list[Levels] = []  # (BLOCK, cells)
        self._lengths: list[NDArray[np.float64]] = []  # (BLOCK,)
        self._last: tuple[tuple[int, bytes], FloatArray] | None = None
        self._rows: list[NDArray[np.float32]] = []  # of block b: (BLOCK, (b + 1) BLOCK), whole on the diagonal

    def first(self, count: int) -> GrowingCorrelations:
        """Those of the first formulas alone, to read: it shares what it has with these."""
        out = GrowingCorrelations(self.cells)
        blocks = -(-count // BLOCK)
        out.size, out._levels = count, self._levels[:blocks]
        out._lengths, out._rows = self._lengths[:blocks], self._rows[:blocks]
        return out

    def blocks(self) -> Iterator[slice]:
        """The formulas' places, block by block."""
        for at in range(0, self.size, BLOCK):
            yield slice(at, min(self.size, at + BLOCK))

    def products(self, levels: Levels) -> FloatArray:
        """(n, K) sums of products of levels (n, cells) with everyone's: exact."""
        asked = self.size, hashlib.blake2b(levels.tobytes()).digest()
        if self._last is not None and self._last[0] == asked:
            return self._last[1]  # what a candidate adds is asked for, whether it is a copy, then it is added
        out = np.zeros((len(levels), self.size))
        with one_thread():  # more of them only wait for each other
            self._multiply(levels, out)
        self._last = asked, out
        return out

    def _multiply(self, levels: Levels, out: FloatArray) -> None:
        factor = np.empty((BLOCK, min(_CELLS, max(1, self.cells))), dtype=np.float32)
        for at in range(0, self.cells, _CELLS):
            own = levels[:, at : at + _CELLS].astype(np.float32)
            for places, known in zip(self.blocks(), self._levels, strict=True):
                count = places.stop - places.start
                theirs = factor[:count, : own.shape[1]]
                theirs[:] = known[:count, at : at + _CELLS]
                out[:, places] += own @ theirs.T

    def with_each(self, levels: Levels) -> FloatArray:
        """(n, K) correlations of levels (n, cells) with everyone; 0 of levels that are 0 everywhere."""
        own, theirs = lengths(levels), self.own_lengths()
        return self.products(levels) / np.where(own > 0.0, own, 1.0)[:, None] / theirs

    def add(self, levels: Levels) -> None:
        """Add formulas with levels (n, cells), none of them 0 everywhere."""
        for one in range(0, len(levels), BLOCK):
            self._add(levels[one : one + BLOCK])

    def _add(self, levels: Levels) -> None:
        start, before = self.size, self.with_each(levels)
        for own in levels:
            place = self.size % BLOCK
            if not place:
                self._levels.append(np.zeros((BLOCK, self.cells), dtype=np.int8))
                self._lengths.append(np.ones(BLOCK))
                self._rows.append(np.zeros((BLOCK, len(self._levels) * BLOCK), dtype=np.float32))
            self._levels[-1][place] = own
            self._lengths[-1][place] = lengths(own[None])[0]
            self.size += 1
        found = np.concatenate([before, among(levels)], axis=1)
        found[np.arange(len(levels)), np.arange(start, self.size)] = 1.0
        for i, row in enumerate(found, start=start):
            block, place = divmod(i, BLOCK)
            end = min(self.size, (block + 1) * BLOCK)
            self._rows[block][place, :end] = row[:end]
        last = self._rows[start // BLOCK]  # the block that was begun before has the new ones beside it on its diagonal
        first, end = start // BLOCK * BLOCK, min(self.size, (start // BLOCK + 1) * BLOCK)
        last[: start - first, start:end] = last[start - first : end - first, first:start].T

    def own_lengths(self) -> FloatArray:
        """(K,) roots of the sums of squares of the formulas' levels."""
        return np.concatenate([np.zeros(0), *self._lengths])[: self.size]

    def breadths(self) -> FloatArray:
        """(K,) share of each formula's cells that are off the middle: about its coverage, less what it ties there."""
        counts = [np.count_nonzero(block, axis=1) / max(1, self.cells) for block in self._levels]
        return np.concatenate([np.zeros(0), *counts])[: self.size]

    def rows(self, places: slice) -> NDArray[np.float32]:
        """(n, stop) of the matrix: the rows of some places of one block, as far as their last column."""
        block = self._rows[places.start // BLOCK]
        first = places.start // BLOCK * BLOCK
        found: NDArray[np.float32] = block[places.start - first : places.stop - first, : places.stop]
        return found

    def matrix(self) -> FloatArray:
        """(K, K) correlations, 1 on the diagonal."""
        out = np.empty((self.size, self.size))
        for places in self.blocks():
            part = self.rows(places)
            out[places, : places.stop] = part
            out[: places.start, places] = part[:, : places.start].T
        return out

    def among(self, places: Sequence[int]) -> FloatArray:
        """(n, n) correlations of the formulas at some places, ascending."""
        wanted = np.asarray(places, dtype=np.int64)
        out = np.empty((len(wanted), len(wanted)))
        for block in self.blocks():
            first, last = np.searchsorted(wanted, (block.start, block.stop))
            part = self.rows(block)[np.ix_(wanted[first:last] - block.start, wanted[:last])]
            out[first:last, :last] = part
            out[:last, first:last] = part.T
        return out

    def system(self, scale: FloatArray, penalty: float, dtype: Any) -> NDArray[Any]:
        """(K, K) the lower triangle of S R S + a I for S = diag(scale), column by column; above it nothing counts."""
        out = np.empty((self.size, self.size), dtype=dtype, order="F")
        for places in self.blocks():
            part = self.rows(places) * scale[: places.stop] * scale[places, None]
            out[places, : places.stop] = part
        out[np.diag_indices(self.size)] = scale * scale + penalty
        return out

    def variances(self, weights: FloatArray) -> FloatArray:
        """(m,) w' R w of weights (K, m)."""
        out = np.zeros(weights.shape[1])
        for places in self.blocks():
            part, own = self.rows(places).astype(np.float64), weights[places]
            out += 2.0 * (own * (part[:, : places.start] @ weights[: places.start])).sum(axis=0)
            out += (own * (part[:, places.start :] @ own)).sum(axis=0)
        return np.maximum(out, 0.0)

    def unit_levels(self, places: slice) -> FloatArray:
        """(n, cells) levels of the formulas of one block over their lengths: their inner products are correlations."""
        first = places.start // BLOCK * BLOCK
        own = slice(places.start - first, places.stop - first)
        block = places.start // BLOCK
        found: FloatArray = self._levels[block][own] / self._lengths[block][own, None]
        return found


def among(levels: Levels) -> FloatArray:
    """(n, n) correlations of levels (n, cells), none of them 0 everywhere."""
    own_lengths = lengths(levels)
    found: FloatArray = level_products(levels, levels) / own_lengths[:, None] / own_lengths
    return found


def level_products(a: Levels, b: Levels) -> FloatArray:
    """(n, m) sums of products of levels (n, cells) and (m, cells): exact, whatever adds them up."""
    out = np.zeros((len(a), len(b)))
    with one_thread():
        for at in range(0, a.shape[1], _CELLS):
            part = slice(at, at + _CELLS)
            out += a[:, part].astype(np.float32) @ b[:, part].astype(np.float32).T
    return out


def lengths(levels: Levels) -> FloatArray:
    """(n,) roots of the sums of squares of levels (n, cells)."""
    out = np.empty(len(levels))
    for i, level in enumerate(levels):
        wide = level.astype(np.int64)
        out[i] = np.sqrt(float(wide @ wide))
    return out
