"""The page that compares two or more runs: their factors, null controls and settings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import ui
from starlette.requests import Request  # noqa: TC002  (FastAPI reads the annotations)

from fama_fast.dashboard.charts import searches
from fama_fast.dashboard.elements import Text, figure, paragraph, table
from fama_fast.dashboard.pages.frame import frame, problem, run_address
from fama_fast.dashboard.runs import differing_settings
from fama_fast.dashboard.tallies import curve
from fama_fast.errors import ConfigError, StoreError
from fama_fast.number_text import DASH, number, typeset

if TYPE_CHECKING:
    from fama_fast.dashboard.runs import Run, Runs

MOST_RUNS = 8


def register(runs: Runs) -> None:
    """Add the page."""

    @ui.page("/compare")
    async def page(request: Request) -> None:
        wanted = list(dict.fromkeys(request.query_params.getlist("run")))
        try:
            if not 2 <= len(wanted) <= MOST_RUNS:
                raise ConfigError(f"name two to {MOST_RUNS} runs to compare: /compare?run=...&run=...")
            compared = await asyncio.to_thread(lambda: [runs.get(r) for r in wanted])
        except (ConfigError, StoreError) as error:
            with frame("Comparison", runs.store.place):
                problem(error)
            return
        with frame(f"Comparison of {len(compared)} runs", runs.store.place):
            _show(compared)


def _show(runs: list[Run]) -> None:
    if len({r.data_hash for r in runs}) > 1:
        paragraph("These runs were mined on different data: their scores are not of one market.", "bad")
    heads = ["", *(r.id for r in runs)]
    table(heads, [[name, *values] for name, values in _figures(runs)], label="Runs beside each other")
    if any(r.rounds for r in runs):
        figure(searches({r.id: curve(r.rounds) for r in runs if r.rounds}), "What each search found as it went on")
    Text("h2", "Settings that differ")
    different = differing_settings(runs)
    if different:
        rows = [[key, *(_setting(v) for v in values)] for key, values in different.items()]
        table(["setting", *(r.id for r in runs)], rows, label="Settings that differ")
    else:
        paragraph("None: all settings are the same.", "quiet")


def _setting(value: Any) -> str:
    return "not set" if value is None else str(value)[:300]


def _figures(runs: list[Run]) -> list[tuple[str, list[Any]]]:
    def row(name: str, ask: Any) -> tuple[str, list[Any]]:
        return name, [ask(r) for r in runs]

    return [
        row("page", lambda r: ("open", run_address(r.id))),
        row("status", lambda r: r.status_now),
        row("data", lambda r: f"{r.source[:200]} ({r.data_hash[:12]})"),
        row("proposer", lambda r: r.proposer),
        row("seed", lambda r: str(r.seed)),
        row("rounds", lambda r: r.committed),
        row("candidates", lambda r: r.totals.proposed),
        row("admitted", lambda r: r.totals.admitted),
        row("factors that hold", lambda r: r.holding),
        row("best training RankIC", lambda r: typeset(r.totals.best)),
        row("pool on validation", lambda r: typeset(r.pool_valid)),
        row("wide pool, validation", lambda r: r.wide_text),
        row("random control's pool, validation", lambda r: r.control_text),
        row("pool on test", lambda r: r.test_text),
        row("candidates/s of evaluation", lambda r: DASH if r.totals.rate is None else f"{r.totals.rate:,.1f}"),
        row("model tokens", lambda r: number(r.tokens)),
        row("verdict", lambda r: r.headline or "not yet"),
    ]
