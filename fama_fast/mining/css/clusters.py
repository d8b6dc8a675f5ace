"""k-means over rank vectors, the same on every run.

Rank vectors are long (dates x symbols) and few, so the factors are first laid out in at most n dimensions
with exactly the same distances (from their Gram matrix); k-means depends on distances alone, so the clusters
are those of the long vectors at a small part of the cost.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import ConfigError
from fama_fast.evaluation.rank_correlation import correlations, one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fama_fast.types import FloatArray, IntArray

STARTS = 10  # k-means restarts; the tightest clustering is kept


def cluster(vectors: NDArray[np.floating[Any]], k: int = 7, seed: int = 0) -> IntArray:
    """Cluster labels (n,) of n rank vectors, numbered by first appearance.

    `k` clusters, or as many as there are different vectors if those are fewer: equal vectors, and all zero
    vectors, always share a label.

    Raises:
        ConfigError: k is below 1.
    """
    return cluster_correlations(correlations(vectors), distinct(vectors), k, seed)


def cluster_correlations(matrix: FloatArray, which: IntArray, k: int = 7, seed: int = 0) -> IntArray:
    """As `cluster`, for callers that have `correlations(vectors)` and `distinct(vectors)` already."""
    if k < 1:
        raise ConfigError(f"the number of clusters k must be at least 1, not {k}")
    if not len(which):
        return np.empty(0, dtype=np.int64)
    _, first = np.unique(which, return_index=True)
    if len(first) <= k:
        return which
    points = _coordinates(matrix[np.ix_(first, first)])
    weights = np.bincount(which).astype(np.float64)
    return _by_first_appearance(_k_means(points, weights, k, seed)[which])


def distinct(vectors: NDArray[np.floating[Any]]) -> IntArray:
    """(n,) the number of the distinct vector that each one equals, counted by first appearance.

    Factors that are monotone in each other (x and RANK(x)) have the same vector to the bit.
    """
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(digest(v), len(numbers)) for v in vectors], dtype=np.int64)


def digest(vector: NDArray[np.floating[Any]]) -> bytes:
    """Hash of a vector; equal vectors have equal hashes."""
    # Adding 0 turns -0 into 0, which is the same rank.
    return hashlib.blake2b((vector + 0.0).data, digest_size=16).digest()


def _coordinates(gram: FloatArray) -> FloatArray:
    """Points whose inner products are `gram`: (n, rank)."""
    with one_thread():
        eigenvalues, eigenvectors = np.linalg.eigh(gram)
    significant = eigenvalues > len(gram) * np.finfo(np.float64).eps * max(float(eigenvalues[-1]), 1e-300)
    points: FloatArray = eigenvectors[:, significant] * np.sqrt(eigenvalues[significant])
    return points


def _k_means(points: FloatArray, weights: FloatArray, k: int, seed: int) -> IntArray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(n_clusters=k, n_init=STARTS, random_state=seed % 2**32, algorithm="lloyd")
    with one_thread(), warnings.catch_warnings():
        # Near-duplicates may leave fewer than k clusters: that is an answer, not a problem.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.ascontiguousarray(points), sample_weight=weights)
    return np.asarray(model.labels_, dtype=np.int64)


def _by_first_appearance(labels: IntArray) -> IntArray:
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[which.ravel()].astype(np.int64)
