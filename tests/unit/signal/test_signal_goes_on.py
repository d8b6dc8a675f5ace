"""The signal after the run: date by date in a store and as a stream, weights fitted again, and what was promised."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.evaluation.ranks import oriented_ranks
from fama_fast.factor_store import Fit, open_store, update_store
from fama_fast.mining.measure.combination import blend
from fama_fast.notebook import Mined
from fama_fast.panel import Panel
from fama_fast.signal import Monitor, SignalPool, SignalStream, refitted
from fama_fast.signal.monitor import dates_to_tell, monitor

MINED = 300  # dates that the run is made on
SETTINGS: dict[str, Any] = {
    "run": {"candidates": 20, "rounds": 3, "seed": 4, "wanted": 4, "threads": 1},
    "splits": {"horizon": 2},
    "control": {"random": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signal")


@pytest.fixture(scope="module")
def frame(folder: Path) -> pl.DataFrame:
    planted = PlantedSignal("DELTA(CLOSE, 5) / CLOSE", 0.2)
    made = to_frame(simulate(SimulationSpec(n_symbols=50, n_dates=420, seed=5, signals=(planted,))))
    days = made["date"].unique().sort()
    made.write_parquet(folder / "all.parquet")
    for name, count in (("mined", MINED), ("some", 330)):
        made.filter(pl.col("date") <= days[count - 1]).write_parquet(folder / f"{name}.parquet")
    return made


@pytest.fixture(scope="module")
def mined(frame: pl.DataFrame, folder: Path) -> Mined:
    config = {**SETTINGS, "paths": {"output_dir": str(folder)}}
    found = ff.mine(folder / "mined.parquet", config, output=folder / "run.yaml")
    assert found.verdict.tested is not None
    return found


@pytest.fixture(scope="module")
def pool(mined: Mined) -> SignalPool:
    return SignalPool.of_document(mined.to_dict())


@pytest.fixture(scope="module")
def panel(frame: pl.DataFrame, folder: Path) -> Panel:
    return ff.load_market_data(folder / "all.parquet")


def stored(store: Path, panel: Panel, name: str = "signal") -> Any:
    """(T, N) what a store has, on the panel's dates and symbols."""
    table = open_store(store).scan([name]).collect()
    wide = table.pivot(on="symbol", index="date", values=name).sort("date")
    return wide.select(panel.symbols.tolist()).to_numpy().astype(float)


