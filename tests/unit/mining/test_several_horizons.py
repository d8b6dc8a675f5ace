"""A target with several horizons: the mean of their daily series is what the search climbs, everywhere alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data import to_frame
from fama_fast.engine import budget as budgets
from fama_fast.evaluation import daily
from fama_fast.evaluation.daily import SERIES
from fama_fast.evaluation.ranks import centred_ranks, tamed_labels
from fama_fast.library import make_factor
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.race import first_row
from fama_fast.mining.measure.ridge_penalty import ridge_weights
from fama_fast.mining.verdict.control import Control
from fama_fast.mining.verdict.findings import Tried
from fama_fast.mining.verdict.text import statements
from fama_fast.mining.verdict.verdict import evidence
from fama_fast.target import Target
from tests.support.target_panel import target_panel

HORIZONS = (1, 5)
TEXTS = ["-RANK(DELTA(CLOSE, 5))", "TS_MEAN(RANK(VOLUME), 7)"]


def config(**settings: Any) -> Any:
    return config_from_dict(
        {"target": {"horizons": list(HORIZONS), "neutralize": ["SECTOR"]}, "gates": {"max_lookback": 30}, **settings}
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("horizons") / "market.parquet"
    to_frame(target_panel(dates=260)).write_parquet(file)
    return file


@pytest.fixture(scope="module")
def market(path: Path) -> Market:
    return Market(ff.load_market_data(str(path)), config())


def expected(market: Market, text: str) -> dict[str, Any]:
    values = ff.evaluate([text], market.held)[0]
    target = Target(horizons=HORIZONS, neutralize=["SECTOR"])
    parts = [daily(values, target.values(market.held, h), market.held.universe, span=h) for h in HORIZONS]
    return {name: weighted(name, [getattr(p, name) for p in parts]) for name in SERIES}


def weighted(name: str, parts: Sequence[Any]) -> Any:
    """The mean; of a spread and what is traded the mean of those a day, over the days of the longest."""
    if name not in ("spread", "traded"):
        return sum(parts) / len(parts)
    return max(HORIZONS) * sum(p / h for p, h in zip(parts, HORIZONS, strict=True)) / len(parts)


def test_what_is_measured_is_the_mean(market: Market) -> None:
    assert (market.reach, market.horizon, market.span, market.further[0].span) == (6, 5, 1, 5)
    assert market.rows.train.stop + 6 <= market.rows.valid.start
    found = market.measure(market.compiled(TEXTS))
    for i, text in enumerate(TEXTS):
        series = expected(market, text)
        for name in ("rank_ic", "ic", "spread", "traded"):
            np.testing.assert_allclose(getattr(found, name)[i], series[name], rtol=0, atol=1e-12, err_msg=name)
        figures, later = market.figures(market.compiled([text])[0], 2)
        for name in SERIES:
            np.testing.assert_allclose(getattr(figures, name), series[name], rtol=0, atol=1e-12, err_msg=name)
        assert np.isfinite(later).any()


@pytest.mark.parametrize("objective", ["rank_ic", "net"])
def test_a_race_s_block_is_a_part_of_it(path: Path, objective: str) -> None:
    market = Market(ff.load_market_data(str(path)), config(objective=objective))
    alphas = market.compiled(TEXTS)
    block = slice(60, 90)
    gross = market.score_block(alphas, first_row(alphas, block), block).gross
    np.testing.assert_allclose(gross, market.yardstick.gross(market.measure(alphas))[:, block], rtol=0, atol=1e-12)


def test_in_parts_and_in_the_pool_too(path: Path, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "_FIXED", 0)
    parts = Market(ff.scan_market_data(str(path)), config(run={"memory_budget": "2MB"}))
    alphas = market.compiled(TEXTS)
    for one, two in zip(market.measure(alphas), parts.measure(alphas), strict=True):
        np.testing.assert_array_equal(one.rank_ic, two.rank_ic)
        np.testing.assert_array_equal(one.spread, two.spread)
    factors = [make_factor(text, sign=1) for text in TEXTS]
    here, there = (FactorPool(m, m.config.pool) for m in (market, parts))
    assert here.valid(factors).scores == there.valid(factors).scores
    assert here.test(factors).scores == there.test(factors).scores
    assert market.open_test(factors) == parts.open_test(factors)
    alone = Market(market.whole, config(target={"neutralize": ["SECTOR"]}))
    assert FactorPool(alone, alone.config.pool).valid(factors).scores != here.valid(factors).scores


def test_shuffled_dates_are_dealt_out_alike(market: Market) -> None:
    dealt = market.shuffled(np.random.default_rng(3), 5)
    train = market.rows.train
    rows = []
    for one, own in zip((market, *market.further), (dealt, *dealt.further), strict=True):
        before, after = one.labels.values[train], own.labels.values[train]
        # Of each date, which one's labels it was dealt.
        rows.append(
            [next((j for j, y in enumerate(before) if np.array_equal(y, x, equal_nan=True)), -1) for x in after]
        )
    both = [(a, b) for a, b in zip(*rows, strict=True) if np.isfinite(market.labels.values[train][a]).any()]
    assert all(a == b for a, b in both)
    assert [a for a, _ in both] != sorted(a for a, _ in both)


@pytest.mark.parametrize("objective", ["rank_ic", "ic", "spread"])
def test_the_pool_fits_the_mean_of_the_horizons(path: Path, objective: str) -> None:
    market = Market(ff.load_market_data(str(path)), config(objective=objective))
    factors = [make_factor(text, sign=1) for text in TEXTS]
    pool = FactorPool(market, market.config.pool)
    found = pool.test(factors)
    markets = (market, *market.further)
    labels = [m.labels.values for m in markets]
    targets = []
    for m, y, days in zip(markets, labels, HORIZONS, strict=True):
        if objective == "rank_ic":
            targets.append(centred_ranks(y, market.held.universe))
        elif objective == "ic":
            targets.append(tamed_labels(y, market.held.universe, m.own_scale))
        else:
            targets.append(tamed_labels(y * max(HORIZONS) / days, market.held.universe, market.scale))
    target = sum(targets[1:], targets[0]) / len(HORIZONS)
    known = np.isfinite(target)
    rows = [*range(market.rows.train.start, market.rows.train.stop)]
    rows += range(market.rows.valid.start, market.rows.test.start - market.reach)
    ranks = [centred_ranks(v, market.held.universe) for v in ff.evaluate(TEXTS, market.held)]
    x = np.stack([np.where(known & np.isfinite(r), r, 0.0)[rows].ravel() for r in ranks])
    y = np.where(known, target, 0.0)[rows].ravel()
    weights = ridge_weights(x @ x.T, x @ y, found.penalty)
    np.testing.assert_allclose(list(found.weights.values()), weights, rtol=1e-6)


def test_a_pool_says_what_it_has_at_each_horizon(market: Market) -> None:
    factors = [make_factor(text, sign=1) for text in TEXTS]
    found = FactorPool(market, market.config.pool).valid(factors)
    each = found.horizons["ridge"]
    assert list(each) == ["1", "5"]
    for name in ("rank_ic", "ic", "spread"):
        parts = [each[str(h)][name] for h in HORIZONS]
        assert found.scores["ridge"][name] == pytest.approx(weighted(name, parts), abs=1e-12), name
    shown = evidence(found, market.config, horizon=market.horizon)
    assert shown is not None
    assert shown.as_dict()["horizons"] == each
    told = {"level": 0.05, "test_level": 0.05, "openings": 0, "shrinkage": None, "control": Control()}
    said = statements([], Tried(1), valid=shown, tested=None, **told)
    spread = 1e4 * each["5"]["spread"] / 5
    assert any(
        "by rows held: 1: " in s and f"5: RankIC {each['5']['rank_ic']:+.4f}, spread {spread:+.1f}" in s for s in said
    )
    alone = Market(market.whole, config(target={"neutralize": ["SECTOR"]}))
    assert FactorPool(alone, alone.config.pool).valid(factors).horizons == {}
