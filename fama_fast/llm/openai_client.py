"""Client of OpenAI-compatible chat completions, through the OpenAI SDK. Imported only when a model is asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fama_fast.llm.chat import Reply
from fama_fast.llm.faults import AttemptFailed, Fault, whole
from fama_fast.llm.sdk_client import SDKClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.llm.chat import Constraint
    from fama_fast.llm.keys import Secret
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings


class OpenAIClient(SDKClient):
    """One model on one OpenAI-compatible server."""

    def __init__(self, settings: LLMSettings, secret: Secret, *, sleep: Callable[[float], None] = time.sleep) -> None:
        import openai

        # The address is always explicit: a variable such as OPENAI_BASE_URL must not redirect the key.
        client = openai.OpenAI(
            api_key=secret.reveal() or "none",
            base_url=settings.address,
            timeout=settings.timeout_s,
            max_retries=0,
        )
        super().__init__(settings, secret, openai, client, sleep)

    def body(self, messages: Sequence[Message], constraint: Constraint | None) -> dict[str, Any]:
        """The request; a custom tool stands in place of the message's text."""
        s = self.settings
        key = s.max_tokens_key
        if key == "auto":
            key = "max_completion_tokens" if s.is_official else "max_tokens"
        body: dict[str, Any] = {
            "model": s.model or "",
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            key: s.max_tokens,
        }
        body |= {k: v for k in ("temperature", "top_p", "seed") if (v := getattr(s, k)) is not None}
        if constraint is not None and constraint.name != "none":
            body |= constraint.extra()
        elif s.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def stream(self, body: dict[str, Any]) -> Any:
        """The streamed response."""
        return self._client.chat.completions.with_streaming_response.create(**body)

    @staticmethod
    def read(data: dict[str, Any]) -> Reply:
        """The first choice: its text, or the input of the custom tool that it calls."""
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            error = data.get("error")
            said = error.get("message") if isinstance(error, dict) else error
            detail = f": {said[:200]}" if isinstance(said, str) else ""
            raise AttemptFailed(Fault(f"the response holds no choice with a message{detail}", retryable=True))
        content = message.get("content")
        if isinstance(content, list):  # content parts, as some servers answer
            content = "".join(
                p.get("text", "") for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
            )
        usage = data.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        finish = choice.get("finish_reason")
        return Reply(
            _tool_input(message) or (content if isinstance(content, str) else ""),
            finish if isinstance(finish, str) else "stop",
            whole(usage.get("prompt_tokens")),
            whole(usage.get("completion_tokens")),
        )


def _tool_input(message: dict[str, Any]) -> str:
    """The input that the model passed to custom tools, in order."""
    calls = message.get("tool_calls")
    custom_calls = [c["custom"] for c in calls if isinstance(c, dict) and isinstance(c.get("custom"), dict)] if isinstance(calls, list) else []  # fmt: skip  # noqa: E501
    return "\n".join(c["input"] for c in custom_calls if isinstance(c.get("input"), str))
