"""Drawing exemplars: one factor from each cluster, `l` of them.

Cross-Sample Selection shows a proposer factors that differ, so that what it writes is not one more variant of
the library's most crowded idea. How diverse they are is reported with them: it is the point of the method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fama_fast.errors import ConfigError, DataError, nearest_name
from fama_fast.evaluation.rank_correlation import correlations
from fama_fast.mining.css.clusters import cluster_correlations, distinct
from fama_fast.mining.css.similarity import CorrelationTable, mean_absolute_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fama_fast.library.factor import Factor
    from fama_fast.types import FloatArray, IntArray

Draw = Literal["random", "centroid"]
DRAWS: tuple[Draw, ...] = ("random", "centroid")


@dataclass(frozen=True)
class Selection:
    """The exemplars that were drawn, the clusters that they came from, and the diversity of both.

    Attributes:
        indices: positions of the exemplars, in the order drawn. exemplars: the factors themselves.
        labels: (n,) cluster of every factor. clusters: positions of the members of each cluster.
        table: correlations of all factors (rank vectors).
        exemplar_correlation: mean |correlation| inside the exemplar set; NaN with fewer than two.
        library_correlation: the same over all factors, for comparison.
    """

    indices: tuple[int, ...]
    exemplars: tuple[Factor, ...]
    labels: IntArray
    clusters: tuple[tuple[int, ...], ...]
    table: CorrelationTable
    exemplar_correlation: float
    library_correlation: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a ledger or a report; an unknown correlation is None."""
        return {
            "exemplars": [f.fingerprint for f in self.exemplars],
            "clusters": [[self.table.fingerprints[i] for i in members] for members in self.clusters],
            **self.diversity(),
        }

    def diversity(self) -> dict[str, float | None]:
        """Mean |correlation| inside the exemplar set and over the library; None where there are fewer than two."""
        return {
            "exemplar_correlation": _known(self.exemplar_correlation),
            "library_correlation": _known(self.library_correlation),
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def select_exemplars(
    vectors: NDArray[np.floating[Any]],
    factors: Sequence[Factor],
    *,
    k: int = 7,
    l: int | None = None,  # noqa: E741  (the paper's name)
    draw: Draw = "random",
    rng: np.random.Generator | int = 0,
) -> Selection:
    """Cluster the factors and draw exemplars, each from another cluster.

    Args:
        vectors: (n, d) rank vectors of `factors` (see `rank_vectors`).
        k: clusters (n if fewer). l: exemplars, at most one a cluster; None means one from every cluster.
        draw: a random member (the paper), or the one nearest the cluster's centroid.
        rng: decides k-means' start, which clusters are drawn and who is drawn; an int seeds a fresh one.

    Raises:
        ConfigError: k or l below 1, or an unknown way to draw. DataError: vectors and factors differ in
        number.
    """
    if len(vectors) != len(factors):
        raise DataError(f"there are {len(vectors)} rank vectors for {len(factors)} factors")
    generator = np.random.default_rng(rng)
    _check(draw, l)
    matrix = correlations(vectors)
    labels = cluster_correlations(matrix, distinct(vectors), k, int(generator.integers(2**32)))
    return select_from_clusters(matrix, labels, factors, l=l, draw=draw, rng=generator)


def _check(draw: str, l: int | None) -> None:  # noqa: E741  (the paper's name)
    if draw not in DRAWS:
        near = nearest_name(str(draw), DRAWS)
        hint = f", did you mean {near}?" if near else ""
        raise ConfigError(f"exemplars are drawn by {' or '.join(DRAWS)}, not {draw!r}{hint}")
    if l is not None and l < 1:
        raise ConfigError(f"the number of exemplars l must be at least 1, not {l}")


def select_from_clusters(
    matrix: FloatArray,
    labels: IntArray,
    factors: Sequence[Factor],
    *,
    l: int | None = None,  # noqa: E741  (the paper's name)
    draw: Draw = "random",
    rng: np.random.Generator | int = 0,
) -> Selection:
    """Draw exemplars from clusters that are known.

    Args:
        matrix: (n, n) correlations of the factors. labels: (n,) their clusters, see `cluster_correlations`.
        l, draw, rng: as for `select_exemplars`; the same errors.
    """
    _check(draw, l)
    generator = np.random.default_rng(rng)
    count = int(labels.max()) + 1 if len(labels) else 0
    clusters = tuple(tuple(int(i) for i in np.flatnonzero(labels == c)) for c in range(count))
    indices = tuple(
        _draw_one(clusters[c], matrix, draw, generator) for c in _cluster_order(clusters, matrix, generator)[:l]
    )
    return Selection(
        indices=indices,
        exemplars=tuple(factors[i] for i in indices),
        labels=labels,
        clusters=clusters,
        table=CorrelationTable(tuple(f.fingerprint for f in factors), matrix),
        exemplar_correlation=mean_absolute_correlation(matrix, indices),
        library_correlation=mean_absolute_correlation(matrix),
    )


def _informative(members: Sequence[int], matrix: FloatArray) -> list[int]:
    return [i for i in members if matrix[i, i] > 0]


def _cluster_order(
    clusters: tuple[tuple[int, ...], ...], matrix: FloatArray, generator: np.random.Generator
) -> list[int]:
    """A random order of the clusters; one whose factors order nothing (zero vectors) comes last."""
    order = [int(c) for c in generator.permutation(len(clusters))]
    return sorted(order, key=lambda c: not _informative(clusters[c], matrix))


def _draw_one(members: tuple[int, ...], matrix: FloatArray, draw: Draw, generator: np.random.Generator) -> int:
    candidates = _informative(members, matrix) or list(members)
    if draw == "random":
        return candidates[int(generator.integers(len(candidates)))]
    # |x - centroid|^2 = x.x - 2 x.centroid + const, and x.centroid is the mean of x's correlations with the
    # members.
    distance = [matrix[i, i] - 2.0 * float(matrix[i, list(members)].mean()) for i in candidates]
    return candidates[int(np.argmin(distance))]
