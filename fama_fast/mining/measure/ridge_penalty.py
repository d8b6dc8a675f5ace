"""Chooses a ridge pool's penalty by walking forward over rows whose labels are known.

The training rows are cut into blocks; each but the first is forecast by what was known before it, for every penalty,
and so is every further stretch of rows. What counts is w'b / sqrt(w'A w), for sums A of products of ranks with ranks
and b of ranks with the label over the block: the correlation that the forecast has there, but for a scale that no
penalty changes. So the choice needs sums alone, no second pass over the values (docs/decisions/041-short-list.md).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.types import FloatArray

    Sums = tuple[FloatArray, FloatArray]  # (K, K) ranks with ranks, (K,) ranks with the label

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)  # the strongest first: it wins a tie
BLOCKS = 5  # of the training rows; the first of them only teaches
_LEAST = 2  # rows of a block


@dataclass(frozen=True)
class Block:
    """Rows [start, stop) that are forecast by what the rows before `known` taught."""

    known: int
    start: int
    stop: int


def blocks_of(train: slice, further: Sequence[slice], reach: int) -> list[Block]:
    """The blocks to walk over, in order; none where there are too few rows.

    Args:
        train: rows that are cut. further: stretches after them that are taken whole. reach: rows that a label looks
            ahead, which teach nothing about the block after them.
    """
    edges = np.linspace(train.start, train.stop, BLOCKS + 1).astype(int).tolist()
    stretches = [*itertools.pairwise(edges[1:]), *((s.start, s.stop) for s in further)]
    blocks = [Block(start - reach, start, stop) for start, stop in stretches if stop - start >= _LEAST]
    return [block for block in blocks if block.known - train.start >= _LEAST]


def ridge_weights(gram: FloatArray, cross: FloatArray, penalty: float) -> FloatArray:
    """(k,) weights that minimise |y - X w|^2 + a |w|^2 for X'X = `gram` and X'y = `cross`; callers hold BLAS to one
    thread.

    The penalty a is `penalty` times the mean of the diagonal of X'X, so that it does not depend on the data's size.
    Zeros where nothing is known of any factor.
    """
    scale = _mean_square(gram)
    if not scale > 0.0:
        return np.zeros(len(gram))
    return np.asarray(np.linalg.solve(gram + penalty * scale * np.eye(len(gram)), cross), dtype=np.float64)


def walked_penalty(blocks: Sequence[Block], until: Callable[[int], Sums], between: Callable[[int, int], Sums]) -> float:
    """The penalty of `PENALTIES` with the best mean over the blocks; the strongest where there is none to tell.

    Args:
        until: sums over the rows before one. between: sums over the rows [start, stop).
    """
    found: list[list[float]] = []
    for block in blocks:
        own_gram, own_cross = between(block.start, block.stop)
        gram, cross = until(block.known)
        scale = _mean_square(own_gram)
        if not scale > 0.0 or not _mean_square(gram) > 0.0:
            continue
        worth = []
        for penalty in PENALTIES:
            weights = ridge_weights(gram, cross, penalty)
            variance = float(weights @ own_gram @ weights)
            worth.append(float(weights @ own_cross) / np.sqrt(variance * scale) if variance > 0.0 else 0.0)
        found.append(worth)
    return PENALTIES[int(np.argmax(np.mean(found, axis=0)))] if found else PENALTIES[0]


def _mean_square(gram: FloatArray) -> float:
    """Mean of the diagonal; 0 of none."""
    return float(np.trace(gram)) / max(1, len(gram))
