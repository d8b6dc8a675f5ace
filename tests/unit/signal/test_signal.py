"""The combined signal of a run is what its verdict judged, and what is held by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.evaluation import daily
from fama_fast.evaluation.portfolios import Groups
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.market import Market
from fama_fast.notebook import Mined
from fama_fast.panel import Panel
from fama_fast.signal import SignalPool, positions

SETTINGS: dict[str, Any] = {
    "run": {"candidates": 20, "rounds": 3, "seed": 4, "wanted": 4, "threads": 1},
    "splits": {"horizon": 2},
    "control": {"random": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signal")


@pytest.fixture(scope="module")
def panel(folder: Path) -> Panel:
    planted = PlantedSignal("DELTA(CLOSE, 5) / CLOSE", 0.2)
    made = simulate(SimulationSpec(n_symbols=50, n_dates=300, seed=5, signals=(planted,)))
    to_frame(made).write_parquet(folder / "prices.parquet")
    return ff.load_market_data(folder / "prices.parquet")


@pytest.fixture(scope="module")
def mined(panel: Panel, folder: Path) -> Mined:
    config = {**SETTINGS, "paths": {"output_dir": str(folder)}}
    found = ff.mine(folder / "prices.parquet", config, output=folder / "run.yaml")
    assert found.verdict.tested is not None  # the test was opened
    return found


def judged(market: Market, panel: Panel, signal: Any) -> dict[str, float]:
    """The figures of the verdict, of a signal on the test rows."""
    rows = market.rows.test
    values = ff.forward_returns(panel, horizon=2, entry_lag=1)[rows]
    return market.summary(daily(signal, values, None, span=market.span, threads=1))


@pytest.mark.parametrize("which", ["list", "wide"])
def test_on_the_test_it_is_what_the_verdict_judged(mined: Mined, panel: Panel, folder: Path, which: Any) -> None:
    with Ledger.open(folder / "ledger.sqlite", create=False) as ledger:
        pool = SignalPool.of_run(ledger, ledger.get_run("last"), which)
    assert pool.fitted == "test"
    market = Market(panel, config_from_dict(SETTINGS))
    rows = market.rows.test
    signal = pool.signal(panel, rows.start, rows.stop, threads=1)
    found = judged(market, panel, signal)
    verdict = mined.verdict.as_dict()
    want = verdict["pool"]["test"] if which == "list" else verdict["wide"]["test"]
    for name in ("rank_ic", "ic", "spread"):
        assert found[name] == want[name]
    whole = mined.signal(wide=which == "wide", threads=2)
    np.testing.assert_array_equal(whole[rows.start : rows.stop], signal)
    np.testing.assert_array_equal(mined.signal(to_frame(panel), wide=which == "wide")[rows.start : rows.stop], signal)


def test_it_is_a_sum_of_weighted_centred_ranks(mined: Mined, panel: Panel) -> None:
    pool = SignalPool.of_document(mined.to_dict())
    total, count = np.zeros(panel.shape), np.zeros(panel.shape)
    for factor in mined.factors:
        weight = mined.verdict.as_dict()["pool"]["test"]["weights"][factor.fingerprint]
        shares = ff.evaluate([f"RANK({factor.expression})"], panel)[0]
        there = np.isfinite(shares)
        n = there.sum(axis=1, keepdims=True)
        total += np.where(there, weight * (shares - (n + 1) / 2 / np.maximum(n, 1)), 0.0)
        count += there
    np.testing.assert_allclose(pool.signal(panel), np.where(count > 0, total, np.nan), atol=1e-6)


def test_positions_hold_what_they_say() -> None:
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(6, 40))
    signal[2, :5] = np.nan
    signal[3] = 0.5
    signal[4] = np.nan
    found = positions(signal, quantiles=4)
    assert found.rank[0, signal[0].argmax()] == 1
    assert found.rank[0, signal[0].argmin()] == 40
    assert set(found.rank[3]) == {20.5}
    assert np.isnan(found.rank[2, :5]).all()
    long, short = np.where(found.weight > 0, found.weight, 0), np.where(found.weight < 0, found.weight, 0)
    np.testing.assert_allclose(long.sum(axis=1)[[0, 1, 2, 5]], 1.0)
    np.testing.assert_allclose(short.sum(axis=1)[[0, 1, 2, 5]], -1.0)
    assert not found.weight[4].any()
    assert (found.rank[0][found.weight[0] > 0] <= 10).all()
    codes = np.tile(np.arange(40) % 2, (6, 1)).astype(float)
    neutral = positions(signal, quantiles=4, groups=Groups(codes, ("a", "b"))).weight
    for group in (0, 1):
        assert neutral[0][codes[0] == group].sum() == pytest.approx(0.0)
    best = positions(signal, kind="top-k", k=8, buffer=2).weight
    np.testing.assert_allclose(best[:3].sum(axis=1), 1.0)
    assert ((best[1] > 0) & (best[0] == 0)).sum() <= 2
    members = np.ones(signal.shape, dtype=bool)
    members[:, 0] = False
    assert np.isnan(positions(signal, universe=members).rank[:, 0]).all()
    with pytest.raises(ff.ConfigError, match="not neutral to groups"):
        positions(signal, kind="top-k", groups=Groups(codes, ("a", "b")))


def run_command(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = main(["signal", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_writes_every_name_and_shows_both_ends(
    mined: Mined, panel: Panel, folder: Path, capsys: Any
) -> None:
    ledger = ("--ledger", str(folder / "ledger.sqlite"))
    out = folder / "today.parquet"
    code, said, notes = run_command(capsys, "last", *ledger, "--output", str(out))
    assert code == 0, notes
    assert "the short list" in notes
    assert "training and validation" in notes
    frame = pl.read_parquet(out)
    signal = mined.signal()
    assert frame["signal"].drop_nulls().to_list() == sorted(signal[-1][np.isfinite(signal[-1])].tolist(), reverse=True)
    assert said.splitlines()[0] == f"{str(panel.dates[-1])[:10]}: {len(frame)} symbols"
    assert frame["symbol"][0] in said
    assert frame["weight"].sum() == pytest.approx(0.0)
    day = str(panel.dates[-20])[:10]
    table = folder / "since.csv"
    more = ("--since", day, "--portfolio", "top-k", "-k", "5", "--output", str(table))
    code, _, notes = run_command(capsys, str(folder / "run.yaml"), "--data", str(folder / "prices.parquet"), *more)
    assert code == 0, notes
    many = pl.read_csv(table)
    assert many["date"].n_unique() == 20
    assert many.group_by("date").agg(pl.col("weight").sum())["weight"].to_list() == pytest.approx([1.0] * 20)
    code, _, notes = run_command(capsys, "last", *ledger, "--wide", "--date", day)
    assert code == 0, notes
    assert "the wide pool" in notes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("last", "--date", "2031-02-03"), "has no date 2031-02-03: the nearest is"),
        (("last", "--date", "yesterday"), "'yesterday' is no date"),
        (("last", "--neutral", "sektor"), "no group field 'sektor'"),
        (("last", "--output", "today.txt"), ".parquet"),
        (("RUN.yaml", "--wide"), "name the run in place of a file"),
        (("factors.txt",), "neither a run nor the result of one"),
    ],
)
def test_what_cannot_be_is_said(
    mined: Mined, folder: Path, capsys: Any, arguments: tuple[str, ...], words: str
) -> None:
    (folder / "factors.txt").write_text("RANK(CLOSE)\n", encoding="utf-8")
    names = {"RUN.yaml": str(folder / "run.yaml"), "factors.txt": str(folder / "factors.txt")}
    given = [names.get(a, a) for a in arguments]
    code, _, notes = run_command(capsys, *given, "--ledger", str(folder / "ledger.sqlite"))
    assert code == 2
    assert words in notes
    assert "Traceback" not in notes
