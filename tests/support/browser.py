"""A real browser for pages, and what must be true of every page: no errors, nothing asked of the network."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The browser's program: CHROMIUM if set, else the first one found."""
    return os.environ.get("CHROMIUM") or next((p for p in map(shutil.which, NAMES) if p), None)


needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")


@dataclass
class Heard:
    """What a page said and asked for."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser_page(*, width: int = 1200, height: int = 900, dark: bool = False, javascript: bool = True):
    """A page of a fresh browser, with what it says and asks for on the way."""
    from playwright.sync_api import sync_playwright

    heard = Heard()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
        )
        page = context.new_page()
        page.on("console", lambda m: heard.messages.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: heard.messages.append(f"error: {e}"))
        page.on("dialog", lambda d: (heard.messages.append(f"dialog: {d.message}"), d.dismiss()))
        page.on("request", lambda r: heard.requests.append(r.url))
        try:
            yield page, heard
        finally:
            browser.close()


def keep_screenshot(page, name: str) -> None:
    """Save what is seen where FAMA_SCREENSHOTS says, for people to look at."""
    folder = os.environ.get("FAMA_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
