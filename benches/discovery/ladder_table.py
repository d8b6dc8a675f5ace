"""The table of the ladder of planted signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benches.discovery.planted import ARMS, FOUND, RUNGS
from benches.mining.intervals import table
from benches.mining.tables import share_interval

if TYPE_CHECKING:
    from collections.abc import Sequence


def ladder(rows: Sequence[dict[str, Any]]) -> str:
    """Share of signals found, by rung and arm, with Wilson's 95% interval. A row that is there twice counts once."""
    latest = {(r["rung"], r["arm"], r["candidates_asked"], r["seed"]): r for r in rows}
    lines = []
    for name, rung in RUNGS.items():
        own = [r for (n, *_), r in latest.items() if n == name]
        if not own:
            continue
        budgets = sorted({r["candidates_asked"] for r in own})
        for budget in budgets:
            line = [str(rung.depth), f"{rung.rank_ic:g}", str(rung.signals), f"{budget:,}"]
            for arm, key in ((ARMS[0], "best"), (ARMS[0], "best_short"), (ARMS[1], "best")):
                near = [v for r in own if r["arm"] == arm and r["candidates_asked"] == budget for v in r[key]]
                line.append(_share(sum(v > FOUND for v in near), len(near)))
            lines.append(line)
    head = ("depth", "RankIC", "signals", "candidates", "mined: found", "mined: in the short list", "random: found")
    return "### Planted signals\n\n" + table(head, lines)


def _share(hits: int, n: int) -> str:
    if not n:
        return ""
    low, high = share_interval(hits, n)
    return f"{hits} of {n} ({low:.0%} to {high:.0%})"
