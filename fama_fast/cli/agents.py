"""`fama-fast mcp`: a session for an agent, over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations when it runs)
from typing import Annotated, Any

import typer

from fama_fast.cli.common import DataPath, Groups, MinMembers, Threads, Universe, note
from fama_fast.cli.large import MemoryBudget  # noqa: TC001
from fama_fast.cli.reading import options_given, takes_reading
from fama_fast.panel.reading import PLAIN, Reading

PORT = 8643


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mcp")(takes_reading(mcp))


def mcp(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML configuration, as of mine.", show_default=False),
    ] = None,
    data: DataPath = None,
    universe: Universe = None,
    groups: Groups = None,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", metavar="FILE", help="Where sessions are recorded.", show_default=False),
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(
            "--library",
            metavar="NAME|PATH",
            help="What the session starts from, without a factor cache: a packaged library, or a file or folder.",
            show_default=False,
        ),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", metavar="DAYS", help="Days held.", show_default=False)
    ] = None,
    min_members: MinMembers = None,
    memory_budget: MemoryBudget = None,
    threads: Threads = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve this machine over HTTP, in place of standard input and output.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="With --http; 0 takes a free one.")
    ] = PORT,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="RUN", help="The session to go on with ('last' is the latest).", show_default=False
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a new session, even where one on these data is unfinished.")
    ] = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Let an agent score formulas: a server of the Model Context Protocol, which its client starts.

    Tools: describe_data, list_operators, check, score, study, propose, lineage, report, verdict. Each score is a
    counted trial in the ledger; the test split is opened by verdict alone. A session that was left, or killed, goes on
    where it was. docs/llm.md shows how clients are told of it.
    """
    from fama_fast.agents.opening import open_session
    from fama_fast.errors import ConfigError
    from fama_fast.mining.config_file import load_config

    try:
        from fama_fast.agents.server import serve_http, serve_stdio
    except ImportError as error:
        package = (error.name or "mcp").partition(".")[0]
        if package == "fama_fast":
            raise
        raise ConfigError(f'the server for agents needs the package {package}: pip install "fama_fast[mcp]"') from error

    overrides: dict[str, Any] = {
        "paths.market_data": data,
        "paths.universe": universe,
        "paths.groups": groups,
        "ledger": ledger,
        "library": library,
        "splits.horizon": horizon,
        "splits.min_members": min_members,
        "run.memory_budget": memory_budget,
        "run.threads": threads,
        **options_given(reading),
    }
    settings = load_config(config, overrides)
    if data is None and settings.paths.market_data is None:
        note("no data given: simulated market data")
    with open_session(settings, resume=resume, fresh=new, note=note) as session:
        if not http:
            serve_stdio(session)
            return
        try:
            serve_http(session, port, lambda address: note(f"serving {address} (Ctrl-C ends it)"))
        except KeyboardInterrupt:
            note("server ended; the session is kept")
