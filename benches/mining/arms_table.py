"""The tables of the suite `arms` in Markdown: what each arm came to, for equal candidates and for equal money."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from benches.mining.intervals import mean_text, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[dict[str, Any]]

_ORDER = ("llm", "evolve", "mixed", "random")
_HEAD = (
    "arm",
    "seeds",
    "candidates",
    "short list",
    "pass the gates of training",
    "duplicates",
    "wide pool, validation",
    "short list's pool, validation",
    "cost",
    "of it the model",
    "cost of a listed factor",
)


def arms_table(rows: Rows) -> str:
    """One table a panel and budget, the funnel of each arm, and what the model's training may have seen."""
    parts = []
    for panel, budget in dict.fromkeys((r["panel"], r["budget"]) for r in rows):
        some = [r for r in rows if (r["panel"], r["budget"]) == (panel, budget)]
        arms = [arm for arm in _ORDER if any(r["arm"] == arm for r in some)]
        asked = max(r["candidates_asked"] for r in some)
        what = f"{asked:,} candidates" if budget == "candidates" else f"for {some[0]['money']:g}"
        models = ", ".join(sorted({r["model"] for r in some if r["model"]})) or "none"
        lines = [_line(arm, [r for r in some if r["arm"] == arm]) for arm in arms]
        parts.append(f"{panel}, equal {budget}: {what}; model: {models}\n\n{table(_HEAD, lines)}")
        parts.append("\n".join(_proposers([r for r in some if r["arm"] == arm], arm) for arm in arms))
        seen = next((r["seen"] for r in some if r["seen"]), None)
        if seen is not None:
            first, last = seen["valid"]
            parts.append(
                f"Of {seen['valid_days']} validation dates ({first} to {last}) {seen['before']} lie before "
                f"{seen['cutoff']}, to which the model was trained: it may have read about them."
            )
    return "\n\n".join(parts)


def _line(arm: str, rows: Rows) -> tuple[str, ...]:
    def each(*keys: str) -> list[float | None]:
        out: list[float | None] = []
        for row in rows:
            value: Any = row
            for key in keys:
                value = value[key]
            out.append(value)
        return out

    listed, cost = sum(r["listed"] for r in rows), sum(r["cost"]["all"] for r in rows)
    tried = sum(r["candidates"] for r in rows)
    return (
        arm,
        str(len(rows)),
        mean_text(each("candidates"), 0),
        mean_text(each("listed"), 1),
        mean_text(each("passed"), 1),
        f"{sum(r['duplicates'] for r in rows) / tried:.0%}" if tried else "-",
        mean_text(each("wide_valid")),
        mean_text(each("pool_valid")),
        mean_text(each("cost", "all")),
        f"{sum(r['cost']['model'] for r in rows) / cost:.0%}" if cost else "-",
        f"{cost / listed:.4g}" if listed else "-",
    )


def _proposers(rows: Rows, arm: str) -> str:
    """The share of each proposer of an arm, and where its candidates stopped."""
    total: dict[str, Counter[str]] = {}
    for row in rows:
        for name, own in row["by_proposer"].items():
            counts = total.setdefault(name, Counter())
            counts.update({"candidates": own["candidates"], "listed": own["listed"]})
            counts.update({f"gate {gate}": n for gate, n in own["funnel"].items()})
    tried, listed = (sum(c[key] for c in total.values()) for key in ("candidates", "listed"))
    said = []
    for name, counts in total.items():
        gates = sorted(((n, key[5:]) for key, n in counts.items() if key.startswith("gate ")), reverse=True)
        funnel = ", ".join(f"{gate} {n}" for n, gate in gates)
        share = f"{counts['listed'] / listed:.0%}" if listed else "-"
        said.append(f"{name}: {counts['candidates'] / tried:.0%} of candidates, {share} of listed factors ({funnel})")
    return f"- {arm}: {'; '.join(said)}" if said else f"- {arm}: proposed nothing"
