"""Cost against symbols, dates, window and number of expressions, each doubled four times.

`python -m benches.scaling` measures and writes `docs/scaling.json` and `docs/scaling.svg`; `--draw` only draws the JSON
again. Every point is our time over that of copying one field of the smallest panel, taken in turn; the points of a
curve are measured in turn as well, so that a machine's drift falls on all of them alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fama_fast as ff
from benches.duel import spread
from benches.measurements import this_machine
from benches.ours import Prepared
from benches.panels import random_panel
from fama_fast.atomic import atomic_write
from fama_fast.engine import daily_rank_ic
from fama_fast.errors import DataError, FamaError
from fama_fast.evaluation.rows import SortedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.panel import Panel

DOCS = Path(__file__).resolve().parent.parent / "docs"
THREADS = 2
BASE = (1250, 500)  # dates, symbols
DOUBLINGS = 4
WINDOWS = tuple(15 * 2**i for i in range(DOUBLINGS + 1))

CURVES = {
    "RANK": "RANK(CLOSE)",
    "TS_MEAN": "TS_MEAN(CLOSE, {d})",
    "TS_STDDEV": "TS_STDDEV(CLOSE, {d})",
    "CORREL": "CORREL(CLOSE, VOLUME, {d})",
    "TS_MAX": "TS_MAX(CLOSE, {d})",
    "TS_RANK": "TS_RANK(CLOSE, {d})",
    "DECAY_LINEAR": "DECAY_LINEAR(CLOSE, {d})",
}
AXES = ("symbols", "dates", "window (days)", "expressions")


def _evaluated(text: str, panel: Panel) -> Callable[[], object]:
    prepared = Prepared([text], panel)
    return lambda: prepared.run(THREADS)


def _scored(count: int, panel: Panel, labels: SortedRows) -> Callable[[], object]:
    """Daily RankIC of distinct expressions that share no window."""
    texts = [f"RANK(TS_MEAN(CLOSE, {2 + i})) - TS_STDDEV(VOLUME, {3 + i})" for i in range(count)]
    daily_rank_ic(texts, panel, labels, threads=THREADS)
    return lambda: daily_rank_ic(texts, panel, labels, threads=THREADS)


def points() -> list[tuple[str, str, int, Callable[[], Callable[[], object]]]]:
    """(axis, curve, where on the axis, what makes the timed call), the smallest first on each curve."""
    found: list[tuple[str, str, int, Callable[[], Callable[[], object]]]] = []
    dates, symbols = BASE
    base = random_panel(dates, symbols)
    labels = SortedRows.of(ff.forward_returns(base))
    for i in range(DOUBLINGS + 1):
        wide, tall = random_panel(dates, symbols * 2**i), random_panel(dates * 2**i, symbols)
        for curve, text in CURVES.items():
            at = text.format(d=20)
            found.append(("symbols", curve, symbols * 2**i, partial(_evaluated, at, wide)))
            found.append(("dates", curve, dates * 2**i, partial(_evaluated, at, tall)))
            if "{d}" in text:
                found.append(("window (days)", curve, WINDOWS[i], partial(_evaluated, text.format(d=WINDOWS[i]), base)))
        found.append(("expressions", "scored together", 8 * 2**i, partial(_scored, 8 * 2**i, base, labels)))
    return found


def measure(rounds: int) -> list[dict[str, Any]]:
    """Every point: its median ratio to the copy, noise and median seconds."""
    source = random_panel(*BASE)["CLOSE"]
    target = np.zeros_like(source)
    by_curve: dict[tuple[str, str], list[tuple[int, Callable[[], Callable[[], object]]]]] = defaultdict(list)
    for axis, curve, at, make in points():
        by_curve[axis, curve].append((at, make))
    rows: list[dict[str, Any]] = []
    for (axis, curve), makers in by_curve.items():
        calls = [(at, make()) for at, make in makers]  # one curve's results at a time: they are large
        ratios: dict[int, list[float]] = defaultdict(list)
        seconds: dict[int, list[float]] = defaultdict(list)
        for at, call in calls:
            call()
            ratios[at], seconds[at] = [], []
        for _ in range(rounds):
            for at, call in calls:
                yard = min(_timed(lambda: np.copyto(target, source)) for _ in range(5))
                took = min(_timed(call) for _ in range(2))
                ratios[at].append(took / yard)
                seconds[at].append(took)
        for at, _ in calls:
            ratio, noise = spread(ratios[at])
            figures = {"ratio": ratio, "noise": noise, "seconds": statistics.median(seconds[at])}
            rows.append({"axis": axis, "curve": curve, "at": at, **{k: float(f"{v:.4g}") for k, v in figures.items()}})
        first, last = rows[-len(calls)], rows[-1]
        print(f"{axis:15s} {curve:16s} x{last['at'] / first['at']:.0f} costs x{last['ratio'] / first['ratio']:.2f}")
    return rows


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def draw(figures: dict[str, Any]) -> str:
    """The figure as SVG: one panel an axis, both scales logarithmic, cost relative to each curve's first point."""
    import altair as alt
    import vl_convert

    first: dict[tuple[str, str], float] = {}
    for row in figures["points"]:
        first.setdefault((row["axis"], row["curve"]), row["ratio"])
    values = [{**row, "cost": row["ratio"] / first[row["axis"], row["curve"]]} for row in figures["points"]]
    top = max(32.0, *(row["cost"] for row in values))
    order = list(dict.fromkeys(row["curve"] for row in figures["points"]))
    panels = []
    for axis in AXES:
        mine = [row for row in values if row["axis"] == axis]
        ticks = sorted({row["at"] for row in mine})
        panels.append(
            alt.Chart(alt.Data(values=mine))
            .mark_line(point=True)
            .encode(
                x=alt.X("at:Q", title=axis, scale=alt.Scale(type="log", base=2), axis=alt.Axis(values=ticks)),
                y=alt.Y(
                    "cost:Q",
                    title="cost / that of the first point" if axis in (AXES[0], AXES[2]) else None,
                    scale=alt.Scale(type="log", base=2, domain=[0.5, top]),
                    axis=alt.Axis(values=[2.0**i for i in range(-1, 8)]),
                ),
                color=alt.Color("curve:N", title=None, sort=order, scale=alt.Scale(domain=order)),
            )
            .properties(width=300, height=220)
        )
    machine = figures["machine"]
    title = alt.TitleParams(
        "Cost against symbols, dates, window and expressions, each doubled four times",
        subtitle=f"{figures['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"{THREADS} threads, float64, from {BASE[1]} symbols x {BASE[0]} dates, windows of 20 days",
        anchor="start",
    )
    chart = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:])).properties(title=title, background="white")
    return str(vl_convert.vegalite_to_svg(chart.to_json()))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benches.scaling", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="alternating rounds of each curve (default 9)")
    parser.add_argument("--folder", type=Path, default=DOCS, help="where scaling.json and scaling.svg go")
    parser.add_argument("--draw", action="store_true", help="draw the figures that are there, measure nothing")
    options = parser.parse_args(argv)
    path = options.folder / "scaling.json"
    try:
        if options.draw:
            if not path.is_file():
                raise DataError(f"cannot read {path}: there is no such file")
            figures = json.loads(path.read_text(encoding="utf-8"))
        else:
            date = str(np.datetime64("today"))
            figures = {"date": date, "machine": this_machine(), "points": measure(options.rounds)}
        svg = draw(figures)
        if not options.draw:
            head = json.dumps({k: v for k, v in figures.items() if k != "points"})[:-1]
            lines = ",\n".join("  " + json.dumps(p) for p in figures["points"])
            with atomic_write(path) as temporary:
                temporary.write_text(f'{head}, "points": [\n{lines}\n]}}\n', encoding="utf-8")
        with atomic_write(options.folder / "scaling.svg") as temporary:
            temporary.write_text(svg, encoding="utf-8")
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
