"""Rank correlations of factors: the matrix, and an order that puts clusters together.

It knows arrays only.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import numbers, real, shown
from fama_fast.errors import DataError
from fama_fast.evaluation.ranks import rank_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from fama_fast.types import FloatArray, IntArray

_CHUNK = 16_384  # columns at a time: the float64 copy of a chunk stays small


@dataclass(frozen=True)
class CorrelationClusters:
    """Rank correlations of a set of factors, with their clusters.

    Attributes:
        matrix: (M, M), 1 on the diagonal; a factor that is constant or missing has zeros, its diagonal too.
        order: (M,) an order of the factors in which like ones are neighbours.
        cluster: (M,) number of each factor's cluster, from 0 by first appearance in `order`.
    """

    matrix: FloatArray
    order: IntArray
    cluster: IntArray


def rank_correlation_matrix(
    values: Iterable[Any],
    universe: Any = None,
    *,
    rows: Any = None,
    threshold: float = 0.5,
) -> CorrelationClusters:
    """Rank correlations of factors, ordered and clustered.

    Args:
        values: (T, N) each. rows: the dates to use (a sample serves; all by default).
        threshold: |correlation| above which, on average, factors are of one cluster (average linkage).

    Raises:
        DataError: no factor.
    """
    vectors = rank_vectors(values, universe=universe, rows=rows)
    if not len(vectors):
        raise DataError("give at least one factor")
    return clustered(correlations(vectors), threshold=threshold)


_IMPORTING: list[threading.Thread] = []


def import_beside(module: str) -> threading.Thread:
    """Import a module in a thread of its own, which is returned; `one_thread` waits for it.

    Looking for thread pools holds the dynamic linker's lock and asks for the interpreter's; an import of compiled
    modules holds the interpreter's and asks for the linker's. Both at a time would wait for each other for ever.
    """
    thread = threading.Thread(target=importlib.import_module, args=(module,), name=f"import of {module}")
    _IMPORTING.append(thread)
    thread.start()
    return thread


@contextmanager
def one_thread() -> Iterator[None]:
    """Context that holds BLAS and OpenMP to one thread: the order of a sum then does not depend on how many cores there
    are."""
    for importing in tuple(_IMPORTING):
        importing.join()
    with _thread_pools(frozenset(m for m in _WITH_POOLS if m in sys.modules)).limit(limits=1):
        yield


# Modules that bring a thread pool when they are imported. Finding the pools takes milliseconds, so it is done once for
# each set of them.
_WITH_POOLS = ("numpy.linalg", "scipy.linalg", "sklearn.cluster")


@functools.cache
def _thread_pools(_loaded: frozenset[str]) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def correlations(vectors: NDArray[np.floating[Any]]) -> FloatArray:
    """(n, n) inner products of unit vectors, accumulated in float64; the diagonal is exactly 1, or 0 of a
    zero vector.

    Rounded to 12 decimals: far below any decision made with them, and above the last bits in which BLAS
    builds differ.
    """
    kind = getattr(vectors, "dtype", None)
    vectors = numbers(vectors, "vectors", ndim=2, dtype=np.float32 if kind == np.float32 else np.float64)
    n, width = vectors.shape
    gram = np.zeros((n, n))
    with one_thread():
        for start in range(0, width, _CHUNK):
            chunk = vectors[:, start : start + _CHUNK].astype(np.float64)
            gram += chunk @ chunk.T
    return normalised(gram)


def normalised(products: FloatArray) -> FloatArray:
    """`correlations` from the inner products (n, n) of the vectors."""
    lengths = np.sqrt(np.diag(products))
    scale = np.where(lengths > 0, lengths, 1.0)  # float32 vectors are of unit length to 1e-7 only
    out: FloatArray = np.clip(np.round(products / scale[:, None] / scale[None, :], 12) + 0.0, -1.0, 1.0)
    out = (out + out.T) / 2.0
    np.fill_diagonal(out, (lengths > 0).astype(np.float64))
    return out


def clustered(matrix: FloatArray, *, threshold: float = 0.5) -> CorrelationClusters:
    """Hierarchical clusters of a correlation matrix: average linkage on 1 - |correlation|, leaves ordered optimally.

    Source: `scipy.cluster.hierarchy`; optimal leaf order of Bar-Joseph, Gifford and Jaakkola (2001).
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    matrix, threshold = numbers(matrix, "correlations", ndim=2), real(threshold, "threshold", 0.0, 1.0)
    n = matrix.shape[0]
    if matrix.shape[1] != n or not n or not bool(np.isfinite(matrix).all()):
        raise DataError(f"correlations must be a square matrix of numbers, not {shown(matrix)}")
    if n == 1:
        return CorrelationClusters(matrix, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    distance = 1.0 - np.abs(matrix)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform((distance + distance.T) / 2.0, checks=False), "average", optimal_ordering=True)
    order = np.asarray(leaves_list(tree), dtype=np.int64)
    raw = fcluster(tree, 1.0 - threshold, criterion="distance")
    number = {label: i for i, label in enumerate(dict.fromkeys(raw[order].tolist()))}
    return CorrelationClusters(matrix, order, np.array([number[label] for label in raw.tolist()], dtype=np.int64))
