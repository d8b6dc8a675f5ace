"""Data larger than memory: chunks of dates give the bits of one run, whatever the files look like, or a clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast import passes
from fama_fast.backends.numba_vm import memory
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.data.simulator.pieces import simulate_pieces
from fama_fast.engine import budget
from fama_fast.engine.alpha import Alpha
from fama_fast.engine.budget import Demand, parse_bytes, show_bytes
from fama_fast.engine.chunks import chunks
from fama_fast.engine.evaluate import evaluate_from
from fama_fast.engine.outputs import Chunk
from fama_fast.engine.prepare import lowered_roots, plan_chunks, read_names
from fama_fast.errors import ConfigError, DataError, OutputError
from fama_fast.panel import Panel
from fama_fast.panel.dataset import Dataset
from tests.unit.ops.test_random_expressions import random_alphas

LONG = (
    "TS_MEAN(CLOSE, 250)",
    "TS_STDDEV(RET, 120)",
    "CORREL(CLOSE, VOLUME, 250)",
    "HUMP(RANK(CLOSE))",
    "TRADE_WHEN(CLOSE > OPEN, RANK(VOLUME), CLOSE < OPEN)",
    "GROUP_RANK(TS_RANK(VWAP, 100), SECTOR)",
    "GROUP_NEUTRALIZE(DELTA(CLOSE, 3), INDUSTRY)",
    "EMA(CLOSE, 60)",
    "TS_MEDIAN(CLOSE, 90)",
    "DECAY_LINEAR(RANK(TS_MEAN(RET, 60)), 60)",
    "ADV20 / VOLUME",
    "TS_SKEW(RET, 200)",
    "TS_ARGMAX(CLOSE, 99)",
    "DELAY(CLOSE, 1)",
    "1 + 1",
)
DATES, SYMBOLS = 460, 30


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decoding takes whatever the data's size would be most of a test's budget."""
    monkeypatch.setattr(budget, "_FIXED", 0)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    panel = simulate(SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, missing=0.03, late_listing=0.2, seed=3))
    rng = np.random.default_rng(0)
    made = to_frame(panel.replace(universe=rng.random(panel.shape) < 0.9))
    infinite = pl.when(pl.int_range(pl.len()) == 777).then(float("inf")).otherwise(pl.col("volume"))
    return made.with_columns(volume=infinite)


@pytest.fixture(scope="module")
def panel(frame: pl.DataFrame) -> Panel:
    return Panel.from_frame(frame)


@pytest.fixture(scope="module")
def alphas() -> list[Alpha]:
    return [*random_alphas(24, 3), *(ff.compile(text) for text in LONG)]


