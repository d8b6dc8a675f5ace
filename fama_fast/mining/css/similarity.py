"""Correlations of factors looked up by fingerprint, and their mean absolute value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError
from fama_fast.evaluation.rank_correlation import correlations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fama_fast.library.factor import Factor
    from fama_fast.types import FloatArray


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
