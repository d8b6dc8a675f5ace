"""The page of one run: its progress as rounds are committed, its verdict, its chains, and the table of its
candidates."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.element import Element

from fama_fast.dashboard.elements import Text, Tiles, facts, figure, paragraph
from fama_fast.dashboard.pages.frame import frame, problem, run_address
from fama_fast.dashboard.tallies import curve
from fama_fast.errors import StoreError
from fama_fast.ledger.lineage import Lineage
from fama_fast.ledger.ownership import RUNNING
from fama_fast.number_text import DASH, number, typeset
from fama_fast.report import figures

if TYPE_CHECKING:
    from fama_fast.dashboard.runs import Run, Runs
    from fama_fast.ledger.kin import ChainPath

REFRESH_SECONDS = 2.0
_MOST_CHAINS = 40  # in one figure; more cannot be told apart


def register(runs: Runs) -> None:
    """Add the page."""

    @ui.page("/run/{run_id}")
    async def page(run_id: str) -> None:
        try:
            run, chains = await asyncio.to_thread(_read, runs, run_id)
        except StoreError as error:
            with frame("Run", runs.store.place):
                problem(error)
            return
        with frame(f"Run {run.id}", runs.store.place):
            _Page(runs, run, chains)


def _read(runs: Runs, run_id: str) -> tuple[Run, list[ChainPath]]:
    run = runs.get(run_id)
    run.named_gates()  # imports what it needs here, not in the thread that serves pages
    return run, Lineage(runs.store, run.id).chains()


class _Page:
    """The live parts of the page; everything is made once and then changed, so that focus and scrolling stay."""

    def __init__(self, runs: Runs, run: Run, chains: list[ChainPath]) -> None:
        self._runs, self._run = runs, run
        self._verdict_shown = self._lost = False
        self._live = Text("p", "")
        self._live.props["role"] = "status"
        self._verdict = Element("div")
        self._tiles = Tiles(_tiles(run))
        with Element("div").classes("figures"):
            self._funnel = figure(figures.funnel(run.named_gates()), "Candidates by the gate that stopped them")
            self._search = figure(
                figures.search(curve(run.rounds)), "What the search found over the candidates it tried"
            )
        Text("h2", "Candidates")
        paragraph(
            "RankIC in the direction of training. Click a head to sort (Shift-click for a second column), type below a "
            "head to filter; arrow keys move between cells and Enter opens the factor.",
            "quiet",
        )
        Text("p", "", "quiet").props["id"] = "table-note"
        self._grid = _grid(run)
        Text("h2", "Chains of experience")
        self._chains_at = run.committed
        self._chain_holder = Element("div")
        self._draw_chains(chains)
        _settings(run)
        self._state()
        self._seen = (run.committed, run.status_now)
        self._timer = ui.timer(REFRESH_SECONDS, self._refresh, active=not run.finished)

    async def _refresh(self) -> None:
        try:
            seen = await asyncio.to_thread(self._runs.committed, self._run.id)
            if seen == self._seen:
                if self._lost:
                    self._lost = False
                    self._state()
                return
            run, chains = await asyncio.to_thread(_read, self._runs, self._run.id)
        except StoreError as error:
            self._lost = True
            self._live.text = f"The store cannot be read now: {error}"
            return
        self._run, self._seen = run, seen
        self._tiles.show(_tiles(run))
        self._funnel.show(figures.funnel(run.named_gates()))
        self._search.show(figures.search(curve(run.rounds)))
        self._grid.run_grid_method("refreshInfiniteCache")
        self._draw_chains(chains)
        self._state()
        if run.finished:
            self._timer.deactivate()

    def _state(self) -> None:
        run = self._run
        at = dt.datetime.now(dt.UTC).strftime("%H:%M:%S")
        if run.finished:
            self._live.text = f"Finished {_moment(run.finished_at)} UTC; started {_moment(run.started_at)} UTC."
        elif run.status_now == RUNNING:
            self._live.text = f"Not finished: this page follows it, last change seen {at} UTC."
        else:
            because = f" ({run.why})" if run.why else ""
            self._live.text = (
                f"Not finished: {run.status_now}{because}. 'fama-fast mine --resume {run.id}' goes on, and this page "
                "follows it."
            )
        if run.headline and not self._verdict_shown:
            self._verdict_shown = True
            with self._verdict:
                _verdict(run)

    def _draw_chains(self, chains: list[ChainPath]) -> None:
        self._chain_holder.clear()
        with self._chain_holder:
            if not chains:
                paragraph("This run has no chains.", "quiet")
                return
            shown = sorted(chains, key=lambda c: len(c.links), reverse=True)[:_MOST_CHAINS]
            figure(
                figures.chains([_members(c) for c in shown]),
                f"{len(shown)} of {len(chains)} chains, longest first" if len(shown) < len(chains) else "All chains",
            )


def _members(chain: ChainPath) -> list[dict[str, Any]]:
    return [
        {
            "name": link.expression[:200],
            "score": link.score,
            "new": "known before" if link.round == 0 else "found here",
        }
        for link in chain.links
    ]


def _tiles(run: Run) -> dict[str, str]:
    last = run.rounds[-1] if run.rounds else None
    rate = None if last is None else last.rate
    return {
        "rounds": f"{run.committed}" + (f" of {run.rounds_of}" if run.rounds_of else ""),
        "candidates": number(run.totals.proposed),
        "admitted": f"{run.totals.admitted}" + (f" (wanted {run.wanted})" if run.wanted else ""),
        "best training RankIC": typeset(run.totals.best),
        "pool on validation": typeset(run.pool_valid),
        "wide pool": run.wide_text,
        "random control's pool": run.control_text,
        "candidates/s, last round": DASH if rate is None else f"{rate:,.1f}",
        "model tokens": number(run.tokens) + _logged(run.logged_tokens and number(run.logged_tokens)),
        "model cost": (DASH if not run.cost else f"{run.cost:.2f}")
        + _logged(run.logged_cost and f"{run.logged_cost:.2f}"),
        "pool on test": run.test_text,
    }


def _logged(part: str | float) -> str:
    """What of a figure came from the log of exchanges, and was not paid for again."""
    return f" ({part} of it from the log)" if part else ""


def _verdict(run: Run) -> None:
    kind = "found" if run.verdict.get("status") == "found" else ""
    with Element("section").classes(f"verdict {kind}") as section:
        section.props["aria-label"] = "Verdict"
        paragraph(run.headline, "headline")
        for statement in run.statements:
            paragraph(statement)


def _settings(run: Run) -> None:
    Text("h2", "Run")
    facts(
        {
            "data": run.source,
            "hash of the data": run.data_hash,
            "proposer": run.proposer,
            "seed": str(run.seed),
            "version": run.version,
        }
    )


def _moment(text: str | None) -> str:
    return (text or "")[:19].replace("T", " ")


_SCORE = {"type": "rightAligned", "filter": "agNumberColumnFilter", ":valueFormatter": "famaFast.signed", "width": 115}
_RATIO = {**_SCORE, ":valueFormatter": "famaFast.ratio", "width": 105}
_WHOLE = {"type": "rightAligned", "filter": "agNumberColumnFilter", "width": 95}


def _grid(run: Run) -> ui.aggrid:
    text = {"filter": "agTextColumnFilter"}
    columns: list[dict[str, Any]] = [
        {"field": "expression", ":cellRenderer": "famaFast.link", ":width": "famaFast.wide()", **text},
        {"field": "train", **_SCORE, "initialSort": "desc"},
        {"field": "valid", **_SCORE},
        {"field": "fate", "width": 125, **text},
        {"field": "train_t", "headerName": "train t", **_RATIO},
        {"field": "turnover", **_RATIO},
        {"field": "nodes", **_WHOLE},
        {"field": "round", **_WHOLE},
        {"field": "origin", "width": 160, **text},
        {"field": "hypothesis", "width": 300, **text},
        {"field": "reason", "headerName": "why it stopped", "width": 320, **text},
        {"field": "proposer", "width": 110, **text},
        {"field": "id", "headerName": "row", **_WHOLE},
    ]
    address = run_address(run.id)
    options = {
        "columnDefs": [{"headerName": c["field"], **c} for c in columns],
        "defaultColDef": {"sortable": True, "resizable": True, "floatingFilter": True},
        "rowModelType": "infinite",
        ":datasource": f"famaFast.rows('/dashboard{address}/candidates')",
        "cacheBlockSize": 100,
        "maxBlocksInCache": 30,
        ":getRowId": "params => String(params.data.id)",
        "context": {"base": f"{address}/candidate/", "key": "id"},
        ":onCellKeyDown": "famaFast.follow",
        "suppressFieldDotNotation": True,
    }
    return ui.aggrid(options, auto_size_columns=False).classes("grid tall")