@pytest.fixture(scope="module")
def values(panel: Panel, alphas: list[Alpha]) -> list[np.ndarray]:
    return ff.evaluate(alphas, panel)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal cells, minus zero told from zero, and missing where missing."""
    known = ~np.isnan(a)
    return bool(
        np.array_equal(known, ~np.isnan(b)) and np.array_equal(a[known].view(np.int64), b[known].view(np.int64))
    )


def write(frame: pl.DataFrame, folder: Path, how: str) -> Path:
    """The frame as a data set of some shape."""
    path = folder / how
    if how == "hive":
        keys = {"y": pl.col("date").dt.year(), "q": pl.col("date").dt.quarter()}
        for (year, quarter), part in frame.group_by(**keys):
            place = path / f"year={year}" / f"quarter={quarter}"
            place.mkdir(parents=True)
            part.write_parquet(place / "part.parquet")
        return path
    if how == "hive_date":
        for (date,), part in frame.group_by("date"):
            place = path / f"date={date}"
            place.mkdir(parents=True)
            part.drop("date").write_parquet(place / "0.parquet")
        return path
    path.mkdir()
    if how == "by_symbol":
        for (symbol,), part in frame.group_by("symbol"):
            part.write_parquet(path / f"{symbol}.parquet")
    elif how == "shuffled":
        frame.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(path / "a.parquet", row_group_size=901)
    elif how == "tiny_row_groups":
        frame.write_parquet(path / "a.parquet", row_group_size=37)
    elif how == "two_files":
        half = frame.height // 2
        frame[:half].write_parquet(path / "a.parquet")
        frame[half:].select(reversed(frame.columns)).write_parquet(path / "b.parquet")
    else:
        assert how == "one_row_group"
        frame.write_parquet(path / "a.parquet", row_group_size=frame.height)
    return path


SHAPES = ("one_row_group", "tiny_row_groups", "two_files", "shuffled", "by_symbol", "hive", "hive_date")


@pytest.mark.parametrize("how", SHAPES)
def test_any_data_set_read_in_parts_is_the_panel(how: str, frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    if how == "hive_date":  # a file a date
        frame = frame.filter(pl.col("date") < pl.date(2015, 3, 1))
        panel = Panel.from_frame(frame)
    path = write(frame, tmp_path, how)
    data = Dataset(path, fields=["OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"])
    assert data.ordered is (how not in {"shuffled", "by_symbol"})
    assert data.rows == frame.height
    assert data.shape == panel.shape
    assert data.panel().data_hash == panel.data_hash
    reader = data.reader()
    end = len(panel.dates)
    for start, stop in [(0, 1), (1, 12), (12, 13), (13, end - 9), (4, 5), (end - 9, end)]:  # one of them goes back
        assert reader.read(start, stop).data_hash == panel.slice_dates(start, stop).data_hash


def least_budget(source: Panel | Dataset, alphas: list[Alpha], **options: Any) -> int:
    """What the error about a budget too small says would do."""
    with pytest.raises(ConfigError, match="too small") as caught:
        ff.evaluate(alphas, source, memory_budget=1, **options)
    return parse_bytes(str(caught.value).partition("at least ")[2].split()[0])


@pytest.mark.parametrize("how", ["tiny_row_groups", "shuffled", "memory"])
def test_chunks_give_the_bits_of_one_run(
    how: str, frame: pl.DataFrame, panel: Panel, alphas: list[Alpha], values: list[np.ndarray], tmp_path: Path
) -> None:
    source = panel if how == "memory" else Dataset(write(frame, tmp_path, how))
    least = least_budget(source, alphas)
    roots = lowered_roots(alphas, source)
    fields, groups = read_names(roots, source)
    assert set(fields) == set(panel.supplied_fields)
    for more in (0, 500_000):
        schedule = plan_chunks(roots, source, least + more, fields=fields, groups=groups)
        assert schedule.peak <= least + more
        assert schedule.core < DATES / 2
        found = ff.evaluate(alphas, source, memory_budget=least + more, threads=2)
        wrong = [a.canonical for a, x, y in zip(alphas, values, found, strict=True) if not same_bits(x, y)]
        assert not wrong


@pytest.mark.parametrize("row", [0, 1, 97, 300, DATES - 1])
def test_values_from_a_row_on_have_the_bits_of_all(
    row: int, panel: Panel, alphas: list[Alpha], values: list[np.ndarray]
) -> None:
    """Together, and one by one, where each begins at its own row."""
    together = evaluate_from(alphas, panel, row)
    for alpha, want, found in zip(alphas, values, together, strict=True):
        assert same_bits(found, want[row:]), alpha.canonical
        assert same_bits(evaluate_from([alpha], panel, row)[0], want[row:]), alpha.canonical
    assert evaluate_from([], panel, row) == []


def test_scores_in_parts_are_those_in_memory(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    texts = ["-RANK(DELTA(CLOSE, 5))", "TS_MEAN(RET, 250)", "GROUP_RANK(VOLUME, SECTOR)", "1 + 1", "TS_RANK(VWAP, 30)"]
    data = Dataset(write(frame, tmp_path, "tiny_row_groups"))
    for options in (
        {"horizon": [1, 5, 20]},
        {"splits": "50/25/25", "horizon": 3, "entry_lag": 0},
        {"start": "2015-06-01", "end": "2016-06-01", "min_coverage": 0.6},
    ):
        expected = ff.score(texts, panel, **options)
        assert ff.score(texts, data, memory_budget="2MB", **options).equals(expected), options
        assert ff.score(texts, panel, memory_budget="2MB", **options).equals(expected), options
        assert expected["n_days"].to_list()[0] > 50


def test_chunks_cover_every_date_once_and_read_ahead(frame: pl.DataFrame, tmp_path: Path) -> None:
    data = Dataset(write(frame, tmp_path, "one_row_group"))
    roots = lowered_roots([ff.compile("TS_MEAN(CLOSE, 40)")], data)
    schedule = plan_chunks(roots, data, parse_bytes("300kB"), fields=["CLOSE"], groups=[], rows_after=6)
    assert schedule.core < DATES / 2
    at = 0
    for loaded in chunks(data, schedule, ["CLOSE"], []):
        assert loaded.start == at
        at = loaded.stop
        first, last = max(0, loaded.start - schedule.halo), min(DATES, loaded.stop + 6)
        assert np.array_equal(loaded.rows(first, last).dates, data.dates[first:last])
    assert at == DATES


@pytest.mark.parametrize("name", ["values.parquet", "values.csv", "values"])
def test_values_are_written_as_they_are_in_memory(
    name: str, frame: pl.DataFrame, panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(frame, tmp_path, "tiny_row_groups")
    texts = ["-RANK(DELTA(CLOSE, 5))", "TS_MEAN(CLOSE, 250)"]
    first, second = ff.evaluate(texts, panel)
    written = ff.evaluate(texts, Dataset(data), memory_budget="700kB", output=tmp_path / name, names=["a", "b"])
    assert written.chunks > 1
    found = (
        pl.read_csv(tmp_path / name, try_parse_dates=True) if name.endswith("csv") else pl.read_parquet(tmp_path / name)
    )
    assert found.columns == ["date", "symbol", "a", "b"]
    row, column = np.nonzero(np.isfinite(panel["CLOSE"]) | np.isfinite(first) | np.isfinite(second))
    assert written.rows == found.height == row.size
    assert np.array_equal(found["date"].to_numpy().astype("datetime64[D]"), panel.dates[row])
    assert found["symbol"].to_list() == list(panel.symbols[column])
    for name_of, expected in (("a", first), ("b", second)):
        assert same_bits(found[name_of].cast(pl.Float64).fill_null(np.nan).to_numpy(), expected[row, column])
    command = ["compute", "a: -RANK(DELTA(CLOSE, 5))", "b: TS_MEAN(CLOSE, 250)", "--data", str(data)]
    assert main([*command, "--memory-budget", "700kB", "--output", str(tmp_path / f"cli_{name}")]) == 0
    assert "2 columns" not in capsys.readouterr().err
    if name == "values.parquet":
        assert pl.read_parquet(tmp_path / f"cli_{name}").equals(found)
        assert main([*command, "--output", str(tmp_path / "whole.parquet")]) == 0
        assert pl.read_parquet(tmp_path / "whole.parquet").equals(found)


def test_a_function_takes_the_chunks(panel: Panel) -> None:
    taken: list[Chunk] = []
    written = ff.evaluate(["TS_MEAN(CLOSE, 20)"], panel, memory_budget="200kB", output=taken.append, names=["mean"])
    assert written.path is None
    assert written.chunks == len(taken) > 2
    together = np.concatenate([chunk.values[0] for chunk in taken])
    assert same_bits(together, ff.evaluate(["TS_MEAN(CLOSE, 20)"], panel)[0])
    assert [chunk.start for chunk in taken] == list(np.cumsum([0, *(len(c.dates) for c in taken[:-1])]))


def test_the_memory_of_a_chunk_serves_the_next_within_the_budget(
    panel: Panel, alphas: list[Alpha], values: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = most = made = 0
    aligned = memory.aligned

    def gone(size: int) -> None:
        nonlocal live
        live -= size

    def counted(shape: tuple[int, ...]) -> np.ndarray:
        nonlocal live, most, made
        array = aligned(shape)
        if len(shape) == 1:  # of a thread: registers, scratch
            return array
        live, made = live + array.nbytes, made + 1
        most = max(most, live)
        weakref.finalize(array.base, gone, array.nbytes)
        return array

    after = []

    def take(chunk: Chunk) -> None:
        rows = slice(chunk.start, chunk.start + len(chunk.dates))
        assert all(same_bits(v, w[rows]) for v, w in zip(chunk.values, values, strict=True))
        after.append(made)

    monkeypatch.setattr(memory, "aligned", counted)
    roots = lowered_roots(alphas, panel)
    short = [i for i, root in enumerate(roots) if passes.lookback(root) < 60]
    alphas, values, roots = [alphas[i] for i in short], [values[i] for i in short], tuple(roots[i] for i in short)
    limit = least_budget(panel, alphas, output=take) + 300_000
    schedule = plan_chunks(roots, panel, limit, fields=[], groups=[], kept=len(roots), extra=1.0)
    # A second thread may hold on to what it worked with for some microseconds.
    ff.evaluate(alphas, panel, memory_budget=limit, output=take, threads=1)
    full = -(-schedule.halo // schedule.core)  # number of the first chunk with all rows before it
    assert len(after) > full + 3
    assert after[full] == after[-2]  # the last chunk may be shorter
    assert most <= schedule.peak
    assert live == 0


def test_too_small_a_budget_says_the_least_that_would_do(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    data = Dataset(write(frame, tmp_path, "one_row_group"))
    alphas = [ff.compile("TS_MEAN(CLOSE, 250)")]
    for source in (panel, data):
        with pytest.raises(
            ConfigError, match=r"memory_budget of 1kB is too small: one chunk of dates with the 249 rows"
        ):
            ff.evaluate(alphas, source, memory_budget="1kB")
        least = least_budget(source, alphas)
        assert ff.evaluate(alphas, source, memory_budget=least)[0].shape == (DATES, SYMBOLS)
        with pytest.raises(ConfigError, match="too small"):
            ff.evaluate(alphas, source, memory_budget=least // 2 if source is panel else least - 2000)


def test_duplicates_are_found_before_reading_and_named(frame: pl.DataFrame, tmp_path: Path) -> None:
    row = frame[5000].with_columns(close=pl.lit(1.0))
    for how, doubled in (
        ("tiny_row_groups", pl.concat([frame[:5003], row, frame[5003:]])),
        ("shuffled", pl.concat([frame, row, frame[5000]])),
    ):
        with pytest.raises(DataError) as caught:
            Dataset(write(doubled, tmp_path, how))
        text = str(caught.value)
        assert f"({row['date'][0]}, {row['symbol'][0]}) in a.parquet row " in text
        assert "1 (date, symbol) key is in more than one row" in text
        if how == "tiny_row_groups":
            assert "a.parquet row 5,001, a.parquet row 5,004" in text


def test_bad_data_sets_are_clear_errors(
    frame: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no such file"):
        Dataset(tmp_path / "none.parquet")
    frame.head(30).write_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match="only Parquet can be read part by part"):
        Dataset(tmp_path / "a.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet: not a Parquet file"):
        Dataset(tmp_path / "broken.parquet")
    (tmp_path / "mixed").mkdir()
    frame.head(10).write_parquet(tmp_path / "mixed" / "a.parquet")
    frame.head(10).drop("close").write_parquet(tmp_path / "mixed" / "b.parquet")
    with pytest.raises(DataError, match="columns differ"):
        Dataset(tmp_path / "mixed")
    frame.head(40).with_columns(pl.col("close").cast(pl.String)).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="'close' holds text"):
        Dataset(tmp_path / "text.parquet").panel()
    frame.head(40).with_columns(
        symbol=pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise("symbol")
    ).write_parquet(tmp_path / "null.parquet")
    with pytest.raises(DataError, match=r"row 8: an empty value is not a symbol"):
        Dataset(tmp_path / "null.parquet")
    frame.write_parquet(tmp_path / "a.parquet")
    for argv, message in (
        (["score", "CLOSE", "--memory-budget", "lots"], "memory_budget must be bytes or a text"),
        (["score", "TS_MEAN(CLOSE, 200)", "--memory-budget", "100kB"], "at least"),
        (["score", "RANK(CLOZE)", "--memory-budget", "1GB"], "did you mean CLOSE?"),
        (["compute", "CLOSE", "--memory-budget", "1GB", "--output", str(tmp_path / "x.txt")], "must end in"),
        (["compute", "CLOSE", "--memory-budget", "1GB", "--output", str(tmp_path / "mixed")], "is not empty"),
    ):
        assert main([*argv, "--data", str(tmp_path / "a.parquet")]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(OutputError, match="does not exist"):
        ff.evaluate(["CLOSE"], Panel.from_frame(frame), output=tmp_path / "no" / "values")


def test_joined_files_and_dates_read_in_parts(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = write(frame.drop("sector", "in_universe"), tmp_path, "tiny_row_groups")
    symbols = frame["symbol"].unique().sort()
    pl.DataFrame({"symbol": symbols, "sector": [f"G{i % 3}" for i in range(len(symbols))]}).write_csv(
        tmp_path / "g.csv"
    )
    days = frame["date"].unique().sort()
    pl.DataFrame(
        {"symbol": symbols[:20], "start": [days[50]] * 20, "end": [days[i + 300] for i in range(20)]}
    ).write_csv(tmp_path / "u.csv")
    options = {"groups": tmp_path / "g.csv", "universe": tmp_path / "u.csv", "start": days[20], "end": days[400]}
    panel = ff.load_market_data(path / "a.parquet", **options)
    data = ff.scan_market_data(path, **options)
    assert data.panel().data_hash == panel.data_hash
    texts = ["GROUP_RANK(TS_MEAN(CLOSE, 60), SECTOR)", "RANK(CLOSE)"]
    assert ff.score(texts, data, memory_budget="500kB").equals(ff.score(texts, panel))


def test_a_hive_folder_and_a_uri_load_whole(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    path = write(frame, tmp_path, "hive")
    fields = ["OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"]
    assert ff.load_market_data(path, fields=fields).data_hash == panel.data_hash
    assert ff.load_market_data(path.as_uri(), fields=fields).data_hash == panel.data_hash
    assert ff.scan_market_data(f"{path.as_uri()}/year=2015/*/*.parquet", fields=fields).dates[-1] < np.datetime64(
        "2016"
    )
    with pytest.raises(DataError, match="nowhere://"):
        ff.scan_market_data("nowhere://bucket/data")


def test_killed_in_the_middle_leaves_what_was_there(frame: pl.DataFrame, tmp_path: Path) -> None:
    data = write(frame, tmp_path, "tiny_row_groups")
    output = tmp_path / "values.parquet"
    output.write_bytes(b"before")
    script = f"""
        import sys, time
        import fama_fast as ff
        from fama_fast.engine import budget, outputs
        put = outputs.Writer.put
        def slow(self, chunk):
            put(self, chunk)
            print("chunk", flush=True)
            time.sleep(0.5)
        outputs.Writer.put = slow
        budget._FIXED = 0
        data = ff.scan_market_data({str(data)!r})
        ff.evaluate(["TS_MEAN(CLOSE, 250)"], data, memory_budget="700kB", output={str(output)!r})
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "chunk\n"
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert output.read_bytes() == b"before"


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_a_market_simulated_in_pieces_is_the_market(rows: int) -> None:
    spec = SimulationSpec(n_symbols=20, n_dates=130, missing=0.05, late_listing=0.3, seed=4)
    pieces = [to_frame(p) for p in simulate_pieces(spec, rows)]
    assert pl.concat(pieces).equals(to_frame(simulate(spec)))
    assert len(pieces) == -(-130 // rows)


def test_sizes() -> None:
    for text, size in (("800MB", 8e8), ("1.5 GB", 1.5e9), ("2GiB", 2**31), ("64k", 64e3), ("100", 100), (10.0, 10)):
        assert parse_bytes(text) == size
    for wrong in ("", "lots", "-1GB", 0, -5, True, "1 XB"):
        with pytest.raises(ConfigError, match="memory_budget"):
            parse_bytes(wrong)
    assert parse_bytes(show_bytes(123_456_789)) >= 123_456_789
    demand = Demand(dates=1000, symbols=100, item=8, fields=5, groups=1, rows_after=2, kept=3)
    assert demand.dates == 1000


def test_lookback_is_what_the_halo_is(panel: Panel) -> None:
    roots = lowered_roots([ff.compile("TS_MEAN(RET, 20)"), ff.compile("CLOSE")], panel)
    schedule = plan_chunks(roots, panel, parse_bytes("1MB"), fields=[], groups=[])
    assert schedule.halo == max(passes.lookback(r, frozenset(panel.supplied_fields)) for r in roots) == 20


def test_float32_panels_lose_the_rounding_of_the_data_alone(frame: pl.DataFrame, panel: Panel, tmp_path: Path) -> None:
    path = write(frame, tmp_path, "one_row_group") / "a.parquet"
    small = Panel.from_parquet(path, dtype="float32")
    assert small["CLOSE"].dtype == small["RET"].dtype == np.float32
    assert small["CLOSE"].nbytes * 2 == panel["CLOSE"].nbytes
    widened = panel.replace(fields={f: small[f].astype(np.float64) for f in small.supplied_fields})
    texts = [
        "TS_MEAN(CLOSE, 250)",
        "RANK(TS_STDDEV(RET, 20))",
        "CORREL(VWAP, VOLUME, 60)",
        "ADV20",
        "GROUP_RANK(RET, SECTOR)",
    ]
    expected = ff.evaluate(texts, widened)
    for found in (
        ff.evaluate(texts, small),
        ff.evaluate(texts, small, memory_budget="2MB"),
        ff.evaluate(texts, Dataset(path, dtype="float32"), memory_budget="2MB"),
    ):
        assert all(same_bits(a, b) for a, b in zip(expected, found, strict=True))
    exact = ff.evaluate(["TS_MEAN(CLOSE, 250)"], panel)[0]
    np.testing.assert_allclose(expected[0], exact, rtol=2**-24)
    narrow = ff.evaluate(texts, small, dtype="float32")
    assert all(np.array_equal(a.astype(np.float32), b, equal_nan=True) for a, b in zip(expected, narrow, strict=True))
    ff.evaluate(texts, small, dtype="float32", output=tmp_path / "v.parquet")
    assert pl.read_parquet(tmp_path / "v.parquet").schema[ff.compile(texts[0]).canonical] == pl.Float32
    labels = ff.forward_returns(small, 5)
    assert labels.dtype == np.float64
    assert same_bits(labels, ff.forward_returns(widened, 5))
    assert ff.score(texts, small).equals(ff.score(texts, widened))
    assert small.data_hash == widened.data_hash
    assert small.astype("float64").data_hash == widened.data_hash
    with pytest.raises(ConfigError, match="float64 or float32"):
        Panel.from_parquet(path, dtype="int32")
    huge = frame.head(30).with_columns(volume=pl.lit(1e300))
    assert np.isnan(Panel.from_frame(huge, dtype="float32")["VOLUME"]).all()
