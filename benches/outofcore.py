"""Data larger than the memory given: `python -m benches.outofcore [--symbols 6000 --dates 5040 --budget 1GB]`.

A simulated market is written to Parquet (or `--data` names one), twenty expressions are scored from it within the
budget, and the same on as many dates as `--memory-dates`, loaded whole. Each run is a process of its own, so that its
peak resident memory is its own. It prints the seconds, the peaks, the throughput (expressions x cells a second) and its
ratio; and whether the mean RankIC over the dates that both have is equal to the bit.

With `--mine` one round of `--candidates` is mined from the data instead, random control and verdict included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXPRESSIONS = (
    "-RANK(DELTA(CLOSE, 5))",
    "-RANK(CORREL(CLOSE, VOLUME, 10))",
    "RANK(TS_MEAN(RET, 20))",
    "-TS_STDDEV(RET, 20)",
    "RANK(TS_RANK(VOLUME, 10)) * RANK(-DELTA(CLOSE, 3))",
    "Z_SCORE(CLOSE / TS_MEAN(CLOSE, 60) - 1)",
    "CLOSE / TS_MAX(CLOSE, 250)",
    "TS_MEAN(RET, 240) - TS_MEAN(RET, 20)",
    "TS_SKEW(RET, 60)",
    "DECAY_LINEAR(RANK(VOLUME / ADV20), 10)",
    "GROUP_NEUTRALIZE(TS_RETURNS(CLOSE, 5), SECTOR)",
    "TS_ARGMAX(CLOSE, 20) - TS_ARGMIN(CLOSE, 20)",
    "-CORREL(RANK(OPEN), RANK(VOLUME), 10)",
    "(CLOSE - VWAP) / (HIGH - LOW)",
    "TS_COVARIANCE(RANK(CLOSE), RANK(VOLUME), 5)",
    "RANK(TS_ZSCORE(VOLUME, 120))",
    "SIGN(DELTA(VOLUME, 1)) * -DELTA(CLOSE, 1)",
    "TS_RANK(CLOSE, 60)",
    "TS_MEDIAN(RET, 20)",
    "SCALE(DELAY(CLOSE, 20) / CLOSE)",
)


def _child(options: argparse.Namespace) -> dict[str, Any]:
    """One run; its own process."""
    import numpy as np

    import fama_fast as ff

    start = time.perf_counter()
    budget = options.budget if options.run == "parts" else None
    if options.run == "parts":
        source: Any = ff.scan_market_data(options.data, group_fields=["SECTOR"])
        dates = len(source.dates)
    else:
        source = ff.load_market_data(options.data, group_fields=["SECTOR"], end=options.end)
        dates = source.shape[0]
    opened = time.perf_counter() - start
    # The kernels' compilation, or their coming from the cache, is no part of either.
    warm = ff.simulate()
    ff.score(list(EXPRESSIONS), warm.replace(groups={"SECTOR": warm.group("SECTOR")}))
    start = time.perf_counter()
    table = ff.score(list(EXPRESSIONS), source, memory_budget=budget, end=options.end if options.slice else None)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if options.slice:
        return {"rank_ic": [float(v).hex() for v in table["rank_ic"]]}
    cells = dates * len(source.symbols) * len(EXPRESSIONS)
    return {
        "open_s": opened,
        "score_s": seconds,
        "peak_bytes": peak,
        "cells_per_s": cells / seconds,
        "shape": [dates, len(source.symbols)],
        "rank_ic": [float(v).hex() for v in np.asarray(table["rank_ic"])],
    }


def _mine(options: argparse.Namespace) -> dict[str, Any]:
    """One round of mining; its own process."""
    from fama_fast.mining.progress.plain import PlainProgress
    from fama_fast.mining.run.mine import mine

    with tempfile.TemporaryDirectory() as folder:
        run = {"rounds": 1, "candidates": options.candidates, "seed": 1}
        paths = {"output_dir": folder}
        if options.run == "warm":
            mine({"run": {**run, "candidates": 10}, "paths": paths})
            return {}
        start = time.perf_counter()
        settings = {
            "run": {**run, "memory_budget": options.budget},
            "paths": {**paths, "market_data": options.data},
            # Nothing is to be found in noise: with these gates open, admission and the pool have work all the same.
            "gates": {"min_rank_ic": 0.0, "min_t": 0.0, "complexity_penalty": 0.0},
        }
        found = mine(settings, progress=PlainProgress(stream=sys.stderr)).to_dict()
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "candidates_per_s": found["record"]["candidates_per_second"],
        "headline": found["verdict"]["headline"],
        "shape": [found["data"]["dates"], found["data"]["symbols"]],
    }


def _run(options: argparse.Namespace, kind: str, *extra: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benches.outofcore",
        "--run",
        kind,
        "--data",
        options.data,
        "--budget",
        options.budget,
        "--candidates",
        str(options.candidates),
    ]
    done = subprocess.run([*command, *extra], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=6000)
    parser.add_argument("--dates", type=int, default=5040)
    parser.add_argument("--budget", default="1GB")
    parser.add_argument("--memory-dates", type=int, default=756, help="dates of the panel that is loaded whole")
    parser.add_argument("--data", help="Parquet to use instead of simulating")
    parser.add_argument("--run", choices=("parts", "whole", "mine", "warm"), help=argparse.SUPPRESS)
    parser.add_argument("--end", help=argparse.SUPPRESS)
    parser.add_argument("--slice", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--mine", action="store_true", help="mine one round instead of scoring")
    parser.add_argument("--candidates", type=int, default=40, help="of the round with --mine")
    options = parser.parse_args()
    if options.run in ("mine", "warm"):
        print(json.dumps(_mine(options)))
        return
    if options.run:
        print(json.dumps(_child(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            options.data = str(Path(folder) / "prices.parquet")
            size = ["--symbols", str(options.symbols), "--dates", str(options.dates)]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "fama_fast", "data", "simulate", *size, "-o", options.data],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            megabytes = Path(options.data).stat().st_size / 1e6
            print(f"simulated and written in {time.perf_counter() - start:.1f} s: {megabytes:,.0f} MB of Parquet")
        if options.mine:
            _run(options, "warm")  # the kernels' compilation is no part of it
            found = _run(options, "mine")
            t, n = found["shape"]
            print(
                f"mined from {t:,} dates x {n:,} symbols within {options.budget}: {found['seconds']:.0f} s in all, "
                f"{found['candidates_per_s']:.2f} candidates/s at the gates, peak {found['peak_bytes'] / 1e6:,.0f} MB"
            )
            print(found["headline"])
            return
        import polars as pl

        days = pl.scan_parquet(options.data).select(pl.col("date").unique().sort()).collect()["date"]
        end = str(days[min(options.memory_dates, len(days)) - 1])[:10]  # a whole day, where rows are bars
        parts, whole = _run(options, "parts"), _run(options, "whole", "--end", end)
        for name, found in (("in parts", parts), ("in memory", whole)):
            t, n = found["shape"]
            print(
                f"{name:>9}: {t:,} dates x {n:,} symbols, keys or load {found['open_s']:.1f} s, "
                f"score {found['score_s']:.1f} s, {found['cells_per_s'] / 1e6:,.0f} M cells/s, "
                f"peak {found['peak_bytes'] / 1e6:,.0f} MB"
            )
        print(f"throughput in parts / in memory: {parts['cells_per_s'] / whole['cells_per_s']:.2f}")
        # With an end, no label reaches past it, in either.
        same = _run(options, "parts", "--end", end, "--slice") == _run(options, "whole", "--end", end, "--slice")
        print(f"mean RankIC of the first {options.memory_dates:,} dates: {'equal to the bit' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
