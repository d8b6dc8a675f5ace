"""RankIC, IC, turnover and coverage against scipy and slow definitions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fama_fast.errors import DataError
from fama_fast.evaluation import (
    SortedRows,
    coverage,
    daily,
    daily_by_horizon,
    ic,
    rank_autocorrelation,
    rank_ic,
    rank_turnover,
    score_batch,
    score_values,
)


def oracle(x, y, correlation, universe=None, min_pairs=3):
    out = np.full(x.shape[0], np.nan)
    for t in range(x.shape[0]):
        keep = np.isfinite(x[t]) & np.isfinite(y[t])
        if universe is not None:
            keep &= universe[t]
        a, b = x[t, keep], y[t, keep]
        if a.size >= max(2, min_pairs) and a.min() != a.max() and b.min() != b.max():
            out[t] = correlation(a, b)[0]
    return out


def warty(seed, shape=(60, 25)):
    """Random rows with ties, missing and infinite cells, signed zeros, a constant and an all-missing row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    x[::3] = np.round(x[::3], 1)
    x[rng.random(shape) < 0.15] = np.nan
    x[rng.random(shape) < 0.03] = np.inf
    x[rng.random(shape) < 0.03] = -np.inf
    x[rng.random(shape) < 0.05] = -0.0
    x[rng.random(shape) < 0.05] = 0.0
    x[4] = 1.5
    x[5] = np.nan
    x[6, 2:] = np.nan
    return x


@pytest.mark.parametrize("with_universe", [False, True])
def test_rank_ic_and_ic_equal_scipy_on_warty_rows(with_universe):
    x, y = warty(1), warty(2)
    universe = np.random.default_rng(3).random(x.shape) < 0.7 if with_universe else None
    np.testing.assert_allclose(
        rank_ic(x, y, universe=universe),
        oracle(x, y, scipy_stats.spearmanr, universe),
        rtol=1e-12,
        atol=1e-14,
    )
    np.testing.assert_allclose(
        ic(x, y, universe=universe), oracle(x, y, scipy_stats.pearsonr, universe), rtol=1e-11, atol=1e-13
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(width=64), st.integers(-3, 3).map(float)),
            st.one_of(st.floats(width=64), st.integers(-3, 3).map(float)),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_rank_ic_equals_scipy_on_any_floats(pairs):
    x = np.array([[p[0] for p in pairs]])
    y = np.array([[p[1] for p in pairs]])
    np.testing.assert_allclose(rank_ic(x, y), oracle(x, y, scipy_stats.spearmanr), rtol=1e-12, atol=1e-14)


def test_ic_survives_numbers_whose_squares_overflow_or_vanish():
    x = np.random.default_rng(0).normal(size=(1, 20))
    y = x + 0.5 * np.random.default_rng(1).normal(size=(1, 20))
    expected = ic(x, y)
    for scale in (1e-300, 1e-200, 1e200, 1e300):
        np.testing.assert_allclose(ic(x * scale, y), expected, rtol=1e-12)


def test_ic_of_a_large_level_is_not_lost_in_rounding():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 200)), rng.normal(size=(1, 200))
    np.testing.assert_allclose(ic(x + 1e6, y), ic(x, y), rtol=1e-6)


def test_a_perfect_order_is_exactly_one_and_its_reverse_minus_one():
    x = np.random.default_rng(0).normal(size=(5, 33))
    np.testing.assert_array_equal(rank_ic(x, np.exp(x)), 1.0)
    np.testing.assert_array_equal(rank_ic(x, -np.exp(x)), -1.0)


def test_one_symbol_and_two_pairs_are_missing():
    x = np.arange(6.0)[:, None]
    assert np.isnan(rank_ic(x, x)).all()
    assert np.isnan(ic(x, x)).all()
    assert np.isnan(rank_turnover(np.full((3, 1), np.nan))).all()
    two = np.array([[1.0, 2.0]])
    assert np.isnan(rank_ic(two, two)).all()
    assert rank_ic(two, two, min_pairs=2)[0] == 1.0
    assert np.isnan(rank_ic(two[:, :1], two[:, :1], min_pairs=0)).all()


def test_no_rows_and_no_columns():
    for shape in ((0, 4), (4, 0)):
        empty = np.empty(shape)
        assert rank_ic(empty, empty).shape == (shape[0],)
        assert np.isnan(ic(empty, empty)).all()
        assert rank_turnover(empty).shape == (shape[0],)


