"""The settings `llm.*` of the language-model proposer. It imports no SDK.

Secrets are not settings: `api_key_env` names the variable that holds the key.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fama_fast.proposals.setting_roles import Role

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"

Idea = Annotated[str, Field(min_length=3, max_length=300)]
Price = Annotated[float, Field(ge=0.0, le=10_000.0)]

FROM_ENV = "env:"
_OWN_OF_MODELS = frozenset(
    [
        "model",
        "provider",
        "base_url",
        "api_key_env",
        "api_version",
        "headers",
        "extra_body",
        "reasoning_effort",
        "thinking_tokens",
        "prompt_cache",
        "requests_per_minute",
        "tokens_per_minute",
        "temperature",
        "top_p",
        "max_tokens",
        "max_tokens_key",
        "timeout_s",
        "constraint",
        "response_format",
        "price_in",
        "price_out",
        "price_cached",
        "price_cache_write",
        "batch",
        "batch_price",
        "seed",
    ]
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}\Z")
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_OWN_KEYS = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "seed",
    }
    | {"reasoning_effort", "response_format"}
)
_OWN_KEYS_SAY = {
    "stream": "is not read",
    "n": "is not read: llm.per_prompt and run.candidates say how much is asked for",
    "messages": "is what the prompts are",
    "system": "is what the prompts are",
    "max_completion_tokens": "is llm.max_tokens, sent under llm.max_tokens_key",
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class LLMSettings(BaseModel):
    """The settings of the language model. What is None is not sent, so the server's own default holds.

    Attributes:
        provider: `openai` is any server of OpenAI-compatible chat completions (OpenAI, Azure's v1
            endpoint, DeepSeek, Ollama, vLLM, llama.cpp), `anthropic` the Messages API (extra `anthropic`).
        models: in place of `model` several, each with `model` and what of these keys is its own, `name` if that is
            not the model's; prompts go to each by what it earned lately: [{model: a}, {model: b, temperature: 1.0}].
        model: name of the model, as the server knows it.
        base_url: the server, `https://...` or for a local one `http://...`; None is the provider's own.
        api_key_env: variable, in the environment or in `.env` of the working directory, that holds the
            key. null says that the server asks for none, which only a server named by `base_url` may do.
        api_version: sent as `api-version`, as Azure wants it: with the address of a resource
            (https://NAME.openai.azure.com) `model` is the name of a deployment; its v1 endpoint
            (https://NAME.openai.azure.com/openai/v1) needs none.
        headers: sent with every request. `env:NAME` is the value of a variable, from where the key comes from too, and
            is as secret; a header that carries a secret must be one.
        extra_body: further keys of a request, as the server knows them: {top_k: 20, chat_template_kwargs: {...}}.
        reasoning_effort: how much a reasoning model thinks: none, minimal, low, medium, high, xhigh or max, as far as
            the model knows them. thinking_tokens: most tokens of Anthropic's extended thinking, which are of
            `max_tokens`; others bound it by `max_tokens` or a key of their own in `extra_body`.
        prompt_cache: ask Anthropic to keep the system message, which is the same in every prompt, in its cache. Other
            servers keep it unasked.
        requests_per_minute, tokens_per_minute: what the server allows; requests wait until they are within.
        timeout_s: bound in seconds on one whole request, and on each wait for the network within it.
        max_retries: attempts after the first when the server is busy, failing or out of reach.
        backoff_s, max_backoff_s: first wait and longest wait between attempts; a Retry-After header above
            the longest wait ends the attempts.
        temperature, top_p: how freely the model chooses its words.
        max_tokens: tokens of one answer at most.
        max_tries: prompts in all for one batch: the first and the repairs that carry the error messages.
        max_tokens_key: the name this server knows the limit by; `auto` is `max_completion_tokens` for
            OpenAI itself and `max_tokens` elsewhere.
        constraint: what the server holds answers to (OpenAI-compatible servers only). `lark` is a grammar
            for llguidance (llama.cpp, vLLM), `tool` the same grammar as a custom tool (OpenAI), `gbnf`
            llama.cpp's own, `json_schema` the form of the answer alone. `auto` asks the server once, takes the
            strongest that it enforces, and says which.
        grammar_depth: nested operations at most in an expression of a grammar.
        operators: the only operators shown and allowed; None means all that the data can serve. Models with
            a short context need few.
        system_tokens: tokens of the system message at most, as they are estimated: as many operators have a line that
            says what they do as fit, the most used first, the rest are named; null: all have one.
        direction: what to look for, a sentence or several in rotation; None leaves it to the run.
        response_format: `json_object` asks for any JSON where there is no constraint; `json_schema` is
            another name for that constraint.
        concurrency: requests under way at once. per_prompt: proposals asked for in one prompt.
        price_in, price_out: of a million prompt and answer tokens, in the currency of max_cost.
        price_cached, price_cache_write: of a million prompt tokens that the server reads from its cache of prompts, and
            that it writes there; None: they cost what others cost.
        batch: send the prompts of a round together through the server's batch interface (OpenAI's, Anthropic's), which
            may take a day and costs less. batch_price: what it costs, as a share of the prices above. batch_poll_s:
            seconds between looks whether it is done.
        max_cost: the run stops asking when its answers have cost this much; what is under way then (at most
            `concurrency` dialogues) is finished and used.
        seed: sent to the server when given. Determinism comes from the exchange log, not from this.
        instructions_path: a template in place of `propose.md`.
        cutoff: date to which the model was trained, as YYYY-MM-DD: it may have read of what came before it, and the run
            says how much of validation and test that is.
        memory: show what earlier runs of the ledger on the same kind of data have learnt in training.
        max_new_factors: proposals asked for in a round; None leaves it to the run.
        refine: turns in which an idea is sent back with its scores to be refined; 0: none is.
        tune: share of a round's proposals that are the model's best formulas so far with their windows moved; they
            cost no answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    provider: Literal["openai", "anthropic"] = "openai"
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    models: list[dict[str, Any]] = []
    base_url: str | None = None
    api_key_env: str | None = "LLM_API_KEY"
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,40}$")] | None = None
    headers: dict[str, str] = {}
    extra_body: dict[str, Any] = {}
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    thinking_tokens: Annotated[int, Field(ge=1024, le=1_000_000)] | None = None
    prompt_cache: Annotated[bool, Role.PLACE] = True
    requests_per_minute: Annotated[Annotated[int, Field(ge=1)] | None, Role.PLACE] = None
    tokens_per_minute: Annotated[Annotated[int, Field(ge=1)] | None, Role.PLACE] = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    max_tokens_key: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    timeout_s: Annotated[float, Field(gt=0.0, le=3600.0), Role.PLACE] = 120.0
    max_retries: Annotated[int, Field(ge=0, le=10), Role.PLACE] = 3
    backoff_s: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    max_backoff_s: Annotated[float, Field(ge=0.0, le=600.0)] = 60.0
    max_tries: Annotated[int, Field(ge=1, le=3)] = 3
    constraint: Literal["auto", "lark", "tool", "gbnf", "json_schema", "none"] = "auto"
    grammar_depth: Annotated[int, Field(ge=2, le=8)] = 5
    operators: Annotated[list[str], Field(min_length=1)] | None = None
    system_tokens: Annotated[int, Field(ge=200, le=1_000_000)] | None = 2500
    direction: Idea | list[Idea] | None = None
    response_format: Literal["text", "json_object", "json_schema"] = "text"
    concurrency: Annotated[int, Field(ge=1, le=64), Role.PLACE] = 4
    per_prompt: Annotated[int, Field(ge=1, le=100)] = 10
    price_in: Price | None = None
    price_out: Price | None = None
    price_cached: Price | None = None
    price_cache_write: Price | None = None
    batch: Annotated[bool, Role.PLACE] = False
    batch_price: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    batch_poll_s: Annotated[float, Field(gt=0.0, le=3600.0), Role.PLACE] = 30.0
    max_cost: Annotated[Annotated[float, Field(gt=0.0)] | None, Role.LENGTH] = None
    seed: int | None = None
    instructions_path: str | None = None
    cutoff: str | None = None
    memory: bool = False
    max_new_factors: Annotated[int, Field(ge=1, le=1000)] | None = None
    refine: Annotated[int, Field(ge=0, le=10)] = 2
    tune: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1

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

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER.match(name):
                raise ValueError(f"{name[:40]!r} is no name of a header")
            if text.startswith(FROM_ENV):
                if not _VARIABLE.match(text.removeprefix(FROM_ENV)):
                    raise ValueError(f"{name}: env: wants the name of a variable, such as env:MY_TOKEN")
            elif _SECRET_HEADER.search(name):
                raise ValueError(f"{name}: carries a secret, which is no setting: write env:NAME and set that variable")
            elif not text.isprintable() or not text.isascii():
                raise ValueError(f"{name}: its value has characters that no header has")
        return value

    @field_validator("extra_body")
    @classmethod
    def _is_no_key_of_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(_OWN_KEYS.intersection(value)):
            raise ValueError(f"{name} {_OWN_KEYS_SAY.get(name, 'is a setting of its own')}: leave it out")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("must be what JSON can hold: no dates, no infinities") from None
        return value

    @field_validator("cutoff")
    @classmethod
    def _is_a_date(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                date.fromisoformat(value)
            except ValueError:
                raise ValueError(f"must be a date such as 2025-06-30, not {value[:40]!r}") from None
        return value

    @field_validator("operators")
    @classmethod
    def _are_operators(cls, value: list[str] | None) -> list[str] | None:
        from fama_fast import ops
        from fama_fast.errors import nearest_name

        names = []
        for name in value or ():
            spec = ops.find(name)
            if spec is None:
                near = nearest_name(name.upper(), [s.name for s in ops.specs()])
                raise ValueError(f"there is no operator {name[:64]!r}" + (f"; did you mean {near}?" if near else ""))
            names.append(spec.name)
        return names if value is not None else None

    @model_validator(mode="after")
    def _go_together(self) -> LLMSettings:
        if self.models:
            if self.model is not None:
                raise ValueError("give model, or models for several, not both")
            _ = self.each
            return self
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise ValueError("max_cost needs price_in and price_out, the prices of a million tokens")
        if self.provider == "anthropic":
            self._fit_anthropic()
        elif self.thinking_tokens is not None:
            raise ValueError(
                "thinking_tokens is Anthropic's: elsewhere set reasoning_effort, or the server's own key in extra_body"
            )
        if self.response_format != "text" and self.constraint not in ("auto", "none", self.response_format):
            raise ValueError("constraint and response_format ask for different things: keep one")
        return self

    def _fit_anthropic(self) -> None:
        if self.api_version is not None:
            raise ValueError("api_version is Azure's, of provider openai")
        if self.reasoning_effort in ("none", "minimal"):
            raise ValueError(
                f"reasoning_effort: {self.reasoning_effort}: Anthropic has low, medium, high, xhigh and max"
            )
        if self.thinking_tokens is not None and self.thinking_tokens >= self.max_tokens:
            raise ValueError(
                f"thinking_tokens {self.thinking_tokens} leaves nothing of max_tokens {self.max_tokens} for the answer"
            )
        if self.thinking_tokens is not None and self.temperature not in (None, 1.0):
            raise ValueError("temperature: with thinking_tokens Anthropic takes none but 1: leave it out")

    @property
    def each(self) -> dict[str, LLMSettings]:
        """The settings of each of `models`, by name: what holds for all, and what is its own.

        Raises:
            ValueError: an entry without a model, with a key that is the run's, or a name twice; or settings that make
            no sense.
        """
        shared = self.model_dump(exclude={"model", "models"})
        out: dict[str, LLMSettings] = {}
        for n, entry in enumerate(self.models):
            own = dict(entry)
            name = own.pop("name", own.get("model"))
            for key in sorted(own.keys() - _OWN_OF_MODELS):
                raise ValueError(
                    f"models[{n}]: {key[:40]!r} is no key of one model; it may have {sorted(_OWN_OF_MODELS)}"
                )
            if not isinstance(name, str) or "model" not in own:
                raise ValueError(f"models[{n}]: needs model, and a name that is text")
            if name in out:
                raise ValueError(f"models[{n}]: {name[:80]!r} is there already: give it another name")
            try:
                out[name] = LLMSettings(**{**shared, **own})
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise ValueError(f"models[{n}]{f'.{where}' if where else ''}: {first['msg']}") from None
        return out

    @property
    def directions(self) -> tuple[str, ...]:
        """The user's directions; none where the run chooses them."""
        if self.direction is None:
            return ()
        return (self.direction,) if isinstance(self.direction, str) else tuple(self.direction)

    @property
    def address(self) -> str:
        """The server's address: `base_url`, or the provider's own."""
        return self.base_url or (ANTHROPIC_URL if self.provider == "anthropic" else OPENAI_URL)

    @property
    def server(self) -> dict[str, Any]:
        """Provider and address, as they identify a recorded exchange."""
        scheme, _, rest = self.address.rstrip("/").partition("://")
        host, slash, path = rest.partition("/")
        out = {"provider": self.provider, "address": f"{scheme.lower()}://{host.lower()}{slash}{path}"}
        return out if self.api_version is None else {**out, "api_version": self.api_version}

    @property
    def is_official(self) -> bool:
        """Whether the server is OpenAI's own."""
        return self.provider == "openai" and self.address.startswith(OPENAI_URL)

    @property
    def wanted_constraint(self) -> str:
        """`constraint`, or what `response_format` says in its place."""
        if self.constraint == "auto" and self.response_format != "text":
            return "json_schema" if self.response_format == "json_schema" else "none"
        return self.constraint

    def cost(
        self,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int = 0,
        written_tokens: int = 0,
        *,
        batched: bool = False,
    ) -> float:
        """The cost of so many tokens; 0 where prices are not known.

        Args:
            prompt_tokens: all of the prompt's. cached_tokens, written_tokens: those of them that were read from the
                server's cache of prompts, and written to it. batched: they came in a batch.
        """
        plain = self.price_in or 0.0
        cached = plain if self.price_cached is None else self.price_cached
        written = plain if self.price_cache_write is None else self.price_cache_write
        rest = max(0, prompt_tokens - cached_tokens - written_tokens)
        paid = rest * plain + cached_tokens * cached + written_tokens * written
        whole = (paid + completion_tokens * (self.price_out or 0.0)) / 1e6
        return whole * self.batch_price if batched else whole

    def sampling(self) -> dict[str, Any]:
        """The settings that, besides messages, model and constraint, decide the answer: part of the prompt hash."""
        always = {
            "max_tokens": self.max_tokens,
            "response_format": self.response_format,
            "seed": self.seed,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        given = {
            "extra_body": self.extra_body,
            "headers": self.headers,
            "reasoning_effort": self.reasoning_effort,
            "thinking_tokens": self.thinking_tokens,
        }
        return always | {name: value for name, value in given.items() if value}
