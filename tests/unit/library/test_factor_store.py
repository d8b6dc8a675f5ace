"""The factor store: the bits of one run however it came about, changed history found, and no way to half a state."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.data import SimulationSpec, simulate, to_frame
from fama_fast.engine.outputs import long_frame
from fama_fast.errors import ConfigError, DataError, OutputError, StoreError, UnknownName
from fama_fast.factor_store import manifest as manifests
from fama_fast.factor_store import update
from fama_fast.factor_store.checks import Summer, differences, joined
from fama_fast.factor_store.manifest import commit, manifest_path, read_manifest
from fama_fast.panel import Panel
from fama_fast.panel.dataset import Reader
from fama_fast.panel.presence import trading
from tests.support.paths import ROOT
from tests.unit.ops.test_random_expressions import random_alphas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.engine.alpha import Alpha

KILLS = int(os.environ.get("FAMA_STORE_KILLS", "10"))
DATES, SYMBOLS = 150, 17
TEXTS = ("TS_MEAN(CLOSE, 20)", "-RANK(DELTA(CLOSE, 5))", "GROUP_RANK(TS_RANK(VWAP, 10), SECTOR)")
MORE = ("HUMP(RANK(CLOSE))", "EMA(CLOSE, 30)", "CORREL(CLOSE, VOLUME, 40)", "SCALE(RET)", "DELAY(CLOSE, 1)")


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = simulate(SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, missing=0.03, late_listing=0.3, seed=3))
    rng = np.random.default_rng(0)
    # Through a frame and back: cells without a row have no member either.
    return Panel.from_frame(to_frame(made.replace(universe=rng.random(made.shape) < 0.9)))


def frame_of(panel: Panel, items: Sequence[str | Alpha], names: Sequence[str] | None = None) -> pl.DataFrame:
    """What a store of these should give back."""
    values = ff.evaluate(items, panel)
    columns = names or [(ff.compile(e) if isinstance(e, str) else e).canonical for e in items]
    days = bool((panel.dates.astype("datetime64[D]") == panel.dates).all())
    named = dict(zip(columns, values, strict=True))
    return long_frame(panel.dates, list(panel.symbols), named, trading(panel), days=days)


def files_of(store: Path) -> dict[str, tuple[int, int]]:
    """Every file of a store but the lock, with its size and time."""
    return {
        p.relative_to(store).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in store.rglob("*")
        if p.is_file() and p.name != "writer.lock"
    }


@contextmanager
def refused(store: Path, message: str, error: type[Exception] = StoreError) -> Iterator[None]:
    """The block raises, and the store stays as it is."""
    before = files_of(store)
    with pytest.raises(error, match=message):
        yield
    assert files_of(store) == before


def month_files(panel: Panel, folder: Path) -> None:
    """A Parquet file a month, hive-partitioned."""
    frame = to_frame(panel).with_columns(month=pl.col("date").dt.strftime("%Y-%m"))
    for (month,), part in frame.group_by(["month"]):
        place = folder / f"month={month}" / "prices.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or not pl.read_parquet(place, hive_partitioning=False).equals(part.drop("month")):
            part.drop("month").write_parquet(place)


def edited(panel: Panel, name: str, row: int, column: int, value: float) -> Panel:
    values = panel[name].copy()
    values[row, column] = value
    return panel.replace(fields={name: values})


# ---- values


def test_values_have_the_bits_of_one_run_in_memory(panel: Panel, tmp_path: Path) -> None:
    alphas = [*random_alphas(16, 3), *(ff.compile(t) for t in (*TEXTS, *MORE))]
    alphas = list({a.fingerprint: a for a in alphas}.values())
    to_frame(panel).write_parquet(tmp_path / "prices.parquet")
    data = ff.scan_market_data(tmp_path / "prices.parquet")
    ff.update_store(tmp_path / "store", data, alphas, memory_budget="40MB")
    store = ff.open_store(tmp_path / "store")
    found = store.scan().collect()
    assert found.equals(frame_of(panel, alphas))
    assert found.schema["date"] == pl.Date
    assert [f.canonical for f in store.factors] == [a.canonical for a in alphas]
    assert list(store.dates) == list(panel.dates)


def test_appending_in_steps_gives_what_one_go_gives(panel: Panel, tmp_path: Path) -> None:
    alphas = [*random_alphas(6, 5), *(ff.compile(t) for t in (*TEXTS, *MORE))]
    ff.update_store(tmp_path / "whole", panel, alphas)
    ff.update_store(tmp_path / "steps", panel.slice_dates(0, 30), alphas)
    for stop in (31, 32, 45, 46, 88, 149, 150):
        done = ff.update_store(tmp_path / "steps", panel.slice_dates(0, stop), append=True, memory_budget="30MB")
        assert done.changed
        assert done.last == panel.dates[stop - 1]
    whole, steps = ff.open_store(tmp_path / "whole"), ff.open_store(tmp_path / "steps")
    assert steps.scan().collect().equals(whole.scan().collect())
    # What later updates compare history with is the same too, and months that are over lie in one file.
    assert [(p.month, p.dates, p.data) for p in steps.manifest.partitions] == [
        (p.month, p.dates, p.data) for p in whole.manifest.partitions
    ]
    assert [len(*p.values.values()) for p in steps.manifest.partitions[:-1]] == [1] * 6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fama_fast.factor_store.checks._ROWS", 20)
        assert not ff.update_store(tmp_path / "steps", panel, append=True, verify=True).changed


def test_an_append_with_nothing_to_do_changes_nothing(panel: Panel, tmp_path: Path) -> None:
    ff.update_store(tmp_path / "store", panel, TEXTS)
    before = files_of(tmp_path / "store")
    for given in ((), TEXTS, TEXTS[:1]):
        done = ff.update_store(tmp_path / "store", panel, given, append=True)
        assert (done.changed, done.generation, done.dates_added, done.rows) == (False, 1, 0, 0)
    assert not ff.update_store(tmp_path / "store", panel, rebuild=True).changed
    assert files_of(tmp_path / "store") == before


def test_symbols_come_and_go_and_stored_values_stay(panel: Panel, tmp_path: Path) -> None:
    # The first five symbols are new after date 100, the last five are gone: no rows at all.
    mask = np.ones(panel.shape, dtype=bool)
    mask[:100, :5] = False
    mask[100:, -5:] = False
    fields = {f: np.where(mask, panel[f], np.nan) for f in panel.supplied_fields}
    whole = panel.replace(fields=fields, universe=panel.universe & mask)
    frame = to_frame(whole).filter(pl.col("close").is_not_null())
    early = frame.filter(pl.col("date") < panel.dates[100].item())
    late = frame.filter(pl.col("date") >= panel.dates[60].item())
    alphas = [*random_alphas(10, 11), *(ff.compile(t) for t in TEXTS)]
    # The sums of these two over a date are added up in an order that symbols without data take part in.
    alphas = [a for a in alphas if a.lookback <= 38 and not re.search("SCALE|VECTOR_NEUT", a.canonical)]
    assert len(alphas) > 6
    ff.update_store(tmp_path / "store", Panel.from_frame(early), [*alphas, "SCALE(RET)"])
    assert len(Panel.from_frame(early).symbols) == SYMBOLS - 5
    # The data given now begin later, and have only the symbols that have rows since.
    ff.update_store(tmp_path / "store", Panel.from_frame(late), append=True)
    found = ff.open_store(tmp_path / "store").scan().collect()
    expected = frame_of(Panel.from_frame(frame), [*alphas, "SCALE(RET)"])
    last = expected.columns[-1]
    assert found.drop(last).equals(expected.drop(last))
    np.testing.assert_allclose(found[last].to_numpy(), expected[last].to_numpy(), rtol=1e-13)


def test_data_that_begin_later_must_hold_the_rows_that_windows_need(panel: Panel, tmp_path: Path) -> None:
    texts = ["TS_MEAN(CLOSE, 20)", "EMA(RET, 15)"]
    ff.update_store(tmp_path / "store", panel.slice_dates(0, 100), texts)
    with refused(tmp_path / "store", "begins on .*, 18 dates before the first one to compute; .* needs 19"):
        ff.update_store(tmp_path / "store", panel.slice_dates(82, 101), append=True)
    ff.update_store(tmp_path / "store", panel.slice_dates(81, 101), append=True)
    assert ff.open_store(tmp_path / "store").scan().collect().equals(frame_of(panel.slice_dates(0, 101), texts))
    with refused(tmp_path / "store", "new factors \\(CLOSE\\) need data from the first stored date on, 2015-01-01"):
        ff.update_store(tmp_path / "store", panel.slice_dates(50, 101), ["CLOSE"], append=True)
    with refused(tmp_path / "store", "after the last stored date 2015-05-21"):
        ff.update_store(tmp_path / "store", panel.slice_dates(120, 150), append=True)


def test_a_new_expression_is_computed_on_all_dates(panel: Panel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 100), TEXTS[:1], names=["momentum"])
    done = ff.update_store(store, panel.slice_dates(0, 120), [TEXTS[1], TEXTS[0], "VOLUME"], append=True)
    assert (done.dates_added, done.factors_added) == (20, ("-RANK(DELTA(CLOSE, 5))", "VOLUME"))
    done = ff.update_store(store, panel, append=True)
    assert (done.dates_added, done.factors_added) == (30, ())
    names = ["momentum", "-RANK(DELTA(CLOSE, 5))", "VOLUME"]
    assert ff.open_store(store).scan().collect().equals(frame_of(panel, [TEXTS[0], TEXTS[1], "VOLUME"], names))
    with refused(store, "'momentum' is taken by another formula, TS_MEAN", ConfigError):
        ff.update_store(store, panel, ["OPEN"], names=["momentum"], append=True)
    with refused(store, "size is stored already, under the name VOLUME: VOLUME", ConfigError):
        ff.update_store(store, panel, ["VOLUME"], names=["size"], append=True)
    with refused(store, "a and b are the same formula", ConfigError):
        ff.update_store(store, panel, ["DELTA(OPEN, 2)", "OPEN - DELAY(OPEN, 2)"], names=["a", "b"], append=True)
    # The volume is compared from now on, on dates that were stored before any factor read it.
    with refused(store, "2015-01-08 \\(fields VOLUME; symbols SIM0002\\)"):
        ff.update_store(store, edited(panel, "VOLUME", 5, 1, 7.0), append=True)


def test_times_within_days_are_kept(panel: Panel, tmp_path: Path) -> None:
    times = np.datetime64("2024-01-31T09:31") + np.arange(60).astype("timedelta64[m]")
    axis = np.concatenate([times, times + np.timedelta64(1, "D")]).astype("datetime64[us]")
    bars = Panel(axis, panel.symbols, {f: panel[f][:120] for f in ("CLOSE", "VOLUME")})
    store = tmp_path / "store"
    ff.update_store(store, bars.slice_dates(0, 55), TEXTS[:2])
    ff.update_store(store, bars.slice_dates(0, 100), append=True)
    ff.update_store(store, bars, append=True)
    opened = ff.open_store(store)
    expected = frame_of(bars, TEXTS[:2])
    assert opened.scan().collect().equals(expected)
    assert [p.month for p in opened.manifest.partitions] == ["2024-01", "2024-02"]
    day = opened.scan(start="2024-02-01", end="2024-02-01").collect()
    assert day.equals(expected.filter(pl.col("date").dt.day() == 1))
    days = Panel(bars.dates.astype("datetime64[D]")[:1], panel.symbols, {f: bars[f][:1] for f in bars.supplied_fields})
    with refused(store, "whether dates are days differs: False stored, True now"):
        ff.update_store(store, days, append=True)


# ---- cost


def test_an_append_reads_and_computes_no_more_than_the_halo(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month_files(panel.slice_dates(0, 148), tmp_path / "data")
    texts = ["TS_MEAN(CLOSE, 20)", "RANK(VOLUME)"]
    ff.update_store(tmp_path / "store", ff.scan_market_data(tmp_path / "data"), texts)
    month_files(panel, tmp_path / "data")
    data = ff.scan_market_data(tmp_path / "data")
    asked: list[tuple[int, int]] = []
    read = Reader.read

    def spied(self: Reader, start: int, stop: int) -> Panel:
        asked.append((start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(Reader, "read", spied)
    ff.update_store(tmp_path / "store", data, append=True)
    # The last month's file is another one now; its rows are compared, and 19 rows are what the mean looks back on.
    month = int(np.flatnonzero(panel.dates >= np.datetime64("2015-07-01"))[0])
    assert min(start for start, _ in asked) == min(148 - 19, month)
    assert ff.open_store(tmp_path / "store").scan().collect().equals(frame_of(panel, texts))


def test_reading_is_lazy_and_takes_only_what_is_asked_for(panel: Panel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel, TEXTS, names=["a", "b", "c"])
    ff.update_store(store, panel, ["OPEN"], names=["d"], append=True)
    opened = ff.open_store(store)
    expected = frame_of(panel, [*TEXTS, "OPEN"], ["a", "b", "c", "d"])
    assert isinstance(opened.scan(), pl.LazyFrame)
    assert opened.scan().collect().equals(expected)
    by_fingerprint = opened.factors[1].fingerprint
    assert opened.scan(["c", by_fingerprint]).collect_schema().names() == ["date", "symbol", "c", by_fingerprint]
    plan = opened.scan(["b"]).filter(pl.col("date") == pl.date(2015, 3, 3)).explain()
    assert "PROJECT 3/5 COLUMNS" in plan
    assert "SELECTION" in plan
    # Files of months that are not asked for are not even looked at.
    for partition in opened.manifest.partitions:
        if partition.month not in ("2015-02", "2015-03"):
            for file in partition.files:
                (store / file).unlink()
    spring = opened.scan(["d", "a"], start="2015-02-10", end="2015-03-20").collect()
    when = pl.col("date").is_between(pl.date(2015, 2, 10), pl.date(2015, 3, 20))
    assert spring.equals(expected.filter(when).select("date", "symbol", "d", "a"))
    assert opened.scan(["a"], start="2031-01-01").collect().is_empty()
    with pytest.raises(UnknownName, match="no factor 'aa'"):
        opened.scan(["aa"])
    with pytest.raises(TypeError, match="takes a list"):
        opened.scan("a")
    with pytest.raises(StoreError, match="no factor was asked for"):
        opened.scan([])


def test_who_reads_while_another_writes_reads_one_state(panel: Panel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 100), TEXTS)
    frame = ff.open_store(store).scan()
    ff.update_store(store, edited(panel, "CLOSE", 3, 0, 5.0), rebuild=True)
    assert frame.collect().equals(frame_of(panel.slice_dates(0, 100), TEXTS))


# ---- history


CHANGES = {
    "a value": (lambda p: edited(p, "CLOSE", 70, 4, 9.0), "1 stored date has other data now: 2015-04-09 .*SIM0005"),
    "a value gone": (lambda p: edited(p, "VOLUME", 70, 4, np.nan), "2015-04-09 \\(fields VOLUME; symbols SIM0005"),
    "two symbols swapped": (
        lambda p: p.replace(fields={"CLOSE": np.r_[p["CLOSE"][:70], p["CLOSE"][70:71, ::-1], p["CLOSE"][71:]]}),
        "1 stored date has other data now: 2015-04-09 \\(fields CLOSE; symbols SIM0001, SIM0002",
    ),
    "a member": (
        lambda p: p.replace(universe=p.universe ^ (np.arange(p.universe.size).reshape(p.shape) == 70 * SYMBOLS)),
        "2015-04-09 \\(fields universe; symbols SIM0001",
    ),
    "a group": (
        lambda p: p.replace(
            groups={
                "SECTOR": ff.GroupField(
                    np.where(np.arange(DATES)[:, None] == 70, 0.0, p.group("SECTOR").codes),
                    ("NEW", *p.group("SECTOR").labels[1:]),
                )
            }
        ),
        "fields group SECTOR",
    ),
    "a date gone": (
        lambda p: Panel.from_frame(to_frame(p).filter(pl.col("date") != p.dates[70].item())),
        "1 dates are missing \\(2015-04-09\\)",
    ),
    "a late date": (
        lambda p: Panel.from_frame(
            pl.concat([to_frame(p), to_frame(p.slice_dates(70, 71)).with_columns(date=pl.date(2015, 4, 11))])
        ),
        "1 dates were not there \\(2015-04-11\\)",
    ),
    "both": (
        lambda p: Panel.from_frame(
            to_frame(edited(p, "CLOSE", 2, 1, 8.0)).filter(pl.col("date") != p.dates[70].item())
        ),
        "2015-01-05 .*SIM0002.*; of the dates .* missing \\(2015-04-09\\)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_history_is_named_and_refused_and_can_be_rebuilt(panel: Panel, tmp_path: Path, change: str) -> None:
    store = tmp_path / "store"
    texts = [*TEXTS, "RANK(VOLUME)"]
    make, message = CHANGES[change]
    ff.update_store(store, panel.slice_dates(0, 140), texts)
    other = make(panel)
    with refused(store, message):
        ff.update_store(store, other, append=True)
    done = ff.update_store(store, other, rebuild=True)
    assert done.changed
    assert re.search(message, done.reason)
    assert ff.open_store(store).scan().collect().equals(frame_of(other, texts))
    assert not ff.update_store(store, other, append=True, verify=True).changed
    if change not in ("both", "a group"):
        # Months before the change are as they were, files and all.
        assert done.dates_rebuilt == 140 - 64
        for partition in ff.open_store(store).manifest.partitions[:3]:
            assert all("/g00000001-" in file for file in partition.files)


def test_a_file_that_looks_unchanged_is_read_only_on_request(panel: Panel, tmp_path: Path) -> None:
    frame = to_frame(panel.slice_dates(0, 100))
    place = tmp_path / "prices.parquet"
    frame.write_parquet(place, compression="uncompressed")
    ff.update_store(tmp_path / "store", ff.scan_market_data(place), TEXTS)
    stat = place.stat()
    # Touched, the same content: read, and found equal.
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert not ff.update_store(tmp_path / "store", ff.scan_market_data(place), append=True).changed
    # Another value, size and time as they were.
    raw = place.read_bytes()
    value = np.float64(frame["close"].drop_nulls()[40]).tobytes()
    place.write_bytes(raw.replace(value, np.float64(1.25).tobytes(), 1))
    assert pl.read_parquet(place).shape == frame.shape
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert place.stat().st_size == stat.st_size
    assert not ff.update_store(tmp_path / "store", ff.scan_market_data(place), append=True).changed
    with refused(tmp_path / "store", "1 stored date has other data now: 2015-01-0. \\(fields CLOSE"):
        ff.update_store(tmp_path / "store", ff.scan_market_data(place), append=True, verify=True)


def test_sums_name_exactly_the_cells_that_differ() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 13)).round(1)  # many ties
    values[rng.random(values.shape) < 0.2] = np.nan
    symbols = [f"S{i}" for i in range(13)]
    dates = np.datetime64("2020-01-01") + np.arange(40)
    moments = dates.astype("datetime64[us]").astype(np.int64)
    summer = Summer(symbols)

    def sums(array: Any, rows: slice = slice(0, 40)) -> Any:
        return summer(Panel(dates, symbols, {"A": array}), ["A"], moments[rows], rows)

    whole = sums(values)
    parts = joined(sums(values, slice(0, 7)), sums(values, slice(7, 40)))
    assert differences(whole, parts, ["A"]) == (set(), set(), set())
    assert parts["A"].symbols == whole["A"].symbols
    for _ in range(200):
        row, column = rng.integers(40), rng.integers(13)
        other = values.copy()
        other[row, column] = np.nan if rng.random() < 0.3 else rng.normal()
        if np.array_equal(other, values, equal_nan=True):
            continue
        assert differences(whole, sums(other), ["A"]) == ({row}, {symbols[column]}, {"A"})


# ---- settings and versions


def test_settings_that_differ_are_named(panel: Panel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel, TEXTS, min_coverage=0.5)
    nulls = [found[TEXTS[0]].null_count() for found in (ff.open_store(store).scan().collect(), frame_of(panel, TEXTS))]
    assert nulls[0] < nulls[1]
    assert not ff.update_store(store, panel, append=True).changed  # the store's own coverage stands
    with refused(store, "min_coverage differs: 0.5 stored, 0.7 now; .*rebuild"):
        ff.update_store(store, panel, append=True, min_coverage=0.7)
    everyone = Panel(
        panel.dates,
        panel.symbols,
        {f: panel[f] for f in panel.supplied_fields},
        groups={"SECTOR": panel.group("SECTOR")},
    )
    with refused(store, "whether there is a universe differs: True stored, False now"):
        ff.update_store(store, everyone, append=True)
    with refused(store, "the type of the data's fields differs: 'float64' stored, 'float32' now"):
        ff.update_store(store, panel.astype("float32"), append=True)
    with_returns = panel.replace(fields={"VWAP": panel["CLOSE"]})
    with refused(store, "was computed from HIGH, LOW, CLOSE, and with these data would be from VWAP"):
        ff.update_store(store, with_returns, append=True)
    with refused(store, "everything must be computed again, which needs data from the first stored date on"):
        ff.update_store(store, everyone.slice_dates(10, 150), rebuild=True)
    done = ff.update_store(store, everyone, rebuild=True)
    assert (done.dates_rebuilt, done.reason) == (DATES, "whether there is a universe differs: True stored, False now")
    assert [len(p.values) for p in ff.open_store(store).manifest.partitions] == [1] * 7


def test_another_version_of_the_engine_must_give_the_stored_bits(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 100), TEXTS, names=["a", "b", "c"])
    monkeypatch.setattr(update, "ENGINE", "9.9.9")
    ff.update_store(store, panel.slice_dates(0, 110), append=True)
    partitions = ff.open_store(store).manifest.partitions
    assert {s.engine for p in partitions for s in p.values["b000001"]} == {"0.1.0", "9.9.9"}
    assert ff.open_store(store).manifest.engine == "9.9.9"
    monkeypatch.setattr(update, "ENGINE", "9.9.10")
    true = update.values_from

    def other(*arguments: Any, **options: Any) -> Iterator[Any]:
        for dates, values, present in true(*arguments, **options):
            yield dates, [np.nextafter(values[0], 9.0), values[1] * 1.001, values[2]], present

    monkeypatch.setattr(update, "values_from", other)
    with refused(
        store, "written by fama_fast 9.9.9, and 9.9.10 gives other values of 1 of 3 factors \\(b\\); .*--rebuild"
    ):
        ff.update_store(store, panel, append=True)
    assert ff.update_store(store, panel, rebuild=True).dates_rebuilt == 110


# ---- writers


def test_a_second_writer_is_told_who_the_first_is(panel: Panel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 100), TEXTS[:1])
    script = """
        import sys, time
        from pathlib import Path
        from fama_fast.factor_store.lock import writer_lock
        with writer_lock(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(store)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with refused(store, f"is being written by process {other.pid} on .* since 20"):
            ff.update_store(store, panel, append=True)
        assert ff.open_store(store).scan().collect().height  # reading needs no lock
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
    # Its lock file is still there, with its name in it; its lock is not.
    assert str(other.pid) in (store / "writer.lock").read_text()
    assert ff.update_store(store, panel, append=True).dates_added == 50


def test_without_locks_one_of_several_writers_wins(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 60), TEXTS)
    monkeypatch.setattr("fama_fast.factor_store.lock._take", lambda _: True)

    def append(stop: int) -> int | str:
        try:
            return ff.update_store(store, panel.slice_dates(0, stop), append=True, threads=1).generation
        except StoreError as error:
            return str(error)

    for stop in (80, 100, 120):
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(append, [stop - 10, stop - 5, stop]))
        assert any(isinstance(d, int) for d in done), done
        for failure in (d for d in done if isinstance(d, str)):
            assert re.search("another writer has changed|dates are missing", failure), failure
        opened = ff.open_store(store)
        known = len(opened.dates)
        assert opened.scan().collect().equals(frame_of(panel.slice_dates(0, known), TEXTS))
    latest = read_manifest(store)
    assert latest is not None
    before = files_of(store)
    with pytest.raises(StoreError, match="another writer has changed the store"):
        commit(store, latest)
    assert files_of(store) == before


