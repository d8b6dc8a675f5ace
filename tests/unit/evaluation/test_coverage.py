"""Breadth: what has values for half of the symbols is not held to be as good as what has them for all."""

from __future__ import annotations

import numpy as np
import pytest

from fama_fast.data import SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.controls import select

WHOLE = "TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)"
HALF = f"IF(RET > 0, {WHOLE}, NAN)"


@pytest.fixture(scope="module")
def market() -> Market:
    """Volume foretells returns, better for symbols that rose than for those that fell."""
    panel = simulate(SimulationSpec(n_symbols=60, n_dates=300, seed=5, late_listing=0.0, missing=0.0))
    settings = config_from_dict({"gates": {"min_coverage": 0.3}})
    held = Market(panel, settings)
    values = compile_alpha(WHOLE).evaluate(held.held)
    strength = np.where(held.held["RET"] > 0.0, 0.24, 0.18)
    noise = np.random.default_rng(0).normal(size=values.shape)
    return Market(panel, settings, labels=strength * (values - 1.0) / np.nanstd(values) + noise)


def rank_ic_and_coverage(market: Market, text: str) -> tuple[float, float]:
    (found,) = market.measure([compile_alpha(text)])
    return market.scores(found, 1, "train")["rank_ic"], market.scored_coverage(found.rank_ic, found.covered)


def test_breadth_is_of_the_dates_that_have_a_rank_ic(market: Market) -> None:
    assert (
        rank_ic_and_coverage(market, "TS_MEAN(VOLUME, 60)")[1] == 1.0
    )  # the 59 dates before it are no lack of breadth
    up = np.mean(market.held["RET"][market.rows.train] > 0.0)
    assert rank_ic_and_coverage(market, HALF)[1] == pytest.approx(up, abs=0.02)
    assert rank_ic_and_coverage(market, "CLOSE - CLOSE")[1] == 1.0  # no date has one


def test_the_half_does_not_take_the_place_of_the_whole_and_leaves_it(market: Market) -> None:
    whole, half = (rank_ic_and_coverage(market, text)[0] for text in (WHOLE, HALF))
    assert half > 1.1 * whole > 0.0  # by RankIC alone it would
    for order in ([[WHOLE], [HALF]], [[HALF], [WHOLE]], [[HALF, WHOLE]]):
        chosen = select(market, market.config, (), order)
        assert [f.canonical for f in chosen.factors] == [compile_alpha(WHOLE).canonical], order
