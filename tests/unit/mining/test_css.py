"""Cross-Sample Selection: rank vectors, clusters, exemplars."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fama_fast.errors import ConfigError, DataError
from fama_fast.library.factor import Factor
from fama_fast.mining.css import (
    CorrelationTable,
    cluster,
    correlations,
    mean_absolute_correlation,
    rank_vectors,
    sample_rows,
    select_exemplars,
)
from tests.support.paths import ROOT

CELLS = st.one_of(st.just(float("nan")), st.integers(-4, 4).map(float), st.floats(-1e6, 1e6))
MATRICES = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=CELLS)


def factors(count: int) -> list[Factor]:
    return [Factor(f"F{i}", f"F{i}", f"{i:032x}") for i in range(count)]


def planted(groups: int = 5, each: int = 8, noise: float = 0.4, seed: int = 0) -> list[np.ndarray]:
    """Factors in known clusters: each is its group's series plus noise of its own."""
    rng = np.random.default_rng(seed)
    bases = rng.normal(size=(groups, 12, 60))
    return [bases[g] + noise * rng.normal(size=(12, 60)) for g in range(groups) for _ in range(each)]


def naive_vector(matrix: np.ndarray, members: np.ndarray, sign: int) -> np.ndarray:
    """The definition, cell by cell."""
    out = np.zeros(matrix.shape)
    for t in range(matrix.shape[0]):
        present = [i for i in range(matrix.shape[1]) if members[t, i] and np.isfinite(matrix[t, i])]
        for i in present:
            below = sum(matrix[t, j] < matrix[t, i] for j in present)
            equal = sum(matrix[t, j] == matrix[t, i] for j in present)
            out[t, i] = (below + (equal + 1) / 2) / len(present)
        if present:
            out[t, present] -= out[t, present].mean()
    out = np.where(np.abs(out) < 1e-12, 0.0, out).ravel() * sign
    length = np.sqrt((out**2).sum())
    return out / length if length > 0 else out


@settings(max_examples=60, deadline=None)
@given(matrix=MATRICES, data=st.data())
def test_rank_vector_is_its_definition(matrix: np.ndarray, data: st.DataObject) -> None:
    members = data.draw(hnp.arrays(np.bool_, matrix.shape))
    sign = data.draw(st.sampled_from([1, -1]))
    got = rank_vectors([matrix], universe=members, signs=[sign], dtype=np.float64)
    np.testing.assert_allclose(got[0], naive_vector(matrix, members, sign), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(matrix=MATRICES)
def test_a_factor_and_its_negative_with_opposite_signs_are_the_same_vector(matrix: np.ndarray) -> None:
    got = rank_vectors([matrix, -matrix], signs=[1, -1])
    assert np.array_equal(got[0], got[1])


def test_a_monotone_change_of_scale_keeps_the_vector() -> None:
    x = np.random.default_rng(0).normal(size=(6, 30))
    got = rank_vectors([x, np.exp(3 * x), 5 + 0.01 * x])
    assert np.array_equal(got[0], got[1])
    assert np.array_equal(got[0], got[2])


def test_rank_vectors_of_sampled_rows_only_see_those_rows() -> None:
    x = np.random.default_rng(0).normal(size=(20, 30))
    y = x.copy()
    y[10:] = np.nan
    rows = sample_rows(slice(2, 10), 5, seed=3)
    assert np.array_equal(rank_vectors([x], rows=rows), rank_vectors([y], rows=rows))
    assert rank_vectors([x], rows=rows).shape == (1, 5 * 30)


def test_constant_missing_and_non_member_factors_have_the_zero_vector() -> None:
    nothing = np.full((3, 4), np.nan)
    got = rank_vectors([np.ones((3, 4)), nothing, np.full((3, 4), np.inf)])
    assert not got.any()
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert not rank_vectors([x], universe=np.zeros((3, 4), dtype=bool)).any()


def test_rank_vectors_take_a_generator_and_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert np.array_equal(rank_vectors(v for v in [x, x]), rank_vectors([x, x]))
    assert rank_vectors([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signs": [1]}, "1 signs for"),
        ({"signs": [1, 2]}, "must be 1 or -1"),
        ({"signs": [1, 1, 1]}, "3 signs for 2"),
        ({"rows": [0, 3]}, r"rows must lie in 0\.\.2"),
        ({"rows": [0.5]}, "row numbers"),
        ({"universe": np.ones((2, 4), dtype=bool)}, "the universe has shape"),
    ],
)
def test_wrong_arguments_of_rank_vectors_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank_vectors([np.zeros((3, 4)), np.zeros((3, 4))], **options)  # type: ignore[arg-type]


def test_values_of_different_shapes_are_an_error() -> None:
    with pytest.raises(DataError, match="values 1 have shape"):
        rank_vectors([np.zeros((3, 4)), np.zeros((3, 5))])


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 50), length=st.integers(1, 200), count=st.integers(1, 80), seed=st.integers(0, 99))
def test_the_sample_of_dates_is_fixed_sorted_and_inside(start: int, length: int, count: int, seed: int) -> None:
    window = slice(start, start + length)
    rows = sample_rows(window, count, seed)
    assert len(rows) == min(count, length)
    assert np.all(np.diff(rows) > 0)
    assert rows[0] >= start
    assert rows[-1] < start + length
    assert np.array_equal(rows, sample_rows(window, count, seed))
    assert np.array_equal(rows, sample_rows(np.arange(start, start + length), count, seed))


