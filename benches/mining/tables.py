"""Tables of finished suites in Markdown. Intervals are 95%: Student's t for means over seeds, Wilson's for shares."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.mining.ablation import ARMS, PROPOSERS
from benches.mining.arms_table import arms_table
from benches.mining.intervals import mean_text, table
from benches.mining.runner import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Rows = Sequence[dict[str, Any]]


def render(files: Iterable[Path]) -> str:
    """All tables that the files have results for, one a suite and budget. A seed that is there twice counts once, the
    later one."""
    latest: dict[tuple[str, int, str, int], dict[str, Any]] = {}
    arms: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    for path in files:
        for row in finished(path):
            if row["suite"] == "arms":
                arms[row["panel"], row["budget"], row["seed"], row["arm"]] = row
                continue
            latest[row["suite"], row["candidates_asked"], row["arm"], row["seed"]] = row
    asked: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for (name, budget, _, _), row in sorted(latest.items()):
        asked.setdefault((name, budget), []).append(row)
    parts = [TABLES[name](rows) for (name, _), rows in asked.items()]
    if arms:
        parts.append(arms_table(list(arms.values())))
    return "\n\n".join(parts) if parts else "no results yet"


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson 1927)."""
    if n == 0:
        return math.nan, math.nan
    z, p = 1.959964, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), (centre + half) / (1 + z * z / n)


def _share(rows: Rows, key: str = "right") -> str:
    hits = sum(1 for r in rows if r[key])
    low, high = share_interval(hits, len(rows))
    return f"{hits} of {len(rows)} ({low:.0%} to {high:.0%})"


def _budget(rows: Rows) -> str:
    return ", ".join(sorted({f"{r['candidates_asked']:,}" for r in rows}))


def _noise(rows: Rows) -> str:
    opened = sum(1 for r in rows if r["holding"])
    return table(
        (
            "pure noise, 500 x 1260",
            "seeds that end with nothing found",
            "seeds that opened the test",
            "admitted",
            "minutes",
        ),
        [
            (
                f"{_budget(rows)} candidates",
                _share(rows),
                str(opened),
                mean_text((r["admitted"] for r in rows), 1),
                _minutes(rows),
            )
        ],
    )


def _planted(rows: Rows) -> str:
    return table(
        (
            "planted RankIC .03",
            "seeds with a factor of 80% of it on test",
            "share of it: best admitted",
            "share of it: first in training",
            "seeds with verdict found",
            "minutes",
        ),
        [
            (
                f"{_budget(rows)} candidates",
                _share(rows),
                mean_text((r["share_of_best"] for r in rows), 2),
                mean_text((r["share_of_first"] for r in rows), 2),
                f"{sum(r['status'] == 'found' for r in rows)} of {len(rows)}",
                _minutes(rows),
            )
        ],
    )


def _verdicts(rows: Rows) -> str:
    lines = []
    for arm in ("noise", "martingale", "planted"):
        own = [r for r in rows if r["arm"] == arm]
        if own:
            endings = Counter(r["status"] for r in own)
            said = "; ".join(f"{status} {count}" for status, count in endings.most_common())
            lines.append((arm, _budget(own), _share(own), _share(own, "pays"), said, _minutes(own)))
    head = ("market, 300 x 750", "candidates", "right", 'no "found" without a spread above zero', "endings", "minutes")
    return table(head, lines)


def _real(rows: Rows) -> str:
    ours = [r for r in rows if r["arm"] == "mine"]
    gp = [r for r in rows if r["arm"] == "gplearn"]
    lines = [_pool_row("mined pool", ours, "pool_test", "test_over_train", "admitted")]
    if ours:
        lines.append(
            _pool_row("random formulas", ours, "random_pool_test", "random_test_over_train", "random_admitted")
        )
    if gp:
        lines.append(_pool_row("gplearn", gp, "pool_test", "test_over_train", "admitted"))
    head = (
        "",
        "seeds",
        "test RankIC, ridge",
        "test RankIC, equal",
        "factors' test / training RankIC",
        "admitted",
        "minutes",
    )
    parts = [table(head, lines)]
    differences = [("random formulas", [_gap(r["pool_test"], r["random_pool_test"]) for r in ours])]
    others = {r["seed"]: r for r in gp}
    differences.append(
        ("gplearn", [_gap(r["pool_test"], others[r["seed"]]["pool_test"]) for r in ours if r["seed"] in others])
    )
    shown = [(f"mined pool less {name}, ridge", mean_text(d)) for name, d in differences if d]
    if ours:
        states = [r["status"] for r in ours]
        counted = ", ".join(f"{s} {states.count(s)}" for s in dict.fromkeys(states))
        shown.append(("verdicts", counted))
        shown.append(("verdicts that the test contradicts", f"{sum(r['contradicted'] for r in ours)} of {len(ours)}"))
    return "\n\n".join([f"{rows[0]['suite']}, {_budget(rows)} candidates", *parts, table(("", ""), shown)])


