"""The reading options of every command that reads market data.

A command takes one parameter `reading`; `takes_reading` puts the options in its place on the command line.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.panel.reading import Reading

_DATES = {
    "start": Annotated[
        str | None,
        typer.Option("--start", metavar="DATE", help="First date of the data to use.", show_default=False),
    ],
    "end": Annotated[
        str | None, typer.Option("--end", metavar="DATE", help="Last date of the data to use.", show_default=False)
    ],
}
_OPTIONS = {
    "columns": Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAME=COLUMN,...",
            help="What the data call things: close=px_last,date=day,symbol=code.",
            show_default=False,
        ),
    ],
    "adjusted": Annotated[
        bool | None,
        typer.Option(
            "--adjusted", help="Use the adjusted close for returns and labels, where there is one.", show_default=False
        ),
    ],
    "timezone": Annotated[
        str | None,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            help="The market's zone (Asia/Shanghai), where stamps are another's.",
            show_default=False,
        ),
    ],
    "duplicates": Annotated[
        str | None,
        typer.Option(
            "--duplicates",
            metavar="error|first|last",
            help="Rows of one date and symbol that differ: refuse (default), or keep the first or last.",
            show_default=False,
        ),
    ],
    "min_symbols": Annotated[
        float | None,
        typer.Option(
            "--min-symbols",
            metavar="N",
            help="Drop dates on which fewer symbols (or, below 1, a smaller share of those alive) have a row.",
            show_default=False,
        ),
    ],
    "encoding": Annotated[
        str | None,
        typer.Option(
            "--encoding", metavar="NAME", help="Of CSV files, such as gbk (default: UTF-8).", show_default=False
        ),
    ],
    "decimal": Annotated[
        str | None,
        typer.Option("--decimal", metavar=".|,", help="Decimal mark of CSV files.", show_default=False),
    ],
}


def takes_reading(command: Callable[..., Any], *, dates: bool = True) -> Callable[..., Any]:
    """The command with the reading options in the place of its parameter `reading`, for Typer.

    Args:
        command: takes a keyword `reading`, a `Reading`.
        dates: with `--start` and `--end`; a command may have its own.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    added = {**(_DATES if dates else {}), **_OPTIONS}
    parameters = [
        p.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, p in signature.parameters.items()
        if name != "reading"
    ]
    new = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in added.items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        chosen = {name: given.pop(name) for name in added}
        return command(**given, reading=reading_from(chosen))

    del run.__wrapped__  # else Typer reads the inner signature
    run.__signature__ = inspect.Signature([*parameters, *new])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*parameters, *new)}
    return run


def reading_from(chosen: dict[str, Any]) -> Reading:
    """The `Reading` that options of a command line ask for; what was not given is the default.

    Raises:
        ConfigError: a value that an option cannot have.
    """
    from fama_fast.panel.reading import read_columns, reading_of

    options = {name: value for name, value in chosen.items() if value is not None}
    if "columns" in options:
        options["columns"] = read_columns(options["columns"])
    return reading_of(**options)


def options_given(reading: Reading) -> dict[str, Any]:
    """The options that were given, by their keys in a run's configuration."""
    return {f"data.{name}": value for name, value in reading.options().items()}
