"""Prompts for a language model: operator cards from the registry, fields of the data, examples and failures.

Everything that came from a model, a library file or the data (hypotheses, expressions, column names) is
untrusted
here: it becomes one line of printable text of bounded length. Equal requests give equal prompts, character by
character. This module knows no server and no SDK.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fama_fast.llm.templates import Template, Templates, load_templates
from fama_fast.proposals.operators import proposable_specs
from fama_fast.types import DERIVED_FIELDS, Family, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.ops import OpSpec
    from fama_fast.proposals.protocol import ProposalRequest, Rejection, Vocabulary

__all__ = [
    "Message",
    "Template",
    "Templates",
    "load_templates",
    "one_line",
    "prompt_hash",
    "render_prompt",
    "render_repair",
]

MAX_EXPRESSION_SHOWN = 400
MAX_HYPOTHESIS_SHOWN = 240
MAX_REASON_SHOWN = 600
MAX_ANSWER_SHOWN = 12_000
MAX_AVOID = 20

_FIELD_DOCS = {
    "OPEN": "opening price",
    "HIGH": "highest price of the day",
    "LOW": "lowest price of the day",
    "CLOSE": "closing price",
    "VOLUME": "shares traded",
    "CAP": "market capitalisation",
    **{d.name: d.doc for d in DERIVED_FIELDS.values()},
}
_LEVEL_FREE = (
    "- No order may depend on a stock's price level, which is arbitrary on adjusted prices: before any rank, sum over "
    "units or comparison with a number, divide by a price of the same stock, or take returns "
    "(DELTA(CLOSE, 5) / DELAY(CLOSE, 5), never DELTA(CLOSE, 5) alone)."
)
_FAMILIES = {
    Family.ELEMENT: "Cell by cell",
    Family.TIME_SERIES: "Over a symbol's own past",
    Family.CROSS_SECTION: "Across all stocks of a date",
    Family.GROUP: "Within a group of a date",
}


@dataclass(frozen=True)
class Message:
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


# What chat templates put around turns. A server that reads them in a message would take text for a turn of its own.
_MARKER = re.compile(
    r"<(?=[|\uff5c/<])|(?<=[|\uff5c])>|\[(?=/?(?:INST|SYS|TOOL|AVAILABLE_TOOLS)\b)"
    r"|<(?=(?:s|bos|eos|start_of_turn|end_of_turn|start_header_id|end_header_id|eot_id|im_start|im_end)>)",
    re.IGNORECASE,
)


def without_markers(text: str) -> str:
    """`text` with the brackets of turn markers replaced by parentheses-like characters that no tokeniser reads so."""
    return _MARKER.sub(lambda m: "\u2039" if m[0] in "<[" else "\u203a", text)


def one_line(text: str, limit: int) -> str:
    """Untrusted text as data: printable, one line, at most `limit` characters, unable to close its own
    quotation.
    """
    flat = "".join(c if c.isprintable() else " " for c in text[: limit * 8])
    flat = " ".join(without_markers(flat.replace("`", "'")).split())
    return flat if len(flat) <= limit else flat[: limit - 3].rstrip() + "..."


def _score(value: float) -> str:
    return "not scored" if math.isnan(value) else f"{value:+.4f}"


def _factor_line(n: int, factor: Factor, extra: str = "") -> str:
    shown = one_line(factor.canonical, MAX_EXPRESSION_SHOWN)
    line = f"{n}. `{shown}` (RankIC {_score(factor.score)}{extra})"
    hypothesis = one_line(factor.hypothesis, MAX_HYPOTHESIS_SHOWN)
    return f"{line}: {hypothesis}" if hypothesis else line


def _examples(factors: Sequence[Factor]) -> str:
    if not factors:
        return "(none this time)"
    return "\n".join(_factor_line(i, f) for i, f in enumerate(factors, 1))


def _path(chain: Sequence[Factor]) -> str:
    if not chain:
        return "(none this time)"
    lines = []
    before = math.nan
    for i, factor in enumerate(chain, 1):
        gain = factor.score - before
        lines.append(_factor_line(i, factor, "" if math.isnan(gain) else f", {gain:+.4f} on the step before"))
        before = factor.score
    lines.append(
        "Each step improved on the one before. Extend the path: find what the last step still misses. Or "
        "split it: go back to an earlier step and develop its idea in another direction."
    )
    return "\n".join(lines)


def _failures(rejections: Sequence[Rejection]) -> str:
    shown = rejections[-MAX_AVOID:]
    return "\n".join(
        f"- `{one_line(r.expression, MAX_EXPRESSION_SHOWN)}`: {one_line(r.reason, MAX_REASON_SHOWN)}" for r in shown
    )


def _card(spec: OpSpec) -> str:
    parameters = [
        p.name if p.required else f"{p.name}={_literal(p.default)}" for p in spec.parameters if not p.keyword_only
    ]
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
    return f"- {spec.name}({', '.join(parameters)}){infix}: {' '.join([spec.doc, *(f'({x})' for x in least)])}"


def _literal(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def operator_cards(vocabulary: Vocabulary, only: Sequence[str] | None = None) -> str:
    """One line an operator that the data can serve (of `only`, where given), by family, in the registry's order."""
    specs = [s for s in proposable_specs(vocabulary) if only is None or s.name in only]
    parts = []
    for family, title in _FAMILIES.items():
        cards = [_card(s) for s in specs if s.family is family]
        if cards:
            parts.append("\n".join([f"{title}:", *cards]))
    return "\n".join(parts)


