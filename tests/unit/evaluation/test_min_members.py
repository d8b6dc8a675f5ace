"""Dates on which a universe has too few members are not scored: in memory, in parts, on a cluster and in mining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polars.testing import assert_frame_equal

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.cluster.address import read_address
from fama_fast.cluster.pool import open_pool
from fama_fast.cluster.scoring import ClusterScoring, mapped
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.data.labels import MIN_MEMBERS, only_scored, scored_returns
from fama_fast.engine import budget as budgets
from fama_fast.errors import DataError
from fama_fast.evaluation import StudyData, StudySettings, study
from fama_fast.evaluation.score import compile_all
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.panel import Panel
from fama_fast.panel.dataset import Dataset
from tests.support.clusters import BEGINS_CLUSTERS

pytestmark = BEGINS_CLUSTERS

TEXTS = ("-RANK(DELTA(CLOSE, 5))", "TS_MEAN(RANK(VOLUME), 7)", "CLOSE / VWAP")
DATES, SYMBOLS = 400, 25
FEW = (3, 50, 51, 52, 120, 200, 255, 300, 399)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decoding takes whatever the data's size would be most of a budget."""
    monkeypatch.setattr(budgets, "_FIXED", 0)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Twenty members on most dates, nine on some, one on one."""
    made = simulate(SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, missing=0.0, late_listing=0.0, seed=5))
    universe = np.zeros(made.shape, dtype=bool)
    universe[:, :20] = True
    universe[list(FEW), 9:] = False
    universe[120, 1:] = False
    return made.replace(universe=universe)


@pytest.fixture(scope="module")
def path(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("members") / "p.parquet"
    to_frame(panel).write_parquet(place, row_group_size=700)
    return place


def config(**more: Any) -> MiningConfig:
    return config_from_dict({"splits": more, "racing": {"enabled": False}, "run": {"memory_budget": None}})


def test_labels_of_few_members_are_missing(panel: Panel) -> None:
    labels = scored_returns(panel, 1, 1)
    plain = ff.forward_returns(panel, 1, 1)
    scored = np.setdiff1d(np.arange(DATES), FEW)
    np.testing.assert_array_equal(labels[scored], plain[scored])
    assert np.isnan(labels[list(FEW)]).all()
    np.testing.assert_array_equal(scored_returns(panel, 1, 1, min_members=9)[[3, 50]], plain[[3, 50]])
    assert np.isnan(scored_returns(panel, 1, 1, min_members=9)[120]).all()
    everyone = Panel(panel.dates, panel.symbols[:3], {"CLOSE": panel["CLOSE"][:, :3]})
    assert np.isfinite(scored_returns(everyone, 1, 1)[:-2]).all()  # no universe: three symbols are what there is
    assert only_scored(plain, None, 99) is plain


def test_the_figures_are_those_of_the_other_dates(panel: Panel) -> None:
    alpha = ff.compile(TEXTS[0])
    (found,) = ff.score(alpha, panel).to_dicts()
    daily = ff.rank_ic(alpha.evaluate(panel), ff.forward_returns(panel), universe=panel.universe)
    daily[list(FEW)] = np.nan
    assert found["n_days"] == np.isfinite(daily).sum()
    assert found["rank_ic"] == pytest.approx(np.nanmean(daily), rel=1e-12)
    (every,) = ff.score(alpha, panel, min_members=1).to_dicts()
    assert every["n_days"] == found["n_days"] + len(FEW) - 3  # no value yet, one pair alone, no label any more


@pytest.mark.parametrize("least", [1, 9, MIN_MEMBERS, 20])
def test_in_memory_in_parts_and_on_a_cluster(panel: Panel, path: Path, least: int) -> None:
    options: dict[str, Any] = {"horizon": [1, 5], "splits": "60/20/20", "min_members": least}
    held = ff.score(TEXTS, panel, **options)
    for source, budget in ((panel, "500kB"), (Dataset(path), "500kB"), (Dataset(path), None)):
        assert_frame_equal(ff.score(TEXTS, source, memory_budget=budget, **options), held, check_exact=True)


def test_a_cluster_gives_the_same(panel: Panel, path: Path, tmp_path: Path) -> None:
    with open_pool(read_address("local:1"), memory_limit=None, note=lambda text: None) as pool:
        elsewhere = ClusterScoring(pool, panel, mapped(pool, panel, tmp_path))
        for least in (1, MIN_MEMBERS):
            found = ff.score(TEXTS, panel, cluster=elsewhere, min_members=least)
            assert_frame_equal(found, ff.score(TEXTS, panel, min_members=least), check_exact=True)


def test_mining_scores_the_same_dates_in_memory_and_in_parts(panel: Panel, path: Path) -> None:
    settings = config(min_members=MIN_MEMBERS)
    held, parts = Market(panel, settings), Market(Dataset(path), settings)
    alphas = compile_all(list(TEXTS), panel)
    for a, b in zip(held.measure(alphas), parts.measure(alphas), strict=True):
        for name in ("rank_ic", "ic", "spread", "traded", "covered"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    mined = held.panel.shape[0]
    series = held.measure(alphas).rank_ic
    few = [t for t in FEW if t < mined]
    assert np.isnan(series[:, few]).all()
    assert held.unscored == parts.unscored == len(few)
    assert held.warnings == parts.warnings
    assert held.warnings[0].startswith(f"{len(few)} of {mined} dates are not scored: the universe has fewer than 10")
    for ahead in (0, 3):
        (ours, later), (theirs, theirs_later) = held.figures(alphas[0], ahead), parts.figures(alphas[0], ahead)
        np.testing.assert_array_equal(ours.rank_ic, theirs.rank_ic)
        np.testing.assert_array_equal(later, theirs_later)
    assert np.isnan(later[[t - 3 for t in few if t >= 3]]).all()
    shuffled = [m.shuffled(np.random.default_rng(1), 5).measure(alphas).rank_ic for m in (held, parts)]
    np.testing.assert_array_equal(*shuffled)
    assert np.isnan(shuffled[0][:, few]).all()
    every = Market(panel, config(min_members=1))
    assert np.isfinite(every.measure(alphas).rank_ic[:, [50, 200]]).all()
    assert every.unscored == 0


@pytest.mark.slow
def test_the_study_leaves_them_out(panel: Panel) -> None:
    data = StudyData.from_panel(panel, StudySettings(horizons=(1,), resamples=20, quantiles=2))
    found = study(ff.compile(TEXTS[0]).evaluate(panel), data)
    assert np.isnan(found.daily["rank_ic"][list(FEW)]).all()


def test_a_universe_that_is_always_too_small_is_an_error(
    panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = panel.replace(universe=np.broadcast_to(np.arange(SYMBOLS) < 5, panel.shape))
    path = tmp_path / "s.parquet"
    to_frame(small).write_parquet(path)
    for more in ([], ["--memory-budget", "100MB"]):
        assert main(["score", "CLOSE", "--data", str(path), *more]) == 2
        assert "the universe has at most 5 members, --min-members asks for 10" in capsys.readouterr().err
        assert main(["score", "CLOSE", "--data", str(path), "--min-members", "5", "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)[0]["n_days"] == DATES - 2
    with pytest.raises(DataError, match=r"at most 5 members there, fewer than splits\.min_members, 10"):
        Market(small, config())
    with pytest.raises(DataError, match=r"at most 5 members there, fewer than splits\.min_members, 10"):
        Market(Dataset(path), config())


def test_dates_that_are_not_scored_are_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "9 of 400 dates are not scored: the universe has fewer than 10 members (min_members)"
    for more in ([], ["--memory-budget", "100MB"], ["--cluster", "local:1"]):
        assert main(["score", "CLOSE", "--data", str(path), *more]) == 0
        assert capsys.readouterr().err.count(said) == 1, more
    for more in ([], ["--memory-budget", "100MB"]):
        assert main(["score", "CLOSE", "--data", str(path), "--start", "2016-01-01", *more]) == 0
        assert "2 of 139 dates are not scored" in capsys.readouterr().err
