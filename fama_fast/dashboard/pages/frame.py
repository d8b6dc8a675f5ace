"""The frame of every page: a title, a way back, and one clear sentence where something cannot be read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from fama_fast.dashboard.elements import Text, paragraph
from fama_fast.errors import NotRecorded, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fama_fast.errors import FamaError


@contextmanager
def frame(title: str, place: str, trail: tuple[tuple[str, str], ...] = ()) -> Iterator[None]:
    """The frame of a page; `place` names the store, `trail` leads back as (text, address)."""
    ui.page_title(f"{title[:120]} · fama_fast")
    with Element("header").classes("bar"):
        Text("span", "fama_fast", "brand")
        with Element("nav") as nav:
            nav.props["aria-label"] = "Pages"
            ui.link("Runs", "/")
            for text, address in trail:
                Text("span", " / ", "quiet").props["aria-hidden"] = "true"
                ui.link(text, address)
        Text("span", place, "place")
    with Element("div").classes("page") as content:
        Text("h1", title)
        yield
    ui.skip_link(target=content)


def problem(error: FamaError) -> None:
    """Show why a page has no content; the HTTP status says it too."""
    paragraph(str(error), "bad").props["role"] = "alert"
    ui.context.client.status_code = status(error)


def status(error: FamaError) -> int:
    """The HTTP status of an error: bad request, not found, or the store cannot be read now."""
    return 404 if isinstance(error, NotRecorded) else 503 if isinstance(error, StoreError) else 400


def run_address(run_id: str) -> str:
    """Address of the page of a run."""
    return f"/run/{quote(run_id, safe='')}"


def factor_address(run_id: str, fingerprint: str) -> str:
    """Address of the page of a factor."""
    return f"{run_address(run_id)}/factor/{quote(fingerprint, safe='')}"


def candidate_address(run_id: str, row: int) -> str:
    """Address of the page of a candidate."""
    return f"{run_address(run_id)}/candidate/{row}"