def field_list(vocabulary: Vocabulary) -> str:
    """The fields and groups of the data, one a line."""
    lines = []
    for name in vocabulary.fields:
        shown = one_line(name, 64)
        doc = _FIELD_DOCS.get(name.upper())
        lines.append(f"- {shown}: {doc}" if doc else f"- {shown}")
    if {"CLOSE", "VOLUME"} <= {f.upper() for f in vocabulary.fields}:
        lines.append("- ADV20 (or another whole number of days): mean of CLOSE * VOLUME over 20 days")
    if vocabulary.groups:
        lines.append(f"Group fields: {', '.join(one_line(g, 64) for g in vocabulary.groups)}")
    return "\n".join(lines)


def _constraints(vocabulary: Vocabulary, count: int, *, level_free: bool) -> str:
    return "\n".join(
        (
            f"- Give exactly {count} expression{'s' if count != 1 else ''}.",
            "- Use only the listed fields and operators.",
            (
                f"- Windows and lags are whole numbers from 1 to {vocabulary.max_window}; nested, they add "
                f"up to at most {vocabulary.max_window} days."
            ),
            (
                "- The values must be comparable between stocks: end in a rank or another cross-sectional "
                "operator, or divide out price and volume levels."
            ),
            *([_LEVEL_FREE] if level_free else ()),
            "- The result is a number, not a condition.",
        )
    )


def _values(request: ProposalRequest, count: int, only: Sequence[str] | None) -> dict[str, str]:
    return {
        "css_examples": _examples(request.exemplars),
        "coe_path": _path(request.chain),
        "constraints": _constraints(request.vocabulary, count, level_free=request.limits.level_free),
        "operators": operator_cards(request.vocabulary, only),
        "fields": field_list(request.vocabulary),
        "avoid": _failures(request.avoid) or "(nothing yet)",
        "count": str(count),
    }


def render_prompt(
    request: ProposalRequest, templates: Templates, only: Sequence[str] | None = None
) -> tuple[Message, ...]:
    """The system and user message of a request; `only` limits the operators that are shown."""
    values = _values(request, request.count, only)
    return (
        Message("system", templates.system.fill(values)),
        Message("user", templates.propose.fill(values)),
    )


def render_repair(
    request: ProposalRequest,
    templates: Templates,
    answer: str,
    failures: Sequence[Rejection],
    count: int,
    only: Sequence[str] | None = None,
) -> tuple[Message, ...]:
    """The dialogue that sends what was wrong in `answer` back: the prompt, the answer, the errors."""
    errors = "\n".join(
        f"{i}. `{one_line(r.expression, MAX_EXPRESSION_SHOWN)}`\n   {one_line(r.reason, MAX_REASON_SHOWN)}"
        if r.expression
        else f"{i}. {one_line(r.reason, MAX_REASON_SHOWN)}"
        for i, r in enumerate(failures[:MAX_AVOID], 1)
    )
    said = "".join(c for c in answer[:MAX_ANSWER_SHOWN] if c.isprintable() or c in "\n\t").strip()
    said = without_markers(said)
    values = {**_values(request, count, only), "errors": errors}
    return (
        *render_prompt(request, templates, only),
        Message("assistant", said or "(no answer)"),
        Message("user", templates.repair.fill(values)),
    )


def prompt_hash(
    messages: Sequence[Message],
    model: str,
    sampling: Mapping[str, Any],
    server: Mapping[str, Any] | None = None,
) -> str:
    """Hash (blake2b, 32 hex digits) of messages, model, server and everything else that decides the answer; without a
    server, that of versions which did not tell servers apart."""
    content: dict[str, Any] = {
        **({} if server is None else {"server": dict(server)}),
        "messages": [[m.role, m.content] for m in messages],
        "model": model,
        "sampling": dict(sampling),
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
