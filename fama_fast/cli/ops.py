"""`fama-fast ops`: the operators, straight from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import AsJson, json_text

if TYPE_CHECKING:
    from fama_fast.ops import OpSpec


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ops")(ops)


def ops(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One operator, by name or alias; all when left out.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the operators, or show one in full."""
    from fama_fast.ops import get, specs

    if name is not None:
        described = describe(get(name))
        print(json_text(described) if as_json else _card(described))
        return
    everything = [describe(s) for s in specs()]
    if as_json:
        print(json_text(everything))
        return
    width = max(len(d["name"]) for d in everything)
    for family in dict.fromkeys(d["family"] for d in everything):
        members = [d for d in everything if d["family"] == family]
        print(f"{family} ({len(members)})")
        for d in members:
            print(f"  {d['name']:<{width}}  {d['signature']}: {_first_sentence(d['doc'])}")
        print()
    print(f"{len(everything)} operators; 'fama-fast ops NAME' shows one")


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
                "doc": p.doc,
            }
            for p in spec.parameters
        ],
        "infix": spec.symbol,
        "aliases": list(spec.aliases),
        "lookback": _lookback(spec),
        "missing": spec.missing,
        "algebra": [law for law in laws.__dataclass_fields__ if getattr(laws, law)],
        "boolean": spec.boolean,
        "composite": spec.lower is not None,
        "example": spec.example,
        "source": spec.source,
        "notes": spec.notes,
    }


def _lookback(spec: OpSpec) -> str:
    """Rows needed before today in words: the rule is a function, so its value at d = 5 and 6 tells which it
    is."""
    if spec.lookback is None:
        return "0"
    at = [spec.lookback({**{p.name: p.default for p in spec.statics if not p.required}, "d": d}) for d in (5, 6)]
    return {(5, 6): "d", (4, 5): "d - 1"}.get((at[0], at[1]), f"{at[0]} for d = 5")


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0].rstrip(".")


def _card(d: dict[str, Any]) -> str:
    lines = [d["signature"], "", *(f"  {line}" for line in d["doc"].split("\n")), ""]
    for p in d["parameters"]:
        bounds = []
        if not p["required"]:
            bounds.append(f"default {p['default']}")
        if p["minimum"] is not None:
            bounds.append(f"at least {p['minimum']:g}")
        if p["maximum"] is not None:
            bounds.append(f"at most {p['maximum']:g}")
        rest = "; ".join([p["kind"], *([p["doc"]] if p["doc"] else []), *bounds])
        lines.append(f"  {p['name']:<12} {rest}")
    lines.append("")
    for key in ("family", "infix", "aliases", "lookback", "missing", "algebra", "example", "source", "notes"):
        value = ", ".join(d[key]) if isinstance(d[key], list) else d[key]
        if value:
            lines.append(f"{key:<12} {value}")
    return "\n".join(lines)
