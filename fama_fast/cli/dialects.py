"""Differences of a dialect from the package's language, for `fama-fast ops --dialect` and the operator reference, from
its tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fama_fast.errors import UnknownName, nearest_name
from fama_fast.lang import DIALECTS, parse, to_text
from fama_fast.ops import find, names
from fama_fast.passes import lookback
from fama_fast.proposals.operator_text import first_sentence
from fama_fast.types import Kind

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.lang import Dialect
    from fama_fast.ops import OpSpec


@dataclass(frozen=True)
class Meaning:
    """The meaning of a name in a dialect: an entry of the registry, or one that only the dialect has (`own`)."""

    spec: OpSpec
    dialect: Dialect
    own: bool

    def facts(self) -> dict[str, Any]:
        """Facts shown beside the registry's entry."""
        if not self.own:
            return {}
        node = example_of(self.spec, self.dialect)
        return {
            "dialect": f"{self.dialect.name} only",
            "family": "",
            "example": "",
            "stands for": "" if node is None else to_text(node),
            "lookback": "" if node is None else f"{lookback(node)} in that",
        }


def lookup(name: str, dialect: Dialect) -> Meaning:
    """The meaning of an operator's name in a dialect; a name that is none of ours is looked for in the other dialects.

    Raises:
        UnknownName: with the nearest name, or with the reason why the dialect has no such operator.
    """
    folded = name.upper()
    if folded in dialect.refused:
        raise UnknownName(f"{folded} is not supported: {dialect.refused[folded]}")
    own = dialect.own.get(folded)
    if own is not None:
        return Meaning(own, dialect, own=True)
    spec = find(dialect.operators.get(folded, folded))
    if spec is not None:
        return Meaning(spec, dialect, own=False)
    for other in DIALECTS.values():
        if folded in other.own or folded in other.operators or folded in other.refused:
            return lookup(name, other)
    known = {*names(), *dialect.operators, *dialect.own}
    raise UnknownName(f"unknown operator {name[:64]!r}", suggestion=nearest_name(name, known))


def others(name: str, dialect: Dialect) -> list[str]:
    """Dialects in which the name has another meaning than in this one."""
    here = lookup(name, dialect).spec
    dialects = []
    for other in DIALECTS.values():
        spec = other.own.get(name.upper()) or find(other.operators.get(name.upper(), name))
        says = other.name == "fama" or name.upper() in other.own or name.upper() in other.operators
        if says and spec is not None and spec is not here:
            dialects.append(other.name)
    return dialects


def example_of(spec: OpSpec, dialect: Dialect) -> Node | None:
    """An operator of a dialect on x, y, ..., written in our language; None when a text among its arguments decides the
    translation."""
    arguments, mark = [], dialect.sigil
    for p in spec.parameters:
        if p.kind is Kind.GROUP:
            arguments.append("SECTOR")
        elif p.kind is Kind.SERIES:
            arguments.append(f"{mark}{p.name}")
        elif p.required:
            arguments.append(str(max(20, int(p.minimum or 1)) if p.kind is Kind.WINDOW else p.minimum or 1))
    if any(p.kind is Kind.TEXT and p.name != "ignore" for p in spec.parameters):
        return None
    return parse(f"{spec.name}({', '.join(arguments)})", dialect=dialect)


def _written(spec: OpSpec, dialect: Dialect) -> str:
    node = example_of(spec, dialect)
    return "" if node is None else to_text(node)


def table(dialect: Dialect) -> dict[str, Any]:
    """The differences of the dialect as plain data."""
    return {
        "dialect": dialect.name,
        "source": dialect.source,
        "min_periods": dialect.min_periods,
        "own": [
            {
                "name": name,
                "signature": spec.signature,
                "doc": spec.doc,
                "stands for": _written(spec, dialect),
            }
            for name, spec in sorted(dialect.own.items())
        ],
        "renamed": {name: ours for name, ours in sorted(dialect.operators.items()) if name != ours},
        "fields": dict(dialect.fields),
        "groups": dict(dialect.groups),
        "rolling": dict(dialect.rolling),
        "refused": dict(sorted(dialect.refused.items())),
    }


def listing(dialect: Dialect) -> str:
    """The differences of the dialect as text."""
    d = table(dialect)
    lines = [f"{d['dialect']}: {d['source']}"]
    if d["min_periods"]:
        lines.append(f"windows need {d['min_periods']} present day unless min_periods says otherwise")
    if d["own"]:
        lines += ["", f"operators of its own ({len(d['own'])})"]
        width = max(len(o["name"]) for o in d["own"])
        lines += [f"  {o['name']:<{width}}  {o['signature']}: {first_sentence(o['doc'])}" for o in d["own"]]
    for key, title in (
        ("renamed", "names for ours"),
        ("fields", "fields"),
        ("groups", "groups"),
        ("rolling", "with a number as second argument"),
        ("refused", "refused"),
    ):
        if d[key]:
            lines += ["", f"{title} ({len(d[key])})", *(f"  {name}: {what}" for name, what in d[key].items())]
    lines += ["", "everything else is as in 'fama-fast ops'"]
    return "\n".join(lines)
