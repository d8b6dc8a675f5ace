"""The live display of a run on a terminal: rounds, gates, scores, speed, remaining time, cost of models.

Drawn by Rich, which is imported when a display is made. Whatever ends the run, `close` gives the terminal back as it
was: cursor shown, last state left on the screen.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fama_fast.mining.progress.eta import clock_text
from fama_fast.mining.progress.plain import NoProgress, spent_text, stopped_by_gate
from fama_fast.terminal import message, printable, raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.progress.plain import RoundReport, RunStart

_ROUNDS_SHOWN = 12
_AROUND = 8  # lines of the display that are not rounds
_WIDE = 84  # characters that the table needs with the exemplars' correlation


def can_draw() -> bool:
    """Whether the terminal can move its cursor; one that cannot gets plain lines."""
    from rich.console import Console

    return not Console(file=raw(sys.stdout)).is_dumb_terminal


class RichProgress(NoProgress):
    """A live panel; notes scroll above it."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._console = console or Console(file=raw(sys.stdout))
        self._spinner = Spinner("dots")
        self._start: RunStart | None = None
        self._reports: list[RoundReport] = []
        self._phase = ""
        self._stopping = ""
        self._reported_at = 0.0
        self._started = False
        # Asked for at every refresh: the time goes on while a long phase says nothing.
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._drawing)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(message(text)))

    def phase(self, text: str) -> None:
        self._phase = text
        self._show()

    def run_started(self, start: RunStart) -> None:
        self._start = start

    def round_done(self, report: RoundReport) -> None:
        self._reports.append(report)
        self._reported_at = time.monotonic()
        self._phase = ""
        self._show()

    def stopping(self, text: str) -> None:
        """The run was asked to stop: shown at the next refresh. May be called from a signal handler."""
        self._stopping = text

    def close(self) -> None:
        self._phase = ""
        if self._started:
            self._started = False
            self._live.stop()

    def _show(self) -> None:
        if not self._started:
            self._started = True
            self._live.start()
        self._live.refresh()

    def _drawing(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        parts: list[Any] = []
        if self._reports:
            last = self._reports[-1]
            height = max(3, min(_ROUNDS_SHOWN, self._console.height - _AROUND))
            parts.append(_rounds_table(self._reports[-height:], exemplars=self._console.width >= _WIDE))
            parts.append(Text(f"stopped: {stopped_by_gate(last.funnel, '  ') or 'none'}", style="dim"))
            parts.append(Text(self._progress_text(last)))
        if self._stopping and self._started:
            parts.append(Text(printable(self._stopping), style="bold"))
        if self._phase:
            self._spinner.update(text=Text(printable(self._phase)))
            parts.append(self._spinner)
        return Group(*parts)

    def _progress_text(self, last: RoundReport) -> str:
        gone = time.monotonic() - self._reported_at if self._started else 0.0
        parts = [f"{last.candidates:,} candidates", f"{clock_text(last.elapsed + gone)} gone"]
        if last.left is not None and self._started:
            parts.append(f"at most {clock_text(max(0.0, last.left - gone))} left")
        if last.tokens or last.cost:
            parts.append(spent_text(last))
        return "  ".join(parts)


def _rounds_table(reports: Sequence[RoundReport], *, exemplars: bool) -> Any:
    from rich.table import Table

    names = ["round", "proposed", "admitted", "new", "best train", "pool valid", "cand/s"]
    if exemplars:
        names.insert(-1, "exemplars |ρ|")
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for r in reports:
        cells = [
            f"{r.number}/{r.of}",
            str(r.proposed),
            str(r.admitted),
            f"{r.new_factors}/{r.wanted}",
            "-" if r.best_train is None else f"{r.best_train:.4f}",
            "-" if r.pool_valid is None else f"{r.pool_valid:+.4f}",
            f"{r.rate:.0f}",
        ]
        if exemplars:
            cells.insert(-1, "-" if r.exemplar_correlation is None else f"{r.exemplar_correlation:.2f}")
        table.add_row(*cells)
    return table
