"""`fama-fast check`: checks expressions and shows their canonical form, lookback, unit and size."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import (
    EXPRESSION_COMMAND,
    AsJson,
    Dialect,
    Expressions,
    Groups,
    open_panel,
    reject_options,
)
from fama_fast.cli.reading import takes_reading
from fama_fast.errors import EXIT_USAGE, ConfigError, ExpressionError, FamaError
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.terminal import message, say, say_json

if TYPE_CHECKING:
    from fama_fast.engine import Alpha


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", context_settings=EXPRESSION_COMMAND)(takes_reading(check))


def check(
    ctx: typer.Context,
    expressions: Expressions,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="PATH", help="Also check against the columns of these data.", show_default=False
        ),
    ] = None,
    dialect: Dialect = "fama",
    groups: Groups = None,
    strict_units: Annotated[
        bool, typer.Option("--strict-units", help="Refuse what mixes units, such as CLOSE + VOLUME.")
    ] = False,
    as_json: AsJson = False,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Check expressions without computing them.

    Prints canonical form, fields, lookback (rows needed before today), unit, size and fingerprint, or what is
    wrong and where; the exit code is 2 when any is wrong. Warns of mixed units, and of an alpha whose order
    across symbols depends on their price levels, which are arbitrary.
    """
    from fama_fast.evaluation.score import compile_all
    from fama_fast.passes import UnitError

    reject_options(expressions, ctx)
    if groups is not None and data is None:
        raise ConfigError("--groups adds groups to data: give --data too")
    panel = None if data is None else open_panel(data, groups=groups, reading=reading)
    results: list[dict[str, Any]] = []
    for text in expressions:
        try:
            (alpha,) = compile_all(text, panel, dialect=dialect)
            if strict_units and alpha.warnings:
                raise UnitError("; ".join(alpha.warnings), text=text, end=len(text))
        except FamaError as error:
            results.append(_failure(text, error))
        else:
            results.append(_description(text, alpha))
    if as_json:
        say_json(results)
    else:
        for position, result in enumerate(results):
            _show(result, first=position == 0)
    if not all(r["ok"] for r in results):
        raise typer.Exit(EXIT_USAGE)


def _description(text: str, alpha: Alpha) -> dict[str, Any]:
    return {
        "ok": True,
        "expression": text,
        "canonical": alpha.canonical,
        "fields": list(alpha.fields),
        "groups": list(alpha.groups),
        "lookback": alpha.lookback,
        "nodes": alpha.n_nodes,
        "depth": alpha.depth,
        "fingerprint": alpha.fingerprint,
        "unit": alpha.unit,
        "warnings": [*alpha.warnings, *_level_warning(alpha)],
    }


def _level_warning(alpha: Alpha) -> list[str]:
    part = alpha.level_dependence
    if part is None:
        return []
    subject = "the order across symbols" if part == alpha.canonical else f"{part}: the order across symbols"
    return [f"{subject} depends on each symbol's price level, which is arbitrary: divide by a price"]


def _failure(text: str, error: FamaError) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ok": False,
        "expression": text,
        "error": str(error),
        "kind": type(error).__name__,
    }
    if isinstance(error, ExpressionError):
        result |= {
            "line": error.line,
            "column": error.column,
            "expected": list(error.expected),
            "suggestion": error.suggestion,
        }
    return result


def _show(result: dict[str, Any], *, first: bool) -> None:
    if not result["ok"]:
        sys.stdout.flush()  # so that the two streams keep their order in a terminal
        print(message(f"error: {result['error']}"), file=sys.stderr)
        return
    if not first:
        print()
    for key, value in result.items():
        if key not in ("ok", "warnings") and (value or key != "groups"):
            say(f"{key:<12} {', '.join(value) if isinstance(value, list) else value}")
    for warning in result["warnings"]:
        say(f"{'warning':<12} {warning}")
