"""Messages of the Anthropic API, through its SDK (extra `anthropic`). Imported only when it is asked for."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
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

OFFICIAL_URL = "https://api.anthropic.com"


class AnthropicClient:
    """One model behind the Messages API."""

    def __init__(self, settings: LLMSettings, secret: Secret, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            sdk = importlib.import_module("anthropic")
        except ImportError:
            raise ConfigError('llm.provider: anthropic needs its SDK: pip install "fama_fast[anthropic]"') from None
        if settings.response_format != "text":
            raise ConfigError(
                f"llm.response_format: {settings.response_format} is for OpenAI-compatible servers; "
                "with anthropic leave it at text"
            )
        if settings.seed is not None:
            raise ConfigError("llm.seed: the Anthropic API takes none; leave it out")
        self._sdk: Any = sdk
        self._settings = settings
        self._secret = secret
        self._sleep = sleep
        self._client: Any = sdk.Anthropic(
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
        body: dict[str, Any] = {
            "model": s.model or "",
            "max_tokens": s.max_tokens,
            "system": "\n\n".join(m.content for m in messages if m.role == "system"),
            "messages": [{"role": m.role, "content": m.content} for m in messages if m.role != "system"],
        }
        # Sampling settings go beside the SDK's own arguments: some of its versions know them, some do not.
        extra = {k: v for k in ("temperature", "top_p") if (v := getattr(s, k)) is not None}
        return body | ({"extra_body": extra} if extra else {})

    def _attempt(self, body: dict[str, Any]) -> Reply:
        sdk, timeout = self._sdk, self._settings.timeout_s
        try:
            with self._client.messages.with_streaming_response.create(**body, timeout=timeout) as response:
                body_text = read_bounded(response.iter_bytes(), timeout)
                return _reply(decode_object(self._secret.redact(body_text)))
        except sdk.APITimeoutError:
            fault = Fault(f"no answer within {timeout:g} s", retryable=True)
        except sdk.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            fault = Fault(f"the server at {self._client.base_url} cannot be reached ({cause})", retryable=True)
        except sdk.APIStatusError as error:
            hint = f"check {self._settings.api_key_env}" if self._settings.api_key_env else ""
            said = self._secret.redact(error.response.text)
            fault = status_fault(error.status_code, error.response.headers, said, hint)
        except sdk.AnthropicError as error:
            fault = Fault(f"the request failed ({type(error).__name__})")
        except self._errors as error:
            fault = Fault(f"the connection broke off ({type(error).__name__})", retryable=True)
        raise AttemptFailed(fault)


def _reply(data: dict[str, Any]) -> Reply:
    content = data.get("content")
    if not isinstance(content, list):
        raise AttemptFailed(Fault("the response holds no content", retryable=True))
    text = "".join(
        p["text"] for p in content if isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str)
    )
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    finish = {"max_tokens": "length"}.get(str(data.get("stop_reason")), "stop")
    return Reply(text, finish, whole(usage.get("input_tokens")), whole(usage.get("output_tokens")))
