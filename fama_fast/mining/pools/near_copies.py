"""Leaves out proposals that rank nearly as an earlier one does: a look at a few dates says so, before all are measured.

Nearly half of all random formulas correlate by more than .9 with an earlier one, and they are half of all measuring.
A pool gains little by them (docs/decisions/042-near-copies.md). No label is looked at, so what is left out was no
trial.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.mining.pools.correlations import lengths, level_products
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine import Alpha
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.mining.measure.market import Market
    from fama_fast.types import BoolArray, FloatArray

MOST_DATES, APART = 8, 4  # so many dates, so many rows from one to the next: near enough to share their windows
_MOST_CELLS = 16_384  # symbols times dates: fewer dates of wide universes
_BLOCK = 512  # formulas whose levels are kept together
_LEAST = 16  # formulas looked at together: with fewer the engine's work for each call counts


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
        self._blocks: list[Levels] = []  # (_BLOCK, cells)
        self._lengths: list[FloatArray] = []  # (_BLOCK,)
        self._size = 0

    def add(self, alphas: Sequence[Alpha]) -> None:
        """Remember formulas, whatever they are like."""
        levels = self._levels(alphas)
        self._keep(levels, lengths(levels))

    def new_among(self, alphas: Sequence[Alpha], wanted: int) -> tuple[list[int], list[int]]:
        """Choose from formulas, in their order.

        Returns:
            Places of the first `wanted` that are near-copies of nothing, which are remembered; and of the near-copies
            that stand before the last of them.
        """
        kept: list[int] = []
        copies: list[int] = []
        at = 0
        while at < len(alphas) and len(kept) < wanted:
            some = alphas[at : at + self._piece(wanted - len(kept))]
            for i, is_copy in enumerate(self._look(some, wanted - len(kept)), start=at):
                (copies if is_copy else kept).append(i)
            at += len(some)
        return kept, copies

    def _piece(self, wanted: int) -> int:
        """How many formulas to look at for so many that are wanted. Data that are read in parts are read once."""
        return max(_LEAST, wanted * 3 // 2) if isinstance(self.market.panel, Panel) else sys.maxsize

    def _look(self, alphas: Sequence[Alpha], wanted: int) -> list[bool]:
        """Whether each is a near-copy, up to the last of those wanted that are not, which are remembered."""
        levels = self._levels(alphas)
        own = lengths(levels)
        known = self._like_known(levels, own)
        alike = self._alike(levels, own, levels, own)
        kept: list[int] = []
        found: list[bool] = []
        for i in range(len(levels)):
            if len(kept) == wanted:
                break
            found.append(bool(known[i] or alike[i, kept].any()))
            if not found[-1]:
                kept.append(i)
        self._keep(levels[kept], own[kept])
        return found

    def _levels(self, alphas: Sequence[Alpha]) -> Levels:
        """(n, cells) ranks in 8 bits, as of `measure.levels`."""
        out = np.zeros((len(alphas), len(self.rows) * self.market.panel.shape[1]), dtype=np.int8)
        for own, shares in zip(out, self.market.ranks_nearby(alphas, self.rows), strict=True):
            there = np.isfinite(shares)
            count = np.maximum(there.sum(axis=1, keepdims=True), 1)
            own[:] = np.rint(63.0 * np.where(there, 2.0 * shares - 1.0 - 1.0 / count, 0.0)).astype(np.int8).ravel()
        return out

    def _like_known(self, levels: Levels, own: FloatArray) -> BoolArray:
        """(n,) whether some known formula is a near-copy of each."""
        found = np.zeros(len(levels), dtype=np.bool_)
        for at, (block, sizes) in enumerate(zip(self._blocks, self._lengths, strict=True)):
            left, count = np.flatnonzero(~found), self._size - at * _BLOCK
            found[left] = self._alike(levels[left], own[left], block[:count], sizes[:count]).any(axis=1)
        return found

    def _alike(self, a: Levels, lengths_of_a: FloatArray, b: Levels, lengths_of_b: FloatArray) -> BoolArray:
        """(n, m) whether each is a near-copy of each. What has no ranks on these dates is like nothing."""
        bar = self.most * np.outer(lengths_of_a, lengths_of_b)
        return np.asarray((np.abs(level_products(a, b)) >= bar) & (bar > 0.0))

    def _keep(self, levels: Levels, sizes: FloatArray) -> None:
        for own, size in zip(levels, sizes, strict=True):
            if not own.any():
                continue
            place = self._size % _BLOCK
            if place == 0:
                self._blocks.append(np.zeros((_BLOCK, len(own)), dtype=np.int8))
                self._lengths.append(np.zeros(_BLOCK))
            self._blocks[-1][place], self._lengths[-1][place] = own, size
            self._size += 1
