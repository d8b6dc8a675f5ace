"""What `--help` shows beside the options: groups of commands and of options, and examples.

A command is one entry of `EXAMPLES`, by its words behind `fama-fast`, and of `GROUPS` where it is none of a group. An
option whose name is in `PANELS` is shown under that heading.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import typer

GROUPS: dict[str, tuple[str, ...]] = {
    "Begin": ("init", "data"),
    "Mine": ("mine", "prompt", "mcp"),
    "Look at runs": ("report", "dashboard", "runs"),
    "After a run": ("signal", "monitor", "export"),
    "Formulas of your own": ("check", "score", "compute", "ops"),
}
PANELS: dict[str, tuple[str, ...]] = {
    "Data": (
        *("data", "universe", "groups", "start", "end", "columns", "adjusted", "timezone", "duplicates"),
        *("min_symbols", "encoding", "decimal"),
    ),
    "What is predicted": ("horizon", "entry_lag", "target", "neutralize", "tradable", "winsorize", "min_members"),
    "Where it runs": ("ledger", "threads", "memory_budget", "cluster"),
    "Output": ("output", "as_json", "quiet", "print_config"),
}
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("fama-fast init work", "a folder to begin in"),
        ("fama-fast mine --data prices.parquet", "mine; the verdict is one line"),
        ("fama-fast report last", "what was found, as one page"),
        ("fama-fast signal last", "what to hold by it today"),
        ("fama-fast mine --help", "all that a command can do"),
    ),
    "init": (("fama-fast init work", "write work/run.yaml and what goes with it"),),
    "mine": (
        ("fama-fast mine --data prices.parquet --horizon 5", "returns of five days"),
        ("fama-fast mine --config run.yaml --output result.yaml", "all settings from a file"),
        ("fama-fast mine --data prices.parquet --rounds 3 --seed 1", "a short run that can be repeated"),
        ("fama-fast mine --resume last", "go on with an interrupted run"),
    ),
    "prompt": (("fama-fast prompt --data prices.parquet", "what a model would be sent"),),
    "mcp": (("fama-fast mcp --data prices.parquet", "let an agent score formulas on these data"),),
    "report": (
        ("fama-fast report last --output run.html", "the latest run as a page"),
        ("fama-fast report factors.txt --data prices.parquet", "formulas of your own"),
    ),
    "signal": (
        ("fama-fast signal last --data prices.parquet", "rank, signal and weight of the last date"),
        ("fama-fast signal last --portfolio top-k -k 50 --buffer 5", "what to hold, long alone"),
        ("fama-fast signal last --data prices.parquet --store signals --append", "add today's to a store"),
        ("fama-fast signal last --data prices.parquet --refit latest", "with weights fitted again"),
    ),
    "monitor": (
        ("fama-fast monitor last --data prices.parquet", "since the run, beside the promise"),
        ("fama-fast monitor last --data prices.parquet --json", "for a program, with every date"),
    ),
    "export": (
        ("fama-fast export last --to brain", "its factors as texts for BRAIN"),
        ("fama-fast export last --to parquet --output values.parquet", "their values"),
    ),
    "dashboard": (("fama-fast dashboard", "the runs of this folder, live in the browser"),),
    "score": (
        ('fama-fast score "RANK(DELTA(CLOSE, 5)) * -1" --data prices.parquet', "RankIC, IC, spread"),
        ("fama-fast score factors.txt --data prices.parquet --horizon 1 --horizon 5", "at two horizons"),
    ),
    "compute": (
        ("fama-fast compute factors.txt --data prices.parquet --output values.parquet", "values to a file"),
        ("fama-fast compute factors.txt --data prices.parquet --store factors", "or to a factor store"),
    ),
    "check": (('fama-fast check "RANK(DELTA(CLOSE, 5))"', "its canonical form, what it reads, how far back"),),
    "ops": (("fama-fast ops TS_MEAN", "one operator in full"), ("fama-fast ops", "all of them")),
    "data": (("fama-fast data check prices.parquet", "what is odd about the data"),),
    "data check": (("fama-fast data check prices.parquet", "what is odd, with dates and symbols"),),
    "data describe": (("fama-fast data describe prices.parquet", "columns, dates, symbols"),),
    "data convert": (("fama-fast data convert prices.csv --output prices.parquet", "to a file that is read faster"),),
    "data fetch": (
        ("fama-fast data fetch --sources", "what there is, with its terms"),
        ("fama-fast data fetch stooq AAPL MSFT --output prices.parquet", "bars of two symbols"),
    ),
    "data simulate": (("fama-fast data simulate --output prices.parquet", "a market to try things on"),),
    "runs": (("fama-fast runs list", "all runs of the ledger"),),
    "runs list": (("fama-fast runs list --json", "for a program"),),
    "runs show": (("fama-fast runs show last --candidates", "with what stopped each candidate"),),
    "runs export": (("fama-fast runs export last --output run.json", "a run as a file"),),
    "runs lineage": (("fama-fast runs lineage last", "where its factors came from"),),
    "runs report": (("fama-fast runs report last", "a run in Markdown"),),
}


class _Shown(TyperCommand):
    """A command whose help has its options under headings, and examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(ctx, formatter)


class ShownGroup(TyperGroup):
    """The same of a group, whose commands are grouped too."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        for heading, names in _grouped(known):
            with formatter.section(heading):
                formatter.write_dl([(name, _first_sentence(known[name])) for name in names])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(ctx, formatter)


def with_help(app: typer.Typer) -> typer.Typer:
    """The application, whose commands show themselves in this way."""
    app.info.cls = ShownGroup
    for command in app.registered_commands:
        command.cls = _Shown
    for group in app.registered_groups:
        group.cls = ShownGroup
        if group.typer_instance is not None:
            with_help(group.typer_instance)
    return app


def _grouped(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Headings with the commands below each; those of no group last."""
    left = list(names)
    for heading, members in GROUPS.items():
        own = [name for name in members if name in left and set(members) <= set(names)]
        if own:
            left = [name for name in left if name not in own]
            yield heading, own
    if left:
        yield "Commands", left


def _first_sentence(command: Any) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], **{name: [] for name in PANELS}}
    places = {option: heading for heading, options in PANELS.items() for option in options}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            kind = "Arguments" if param.param_type_name == "argument" else places.get(param.name, "Options")
            panels[kind].append(record)
    for heading, records in panels.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def _write_examples(ctx: Any, formatter: Any) -> None:
    """Each example on lines of its own that can be pasted, with what it is for below."""
    shown = EXAMPLES.get(" ".join(ctx.command_path.split()[1:]), ())
    if not shown:
        return
    with formatter.section("Examples"):
        indent = " " * formatter.current_indent
        for line, purpose in shown:
            wrapped = textwrap.wrap(line, formatter.width - len(indent) - 6, break_long_words=False)
            formatter.write((" \\\n" + indent + "    ").join([indent + wrapped[0], *wrapped[1:]]) + "\n")
            said = textwrap.wrap(purpose, formatter.width - len(indent) - 6)
            formatter.write("".join(f"{indent}    {part}\n" for part in said))
