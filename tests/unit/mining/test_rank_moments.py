"""Sums of products of ranks: what they are, and that neither order nor parts nor late arrivals change a bit."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.evaluation.ranks import centred_ranks, oriented_ranks
from fama_fast.mining.measure.rank_moments import RankMoments, whole_ranks

T, N, STOPS = 40, 31, (0, 13, 29, 40)
NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def ranks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    out = {}
    for name in (*NAMES, "label"):
        values = np.round(rng.normal(size=(T, N)), 1)  # ties
        values[rng.random((T, N)) < 0.2] = np.nan
        values[5] = np.nan
        out[name] = centred_ranks(values, None).astype(np.float32)
    return out


def moments(ranks: dict[str, np.ndarray], steps: list[tuple[str, ...]], cuts: tuple[int, ...]) -> RankMoments:
    """Factors that come step by step, each over the dates in parts that end at `cuts`."""
    known = np.isfinite(ranks["label"])
    out = RankMoments(STOPS)
    for names in steps:
        new = out.begin(names)
        for start, stop in zip((0, *cuts[:-1]), cuts, strict=True):
            part = slice(start, stop)
            whole = {n: whole_ranks(ranks[n][part], known[part]) for n in out.names}
            out.add(start, new, whole, whole_ranks(ranks["label"][part]))
    return out


def test_whole_ranks_are_whole_and_give_the_ranks_back(ranks: dict[str, np.ndarray]) -> None:
    x = ranks["a"]
    whole, scale = whole_ranks(x)
    there = np.isfinite(x)
    np.testing.assert_array_equal(whole, np.rint(whole))
    np.testing.assert_allclose((whole * scale[:, None])[there], x[there], atol=1e-6)
    assert (whole[~there] == 0.0).all()
    np.testing.assert_array_equal(whole_ranks(-x)[0], -whole)
    np.testing.assert_array_equal(whole.sum(axis=1), 0.0)  # centred, whatever is missing
    masked, same = whole_ranks(x, known=np.broadcast_to(np.arange(N) < 10, x.shape))
    np.testing.assert_array_equal(same, scale)  # masked cells count in n
    np.testing.assert_array_equal(masked[:, :10], whole[:, :10])
    assert (masked[:, 10:] == 0.0).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("threads", [1, 3])
def test_ranks_are_centred_and_turned(sign: int, threads: int) -> None:
    """From r / n of what is present: large enough for several threads, with empty, single and constant rows."""
    values = np.random.default_rng(1).normal(size=(300, 400))
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    values[0], values[1, 1:], values[2] = np.nan, np.nan, 7.0
    want = centred_ranks(values, None)
    there = np.isfinite(values)
    n = np.maximum(there.sum(axis=1, keepdims=True), 1)
    found = oriented_ranks(np.where(there, want + 0.5 + 0.5 / n, np.nan), sign, threads)
    np.testing.assert_allclose(found, sign * want, atol=1e-7)
    whole, scale = whole_ranks(found, there, threads)
    np.testing.assert_array_equal(whole, np.where(there, np.rint(sign * want * 2 * n), 0))
    np.testing.assert_array_equal(scale, 1 / (2 * n[:, 0]))


def test_they_are_the_sums_of_products(ranks: dict[str, np.ndarray]) -> None:
    known = np.isfinite(ranks["label"])
    found = moments(ranks, [NAMES], (T,))
    filled = {n: np.where(known & np.isfinite(r), r, 0.0).astype(np.float64) for n, r in ranks.items()}
    for stop in STOPS:
        pairs, label = found.until(stop, ("c", "a"))
        assert pairs[0, 1] == pairs[1, 0] == pytest.approx(float((filled["a"] * filled["c"])[:stop].sum()), abs=1e-5)
        assert pairs[1, 1] == pytest.approx(float((filled["a"] ** 2)[:stop].sum()), abs=1e-5)
        assert label[1] == pytest.approx(float((filled["a"] * filled["label"])[:stop].sum()), abs=1e-5)
    with pytest.raises(ValueError, match="14 is not in list"):
        found.until(14, NAMES)


@pytest.mark.parametrize("cuts", [(T,), (1, 2, 17, T), (13, 30, T)])
@pytest.mark.parametrize("steps", [[NAMES], [("a",), ("a", "b"), ("b", "c", "d")], [("d", "c"), ("b", "a")]])
def test_no_order_and_no_cut_changes_a_bit(
    ranks: dict[str, np.ndarray], steps: list[tuple[str, ...]], cuts: tuple[int, ...]
) -> None:
    want, found = moments(ranks, [NAMES], (T,)), moments(ranks, steps, cuts)
    for stop in STOPS:
        for ours, theirs in zip(found.until(stop, NAMES), want.until(stop, NAMES), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_forgotten_is_made_anew(ranks: dict[str, np.ndarray]) -> None:
    found = moments(ranks, [NAMES], (T,))
    found.forget(("a", "c"))
    assert found.names == ("a", "c")
    assert found.begin(("c", "d")) == ["d"]
    known = np.isfinite(ranks["label"])
    whole = {n: whole_ranks(ranks[n], known) for n in found.names}
    found.add(0, ["d"], whole, whole_ranks(ranks["label"]))
    for ours, theirs in zip(
        found.until(T, ("d", "a")), moments(ranks, [NAMES], (T,)).until(T, ("d", "a")), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("symbols", [1500, 33_000, 50_000])
def test_sums_are_exact_whatever_the_number_of_symbols(symbols: int) -> None:
    """Ranks of 16 bits and of 32, sums of one piece and of many, products that do not fit 32 bits."""
    up = (2 * np.arange(1, symbols + 1) - symbols - 1)[None, :]
    ranks = (up / (2 * symbols)).astype(np.float32)
    whole = {"up": whole_ranks(ranks), "down": whole_ranks(-ranks)}
    np.testing.assert_array_equal(whole["up"][0], up)
    found = RankMoments((1,))
    found.begin(["up", "down"])
    found.add(0, ["up", "down"], whole, whole["up"])
    pairs, label = found.until(1, ["up", "down"])
    want = sum(v * v for v in up[0].tolist()) * (1.0 / (2 * symbols)) ** 2
    np.testing.assert_array_equal(pairs, [[want, -want], [-want, want]])
    np.testing.assert_array_equal(label, [want, -want])
