"""What a cluster costs and gains: `python -m benches.cluster [--symbols 3000 --dates 2520 --candidates 300]`.

1. Exact daily RankICs of random candidates, by one process with two threads and by `local:2` with one thread each, in
   turn; the results must be equal to the bit.
2. The overhead of a task that does nothing, and the client's own processor time a candidate: what stays serial.
3. From these, a projection to 8, 64 and 512 workers, drawn to `docs/cluster.svg` with its assumptions; the figures go
   to `docs/cluster.json`. `--draw` only draws them again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fama_fast as ff
from benches.measurements import this_machine
from benches.panels import random_panel
from fama_fast.atomic import atomic_write
from fama_fast.cluster.pool import open_pool
from fama_fast.cluster.scoring import mapped
from fama_fast.errors import DataError, FamaError
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.cluster_scorer import TASKS, ClusterMarket
from fama_fast.mining.measure.market import Market
from fama_fast.mining.verdict.control import random_formulas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZES = {4: 2, 6: 3, 8: 4, 10: 3, 14: 2, 18: 1}  # nodes of a candidate: how often, about as in a mining run
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BATCHES = (300, 3_000, 30_000)
EMPTY_TASKS = 300
ASSUMED = (
    "assumed: overhead does not grow with workers, the network is as fast as this machine's own,",
    "equal workers, equal candidates, panels loaded; the search's own work between batches is not in it",
)
LARGEST_TASK = 64


class Nothing:
    """What tasks that do nothing work with."""

    def __call__(self, memory: int | None) -> None:
        """Nothing."""


def idle(kept: None, rows: int) -> Any:
    """A task whose result is as large as one candidate's."""
    return np.zeros((2, rows))


