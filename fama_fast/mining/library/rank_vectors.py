"""Unit rank vectors of the library, of chains and of a round's candidates, with the correlation of every pair.

Gates, Cross-Sample Selection and chains all ask how alike two factors are; here each pair is multiplied once, when the
later of the two comes. Products do not depend on what else came at the time (`stats.inner_products`), so a resumed run
is bit-identical to one that was never stopped.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.evaluation.rank_correlation import normalised
from fama_fast.evaluation.rows import over_rows
from fama_fast.mining.css.clusters import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from fama_fast.library.factor import Factor
    from fama_fast.types import FloatArray, IntArray

    Vector = NDArray[np.float32]


class RankVectors:
    """Unit rank vectors by fingerprint, and the correlations of all pairs."""

    def __init__(self, vectors: Mapping[str, Vector] | None = None) -> None:
        self._vectors: dict[str, Vector] = {}
        self._place: dict[str, int] = {}
        self._products = np.zeros((0, 0))
        self._digests: dict[str, bytes] = {}
        self.add(vectors or {})

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._vectors

    def __getitem__(self, fingerprint: str) -> Vector:
        return self._vectors[fingerprint]

    def add(self, vectors: Mapping[str, Vector], threads: int | None = None) -> None:
        """Add the vectors that are not there yet."""
        from fama_fast.backends.numba_vm.stats import inner_products

        new = {name: np.ascontiguousarray(v) for name, v in vectors.items() if name not in self._vectors}
        if not new:
            return
        known = len(self._vectors)
        self._vectors |= new
        self._place |= {name: known + i for i, name in enumerate(new)}
        rows, everyone = np.stack(list(new.values())), list(self._vectors.values())
        products = np.zeros((len(everyone), len(new)))

        def multiply(first: int, last: int) -> None:
            for i in range(first, last):
                inner_products(rows, everyone[i], products[i])

        over_rows(multiply, (len(everyone), rows.size), threads)
        self._products = np.pad(self._products, (0, len(new)))
        self._products[:, known:] = products
        self._products[known:] = products.T
        self.__dict__.pop("matrix", None)

    def forget(self, gone: Collection[str]) -> None:
        """Remove the vectors of these factors."""
        if not gone:
            return
        places = [place for name, place in self._place.items() if name not in gone]
        for name in gone:
            del self._vectors[name]
            self._digests.pop(name, None)
        self._place = {name: i for i, name in enumerate(self._vectors)}
        self._products = self._products[np.ix_(places, places)]
        self.__dict__.pop("matrix", None)

    @functools.cached_property
    def matrix(self) -> FloatArray:
        """(n, n) correlations in the order of arrival: the diagonal is exactly 1, or 0 of a vector without a length."""
        return normalised(self._products)

    def correlations(self, fingerprint: str, others: Sequence[str]) -> FloatArray:
        """Correlation of one with each of some others."""
        row: FloatArray = self.matrix[self._place[fingerprint]][[self._place[o] for o in others]]
        return row

    def table(self, rows: Sequence[str], columns: Sequence[str]) -> FloatArray:
        """(len(rows), len(columns)) correlations of some with others."""
        place = self._place
        return self.matrix[np.ix_([place[r] for r in rows], [place[c] for c in columns])]

    def among(self, factors: Sequence[Factor]) -> FloatArray:
        """(n, n) correlations of these factors."""
        names = [f.fingerprint for f in factors]
        return self.table(names, names)

    def distinct(self, factors: Sequence[Factor]) -> IntArray:
        """(n,) the number of the distinct vector that each factor has, counted by first appearance."""
        numbers: dict[bytes, int] = {}
        places = [numbers.setdefault(self._digest(f.fingerprint), len(numbers)) for f in factors]
        return np.array(places, dtype=np.int64)

    def _digest(self, fingerprint: str) -> bytes:
        if fingerprint not in self._digests:
            self._digests[fingerprint] = digest(self._vectors[fingerprint])
        return self._digests[fingerprint]
