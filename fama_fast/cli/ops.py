"""`fama-fast ops`: the operators, straight from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import AsJson  # noqa: TC001  (typer reads annotations)
from fama_fast.errors import ConfigError
from fama_fast.terminal import say_json
from fama_fast.types import Kind

if TYPE_CHECKING:
    from fama_fast.ops import OpSpec, Parameter


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ops")(ops)


def ops(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One operator, by name or alias; all when left out.", show_default=False),
    ] = None,
    dialect: Annotated[
        str, typer.Option("--dialect", metavar="NAME", help="What names stand for in this dialect.")
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


def describe(spec: OpSpec) -> dict[str, Any]:
    """All that the registry knows of an operator, as plain data."""
    laws = spec.algebra
    return {
        "name": spec.name,
        "family": spec.family.value,
        "signature": spec.signature,
        "doc": spec.doc,
        "parameters": [
            {
                "name": p.name,
                "kind": p.kind.value,
                "required": p.required,
                "default": None if p.required else p.default,
                "minimum": p.minimum,
                "maximum": p.maximum,
                "choices": list(p.choices),
                "doc": p.doc,
            }
            for p in spec.parameters
        ],
        "infix": spec.symbol,
        "aliases": list(spec.aliases),
        "lookback": _lookback(spec),
        "missing": spec.missing,
        "no_min_periods": spec.no_min_periods,
        "algebra": [law for law in laws.__dataclass_fields__ if getattr(laws, law)],
        "boolean": spec.boolean,
        "gives_group": spec.gives_group,
        "composite": spec.lower is not None,
        "example": spec.example,
        "source": spec.source,
        "notes": spec.notes,
    }


def _lookback(spec: OpSpec) -> str:
    """Rows needed before today, in words.

    The rule is a function, so its values tell what it is: a sum of windows where one more day in a window is one more
    row or none, and otherwise an instance of it.
    """
    from fama_fast.ops import MIN_PERIODS

    if spec.lookback is None:
        return "0"
    at = {p.name: _instance(p) for p in spec.statics}
    rows = spec.lookback(at)
    terms, rest = [], rows
    for p in spec.statics:
        days = at[p.name]
        if p.kind is not Kind.WINDOW or p is MIN_PERIODS or days is None:
            continue
        more = [spec.lookback({**at, p.name: days + k}) - rows for k in (1, 2, 10)]
        if more == [1, 2, 10]:
            terms.append(p.name)
            rest -= days
        elif any(more):
            given = ", ".join(f"{q.name} = {at[q.name]:g}" for q in spec.statics if q.required or q is p)
            return f"{rows} for {given}"
    text = " + ".join(terms)
    if not text:
        return str(rest)
    return f"{text} {'+' if rest > 0 else '-'} {abs(rest)}" if rest else text


def _instance(p: Parameter) -> Any:
    """A value that the parameter may have."""
    if not p.required:
        return p.default
    if p.kind is Kind.WINDOW:
        return max(20, int(p.minimum or 1))
    return 1 if p.minimum is None else int(p.minimum) if p.kind is Kind.COUNT else p.minimum


def first_sentence(text: str) -> str:
    """What a definition says first, without its full stop."""
    return " ".join(text.split()).split(". ")[0].rstrip(".")


def parameter_line(p: dict[str, Any]) -> str:
    """A parameter's kind, meaning and bounds in one line."""
    bounds = []
    if not p["required"] and p["default"] not in (None, ""):
        bounds.append(f"default {p['default']}")
    if p["minimum"] is not None:
        bounds.append(f"at least {p['minimum']:g}")
    if p["maximum"] is not None:
        bounds.append(f"at most {p['maximum']:g}")
    return "; ".join([p["kind"], *([p["doc"]] if p["doc"] else []), *bounds])


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
        "algebra",
        "example",
        "source",
        "notes",
    ):
        value = ", ".join(d[key]) if isinstance(d.get(key), list) else d.get(key)
        if value:
            lines.append(f"{_LABELS.get(key, key):<12} {value}")
    return "\n".join(lines)
