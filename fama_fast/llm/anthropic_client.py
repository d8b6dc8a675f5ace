"""Client of the Anthropic Messages API, through its SDK (extra `anthropic`). Imported only when it is asked for."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.llm.chat import Reply
from fama_fast.llm.faults import AttemptFailed, Fault, whole
from fama_fast.llm.sdk_client import SDKClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.llm.chat import Constraint
    from fama_fast.llm.keys import Secret
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings


class AnthropicClient(SDKClient):
    """One model behind the Messages API."""

    def __init__(self, settings: LLMSettings, secret: Secret, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            sdk: Any = importlib.import_module("anthropic")
        except ImportError:
            raise ConfigError('llm.provider: anthropic needs its SDK: pip install "fama_fast[anthropic]"') from None
        if settings.response_format != "text":
            raise ConfigError(
                f"llm.response_format: {settings.response_format} is for OpenAI-compatible servers; "
                "with anthropic leave it at text"
            )
        if settings.constraint not in ("auto", "none"):
            raise ConfigError(
                f"llm.constraint: {settings.constraint} is for OpenAI-compatible servers; "
                "with anthropic leave it at auto"
            )
        if settings.seed is not None:
            raise ConfigError("llm.seed: the Anthropic API takes none; leave it out")
        client = sdk.Anthropic(
            api_key=secret.reveal() or "none",
            base_url=settings.address,
            timeout=settings.timeout_s,
            max_retries=0,
        )
        super().__init__(settings, secret, sdk, client, sleep)

    def body(self, messages: Sequence[Message], constraint: Constraint | None) -> dict[str, Any]:
        """The request; the API takes no grammar."""
        s = self.settings
        body: dict[str, Any] = {
            "model": s.model or "",
            "max_tokens": s.max_tokens,
            "system": "\n\n".join(m.content for m in messages if m.role == "system"),
            "messages": [{"role": m.role, "content": m.content} for m in messages if m.role != "system"],
        }
        # Sampling settings go beside the SDK's own arguments: some of its versions know them, some do not.
        extra = {k: v for k in ("temperature", "top_p") if (v := getattr(s, k)) is not None}
        return body | ({"extra_body": extra} if extra else {})

    def stream(self, body: dict[str, Any]) -> Any:
        """The streamed response."""
        return self._client.messages.with_streaming_response.create(**body)

    @staticmethod
    def read(data: dict[str, Any]) -> Reply:
        """The text parts of the message, without its thinking."""
        content = data.get("content")
        if not isinstance(content, list):
            raise AttemptFailed(Fault("the response holds no content", retryable=True))
        text = "".join(
            p["text"]
            for p in content
            if isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str)
        )
        usage = data.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        finish = {"max_tokens": "length"}.get(str(data.get("stop_reason")), "stop")
        return Reply(text, finish, whole(usage.get("input_tokens")), whole(usage.get("output_tokens")))
