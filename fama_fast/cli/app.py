"""Assembles the typer application from one module a command.

Command modules import numba, Polars and the like inside their functions only, so that `--help` stays quick.
"""

from __future__ import annotations

import functools
import shutil
from typing import Annotated, Any

import typer

from fama_fast._version import __version__
from fama_fast.cli import (
    agents,
    check,
    compute,
    dashboard,
    data,
    export,
    init,
    mine,
    ops,
    prompt,
    report,
    run_monitor,
    run_signal,
    runs,
    score,
)
from fama_fast.cli.help import with_help

_WIDEST = 120  # columns of help: longer lines are hard to read


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fama-fast {__version__}")
        raise typer.Exit


@functools.cache
def command_line() -> Any:
    """The command line that `build_app` describes, made once: that takes longer than many a command."""
    return typer.main.get_command(build_app())


def build_app() -> typer.Typer:
    """A fresh application with every command."""
    app = typer.Typer(
        name="fama-fast",
        help="Mine, score and compute formulaic alphas.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": max(80, min(shutil.get_terminal_size().columns, _WIDEST))},
    )

    @app.callback()
    def root(
        _version: Annotated[
            bool,
            typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
        ] = False,
    ) -> None:
        pass

    for command in (
        init,
        mine,
        prompt,
        agents,
        report,
        run_signal,
        run_monitor,
        export,
        dashboard,
        score,
        compute,
        check,
        ops,
        data,
        runs,
    ):
        command.register(app)
    return with_help(app)
