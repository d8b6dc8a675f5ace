"""Scoring inside the engine: the bits of scoring values afterwards, at any thread count, on all dates or a sample."""

from __future__ import annotations

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.engine import daily_rank_ic, ranks_on
from fama_fast.evaluation.rows import SortedRows
from tests.unit.ops.test_random_expressions import T, random_alphas, random_panel


@pytest.mark.parametrize("seed", [0, 1])
def test_same_bits_as_scoring_the_values(seed: int) -> None:
    panel = random_panel(seed)
    alphas = [
        *random_alphas(40, 900 + seed),
        ff.compile("CLOSE"),
        ff.compile("TS_MEAN(CLOSE, 3)"),
        ff.compile("RANK(CLOSE)"),
    ]
    labels = ff.forward_returns(panel)
    prepared = SortedRows.of(labels)
    members = np.ones(panel.shape, bool) if panel.universe is None else panel.universe
    figures, counts = daily_rank_ic(alphas, panel, prepared)
    single, _ = daily_rank_ic(alphas, panel, prepared, threads=1)
    np.testing.assert_array_equal(figures, single)
    for values, daily, count in zip(ff.evaluate(alphas, panel), figures, counts, strict=True):
        np.testing.assert_array_equal(daily, ff.rank_ic(values, labels, universe=panel.universe))
        np.testing.assert_array_equal(count, (np.isfinite(values) & members).sum(axis=1))


@pytest.mark.parametrize("seed", [2, 3])
def test_a_sample_of_dates_is_exact_on_them(seed: int) -> None:
    panel = random_panel(seed)
    alphas = random_alphas(40, 950 + seed)
    prepared = SortedRows.of(ff.forward_returns(panel))
    whole, _ = daily_rank_ic(alphas, panel, prepared)
    rows = np.sort(np.random.default_rng(seed).choice(T, 9, replace=False))
    sample, _ = daily_rank_ic(alphas, panel, prepared, rows=rows)
    np.testing.assert_array_equal(sample[:, rows], whole[:, rows])


def test_rows_out_of_range_and_foreign_labels_are_refused() -> None:
    panel = random_panel(0)
    prepared = SortedRows.of(ff.forward_returns(panel))
    with pytest.raises(ff.DataError, match="rows to score"):
        daily_rank_ic(["CLOSE"], panel, prepared, rows=np.array([0, T]))
    with pytest.raises(ff.DataError, match="labels have shape"):
        daily_rank_ic(["CLOSE"], panel.slice_dates(0, 10), prepared)


@pytest.mark.parametrize("seed", [0, 4, 5])
def test_ranks_on_some_dates_have_the_bits_of_ranks_on_all(seed: int) -> None:
    panel = random_panel(seed)
    alphas = [*random_alphas(70, 970 + seed), ff.compile("CLOSE")]  # more than one batch
    rows = np.sort(np.random.default_rng(seed).choice(T, 7, replace=False))
    whole = ff.evaluate([f"RANK({a.canonical})" for a in alphas], panel)
    found = list(ranks_on(alphas, panel, rows))
    assert len(found) == len(alphas)
    for ranks, values in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ranks, values[rows])
