"""Intraday bars: rows are bars, sessions are days, horizons count either, splits keep sessions whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data.labels import Sessions, label_exits, label_span, read_horizon
from fama_fast.errors import ConfigError, DataError

SYMBOLS = [f"S{i:02}" for i in range(12)]
BARS = [30, 30, 12, *[30] * 9]  # of each session; the third is a half day


def minutes() -> np.ndarray:
    first = np.datetime64("2024-01-04T09:31", "us")
    days = [0, 1, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15]  # a weekend between
    return np.concatenate(
        [
            first + np.timedelta64(d, "D") + np.arange(n) * np.timedelta64(1, "m")
            for d, n in zip(days, BARS, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    when = minutes()
    rng = np.random.default_rng(1)
    close = 50.0 * np.exp(rng.normal(0.0, 0.001, (when.size, len(SYMBOLS))).cumsum(axis=0))
    frame = pl.DataFrame(
        {
            "datetime": np.repeat(when, len(SYMBOLS)),
            "symbol": SYMBOLS * when.size,
            "close": close.ravel(),
            "volume": rng.integers(1, 500, close.size).astype(float),
        }
    )
    place = tmp_path_factory.mktemp("bars") / "bars.parquet"
    frame.filter(pl.int_range(pl.len()) % 97 != 5).write_parquet(place, row_group_size=500)
    return place


def test_rows_are_bars_and_nights_are_no_rows(path: Path) -> None:
    panel = ff.load_market_data(path)
    assert np.array_equal(panel.dates, minutes())
    assert panel.sessions.tolist() == np.repeat(np.arange(len(BARS)), BARS).tolist()
    mean = ff.evaluate(["TS_MEAN(CLOSE, 40)"], panel)[0]
    whole = np.isfinite(panel["CLOSE"])[:70].all(axis=0)
    expected = panel["CLOSE"][30:70, whole].mean(axis=0)  # from the second session into the half day
    np.testing.assert_allclose(mean[69, whole], expected)


def test_horizons_in_bars_and_sessions_by_hand(path: Path) -> None:
    panel = ff.load_market_data(path)
    close = panel["CLOSE"]
    held = ff.forward_returns(panel, "1 session", 1)
    bars = ff.forward_returns(panel, 30, 1)
    assert np.array_equal(held[:29], bars[:29], equal_nan=True)  # the next session is as long
    first = np.cumsum([0, *BARS])
    # Bar 20 of the second session enters at bar 21; the third ends at bar 11.
    np.testing.assert_array_equal(held[first[1] + 20], close[first[2] + 11] / close[first[1] + 21] - 1.0)
    # Known at a session's last bar, entered at the next one's first, left at the first of the one after.
    np.testing.assert_array_equal(held[first[1] - 1], close[first[2]] / close[first[1]] - 1.0)
    assert np.isnan(held[first[11] - 1 :]).all()
    two = ff.forward_returns(panel, "2 sessions", 0)
    np.testing.assert_array_equal(two[3], close[first[2] + 3] / close[3] - 1.0)
    exits = label_exits(panel.sessions, "1 session", 1)
    assert label_span(panel.sessions, "1 session", 1) == max(e - t for t, e in enumerate(exits) if e < len(exits))
    daily = np.arange(9)
    assert np.array_equal(label_exits(daily, "2 sessions", 1), label_exits(daily, 2, 1))


def test_reading_horizons() -> None:
    assert [read_horizon(h) for h in (5, "5", "5 bars", " 1 day ")] == [5, 5, 5, 1]
    assert read_horizon("2 Sessions") == read_horizon(Sessions(2)) == Sessions(2)
    assert str(Sessions(1)) == "1 session"
    for wrong in (0, "0", "0 sessions", "1s", "sessions", "-1", "1.5", True):
        with pytest.raises(ConfigError, match="horizon"):
            read_horizon(wrong)


def test_scores_and_splits_keep_sessions_whole(path: Path) -> None:
    panel = ff.load_market_data(path)
    cut = ff.date_splits(panel.shape[0], horizon=1, fractions=(0.4, 0.3, 0.3), sessions=panel.sessions)
    first = np.cumsum([0, *BARS])
    assert {cut.valid.start, cut.test.start} <= set(first.tolist())
    assert cut.train.stop == cut.valid.start - cut.purge
    with pytest.raises(DataError, match=r"72 rows in 3 sessions are too few to split 0.4/0.3/0.3 .* between sessions"):
        ff.date_splits(72, horizon=15, fractions=(0.4, 0.3, 0.3), sessions=panel.sessions[:72])
    texts = ["-DELTA(CLOSE, 5)", "TS_RANK(VOLUME, 30)"]
    table = ff.score(texts, panel, horizon=[1, "1 session"], splits="40/30/30")
    assert table["horizon"].to_list() == ["1", "1 session"] * 6
    assert table["n_days"].min() > 5
    expected = ff.rank_ic(ff.evaluate(texts[:1], panel)[0], ff.forward_returns(panel, "1 session"))
    reach = label_span(panel.sessions, "1 session", 1)
    border = int(np.searchsorted(panel.sessions, panel.sessions[round(panel.shape[0] * 0.4) - 1], side="right"))
    assert table["rank_ic"][1] == pytest.approx(np.nanmean(expected[: border - reach]), rel=1e-12)


def test_intraday_in_parts_and_on_the_command_line(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panel, data = ff.load_market_data(path), ff.scan_market_data(path)
    assert data.ordered
    assert data.panel().data_hash == panel.data_hash
    options = {"horizon": [1, "1 session"], "split": "valid", "splits": "40/30/30"}
    texts = ["-DELTA(CLOSE, 5)", "TS_MEAN(VOLUME, 40)"]
    assert ff.score(texts, data, memory_budget="26MB", **options).equals(ff.score(texts, panel, **options))
    start = ["--start", "2024-01-05", "--end", "2024-01-09"]
    assert main(["score", "-DELTA(CLOSE, 5)", "--data", str(path), "--horizon", "1 session", *start]) == 0
    assert "1 session" in capsys.readouterr().out
    output = tmp_path / "values.parquet"
    assert main(["compute", "CLOSE", "--data", str(path), "--memory-budget", "26MB", "--output", str(output)]) == 0
    assert pl.read_parquet(output).schema["date"] == pl.Datetime("us")
    cut = ff.load_market_data(path, start="2024-01-05", end="2024-01-08")
    assert np.array_equal(cut.dates, minutes()[30:72])
    assert ff.scan_market_data(path, start="2024-01-05", end="2024-01-08").panel().data_hash == cut.data_hash


def test_members_by_session(path: Path, tmp_path: Path) -> None:
    members = tmp_path / "members.csv"
    members.write_text("symbol,start,end\nS00,2024-01-05,2024-01-08\nS01,,\n", encoding="utf-8")
    for panel in (
        ff.load_market_data(path, universe=members),
        ff.scan_market_data(path, universe=members).panel(),
    ):
        assert panel.universe is not None
        assert panel.universe[:, 0].tolist() == (panel.sessions == 1).tolist()
        assert panel.universe[:, 1].all()
