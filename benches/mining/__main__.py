"""Run a suite seed by seed, or print the tables of finished ones.

    python -m benches.mining noise --seeds 40 --jobs 2 --out noise.jsonl
    python -m benches.mining arms --config run.yaml --candidates 400 --money 0.5
    python -m benches.mining table noise.jsonl planted.jsonl

A seed's result is appended to the file the moment it is there; seeds that are in the file already are skipped, so a run
that was stopped goes on where it was. Real data comes from FAMA_DATA, or ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benches.mining import arms, panels, tables
from benches.mining.runner import positive, run_suite
from benches.mining.suites import SUITES
from fama_fast.errors import ConfigError, FamaError


def main(arguments: list[str] | None = None) -> int:
    """0 when every seed ran; 2 for wrong use or data that is not there."""
    parser = argparse.ArgumentParser(prog="python -m benches.mining", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="suite", required=True)
    for name, suite in SUITES.items():
        one = commands.add_parser(name, help=suite.about)
        one.add_argument("--seeds", type=positive, default=suite.seeds, help="how many (default %(default)s)")
        one.add_argument("--first-seed", type=int, default=0, help="the first of them (default %(default)s)")
        one.add_argument("--candidates", type=positive, default=suite.candidates, help="budget (default %(default)s)")
        one.add_argument("--jobs", type=positive, default=1, help="seeds at a time, each on its share of the cores")
        one.add_argument("--out", type=Path, default=Path(f"mining-{name}.jsonl"), help="default %(default)s")
        if suite.arms != ("",):
            one.add_argument("--arms", nargs="+", choices=suite.arms, default=list(suite.arms))
    arms.add_options(commands.add_parser("arms", help="what a language model is worth to a search"))
    shown = commands.add_parser("table", help="print the tables of result files")
    shown.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    if options.suite == "table":
        print(tables.render(options.files))
        return 0
    if options.suite == "arms":
        return _arms(options)
    suite = SUITES[options.suite]
    missing = suite.missing()
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    chosen = getattr(options, "arms", [""])
    failed = run_suite(suite, seeds, chosen, options.candidates, options.jobs, options.out)
    print(tables.render([options.out]))
    return 1 if failed else 0


def _arms(options: argparse.Namespace) -> int:
    missing = panels.missing(options.panel) if options.panel in panels.REAL else None
    try:
        if missing:
            raise ConfigError(missing)
        failed = arms.run(options)
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables.render([options.out]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
