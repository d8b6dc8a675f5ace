"""`fama-fast ops`: the operators, straight from the registry."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fama_fast.cli.common import AsJson  # noqa: TC001  (typer reads annotations)
from fama_fast.cli.completion import dialect_names, operator_names
from fama_fast.errors import ConfigError
from fama_fast.proposals.operator_text import describe, first_sentence, parameter_line
from fama_fast.terminal import say_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ops")(ops)


def ops(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One operator, by name or alias; all when left out.",
            show_default=False,
            autocompletion=operator_names,
        ),
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(
            "--dialect", metavar="NAME", help="What names stand for in this dialect.", autocompletion=dialect_names
        ),
    ] = "fama",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as in docs/operators.md.")] = False,
) -> None:
    """List the operators, or show one in full.

    With --dialect, list what that dialect writes otherwise, or show what a name means in it.
    """
    from fama_fast.cli import dialects
    from fama_fast.lang import get_dialect
    from fama_fast.ops import specs

    chosen = get_dialect(dialect)

    if as_json and markdown:
        raise ConfigError("--json and --markdown are two answers: choose one")
    if markdown:
        from fama_fast.cli.docs import operator_entry, operator_reference

        if chosen.name != "fama":
            raise ConfigError("--markdown prints our operators: leave --dialect out")
        print(operator_reference() if name is None else operator_entry(dialects.lookup(name, chosen).spec), end="")
        return
    if name is not None:
        meaning = dialects.lookup(name, chosen)
        described = describe(meaning.spec) | meaning.facts()
        if as_json:
            say_json(described)
            return
        print(_card(described))
        elsewhere = dialects.others(name, meaning.dialect)
        if elsewhere:
            print(f"{'otherwise in':<12} {', '.join(elsewhere)}: fama-fast ops {name.upper()} --dialect {elsewhere[0]}")
        return
    if chosen.name != "fama":
        if as_json:
            say_json(dialects.table(chosen))
        else:
            print(dialects.listing(chosen))
        return
    everything = [describe(s) for s in specs()]
    if as_json:
        say_json(everything)
        return
    width = max(len(d["name"]) for d in everything)
    for family in dict.fromkeys(d["family"] for d in everything):
        members = [d for d in everything if d["family"] == family]
        print(f"{family} ({len(members)})")
        for d in members:
            print(f"  {d['name']:<{width}}  {d['signature']}: {first_sentence(d['doc'])}")
        print()
    print(
        f"{len(everything)} operators; 'fama-fast ops NAME' shows one, 'fama-fast ops --dialect brain' another system's"
    )


_LABELS = {"no_min_periods": "min_periods"}


def _card(d: dict[str, Any]) -> str:
    lines = [d["signature"], "", *(f"  {line}" for line in d["doc"].split("\n")), ""]
    lines.extend(f"  {p['name']:<12} {parameter_line(p)}" for p in d["parameters"])
    lines.append("")
    for key in (
        "dialect",
        "stands for",
        "family",
        "infix",
        "aliases",
        "lookback",
        "missing",
        "no_min_periods",
        "unit",
        "algebra",
        "example",
        "source",
        "notes",
    ):
        value = ", ".join(d[key]) if isinstance(d.get(key), list) else d.get(key)
        if value:
            lines.append(f"{_LABELS.get(key, key):<12} {value}")
    return "\n".join(lines)
