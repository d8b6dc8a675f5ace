"""Middleware that refuses requests made by pages of other sites.

A browser lets any page open a websocket to any host and sends along where the page is from (`Origin`), which NiceGUI
does not look at. Here it is looked at before everything else, for websockets and for ordinary requests. Programs that
are no browsers send no such header and are let through; following a link from elsewhere is no question of a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_POLICY_VIOLATION = 1008
_OWN_SITE = ("same-origin", "none")  # none: typed by the user, or a bookmark


class OwnPagesOnly:
    """ASGI middleware that refuses requests from pages of other origins: 403, and a websocket before it is accepted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not foreign(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "a page of another origin"})
        else:
            await PlainTextResponse("a page of another origin may not ask this", 403)(scope, receive, send)


def foreign(headers: Headers) -> bool:
    """Whether the request comes from a page of another origin, by the headers of the browser."""
    here = headers.get("host", "")
    if any(not _same(origin, here) for origin in headers.getlist("origin")):
        return True
    site = headers.get("sec-fetch-site")
    return site is not None and site not in _OWN_SITE and headers.get("sec-fetch-mode") != "navigate"


def _same(origin: str, here: str) -> bool:
    """Whether an origin is the host that the request was sent to; behind a proxy the schemes may differ."""
    try:
        page = urlsplit(origin)
        host = urlsplit(f"{page.scheme}://{here}")
        usual = _PORTS.get(page.scheme)
        return (
            bool(page.hostname and here)
            and page.hostname == host.hostname
            and (page.port or usual) == (host.port or usual)
        )
    except ValueError:
        return False
