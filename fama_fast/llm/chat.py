"""The interface to chat models: the client's protocol, replies, and the constraints that a request may carry.

It imports no SDK and sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fama_fast.errors import ProposerError
from fama_fast.llm.decoding.answer import ANSWER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.llm.decoding.answer import DecodingGrammar
    from fama_fast.llm.prompt import Message

TOOL_NAME = "propose"
REFUSAL = "refusal"  # `Reply.finish` of a model that would not answer
FILTERED = "content_filter"  # and of an answer, or a prompt, that the server's filter held back
_LLGUIDANCE = "%llguidance {}\n"


@dataclass(frozen=True)
class Reply:
    """A model's answer.

    Attributes:
        finish: why it stopped: `stop`, `length` (at the token limit), `refusal` (the model would not answer),
            `content_filter` (the server held it back), or what else the server said.
        prompt_tokens, completion_tokens: 0 when not reported. cached_tokens: of the prompt's, those that the server
            read from its cache; written_tokens: those that it wrote there.
        requests: that were sent for it, 0 for one that was recorded before. batched: it came in a batch, at its price.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 1
    cached_tokens: int = 0
    written_tokens: int = 0
    batched: bool = False

    @property
    def truncated(self) -> bool:
        return self.finish == "length"


class ChatClient(Protocol):
    """Protocol of a client that sends messages to a model. Several threads may call it at once."""

    def complete(
        self,
        messages: Sequence[Message],
        constraint: Constraint | None = None,
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
        draw: int = 0,
        stopped: Callable[[], bool] | None = None,
    ) -> Reply:
        """The model's reply.

        Args:
            messages: the dialogue. constraint: what the server shall hold the answer to, if anything.
            deadline: on the monotonic clock, when to give up in any case. max_tokens: in place of the settings'.
            draw: added to the seed that is sent, if one is, so that equal prompts get different answers.
            stopped: whether the run was asked to stop; from then on nothing is sent.

        Raises:
            RequestRefused: the server does not take such a request. OutOfTime: the deadline. Halted: the run was asked
            to stop. ProposerError: no answer after all retries.
        """


class RequestRefused(ProposerError):  # noqa: N818  (says what happened; it is a ProposerError)
    """The server understood the request and refused it as it is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class OutOfTime(ProposerError):  # noqa: N818  (the run's budget, not a failure)
    """The run's time was used up before an answer came."""


class Halted(ProposerError):  # noqa: N818  (what the user asked for, not a failure)
    """The run was asked to stop before this was sent."""


@dataclass(frozen=True)
class Constraint:
    """A constraint on the form of an answer: its name, with the grammar and schema that it may need."""

    name: ConstraintName
    grammar: DecodingGrammar | None = None
    schema: dict[str, Any] | None = None

    def extra(self) -> dict[str, Any]:
        """The extra keys of a request to an OpenAI-compatible server: `grammar` is llama.cpp's, `structured_outputs`
        vLLM's."""
        if self.name == "json_schema":
            schema = {"name": "alphas", "strict": True, "schema": self.schema or ANSWER_SCHEMA}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        if self.grammar is None:
            return {}
        if self.name == "tool":
            grammar = {"syntax": "lark", "definition": self.grammar.lark}
            custom = {
                "name": TOOL_NAME,
                "description": "Hands in the proposed alphas as one JSON object.",
                "format": {"type": "grammar", "grammar": grammar},
            }
            choice = {"type": "custom", "custom": {"name": TOOL_NAME}}
            return {"tools": [{"type": "custom", "custom": custom}], "tool_choice": choice}
        text = _LLGUIDANCE + self.grammar.lark if self.name == "lark" else self.grammar.gbnf
        return {"extra_body": {"grammar": text, "structured_outputs": {"grammar": text}}}


ConstraintName = Literal["lark", "tool", "gbnf", "json_schema", "none"]
