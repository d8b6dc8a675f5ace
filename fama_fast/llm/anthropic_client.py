"""Client of the Anthropic Messages API, through its SDK (extra `anthropic`). Imported only when it is asked for."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.llm.anthropic_batches import AnthropicBatches
from fama_fast.llm.chat import REFUSAL, Reply
from fama_fast.llm.decoding.answer import ANSWER_SCHEMA
from fama_fast.llm.faults import AttemptFailed, Fault, whole
from fama_fast.llm.sdk_client import SDKClient, headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.llm.chat import Constraint
    from fama_fast.llm.keys import Secret
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings


_FINISH = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": REFUSAL}


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
        if settings.constraint not in ("auto", "json_schema", "none"):
            raise ConfigError(
                f"llm.constraint: {settings.constraint} is for OpenAI-compatible servers; "
                "with anthropic leave it at auto, or ask for json_schema"
            )
        if settings.seed is not None:
            raise ConfigError("llm.seed: the Anthropic API takes none; leave it out")
        client = sdk.Anthropic(
            api_key=secret.reveal() or "none",
            base_url=settings.address,
            timeout=settings.timeout_s,
            max_retries=0,
            default_headers=headers_of(settings, secret),
        )
        super().__init__(settings, secret, sdk, client, sleep)

    def body(self, messages: Sequence[Message], constraint: Constraint | None) -> dict[str, Any]:
        """The request; of constraints the API takes a schema."""
        s = self.settings
        body: dict[str, Any] = {
            "model": s.model or "",
            "max_tokens": s.max_tokens,
            "messages": [{"role": m.role, "content": m.content} for m in messages if m.role != "system"],
        }
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        if system:
            # It is the same in every prompt of a run: what comes before the mark is read from the server's cache.
            block: dict[str, Any] = {"type": "text", "text": system}
            body["system"] = [block | {"cache_control": {"type": "ephemeral"}}] if s.prompt_cache else system
        # These go beside the SDK's own arguments: some of its versions know them, some do not.
        extra: dict[str, Any] = {k: v for k in ("temperature", "top_p") if (v := getattr(s, k)) is not None}
        if s.thinking_tokens is not None:
            extra["thinking"] = {"type": "enabled", "budget_tokens": s.thinking_tokens}
        output: dict[str, Any] = {} if s.reasoning_effort is None else {"effort": s.reasoning_effort}
        if constraint is not None and constraint.name == "json_schema":
            output["format"] = {"type": "json_schema", "schema": constraint.schema or ANSWER_SCHEMA}
        if output:
            extra["output_config"] = output
        extra = {**s.extra_body, **extra}
        return body | ({"extra_body": extra} if extra else {})

    def batches(self) -> AnthropicBatches:
        """The batch interface."""
        return AnthropicBatches(self)

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
        cached, written = (whole(usage.get(f"cache_{kind}_input_tokens")) for kind in ("read", "creation"))
        return Reply(
            text,
            _FINISH.get(str(data.get("stop_reason")), "stop"),
            whole(usage.get("input_tokens")) + cached + written,  # theirs are those beside the cache
            whole(usage.get("output_tokens")),
            cached_tokens=cached,
            written_tokens=written,
        )
