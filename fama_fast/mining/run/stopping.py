"""A request to stop a run: a flag that the loop reads between batches, and the exception that follows.

The owner of the process (the command line, on Ctrl-C or SIGTERM) asks; the loop finishes the current batch,
commits it and ends with what there is, and so does its end until the test is opened. No signal is handled here.
"""

from __future__ import annotations


class Stopped(Exception):  # noqa: N818  (no error)
    """Raised to leave the end of a run that was asked to stop."""


class StopRequest:
    """A flag that asks a run to stop; set from a signal handler or another thread, without locks."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def ask(self, reason: str) -> None:
        """Ask to stop after the current batch; the first reason stays."""
        self._reason = self._reason or reason

    @property
    def reason(self) -> str | None:
        """The reason to stop; None while nobody asked."""
        return self._reason

    def check(self) -> None:
        """Raises `Stopped` when somebody asked."""
        if self._reason is not None:
            raise Stopped(self._reason)
