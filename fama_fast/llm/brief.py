"""The parts of the system message: what is asked and measured, in numbers, and the operators, the commonest as cards.

A card says what an operator does; the rest are names with their arguments, which a model knows from elsewhere. How many
cards there are follows from the tokens that the message may have.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.llm.one_line import one_line
from fama_fast.llm.tokens import tokens_of
from fama_fast.proposals.operators import proposable_specs
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ops import OpSpec
    from fama_fast.proposals.brief import Brief
    from fama_fast.proposals.protocol import Vocabulary

_FAMILIES = {
    Family.ELEMENT: "Cell by cell",
    Family.TIME_SERIES: "Over a symbol's own past",
    Family.CROSS_SECTION: "Across all stocks of a date",
    Family.GROUP: "Within a group of a date",
}
_MAX_TEXT = 400
_SIGN = "The sign that training gives an expression is taken, so both directions are worth the same."


def brief_text(brief: Brief | None) -> str:
    """The facts of a run, a line each; a word on what is not known where there are none."""
    if brief is None:
        return "(not told)"
    market = f" ({one_line(brief.market, 80)})" if brief.market else ""
    when = f", {brief.first} to {brief.last}" if brief.first else ""
    cost = "" if brief.cost_bps is None else f", after {brief.cost_bps:g} basis points of what is traded"
    admitted = (
        f"- Admitted is what has at least {brief.min_score:g} of it in training (as a RankIC) with |t| of "
        f"{brief.min_t:g}, values for {brief.min_coverage:.0%} of the stocks, and a rank correlation of at most "
        f"{brief.max_correlation:g} with every formula of the library, or is clearly better than the one it is like."
    )
    limits = (
        f"- Limits: {brief.max_nodes} nodes, depth {brief.max_depth}, {brief.max_lookback} rows of history; each node "
        f"costs {brief.complexity_penalty:g} of RankIC; at most {brief.max_overlap:.0%} of a formula may stand in one "
        "of the library."
    )
    lines = [
        f"- Market{market}: {brief.symbols:,} symbols, {brief.bars}; {brief.members:,.0f} are scored on a date.",
        f"- Training: {brief.dates:,} rows{when}. Later dates judge, and you never see them.",
        f"- Target: {one_line(brief.target, _MAX_TEXT)}.",
        f"- Objective: {brief.objective}{cost}. {_SIGN}",
        admitted,
    ]
    if brief.periods > 1:
        lines.append(f"- It must hold in {brief.periods_share:.0%} of {brief.periods} parts of training.")
    return "\n".join([*lines, limits])


def operators_text(vocabulary: Vocabulary, only: Sequence[str] | None = None, room: int | None = None) -> str:
    """The operators that the data can serve, by family, in the registry's order.

    Args:
        only: those that are shown at all, each with a card. room: tokens that the text may have: as many cards as fit,
            of what published formulas use most, and the names of the rest, infix forms left out. None: a card for all.
    """
    return _operators(vocabulary, None if only is None else tuple(only), room)


@functools.lru_cache(maxsize=64)
def _operators(vocabulary: Vocabulary, only: tuple[str, ...] | None, room: int | None) -> str:
    specs = [s for s in proposable_specs(vocabulary) if only is None or s.name in only]
    if only is not None or room is None:
        return _laid_out(specs, {s.name for s in specs})
    wanted = sorted((s for s in specs if not s.symbol), key=lambda s: (-s.usage, s.family is Family.ELEMENT))
    fits, beyond = 0, len(wanted) + 1
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        text = _laid_out(specs, {s.name for s in wanted[:middle]})
        fits, beyond = (middle, beyond) if tokens_of(text) <= room else (fits, middle)
    return _laid_out(specs, {s.name for s in wanted[:fits]})


def _laid_out(specs: Sequence[OpSpec], carded: set[str]) -> str:
    parts = []
    for family, title in _FAMILIES.items():
        own = [s for s in specs if s.family is family]
        lines = [card(s) for s in own if s.name in carded]
        rest = [s for s in own if s.name not in carded and (not carded or not s.symbol or len(own) == len(lines))]
        named = _names(rest)
        if named:
            lines.append(("- Also " if lines else "- ") + named)
        if lines:
            parts.append("\n".join([f"{title}:", *lines]))
    return "\n".join(parts)


def _names(specs: Sequence[OpSpec]) -> str:
    """Names by the arguments they take, without options: `(x, d): A, B; (x, y, d): C`."""
    by_arguments: dict[str, list[str]] = {}
    for spec in specs:
        by_arguments.setdefault(arguments(spec, options=False), []).append(spec.name)
    return "; ".join(f"{given}: {', '.join(names)}" for given, names in by_arguments.items())


def arguments(spec: OpSpec, *, options: bool = True) -> str:
    """The arguments of an operator with their defaults, in parentheses; without `options`, those that must be given
    and windows."""
    shown = [p for p in spec.parameters if not p.keyword_only and (options or p.required or p.kind is Kind.WINDOW)]
    return f"({', '.join(p.name if p.required else f'{p.name}={_literal(p.default)}' for p in shown)})"


def card(spec: OpSpec) -> str:
    """One line: name, arguments, infix form, what it does, the least window where it is above 1."""
    names = [p.name for p in spec.operands]
    infix = ""
    if spec.symbol == "?":
        infix = f", also {names[0]} ? {names[1]} : {names[2]}" if len(names) == 3 else ""
    elif spec.symbol and len(names) <= 2:
        infix = f", also {f' {spec.symbol} '.join(names) if len(names) == 2 else spec.symbol + names[0]}"
    least = [
        f"{p.name} at least {p.minimum:g}"
        for p in spec.statics
        if p.kind is Kind.WINDOW and not p.keyword_only and (p.minimum or 1) > 1
    ]
    return f"- {spec.name}{arguments(spec)}{infix}: {' '.join([spec.doc, *(f'({x})' for x in least)])}"


def _literal(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
