"""Asking a run to stop: a flag that the loop looks at between batches, and what came of it.

Whoever owns the process (the command line, on Ctrl-C or SIGTERM) asks; the loop finishes the batch at hand,
commits it and ends with what there is, and so does its end until the test is opened. No signal is handled here.
"""

from __future__ import annotations


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
