"""The part that the clients of both vendors share: one request through an SDK, streamed and bounded.

The OpenAI and the Anthropic SDK are made by one generator: their errors have the same names and their streams the same
methods. A client of either says what a request holds and how a response is read; deadlines, retries, faults
and the key's secrecy are here. The response is read as text: servers that call themselves compatible answer with HTML,
lists and nulls that the SDK's types do not know.
"""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from fama_fast.llm.chat import FILTERED, Reply
from fama_fast.llm.faults import (
    AttemptFailed,
    Fault,
    bounded,
    decode_object,
    filter_message,
    read_bounded,
    status_fault,
    transport_errors,
    with_retries,
)
from fama_fast.llm.pace import Pace
from fama_fast.llm.settings import FROM_ENV
from fama_fast.llm.tokens import tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from fama_fast.llm.batches import BatchServer
    from fama_fast.llm.chat import Constraint
    from fama_fast.llm.keys import Secret
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.settings import LLMSettings


def headers_of(settings: LLMSettings, secret: Secret) -> dict[str, str]:
    """The headers of the settings, the secret ones among them."""
    plain = {k: v for k, v in settings.headers.items() if not v.startswith(FROM_ENV)}
    return plain | secret.reveal_headers()


_NOT_DONE = frozenset({429, 503, 529})  # statuses of a server that did not begin


class SDKClient(abc.ABC):
    """Client of one model behind one vendor's SDK; implements `ChatClient`."""

    def __init__(
        self,
        settings: LLMSettings,
        secret: Secret,
        sdk: ModuleType | Any,
        client: Any,
        sleep: Callable[[float], None],
    ) -> None:
        """`client` is an SDK client with its own retries switched off."""
        self.settings = settings
        self._secret, self._sdk, self._client, self._sleep = secret, sdk, client, sleep
        self._broken = transport_errors()
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)

    @property
    def key_mark(self) -> str:
        """What tells this key from another one, and no more; see `Secret.mark`."""
        return self._secret.mark(f"{self.settings.server} {self.settings.model}")

    @abc.abstractmethod
    def body(self, messages: Sequence[Message], constraint: Constraint | None) -> dict[str, Any]:
        """The request as keyword arguments of the SDK."""

    def drawn(self, messages: Sequence[Message], constraint: Constraint | None, draw: int) -> dict[str, Any]:
        """`body`, with the seed of a draw where one is sent."""
        body = self.body(messages, constraint)
        if "seed" in body:
            body["seed"] += draw
        return body

    @abc.abstractmethod
    def stream(self, body: dict[str, Any]) -> Any:
        """The SDK's context manager of a streamed response."""

    @staticmethod
    @abc.abstractmethod
    def read(data: dict[str, Any]) -> Reply:
        """The reply in a response. Raises AttemptFailed when it holds none."""

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
        """One reply; see `ChatClient`."""
        body = self.drawn(messages, constraint, draw)
        if max_tokens is not None:
            body |= {k: max_tokens for k in ("max_tokens", "max_completion_tokens") if k in body}
        who = f"llm {self.settings.model}"
        size = sum(tokens_of(m.content) for m in messages)
        reply = with_retries(
            lambda seconds: self._attempt(body, seconds),
            self.settings,
            self._secret,
            self._sleep,
            who,
            deadline,
            stopped,
            lambda: self._pace.take(size),
        )
        self._pace.add(reply.completion_tokens or tokens_of(reply.text))
        return reply

    def fetch(self, stream: Callable[[Any, float], Any], *, once: bool = False) -> str:
        """The body of any other response of the server, with the retries and bounds of every request.

        Args:
            stream: of the SDK's client and the seconds that it has, the SDK's context manager of a streamed response.
            once: the server may have done what it was asked although no answer came, so that it is not asked again.

        Raises:
            RequestRefused, ProposerError: as `complete`.
        """

        def attempt(seconds: float) -> Reply:
            try:
                return self._within(lambda left: stream(self._client, left), Reply, seconds)
            except AttemptFailed as failed:
                if once and failed.fault.status not in _NOT_DONE:
                    raise AttemptFailed(dataclasses.replace(failed.fault, retryable=False)) from None
                raise

        return with_retries(attempt, self.settings, self._secret, self._sleep, f"llm {self.settings.model}").text

    @abc.abstractmethod
    def batches(self) -> BatchServer:
        """The batch interface of the server."""

    def _attempt(self, body: dict[str, Any], seconds: float) -> Reply:
        """One request within `seconds` in all, however slowly the server drips."""
        return self._within(
            lambda left: self.stream(body | {"timeout": left}), lambda text: self.read(decode_object(text)), seconds
        )

    def _within(self, stream: Callable[[float], Any], read: Callable[[str], Reply], seconds: float) -> Reply:
        return bounded(lambda: self._exchange(stream, read, time.monotonic() + seconds), seconds)

    def _exchange(self, stream: Callable[[float], Any], read: Callable[[str], Reply], end: float) -> Reply:
        seconds = max(0.001, end - time.monotonic())
        try:
            with stream(seconds) as response:
                text = read_bounded(response.iter_bytes(), max(0.0, end - time.monotonic()), shown=seconds)
                return read(self._secret.redact(text))
        except self._sdk.APITimeoutError:
            fault = Fault(f"no answer within {seconds:.3g} s", retryable=True)
        except self._sdk.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            key = " (llm.base_url)" if self.settings.base_url else ""
            where = f"the server at {self._client.base_url}{key}"
            fault = Fault(f"{where} cannot be reached ({cause})", retryable=True)
        except self._sdk.APIStatusError as error:
            said = self._secret.redact(error.response.text)
            filtered = filter_message(said)
            if filtered is not None:
                return Reply(filtered, FILTERED)
            fault = status_fault(error.status_code, error.response.headers, said, self._hints())
        except self._sdk.APIError as error:
            fault = Fault(f"the request failed ({type(error).__name__})")
        except self._broken as error:
            fault = Fault(f"the connection broke off ({type(error).__name__})", retryable=True)
        raise AttemptFailed(fault)

    def _hints(self) -> dict[int, str]:
        """What to look at after a status."""
        settings = self.settings
        key = f"check {settings.api_key_env}" if settings.api_key_env else ""
        where = f"check llm.model ({settings.model}) and llm.base_url ({settings.address})"
        return {401: key, 403: key, 404: where}