def _gap(a: dict[str, float], b: dict[str, float]) -> float:
    return (a.get("ridge") or 0.0) - (b.get("ridge") or 0.0)


def _pool_row(name: str, rows: Rows, pool: str, ratio: str, admitted: str) -> tuple[str, ...]:
    return (
        name,
        str(len(rows)),
        mean_text((r[pool].get("ridge") or 0.0) for r in rows),
        mean_text((r[pool].get("equal") or 0.0) for r in rows),
        mean_text((r.get(ratio) for r in rows), 2),
        mean_text((r[admitted] for r in rows), 1),
        _minutes(rows),
    )


def _ablation(rows: Rows) -> str:
    lines = []
    for arm in ("neither", "css", "coe", "both"):
        mine = [r for r in rows if r["arm"] == arm]
        if mine:
            lines.append(
                (
                    arm,
                    str(len(mine)),
                    mean_text((r["per_1000"] for r in mine), 1),
                    mean_text((r.get("mean_abs_correlation") for r in mine), 3),
                    mean_text((r["pool_test"].get("ridge") or 0.0) for r in mine),
                )
            )
    head = (
        f"{_budget(rows)} candidates",
        "seeds",
        "admitted per 1,000",
        "mean |correlation| of admitted",
        "pool's test RankIC",
    )
    return table(head, lines)


def _memories(rows: Rows) -> str:
    """Each arm, and how far it is from the one without memories on the same seeds."""
    by = {(r["arm"], r["seed"]): r for r in rows}
    measures = {"per_1000": 1, "passed": 1, "pool_valid": 4, "wide_valid": 4}

    def gap(arm: str, key: str) -> list[float | None]:
        pairs = [(by[arm, s][key], by["neither", s][key]) for a, s in by if a == arm and ("neither", s) in by]
        return [None if a is None or b is None else a - b for a, b in pairs]

    lines = []
    for arm in ARMS:
        own = [r for r in rows if r["arm"] == arm]
        if own:
            seen: Counter[str] = Counter()
            for row in own:
                seen.update(row["shown"])
            figures = [mean_text((r[k] for r in own), digits) for k, digits in measures.items()]
            gaps = ["-" if arm == "neither" else mean_text(gap(arm, k), digits) for k, digits in measures.items()]
            cells = [f"{mean}; {more}" if more != "-" else mean for mean, more in zip(figures, gaps, strict=True)]
            built = (f"{seen[k] / max(1, seen['proposals']):.0%}" for k in ("on_exemplar", "on_chain"))
            shown = (f"{seen[k] / max(1, seen['rounds']):.1f}" for k in ("exemplars", "steps"))
            lines.append((arm, str(len(own)), *cells, *shown, *built))
    head = (
        f"{rows[0]['suite']}, {_budget(rows)} candidates",
        "seeds",
        "admitted per 1,000; less neither",
        "pass the gates of training; less neither",
        "short list's pool, validation; less neither",
        "wide pool, validation; less neither",
        "examples a round",
        "steps a round",
        "proposals built on an example",
        "on a step",
    )
    return table(head, lines)


def _scoring(row: dict[str, Any]) -> float:
    """Seconds that a candidate's scores took, races and exact ones together."""
    return float(row["scoring"] / row["candidates"])


