"""Tables of the benchmark in Markdown. Intervals are 95% over years and seeds, see `intervals.interval`."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.discovery.arms import CHOSEN, LISTED, SIZES, WITH
from benches.discovery.intervals import at_size, interval, paired, to_match
from benches.discovery.ladder_table import ladder
from benches.discovery.studies import STUDIES
from benches.mining.intervals import table
from benches.mining.runner import finished
from fama_fast.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Row = dict[str, Any]
    Cells = dict[tuple[int, int], Row]  # by (year, seed)

BASE, LUCK = WITH, "random"
NAMES = {
    "alpha158": "Alpha158",
    "alpha101": "Alpha101",
    "alpha360": "Alpha360",
    "gtja191": "GTJA191",
    "random": "random, no gate",
    "random-free": "random, level-free",
    "random-search": "random, as the search draws them",
    "mined": "mined",
    "mined-alpha158": "mined from Alpha158",
    "mined-alpha101": "mined from Alpha101",
    "mined-alpha360": "mined from Alpha360",
    "mined-gtja191": "mined from GTJA191",
    "gplearn": "gplearn",
}
SHOWN = ("rank_ic", "ic", "spread", "net")
DIGITS = {"rank_ic": 4, "ic": 4, "spread": 1, "net": 1}
BEGIN, END = "<!-- discovery tables: begin -->", "<!-- discovery tables: end -->"


def render(files: Iterable[Path]) -> str:
    """All tables that the files have results for, one part a study. A row that is there twice counts once, the later
    one; of an arm's budgets the largest."""
    results: dict[str, dict[tuple[str, int], dict[int, Cells]]] = {}
    rungs: list[Row] = []
    for path in files:
        for row in finished(path):
            if row["suite"] == "planted":
                rungs.append(row)
                continue
            arms = results.setdefault(row["study"], {}).setdefault((row["arm"], row["horizon"]), {})
            arms.setdefault(row["candidates_asked"], {})[row["year"], row["seed"]] = row
    parts = []
    for study in sorted(results, key=list(STUDIES).index):
        largest = {key: budgets[max(budgets)] for key, budgets in results[study].items()}
        parts.append(_study(study, largest))
    if rungs:
        parts.append(ladder(rungs))
    return "\n\n".join(parts) if parts else "no results yet"


def write(path: Path, text: str, files: Sequence[Path]) -> None:
    """Put tables between the marks of a file.

    Raises:
        SystemExit: it has no such marks.
    """
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: {path} has no lines {BEGIN} and {END}")
    today = dt.datetime.now(dt.UTC).date()
    command = "python -m benches.discovery table " + " ".join(str(f) for f in files)
    said = f"{today}, `{command} --write {path}`:"
    with atomic_write(path) as place:
        place.write_text(f"{before}{BEGIN}\n{said}\n\n{text}\n{END}{after}", encoding="utf-8")


def name_of(arm: str) -> str:
    """An arm as people read it."""
    base, plus, _ = arm.partition("+")
    for suffix, words in ((CHOSEN, ", short list chosen from them"), (LISTED, ", the factors that the run hands over")):
        if base.endswith(suffix):
            return name_of(base.removesuffix(suffix)) + words
    return NAMES.get(base, base) + (" and Alpha158" if plus else "")


def _order(arm: str) -> tuple[int, str]:
    base = arm.partition("+")[0].removesuffix(CHOSEN).removesuffix(LISTED)
    known = list(NAMES)
    return (known.index(base) if base in known else len(known), arm)


def _study(study: str, of: Mapping[tuple[str, int], Cells]) -> str:
    horizons = sorted({h for _, h in of})
    years = sorted({y for cells in of.values() for y, _ in cells})
    span = f"{years[0]}" if len(years) == 1 else f"{years[0]} to {years[-1]}"
    asked = sorted({r["candidates_asked"] for cells in of.values() for r in cells.values()} - {0})
    budget = f"; {' or '.join(_count(n) for n in asked)} candidates of an arm" if asked else ""
    parts = [f"### {study}\n\n{STUDIES[study].about}; test years {span}{budget}."]
    for h in horizons:
        arms = {arm: of[arm, h] for arm in sorted({a for a, k in of if k == h}, key=_order)}
        parts += [f"#### {h} day{'' if h == 1 else 's'}", _means(arms), _curves(arms), _by_year(arms, years)]
    return "\n\n".join(p for p in parts if p)


def whole(cells: Cells, measure: str) -> dict[tuple[int, int], float]:
    """The figure of the largest pool of each year and seed."""
    return {key: _figure(row["pools"][-1], measure) for key, row in cells.items()}


def _figure(pool: Row, measure: str) -> float:
    """A figure of a pool; one that has none, such as the spread of a formula whose tenths are empty, earns nothing."""
    return float(np.nan_to_num(pool[measure]))


