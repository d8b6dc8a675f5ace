"""The interface to chat models: client protocol, replies, API keys kept secret, faults, bounded retries.

The SDKs' own retries are switched off; this loop is the only one, so that its waits and its end are known. It
imports no SDK.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import json
import math
import os
import random
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fama_fast.errors import ConfigError, ProposerError
from fama_fast.llm.decoding.answer import ANSWER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.llm.decoding.answer import DecodingGrammar
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings

MAX_RESPONSE_BYTES = 8_000_000
_MAX_DETAIL = 300
_REDACTED = "[key]"
TOOL_NAME = "propose"
_LLGUIDANCE = "%llguidance {}\n"


@dataclass(frozen=True)
class Reply:
    """A model's answer. `finish` is why it stopped (`length`: at the token limit); tokens are 0 when not
    reported.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 1

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
    ) -> Reply:
        """The model's reply.

        Args:
            messages: the dialogue. constraint: what the server shall hold the answer to, if anything.
            deadline: on the monotonic clock, when to give up in any case. max_tokens: in place of the settings'.
            draw: added to the seed that is sent, if one is, so that equal prompts get different answers.

        Raises:
            RequestRefused: the server does not take such a request. ProposerError: no answer after all retries.
        """


class RequestRefused(ProposerError):  # noqa: N818  (says what happened; it is a ProposerError)
    """The server understood the request and refused it as it is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class OutOfTime(ProposerError):  # noqa: N818  (the run's budget, not a failure)
    """The run's time was used up before an answer came."""


class Secret:
    """An API key that is shown only by `reveal`: not in reprs, logs, pickles or locals of a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def redact(self, text: str) -> str:
        """`text` without any occurrence of the key, plain, URL-quoted or JSON-escaped."""
        forms = {self._value, urllib.parse.quote(self._value, safe=""), json.dumps(self._value)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            if form:
                text = text.replace(form, _REDACTED)
        return text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a key is not pickled")


def load_key(settings: LLMSettings, *, directory: Path | None = None) -> Secret:
    """The key from the environment, else from `.env` in the working directory; neither is changed.

    Raises:
        ConfigError: no key, and which variable to set; or a key that cannot be sent.
    """
    name = settings.api_key_env
    if name is None:
        if settings.base_url is None:
            raise ConfigError(
                "llm.api_key_env is null, which only a server of your own named by llm.base_url allows; "
                "name the variable that holds the key, such as LLM_API_KEY"
            )
        return Secret("")
    value = os.environ.get(name) or _from_dotenv((directory or Path.cwd()) / ".env", name)
    if not value or not value.strip():
        local = "" if settings.base_url is None else " (a local server without a key: llm.api_key_env: null)"
        raise ConfigError(
            f"the llm proposer needs a key: set {name} in the environment or in a .env file of the working "
            f"directory{local}; or use the evolve proposer, which needs none"
        )
    value = value.strip()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{name} holds characters that no API key has (spaces, line ends, non-ASCII)")
    return Secret(value)


def _from_dotenv(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False).get(name)
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read as UTF-8 text") from None


@dataclass(frozen=True)
class Fault:
    """The cause of one failed attempt. `wait` is what the server asked for, in seconds; `status` its HTTP status, or
    0."""

    message: str
    retryable: bool = False
    wait: float | None = None
    status: int = 0


class AttemptFailed(Exception):  # noqa: N818  (control flow of the retry loop, never a user's)
    """Raised out of an attempt with its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# What servers say to a constraint that they do not know. llama.cpp says 500, as any server does that has trouble of its
# own: that is a refusal only where it names what it cannot take.
REFUSED_STATUS = frozenset({400, 404, 405, 415, 422, 501})
_SERVER_ERROR = 500
_CONSTRAINT_WORDS = ("grammar", "schema", "response_format", "structured", "tool")


def retry_after(headers: Any, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) ask for, or None."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        milliseconds = headers.get("retry-after-ms")
        if milliseconds is not None:
            return _finite(float(milliseconds) / 1000.0)
    raw = headers.get("retry-after")
    with contextlib.suppress(TypeError, ValueError):
        return _finite(float(raw))
    with contextlib.suppress(TypeError, ValueError, OverflowError, IndexError):
        return _finite(email.utils.parsedate_to_datetime(raw).timestamp() - now())
    return None


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds - seconds == 0.0 else None


def status_fault(status: int, headers: Any, body: str, hint: str = "") -> Fault:
    """The fault of an HTTP status, with the start of the server's own message (`body`, redacted already)."""
    words = {401: "the key was refused", 403: "access was refused", 404: "no such model or address"}
    detail = " ".join(_server_message(body).split())[:_MAX_DETAIL]
    message = f"the server answered {status}"
    if status in words:
        message += f" ({words[status]})"
    if detail:
        message += f": {detail}"
    if hint and status in (401, 403):
        message += f"; {hint}"
    return Fault(message, status in RETRYABLE_STATUS, retry_after(headers), status)