@pytest.mark.parametrize("rows", [slice(3, 3), slice(0, None), slice(-5, 5), 0])
def test_an_empty_or_open_window_is_an_error(rows: slice | int) -> None:
    with pytest.raises(DataError):
        sample_rows(rows)


def test_known_clusters_are_found() -> None:
    vectors = rank_vectors(planted())
    labels = cluster(vectors, k=5, seed=1)
    assert labels.tolist() == [g for g in range(5) for _ in range(8)]


def test_clusters_equal_those_of_plain_k_means_over_the_long_vectors() -> None:
    from sklearn.cluster import KMeans

    vectors = rank_vectors(planted(noise=0.3))
    ours = cluster(vectors, k=5, seed=0)
    theirs = KMeans(5, n_init=10, random_state=0).fit(vectors).labels_
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == 5


def test_fewer_factors_than_clusters_give_one_cluster_each() -> None:
    vectors = rank_vectors(planted(groups=3, each=1))
    assert cluster(vectors, k=7).tolist() == [0, 1, 2]
    assert cluster(vectors[:0], k=7).tolist() == []


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_duplicates_and_zero_vectors_share_a_cluster_without_warnings(k: int) -> None:
    a, b, c = planted(groups=3, each=1)
    zero = np.zeros_like(a)
    vectors = rank_vectors([a, a, b, zero, 2 * b, zero, c, a + 1])
    labels = cluster(vectors, k=k)
    assert labels[0] == labels[1] == labels[7]
    assert labels[2] == labels[4]
    assert labels[3] == labels[5]
    assert len(set(labels.tolist())) == min(k, 4)


def test_k_below_one_is_an_error() -> None:
    with pytest.raises(ConfigError, match="k must be at least 1"):
        cluster(rank_vectors(planted(groups=2, each=1)), k=0)


def test_correlations_are_symmetric_bounded_and_exact_on_the_diagonal() -> None:
    values = planted(groups=2, each=3)
    matrix = correlations(rank_vectors([*values, -values[0], np.zeros_like(values[0])]))
    assert np.array_equal(matrix, matrix.T)
    assert np.abs(matrix).max() == 1.0
    assert np.diag(matrix).tolist() == [1.0] * 7 + [0.0]
    assert matrix[0, 6] == pytest.approx(-1.0, abs=1e-12)
    assert not matrix[7].any()


def test_correlation_is_the_pooled_spearman_without_missing_values() -> None:
    from scipy.stats import spearmanr

    x, y = np.random.default_rng(5).normal(size=(2, 1, 50))
    y = y + x
    assert correlations(rank_vectors([x, y]))[0, 1] == pytest.approx(spearmanr(x[0], y[0]).statistic, abs=1e-6)


