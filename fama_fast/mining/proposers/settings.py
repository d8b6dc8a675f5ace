"""What the language-model proposer may be told: the keys of `llm.*` in a configuration. It imports no SDK.

Secrets are not settings: `api_key_env` names the variable that holds the key.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class LLMSettings(BaseModel):
    """Which model to ask and how. What is None is not sent, so the server's own default holds.

    Attributes:
        provider: `openai` is any server of OpenAI-compatible chat completions (OpenAI, Azure's v1
            endpoint, DeepSeek, Ollama, vLLM, llama.cpp), `anthropic` the Messages API (extra `anthropic`).
        base_url: the server, `https://...` or for a local one `http://...`; None is the provider's own.
        api_key_env: variable, in the environment or in `.env` of the working directory, that holds the
            key. null says that the server asks for none, which only a server named by `base_url` may do.
        timeout_s: bound in seconds on one whole request, and on each wait for the network within it.
        max_retries: attempts after the first when the server is busy, failing or out of reach.
        backoff_s, max_backoff_s: first wait and longest wait between attempts; a Retry-After header above
            the longest wait ends the attempts.
        max_tries: prompts in all for one batch: the first and the repairs that carry the error messages.
        max_tokens_key: the name this server knows the limit by; `auto` is `max_completion_tokens` for
            OpenAI itself and `max_tokens` elsewhere.
        response_format: constraint the server puts on the answer (OpenAI-compatible servers only).
        seed: sent to the server when given. Determinism comes from the exchange log, not from this.
        instructions_path: a template in place of `propose.md`.
        max_new_factors: proposals asked for in a round; None leaves it to the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    provider: Literal["openai", "anthropic"] = "openai"
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    base_url: str | None = None
    api_key_env: str | None = "LLM_API_KEY"
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    max_tokens_key: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    timeout_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 120.0
    max_retries: Annotated[int, Field(ge=0, le=10)] = 3
    backoff_s: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    max_backoff_s: Annotated[float, Field(ge=0.0, le=600.0)] = 60.0
    max_tries: Annotated[int, Field(ge=1, le=3)] = 3
    response_format: Literal["text", "json_object", "json_schema"] = "text"
    seed: int | None = None
    instructions_path: str | None = None
    max_new_factors: Annotated[int, Field(ge=1, le=1000)] | None = None

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.match(value):
            raise ValueError("must be the name of an environment variable (such as LLM_API_KEY), never a key itself")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_a_plain_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^\s/@?#]+(?:/[^\s@?#]*)?\Z", value):
            raise ValueError("must be http(s)://host[:port][/path], without user, password, query or fragment")
        return value

    def sampling(self) -> dict[str, Any]:
        """What, besides the messages and the model, decides the answer: part of the prompt hash."""
        return {
            "max_tokens": self.max_tokens,
            "response_format": self.response_format,
            "seed": self.seed,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
