"""The page with the list of runs: sorted and filtered in the browser, refreshed while it is open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from fama_fast.dashboard.elements import paragraph
from fama_fast.dashboard.pages.frame import frame, problem
from fama_fast.errors import StoreError

if TYPE_CHECKING:
    from fama_fast.dashboard.runs import Run, Runs

REFRESH_SECONDS = 5.0
_FEW = 8  # runs whose table is as high as its rows
_SCORE = {"type": "rightAligned", "filter": "agNumberColumnFilter", ":valueFormatter": "famaFast.signed", "width": 120}
_COUNT = {"type": "rightAligned", "filter": "agNumberColumnFilter", "width": 130}


def register(runs: Runs) -> None:
    """Add the page."""

    @ui.page("/", title="Runs · fama_fast")
    async def page() -> None:
        place = runs.store.place
        try:
            listed = await asyncio.to_thread(runs.all)
        except StoreError as error:
            with frame("Runs", place):
                problem(error)
            return
        with frame("Runs", place):
            note = paragraph(_count_text(listed), "quiet")
            grid = _grid(listed)
            with Element("div").classes("row-of-controls"):
                ui.button("Compare selected runs", color=None, on_click=lambda: _compare(grid)).props(
                    "no-caps flat"
                ).classes("plain")
            shown = [_rows(listed)]

            async def refresh() -> None:
                try:
                    now = await asyncio.to_thread(runs.all)
                except StoreError as error:
                    note.text = str(error)
                    return
                note.text = _count_text(now)
                rows = _rows(now)
                if rows != shown[0]:
                    shown[0] = rows
                    grid.run_grid_method("setGridOption", "rowData", rows)

            ui.timer(REFRESH_SECONDS, refresh)


def _count_text(runs: list[Run]) -> str:
    if not runs:
        return "No run has been recorded yet: 'fama-fast mine' makes one, and it will appear here."
    going = sum(not r.finished for r in runs)
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {going} of them not finished."


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    return [
        {
            "id": r.id,
            "status": r.status_now,
            "started": r.started_at[:19].replace("T", " "),
            "rounds": r.committed,
            "candidates": r.totals.proposed,
            "admitted": r.totals.admitted,
            "best": r.totals.best,
            "pool": r.pool_valid,
            "verdict": r.headline[:300],
            "proposer": r.proposer,
            "seed": r.seed,
            "source": r.source[:300],
        }
        for r in runs
    ]


def _grid(runs: list[Run]) -> ui.aggrid:
    columns: list[dict[str, Any]] = [
        {"field": "id", "headerName": "run", ":cellRenderer": "famaFast.link", "width": 220, "filter": True},
        {"field": "status", "width": 130, "filter": True},
        {"field": "rounds", **_COUNT},
        {"field": "candidates", **_COUNT},
        {"field": "admitted", **_COUNT},
        {"field": "best", "headerName": "best train", **_SCORE},
        {"field": "pool", "headerName": "pool valid", **_SCORE},
        {"field": "verdict", "width": 420, "filter": True},
        {"field": "started", "headerName": "started (UTC)", "width": 180, "filter": True},
        {"field": "proposer", "width": 120, "filter": True},
        {"field": "seed", **_COUNT},
        {"field": "source", "headerName": "data", "width": 320, "filter": True},
    ]
    few = len(runs) <= _FEW
    options = {
        "columnDefs": [{"headerName": c["field"], **c} for c in columns],
        "rowData": _rows(runs),
        "defaultColDef": {"sortable": True, "resizable": True, "floatingFilter": False},
        "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
        "selectionColumnDef": {"width": 56, "pinned": None},
        ":getRowId": "params => params.data.id",
        "context": {"base": "/run/", "key": "id"},
        ":onCellKeyDown": "famaFast.follow",
        "suppressFieldDotNotation": True,
        "domLayout": "autoHeight" if few else "normal",
    }
    return ui.aggrid(options, auto_size_columns=False).classes("grid few" if few else "grid short")


async def _compare(grid: ui.aggrid) -> None:
    rows = await grid.get_selected_rows()
    if len(rows) < 2:
        ui.notify("Select two or more runs first: tick them, or press Space on a row.")
        return
    ui.navigate.to("/compare?" + "&".join(f"run={quote(str(row['id']), safe='')}" for row in rows))