def run_command(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


# --- in a factor store


@pytest.mark.parametrize("which", ["list", "wide"])
def test_a_store_grows_date_by_date_with_the_bits_of_the_whole(
    mined: Mined, panel: Panel, folder: Path, tmp_path: Path, capsys: Any, which: str
) -> None:
    run = ["signal", "last", "--ledger", str(folder / "ledger.sqlite"), "--store", str(tmp_path / "store")]
    run += ["--wide"] if which == "wide" else []
    name = "signal_wide" if which == "wide" else "signal"
    code, _, notes = run_command(capsys, *run, "--data", str(folder / "some.parquet"))
    assert code == 0, notes
    assert "330 dates added" in notes
    assert f"now {panel.dates[0]} to {panel.dates[329]}, column {name}" in notes
    whole = mined.signal(panel, wide=which == "wide")
    np.testing.assert_array_equal(stored(tmp_path / "store", panel, name), whole[:330])
    code, _, notes = run_command(capsys, *run, "--append", "--data", str(folder / "all.parquet"))
    assert code == 0, notes
    assert "90 dates added" in notes
    np.testing.assert_array_equal(stored(tmp_path / "store", panel, name), whole)
    code, _, notes = run_command(capsys, *run, "--append", "--data", str(folder / "all.parquet"))
    assert code == 0
    assert f"nothing to do, the store has the signal of all dates up to {panel.dates[-1]}" in notes
    assert open_store(tmp_path / "store").manifest.generation == 2


def test_a_store_in_parts_has_the_bits_of_memory(pool: SignalPool, panel: Panel, folder: Path, tmp_path: Path) -> None:
    parts = ff.scan_market_data(folder / "all.parquet")
    options: dict[str, Any] = {"min_coverage": pool.min_coverage, "memory_budget": "27MB"}
    update_store(tmp_path / "store", parts, signal=("signal", pool.combination(panel)), **options)
    np.testing.assert_array_equal(stored(tmp_path / "store", panel), pool.signal(panel))


def test_factors_and_a_signal_share_a_store_and_the_store_command_goes_on(
    pool: SignalPool, panel: Panel, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    store = tmp_path / "store"
    some = ff.load_market_data(folder / "some.parquet")
    made = ("signal", pool.combination(some))
    update_store(store, some, ["RANK(CLOSE)"], names=["rank"], signal=made, min_coverage=pool.min_coverage)
    arguments = ("compute", "--store", str(store), "--append", "--data", str(folder / "all.parquet"))
    code, _, notes = run_command(capsys, *arguments)
    assert code == 0, notes
    np.testing.assert_array_equal(stored(store, panel), pool.signal(panel))
    np.testing.assert_array_equal(stored(store, panel, "rank"), ff.evaluate(["RANK(CLOSE)"], panel)[0])


def test_a_changed_history_is_refused_and_nothing_is_done(
    mined: Mined, frame: pl.DataFrame, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    run = ["signal", "last", "--ledger", str(folder / "ledger.sqlite"), "--store", str(tmp_path / "store")]
    assert run_command(capsys, *run, "--data", str(folder / "some.parquet"))[0] == 0
    day, symbol = frame["date"].unique().sort()[200], frame["symbol"][0]
    changed = (pl.col("date") == day) & (pl.col("symbol") == symbol)
    close = pl.when(changed).then(pl.col("close") * 1.01).otherwise(pl.col("close")).alias("close")
    frame.with_columns(close).write_parquet(tmp_path / "changed.parquet")
    before = open_store(tmp_path / "store")
    code, _, notes = run_command(capsys, *run, "--append", "--data", str(tmp_path / "changed.parquet"))
    assert code == 2
    assert "history has changed" in notes
    assert str(day) in notes
    assert symbol in notes
    assert "nothing was done" in notes
    assert "Traceback" not in notes
    assert open_store(tmp_path / "store").manifest == before.manifest


def test_another_signal_is_refused(pool: SignalPool, panel: Panel, tmp_path: Path) -> None:
    from dataclasses import replace

    options: dict[str, Any] = {"min_coverage": pool.min_coverage}
    update_store(tmp_path, panel, signal=("signal", pool.combination(panel)), **options)
    other = replace(pool, weights=tuple(w * 2 for w in pool.weights))
    with pytest.raises(ff.StoreError, match="has another signal: run"):
        update_store(tmp_path, panel, signal=("signal", other.combination(panel)), append=True, **options)
    with pytest.raises(ff.StoreError, match="append to it"):
        update_store(tmp_path, panel, signal=("signal", pool.combination(panel)), **options)
    factors = tmp_path / "factors"
    update_store(factors, panel, ["RANK(CLOSE)"], names=["signal"], **options)
    with pytest.raises(ff.ConfigError, match="'signal' is taken by a formula"):
        update_store(factors, panel, signal=("signal", pool.combination(panel)), append=True, **options)


def test_ranks_are_those_that_are_judged_where_rounding_makes_ties(frame: pl.DataFrame, tmp_path: Path) -> None:
    """RANK of what grows with x is RANK of x: computed in full, rounding parts what is equal, or joins what is not."""
    coarse = frame.with_columns(pl.col("open", "high", "low", "close").round(0))
    panel = ff.load_market_data(coarse)
    formulas = ("SCALE(CLOSE / HIGH, 2)", "RANK(DEMEAN(DELTA(CLOSE, 3)))", "(CLOSE - OPEN) * 0.1 + 0.3", "-CLOSE / 3")
    forms: Any = tuple((text, (-1) ** i) for i, text in enumerate(formulas))
    pool = SignalPool(forms, (0.3, 0.5, 0.11, 0.7), "by hand", "test", "none", min_coverage=0.5)
    shares = ff.evaluate([f"RANK({text})" for text, _ in forms], panel, min_coverage=0.5)
    ranks = [oriented_ranks(values, sign) for values, (_, sign) in zip(shares, forms, strict=True)]
    want = blend(ranks, np.tile(np.array(pool.weights)[:, None], len(panel.dates)))["ridge"]
    np.testing.assert_array_equal(pool.signal(panel), want)
    np.testing.assert_array_equal(pool.signal(panel, 100, 103), want[100:103])
    update_store(tmp_path / "store", panel, signal=("signal", pool.combination(panel)), min_coverage=0.5)
    np.testing.assert_array_equal(stored(tmp_path / "store", panel), want)
    stream = SignalStream(pool, panel.slice_dates(0, 410))
    for t in range(410, 420):
        rows = {name: panel[name][t] for name in stream.required_fields}
        np.testing.assert_array_equal(stream.push(panel.dates[t], rows), want[t])


# --- weights that are fitted again


def test_a_fit_before_the_test_gives_the_weights_of_the_run(mined: Mined, pool: SignalPool, panel: Panel) -> None:
    document = mined.to_dict()
    served = int(np.searchsorted(panel.dates, np.datetime64(document["splits"]["test"]["first"])))
    again = refitted(pool, document, panel, served - 1)
    assert again.later[0].weights == pool.weights
    np.testing.assert_array_equal(again.signal(panel), pool.signal(panel))
    with pytest.raises(ff.DataError, match="own weights know data up to"):
        refitted(pool, document, panel, served - 2)


def test_a_fit_knows_nothing_after_its_date(mined: Mined, pool: SignalPool, frame: pl.DataFrame, panel: Panel) -> None:
    day = panel.dates[329]
    later = pl.col("date") > day
    other = frame.with_columns(pl.when(later).then(pl.col("close").reverse()).otherwise(pl.col("close")).alias("close"))
    found = [refitted(pool, mined.to_dict(), data, 329) for data in (panel, ff.load_market_data(other))]
    assert found[0].later == found[1].later
    assert found[0].later[0].weights != pool.weights
    assert found[0].later[0].taught.startswith(f"data up to {day} (signals up to {panel.dates[326]}), penalty ")
    signal = found[0].signal(panel)
    np.testing.assert_array_equal(signal[:330], pool.signal(panel)[:330])
    assert not np.array_equal(signal[330:], pool.signal(panel)[330:], equal_nan=True)


def test_weights_walk_forward(mined: Mined, pool: SignalPool, panel: Panel) -> None:
    walked = refitted(pool, mined.to_dict(), panel, 329, every=30)
    assert len(walked.later) == 3
    for fit, row in zip(walked.later, (329, 359, 389), strict=True):
        assert refitted(pool, mined.to_dict(), panel, row).later == (fit,)
    signal = walked.signal(panel)
    alone = refitted(pool, mined.to_dict(), panel, 359).signal(panel)
    np.testing.assert_array_equal(signal[360:390], alone[360:390])
    assert not np.array_equal(signal[390:], alone[390:], equal_nan=True)


def test_a_refit_is_said_and_a_store_keeps_what_it_has(
    mined: Mined, pool: SignalPool, panel: Panel, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    store = tmp_path / "store"
    run = ["signal", "last", "--ledger", str(folder / "ledger.sqlite"), "--store", str(store)]
    code, _, notes = run_command(capsys, *run, "--data", str(folder / "some.parquet"))
    assert code == 0
    assert "fitted again" not in notes
    more = ["--append", "--data", str(folder / "all.parquet")]
    code, _, notes = run_command(capsys, *run, *more, "--refit", str(panel.dates[300]))
    assert code == 2
    assert f"signals up to {panel.dates[329]}, and weights taught by data up to {panel.dates[300]}" in notes
    code, _, notes = run_command(capsys, *run, *more, "--refit", "latest")
    assert code == 0, notes
    assert f"{panel.dates[-1]}: weights fitted again on data up to {panel.dates[329]}" in notes
    want = refitted(pool, mined.to_dict(), panel, 329).signal(panel)
    np.testing.assert_array_equal(stored(store, panel), want)
    code, _, notes = run_command(capsys, *run, *more)  # what the store knows goes on without being asked again
    assert code == 0
    assert f"weights fitted again on data up to {panel.dates[329]}" in notes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--append",), "name it with --store"),
        (("--refit-every", "5"), "give that with --refit"),
        (("--refit", "latest", "--wide"), "wide pool"),
        (("--refit", "2031-02-03"), "has no date 2031-02-03"),
        (("--store", "STORE", "--append"), "is no factor store"),
    ],
)
def test_what_cannot_be_is_said(
    mined: Mined, folder: Path, tmp_path: Path, capsys: Any, arguments: tuple[str, ...], words: str
) -> None:
    given = [str(tmp_path / "nothing") if a == "STORE" else a for a in arguments]
    code, _, notes = run_command(capsys, "signal", "last", "--ledger", str(folder / "ledger.sqlite"), *given)
    assert code == 2
    assert words in notes
    assert "Traceback" not in notes


# --- a stream


@pytest.mark.parametrize("which", ["list", "wide"])
def test_a_stream_has_the_bits_of_the_whole_panel(mined: Mined, panel: Panel, which: str) -> None:
    wide = which == "wide"
    stream = mined.stream(panel.slice_dates(0, 400), wide=wide)
    want = mined.signal(panel, wide=wide)
    for t in range(400, panel.shape[0]):
        rows = {name: panel[name][t] for name in stream.required_fields}
        np.testing.assert_array_equal(stream.push(panel.dates[t], rows), want[t])
    assert stream.date == panel.dates[-1]


def test_a_stream_takes_bars_in_any_order_and_weights_of_their_dates(
    mined: Mined, pool: SignalPool, frame: pl.DataFrame, panel: Panel
) -> None:
    walked = refitted(pool, mined.to_dict(), panel, 410)
    gone = str(panel.symbols[3])
    without = frame.filter((pl.col("symbol") != gone) | (pl.col("date") <= panel.dates[404]))
    want = walked.signal(ff.load_market_data(without))
    stream = SignalStream(walked, ff.load_market_data(without).slice_dates(0, 405))
    for t in range(405, panel.shape[0]):
        bars = without.filter(pl.col("date") == panel.dates[t]).reverse()
        assert bars.height == len(panel.symbols) - 1
        np.testing.assert_array_equal(stream.push_bars(bars if t % 2 else bars.to_pandas()), want[t])


def test_a_stream_that_refuses_has_taken_nothing(mined: Mined, frame: pl.DataFrame, panel: Panel) -> None:
    stream = mined.stream(panel.slice_dates(0, 419))
    rows = {name: panel[name][419] for name in stream.required_fields}
    with pytest.raises(ff.DataError, match="is not after"):
        stream.push(panel.dates[418], rows)
    with pytest.raises(ff.DataError, match="shape"):
        stream.push(panel.dates[419], rows | {stream.required_fields[-1]: np.zeros(3)})
    bars = frame.filter(pl.col("date") == panel.dates[419])
    with pytest.raises(ff.DataError, match="not among the history's symbols"):
        stream.push_bars(bars.with_columns(symbol=pl.col("symbol") + "X"))
    with pytest.raises(ff.DataError, match="the bars of one date"):
        stream.push_bars(frame.filter(pl.col("date") >= panel.dates[418]))
    with pytest.raises(ff.UnknownName, match="group field 'REGION'"):
        stream.push(panel.dates[419], rows, groups={"region": ["a"] * 50})
    np.testing.assert_array_equal(stream.push(panel.dates[419], rows), mined.signal(panel)[419])


# --- the monitor


def test_the_monitor_measures_the_new_dates_alone(mined: Mined, panel: Panel, pool: SignalPool) -> None:
    found = mined.monitor(panel, window=20)
    # The labels of 2 dates, entered a date later, were not known for the run's last 3 dates.
    assert found.dates[0] == panel.dates[MINED - 3]
    assert found.dates[-1] == panel.dates[-4]
    values = ff.forward_returns(panel, horizon=2, entry_lag=1)
    rows = slice(MINED - 3, len(panel.dates) - 3)
    want = ff.rank_ic(pool.signal(panel)[rows], values[rows])
    np.testing.assert_array_equal(found.daily["rank_ic"], want)
    watched = found.measures["rank_ic"]
    assert watched.since == pytest.approx(want.mean())
    assert watched.rolling == pytest.approx(want[-20:].mean())
    np.testing.assert_allclose(found.rolling["rank_ic"][19:], np.convolve(want, np.ones(20) / 20, "valid"))
    assert np.isnan(found.rolling["rank_ic"][:19]).all()
    promised = mined.verdict.as_dict()["pool"]["test"]
    assert watched.promised == promised["rank_ic"]
    assert list(watched.promised_interval) == promised["rank_ic_interval"]
    assert math.isfinite(found.measures["ic"].promised_interval[0])  # computed again, as the verdict did not need it
    assert found.status == "within"  # the planted signal goes on
    assert "within the promise" in found.sentences[0]


def test_a_signal_that_turned_is_below_and_noise_takes_longer(
    mined: Mined, frame: pl.DataFrame, panel: Panel, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    """The closes after the run are those of other symbols: what the pool says of one comes true of another."""
    day = panel.dates[MINED - 1]
    fresh = simulate(SimulationSpec(n_symbols=50, n_dates=420, seed=99))
    closes = to_frame(fresh).select("date", "symbol", pl.col("close").alias("other"))
    first = frame.filter(pl.col("date") == day).select("symbol", pl.col("close").alias("base"))
    base = closes.filter(pl.col("date") == day).select("symbol", pl.col("other").alias("other_base"))
    noise = frame.join(closes, on=["date", "symbol"]).join(first, on="symbol").join(base, on="symbol")
    moved = pl.col("base") * pl.col("other") / pl.col("other_base")
    close = pl.when(pl.col("date") > day).then(moved).otherwise(pl.col("close")).alias("close")
    noise.with_columns(close).select(frame.columns).sort("date", "symbol").write_parquet(tmp_path / "noise.parquet")
    run = ["monitor", str(folder / "run.yaml"), "--data", str(tmp_path / "noise.parquet")]
    code, said, notes = run_command(capsys, *run, "--json", "--output", str(tmp_path / "series.csv"))
    assert code == 1, notes  # the objective is below its promise
    found = json.loads(said)
    assert found["status"] == "below"
    assert found["measures"]["rank_ic"]["p"] < 0.05
    assert abs(found["measures"]["rank_ic"]["since"]) < 0.05 < found["measures"]["rank_ic"]["promised"]
    assert len(found["daily"]) == pl.read_csv(tmp_path / "series.csv").height == 120
    code, said, _ = run_command(capsys, *run)
    assert code == 1
    assert "below the promise (p " in said
    assert said.splitlines()[0].endswith(f"below; 120 dates, {panel.dates[MINED - 3]} to {panel.dates[-4]}")


def test_dates_to_tell_is_what_it_takes() -> None:
    rng = np.random.default_rng(3)
    promised, error, judged = 0.05, 0.012, 200
    needed = dates_to_tell(promised, error, judged)
    assert needed is not None
    spread = error * math.sqrt(judged)
    # As often as promised a mean of nothing is told from a promise that is itself uncertain.
    seen = promised + rng.normal(scale=error, size=20_000)
    now = rng.normal(scale=spread / math.sqrt(needed), size=20_000)
    told = (now - seen) / math.hypot(error, spread / math.sqrt(needed)) < -1.6449
    assert told.mean() == pytest.approx(0.8, abs=0.02)
    assert dates_to_tell(0.02, 0.012, 200) is None
    assert dates_to_tell(-0.02, 0.001, 200) is None
    assert dates_to_tell(math.nan, 0.001, 200) is None


def test_without_new_dates_there_is_nothing_to_say(mined: Mined, folder: Path, capsys: Any, panel: Panel) -> None:
    run = ["monitor", str(folder / "run.yaml"), "--data"]
    code, _, notes = run_command(capsys, *run, str(folder / "mined.parquet"))
    assert code == 2
    assert "no date since then has a return" in notes
    few = monitor(mined.to_dict(), panel.slice_dates(0, MINED + 5))
    assert isinstance(few, Monitor)
    assert few.status == "early"
    assert "too early to say" in few.sentences[0]


def test_a_fit_of_no_weights_is_nothing_of_a_combination(pool: SignalPool, panel: Panel) -> None:
    made = pool.combination(panel)
    assert made.fits == (Fit(None, "training and validation", pool.weights),)
    assert len(made.fingerprint) == 32
