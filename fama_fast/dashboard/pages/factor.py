"""The page of one factor: formula, hypothesis, gate, scores by split, ancestors and descendants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import ui

from fama_fast.dashboard import factor as factors
from fama_fast.dashboard.elements import Text, Tiles, facts, paragraph, table
from fama_fast.dashboard.pages.frame import candidate_address, factor_address, frame, problem, run_address
from fama_fast.errors import StoreError
from fama_fast.number_text import DASH, number, typeset

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.dashboard.factor import FactorPage
    from fama_fast.dashboard.runs import Runs
    from fama_fast.ledger.kin import Kin

_FIGURES = {
    "rank_ic": "RankIC",
    "rank_icir": "RankICIR",
    "rank_ic_t": "t",
    "ic": "IC",
    "icir": "ICIR",
    "hit_rate": "hit rate",
    "turnover": "turnover",
    "coverage": "coverage",
    "n_days": "days",
}
_NAMES = {"screen": "screening", "train": "training", "valid": "validation", "test": "test"}
_MOST_SHOWN = 60


def register(runs: Runs) -> None:
    """Add the pages: by candidate's row, by fingerprint."""

    @ui.page("/run/{run_id}/candidate/{row_id}")
    async def by_row(run_id: str, row_id: int) -> None:
        await _page(runs, run_id, lambda whole: factors.by_row(runs.store, whole, row_id))

    @ui.page("/run/{run_id}/factor/{fingerprint}")
    async def by_fingerprint(run_id: str, fingerprint: str) -> None:
        await _page(runs, run_id, lambda whole: factors.by_fingerprint(runs.store, whole, fingerprint))


async def _page(runs: Runs, run_id: str, ask: Callable[[str], FactorPage]) -> None:
    def read() -> tuple[FactorPage, str]:
        from fama_fast.report.formula import laid_out

        content = ask(run_id)
        return content, laid_out(content.expression)

    try:
        content, formula = await asyncio.to_thread(read)
    except StoreError as error:
        with frame("Factor", runs.store.place, ((run_id[:40], run_address(run_id)),)):
            problem(error)
        return
    with frame("Factor", runs.store.place, ((f"Run {content.run_id}", run_address(content.run_id)),)):
        _show(content, formula)


def _show(found: FactorPage, formula: str) -> None:
    row = found.row
    element = Text("div", formula, "formula")
    element.props["role"] = "region"
    element.props["aria-label"] = "Formula"
    element.props["tabindex"] = "0"
    if found.text.strip() != found.expression.strip():
        paragraph("As it was proposed:", "quiet")
        Text("div", found.text, "formula").props["tabindex"] = "0"
    if found.turned:
        paragraph("Training turned it round: low values of what was proposed go with high returns.", "quiet")
    Tiles(
        {
            "fate": found.fate,
            "training RankIC": typeset(found.score),
            "round": DASH if not row else f"{row['round']} (place {row['position'] + 1})",
            "origin": (row.get("origin") or DASH) if row else "starting library",
            "proposer": str(row.get("model") or row.get("proposer") or DASH),
            "nodes": number(row.get("nodes")),
            "proposed again": f"{found.proposed_again} times",
        }
    )
    details = {"fingerprint": found.fingerprint, "why it stopped": row.get("reason"), "prompt": row.get("prompt_hash")}
    facts({name: str(value) for name, value in details.items() if value})
    for head, key in (("Hypothesis", "hypothesis"), ("Explanation", "explanation")):
        if row.get(key):
            Text("h2", head)
            paragraph(row[key], "words").props["tabindex"] = "0"
    _scores(found)
    _lineage(found)


def _scores(found: FactorPage) -> None:
    Text("h2", "Scores")
    if found.scores:
        rows = [[_NAMES[name], *(_figure(scores, key) for key in _FIGURES)] for name, scores in found.scores.items()]
        table(["split", *_FIGURES.values()], rows, label="Scores by split")
    else:
        paragraph(
            "It was not measured: a gate before the first measurement stopped it, or it was known before.", "quiet"
        )
    if "test" not in found.scores and found.row:
        why = "for this factor" if found.test_opened else "at all"
        paragraph(f"Test split: the run has not opened it {why}.", "quiet")
    if found.verdict:
        Text("h2", "Verdict of the run")
        holds = "It holds." if found.verdict.get("holds") else "It does not hold."
        paragraph(holds, "good" if found.verdict.get("holds") else "bad")
        listed = [
            [k.replace("_", " "), v] for k, v in found.verdict.items() if isinstance(v, int | float) and k != "holds"
        ]
        table(["figure", "value"], listed, label="Figures of the verdict")


def _figure(scores: dict[str, float], key: str) -> Any:
    value = scores.get(key)
    return int(value) if key == "n_days" and value is not None else value


def _lineage(found: FactorPage) -> None:
    if len(found.path) > 1:
        Text("h2", "How it came about")
        paragraph("The best path: from each factor back to its strongest parent, the start first.", "quiet")
        _kin(found, found.path, "Best path")
    if found.ancestors:
        Text("h2", "Ancestors")
        _kin(found, found.ancestors, "Ancestors")
    if found.children:
        Text("h2", "What was made of it")
        _kin(found, found.children, "Descendants of the first generation")


def _kin(found: FactorPage, kin: tuple[Kin, ...], label: str) -> None:
    heads = ["expression", "fate", "training RankIC", "round", "origin", "generations away"]
    table(heads, [_kin_row(found.run_id, k) for k in kin[:_MOST_SHOWN]], label=label, formulas=["expression"])
    if len(kin) > _MOST_SHOWN:
        paragraph(f"The first {_MOST_SHOWN} are shown; 'fama-fast runs lineage {found.run_id} ...' lists all.", "quiet")


def _kin_row(run_id: str, kin: Kin) -> list[Any]:
    text = kin.expression[:300] or (kin.fingerprint or DASH)
    cell: Any = text
    if kin.fingerprint is not None:
        cell = (text, factor_address(run_id, kin.fingerprint))
    elif kin.id is not None:
        cell = (text, candidate_address(run_id, kin.id))
    fate = "known before" if kin.id is None else kin.gate or "admitted"
    return [cell, fate, kin.score, kin.round, kin.origin, kin.distance]
