"""The preset of A-shares: boards, limits, halts, T+1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data import to_frame
from fama_fast.panel import Panel
from fama_fast.target import Target
from fama_fast.target.a_share import LOOKBACK, board_limits, tradable

SYMBOLS = ["SH600000", "000001.SZ", "sh.688001", "300750", "301001.SZ", "BJ830799", "430047", "920001.BJ"]


def market(closes: list[float], *, symbol: str = "SH600000", first: str = "2021-01-04", locked: bool = True) -> Panel:
    """One symbol: every bar of one price where `locked`, beside one that trades freely."""
    close = np.array(closes, dtype=float)[:, None]
    free = np.full_like(close, 10.0)
    spread = 0.0 if locked else 0.01
    both = np.hstack([close, free])
    return Panel(
        np.datetime64(first) + np.arange(len(closes)),
        [symbol, "000001.SZ"],
        {
            "HIGH": both * (1.0 + np.array([spread, 0.01])),
            "LOW": both * (1.0 - np.array([spread, 0.01])),
            "CLOSE": both,
            "VOLUME": np.where(np.isfinite(both), 1000.0, np.nan),
        },
    )


def test_limits_of_boards() -> None:
    dates = np.array(["2020-08-21", "2020-08-24"], dtype="datetime64[D]")
    expected = [[0.1, 0.1, 0.2, 0.1, 0.1, 0.3, 0.3, 0.3], [0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3]]
    np.testing.assert_array_equal(board_limits(SYMBOLS, dates), expected)
    with pytest.raises(ff.DataError, match="'AAPL' has none"):
        board_limits(["600000", "AAPL"], dates)


@pytest.mark.parametrize(
    ("symbol", "first", "move", "able"),
    [
        ("SH600000", "2021-01-04", 0.10, False),
        ("SH600000", "2021-01-04", -0.0998, False),
        ("SH600000", "2021-01-04", 0.05, False),  # ST
        ("SH600000", "2021-01-04", 0.03, True),
        ("SH600000", "2021-01-04", 0.20, True),
        ("688001", "2021-01-04", 0.20, False),
        ("688001", "2021-01-04", 0.05, True),
        ("300750", "2020-08-20", 0.10, False),
        ("300750", "2021-01-04", 0.10, True),
        ("300750", "2021-01-04", -0.20, False),
        ("830799", "2022-01-04", 0.30, False),
    ],
)
def test_a_bar_of_one_price_at_the_limit(symbol: str, first: str, move: float, able: bool) -> None:
    closes = [10.0, 10.0 * (1.0 + move)]
    assert tradable(market(closes, symbol=symbol, first=first))[1].tolist() == [able, True]
    assert tradable(market(closes, symbol=symbol, first=first, locked=False))[1].all()


def test_a_close_at_the_limit_is_for_who_trades_at_the_close() -> None:
    panel = market([10.0, 11.0, 12.1, 10.89], locked=False)
    high, low = panel["HIGH"].copy(), panel["LOW"].copy()
    high[1, 0], low[3, 0] = 11.0, 10.89  # bars that end at their limit; the second one traded above it
    panel = panel.replace(fields={"HIGH": high, "LOW": low})
    assert tradable(panel)[:, 0].all()
    assert tradable(panel, at_close=True)[:, 0].tolist() == [True, False, True, False]
    opened = panel.replace(fields={"OPEN": panel["CLOSE"]})
    for returns, able in (
        (None, [False, True, False, False]),
        ("LEAD(CLOSE, 2) / LEAD(CLOSE, 1) - 1", [False, True, False, False]),
        ("LEAD(RET, 2)", [False, True, False, False]),
        ("LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1", [True, True, True, False]),
    ):
        found = Target(returns=returns, tradable="a-share").enterable(opened)
        assert found is not None
        assert found[:, 0].tolist() == able


def test_halts_and_the_close_before_one() -> None:
    nan = np.nan
    assert tradable(market([10.0, nan, nan, 11.0]))[:, 0].tolist() == [False, False, False, False]
    assert tradable(market([10.0, nan, nan, 10.2]))[:, 0].tolist() == [False, False, False, True]
    long = [10.0, *[nan] * LOOKBACK, 10.2]  # the close before is too long ago: one price counts as locked
    assert not tradable(market(long))[-1, 0]
    assert tradable(market(long, locked=False))[-1, 0]
    still = market([10.0, 10.1, 10.2])
    volume = still["VOLUME"].copy()
    volume[1, 0] = 0.0
    assert tradable(still.replace(fields={"VOLUME": volume}))[:, 0].tolist() == [False, False, True]


def test_labels_of_a_locked_entry_are_left_out_in_parts_too(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    moves = rng.choice([0.1, -0.1, 0.0, 0.02], size=(90, 12))
    close = 10.0 * np.cumprod(1.0 + moves, axis=0)
    close[rng.uniform(size=close.shape) < 0.1] = np.nan
    spread = np.where(np.isin(moves, [0.1, -0.1]), 0.0, 0.01)
    panel = Panel(
        np.datetime64("2019-01-01") + np.arange(90),
        [f"{600000 + i}" for i in range(12)],
        {"HIGH": close * (1 + spread), "LOW": close * (1 - spread), "CLOSE": close, "VOLUME": np.abs(close) * 100},
    )
    target, plain = Target(tradable="A_Share"), ff.forward_returns(panel)
    entered = np.zeros(close.shape, dtype=bool)
    entered[:-1] = tradable(panel, at_close=True)[1:]
    found = target.values(panel)
    np.testing.assert_array_equal(found, np.where(entered, plain, np.nan))
    assert 0 < np.isfinite(found).sum() < np.isfinite(plain).sum()

    to_frame(panel).write_parquet(tmp_path / "a.parquet")
    data = ff.scan_market_data(str(tmp_path / "a.parquet"))
    table = ff.score(["CLOSE / DELAY(CLOSE, 3)"], panel, target=target)
    assert ff.score(["CLOSE / DELAY(CLOSE, 3)"], data, target=target, memory_budget="40MB").equals(table)


def test_bought_shares_are_sold_in_the_next_session() -> None:
    bars = np.datetime64("2021-01-04T09:30") + np.arange(4) * np.timedelta64(60, "m")
    dates = np.concatenate([bars + np.timedelta64(d, "D") for d in range(5)])
    panel = Panel(
        dates, ["600000", "600001"], {f: np.full((20, 2), 10.0) for f in ("HIGH", "LOW", "CLOSE", "VOLUME", "OPEN")}
    )
    with pytest.raises(ff.ConfigError, match=r"T\+1"):
        Target(tradable="a-share", entry_lag=0).values(panel)
    with pytest.raises(ff.ConfigError, match=r"T\+1"):
        Target(tradable="a-share", returns="LEAD(OPEN, 3) / LEAD(OPEN, 1) - 1").values(panel)
    assert Target(tradable="a-share", horizons=["1 session"], entry_lag=0).values(panel).shape == (20, 2)
    assert Target(tradable="a-share", returns="LEAD(OPEN, 5) / LEAD(OPEN, 1) - 1").values(panel).shape == (20, 2)


def test_data_without_its_fields() -> None:
    panel = Panel(np.datetime64("2021-01-01") + np.arange(3), ["600000"], {"CLOSE": np.ones((3, 1))})
    with pytest.raises(ff.UnknownName, match="the data has no field HIGH"):
        Target(tradable="a-share").values(panel)
