"""Prompts for a language model: operator cards from the registry, fields of the data, examples and failures.

Everything that came from a model, a library file or the data (hypotheses, expressions, column names) is
untrusted
here: it becomes one line of printable text of bounded length. Equal requests give equal prompts, character by
character. This module knows no server and no SDK.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fama_fast.llm.brief import brief_text, operators_text
from fama_fast.llm.experience_text import (
    MAX_AVOID,
    MAX_REASON_SHOWN,
    contradicted_text,
    examples_text,
    expression_shown,
    failures_text,
    idea_text,
    library_text,
    parents_text,
    path_text,
    results_text,
)
from fama_fast.llm.memory_text import memory_section
from fama_fast.llm.one_line import one_line, without_markers
from fama_fast.llm.templates import Template, Templates, load_templates
from fama_fast.llm.tokens import tokens_of
from fama_fast.proposals.protocol import PathStep, PromptContext
from fama_fast.types import DERIVED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

MAX_ANSWER_SHOWN = 12_000
_SURE = 0.97  # share of the tokens wanted that is filled, for `tokens_of` estimates
_MANY = 12  # fields that share a line

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


@dataclass(frozen=True)
class Message:
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


def field_list(vocabulary: Vocabulary) -> str:
    """The fields and groups of the data, one a line; many that are not known by name share one."""
    lines, unknown = [], []
    for name in vocabulary.fields:
        shown = one_line(name, 64)
        doc = _FIELD_DOCS.get(name.upper())
        if doc:
            lines.append(f"- {shown}: {doc}")
        else:
            unknown.append(shown)
    if len(unknown) > _MANY:
        lines.append(f"- {', '.join(unknown)}")
    else:
        lines += [f"- {name}" for name in unknown]
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


def context_of(request: ProposalRequest) -> PromptContext:
    """What the prompt of a request shows: its own context, or the request's exemplars and chain where it has none."""
    if request.contexts:
        return request.contexts[0]
    return PromptContext(exemplars=request.exemplars, path=tuple(PathStep(f) for f in request.chain))


def _values(
    request: ProposalRequest, templates: Templates, count: int, only: Sequence[str] | None, most: int | None
) -> dict[str, str]:
    """What the placeholders stand for. `most`: tokens of the system message, whose operators make up the rest."""
    context, experience = context_of(request), request.experience
    values = {
        "brief": brief_text(request.brief),
        "css_examples": examples_text(context.exemplars, request.round),
        "coe_path": path_text(context.path),
        "library": library_text(experience),
        "results": results_text(experience.results),
        "idea": idea_text(context.thread),
        "parents": parents_text(context),
        "contradicted": contradicted_text(context.contradicted),
        "direction": one_line(context.direction, 400) or "any",
        "constraints": _constraints(request.vocabulary, count, level_free=request.limits.level_free),
        "operators": "",
        "fields": field_list(request.vocabulary),
        "avoid": failures_text(request.avoid),
        "memory": memory_section(request.memory),
        "count": str(count),
    }
    room = None if most is None else max(0, int(most * _SURE) - tokens_of(templates.system.fill(values)))
    return values | {"operators": operators_text(request.vocabulary, only, room)}


def render_prompt(
    request: ProposalRequest, templates: Templates, only: Sequence[str] | None = None, most: int | None = None
) -> tuple[Message, ...]:
    """The system and user message of a request.

    Args:
        only: the operators that are shown, all of them with a card. most: tokens of the system message, as
            `tokens_of` estimates them: as many operators have a card as fit, the rest are named. None: all have one.
    """
    values = _values(request, templates, request.count, only, most)
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
    most: int | None = None,
) -> tuple[Message, ...]:
    """The dialogue that sends what was wrong in `answer` back: the prompt, the answer, the errors."""
    errors = "\n".join(
        f"{i}. `{expression_shown(r.expression)}`\n   {one_line(r.reason, MAX_REASON_SHOWN)}"
        if r.expression
        else f"{i}. {one_line(r.reason, MAX_REASON_SHOWN)}"
        for i, r in enumerate(failures[:MAX_AVOID], 1)
    )
    said = "".join(c for c in answer[:MAX_ANSWER_SHOWN] if c.isprintable() or c in "\n\t").strip()
    said = without_markers(said)
    values = {**_values(request, templates, count, only, most), "errors": errors}
    return (
        *render_prompt(request, templates, only, most),
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
