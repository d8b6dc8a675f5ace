"""The proposer that asks a language model: prompt, parse, compile, send the errors back.

A request is cut into prompts of `per_prompt` proposals, `concurrency` of them under way at once. What is decided
(budgets, repeats, repairs) is decided between such waves and in the order of the prompts, so that equal answers give
equal batches whichever came first. What the model does not give is missing from the batch and named in `dropped`;
nothing is made up in its place. This module knows no SDK (clients do) and decides about expressions only whether the
language and the data have them.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError, FamaError, ProposerError
from fama_fast.llm.answers import CUT, Answer, parse_answer, printable
from fama_fast.llm.chat import FILTERED, REFUSAL, Constraint, ConstraintName, Halted, OutOfTime, Reply, RequestRefused
from fama_fast.llm.decoding import decoding_grammar
from fama_fast.llm.keys import load_key
from fama_fast.llm.prompt import load_templates, render_prompt, render_repair
from fama_fast.llm.recorded import Ask, RecordedModel
from fama_fast.mining.proposers.check import checked
from fama_fast.mining.proposers.dialogue import Dialogue, most_alphas, part_of, placed, without_rethought
from fama_fast.mining.proposers.tuning import tuned
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch, Rejection, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fama_fast.llm.chat import ChatClient
    from fama_fast.llm.decoding import DecodingGrammar
    from fama_fast.llm.prompt import Message
    from fama_fast.llm.recorded import Log
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.llm.templates import Templates
    from fama_fast.proposals.protocol import ProposalRequest, Vocabulary

_KNOWN = "it is in the library already, or was proposed before in this run: give another"
_HELD_BACK = {REFUSAL: "the model refused to answer", FILTERED: "the server's content filter held the answer back"}
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
        from fama_fast.llm.anthropic_client import AnthropicClient

        return AnthropicClient(settings, secret, sleep=sleep)
    from fama_fast.llm.openai_client import OpenAIClient

    return OpenAIClient(settings, secret, sleep=sleep)


@dataclass
class _Batch:
    """The proposals, rejections and cost of a request so far."""

    texts: set[str] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    notes: list[str] = field(default_factory=list)
    over: str | None = None  # the budget that is used up
    held_back: Counter[str] = field(default_factory=Counter)  # prompts that got no answer, by the reason


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
        log: Log | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        """`client` answers what `log` does not hold already; see `make_client`. `server` identifies whose answers those
        are: that of the settings where it is not given; empty, of no server that was recorded."""
        self.settings = settings
        self._model = RecordedModel(
            settings, client, log, server=(settings.server if server is None else server) or None
        )
        self._templates = templates or load_templates(None, settings.instructions_path)
        wanted = settings.wanted_constraint
        self._constraint: ConstraintName | None = None if wanted == "auto" else wanted  # type: ignore[assignment]
        self._said: set[str] = set()
        self._owed = Usage()  # for answers of a batch that never came about

    def check_server(self, stopped: Callable[[], bool] | None = None) -> None:
        """Find out whether the server answers with this key, model, address and these settings.

        Raises:
            ProposerError: it does not; which of them to look at.
        """
        self._owed += self._model.check(stopped)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Up to `request.count` proposals that compile against `request.vocabulary`, in at most `max_tries`
        answers to each prompt.

        Raises:
            ProposerError: the server cannot be reached, refuses, or keeps failing. Answers that came are in the
                exchange log and are not paid for again.
        """
        batch = _Batch(usage=self._owed)
        self._owed = Usage()
        dialogues: list[Dialogue] = []
        variants = tuned(request, int(self.settings.tune * request.count))
        wanted = request.count - len(variants)
        sizes = sizes_of(wanted, self.settings.per_prompt)
        width = len(sizes) if self.settings.batch else self.settings.concurrency
        try:
            for first in range(0, len(sizes), width):
                reason = request.allowance.used_up(batch.usage)
                if reason:
                    batch.over = reason
                    break
                wave = []
                for i, size in enumerate(sizes[first : first + width], first):
                    part = part_of(request, i, size)
                    wave.append(Dialogue(i, part, self.first_messages(part), size))
                dialogues += wave
                self._converse(wave, batch)
                if batch.over:
                    break
        except (OutOfTime, Halted) as error:
            batch.over = str(error)
        except ProposerError:
            self._owed = batch.usage
            raise
        asked = sum(d.request.count for d in dialogues)
        if batch.over:
            batch.notes.append(f"{batch.over}: {asked} of {wanted} proposals were asked for")
        for why, times in batch.held_back.items():
            batch.notes.append(f"warning: llm {self.settings.model}: {why} ({times} of {len(dialogues)} prompts)")
        good = [p for d in dialogues for p in d.good]
        good += [p for p in variants if p.expression not in batch.texts]
        dropped = [r for d in dialogues for r in (*d.dropped, *d.failures)]
        whole = asked == wanted and not any(d.pending for d in dialogues)
        stopped = batch.over is not None and request.allowance.is_stopped and not whole
        rethought = tuple(h for d in dialogues for h in d.hypotheses)
        return ProposalBatch(tuple(good), tuple(dropped), batch.usage, tuple(batch.notes), stopped, rethought)

    def prompts(self, request: ProposalRequest) -> list[Sequence[Message]]:
        """The dialogues that a request begins with, as they are sent."""
        wanted = request.count - len(tuned(request, int(self.settings.tune * request.count)))
        sizes = sizes_of(wanted, self.settings.per_prompt)
        return [self.first_messages(part_of(request, i, size)) for i, size in enumerate(sizes)]

    def first_messages(self, request: ProposalRequest) -> Sequence[Message]:
        """The dialogue that a prompt begins with."""
        return render_prompt(request, self._templates, self.settings.operators, self.settings.system_tokens)

    def _converse(self, wave: list[Dialogue], batch: _Batch) -> None:
        """Run the prompts and repairs of one wave, all answers of a step before the next step."""
        for _ in range(self.settings.max_tries):
            pending = [d for d in wave if d.pending]
            if not pending:
                return
            for dialogue, (key, reply) in zip(pending, self._answers(pending, batch), strict=True):
                if reply is not None:
                    self._take(dialogue, key, reply, batch)
            batch.over = batch.over or wave[0].request.allowance.used_up(batch.usage)
            if batch.over:
                return

    def _take(self, dialogue: Dialogue, key: str, reply: Reply, batch: _Batch) -> None:
        """Sort the proposals of an answer, and prepare the repair prompt if some of them can be mended."""
        request, d = dialogue.request, dialogue
        d.tries += 1
        why = _HELD_BACK.get(reply.finish)
        answer = parse_answer(reply.text, most_alphas(d), is_expression=lambda t: self._is_expression(t, request))
        if why is not None and not answer.proposals:  # asked again it would only refuse again
            batch.held_back[why] += 1
            d.dropped.append(Rejection(printable(reply.text)[:200], why))
            d.pending = False
            return
        answer = without_rethought(answer, d)
        d.failures, notes = self._sort(answer, reply, request, key, d.good, batch.texts)
        d.dropped += notes
        d.wanted = min(len(d.failures), request.count - len(d.good)) if d.good else request.count
        d.pending = bool(d.failures) and d.wanted > 0 and d.tries < self.settings.max_tries
        if d.pending:
            s = self.settings
            shown = s.operators, s.system_tokens
            d.messages = render_repair(request, self._templates, reply.text, d.failures, d.wanted, *shown)

    @staticmethod
    def _is_expression(text: str, request: ProposalRequest) -> bool:
        try:
            checked(text, request.vocabulary, request.limits)
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
        """Add the sound proposals to `good`; returns those that the model can mend, and notes about the others."""
        failures: list[Rejection] = []
        notes: list[Rejection] = []
        repeats: list[Proposal] = []
        before = len(good)
        for proposal in answer.proposals:
            try:
                canonical = checked(proposal.expression, request.vocabulary, request.limits)
            except FamaError as error:
                failures.append(Rejection(proposal.expression, str(error)))
                continue
            if canonical in request.known:
                repeats.append(placed(proposal, request, key))
            elif canonical in texts:
                notes.append(Rejection(proposal.expression, "proposed twice for the same request"))
            else:
                texts.add(canonical)
                good.append(placed(proposal, request, key))
        if failures or len(good) == before:  # it is asked again in any case
            failures += [Rejection(p.expression, _KNOWN) for p in repeats]
        else:
            good += repeats  # for the gates to count
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

    # Exchanges

    def _answers(self, pending: list[Dialogue], batch: _Batch) -> list[tuple[str, Reply | None]]:
        """The answers to the pending dialogues in their order; None where the run's time ended first.

        Raises:
            ProposerError: of the first dialogue that failed, when all have ended.
        """
        while True:
            constraint = self._settled(batch, pending[0].request)
            if constraint in ("lark", "tool", "gbnf"):
                depth = self._grammar(pending[0].request.vocabulary, most_alphas(pending[0])).depth
                if depth < self.settings.grammar_depth:
                    self._note(batch, f"expressions are held to depth {depth}: deeper ones could be too long to answer")
            answers = self._ask_all(pending, constraint)
            errors = [f for f in answers if isinstance(f, ProposerError) and not isinstance(f, OutOfTime | Halted)]
            if not errors:
                break
            refused = next((e for e in errors if isinstance(e, RequestRefused)), None)
            if refused is None or constraint == "none" or self.settings.wanted_constraint != "auto":
                raise errors[0]
            # The probe's grammar was taken, this one was not: the next weaker constraint, and say so.
            self._note(batch, f"{refused}: the constraint {constraint} is given up")
            self._constraint = self._probe(batch, pending[0].request, after=constraint)
        out: list[tuple[str, Reply | None]] = []
        for dialogue, answer in zip(pending, answers, strict=True):
            if self.settings.batch and isinstance(answer, Halted | OutOfTime):
                self._note(batch, str(answer))  # it says what became of the batch
            if isinstance(answer, Halted):
                batch.over = "the run was asked to stop"
                out.append(("", None))
            elif isinstance(answer, ProposerError):
                batch.over = "the time budget (run.max_seconds) is used up"
                out.append(("", None))
            else:
                batch.usage += self._model.usage(answer[1], dialogue.messages, lambda text: self._note(batch, text))
                out.append(answer)
        return out

    def _ask_all(self, pending: list[Dialogue], constraint: ConstraintName) -> list[tuple[str, Reply] | ProposerError]:
        allowance = pending[0].request.allowance
        if self.settings.batch:
            return self._model.ask_together([self._ask_of(d, constraint) for d in pending], allowance)

        def one(dialogue: Dialogue) -> tuple[str, Reply] | ProposerError:
            try:
                return self._model.ask(self._ask_of(dialogue, constraint), allowance)
            except ProposerError as error:
                return error

        if len(pending) == 1 or self.settings.concurrency == 1:
            return [one(d) for d in pending]
        with ThreadPoolExecutor(min(len(pending), self.settings.concurrency), thread_name_prefix="llm") as pool:
            return list(pool.map(one, pending))

    def _sampling(self, dialogue: Dialogue, constraint: Constraint) -> dict[str, Any]:
        """What besides messages, model and server decides the answer to a prompt."""
        s, request = self.settings, dialogue.request
        # The draw is part of the identity: a later round may show the same prompt and wants another answer.
        sampling = {**s.sampling(), "draw": [request.seed, request.round, dialogue.index, dialogue.tries]}
        sampling["constraint"] = constraint.name
        if constraint.grammar is not None:
            sampling |= {
                "grammar": constraint.grammar.digest,
                "grammar_depth": s.grammar_depth,
                "operators": s.operators,
            }
        return sampling

    def _ask_of(self, dialogue: Dialogue, name: ConstraintName) -> Ask:
        """The next messages of a dialogue, as the model is asked."""
        request = dialogue.request
        grammar = None
        if name in ("lark", "tool", "gbnf"):
            grammar = self._grammar(request.vocabulary, most_alphas(dialogue))
        constraint = Constraint(name, grammar)
        draw = request.round * 1_000 + dialogue.index
        return Ask(dialogue.messages, constraint, self._sampling(dialogue, constraint), draw)

    def _grammar(self, vocabulary: Vocabulary, count: int) -> DecodingGrammar:
        s = self.settings
        operators = None if s.operators is None else tuple(s.operators)
        return decoding_grammar(vocabulary, count, s.grammar_depth, operators)

    def _note(self, batch: _Batch, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            batch.notes.append(text)

    # The constraint

    def _settled(self, batch: _Batch, request: ProposalRequest) -> ConstraintName:
        if self._constraint is None:
            self._constraint = self._probe(batch, request)
        return self._constraint

    def _probe(self, batch: _Batch, request: ProposalRequest, after: ConstraintName | None = None) -> ConstraintName:
        """Ask the server which constraints it enforces; an earlier answer is taken from the log."""
        name, sentence, usage = self._model.probe(request.allowance, after)
        batch.usage += usage
        self._note(batch, sentence)
        return name


def sizes_of(count: int, most: int) -> list[int]:
    """`count` split into the fewest parts of at most `most`, as even as possible."""
    parts = -(-count // most)
    return [count * (i + 1) // parts - count * i // parts for i in range(parts)]
