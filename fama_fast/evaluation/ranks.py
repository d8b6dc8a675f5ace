"""Cross-sectional ranks of a factor: centred, oriented, and as one unit vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fama_fast.arguments import frozen
from fama_fast.evaluation.rows import over_rows

if TYPE_CHECKING:
    from fama_fast.types import BoolArray, FloatArray


Ranks = NDArray[np.float32]
"""Centred ranks (T, N), NaN where missing."""

_RANKED_AT_ONCE = 256  # rows that are ranked in one go


def centred_ranks(values: FloatArray, universe: BoolArray | None) -> FloatArray:
    """Ranks of each row (T, N) among its present members, average ties, r/n - (n + 1)/2n; missing stays missing."""
    out = np.full(values.shape, np.nan)
    for start in range(0, len(values), _RANKED_AT_ONCE):
        rows = slice(start, start + _RANKED_AT_ONCE)
        there = np.isfinite(values[rows])
        if universe is not None:
            there &= universe[rows]
        filled = np.where(there, values[rows], np.inf)  # what is missing comes last
        order = np.argsort(filled, axis=1)
        ordered = np.take_along_axis(filled, order, axis=1)
        # Ties get the mean of the places that they take: the first and the last place of each run of equals.
        begins = np.ones(ordered.shape, dtype=np.bool_)
        begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        ends = np.ones(ordered.shape, dtype=np.bool_)
        ends[:, :-1] = begins[:, 1:]
        places = np.arange(1.0, ordered.shape[1] + 1.0)
        first = np.maximum.accumulate(np.where(begins, places, 0.0), axis=1)
        last = np.minimum.accumulate(np.where(ends, places, np.inf)[:, ::-1], axis=1)[:, ::-1]
        ranks = np.empty(ordered.shape)
        np.put_along_axis(ranks, order, (first + last) / 2.0, axis=1)
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        out[rows] = np.where(there, ranks / count - (0.5 + 0.5 / count), np.nan)
    return out


def oriented_ranks(shares: FloatArray, sign: int, threads: int | None = None) -> Ranks:
    """Centred ranks (T, N) of `sign` times the factor whose RANK values (r / n) are given."""
    from fama_fast.backends.numba_vm.stats import centre_ranks

    out = np.empty(shares.shape, dtype=np.float32)
    rows = frozen(np.ascontiguousarray(shares))
    over_rows(lambda a, b: centre_ranks(rows, sign, a, b, out), out.shape, threads)
    return out


def unit_vector(ranks: FloatArray) -> NDArray[np.float32]:
    """Ranks (rows, N), NaN where missing, centred by row, as one vector of length 1 (zeros where nothing varies)."""
    there = np.isfinite(ranks)
    count = np.maximum(there.sum(axis=1), 1)[:, None]
    filled = np.where(there, ranks, 0.0)
    centred = np.where(there, filled - filled.sum(axis=1, keepdims=True) / count, 0.0)
    centred[np.abs(centred) < 1e-12] = 0.0  # one value on a date, or the same everywhere
    flat = centred.ravel()
    length = float(np.sqrt(np.add.reduce(flat * flat)))
    return (flat / length if length > 0.0 else flat).astype(np.float32)