def test_a_file_system_without_hard_links_will_do(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(manifests.os, "link", link)
    ff.update_store(tmp_path / "store", panel.slice_dates(0, 60), TEXTS[:1])
    assert ff.update_store(tmp_path / "store", panel, append=True).generation == 2


@pytest.mark.slow
def test_writers_killed_at_any_moment_leave_a_whole_store(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.store_kill_harness", str(tmp_path), "--kills", str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["kills"] >= KILLS
    assert counts["kills with dates stored"] > 0
    assert counts["stores ended"] > 0


def test_a_failed_update_leaves_nothing_behind(panel: Panel, tmp_path: Path) -> None:
    frame = to_frame(panel).with_columns(in_universe=pl.lit(1))
    frame.filter(pl.col("date") < pl.date(2015, 5, 1)).write_parquet(tmp_path / "good.parquet")
    last = pl.int_range(pl.len()) == frame.height - 1
    frame.with_columns(in_universe=pl.when(last).then(2).otherwise(1)).write_parquet(tmp_path / "odd.parquet")
    store = tmp_path / "store"
    odd = ff.scan_market_data(tmp_path / "odd.parquet")
    with pytest.raises(DataError, match="neither 0 nor 1"):
        ff.update_store(store, odd, TEXTS, memory_budget="30MB")
    assert not store.exists()
    ff.update_store(store, ff.scan_market_data(tmp_path / "good.parquet"), TEXTS)
    with refused(store, "neither 0 nor 1", DataError):
        ff.update_store(store, odd, append=True, memory_budget="30MB")


def test_places_that_are_no_store(panel: Panel, tmp_path: Path) -> None:
    place = tmp_path / "store"
    with pytest.raises(StoreError, match="no factor store: the folder does not exist"):
        ff.open_store(place)
    with pytest.raises(StoreError, match="no factor store: leave out append"):
        ff.update_store(place, panel, append=True)
    with pytest.raises(OutputError, match="does not exist"):
        ff.update_store(place / "deeper", panel, TEXTS)
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other things"):
        ff.update_store(place, panel, TEXTS)
    with pytest.raises(OutputError, match="it is a file"):
        ff.update_store(place / "notes.txt", panel, TEXTS)
    assert [p.name for p in place.iterdir()] == ["notes.txt"]
    with pytest.raises(ConfigError, match="there is no expression"):
        ff.update_store(tmp_path / "other", panel)
    ff.update_store(tmp_path / "other", panel, TEXTS)
    with refused(tmp_path / "other", "is a factor store: append to it"):
        ff.update_store(tmp_path / "other", panel, TEXTS)


@pytest.mark.parametrize("damage", ["cut", "format", "checks", "values"])
def test_damage_is_named(panel: Panel, tmp_path: Path, damage: str) -> None:
    store = tmp_path / "store"
    ff.update_store(store, panel.slice_dates(0, 100), TEXTS[:1])
    ff.update_store(store, panel.slice_dates(0, 101), append=True)
    path = manifest_path(store, 2)
    text = path.read_text()
    if damage == "cut":
        path.write_text(text[: len(text) // 2])
    elif damage == "format":
        path.write_text(text.replace('"format": 1', '"format": 2'))
    else:
        partition = ff.open_store(store).manifest.partitions[-1]
        file = partition.checks if damage == "checks" else partition.values["b000001"][0].file
        (store / file).write_bytes(b"PAR1")
    message = {"cut": "the manifest is damaged", "format": "has format 2, this version of fama_fast reads 1"}
    with refused(store, message.get(damage, f"{damage}/.*the store is damaged")):
        ff.update_store(store, panel, append=True)


# ---- the command


def test_the_command_line(panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, store = tmp_path / "prices.parquet", tmp_path / "store"
    factors = tmp_path / "factors.txt"
    factors.write_text("momentum: TS_MEAN(RET, 20)\n-RANK(DELTA(CLOSE, 5))  # reversal\n")
    to_frame(panel.slice_dates(0, 100)).write_parquet(data)

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["compute", *arguments]) == code, capsys.readouterr().err
        return capsys.readouterr().err

    where = ("--data", str(data), "--store", str(store))
    assert "100 dates added, 2 factors added (momentum, -RANK(DELTA(CLOSE, 5))); " in run(str(factors), *where)
    assert "is a factor store: append to it (--append)" in run(str(factors), *where, code=2)
    assert "nothing to do" in run(str(factors), *where, "--append")
    to_frame(panel).write_parquet(data)
    assert "50 dates added; " in run(*where, "--append")
    assert "1 factors added (VOLUME); " in run("VOLUME", *where, "--append")
    texts = ["TS_MEAN(RET, 20)", "-RANK(DELTA(CLOSE, 5))", "VOLUME"]
    expected = frame_of(panel, texts, ["momentum", *texts[1:]])
    assert ff.open_store(store).scan().collect().equals(expected)
    to_frame(edited(panel, "CLOSE", 60, 2, 3.0)).write_parquet(data)
    error = run(*where, "--append", code=2)
    assert "history has changed" in error
    assert "symbols SIM0003" in error
    assert "dates computed again (1 stored date has other data now: 2015-03-26" in run(*where, "--rebuild")
    assert "nothing to do" in run(*where, "--append", "--verify")
    shutil.rmtree(store)
    assert "is no factor store" in run(*where, "--append", code=2)
    assert "say what to compute" in run(*where, code=2)
    assert "--append is for a factor store" in run("CLOSE", "--data", str(data), "--append", code=2)
    assert "say where the values go" in run("CLOSE", "--data", str(data), code=2)
    assert "leave out --output" in run("CLOSE", *where, "--output", str(tmp_path / "v.parquet"), code=2)
    assert not store.exists()
