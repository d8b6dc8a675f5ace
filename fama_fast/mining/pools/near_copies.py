"""Leaves out proposals that rank nearly as an earlier one does: a look at a few dates says so, before all are measured.

Nearly half of all random formulas correlate by more than .9 with an earlier one, and they are half of all measuring.
A pool gains little by them (docs/decisions/042-near-copies.md). No label is looked at, so what is left out was no
trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.pools.correlations import lengths, level_products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.mining.measure.market import Market
    from fama_fast.types import BoolArray, FloatArray

MOST_DATES, APART = 8, 4  # so many dates, so many rows from one to the next: near enough to share their windows
_MOST_CELLS = 16_384  # symbols times dates: fewer dates of wide universes
_BLOCK = 512  # formulas whose levels are kept together


class NearCopies:
    """The ranks of everything that was met, on a few training dates.

    Args:
        market: whose last training dates are looked at. most: |correlation| from which one is a near-copy.
    """

    def __init__(self, market: Market, most: float) -> None:
        train, symbols = market.rows.train, market.panel.shape[1]
        dates = min(MOST_DATES, max(2, _MOST_CELLS // symbols))
        self.market, self.most = market, most
        self.rows = np.arange(max(train.start, train.stop - 1 - APART * (dates - 1)), train.stop, APART)
        self._blocks: list[NDArray[np.int8]] = []
        self._size = 0

    def add(self, alphas: Sequence[Alpha]) -> None:
        """Remember formulas, whatever they are like."""
        self._keep(self._levels(alphas))

    def new_among(self, alphas: Sequence[Alpha], wanted: int) -> tuple[list[int], list[int]]:
        """Choose from formulas, in their order.

        Returns:
            Places of the first `wanted` that are near-copies of nothing, which are remembered; and of the near-copies
            that stand before the last of them.
        """
        levels = self._levels(alphas)
        own = lengths(levels)
        copies_of_known = self._like_known(levels, own)
        alike = self._alike(levels, own, levels, own)
        kept: list[int] = []
        copies: list[int] = []
        for i in range(len(levels)):
            if len(kept) == wanted:
                break
            is_copy = copies_of_known[i] or alike[i, kept].any()
            (copies if is_copy else kept).append(i)
        self._keep(levels[kept])
        return kept, copies

    def _levels(self, alphas: Sequence[Alpha]) -> Levels:
        """(n, cells) ranks in 8 bits, as of `measure.levels`."""
        out = np.zeros((len(alphas), len(self.rows) * self.market.panel.shape[1]), dtype=np.int8)
        for own, shares in zip(out, self.market.ranks(alphas, self.rows), strict=True):
            there = np.isfinite(shares)
            count = np.maximum(there.sum(axis=1, keepdims=True), 1)
            own[:] = np.rint(63.0 * np.where(there, 2.0 * shares - 1.0 - 1.0 / count, 0.0)).astype(np.int8).ravel()
        return out

    def _like_known(self, levels: Levels, own: FloatArray) -> BoolArray:
        """(n,) whether some known formula is a near-copy of each."""
        found = np.zeros(len(levels), dtype=np.bool_)
        for at, block in enumerate(self._blocks):
            known = block[: self._size - at * _BLOCK]
            found |= self._alike(levels, own, known, lengths(known)).any(axis=1)
        return found

    def _alike(self, a: Levels, lengths_of_a: FloatArray, b: Levels, lengths_of_b: FloatArray) -> BoolArray:
        """(n, m) whether each is a near-copy of each. What has no ranks on these dates is like nothing."""
        bar = self.most * np.outer(lengths_of_a, lengths_of_b)
        return np.asarray((np.abs(level_products(a, b)) >= bar) & (bar > 0.0))

    def _keep(self, levels: Levels) -> None:
        for own in levels:
            if not own.any():
                continue
            if self._size % _BLOCK == 0:
                self._blocks.append(np.zeros((_BLOCK, len(own)), dtype=np.int8))
            self._blocks[-1][self._size % _BLOCK] = own
            self._size += 1
