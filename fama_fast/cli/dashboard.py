"""`fama-fast dashboard`: the runs of a ledger in a browser, also while one is being mined."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import Annotated

import typer

from fama_fast.cli.common import note

PORT = 8642


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger", metavar="FILE|URL", help="The ledger (default: runs/ledger.sqlite).", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Configuration that names the ledger.", show_default=False),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Address to listen on; the default serves this machine only."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = PORT,
) -> None:
    """Show the runs of a ledger as a local web page, live while one is being mined.

    It only reads: a running mine is never held up. Ctrl-C ends it.
    """
    from fama_fast.errors import ConfigError
    from fama_fast.mining.config_file import load_config
    from fama_fast.mining.run.setup import ledger_place

    try:
        import altair  # noqa: F401  (figures)
        import vl_convert  # noqa: F401  (the Vega library, which browsers get from here)

        from fama_fast.dashboard.reading import ReadOnlyLedger
        from fama_fast.dashboard.server import is_loopback, serve
    except ImportError as error:
        package = (error.name or "nicegui").partition(".")[0]
        if package == "fama_fast":
            raise
        raise ConfigError(f'the dashboard needs the package {package}: pip install "fama_fast[dashboard]"') from error

    with ReadOnlyLedger.open(ledger_place(load_config(config, {"ledger": ledger}))) as store:
        if not is_loopback(host):
            note(f"whoever reaches {host} can read the whole ledger: the dashboard asks for no password")
        try:
            serve(store, host, port, lambda address: note(f"dashboard of {store.place}: {address} (Ctrl-C ends it)"))
        except KeyboardInterrupt:
            note("dashboard ended")
