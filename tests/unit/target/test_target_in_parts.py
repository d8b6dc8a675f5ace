"""Labels of a target have the same bits in memory, in parts, some rows later, on a cluster, and in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polars.testing import assert_frame_equal

import fama_fast as ff
from fama_fast.cluster.address import read_address
from fama_fast.cluster.pool import open_pool
from fama_fast.cluster.scoring import ClusterScoring, mapped
from fama_fast.data import to_frame
from fama_fast.engine import budget as budgets
from fama_fast.engine.budget import Schedule
from fama_fast.engine.chunks import chunks
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.panel import Panel
from fama_fast.panel.dataset import Dataset
from fama_fast.target import Target
from tests.support.clusters import BEGINS_CLUSTERS
from tests.support.target_panel import target_panel

pytestmark = BEGINS_CLUSTERS

CONTROLS = ["SECTOR", "LOG(CLOSE * VOLUME)", "TS_STDDEV(RET, 20, min_periods=5)"]
TARGETS: dict[str, dict[str, Any]] = {
    "close": {"horizons": [3]},
    "open": {"returns": "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"},
    "vwap": {"returns": "LEAD(VWAP, 6) / LEAD(VWAP, 1) - 1"},
    "inside": {"returns": "LEAD(TS_MEAN(RET, 9), 4) - TS_MEAN(LEAD(DELTA(RANK(VOLUME), 2), 6), 12, min_periods=3)"},
    "column": {"column": "MYLABEL", "reach": 3},
    "neutral": {"neutralize": CONTROLS},
    "tradable": {"tradable": "HIGH > LOW && TS_MEAN(VOLUME, 5) > 0"},
    "all": {
        "returns": "LEAD(OPEN, 3) / LEAD(OPEN, 1) - 1",
        "neutralize": ["INDUSTRY", *CONTROLS],
        "beta": 30,
        "winsorize": 0.05,
        "tradable": "HIGH > LOW && VOLUME > 0",
    },
}
EXPRESSIONS = ("-RANK(DELTA(CLOSE, 5))", "TS_MEAN(RANK(VOLUME), 7)", "CLOSE / VWAP")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decoding takes whatever the data's size would be most of a budget."""
    monkeypatch.setattr(budgets, "_FIXED", 0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("target") / "market.parquet"
    to_frame(target_panel()).write_parquet(file)
    return file


@pytest.fixture(scope="module")
def panel(path: Path) -> Panel:
    return ff.load_market_data(str(path), universe="in_universe")


@pytest.fixture
def data(path: Path) -> Dataset:
    return ff.scan_market_data(str(path), universe="in_universe")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("core", [1, 13, 70])
def test_a_chunk_s_labels_are_those_of_all_dates(data: Dataset, panel: Panel, name: str, core: int) -> None:
    target = Target(**TARGETS[name])
    (made,) = target.labels(data).values()
    whole = target.values(panel)
    assert np.isfinite(whole).sum() > 500
    later = np.full(whole.shape, np.nan)
    later[:-4] = whole[4:]
    moved = made.later(4)
    for labels, expected in ((made, whole), (moved, later)):
        schedule = Schedule(core, 0, labels.rows_after, (), 0, rows_before=labels.rows_before)
        for loaded in chunks(data, schedule, [*labels.fields, "CLOSE"], list(labels.groups)):
            found = labels.rows(loaded, loaded.start, loaded.stop, 1)
            np.testing.assert_array_equal(found, expected[loaded.start : loaded.stop])


@pytest.mark.parametrize("name", TARGETS)
def test_scores_in_parts_are_those_in_memory(data: Dataset, panel: Panel, name: str) -> None:
    target = Target(**TARGETS[name])
    table = ff.score(EXPRESSIONS, panel, target=target, splits="60/20/20")
    assert table["rank_ic"].is_finite().all()
    for memory in ("320kB", "1GB"):
        assert_frame_equal(
            ff.score(EXPRESSIONS, data, target=target, splits="60/20/20", memory_budget=memory), table, check_exact=True
        )


def test_scores_on_a_cluster_are_those_here(panel: Panel, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with open_pool(read_address("local:2")) as pool:
        elsewhere = ClusterScoring(pool, panel, mapped(pool, panel, tmp_path))
        for name in ("open", "all", "column"):
            target = Target(**TARGETS[name])
            here = ff.score(EXPRESSIONS, panel, target=target)
            assert_frame_equal(ff.score(EXPRESSIONS, panel, target=target, cluster=elsewhere), here, check_exact=True)


def config(name: str, **run: Any) -> Any:
    settings = {k: v for k, v in TARGETS[name].items() if k != "horizons"}
    splits = {"horizon": 3} if name == "close" else {}
    return config_from_dict(
        {"target": settings, "splits": splits, "gates": {"max_lookback": 30}, "run": {"wanted": 3, **run}}
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_market_in_parts_measures_what_one_in_memory_does(data: Dataset, panel: Panel, name: str) -> None:
    here, parts = Market(panel, config(name)), Market(data, config(name, memory_budget="1MB"))
    target = Target(**TARGETS[name])
    reach = target.rows_ahead(panel.sessions)
    assert here.rows == parts.rows
    assert here.rows.train.stop + reach <= here.rows.valid.start
    assert here.rows.valid.stop + reach <= here.rows.test.start
    assert here.reach == reach
    np.testing.assert_array_equal(here.labels.values, target.values(here.held))
    alphas = here.compiled(["RANK(DELTA(CLOSE, 5))", "RANK(VOLUME)"])
    one, two = here.measure(alphas), parts.measure(alphas)
    for series in ("rank_ic", "ic", "spread", "traded", "covered"):
        np.testing.assert_array_equal(getattr(one, series), getattr(two, series))
    assert np.isfinite(one.rank_ic).any()
    block = slice(40, 60)
    first, second = here.score_block(alphas, 34, block), parts.score_block(alphas, 34, block)
    np.testing.assert_array_equal(first.gross, second.gross)
    np.testing.assert_array_equal(first.counts, second.counts)
    assert here.warnings == parts.warnings
    assert any("not tradable at entry" in text for text in here.warnings) == ("tradable" in TARGETS[name])


def test_the_label_s_column_is_not_shown_to_searchers(panel: Panel) -> None:
    assert "MYLABEL" not in Market(panel, config("column")).vocabulary.fields
    assert "MYLABEL" in Market(panel, config("open")).vocabulary.fields


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"returns": "LEAD(CLOSE, 2"}}, "target: "),
        ({"target": {"column": "X"}}, "needs reach"),
        ({"target": {"horizons": [1, 5]}, "splits": {"horizon": 3}}, "contradicts the target"),
        ({"target": {"returns": "LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1"}, "splits": {"entry_lag": 2}}, "contradicts"),
        ({"target": {"neutralise": ["SECTOR"]}}, "did you mean target.neutralize"),
        ({"target": {"winsorize": 0.7}}, "target.winsorize must be less than 0.5"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ff.ConfigError, match=message):
        config_from_dict(settings)


def test_a_recorded_configuration_reads_back() -> None:
    made = config("all")
    assert config_from_dict(made.model_dump(mode="json")).target == made.target
    assert made.predicted == Target(**TARGETS["all"])
