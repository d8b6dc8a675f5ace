"""Proposals from a language model: ask, parse, compile, send the errors back.

What the model does not give is missing from the batch and named in `dropped`; nothing is made up in its
place. This module knows no SDK (clients do) and decides about expressions only whether the language and the
data have them.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError, FamaError
from fama_fast.mining.answers import CUT, Answer, parse_answer
from fama_fast.mining.prompt import load_templates, prompt_hash, render_prompt, render_repair
from fama_fast.mining.proposers.check import checked
from fama_fast.mining.proposers.client import Reply, load_key
from fama_fast.mining.proposers.exchange_log import Exchange, request_record
from fama_fast.mining.protocol import Capabilities, Proposal, ProposalBatch, Rejection, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fama_fast.mining.prompt import Message
    from fama_fast.mining.proposers.client import ChatClient
    from fama_fast.mining.proposers.exchange_log import ExchangeLog
    from fama_fast.mining.proposers.settings import LLMSettings
    from fama_fast.mining.protocol import ProposalRequest
    from fama_fast.mining.templates import Templates

_TOO_LONG = "the answer was cut off at the token limit: answer more briefly"


def make_client(
    settings: LLMSettings, *, sleep: Callable[[float], None] = time.sleep, directory: Path | None = None
) -> ChatClient:
    """The client of `settings.provider`, with the key from the environment or `.env` in `directory` (default:
    here).

    Raises:
        ConfigError: no model, no key (it names the variable to set), or an SDK that is not installed.
    """
    if settings.model is None:
        raise ConfigError("llm.model is not set: name the model that the llm proposer shall ask")
    secret = load_key(settings, directory=directory)
    if settings.provider == "anthropic":
        from fama_fast.mining.proposers.anthropic_client import AnthropicClient

        return AnthropicClient(settings, secret, sleep=sleep)
    from fama_fast.mining.proposers.openai_client import OpenAIClient

    return OpenAIClient(settings, secret, sleep=sleep)


class _Tally:
    """Usage of one batch."""

    def __init__(self) -> None:
        self.requests = self.prompt = self.completion = 0

    def add(self, reply: Reply) -> None:
        self.requests += reply.requests
        self.prompt += reply.prompt_tokens
        self.completion += reply.completion_tokens

    def usage(self) -> Usage:
        return Usage(self.requests, self.prompt, self.completion)


class LLMProposer:
    """Asks a language model; see the module docstring."""

    name = "llm"
    capabilities = Capabilities(deterministic=False, uses_prompt=True, costs_money=True)

    def __init__(
        self,
        settings: LLMSettings,
        client: ChatClient,
        *,
        templates: Templates | None = None,
        log: ExchangeLog | None = None,
    ) -> None:
        """`client` answers what `log` does not hold already; see `make_client`."""
        self.settings = settings
        self._client = client
        self._templates = templates or load_templates(None, settings.instructions_path)
        self._log = log

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Up to `request.count` proposals that compile against `request.vocabulary`, in at most `max_tries`
        prompts.

        Raises:
            ProposerError: the server cannot be reached, refuses, or keeps failing.
        """
        messages: Sequence[Message] = render_prompt(request, self._templates)
        good: list[Proposal] = []
        texts: set[str] = set()
        dropped: list[Rejection] = []
        tally = _Tally()
        wanted = request.count
        for tries_left in reversed(range(self.settings.max_tries)):
            key, reply = self._exchange(messages, request, tally)
            answer = parse_answer(reply.text, wanted, is_expression=lambda t: self._is_expression(t, request))
            failures, notes = self._sort(answer, reply, request, key, good, texts)
            dropped += notes
            wanted = min(len(failures), request.count - len(good)) if good else request.count
            if not failures or wanted <= 0 or not tries_left:
                dropped += failures
                break
            messages = render_repair(request, self._templates, reply.text, failures, wanted)
        return ProposalBatch(tuple(good), tuple(dropped), tally.usage())

    @staticmethod
    def _is_expression(text: str, request: ProposalRequest) -> bool:
        try:
            checked(text, request.vocabulary)
        except FamaError:
            return False
        return True

    @staticmethod
    def _sort(
        answer: Answer,
        reply: Reply,
        request: ProposalRequest,
        key: str,
        good: list[Proposal],
        texts: set[str],
    ) -> tuple[list[Rejection], list[Rejection]]:
        """Add the sound proposals to `good`; what the model can mend, and what is only to be noted."""
        failures: list[Rejection] = []
        notes: list[Rejection] = []
        parents = tuple(dict.fromkeys(f.fingerprint for f in (*request.exemplars, *request.chain)))
        before = len(good)
        for proposal in answer.proposals:
            try:
                canonical = checked(proposal.expression, request.vocabulary)
            except FamaError as error:
                failures.append(Rejection(proposal.expression, str(error)))
                continue
            if canonical in texts:
                notes.append(Rejection(proposal.expression, "proposed twice for the same request"))
            else:
                texts.add(canonical)
                good.append(dataclasses.replace(proposal, parents=parents, origin="llm", prompt_hash=key))
        if len(good) == before and not failures:
            # Nothing at all came of this answer: say why, so that the next one differs.
            failures = [Rejection(r.expression, r.reason) for r in answer.dropped]
            if reply.truncated or answer.truncated:
                failures.append(Rejection("", _TOO_LONG))
            if not failures and notes:
                failures, notes = notes, []
        else:
            notes = [*answer.dropped, *notes]
            if reply.truncated and all(r.reason != CUT for r in notes):
                notes.append(Rejection("", _TOO_LONG))
        return failures, notes

    def _identity(self, messages: Sequence[Message], request: ProposalRequest) -> tuple[str, str, dict[str, Any]]:
        """Prompt hash, model and sampling settings of a prompt."""
        # The draw is part of the identity: a later round may show the same prompt and wants another answer.
        sampling = {**self.settings.sampling(), "draw": [request.seed, request.round]}
        model = self.settings.model or ""
        return prompt_hash(messages, model, sampling), model, sampling

    def _exchange(self, messages: Sequence[Message], request: ProposalRequest, tally: _Tally) -> tuple[str, Reply]:
        """One answer: from the log when this prompt was sent before, else from the model, recorded before
        use.
        """
        key, model, sampling = self._identity(messages, request)
        found = self._log.find(key) if self._log is not None else None
        if found is not None:
            return key, Reply(found.text, found.finish, requests=0)
        reply = self._client.complete(messages)
        tally.add(reply)
        if self._log is not None:
            record = request_record(messages, model, sampling)
            self._log.append(
                Exchange(key, reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens, record)
            )
        return key, reply