def measure(symbols: int, dates: int, candidates: int, repeats: int) -> dict[str, Any]:
    """All figures."""
    panel = random_panel(dates, symbols)
    config = config_from_dict({"run": {"threads": 2}})
    here = Market(panel, config)
    total = sum(SIZES.values())
    wanted = {n: -(-candidates * share // total) for n, share in SIZES.items()}
    vocabulary = here.vocabulary
    alphas = [ff.compile(t, fields=panel.fields, groups=panel.groups) for t in random_formulas(vocabulary, wanted, 1)]
    alphas = alphas[:candidates]
    alone: list[float] = []
    spread: list[float] = []
    client: list[float] = []
    with tempfile.TemporaryDirectory() as folder, open_pool("local:2", wait=300.0) as pool:
        there = ClusterMarket(panel, config, pool, mapped(pool, panel, Path(folder)))
        ours, theirs = here.measure(alphas), there.measure(alphas)  # compiles kernels, loads the panel
        loading = pool.tally.building
        series = [(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours)]
        equal = all(np.array_equal(a, b, equal_nan=True) for a, b in series)
        computing, tasks = pool.tally.computing, pool.tally.tasks
        for _ in range(repeats):
            began = time.perf_counter()
            here.measure(alphas)
            alone.append(time.perf_counter() - began)
            began, used = time.perf_counter(), time.process_time()
            there.measure(alphas)
            spread.append(time.perf_counter() - began)
            client.append(time.process_time() - used)
        computing, tasks = pool.tally.computing - computing, pool.tally.tasks - tasks
        kept = pool.kept("nothing", Nothing())
        pool.map(kept, idle, [(dates,)] * 20)
        empty, empty_client = [], []
        for _ in range(repeats):
            began, used = time.perf_counter(), time.process_time()
            pool.map(kept, idle, [(dates,)] * EMPTY_TASKS)
            empty.append((time.perf_counter() - began) / EMPTY_TASKS)
            empty_client.append((time.process_time() - used) / EMPTY_TASKS)
        per_task = computing / tasks
    each = computing / (repeats * len(alphas))
    overhead = min(empty)
    busy = min(client) / len(alphas)
    serial = max(0.0, min(client) - min(empty_client) * tasks / repeats) / len(alphas)
    return {
        "symbols": symbols,
        "dates": dates,
        "candidates": len(alphas),
        "equal_bits": equal,
        "one_process_s": alone,
        "local_2_s": spread,
        "throughput_ratio": statistics.median(a / b for a, b in zip(alone, spread, strict=True)),
        "task_s": per_task,
        "overhead_a_task_s": overhead,
        "candidate_s": each,
        "serial_a_candidate_s": serial,
        "client_a_candidate_s": busy,
        "serial_fraction": busy / (busy + each),
        "loading_s": loading,
    }


def projected(figures: Mapping[str, Any], workers: int, batch: int) -> float:
    """Speed-up over one worker's computing alone of a batch of candidates, by what was measured.

    Seconds = candidates x serial + tasks x overhead + the busiest worker's candidates x computing; a candidate is never
    cut, and the client hands out tasks one after another.
    """
    size = min(LARGEST_TASK, max(1, -(-batch // (TASKS * workers))))
    tasks = -(-batch // size)
    busiest = min(batch, -(-tasks // workers) * size)
    each = figures["candidate_s"]
    seconds = batch * figures["serial_a_candidate_s"] + tasks * figures["overhead_a_task_s"] + busiest * each
    speedup: float = batch * each / seconds
    return speedup


def draw(document: Mapping[str, Any]) -> str:
    """The projection as SVG."""
    import altair as alt
    import vl_convert

    figures = document["figures"]
    rows = [
        {"workers": w, "speedup": projected(figures, w, b), "batch": f"{b:,} candidates a batch"}
        for b in BATCHES
        for w in WORKERS
    ]
    rows += [{"workers": w, "speedup": float(w), "batch": "ideal"} for w in WORKERS]
    order = ["ideal", *(f"{b:,} candidates a batch" for b in reversed(BATCHES))]
    powers = [2**i for i in range(10)]
    shape = f"{figures['symbols']:,} symbols x {figures['dates']:,} dates"
    measured = f"from {shape}, {document['date']}, {document['machine']['cpu']}, local:2:"
    task, candidate = 1e3 * figures["overhead_a_task_s"], 1e3 * figures["serial_a_candidate_s"]
    costs = (
        f"{1e3 * figures['candidate_s']:.1f} ms a candidate on a worker; {task:.1f} ms a task and {candidate:.2f} ms a "
        "candidate stay serial"
    )
    title = alt.TitleParams(
        "Projected speed-up of scoring by a cluster of one-thread workers",
        subtitle=[measured, costs, *ASSUMED],
        anchor="start",
    )
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("workers:Q", scale=alt.Scale(type="log", base=2), axis=alt.Axis(values=powers)),
            y=alt.Y(
                "speedup:Q",
                title="speed-up over one worker",
                scale=alt.Scale(type="log", base=2, domain=[0.5, 512]),
                axis=alt.Axis(values=powers),
            ),
            color=alt.Color("batch:N", title=None, sort=order, scale=alt.Scale(domain=order)),
            strokeDash=alt.condition("datum.batch == 'ideal'", alt.value([4, 4]), alt.value([1, 0])),
        )
        .properties(width=480, height=320, title=title, background="white")
    )
    return str(vl_convert.vegalite_to_svg(chart.to_json()))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benches.cluster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--symbols", type=int, default=3000)
    parser.add_argument("--dates", type=int, default=2520)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--folder", type=Path, default=DOCS, help="where cluster.json and cluster.svg go")
    parser.add_argument("--draw", action="store_true", help="draw the figures that are there, measure nothing")
    options = parser.parse_args(argv)
    path = options.folder / "cluster.json"
    try:
        if options.draw:
            if not path.is_file():
                raise DataError(f"cannot read {path}: there is no such file")
            document = json.loads(path.read_text(encoding="utf-8"))
        else:
            figures = measure(options.symbols, options.dates, options.candidates, options.repeats)
            document = {"date": str(np.datetime64("today")), "machine": this_machine(), "figures": figures}
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        with atomic_write(options.folder / "cluster.svg") as temporary:
            temporary.write_text(draw(document), encoding="utf-8")
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = document["figures"]
    for name, value in figures.items():
        print(f"{name}: {value}")
    for workers in (8, 64, 512):
        speeds = ", ".join(f"{projected(figures, workers, b):.1f} ({b:,})" for b in BATCHES)
        print(f"projected speed-up of {workers} workers by candidates a batch: {speeds}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