def test_results_are_bit_identical_at_any_thread_count():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(400, 150)), rng.normal(size=(400, 150))
    x[rng.random(x.shape) < 0.1] = np.nan
    for function in (rank_ic, ic):
        one = function(x, y, threads=1)
        for threads in (2, 3, 7):
            assert one.tobytes() == function(x, y, threads=threads).tobytes()
    one = rank_turnover(x, threads=1)
    for threads in (2, 3, 7):
        assert one.tobytes() == rank_turnover(x, threads=threads).tobytes()


def test_sorted_labels_give_the_same_and_memory_layout_does_not_matter():
    x, y = warty(1), warty(2)
    expected = rank_ic(x, y)
    np.testing.assert_array_equal(rank_ic(x, SortedRows.of(y)), expected)
    np.testing.assert_array_equal(rank_ic(np.asfortranarray(x), np.asfortranarray(y)), expected)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(rank_ic(frozen, y.astype(object)), expected)
    single = np.round(x.astype(np.float32), 2)
    np.testing.assert_array_equal(rank_ic(single, y), rank_ic(single.astype(np.float64), y))


@pytest.mark.parametrize("members", ["nobody asks", "of the values", "of the labels"])
@pytest.mark.parametrize("columns", [8, 25, 600])
def test_values_sorted_before_or_not_give_the_same_bits(members, columns):
    """The two ways to a RankIC, also where labels were sorted over a universe that the values know nothing of."""
    x, y = warty(9, (40, columns)), warty(10, (40, columns))
    universe = np.random.default_rng(11).random(x.shape) < 0.6
    own = universe if members == "of the values" else None
    labels = SortedRows.of(y, universe if members == "of the labels" else None)
    once = rank_ic(x, labels, universe=own)
    np.testing.assert_array_equal(once, rank_ic(SortedRows.of(x, own), labels))
    everyone = None if members == "nobody asks" else universe
    np.testing.assert_allclose(once, oracle(x, y, scipy_stats.spearmanr, everyone), rtol=1e-12, atol=1e-14)
    assert np.isfinite(once).sum() > 10


def test_wrong_shapes_and_types_are_errors():
    x = np.ones((3, 4))
    with pytest.raises(DataError, match=r"forward returns has shape \(4, 3\)"):
        rank_ic(x, x.T)
    with pytest.raises(DataError, match="universe has shape"):
        rank_ic(x, x, universe=np.ones((3, 5), dtype=bool))
    with pytest.raises(DataError, match="must be a"):
        ic(x[0], x[0])
    with pytest.raises(DataError, match="must be numbers"):
        rank_ic([["a"]], [["b"]])
    with pytest.raises(DataError, match="already sorted"):
        rank_ic(SortedRows.of(x), x, universe=np.ones((3, 4), dtype=bool))