@pytest.mark.parametrize("draw", ["random", "centroid"])
def test_exemplars_come_from_distinct_clusters_and_are_diverse(draw: str) -> None:
    vectors = rank_vectors(planted())
    pool = factors(len(vectors))
    matrix = correlations(vectors)
    for seed in range(5):
        got = select_exemplars(vectors, pool, k=5, l=4, draw=draw, rng=seed)  # type: ignore[arg-type]
        assert len({got.labels[i] for i in got.indices}) == 4
        assert got.exemplars == tuple(pool[i] for i in got.indices)
        assert sorted(i for members in got.clusters for i in members) == list(range(len(pool)))
        rng = np.random.default_rng(seed)
        at_random = [mean_absolute_correlation(matrix, rng.choice(40, 4, replace=False)) for _ in range(200)]
        assert got.exemplar_correlation < np.mean(at_random)
        assert got.exemplar_correlation < got.library_correlation


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 12),
    k=st.integers(1, 8),
    l=st.one_of(st.none(), st.integers(1, 8)),
    draw=st.sampled_from(["random", "centroid"]),
    seed=st.integers(0, 2**40),
)
def test_selection_is_deterministic_under_a_seed(
    count: int,
    k: int,
    l: int | None,  # noqa: E741
    draw: str,
    seed: int,
) -> None:
    vectors = rank_vectors(np.random.default_rng(count).normal(size=(count, 3, 20)))
    options = {"k": k, "l": l, "draw": draw}
    a = select_exemplars(vectors, factors(count), rng=seed, **options)  # type: ignore[arg-type]
    b = select_exemplars(vectors, factors(count), rng=seed, **options)  # type: ignore[arg-type]
    assert a.indices == b.indices
    assert np.array_equal(a.labels, b.labels)
    assert len(a.clusters) == min(k, count)
    assert len(a.indices) == min(len(a.clusters), l or k)
    assert len({a.labels[i] for i in a.indices}) == len(a.indices)


def test_random_draws_differ_between_seeds_and_the_centroid_is_the_member_nearest() -> None:
    vectors = rank_vectors(planted())
    pool = factors(40)
    drawn = {frozenset(select_exemplars(vectors, pool, k=5, rng=s).indices) for s in range(10)}
    assert len(drawn) > 1
    got = select_exemplars(vectors, pool, k=5, draw="centroid", rng=0)
    for index in got.indices:
        members = list(got.clusters[got.labels[index]])
        distance = np.linalg.norm(vectors[members] - vectors[members].mean(axis=0), axis=1)
        assert index == members[int(np.argmin(distance))]


def test_factors_that_order_nothing_are_drawn_last() -> None:
    a, b = planted(groups=2, each=1)
    vectors = rank_vectors([np.zeros_like(a), a, np.zeros_like(a), b])
    for seed in range(10):
        assert set(select_exemplars(vectors, factors(4), k=3, l=2, rng=seed).indices) == {1, 3}
    nothing = select_exemplars(vectors[:1], factors(1), rng=0)
    assert nothing.indices == (0,)
    assert math.isnan(nothing.exemplar_correlation)
    assert nothing.as_dict()["exemplar_correlation"] is None


def test_an_empty_library_has_no_exemplars() -> None:
    got = select_exemplars(rank_vectors([]), [], rng=0)
    assert got.exemplars == ()
    assert got.clusters == ()


def test_wrong_options_of_a_selection_are_named() -> None:
    vectors, pool = rank_vectors(planted(groups=2, each=1)), factors(2)
    with pytest.raises(ConfigError, match="did you mean centroid"):
        select_exemplars(vectors, pool, draw="centre")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="l must be at least 1"):
        select_exemplars(vectors, pool, l=0)
    with pytest.raises(DataError, match="2 rank vectors for 1"):
        select_exemplars(vectors, pool[:1])


def test_the_correlation_table_answers_by_factor() -> None:
    pool = factors(3)
    values = planted(groups=3, each=1)
    table = CorrelationTable.of(pool, rank_vectors(values))
    assert table(pool[0], pool[1]) == table(pool[1], pool[0]) == table.matrix[0, 1]
    with pytest.raises(DataError, match="F9"):
        table(pool[0], Factor("F9", "F9", "9"))


SCRIPT = """
import hashlib, numpy as np
from fama_fast.mining.css import rank_vectors, correlations, cluster
rng = np.random.default_rng(0)
vectors = rank_vectors(rng.normal(size=(25, 30, 300)) + rng.normal(size=(5, 30, 300)).repeat(5, axis=0))
h = hashlib.sha256(vectors.tobytes() + correlations(vectors).tobytes() + cluster(vectors, 4, 3).tobytes())
print(h.hexdigest())
"""


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    root = ROOT
    seen = set()
    for threads in ("1", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
        )
        seen.add(done.stdout.strip())
    assert len(seen) == 1
