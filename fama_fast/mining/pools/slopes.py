"""Ridge slopes of candidates on a pool that grows: one Cholesky factor to which new rows are appended.

Rows are appended for good in blocks of a fixed size, so that the bits do not depend on how many formulas came at a
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fama_fast.evaluation.rank_correlation import one_thread

if TYPE_CHECKING:
    from fama_fast.mining.pools.correlations import GrowingCorrelations
    from fama_fast.types import FloatArray

_BLOCK = 64


class RidgeSlopes:
    """(R + a I)^-1 r for a pool's correlations R.

    Args:
        correlations: the pool's. penalty: a.
    """

    def __init__(self, correlations: GrowingCorrelations, penalty: float) -> None:
        self.correlations, self.penalty = correlations, penalty
        self._rows: list[FloatArray] = []  # of L: block b is (_BLOCK, (b + 1) _BLOCK)

    def of(self, across: FloatArray) -> FloatArray:
        """(n, K) slopes of candidates whose correlations with the pool's formulas are (n, K)."""
        from scipy.linalg import solve_triangular

        size = self.correlations.size
        with one_thread():
            while (len(self._rows) + 1) * _BLOCK <= size:
                self._rows.append(self._row(self._rows, len(self._rows) * _BLOCK, _BLOCK))
            rows, done = list(self._rows), len(self._rows) * _BLOCK
            if done < size:
                rows.append(self._row(rows, done, size - done))
            solved = across.T.copy()
            for b, row in enumerate(rows):
                own = slice(b * _BLOCK, row.shape[1])
                rest = solved[own] - row[:, : own.start] @ solved[: own.start]
                solved[own] = solve_triangular(row[:, own], rest, lower=True, check_finite=False)
            for b in range(len(rows) - 1, -1, -1):
                own = slice(b * _BLOCK, rows[b].shape[1])
                solved[own] = solve_triangular(rows[b][:, own], solved[own], lower=True, trans=1, check_finite=False)
                solved[: own.start] -= rows[b][:, : own.start].T @ solved[own]
        return solved.T

    def _row(self, rows: list[FloatArray], start: int, count: int) -> FloatArray:
        """(count, start + count) the next rows of the factor."""
        from scipy.linalg import cholesky, solve_triangular

        wanted = self.correlations.rows(slice(start, start + count)).astype(np.float64)
        out = np.zeros((count, start + count))
        for b, row in enumerate(rows):
            own = slice(b * _BLOCK, row.shape[1])
            rest = wanted[:, own] - out[:, : own.start] @ row[:, : own.start].T
            out[:, own] = solve_triangular(row[:, own], rest.T, lower=True, check_finite=False).T
        left = wanted[:, start:] - out[:, :start] @ out[:, :start].T + self.penalty * np.eye(count)
        out[:, start:] = cholesky(left, lower=True, check_finite=False)
        return out
