"""One model behind its log: what was asked before is answered from the log, what is new is sent, recorded, then used.

An exchange is found by all that decides the answer: messages, model, sampling settings, and the server (provider and
address), so that no server answers for another. It knows nothing of proposals.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.llm.chat import Constraint, Reply, RequestRefused
from fama_fast.llm.constraint import probe, probe_request
from fama_fast.llm.exchange_log import Exchange, request_record
from fama_fast.llm.prompt import Message, prompt_hash
from fama_fast.llm.sdk_client import SDKClient
from fama_fast.llm.tokens import tokens_of
from fama_fast.proposals.protocol import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.llm.chat import ChatClient, ConstraintName
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.proposals.protocol import Allowance

_REFUSED = "refused "
_HELLO = (Message("user", "Say hello in one word."),)


class Log(Protocol):
    """Where exchanges are found and recorded; see `ExchangeLog`."""

    def find(self, prompt_hash: str) -> Exchange | None:
        """The recorded exchange of a prompt, or None."""

    def append(self, exchange: Exchange) -> None:
        """Record an exchange."""


class RecordedModel:
    """A model that is asked each prompt once; see the module docstring."""

    def __init__(
        self, settings: LLMSettings, client: ChatClient, log: Log | None, *, server: Mapping[str, Any] | None = None
    ) -> None:
        """`server` is part of the identity of an exchange: `settings.server`, or None for that of logs which did not
        record it."""
        self.settings, self.server = settings, server
        self._client, self._log = client, log

    def ask(
        self,
        messages: Sequence[Message],
        constraint: Constraint,
        sampling: Mapping[str, Any],
        allowance: Allowance,
        draw: int = 0,
    ) -> tuple[str, Reply]:
        """Prompt hash and reply. A reply of the log has `requests` 0.

        Raises:
            RequestRefused, OutOfTime, Halted, ProposerError: as `ChatClient.complete`, and where the log cannot be
            written.
        """
        key = self._key(messages, sampling)
        reply = self._recorded(key)
        if reply is None:
            reply = self._client.complete(
                messages, constraint, deadline=allowance.deadline, draw=draw, stopped=allowance.stopped
            )
            self._record(key, reply, messages, sampling)
        return key, reply

    def check(self, stopped: Callable[[], bool] | None = None) -> Usage:
        """Send the model a greeting under the settings of the run, unless it had one under these and with this key.

        Raises:
            ProposerError: the key, model, address or a setting is wrong, or the server fails; it says which.
        """
        settings = self.settings
        mark = self._client.key_mark if isinstance(self._client, SDKClient) else ""
        sampling = {**settings.sampling(), "check": mark}
        key = self._key(_HELLO, sampling)
        reply = self._recorded(key)
        if reply is None:
            reply = self._client.complete(_HELLO, None, stopped=stopped)
            self._record(key, reply, _HELLO, sampling)
        return self.usage(reply, _HELLO)

    def probe(self, allowance: Allowance, after: ConstraintName | None = None) -> tuple[ConstraintName, str, Usage]:
        """The strongest constraint that the server enforces (weaker than `after`), a sentence about it, and what
        finding out cost.

        Raises:
            ProposerError: the server cannot be reached, refuses the key or keeps failing.
        """
        spent: list[Usage] = []

        def ask(name: ConstraintName) -> Reply:
            messages, constraint, limit = probe_request(name)
            sampling = {"probe": name}
            key = self._key(messages, sampling)
            reply = self._recorded(key)
            if reply is None:
                try:
                    reply = self._client.complete(
                        messages,
                        constraint,
                        deadline=allowance.deadline,
                        max_tokens=limit,
                        stopped=allowance.stopped,
                    )
                except RequestRefused as error:
                    reply = Reply(str(error), f"{_REFUSED}{error.status}")
                self._record(key, reply, messages, sampling)
            spent.append(self._price(reply, reply.prompt_tokens, reply.completion_tokens))
            if reply.finish.startswith(_REFUSED):
                raise RequestRefused(reply.text, int(reply.finish.removeprefix(_REFUSED)))
            return reply

        name, sentence = probe(self.settings, ask, after)
        return name, sentence, sum(spent, Usage())

    def usage(self, reply: Reply, messages: Sequence[Message], note: Callable[[str], None] = lambda _: None) -> Usage:
        """Cost of an answer; estimated, and said to `note`, where the server does not report it."""
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if not prompt and not completion:
            note(f"llm {self.settings.model}: no token counts reported; estimated from the text's length")
            prompt = sum(tokens_of(m.content) for m in messages)
            completion = tokens_of(reply.text)
        return self._price(reply, prompt, completion)

    def _price(self, reply: Reply, prompt: int, completion: int) -> Usage:
        cost = self.settings.cost(prompt, completion, reply.cached_tokens, reply.written_tokens)
        usage = Usage(reply.requests, prompt, completion, cost)
        return (
            usage if reply.requests else dataclasses.replace(usage, logged_tokens=prompt + completion, logged_cost=cost)
        )

    def _key(self, messages: Sequence[Message], sampling: Mapping[str, Any]) -> str:
        return prompt_hash(messages, self.settings.model or "", sampling, self.server)

    def _recorded(self, key: str) -> Reply | None:
        exchange = self._log.find(key) if self._log is not None else None
        return None if exchange is None else exchange.reply()

    def _record(self, key: str, reply: Reply, messages: Sequence[Message], sampling: Mapping[str, Any]) -> None:
        if self._log is not None:
            request = request_record(messages, self.settings.model or "", sampling, self.server)
            self._log.append(Exchange.of(key, reply, request))
