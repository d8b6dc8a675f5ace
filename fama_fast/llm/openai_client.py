"""Client of OpenAI-compatible chat completions, through the OpenAI SDK. Imported only when a model is asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fama_fast.llm.chat import REFUSAL, Reply
from fama_fast.llm.faults import AttemptFailed, Fault, whole
from fama_fast.llm.openai_batches import OpenAIBatches
from fama_fast.llm.sdk_client import SDKClient, headers_of

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
        shared: dict[str, Any] = {
            "api_key": secret.reveal() or "none",
            "timeout": settings.timeout_s,
            "max_retries": 0,
            "default_headers": headers_of(settings, secret),
        }
        client: openai.OpenAI
        if settings.api_version is None:
            client = openai.OpenAI(base_url=settings.address, **shared)
        elif "/openai/v1" in settings.address:
            query = {"api-version": settings.api_version}
            client = openai.OpenAI(base_url=settings.address, default_query=query, **shared)
        else:  # its path names the deployment, and the key has a header of its own
            address = settings.address.rstrip("/")
            address = address if "/openai" in address else f"{address}/openai"
            client = openai.AzureOpenAI(base_url=address, api_version=settings.api_version, **shared)
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
        given = ("temperature", "top_p", "seed", "reasoning_effort")
        body |= {k: v for k in given if (v := getattr(s, k)) is not None}
        if constraint is not None and constraint.name != "none":
            body |= constraint.extra()
        elif s.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        if s.extra_body:
            body["extra_body"] = {**s.extra_body, **body.get("extra_body", {})}
        return body

    def batches(self) -> OpenAIBatches:
        """The batch interface; a resource of Azure by version names the path without its version."""
        by_deployment = self.settings.api_version is not None and "/openai/v1" not in self.settings.address
        return OpenAIBatches(self, "/chat/completions" if by_deployment else "/v1/chat/completions")

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
        text = _tool_input(message) or (content if isinstance(content, str) else "")
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip() and not text.strip():
            text, finish = refusal, REFUSAL
        return Reply(
            text,
            finish if isinstance(finish, str) else "stop",
            whole(usage.get("prompt_tokens")),
            whole(usage.get("completion_tokens")),
            cached_tokens=min(_cached(usage), whole(usage.get("prompt_tokens"))),
        )


def _cached(usage: dict[str, Any]) -> int:
    """Tokens of the prompt that came from the server's cache; the second name is DeepSeek's."""
    details = usage.get("prompt_tokens_details")
    found = details.get("cached_tokens") if isinstance(details, dict) else None
    return whole(found if found is not None else usage.get("prompt_cache_hit_tokens"))


def _tool_input(message: dict[str, Any]) -> str:
    """The input that the model passed to custom tools, in order."""
    calls = message.get("tool_calls")
    custom_calls = [c["custom"] for c in calls if isinstance(c, dict) and isinstance(c.get("custom"), dict)] if isinstance(calls, list) else []  # fmt: skip  # noqa: E501
    return "\n".join(c["input"] for c in custom_calls if isinstance(c.get("input"), str))
