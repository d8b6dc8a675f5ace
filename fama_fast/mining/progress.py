"""What a run tells while it goes: a live display on a terminal, plain lines elsewhere, nothing when asked.

The loop calls a `Progress`; nothing here decides anything. Rich is imported when it draws.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from fama_fast.atomic import ensure_writable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class RoundReport:
    """The state after a round.

    Attributes:
        number, of: this round and how many there may be. proposed, admitted: in this round.
        funnel: candidates stopped so far, by gate, in the gates' order. new_factors: found so far.
        best_train: best oriented training RankIC among new factors; None before there is one.
        pool_valid: validation RankIC of the pool; None before there is one.
        exemplar_correlation: mean |correlation| inside the exemplar set; None with fewer than two.
        library_correlation: the same over the whole library, for comparison.
        seconds: of this round, wall clock. rate: candidates a second, of this round.
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

    def line(self) -> str:
        """One plain line."""
        best = "-" if self.best_train is None else f"{self.best_train:.4f}"
        pool = "-" if self.pool_valid is None else f"{self.pool_valid:+.4f}"
        stopped = _stopped(self.funnel, ", ")
        alike = ""
        if self.exemplar_correlation is not None and self.library_correlation is not None:
            alike = (
                f"exemplars' mean |correlation| {self.exemplar_correlation:.2f} "
                f"(library {self.library_correlation:.2f}), "
            )
        return (
            f"round {self.number}/{self.of}: {self.proposed} proposed, {self.admitted} admitted, "
            f"{self.new_factors} new of {self.wanted} wanted, best training RankIC {best}, "
            f"pool on validation {pool}, {alike}{self.rate:.0f} candidates/s; stopped so far: {stopped or 'none'}"
        )


class Progress(Protocol):
    """Where the loop reports to."""

    def note(self, text: str) -> None:
        """Something to say before or between rounds: the data source first of all."""

    def phase(self, text: str) -> None:
        """What is being done now."""

    def round_done(self, report: RoundReport) -> None:
        """A round is committed."""

    def close(self) -> None:
        """Nothing more will come."""


class NoProgress:
    """Says nothing."""

    def note(self, text: str) -> None:
        pass

    def phase(self, text: str) -> None:
        pass

    def round_done(self, report: RoundReport) -> None:
        pass

    def close(self) -> None:
        pass


class PlainProgress:
    """A line a note and, unless `rounds` is off, a line a round."""

    def __init__(self, stream: TextIO | None = None, *, rounds: bool = True) -> None:
        self._stream = stream
        self._rounds = rounds

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)

    def note(self, text: str) -> None:
        self._print(text)

    def phase(self, text: str) -> None:
        pass

    def round_done(self, report: RoundReport) -> None:
        if self._rounds:
            self._print(report.line())

    def close(self) -> None:
        pass


class LoggedProgress:
    """Another progress, whose notes and rounds also go to a log file: phases at DEBUG, the rest at INFO.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, shown: Progress, path: str | Path, level: str) -> None:
        file = ensure_writable(path)
        self._shown = shown
        self._handler = logging.FileHandler(file, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._log = logging.Logger("fama_fast.mining", level)
        self._log.addHandler(self._handler)

    def note(self, text: str) -> None:
        self._log.info("%s", text)
        self._shown.note(text)

    def phase(self, text: str) -> None:
        self._log.debug("%s", text)
        self._shown.phase(text)

    def round_done(self, report: RoundReport) -> None:
        self._log.info("%s", report.line())
        self._shown.round_done(report)

    def close(self) -> None:
        self._shown.close()
        self._log.removeHandler(self._handler)
        self._handler.close()


class RichProgress:
    """A live panel of rounds and the funnel; notes scroll above it."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console()
        self._live = Live(console=self._console, refresh_per_second=8, transient=False)
        self._phase = ""
        self._reports: list[RoundReport] = []
        self._started = False

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text))

    def phase(self, text: str) -> None:
        self._phase = text
        self._show()

    def round_done(self, report: RoundReport) -> None:
        self._reports.append(report)
        self._phase = ""
        self._show()

    def close(self) -> None:
        self._phase = ""
        if self._started:
            self._show()
            self._live.stop()
            self._started = False

    def _show(self) -> None:
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(self._drawing(), refresh=True)

    def _drawing(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        parts: list[Any] = []
        if self._reports:
            parts += [_rounds_table(self._reports[-12:]), Text(_funnel_line(self._reports[-1]), style="dim")]
        if self._phase:
            parts.append(Spinner("dots", text=self._phase))
        return Group(*parts)


def _rounds_table(reports: Sequence[RoundReport]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("round", "proposed", "admitted", "new", "best train", "pool valid", "exemplars |ρ|", "cand/s"):
        table.add_column(name, justify="right")
    for r in reports:
        table.add_row(
            f"{r.number}/{r.of}",
            str(r.proposed),
            str(r.admitted),
            f"{r.new_factors}/{r.wanted}",
            "-" if r.best_train is None else f"{r.best_train:.4f}",
            "-" if r.pool_valid is None else f"{r.pool_valid:+.4f}",
            "-" if r.exemplar_correlation is None else f"{r.exemplar_correlation:.2f}",
            f"{r.rate:.0f}",
        )
    return table


def _funnel_line(report: RoundReport) -> str:
    stopped = _stopped(report.funnel, "  ")
    return f"stopped: {stopped}" if stopped else "stopped: none"


def _stopped(funnel: dict[str, int], between: str) -> str:
    return between.join(f"{gate} {n}" for gate, n in funnel.items() if n and gate != "admitted")
