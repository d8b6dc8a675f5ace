"""Chat completions of an OpenAI-compatible server, through the OpenAI SDK.

Imported only when a model is asked for. The response is read as text and taken apart here: servers that call
themselves compatible answer with HTML, lists and nulls that the SDK's types do not know.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fama_fast.mining.proposers.client import (
    AttemptFailed,
    Fault,
    Reply,
    Secret,
    decode_object,
    read_bounded,
    status_fault,
    transport_errors,
    whole,
    with_retries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.mining.prompt import Message
    from fama_fast.mining.proposers.settings import LLMSettings

OFFICIAL_URL = "https://api.openai.com/v1"

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["alphas"],
    "properties": {
        "alphas": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["hypothesis", "expression", "explanation"],
                "properties": {k: {"type": "string"} for k in ("hypothesis", "expression", "explanation")},
            },
        }
    },
}


class OpenAIClient:
    """One model on one OpenAI-compatible server."""

    def __init__(self, settings: LLMSettings, secret: Secret, *, sleep: Callable[[float], None] = time.sleep) -> None:
        from openai import OpenAI

        self._settings = settings
        self._secret = secret
        self._sleep = sleep
        # The address is always explicit: a variable such as OPENAI_BASE_URL must not redirect the key.
        self._client = OpenAI(
            api_key=secret.reveal() or "none",
            base_url=settings.base_url or OFFICIAL_URL,
            timeout=settings.timeout_s,
            max_retries=0,
        )
        self._errors = transport_errors()

    def complete(self, messages: Sequence[Message]) -> Reply:
        """One reply; see `ChatClient`."""
        body = self._body(messages)
        return with_retries(
            lambda: self._attempt(body),
            self._settings,
            self._secret,
            self._sleep,
            f"llm {self._settings.model}",
        )

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        s = self._settings
        key = s.max_tokens_key
        if key == "auto":
            key = "max_completion_tokens" if (s.base_url or OFFICIAL_URL).startswith(OFFICIAL_URL) else "max_tokens"
        body: dict[str, Any] = {
            "model": s.model or "",
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            key: s.max_tokens,
        }
        body |= {k: v for k in ("temperature", "top_p", "seed") if (v := getattr(s, k)) is not None}
        if s.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif s.response_format == "json_schema":
            schema = {"name": "alphas", "strict": True, "schema": ANSWER_SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _attempt(self, body: dict[str, Any]) -> Reply:
        import openai

        timeout = self._settings.timeout_s
        try:
            with self._client.chat.completions.with_streaming_response.create(**body) as response:
                body_text = read_bounded(response.iter_bytes(), timeout)
                return _reply(decode_object(self._secret.redact(body_text)))
        except openai.APITimeoutError:
            fault = Fault(f"no answer within {timeout:g} s", retryable=True)
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            fault = Fault(f"the server at {self._client.base_url} cannot be reached ({cause})", retryable=True)
        except openai.APIStatusError as error:
            hint = f"check {self._settings.api_key_env}" if self._settings.api_key_env else ""
            said = self._secret.redact(error.response.text)
            fault = status_fault(error.status_code, error.response.headers, said, hint)
        except openai.OpenAIError as error:
            fault = Fault(f"the request failed ({type(error).__name__})")
        except self._errors as error:
            fault = Fault(f"the connection broke off ({type(error).__name__})", retryable=True)
        raise AttemptFailed(fault)


def _reply(data: dict[str, Any]) -> Reply:
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
        content = "".join(p.get("text", "") for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    finish = choice.get("finish_reason")
    return Reply(
        content if isinstance(content, str) else "",
        finish if isinstance(finish, str) else "stop",
        whole(usage.get("prompt_tokens")),
        whole(usage.get("completion_tokens")),
    )
