"""A day more in a factor store: `python -m benches.factor_store [--symbols 3000 --dates 2520 --factors 100]`.

A simulated market is written to Parquet, a file a year and the last date in a file of its own. The values of the
factors (twenty with lookbacks up to 250 days, and of Alpha158 with up to 60) on all dates but the last are stored, and
the last date is appended: to the whole history, and to the last half and quarter of it, which shows what the history
costs. Beside it: computing and storing everything again, and appending when the data are one file that is written anew
each day, so that all of it must be read to know that the past has not changed. Each run is a process of its own; its
peak resident memory is given. The appended store is compared with one that was made in one go, value for value.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BUDGET = "1GB"


def _factors(count: int) -> list[str]:
    """Expressions of as many different formulas."""
    import fama_fast as ff
    from benches.outofcore import EXPRESSIONS
    from fama_fast.library.alpha158 import alpha158

    found: dict[str, str] = {}
    for text in EXPRESSIONS:
        found.setdefault(ff.compile(text).fingerprint, text)
    for text in alpha158().values():
        found.setdefault(ff.compile(text, dialect="qlib").fingerprint, text)
    if count > len(found):
        raise SystemExit(f"there are {len(found)} factors, not {count}")
    return list(found.values())[:count]


def _child(options: argparse.Namespace) -> dict[str, Any]:
    """One update; its own process."""
    import fama_fast as ff
    from benches.outofcore import EXPRESSIONS
    from fama_fast.data import to_frame, write_frame

    texts = _factors(options.factors)
    alphas = [ff.compile(t) if t in EXPRESSIONS else ff.compile(t, dialect="qlib") for t in texts]
    # The kernels' compilation, or their coming from the cache, is no part of it.
    warm = ff.simulate()
    ff.evaluate(alphas, warm)
    with tempfile.TemporaryDirectory() as name:
        ff.update_store(Path(name) / "store", warm.slice_dates(0, 30), alphas[:1])  # imports
        write_frame(to_frame(warm.slice_dates(0, 30)), Path(name) / "prices.parquet")
        ff.scan_market_data(Path(name) / "prices.parquet")
    start = time.perf_counter()
    data = ff.scan_market_data(options.data, fields=["OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"], group_fields=["SECTOR"])
    opened = time.perf_counter() - start
    start = time.perf_counter()
    append = options.run == "append"
    done = ff.update_store(options.store, data, [] if append else alphas, append=append, memory_budget=BUDGET)
    return {
        "open_s": opened,
        "update_s": time.perf_counter() - start,
        "rows": done.rows,
        "dates": done.dates_added,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _run(options: argparse.Namespace, kind: str, data: Path, store: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benches.factor_store", "--run", kind, "--factors", str(options.factors)]
    command += ["--data", str(data), "--store", str(store)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _say(what: str, found: dict[str, Any]) -> None:
    print(
        f"{what:<46} {found['open_s'] + found['update_s']:7.2f} s  (keys {found['open_s']:.2f} s, rows written "
        f"{found['rows']:,}, peak {found['peak_bytes'] / 1e6:,.0f} MB)",
        flush=True,
    )


def _write_market(options: argparse.Namespace, folder: Path) -> list[Any]:
    """A file a year, and the last date in one of its own; the dates."""
    import polars as pl

    from fama_fast.data import SimulationSpec, to_frame
    from fama_fast.data.simulator.pieces import simulate_pieces

    spec = SimulationSpec(n_symbols=options.symbols, n_dates=options.dates, missing=0.02, late_listing=0.2, seed=1)
    folder.mkdir()
    dates: list[Any] = []
    left: list[pl.DataFrame] = []

    def put(year: int) -> None:
        pl.concat(left).write_parquet(folder / f"{year}.parquet", row_group_size=options.symbols * 21)
        left.clear()

    for panel in simulate_pieces(spec, 21):
        frame = to_frame(panel)
        dates += panel.dates.tolist()
        for (year,), part in frame.group_by([pl.col("date").dt.year()], maintain_order=True):
            if left and left[-1]["date"][0].year != year:
                put(left[-1]["date"][0].year)
            left.append(part)
    last = dates[-1]
    tail = pl.concat(left)
    tail.filter(pl.col("date") == last).write_parquet(folder / "z-last.parquet")
    left[:] = [tail.filter(pl.col("date") < last)]
    put(last.year)
    return dates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=3000)
    parser.add_argument("--dates", type=int, default=2520)
    parser.add_argument("--factors", type=int, default=100)
    parser.add_argument("--brief", action="store_true", help="make and append only: in a quarter of the time")
    parser.add_argument("--folder", help="where to put data and stores; removed at the end (default: a temporary one)")
    parser.add_argument("--run", choices=("make", "append"), help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(_child(options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        _compare(options, Path(name))


def _compare(options: argparse.Namespace, place: Path) -> None:
    import polars as pl

    import fama_fast as ff

    data, store = place / "data", place / "store"
    dates = _write_market(options, data)
    size = sum(f.stat().st_size for f in data.iterdir())
    market = f"{options.dates:,} dates x {options.symbols:,} symbols ({size / 1e6:,.0f} MB of Parquet)"
    print(f"{market}, {options.factors} factors", flush=True)
    day = data / "z-last.parquet"
    aside = place / "z-last.parquet"
    appended = {}
    for part in (1,) if options.brief else (4, 2, 1):
        first = dates[-len(dates) // part] if part > 1 else dates[0]
        some = place / f"data-{part}"
        some.mkdir()
        for file in sorted(data.glob("[0-9]*.parquet")):
            if int(file.stem) >= first.year or part == 1:
                (some / file.name).hardlink_to(file)
        history = pl.scan_parquet(some).select(pl.col("date").n_unique()).collect().item()
        shutil.rmtree(store, ignore_errors=True)
        made = _run(options, "make", some, store)
        (some / day.name).hardlink_to(day)
        appended[part] = _run(options, "append", some, store)
        if part == 1:
            _say(f"{history:,} dates, made", made)
        _say(f"one date more after {history:,}", appended[part])
    size = sum(f.stat().st_size for f in store.rglob("*.parquet"))
    print(f"the store takes {size / 1e6:,.0f} MB")
    if options.brief:
        seconds = made["open_s"] + made["update_s"]
        print(f"everything / one date more: {seconds / (appended[1]['open_s'] + appended[1]['update_s']):.0f}")
        return
    whole = _run(options, "make", data, place / "whole")
    _say("everything again", whole)
    days = pl.col("date") >= dates[-30]
    names = list(ff.open_store(store).names)
    same = all(
        ff.open_store(store).scan([n]).collect().equals(ff.open_store(place / "whole").scan([n]).collect())
        for n in names[:: max(1, len(names) // 20)]
    ) and ff.open_store(store).scan().filter(days).collect().equals(
        ff.open_store(place / "whole").scan().filter(days).collect()
    )
    print(f"appended and made in one go: {'equal to the bit' if same else 'DIFFERENT'}")
    shutil.rmtree(place / "whole")
    ratio = (whole["open_s"] + whole["update_s"]) / (appended[1]["open_s"] + appended[1]["update_s"])
    print(f"everything again / one date more: {ratio:.0f}")
    start = time.perf_counter()
    ff.open_store(store).scan(names[:5], start=dates[-250]).collect()
    print(f"five factors of the last 250 dates read in {time.perf_counter() - start:.3f} s")
    _one_file(options, place, data, store, aside)


def _one_file(options: argparse.Namespace, place: Path, data: Path, store: Path, aside: Path) -> None:
    """The same append where the data are one file, written anew."""
    import polars as pl

    shutil.rmtree(store)
    one = place / "one"
    one.mkdir()
    old = [f for f in sorted(data.glob("*.parquet")) if f.name != aside.name]
    pl.scan_parquet(old).sink_parquet(one / "prices.parquet", row_group_size=options.symbols * 21)
    _run(options, "make", one, store)
    pl.scan_parquet(data).sink_parquet(one / "prices.parquet", row_group_size=options.symbols * 21)
    _say("one date more, data in one file written anew", _run(options, "append", one, store))


if __name__ == "__main__":
    main()
