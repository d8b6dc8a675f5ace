"""Shared by commands: options, opening data, reading expressions, tables.

It imports nothing heavy at the top; Polars and the engine come in when a command runs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from weakref import WeakKeyDictionary

import typer

from fama_fast.cli.completion import dialect_names
from fama_fast.errors import ConfigError, OutputError, UnknownName, nearest_name
from fama_fast.number_text import cell
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import printable, raw, say, say_prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

Loaded = TypeVar("Loaded")

# An expression may start with a minus sign; `reject_options` then tells it from a mistyped option.
EXPRESSION_COMMAND = {"ignore_unknown_options": True}

Expressions = Annotated[list[str], typer.Argument(metavar="EXPR", help="Alpha expressions.", show_default=False)]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="Cores to use (default: all).", show_default=False)
]
DataPath = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Parquet or CSV file, folder or glob, or a qlib folder (docs/data.md). Simulated data when not given.",
        show_default=False,
    ),
]
Universe = Annotated[
    str | None,
    typer.Option(
        "--universe",
        metavar="FILE|COLUMN|INDEX",
        help="Members by date: a membership file (symbol, start, end), a boolean column of the data, or an index of a "
        "qlib folder (csi300).",
        show_default=False,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups",
        metavar="FILE",
        help="CSV or Parquet of symbol and groups (sector, ...).",
        show_default=False,
    ),
]
MinMembers = Annotated[
    int | None,
    typer.Option(
        "--min-members",
        metavar="N",
        min=1,
        help="Members that the universe must have on a date for it to be scored.  [default: 10]",
        show_default=False,
    ),
]
Dialect = Annotated[
    str,
    typer.Option("--dialect", metavar="NAME", help="Language of the expressions.", autocompletion=dialect_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def note(message: str) -> None:
    """Print a sentence on standard error, apart from the results."""
    say_prose(message, file=sys.stderr)


def reject_options(arguments: Iterable[str], ctx: typer.Context) -> None:
    """Refuse a mistyped option, as opposed to an expression that starts with a minus sign.

    Raises:
        ConfigError: an argument looks like `--option`.
    """
    known = [name for p in ctx.command.params for name in p.opts if name.startswith("--")] + ["--help"]
    for argument in arguments:
        name = argument.partition("=")[0]
        if re.fullmatch(r"--[A-Za-z][\w-]*", name):
            near = nearest_name(name, known)
            raise ConfigError(f"no such option: {name}{f' (did you mean {near}?)' if near else ''}")


def open_panel(
    data: str | None,
    *,
    universe: str | None = None,
    groups: str | Sequence[str] | None = None,
    reading: Reading = PLAIN,
    needed_by: Sequence[Alpha] | None = None,
) -> Panel:
    """Open the panel that the options ask for; without `--data` it is simulated, as the first line printed says.

    Args:
        needed_by: load only what these alphas (and returns) need; None loads every field and group.

    Raises:
        DataError: the file is missing or cannot be used.
    """
    from fama_fast.data import load_market_data

    options: dict[str, Any] = {"universe": universe, "groups": groups, **reading.options()}
    if needed_by is None:
        panel = load_market_data(data, **options)
    else:
        panel = load_needed(load_market_data, data, needed_by, **options)
    if data is None:
        t, n = panel.shape
        note(f"no --data given: simulated market data, {panel.source}, {t} dates x {n} symbols")
    say_data(panel)
    return panel


def say_data(source: Panel | Dataset) -> None:
    """Print where data lie and their layout, unless in a plain file, and what reading them let pass so far."""
    if source.layout:
        note(f"data: {source.source}: {source.layout}")
    say_warnings(source)


_SAID: WeakKeyDictionary[Panel | Dataset, set[str]] = WeakKeyDictionary()


def say_warnings(source: Panel | Dataset) -> None:
    """Print the warnings of data that were not printed yet: those of values come up when these have been read."""
    said = _SAID.setdefault(source, set())
    for warning in source.warnings:
        if warning not in said:
            note(f"warning: {warning}")
            said.add(warning)


def load_needed(load: Callable[..., Loaded], data: str | None, needed_by: Sequence[Alpha], **options: Any) -> Loaded:
    """Load the data with only the columns that these alphas (and returns) need, by calling `load`."""
    fields = dict.fromkeys(["CLOSE", *(f for a in needed_by for f in a.fields)])
    group_fields = dict.fromkeys(g for a in needed_by for g in a.groups)
    try:
        return load(data, fields=fields, group_fields=group_fields, **options)
    except UnknownName:
        # With all that there is, the compiler can say where in the expression the unknown name stands.
        return load(data, **options)


def check_ending(path: str | Path, endings: Sequence[str]) -> str:
    """The lower-case ending of an output path, checked to be one of `endings`.

    Raises:
        OutputError: another ending.
    """
    ending = Path(path).suffix.lower()
    if ending not in endings:
        raise OutputError(f"cannot write {path}: the name must end in {', '.join(endings)}")
    return ending


_ROOM = 9  # characters a column of figures takes on a terminal
_LEAST_TEXT = 30  # and a column of expressions at least


def print_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    long_column: str | None = None,
    decimals: Mapping[str, int] | None = None,
    spare: Sequence[str] = (),
) -> None:
    """Print rows (all with the keys of the first) as a table on a terminal, tab-separated when piped.

    Args:
        long_column: a column of long texts; a terminal too narrow for it gets numbers there and a key above.
        decimals: of a column's figures, by its name; 4 elsewhere.
        spare: columns that a terminal too narrow for all goes without.
    """
    if not rows:
        return
    columns = list(rows[0])
    places = decimals or {}

    def cells_of(columns: Sequence[str]) -> list[list[str]]:
        return [[printable(" ".join(cell(row[c], places.get(c, 4)).split())) for c in columns] for row in rows]

    if not sys.stdout.isatty():
        say(*("\t".join(line) for line in [columns, *cells_of(columns)]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=raw(sys.stdout))
    if console.width < _ROOM * len(columns):
        columns = [c for c in columns if c not in spare]
    firsts = [rows[0][c] for c in columns]
    cells = cells_of(columns)
    if long_column is not None and console.width < _ROOM * (len(columns) - 1) + _LEAST_TEXT:
        at = columns.index(long_column)
        numbers = {text: str(i) for i, text in enumerate(dict.fromkeys(line[at] for line in cells), start=1)}
        for text, number in numbers.items():
            console.print(Text(f"{number:>3}  {text}"))
        for line in cells:
            line[at] = numbers[line[at]]
        columns[at] = "#"
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for i, (c, first) in enumerate(zip(columns, firsts, strict=True)):
        numeric = c == "#" or isinstance(first, (int, float))
        # Headings may fold, so that ten figures fit eighty characters; numbers may not.
        least = max(len(line[i]) for line in cells) if numeric else None
        heading = c.replace("_", "\n", 1)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold", min_width=least)
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)
