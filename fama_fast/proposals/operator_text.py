"""Describes an operator in words, for lists, pages and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.types import Kind

if TYPE_CHECKING:
    from fama_fast.ops import Algebra, OpSpec
    from fama_fast.ops.spec import Parameter


def describe(spec: OpSpec) -> dict[str, Any]:
    """The registry entry of an operator as plain data."""
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
        "unit": _unit(spec),
        "no_min_periods": spec.no_min_periods,
        "algebra": _laws(spec.algebra),
        "boolean": spec.boolean,
        "gives_group": spec.gives_group,
        "composite": spec.lower is not None,
        "example": spec.example,
        "source": spec.source,
        "notes": spec.notes,
    }


def first_sentence(text: str) -> str:
    """The first sentence of a definition, without its full stop."""
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


def _unit(spec: OpSpec) -> str:
    """The rule of the result's unit, by the parameters' names; empty where what the operator stands for decides."""
    rule = spec.unit
    if rule is None:
        return ""
    return "depends on the parameters" if callable(rule) else rule.word


def _laws(algebra: Algebra) -> list[str]:
    laws = [law.replace("_", " ") for law, holds in vars(algebra).items() if holds is True]
    return laws if algebra.neutral is None else [*laws, f"neutral {algebra.neutral:g}"]


def _lookback(spec: OpSpec) -> str:
    """The lookback in words: rows needed before today.

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
            settings = ", ".join(f"{q.name} = {at[q.name]:g}" for q in spec.statics if q.required or q is p)
            return f"{rows} for {settings}"
    text = " + ".join(terms)
    if not text:
        return str(rest)
    return f"{text} {'+' if rest > 0 else '-'} {abs(rest)}" if rest else text


def _instance(p: Parameter) -> Any:
    """An admissible value of the parameter."""
    if not p.required:
        return p.default
    if p.kind is Kind.WINDOW:
        return max(20, int(p.minimum or 1))
    return 1 if p.minimum is None else int(p.minimum) if p.kind is Kind.COUNT else p.minimum