def _racing(rows: Rows) -> str:
    arms = {arm: {r["seed"]: r for r in rows if r["arm"] == arm} for arm in ("race", "exact")}
    both = sorted(arms["race"].keys() & arms["exact"].keys())
    lines = [
        (
            {"race": "racing", "exact": "exact scoring of everything"}[arm],
            str(len(found)),
            mean_text((r["wall"] for r in found.values()), 1),
            mean_text((r["per_second"] for r in found.values()), 1),
            mean_text((1000.0 * _scoring(r) for r in found.values()), 1),
            mean_text((r["admitted"] for r in found.values()), 1),
            mean_text((r["pool_valid"].get("ridge") or 0.0) for r in found.values()),
            mean_text((r["pool_test"].get("ridge") or 0.0) for r in found.values()),
        )
        for arm, found in arms.items()
        if found
    ]
    head = (
        "",
        "seeds",
        "seconds",
        "candidates a second",
        "ms of scoring a candidate",
        "factors",
        "pool's validation RankIC",
        "pool's test RankIC",
    )
    exact = arms["exact"].values()
    missed, admitted = (sum(n) for n in ([len(r["missed"]) for r in exact], [r["admitted"] for r in exact]))
    shown = []
    if both:
        faster = (arms["exact"][s]["wall"] / arms["race"][s]["wall"] for s in both)
        shown.append(("exact scoring's seconds / racing's", mean_text(faster, 2)))
        dearer = (_scoring(arms["exact"][s]) / _scoring(arms["race"][s]) for s in both)
        shown.append(("the same of the seconds of scoring a candidate", mean_text(dearer, 2)))
        gaps = (_gap(arms["race"][s]["pool_test"], arms["exact"][s]["pool_test"]) for s in both)
        shown.append(("racing's pool less exact scoring's on test, ridge", mean_text(gaps)))
    if admitted:
        low, high = share_interval(missed, admitted)
        shown.append(
            ("factors of exact scoring that a race drops", f"{missed} of {admitted} ({low:.1%} to {high:.1%})")
        )
    if exact:
        # The arms propose different candidates from the first one on that a race loses; these are the same ones.
        saved = (r["scoring"] / (r["watched"] + r["scoring"] * (1.0 - r["lost"] / max(1, r["raced"]))) for r in exact)
        shown.append(("the same of the same candidates' scores, had races dropped theirs", mean_text(saved, 2)))
    if raced := sum(r["raced"] for r in exact):
        shown.append(("candidates that a race drops", f"{sum(r['lost'] for r in exact) / raced:.0%} of {raced:,}"))
    parts = [f"{rows[0]['suite']}, {_budget(rows)} candidates", table(head, lines)]
    return "\n\n".join([*parts, table(("", ""), shown)] if shown else parts)


def _throughput(rows: Rows) -> str:
    of: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for r in rows:
        of.setdefault((r["arm"], r["threads"]), []).append(r)
    lines = [
        (
            arm,
            f"{rows[0]['candidates_asked']:,}",
            str(threads),
            str(len(some)),
            mean_text((r["per_second"] for r in some), 0),
            mean_text((100.0 * r["kernel_share"] for r in some), 0),
            mean_text((r["wall"] for r in some), 0),
        )
        for (arm, threads), some in of.items()
    ]
    head = (
        "data",
        "candidates",
        "threads",
        "seeds",
        "candidates a second, whole run",
        "% of wall time in kernels",
        "seconds",
    )
    return table(head, lines)


def _objective(rows: Rows) -> str:
    """The pool's four measures on dates that the search has not seen, by what the search climbed."""
    lines = []
    for arm in dict.fromkeys(r["arm"] for r in rows):
        mine = [r for r in rows if r["arm"] == arm]
        measure, _, days = arm.partition("-")
        pools = [r.get("pool_test_figures", {}).get("ridge", {}) for r in mine]
        # A search that admits nothing earns nothing.
        lines.append(
            (
                measure,
                days,
                str(len(mine)),
                *(mean_text((p.get(key) or 0.0) for p in pools) for key in ("rank_ic", "ic")),
                *(mean_text((1e4 * (p.get(key) or 0.0) / int(days) for p in pools), 1) for key in ("spread", "net")),
                mean_text((r["admitted"] for r in mine), 1),
                _minutes(mine),
            )
        )
    head = (
        "the search climbs",
        "days",
        "seeds",
        "RankIC",
        "IC",
        "spread, bp a day",
        "net, bp a day",
        "admitted",
        "minutes",
    )
    return "\n\n".join([f"{rows[0]['suite']}, {_budget(rows)} candidates", table(head, lines)])


def _minutes(rows: Rows) -> str:
    return f"{np.median([r['seconds'] for r in rows]) / 60:.1f}" if rows else "-"


TABLES: dict[str, Callable[[Rows], str]] = {
    "noise": _noise,
    "planted": _planted,
    "ashare": _real,
    "sp500": _real,
    "ablation": _ablation,
    **{f"ablation-{where}-{who}": _memories for where in ("simulator", "sp500") for who in PROPOSERS},
    "racing": _racing,
    "racing-ashare": _racing,
    "racing-large": _racing,
    "objective-csi300": _objective,
    "objective-ashare": _objective,
    "objective-sp500": _objective,
    "verdicts": _verdicts,
    "throughput": _throughput,
}
