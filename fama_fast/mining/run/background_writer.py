"""Writes a round to the ledger on a background thread, while the next round is at its gates.

Otherwise no kernel runs while rows are made and the disk is waited for (docs/decisions/005-time-outside-kernels.md). A
round is reported once it is written, so that a run that is killed has lost nothing that it reported.

Threads are daemons, and none is waited for without end: a database that never answers must not keep the process.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

from fama_fast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 300.0  # seconds that a round may take to be written
LEAVING = 90.0  # once the loop failed or is asked to stop; longer than a writer waits for another (`BUSY_SECONDS`)
STOPPING = 5.0  # once it is to stop at once
_LOOK = 1.0  # how often it is looked whether to stop


class BackgroundWriter:
    """Runs one piece of work at a time on a thread of its own. A context manager: all work is finished when it exits.

    Args:
        leaving: whether the loop is asked to stop, so that what hangs is waited for less long.
    """

    def __init__(self, leaving: Callable[[], bool] = lambda: False) -> None:
        self._leaving = leaving
        self._given: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._begun: Future[None] | None = None

    def submit(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Accept work, to start at the next `begin`; `then` is called by the thread that waits for its end."""
        self.finish()
        self._given = work, then

    def begin(self) -> None:
        """Start the submitted work; from here on the caller yields the interpreter to it now and then."""
        if self._given is not None and self._begun is None:
            self._begun = on_thread(self._given[0])

    def finish(self, patience: float = PATIENCE) -> None:
        """Wait for the submitted work and call its `then`; what the work raised is raised here.

        Raises:
            StoreError: it was not done within `patience` seconds.
        """
        self.begin()
        if self._given is not None and self._begun is not None:
            (_, then), work = self._given, self._begun
            self._given = self._begun = None
            began = time.monotonic()
            while not _done(work, _LOOK):
                waited = time.monotonic() - began
                if waited > (min(LEAVING, patience) if self._leaving() else patience):
                    raise StoreError(f"the last round was not written within {waited:.0f} seconds: the ledger hangs")
            work.result()
            then()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            self.finish()
            return
        # The round before was whole, and is written. What goes wrong with that is not to hide why the loop failed.
        try:
            self.finish(LEAVING if isinstance(error, Exception) else STOPPING)
        except Exception as other:  # noqa: BLE001
            error.add_note(f"and the round before could not be written: {other}")


def on_thread(work: Callable[[], None]) -> Future[None]:
    """Start work on a daemon thread, or run it here where the system has no thread left. Returns its future."""
    done = Future[None]()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        # Whatever it is, the waiting thread must get it: an error that stays here would be waited for for ever.
        except BaseException as error:  # noqa: BLE001
            done.set_exception(error)

    try:
        threading.Thread(target=run, name="fama-fast-behind", daemon=True).start()
    except RuntimeError:
        run()
    return done


def _done(work: Future[None], seconds: float) -> bool:
    """Whether work has ended, with or without an error, within so many seconds."""
    try:
        work.exception(seconds)
    except TimeoutError:
        return work.done()
    return True
