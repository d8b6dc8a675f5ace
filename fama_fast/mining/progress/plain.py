"""Reports of a running search as plain lines or in a log file, and the protocol that every report implements.

The loop calls a `Progress`; nothing here decides anything. `progress_live` draws on a terminal, `progress_json`
writes for machines, `tracking` for MLflow.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from fama_fast.atomic import ensure_writable
from fama_fast.mining.progress.eta import clock_text
from fama_fast.terminal import message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class RunStart:
    """Facts of a run that is about to search.

    Attributes:
        run, ledger: its id, and the ledger that keeps it, without a password.
        done: rounds that were committed before; 0 unless it is resumed.
        rounds, wanted: rounds and new factors at most.
        data: source, hash, dates, symbols and more, see `bookkeeping.describe`. settings: see `config_file.document`.
    """

    run: str
    ledger: str
    version: str
    proposer: str
    seed: int
    rounds: int
    wanted: int
    done: int
    data: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class RoundReport:
    """The state after a round.

    Attributes:
        number, of: this round and how many there may be. proposed, admitted: in this round.
        funnel: candidates stopped so far, by gate, in the gates' order. new_factors: found so far.
        best_train: best oriented training RankIC among new factors; None before there is one.
        pool_valid: validation RankIC of the wide pool by what is known of its formulas, or without short lists of the
            pool of new factors; None before there is one.
        exemplar_correlation: mean |correlation| inside the exemplar set; None with fewer than two.
        library_correlation: the same over the whole library, for comparison.
        seconds: of this round, wall clock. rate: candidates a second, of this round.
        candidates, tokens, cost: of the whole run so far; tokens and cost of the answers that were used.
        logged_tokens, logged_cost: of these, what came from the log of exchanges and was not paid for again.
        elapsed: seconds of search in this process. left: seconds that the search may still take, see `eta`.
    """

    number: int
    of: int
    proposed: int
    admitted: int
    new_factors: int
    wanted: int
    funnel: dict[str, int] = field(default_factory=dict)
    best_train: float | None = None
    pool_valid: float | None = None
    seconds: float = 0.0
    rate: float = 0.0
    exemplar_correlation: float | None = None
    library_correlation: float | None = None
    candidates: int = 0
    tokens: int = 0
    cost: float = 0.0
    logged_tokens: int = 0
    logged_cost: float = 0.0
    elapsed: float = 0.0
    left: float | None = None

    def line(self) -> str:
        """One plain line."""
        best = "-" if self.best_train is None else f"{self.best_train:.4f}"
        pool = "-" if self.pool_valid is None else f"{self.pool_valid:+.4f}"
        stopped = stopped_by_gate(self.funnel, ", ")
        alike = ""
        if self.exemplar_correlation is not None and self.library_correlation is not None:
            alike = (
                f"exemplars' mean |correlation| {self.exemplar_correlation:.2f} "
                f"(library {self.library_correlation:.2f}), "
            )
        return (
            f"round {self.number}/{self.of}: {self.proposed} proposed, {self.admitted} admitted, "
            f"{self.new_factors} new ({self.wanted} wanted), best training RankIC {best}, "
            f"pool on validation {pool}, {alike}{self.rate:.0f} candidates/s{self._spent()}{self._left()}; "
            f"stopped so far: {stopped or 'none'}"
        )

    def _spent(self) -> str:
        return f", {spent_text(self)}" if self.tokens or self.cost else ""

    def _left(self) -> str:
        return "" if self.left is None else f", at most {clock_text(self.left)} left"


class Progress(Protocol):
    """The protocol through which the loop reports its progress."""

    def note(self, text: str) -> None:
        """A message before or between rounds: the data source first of all."""

    def phase(self, text: str) -> None:
        """The name of the step that begins now."""

    def run_started(self, start: RunStart) -> None:
        """The run is in the ledger; its rounds follow."""

    def round_done(self, report: RoundReport) -> None:
        """A round is committed."""

    def run_ended(self, document: Mapping[str, Any]) -> None:
        """The run has this result document; its verdict says whether it was interrupted and can go on."""

    def close(self) -> None:
        """Nothing more will come, whether the run ended or failed."""


class NoProgress:
    """Reports nothing; a base for those who report only some events."""

    def note(self, text: str) -> None:
        pass

    def phase(self, text: str) -> None:
        pass

    def run_started(self, start: RunStart) -> None:
        pass

    def round_done(self, report: RoundReport) -> None:
        pass

    def run_ended(self, document: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class PlainProgress(NoProgress):
    """Prints a line a note and, unless `rounds` is off, exactly a line a round."""

    def __init__(self, stream: TextIO | None = None, *, rounds: bool = True) -> None:
        self._stream = stream
        self._rounds = rounds

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)

    def note(self, text: str) -> None:
        self._print(message(text))  # notes may quote a model's words or a file's

    def round_done(self, report: RoundReport) -> None:
        if self._rounds:
            self._print(report.line())


class PassedOn(NoProgress):
    """Passes every event on to another progress; a base for those who also use some of them."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown

    def note(self, text: str) -> None:
        self.shown.note(text)

    def phase(self, text: str) -> None:
        self.shown.phase(text)

    def run_started(self, start: RunStart) -> None:
        self.shown.run_started(start)

    def round_done(self, report: RoundReport) -> None:
        self.shown.round_done(report)

    def run_ended(self, document: Mapping[str, Any]) -> None:
        self.shown.run_ended(document)

    def close(self) -> None:
        self.shown.close()


class LoggedProgress(PassedOn):
    """Writes notes and rounds to a log file beside another progress: phases at DEBUG, the rest at INFO.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, shown: Progress, path: str | Path, level: str) -> None:
        super().__init__(shown)
        file = ensure_writable(path)
        self._handler = logging.FileHandler(file, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._log = logging.Logger("fama_fast.mining", level)
        self._log.addHandler(self._handler)

    def note(self, text: str) -> None:
        self._log.info("%s", message(text))
        super().note(text)

    def phase(self, text: str) -> None:
        self._log.debug("%s", message(text))
        super().phase(text)

    def round_done(self, report: RoundReport) -> None:
        self._log.info("%s", report.line())
        super().round_done(report)

    def close(self) -> None:
        super().close()
        self._log.removeHandler(self._handler)
        self._handler.close()


def stopped_by_gate(funnel: Mapping[str, int], between: str) -> str:
    """Gates that stopped candidates, with how many."""
    return between.join(f"{gate} {n}" for gate, n in funnel.items() if n and gate != "admitted")


def spent_text(report: RoundReport) -> str:
    """Tokens that were paid for, with their cost where the model has a price, and apart those from the log."""
    paid, cost = report.tokens - report.logged_tokens, report.cost - report.logged_cost
    if not report.logged_tokens:
        return _tokens(paid, cost)
    said = _tokens(paid, cost) if paid else "no tokens paid for"
    return f"{said}, from the log of exchanges {_tokens(report.logged_tokens, report.logged_cost)}"


def _tokens(tokens: int, cost: float) -> str:
    return f"{tokens:,} tokens" + (f" for {cost:.4f}" if cost else "")
