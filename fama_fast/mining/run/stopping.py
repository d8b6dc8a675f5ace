"""Asking a run to stop: a flag that the loop looks at between batches, and what came of it.

Whoever owns the process (the command line, on Ctrl-C or SIGTERM) asks; the loop finishes the batch at hand,
commits it and ends with what there is, and so does its end until the test is opened. No signal is handled here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.mining.verdict.verdict import Status, Tried, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.verdict.verdict import FactorVerdict


class Stopped(Exception):  # noqa: N818  (no error)
    """The run's end was left because it was asked to."""


class StopRequest:
    """May be asked from a signal handler or another thread; nothing is locked."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def ask(self, reason: str) -> None:
        """Stop after the batch at hand; the first reason stays."""
        self._reason = self._reason or reason

    @property
    def reason(self) -> str | None:
        """Why to stop; None while nobody asked."""
        return self._reason

    def check(self) -> None:
        """Raises `Stopped` when somebody asked."""
        if self._reason is not None:
            raise Stopped(self._reason)


def not_judged(level: float, test_level: float) -> Verdict:
    """What stands between the end of the search and its verdict: no claim, no count, the test closed."""
    headline = "not judged: the search is over, its verdict was not reached; the test split is not in this result"
    return Verdict(Status.NOT_JUDGED, headline, (), level, test_level, Tried(0))


def interrupted(factors: Sequence[FactorVerdict], tried: Tried, *, level: float, test_level: float) -> Verdict:
    """What a run that was stopped on request may say: figures so far, no claim, the test closed."""
    holding = sum(1 for f in factors if f.holds)
    headline = (
        f"interrupted: {holding} of {len(factors)} new factors hold on validation so far; the test split stays "
        "closed until the run is resumed and ends"
    )
    return Verdict(Status.INTERRUPTED, headline, (), level, test_level, tried, factors=tuple(factors))
