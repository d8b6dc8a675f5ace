"""The web server of the dashboard: pages, table rows and files, all from this machine, reachable from this machine only
unless set otherwise.

The web server is uvicorn under NiceGUI. Every answer forbids the browser to ask anything of another host; a request
that comes under a name which is not this machine's is refused, so that a page of someone else's cannot read the store
by pointing its own name at 127.0.0.1; and so is one that says it comes from such a page (`origin`).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from nicegui import app, background_tasks, ui
from nicegui.server import Server
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request  # noqa: TC002  (FastAPI reads the annotations)
from starlette.responses import JSONResponse, Response

from fama_fast.dashboard import candidates
from fama_fast.dashboard.elements import LIBRARY
from fama_fast.dashboard.origin import OwnPagesOnly
from fama_fast.dashboard.pages import compare, factor, run, runs
from fama_fast.dashboard.pages.frame import status
from fama_fast.dashboard.runs import Runs
from fama_fast.errors import ConfigError, FamaError, OutputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fama_fast.dashboard.reading import ReadOnlyLedger

ASSETS = Path(__file__).parent / "assets"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
POLICY = (
    # NiceGUI compiles its templates in the browser, which needs 'unsafe-eval'; texts never reach a template.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


def serve(ledger: ReadOnlyLedger, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the dashboard until it is interrupted; `ready` is called with its address.

    Args:
        port: 0 takes any that is free.

    Raises:
        OutputError: the address cannot be had, with what to do.
    """
    port = free_port(host, port)
    shown = f"[{host}]" if ":" in host else host
    build(Runs(ledger), only_this_machine=is_loopback(host))

    async def report_address() -> None:
        while not Server.instance.started:  # the application starts before its socket does
            await asyncio.sleep(0.02)
        ready(f"http://{shown}:{port}/")

    app.on_startup(lambda: background_tasks.create(report_address(), name="tell the address"))
    ui.run(
        host=host,
        port=port,
        title="fama_fast",
        favicon=ASSETS / "favicon.svg",
        dark=None,
        language="en-US",
        reload=False,
        show=False,
        show_welcome_message=False,
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port(host: str, port: int) -> int:
    """`port` when it can be had, any free one for 0.

    Raises:
        OutputError: it is taken, not allowed, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: one just closed may be had
            s.bind(address)
            return int(s.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OutputError(
                f"port {port} of {host} is taken, perhaps by another dashboard: name another with --port (0: any free)"
            ) from error
        raise OutputError(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error


def build(known: Runs, *, only_this_machine: bool) -> None:
    """Assemble the application: pages, files and middleware. A process has one."""
    app.add_static_files("/dashboard/assets", ASSETS)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK) if only_this_machine else ["*"])
    app.middleware("http")(_guarded)
    app.add_middleware(OwnPagesOnly)
    app.exception_handler(RequestValidationError)(_misasked)
    app.get(LIBRARY)(_vega)
    app.get("/dashboard/run/{run_id}/candidates")(_table(known))
    ui.add_head_html('<link rel="stylesheet" href="/dashboard/assets/dashboard.css">', shared=True)
    ui.add_head_html('<script src="/dashboard/assets/dashboard.js"></script>', shared=True)
    for page in (runs, run, factor, compare):
        page.register(known)


async def _guarded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def _misasked(_request: Request, error: RequestValidationError) -> Response:
    """The error response of a wrong address: 404 for an unknown page, 400 for wrong parameters."""
    first = error.errors()[0]
    where, name = first["loc"][0], ".".join(map(str, first["loc"][1:]))
    return JSONResponse({"error": f"{name}: {first['msg']}"}, status_code=404 if where == "path" else 400)


@cache
def _library() -> bytes:
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its declared signature asks for an argument that it does not need
    return str(bundle()).encode()


def _vega() -> Response:
    return Response(_library(), media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})


def _table(known: Runs) -> Callable[..., Response]:
    def table(
        request: Request, run_id: str, start: int = 0, end: int = 100, sort: str = "[]", filters: str = "{}"
    ) -> Response:
        try:
            _asked_for(request, ("start", "end", "sort", "filters"))
            known.committed(run_id)
            rows = candidates.page(
                known.store, run_id, start=start, end=end, sort=_json(sort, list), filters=_json(filters, dict)
            )
        except FamaError as error:
            return JSONResponse({"error": str(error)}, status_code=status(error))
        return JSONResponse(rows, headers={"Cache-Control": "no-store"})

    return table


def _asked_for(request: Request, names: Sequence[str]) -> None:
    """Check that a request has only these parameters, each once: a misspelt one must not be ignored."""
    for name in request.query_params:
        if name not in names:
            raise ConfigError(f"there is no {name[:40]!r} to ask for: only {', '.join(names)}")
        if len(request.query_params.getlist(name)) > 1:
            raise ConfigError(f"{name} is given twice")


def _json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{text[:40]!r} is not JSON") from error
    if not isinstance(value, kind):
        raise ConfigError(f"{text[:40]!r} is not a JSON {'list' if kind is list else 'object'}")
    return value
