"""Rank vectors and their correlations: what they are, whenever and with whomever a vector comes."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.library import Factor
from fama_fast.mining.css import cluster, cluster_correlations, correlations
from fama_fast.mining.library.rank_vectors import RankVectors

NAMES = ("a", "b", "c", "d", "e", "same as b", "nothing")
WIDTH = 1003  # no multiple of a processor's lanes


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    out = {}
    for name in NAMES:
        values = rng.normal(size=WIDTH)
        values[rng.random(WIDTH) < 0.2] = 0.0
        out[name] = (values / np.linalg.norm(values)).astype(np.float32)
    out["same as b"] = out["b"].copy()
    out["nothing"] = np.zeros(WIDTH, np.float32)
    return out


def factors(*names: str) -> list[Factor]:
    return [Factor(n, n, n) for n in names]


def test_they_are_the_correlations_of_the_vectors(vectors: dict[str, np.ndarray]) -> None:
    held, chosen = RankVectors(vectors), factors("d", "same as b", "a", "nothing", "b")
    want = np.stack([vectors[f.fingerprint] for f in chosen])
    np.testing.assert_allclose(held.among(chosen), correlations(want), atol=2e-12)
    assert held.among(chosen)[1, 4] == 1.0
    np.testing.assert_array_equal(np.diag(held.among(chosen)), [1.0, 1.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(held.distinct(chosen), [0, 1, 2, 3, 1])
    found = held.correlations("c", ["a", "c", "nothing"])
    np.testing.assert_allclose(found, [float(vectors["c"] @ vectors["a"]), 1.0, 0.0], atol=1e-6)
    # A vector without a length is as far from one cluster as from another: rounding decides, so it stays out.
    some = [i for i, f in enumerate(chosen) if f.fingerprint != "nothing"]
    there = [chosen[i] for i in some]
    labels = cluster_correlations(held.among(there), held.distinct(there), 3, 1)
    np.testing.assert_array_equal(labels, cluster(want[some], 3, 1))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "steps", [(("c",), ("a", "b"), ("nothing", "e", "d")), (("e", "d", "c", "b", "a", "nothing"),)]
)
def test_neither_order_nor_company_changes_a_bit(
    vectors: dict[str, np.ndarray], steps: tuple[tuple[str, ...], ...], threads: int
) -> None:
    chosen = factors("a", "b", "c", "d", "e", "nothing")
    held = RankVectors()
    for names in steps:
        held.add({n: vectors[n] for n in names}, threads)
        held.add({n: vectors[n] for n in names})
    assert held.among(chosen).tobytes() == RankVectors(vectors).among(chosen).tobytes()


def test_what_is_forgotten_is_gone_and_can_come_back(vectors: dict[str, np.ndarray]) -> None:
    held = RankVectors(vectors)
    want = held.among(factors("a", "e", "d"))
    held.forget({"b", "e"})
    assert "e" not in held
    assert "d" in held
    np.testing.assert_array_equal(held.among(factors("a", "d")), want[np.ix_([0, 2], [0, 2])])
    held.add({"e": vectors["e"]})
    np.testing.assert_array_equal(held.among(factors("a", "e", "d")), want)
    np.testing.assert_array_equal(held["e"], vectors["e"])
    held.forget(())
    with pytest.raises(KeyError):
        held.correlations("b", ["a"])
