"""Finds the strongest constraint on the form of answers that a server enforces: Lark, a custom tool, GBNF, a JSON
schema, or none.

A constraint is what goes into a request; `probe` finds out which the server enforces. It knows no SDK.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fama_fast.llm.chat import Constraint, ConstraintName, RequestRefused
from fama_fast.llm.decoding.answer import literal_grammar
from fama_fast.llm.prompt import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.llm.chat import Reply
    from fama_fast.llm.settings import LLMSettings


_PROBE_TEXT = "alpha 5081"
_PROBE_TOKENS = 24
_PROBE = (Message("user", "Say hello in one word."),)
_NAMES = {
    "lark": "a Lark grammar (llguidance)",
    "tool": "a Lark grammar (custom tool)",
    "gbnf": "a GBNF grammar",
    "json_schema": "a JSON schema",
}


def candidates(settings: LLMSettings) -> tuple[ConstraintName, ...]:
    """Constraints to ask this provider for, the strongest first."""
    if settings.provider == "anthropic":
        return ("json_schema",)
    if settings.is_official:
        return ("tool", "json_schema")
    return ("lark", "gbnf", "tool", "json_schema")


def probe_request(name: ConstraintName) -> tuple[tuple[Message, ...], Constraint, int]:
    """A request that a server which enforces the constraint can answer in one way only; and its token limit."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["alpha"],
        "properties": {"alpha": {"type": "string", "enum": [_PROBE_TEXT]}},
    }
    return _PROBE, Constraint(name, literal_grammar(_PROBE_TEXT), schema), _PROBE_TOKENS


def enforced(name: ConstraintName, reply: Reply) -> bool:
    """Whether the reply to a probe is the one that its constraint allows."""
    text = reply.text.strip()
    if name != "json_schema":
        return text == _PROBE_TEXT
    try:
        return bool(json.loads(text) == {"alpha": _PROBE_TEXT})
    except (ValueError, RecursionError):
        return False


def probe(
    settings: LLMSettings, ask: Callable[[ConstraintName], Reply], after: ConstraintName | None = None
) -> tuple[ConstraintName, str]:
    """The strongest constraint that the server enforces, and a sentence that says what was found.

    Args:
        ask: sends the probe of a constraint. after: look only at weaker ones than this.

    Raises:
        ProposerError: the server cannot be reached, refuses the key or keeps failing; that says nothing about
            constraints.
    """
    names = candidates(settings)
    if after is not None and after in names:
        names = names[names.index(after) + 1 :]
    failed: list[str] = []
    for name in names:
        try:
            if enforced(name, ask(name)):
                passed_over = f" (not {', '.join(failed)})" if failed else ""
                return name, f"llm {settings.model}: answers are held to {_NAMES[name]}{passed_over}"
            failed.append(f"{name}: ignored")
        except RequestRefused as error:
            failed.append(f"{name}: status {error.status}")
    tried = f" ({', '.join(failed)})" if failed else ""
    return (
        "none",
        f"llm {settings.model}: the server holds answers to no grammar or schema{tried}; they are only parsed",
    )
