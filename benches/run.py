"""Run the benches and keep their ratios: `python -m benches.run [--size A] [--quick] [-k EXPR] [--json PATH]`.

The whole suite takes about ten minutes on two cores, `--quick` about two. Figures of other programs running meanwhile
cannot be taken out: use an idle machine for figures that stay.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benches.measurements import Session, from_pytest_benchmark, joined, save
from benches.panels import SIZES
from fama_fast.errors import DataError, FamaError

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PARTIAL = RESULTS / "partial.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a run can be told."""
    parser.add_argument("--size", default="A", choices=sorted(SIZES), help="panel size (default A)")
    parser.add_argument("--quick", action="store_true", help="each kind of bench once, about two minutes")
    parser.add_argument("-k", dest="keyword", default="", help="only benches that match, as pytest's -k")
    parser.add_argument("--seconds", type=float, default=0.4, help="time given to each bench (default 0.4)")
    parser.add_argument("--repeat", type=int, default=1, help="runs, whose spread counts as noise (default 1)")


def measure(options: argparse.Namespace, nodes: Sequence[str] = ()) -> list[Session]:
    """Each run of the benches, in processes of their own; `nodes` are test ids to run instead of all.

    Raises:
        DataError: a bench failed (figures of the others are kept in `PARTIAL`), or none ran.
    """
    return [_once(options, nodes) for _ in range(max(1, options.repeat))]


def _once(options: argparse.Namespace, nodes: Sequence[str]) -> Session:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "benchmark.json"
        command = [sys.executable, "-m", "pytest", *(nodes or [HERE.name]), "-q", "-rN", "-p", "no:cacheprovider"]
        command += ["--benchmark-only", "--benchmark-quiet", f"--benchmark-json={report}", "--timeout=1800"]
        command += [f"--size={options.size}", f"--seconds={options.seconds}"]
        command += ["--quick"] if options.quick and not nodes else []
        command += ["-k", options.keyword] if options.keyword and not nodes else []
        # One thread in NumPy's and bottleneck's libraries; Polars, qweave and ours take what they are given.
        surroundings = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
        done = subprocess.run(command, cwd=HERE.parent, env=surroundings, check=False)
        text = report.read_text(encoding="utf-8") if report.is_file() else ""
    if done.returncode == 0 and text:
        return from_pytest_benchmark(text)
    failure = f"the benches failed: pytest ended with {done.returncode}"
    with contextlib.suppress(DataError):  # nothing was measured before it failed
        save(from_pytest_benchmark(text), PARTIAL)
        failure += f"; figures of those that ran are in {PARTIAL}"
    raise DataError(failure)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the tables, write the JSON; returns the exit code."""
    from benches.table import tables

    parser = argparse.ArgumentParser(prog="python -m benches.run", description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--json", type=Path, help="where the figures go (default benches/results/SIZE.json)")
    options = parser.parse_args(argv)
    path = options.json or RESULTS / f"{options.size}.json"
    try:
        session = joined(measure(options))
        save(session, path)
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables(session))
    print(f"\nwrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