def _server_message(body: str) -> str:
    try:
        data = json.loads(body[:100_000])
    except (ValueError, RecursionError):
        return body
    for _ in range(2):
        if isinstance(data, dict):
            data = data.get("message", data.get("error", data.get("detail", body)))
    return data if isinstance(data, str) else body


def bounded(call: Callable[[], Reply], seconds: float) -> Reply:
    """Run `call`, and give it up after `seconds` (and a little, so that its own timeout comes first).

    A socket's timeout bounds each wait, not their sum: headers that drip byte by byte would never end. The call runs
    in a thread of its own, which is left behind when time is up; it is a daemon and ends with its connection.
    """
    done: list[Reply | BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001  (handed to the caller)
            done.append(error)

    thread = threading.Thread(target=run, name="llm request", daemon=True)
    thread.start()
    thread.join(seconds + 0.25)
    if not done:
        raise AttemptFailed(Fault(f"no whole answer within {seconds:.3g} s", retryable=True))
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def read_bounded(
    chunks: Iterator[bytes],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    *,
    shown: float | None = None,
) -> str:
    """A response body as text, bounded in size and in total time. `shown` is the bound that an error names."""
    end = clock() + seconds
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise AttemptFailed(Fault(f"the answer is larger than {MAX_RESPONSE_BYTES} bytes"))
        if clock() > end:
            raise AttemptFailed(Fault(f"no whole answer within {shown or seconds:.3g} s", retryable=True))
        parts.append(chunk)
    return b"".join(parts).decode("utf-8", errors="replace")


def decode_object(body: str) -> dict[str, Any]:
    """The JSON object of a response body; anything else is a retryable fault."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise AttemptFailed(Fault("the server's response is not a JSON object", retryable=True))
    return data


def whole(value: object) -> int:
    """A token count that a server reported, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def with_retries(
    attempt: Callable[[float], Reply],
    settings: LLMSettings,
    secret: Secret,
    sleep: Callable[[float], None],
    who: str,
    deadline: float | None = None,
) -> Reply:
    """Run `attempt`, repeated after retryable faults: exponential waits with seeded jitter, or what the server asks
    for.

    Args:
        attempt: one request within the seconds that it is given. deadline: on the monotonic clock; nothing is
            started or waited for beyond it.

    Raises:
        RequestRefused: a status that another request might not get. OutOfTime: the deadline.
        ProposerError: anything else; short, without the key, and with no SDK exception behind it (that would hold
            the request).
    """
    rng = random.Random(f"{who} {settings.seed}")  # noqa: S311  (jitter, not cryptography)
    for n in range(settings.max_retries + 1):
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left <= 0.0:
            raise OutOfTime(f"{who}: the run's time is used up")
        fault, reply = _outcome(lambda: attempt(min(settings.timeout_s, left)), secret)  # noqa: B023  (called at once)
        if reply is not None:
            return Reply(secret.redact(reply.text), reply.finish, reply.prompt_tokens, reply.completion_tokens, n + 1)
        wait = min(settings.max_backoff_s, settings.backoff_s * 2.0**n) * (0.5 + rng.random() / 2.0)
        if fault.wait is not None:
            wait = max(wait, fault.wait)
        if fault.retryable and deadline is not None and time.monotonic() + wait >= deadline:
            raise OutOfTime(f"{who}: the run's time is used up; last: {fault.message}")
        too_long = fault.retryable and wait > settings.max_backoff_s
        if not fault.retryable or too_long or n == settings.max_retries:
            attempts = f" (after {n + 1} attempts)" if n else ""
            asked = f"; it asks to wait {wait:.0f} s, longer than llm.max_backoff_s" if too_long else ""
            message = f"{who}: {fault.message}{attempts}{asked}"
            if _refuses(fault):
                raise RequestRefused(message, fault.status)
            raise ProposerError(message)
        sleep(wait)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _refuses(fault: Fault) -> bool:
    """Whether the status says that the server will not take this request, rather than that it could not answer just
    now."""
    said = fault.message.casefold()
    named = fault.status == _SERVER_ERROR and any(word in said for word in _CONSTRAINT_WORDS)
    return named or fault.status in REFUSED_STATUS


def _outcome(attempt: Callable[[], Reply], secret: Secret) -> tuple[Fault, Reply | None]:
    # Returned rather than raised, so that no error has the SDK's exception as its context.
    try:
        return Fault(""), attempt()
    except AttemptFailed as failed:
        return dataclasses.replace(failed.fault, message=secret.redact(failed.fault.message)), None


def transport_errors() -> tuple[type[Exception], ...]:
    """The exceptions that reading a response may raise past the SDK, of whichever HTTP library it uses."""
    import importlib

    errors: list[type[Exception]] = [OSError]
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            errors += [module.HTTPError, module.StreamError, module.InvalidURL]
    return tuple(errors)


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
