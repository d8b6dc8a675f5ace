"""One model behind its log: what was asked before is answered from the log, what is new is sent, recorded, then used.

An exchange is found by all that decides the answer: messages, model, sampling settings, and the server (provider and
address), so that no server answers for another. It knows nothing of proposals.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.errors import ProposerError
from fama_fast.llm.batch_journal import FILE_NAME, BatchJournal
from fama_fast.llm.batches import Batches
from fama_fast.llm.chat import Constraint, Reply, RequestRefused
from fama_fast.llm.constraint import probe, probe_request
from fama_fast.llm.exchange_log import Exchange, ExchangeLog, request_record
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
_HELLO_TOKENS = 256  # of an answer to it, beside what a model was given to think with
_BAD_REQUEST = 400


@dataclass(frozen=True)
class Ask:
    """One prompt: the dialogue, what its answer is held to, what else decides it (`sampling`), and its draw."""

    messages: Sequence[Message]
    constraint: Constraint
    sampling: Mapping[str, Any]
    draw: int = 0


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
        self._batches: Batches | None = None

    def ask(self, ask: Ask, allowance: Allowance) -> tuple[str, Reply]:
        """Prompt hash and reply. A reply of the log has `requests` 0.

        Raises:
            RequestRefused, OutOfTime, Halted, ProposerError: as `ChatClient.complete`, and where the log cannot be
            written.
        """
        key = self._key(ask.messages, ask.sampling)
        reply = self._recorded(key)
        if reply is None:
            reply = self._client.complete(
                ask.messages, ask.constraint, deadline=allowance.deadline, draw=ask.draw, stopped=allowance.stopped
            )
            self._record(key, reply, ask.messages, ask.sampling)
        return key, reply

    def ask_together(self, asks: Sequence[Ask], allowance: Allowance) -> list[tuple[str, Reply] | ProposerError]:
        """Prompt hash and reply of each, or why there is none; what the log has not is one batch of the server.

        Raises:
            ProposerError: the log or the journal of batches cannot be read or written, or the client knows no batches.
        """
        keys = [self._key(a.messages, a.sampling) for a in asks]
        replies = {key: reply for key in keys if (reply := self._recorded(key)) is not None}
        new = {key: a for key, a in zip(keys, asks, strict=True) if key not in replies}
        failed: dict[str, ProposerError] = {}
        if new:
            client = self._sdk_client()
            bodies = {key: client.drawn(a.messages, a.constraint, a.draw) for key, a in new.items()}

            def taken(key: str, reply: Reply) -> None:
                self._record(key, reply, new[key].messages, new[key].sampling)
                replies[key] = reply

            if self._batches is None:
                self._batches = Batches(self.settings, client.batches(), self._journal())
            failed = self._batches.answers(bodies, allowance, taken)
        return [(key, replies[key]) if key in replies else failed[key] for key in keys]

    def _sdk_client(self) -> SDKClient:
        if not isinstance(self._client, SDKClient):
            raise ProposerError(f"llm {self.settings.model}: its client sends no batches: set llm.batch: false")
        return self._client

    def _journal(self) -> BatchJournal:
        path = self._log.path.with_name(FILE_NAME) if isinstance(self._log, ExchangeLog) else None
        return BatchJournal(path, self.server, self.settings.model or "")

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
            reply = self._greeted(stopped)
            self._record(key, reply, _HELLO, sampling)
        return self.usage(reply, _HELLO)

    def _greeted(self, stopped: Callable[[], bool] | None) -> Reply:
        """A few words are enough of an answer; where a server does not take so low a limit, as some do that reason,
        that of the run holds."""
        most = self.settings.max_tokens
        limit = min(most, _HELLO_TOKENS + (self.settings.thinking_tokens or 0))
        try:
            return self._client.complete(_HELLO, None, max_tokens=limit, stopped=stopped)
        except RequestRefused as error:
            if limit == most or error.status != _BAD_REQUEST or "token" not in str(error).casefold():
                raise
            return self._client.complete(_HELLO, None, max_tokens=most, stopped=stopped)

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
        cost = self.settings.cost(prompt, completion, reply.cached_tokens, reply.written_tokens, batched=reply.batched)
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