def slow_turnover(x, universe=None):
    inside = np.isfinite(x) if universe is None else np.isfinite(x) & universe
    ranks = np.full(x.shape, np.nan)
    for t in range(x.shape[0]):
        k = inside[t]
        if k.any():
            ranks[t, k] = scipy_stats.rankdata(x[t, k]) / k.sum()
    out = np.full(x.shape[0], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out[1:] = np.nanmean(np.abs(np.diff(ranks, axis=0)), axis=1)
    return out


@pytest.mark.parametrize("with_universe", [False, True])
def test_rank_turnover_equals_its_definition(with_universe):
    x = warty(7)
    universe = np.random.default_rng(3).random(x.shape) < 0.7 if with_universe else None
    np.testing.assert_allclose(rank_turnover(x, universe), slow_turnover(x, universe), rtol=1e-12, atol=1e-15)


def test_turnover_of_a_still_factor_is_zero_and_of_noise_a_third():
    still = np.tile(np.arange(50.0), (10, 1))
    np.testing.assert_array_equal(rank_turnover(still)[1:], 0.0)
    noise = np.random.default_rng(0).normal(size=(300, 200))
    assert np.nanmean(rank_turnover(noise)) == pytest.approx(1 / 3, abs=0.01)


def test_rank_autocorrelation_is_the_rank_correlation_with_the_day_before():
    x = warty(9)
    for lag in (1, 2):
        expected = np.concatenate([np.full(lag, np.nan), oracle(x[lag:], x[:-lag], scipy_stats.spearmanr)])
        np.testing.assert_allclose(rank_autocorrelation(x, lag=lag), expected, rtol=1e-12, atol=1e-14)
    assert np.isnan(rank_autocorrelation(x, lag=100)).all()
    universe = np.random.default_rng(3).random(x.shape) < 0.7
    both = universe[1:] & universe[:-1]
    np.testing.assert_allclose(
        rank_autocorrelation(x, universe)[1:],
        oracle(x[1:], x[:-1], scipy_stats.spearmanr, both),
        rtol=1e-12,
        atol=1e-14,
    )


def test_coverage_counts_members_with_a_finite_value():
    x = np.array([[1.0, np.nan, np.inf, 2.0], [np.nan, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(coverage(x), [0.5, 0.75, 1.0])
    universe = np.array([[True, True, False, False], [True, False, False, False], [False] * 4])
    np.testing.assert_array_equal(coverage(x, universe), [0.5, 0.0, np.nan])


@pytest.mark.parametrize("who", ["everyone", "universe", "present"])
def test_daily_is_the_parts_together(who):
    x, y = warty(1), warty(2)
    mask = np.random.default_rng(3).random(x.shape) < 0.7
    options = {"everyone": {}, "universe": {"universe": mask}, "present": {"present": mask}}[who]
    universe = options.get("universe")
    got = daily(x, y, **options)
    np.testing.assert_array_equal(got.rank_ic, rank_ic(x, y, universe=universe))
    np.testing.assert_array_equal(got.ic, ic(x, y, universe=universe))
    np.testing.assert_array_equal(got.turnover, rank_turnover(x, universe))
    np.testing.assert_array_equal(got.coverage, coverage(x, None if who == "everyone" else mask))


def test_values_outside_the_universe_do_not_matter():
    x, y = warty(1), warty(2)
    universe = np.random.default_rng(3).random(x.shape) < 0.7
    other = np.where(universe, x, 99.0)
    assert daily(x, y, universe).rank_ic.tobytes() == daily(other, y, universe).rank_ic.tobytes()
    assert score_values(x, y, universe=universe) == pytest.approx(
        score_values(np.where(universe, x, np.nan), y, universe=universe), nan_ok=True
    )


def test_a_batch_equals_one_at_a_time_and_rows_are_a_slice():
    x, y1, y2 = warty(1), warty(2), warty(3)
    batch = list(score_batch([x, -x], {1: y1, 5: y2}))
    single = daily_by_horizon(x, {1: y1, 5: y2})
    for h in (1, 5):
        assert batch[0][h].rank_ic.tobytes() == single[h].rank_ic.tobytes()
        np.testing.assert_array_equal(batch[1][h].rank_ic, -batch[0][h].rank_ic)
    rows = slice(10, 40)
    part = single[5].summary(rows, 5)
    whole = single[5].rank_ic[rows]
    assert part.n_days == np.isfinite(whole).sum()
    assert part.rank_ic == pytest.approx(np.nanmean(whole))
    assert part == score_values(x, y2, rows=rows, horizon=5)
    assert part == score_values(SortedRows.of(x), y2, rows=rows, horizon=5)
    assert list(part.as_dict())[:3] == ["rank_ic", "rank_icir", "ic"]


def test_rows_are_sorted_exactly_even_where_numbers_differ_in_the_last_bits_only():
    rng = np.random.default_rng(8)
    near = 1.0 + rng.integers(-300, 300, size=(3, 400)) * np.finfo(float).eps
    mixed = np.concatenate([near, -near, rng.normal(size=(3, 400)), np.full((3, 5), 5e-324)], axis=1)
    mixed = rng.permuted(mixed, axis=1)
    for x in (near, mixed, -mixed):
        rows = SortedRows.of(x)
        np.testing.assert_array_equal(rows.order, np.argsort(x, axis=1, kind="stable"))
        np.testing.assert_array_equal(rows.count, x.shape[1])
    member = rng.random(mixed.shape) < 0.5
    rows = SortedRows.of(mixed, member)
    for t in range(3):
        expected = [i for i in np.argsort(mixed[t], kind="stable") if member[t, i]]
        assert rows.order[t, : rows.count[t]].tolist() == expected
