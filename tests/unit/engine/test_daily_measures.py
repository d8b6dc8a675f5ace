"""All daily series in one pass of the engine: the bits of the figures of the values, however the dates are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

import fama_fast as ff
from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import budget, daily_measures, daily_rank_ic
from fama_fast.evaluation import Daily, SortedRows, daily
from fama_fast.panel import Panel
from fama_fast.target import GivenLabels

DATES, SYMBOLS, SPAN = 150, 70, 3
SERIES = ("rank_ic", "ic", "spread", "traded")
TEXTS = (
    "RANK(TS_MEAN(VOLUME, 5))",
    "CLOSE / OPEN",
    "RET > 0 ? 1 : 0",  # mostly ties
    "CLOSE - CLOSE",  # constant
    "1 / (VOLUME - DELAY(VOLUME, 1))",
    "TS_CORR(CLOSE, VOLUME, 10)",
    "RET > 0.01 ? VOLUME : LOG(-1 * VOLUME)",  # values for few
)


@pytest.fixture(scope="module", params=[False, True], ids=["everyone", "universe"])
def panel(request: pytest.FixtureRequest) -> Panel:
    found = simulate(SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, missing=0.05, late_listing=0.2, seed=1))
    member = np.random.default_rng(0).random(found.shape) < 0.7
    return found.replace(universe=member) if request.param else found


@pytest.fixture(scope="module")
def labels(panel: Panel) -> SortedRows:
    values = np.round(ff.forward_returns(panel, horizon=SPAN), 3)  # some are equal
    values[7], values[9, 5:] = np.nan, np.nan
    return SortedRows.of(values)


def of_values(panel: Panel, labels: SortedRows) -> list[Daily]:
    return [daily(ff.compile(t).evaluate(panel), labels, panel.universe, span=SPAN) for t in TEXTS]


@pytest.mark.parametrize("threads", [1, 2])
def test_they_have_the_bits_of_figures_of_the_values(panel: Panel, labels: SortedRows, threads: int) -> None:
    found = daily_measures(TEXTS, panel, labels, span=SPAN, threads=threads)
    for i, expected in enumerate(of_values(panel, labels)):
        for name in SERIES:
            np.testing.assert_array_equal(getattr(found, name)[i], getattr(expected, name), err_msg=TEXTS[i] + name)
    alone, count = daily_rank_ic(TEXTS, panel, labels, threads=threads)
    np.testing.assert_array_equal(found.rank_ic, alone)
    np.testing.assert_array_equal(found.count, count)
    assert np.isfinite(found.traded[0]).sum() > DATES / 2
    assert np.isnan(found.spread[3]).all()


def test_chunks_of_dates_change_no_bit(panel: Panel, labels: SortedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = daily_measures(TEXTS, panel, labels, span=SPAN)
    monkeypatch.setattr(budget, "_FIXED", 0)
    made = GivenLabels(labels.values, 0, labels)
    for bytes_ in (1_200_000, 2_000_000):
        cut = daily_measures(TEXTS, panel, made, span=SPAN, budget=bytes_)
        for name in (*SERIES, "count"):
            np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_a_block_of_dates_is_part_of_all_but_for_what_its_first_ones_trade(panel: Panel, labels: SortedRows) -> None:
    whole = daily_measures(TEXTS, panel, labels, span=SPAN)
    block = daily_measures(TEXTS, panel, labels, span=SPAN, first=40, last=90)
    for name in ("rank_ic", "ic", "spread", "count"):
        np.testing.assert_array_equal(getattr(block, name), getattr(whole, name)[:, 40:90])
    assert np.isnan(block.traded[:, :SPAN]).all()
    np.testing.assert_array_equal(block.traded[:, SPAN:], whole.traded[:, 40 + SPAN : 90])


def test_without_expressions_there_is_nothing(panel: Panel, labels: SortedRows) -> None:
    assert daily_measures([], panel, labels, span=1).rank_ic.shape == (0, DATES)


def levels_of(values: Any, universe: Any) -> Any:
    """Ranks in 63 steps either side of the middle, one symbol at a time."""
    out = np.zeros(values.shape, dtype=np.int8)
    for t, row in enumerate(values):
        there = np.flatnonzero(~np.isnan(row) if universe is None else ~np.isnan(row) & universe[t])
        for place, rank in zip(there, rankdata(row[there]), strict=True):
            out[t, place] = round(63 * (2 * rank - len(there) - 1) / len(there))
    return out


SAMPLED = np.array([0, 1, 9, 40, 41, 100, 148, 149])


@pytest.mark.parametrize("more", [{}, {"threads": 2}, {"budget": 700_000}, {"budget": 900_000, "threads": 2}])
def test_ranks_in_8_bits_come_in_the_same_pass(
    panel: Panel, labels: SortedRows, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_FIXED", 0)
    plain = daily_measures(TEXTS, panel, labels, span=SPAN)
    found = daily_measures(TEXTS, panel, labels, span=SPAN, sampled=SAMPLED, **more)
    for name in (*SERIES, "count"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    assert plain.levels is None
    assert found.levels is not None
    assert found.levels.shape == (len(TEXTS), len(SAMPLED), SYMBOLS)
    for text, own in zip(TEXTS, found.levels, strict=True):
        values = ff.compile(text).evaluate(panel)[SAMPLED]
        universe = None if panel.universe is None else panel.universe[SAMPLED]
        np.testing.assert_array_equal(own, levels_of(values, universe), err_msg=text)
    turned = daily_measures([f"0 - ({t})" for t in TEXTS], panel, labels, span=SPAN, sampled=SAMPLED)
    np.testing.assert_array_equal(turned.levels, -found.levels)
    assert not found.levels[3].any()  # constant
    none = daily_measures(TEXTS, panel, labels, span=SPAN, sampled=np.zeros(0, dtype=int))
    assert none.levels is not None
    assert none.levels.shape == (len(TEXTS), 0, SYMBOLS)


@pytest.mark.parametrize("symbols", [3, 8, 200])
def test_ranks_in_8_bits_of_few_and_many_symbols_and_of_float32(symbols: int) -> None:
    panel = simulate(SimulationSpec(n_symbols=symbols, n_dates=40, missing=0.2, seed=2))
    narrow = Panel(panel.dates, panel.symbols, {f: panel[f] for f in panel.supplied_fields}, dtype=np.float32)
    for data in (panel, narrow):
        labels = SortedRows.of(ff.forward_returns(data))
        texts = ["VOLUME", "RET > 0 ? 1 : 0", "CLOSE / DELAY(CLOSE, 39)"]
        found = daily_measures(texts, data, labels, span=1, sampled=np.arange(40))
        for text, own in zip(texts, found.levels, strict=True):
            np.testing.assert_array_equal(own, levels_of(ff.compile(text).evaluate(data), None), err_msg=text)
    wide = daily_measures(["VOLUME"], panel, labels, span=1, sampled=np.arange(40)).levels
    assert np.abs(wide).max() <= 63
