"""Correlations between rank vectors, and the table of them that chains ask.

Everything that goes through BLAS is done here, on one thread, so that a run gives the same bits whatever the
machine's thread settings are.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.library.factor import Factor
    from fama_fast.types import FloatArray

_CHUNK = 16_384  # columns at a time: the float64 copy of a chunk stays small


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS and OpenMP on one thread: the order of a sum then does not depend on how many cores there are."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def correlations(vectors: NDArray[np.floating[Any]]) -> FloatArray:
    """(n, n) inner products of unit vectors, accumulated in float64; the diagonal is exactly 1, or 0 of a
    zero vector.

    Rounded to 12 decimals: far below any decision made with them, and above the last bits in which BLAS
    builds differ.
    """
    n, width = vectors.shape
    gram = np.zeros((n, n))
    with one_thread():
        for start in range(0, width, _CHUNK):
            chunk = vectors[:, start : start + _CHUNK].astype(np.float64)
            gram += chunk @ chunk.T
    lengths = np.sqrt(np.diag(gram))
    scale = np.where(lengths > 0, lengths, 1.0)  # float32 vectors are of unit length to 1e-7 only
    gram = np.clip(np.round(gram / scale[:, None] / scale[None, :], 12) + 0.0, -1.0, 1.0)
    gram = (gram + gram.T) / 2.0
    np.fill_diagonal(gram, (lengths > 0).astype(np.float64))
    return gram


def mean_absolute_correlation(matrix: FloatArray, members: Iterable[int] | None = None) -> float:
    """Mean |correlation| over distinct pairs of `members` (all when None); NaN with fewer than two.

    Factors with the zero vector have no correlation with anything and are left out, lest they look diverse.
    """
    chosen = [i for i in (range(len(matrix)) if members is None else members) if matrix[i, i] > 0]
    if len(chosen) < 2:
        return math.nan
    inside = np.abs(matrix[np.ix_(chosen, chosen)])
    return float(inside[np.triu_indices(len(chosen), 1)].mean())


@dataclass(frozen=True)
class CorrelationTable:
    """Correlations by factor: call it with two factors.

    Attributes:
        fingerprints: one a row of `matrix`. matrix: (n, n), symmetric.
    """

    fingerprints: tuple[str, ...]
    matrix: FloatArray
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = len(self.fingerprints)
        if self.matrix.shape != (n, n):
            raise DataError(f"a table of {n} factors needs a ({n}, {n}) matrix, not {self.matrix.shape}")
        object.__setattr__(self, "_index", {f: i for i, f in enumerate(self.fingerprints)})

    @classmethod
    def of(cls, factors: Sequence[Factor], vectors: NDArray[np.floating[Any]]) -> CorrelationTable:
        """The table of these factors, from their rank vectors in the same order."""
        return cls(tuple(f.fingerprint for f in factors), correlations(vectors))

    def __contains__(self, factor: Factor) -> bool:
        return factor.fingerprint in self._index

    def __call__(self, a: Factor, b: Factor) -> float:
        """The correlation of two factors; DataError when one of them is not in the table."""
        for factor in (a, b):
            if factor not in self:
                raise DataError(f"the correlations of {factor.expression} are not known here")
        return float(self.matrix[self._index[a.fingerprint], self._index[b.fingerprint]])
