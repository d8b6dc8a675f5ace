"""Zero and negative prices are no prices: missing for RET and labels, on every path, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.backends.polars_expr import complete_grid
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, quality_report, simulate, to_frame
from fama_fast.evaluation import StudyData, StudySettings, study
from fama_fast.panel import Panel
from fama_fast.panel.dataset import Dataset
from tests.support.clusters import BEGINS_CLUSTERS
from tests.support.oracle import derived_returns
from tests.unit.engine.test_stream import assert_streams

pytestmark = BEGINS_CLUSTERS

NAN = float("nan")
TEXTS = ("RET", "TS_MEAN(RET, 3)", "RANK(RET)", "TS_STDDEV(RET, 5, min_periods=2)", "RET + CLOSE")


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Suspended days written as 0, a negative price (a spread), prices of zero at both ends."""
    made = simulate(SimulationSpec(n_symbols=15, n_dates=80, missing=0.02, seed=4))
    close = made["CLOSE"].copy()
    close[10:13, 0] = 0.0
    close[20, 1], close[21, 1] = -3.0, -2.0
    close[0, 2] = close[-1, 3] = 0.0
    close[30, 4] = -0.0
    return Panel.from_frame(to_frame(made.replace(fields={"CLOSE": close})))


def labels_by_hand(close: Any, horizon: int, lag: int) -> Any:
    out = np.full(close.shape, NAN)
    for t in range(len(close) - horizon - lag):
        before, after = close[t + lag], close[t + lag + horizon]
        there = (before > 0) & (after > 0)
        out[t, there] = after[there] / before[there] - 1
    return out


def test_returns_are_missing_around_a_price_of_zero_or_below(panel: Panel) -> None:
    np.testing.assert_array_equal(panel["RET"], derived_returns(panel["CLOSE"]))
    assert np.isnan(panel["RET"][10:14, 0]).all()
    assert np.isfinite(panel["RET"][14, 0])
    assert np.isnan(panel["RET"][20:23, 1]).all()
    assert (panel["CLOSE"][10:13, 0] == 0.0).all()  # as it is, in expressions
    assert np.nanmin(panel["RET"]) > -0.9


@pytest.mark.parametrize("text", TEXTS)
def test_every_path_agrees_to_the_bit(panel: Panel, text: str, tmp_path: Path) -> None:
    alpha = ff.compile(text)
    values = alpha.evaluate(panel)
    frame = to_frame(panel)
    grid = complete_grid(frame)
    lazy = grid.select(alpha.to_polars()).to_series().to_numpy().reshape(panel.shape)
    np.testing.assert_allclose(lazy, values, rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(lazy), np.isnan(values))
    if text in ("RET", "RET + CLOSE"):
        np.testing.assert_array_equal(lazy, values)
    assert_streams(alpha, panel, (5, 11, 21))
    frame.write_parquet(tmp_path / "p.parquet", row_group_size=100)
    parts = ff.evaluate([text], Dataset(tmp_path / "p.parquet"), memory_budget="40MB")[0]
    np.testing.assert_array_equal(parts, values)
    narrow = alpha.evaluate(panel.astype("float32"))
    np.testing.assert_array_equal(np.isnan(narrow), np.isnan(values))


@pytest.mark.parametrize(("horizon", "lag"), [(1, 1), (5, 0), (3, 2)])
def test_labels_are_missing_where_entry_or_exit_has_no_price(panel: Panel, horizon: int, lag: int) -> None:
    labels = ff.forward_returns(panel, horizon, lag)
    np.testing.assert_array_equal(labels, labels_by_hand(panel["CLOSE"], horizon, lag))


def test_labels_of_sessions(panel: Panel) -> None:
    close = np.abs(panel["CLOSE"][:8, :3])
    close[5, 1] = 0.0
    hours = np.datetime64("2024-01-02T10:00") + np.array([0, 1, 24, 25, 48, 49, 72, 73]).astype("timedelta64[h]")
    bars = Panel(hours, ["A", "B", "C"], {"CLOSE": close})
    labels = ff.forward_returns(bars, "1 session", 1)
    assert np.isnan(labels[[2, 4], 1]).all()
    assert np.isfinite(labels[2, [0, 2]]).all()


def test_a_suspended_day_is_no_loss_of_everything(panel: Panel) -> None:
    data = StudyData.from_panel(panel, StudySettings(horizons=(1, 5), quantiles=3, resamples=50))
    figures = study(panel["VOLUME"], data).figures
    assert min(q["annual_return"] for q in figures["quantiles"]) > -2.0
    for h in (1, 5):
        assert np.nanmin(data.labels[h].values) > -0.9


def test_a_supplied_return_stays() -> None:
    days = np.datetime64("2020-01-01") + np.arange(3)
    fields = {"CLOSE": [[1.0], [0.0], [2.0]], "RET": [[NAN], [-1.0], [0.5]]}
    panel = Panel(days, ["A"], fields)
    np.testing.assert_array_equal(ff.evaluate(["RET"], panel)[0], [[NAN], [-1.0], [0.5]])
    assert np.isnan(ff.forward_returns(panel, 1, 0)).all()


SAID = "prices of zero or below: CLOSE 8 (missing for RET and labels)"


def test_they_are_counted_in_memory_and_in_parts(panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    to_frame(panel).with_columns(open=pl.when(pl.int_range(pl.len()) < 2).then(0.0).otherwise("open")).write_parquet(
        path, row_group_size=100
    )
    said = "prices of zero or below: OPEN 2, CLOSE 8 (missing for RET and labels)"
    assert said in ff.load_market_data(path).warnings
    for budget in (1, 1 << 30):
        data = ff.scan_market_data(path)
        assert said not in data.warnings  # nothing was read yet
        data.read_through(budget)
        assert said in data.warnings
    part = ff.scan_market_data(path)
    part.read_through(1)
    assert any("CLOSE 3" in w for w in part.slice_dates(5, 20).warnings)
    # Dates that are read twice count once.
    reader = part.reader()
    reader.read(5, 20)
    reader.read(8, 25)
    assert said in part.warnings
    assert quality_report(path).count("non_positive_prices") == 10


def test_every_command_says_so(panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.parquet"
    to_frame(panel).write_parquet(path, row_group_size=100)
    commands = [
        ["score", "RANK(VOLUME)", "--data", str(path)],
        ["score", "RANK(VOLUME)", "--data", str(path), "--memory-budget", "200MB"],
        ["compute", "RANK(CLOSE)", "--data", str(path), "--output", str(tmp_path / "a.parquet")],
        ["compute", "RANK(CLOSE)", "--data", str(path), "--output", str(tmp_path / "b"), "--memory-budget", "200MB"],
        ["compute", "RANK(CLOSE)", "--data", str(path), "--store", str(tmp_path / "store"), "--memory-budget", "200MB"],
        ["data", "describe", str(path)],
        ["data", "convert", str(path), "--output", str(tmp_path / "c.parquet")],
        ["check", "RANK(CLOSE)", "--data", str(path)],
        ["score", "RANK(VOLUME)", "--data", str(path), "--cluster", "local:1"],
    ]
    for command in commands:
        assert main(command) == 0, command
        assert capsys.readouterr().err.count(SAID) == 1, command
