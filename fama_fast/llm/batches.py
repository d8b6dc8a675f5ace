"""Prompts that are sent together: the server works them off within a day, at a lower price.

A batch is written down in a journal when the server has named it (`batch_journal`), and asked about until it is over.
A run that is killed while it waits finds it again. A run that is asked to stop, or whose time is over, cancels it: what
was answered until then is read when the run goes on. It knows no SDK; each vendor has a `BatchServer`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fama_fast.errors import ProposerError
from fama_fast.llm.chat import Halted, OutOfTime, Reply, RequestRefused
from fama_fast.llm.faults import REFUSED_STATUS, Fault, pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fama_fast.llm.batch_journal import BatchJournal, SentBatch
    from fama_fast.llm.settings import LLMSettings
    from fama_fast.proposals.protocol import Allowance

_GONE = frozenset({404, 410})


@dataclass(frozen=True)
class BatchState:
    """How far a batch is. `over`: nothing comes any more. `fault`: why the server took none of it, or empty."""

    over: bool
    fault: str = ""


class BatchServer(Protocol):
    """A vendor's batch interface. All methods raise ProposerError where the server fails or refuses."""

    def send(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Hand in requests by prompt hash; returns the name of the batch."""

    def state(self, name: str) -> BatchState:
        """How far it is."""

    def answers(self, name: str) -> Iterable[tuple[str, Reply | Fault]]:
        """Prompt hash and reply of each request of a batch that is over, or why it has none; those that were cancelled
        or had no more time may be missing."""

    def cancel(self, name: str) -> None:
        """Ask the server to go on with it no more."""


class Batches:
    """The batches of one model."""

    def __init__(
        self,
        settings: LLMSettings,
        server: BatchServer,
        journal: BatchJournal,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self._server, self._journal = settings, server, journal
        self._sleep, self._clock = sleep, clock
        self._who = f"llm {settings.model}"

    def answers(
        self, bodies: Mapping[str, dict[str, Any]], allowance: Allowance, taken: Callable[[str, Reply], None]
    ) -> dict[str, ProposerError]:
        """Have requests answered; returns why those were not that have no answer, by prompt hash.

        What an earlier batch holds is read from there; the rest is one batch, and what of it the server could not do
        for reasons of its own is one batch more.

        Args:
            bodies: requests by prompt hash. allowance: a stop, or the end of its time, cancels the batch.
            taken: is given every answer as it is read.
        """
        left = dict(bodies)
        faults: dict[str, Fault] = {}

        def read(batch: SentBatch) -> None:
            if allowance.say is not None:
                allowance.say(f"{self._who}: waiting for the batch {batch.name} of {len(batch.prompts)} prompts")
            self._wait(batch, allowance)
            for key, found in self._server.answers(batch.name):
                if key not in left:
                    continue
                if isinstance(found, Fault):
                    faults[key] = found
                else:
                    taken(key, found)
                    del left[key]
                    faults.pop(key, None)
            self._journal.read(batch.name)

        try:
            for batch in self._journal.open_with(left):
                try:
                    read(batch)
                except RequestRefused as error:
                    if error.status not in _GONE:
                        raise
                    self._journal.read(batch.name)  # the server has it no more
            for _ in range(2):
                again = {key: body for key, body in left.items() if key not in faults or faults[key].retryable}
                if not again:
                    break
                self._stop_if_asked(allowance, None)
                faults = {key: fault for key, fault in faults.items() if key not in again}
                read(self._journal.sent(self._sent(again), list(again)))
        except ProposerError as error:
            return dict.fromkeys(left, error)
        none = Fault("the batch ended without an answer to this prompt", retryable=True)
        return {key: self._error(faults.get(key, none)) for key in left}

    def _sent(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """The name of a new batch."""
        try:
            return self._server.send(bodies)
        except RequestRefused as error:
            hint = "llm.batch: true needs a server with a batch interface"
            raise ProposerError(f"{error}; {hint}") from None

    def _wait(self, batch: SentBatch, allowance: Allowance) -> None:
        """Until a batch is over.

        Raises:
            Halted, OutOfTime: it was not, and is cancelled. ProposerError: the server took none of it.
        """
        while True:
            self._stop_if_asked(allowance, batch)
            state = self._server.state(batch.name)
            if state.fault:
                self._journal.read(batch.name)
                raise ProposerError(f"{self._who}: the server did not take the batch {batch.name}: {state.fault}")
            if state.over:
                return
            wait = self.settings.batch_poll_s
            if allowance.deadline is not None:
                wait = min(wait, max(0.0, allowance.deadline - self._clock()))
            pause(wait, self._sleep, allowance.stopped)

    def _stop_if_asked(self, allowance: Allowance, batch: SentBatch | None) -> None:
        late = allowance.deadline is not None and self._clock() >= allowance.deadline
        if not (allowance.is_stopped or late):
            return
        said = ""
        if batch is not None:
            try:
                self._server.cancel(batch.name)
                said = f"; the batch {batch.name} is cancelled, and what it holds is read when the run goes on"
            except ProposerError as error:  # it may be over, or the server down: it is in the journal
                said = f"; the batch {batch.name} could not be cancelled ({error})"
        if allowance.is_stopped:
            raise Halted(f"{self._who}: the run was asked to stop{said}")
        raise OutOfTime(f"{self._who}: the run's time is used up{said}")

    def _error(self, fault: Fault) -> ProposerError:
        message = f"{self._who}: {fault.message}"
        return RequestRefused(message, fault.status) if fault.status in REFUSED_STATUS else ProposerError(message)