def as_many(cells: Cells, beside: Cells, measure: str) -> dict[tuple[int, int], float]:
    """The figure of as many formulas of `cells` as the largest pool of `beside` has, by year and seed of the former."""
    sizes = {year: [] for year, _ in beside}  # type: dict[int, list[int]]
    for (year, _), row in beside.items():
        sizes[year].append(row["pools"][-1]["size"])
    out = {}
    for (year, seed), row in cells.items():
        if year in sizes:
            own = beside.get((year, seed))
            size = own["pools"][-1]["size"] if own else float(np.mean(sizes[year]))
            curve = row["pools"]
            out[year, seed] = at_size([p["size"] for p in curve], [_figure(p, measure) for p in curve], size)
    return out


def _means(arms: Mapping[str, Cells]) -> str:
    lines = []
    for arm, cells in arms.items():
        figures = {m: whole(cells, m) for m in SHOWN}
        line = [
            name_of(arm),
            _count(float(np.mean([r["pools"][-1]["size"] for r in cells.values()]))),
            str(len({s for _, s in cells})),
            *(f"{np.mean(list(figures[m].values())):.{DIGITS[m]}f}" for m in SHOWN),
        ]
        for other in (BASE, LUCK):
            for m in ("rank_ic", "spread"):
                beside = arms.get(other)
                if beside is None or arm == other:
                    line.append("")
                    continue
                theirs = whole(beside, m) if other == BASE else as_many(beside, cells, m)
                line.append(_said(interval(paired(figures[m], theirs)), DIGITS[m]))
        if LUCK in arms and arm != LUCK:
            line += [_matching(arms[LUCK], float(np.mean(list(figures[m].values()))), m) for m in ("rank_ic", "spread")]
        else:
            line += ["", ""]
        lines.append(line)
    head = (
        "arm",
        "formulas",
        "seeds",
        "RankIC",
        "IC",
        "spread, bp a day",
        "net at 10 bp",
        "RankIC less Alpha158",
        "spread less Alpha158",
        "RankIC less as many random, no gate",
        "spread less as many random",
        "features to match: RankIC",
        "spread",
    )
    return table(head, lines)


def curve_of(cells: Cells, measure: str) -> dict[int, float]:
    """Mean over years and seeds by pool size, of the sizes that every year and seed has; and of the largest pools, at
    their mean size."""
    by_size: dict[int, list[float]] = {}
    for row in cells.values():
        for pool in row["pools"]:
            by_size.setdefault(pool["size"], []).append(_figure(pool, measure))
    out = {n: float(np.mean(v)) for n, v in sorted(by_size.items()) if len(v) == len(cells) and n in SIZES}
    ends = [row["pools"][-1] for row in cells.values()]
    size = round(float(np.mean([p["size"] for p in ends])))
    if size >= max(out, default=0):
        out[size] = float(np.mean([_figure(p, measure) for p in ends]))
    return out


def _matching(luck: Cells, wanted: float, measure: str) -> str:
    curve = curve_of(luck, measure)
    found = to_match(list(curve), list(curve.values()), wanted)
    return f"> {max(curve):,}" if math.isinf(found) else _count(found)


def _curves(arms: Mapping[str, Cells]) -> str:
    """RankIC and spread by the number of formulas, of arms that have a curve."""
    curves = {a: [curve_of(c, m) for m in ("rank_ic", "spread")] for a, c in arms.items() if "+" not in a}
    curves = {a: c for a, c in curves.items() if len(c[0]) > 1}
    sizes = [n for n in SIZES if any(n in c[0] for c in curves.values())]
    lines = []
    for arm, (ranks, spreads) in curves.items():
        last = max(ranks)
        cells = [f"{ranks[n]:.4f} / {spreads[n]:.1f}" if n in ranks else "" for n in sizes]
        lines.append((name_of(arm), *cells, f"{last:,}: {ranks[last]:.4f} / {spreads[last]:.1f}"))
    if not lines:
        return ""
    return table(("RankIC / spread by formulas", *(f"{n:,}" for n in sizes), "all"), lines)


def _by_year(arms: Mapping[str, Cells], years: Sequence[int]) -> str:
    lines = []
    for arm, cells in arms.items():
        figures = [whole(cells, m) for m in ("rank_ic", "spread")]
        line = [name_of(arm)]
        for y in years:
            own = [[v for (year, _), v in f.items() if year == y] for f in figures]
            line.append(f"{np.mean(own[0]):.3f} / {np.mean(own[1]):.0f}" if own[0] else "")
        lines.append(line)
    return table(("RankIC / spread by year", *map(str, years)), lines)


def _said(found: tuple[float, float, float], digits: int) -> str:
    centre, low, high = found
    if math.isnan(centre):
        return ""
    return f"{centre:+.{digits}f}" + ("" if math.isnan(low) else f" ({low:+.{digits}f} to {high:+.{digits}f})")


def _count(value: float) -> str:
    return f"{value:,.0f}"
