"""Run the discovery benchmark, or print its tables.

    python -m benches.discovery run --study csi300 --seeds 5 --jobs 2 --out csi300.jsonl
    python -m benches.discovery planted --seeds 10 --out planted.jsonl
    python -m benches.discovery table csi300.jsonl planted.jsonl

Every row is appended to the file the moment it is there; what the file has is not run again, so a run that was stopped
goes on where it was. Real data comes from FAMA_DATA, or ../shared/data beside the repository. Measured formulas stay in
the folder of --cache (0.9 MB each on the CSI300), measured once for all horizons, targets and years.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from benches.discovery import tables
from benches.discovery.origins import origins
from benches.discovery.planted import ladder_jobs
from benches.discovery.runner import ARMS, USUAL, jobs_of, run_jobs, run_ladder
from benches.discovery.studies import FIRST_YEAR, STUDIES
from benches.mining.runner import finished, positive


def main(arguments: list[str] | None = None) -> int:
    """0 when every job ran; 1 when one failed; 2 for wrong use or data that is not there."""
    parser = argparse.ArgumentParser(prog="python -m benches.discovery", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="rolling origins of one study")
    run.add_argument("--study", choices=STUDIES, default="csi300")
    run.add_argument("--arms", nargs="+", choices=ARMS, default=list(USUAL), help="default %(default)s")
    run.add_argument("--horizons", nargs="+", type=positive, default=None, help="days, default those of the study")
    run.add_argument("--years", nargs="+", type=int, default=None, help="test years, default all of the data")
    _common(run, "discovery-origins.jsonl", seeds=10, candidates=3000)
    run.add_argument("--cache", type=Path, default=_cache(), help="folder of measured formulas (default %(default)s)")
    planted = commands.add_parser("planted", help="the ladder of planted signals, on the simulator")
    _common(planted, "discovery-planted.jsonl", seeds=10, candidates=3000)
    planted.add_argument("--rungs", nargs="+", default=None, help="names of rungs, such as depth-4-.02, default all")
    shown = commands.add_parser("table", help="print the tables of result files")
    shown.add_argument("files", type=Path, nargs="+")
    shown.add_argument("--write", type=Path, help="also put them into the generated part of this file")
    options = parser.parse_args(arguments)
    if options.command == "table":
        text = tables.render(options.files)
        if options.write is not None:
            tables.write(options.write, text, options.files)
        print(text)
        return 0
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.jobs)
    if options.command == "planted":
        rungs = ladder_jobs(seeds, options.candidates, threads, options.out, options.rungs)
        failed = run_ladder(rungs, options.jobs, options.out)
        print(tables.render([options.out]))
        return 1 if failed else 0
    study = STUDIES[options.study]
    missing = study.missing()
    if missing is None and "gplearn" in options.arms and find_spec("gplearn") is None:
        missing = "the arm gplearn needs it: pip install -e '.[bench]', or name other --arms"
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2
    years = [o.year for o in origins(study.panel(), FIRST_YEAR, options.years)]
    horizons = options.horizons or study.horizons
    results = finished(options.out)
    jobs = jobs_of(
        study.name, options.arms, seeds, horizons, years, options.candidates, threads, options.cache, results
    )
    print(f"{study.name}: {len(results)} rows are in {options.out}, {len(jobs)} jobs are left", file=sys.stderr)
    failed = run_jobs(jobs, options.jobs, options.out)
    print(tables.render([options.out]))
    return 1 if failed else 0


def _common(parser: argparse.ArgumentParser, out: str, *, seeds: int, candidates: int) -> None:
    parser.add_argument("--seeds", type=positive, default=seeds, help="how many (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default %(default)s)")
    parser.add_argument("--candidates", type=positive, default=candidates, help="of an arm (default %(default)s)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes at a time (default %(default)s)")
    parser.add_argument("--threads", type=positive, default=None, help="of each, default its share of the cores")
    parser.add_argument("--out", type=Path, default=Path(out), help="default %(default)s")


def _cache() -> Path:
    """Outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fama-fast" / "discovery"


if __name__ == "__main__":
    sys.exit(main())
