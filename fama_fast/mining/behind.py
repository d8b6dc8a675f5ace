"""Work that goes on behind the loop: a round is written to the ledger while the next one is at its gates.

To make rows of a round and to wait for the disk took a twenty-fifth of a search on 500 symbols x 1260 days, in which no
kernel ran. What is told of a round is told once it is written, so that a run that is killed has lost nothing that it
told.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Behind:
    """One piece of work at a time on a thread of its own. A context manager: at its end nothing is left undone."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fama-fast-behind")
        self._given: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._begun: Future[None] | None = None

    def give(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Work to be begun when there is time for it; `then` is called by whoever waits for its end."""
        self.finish()
        self._given = work, then

    def begin(self) -> None:
        """Begin what was given: from here on the caller leaves the interpreter to it now and then."""
        if self._given is not None and self._begun is None:
            self._begun = self._thread.submit(self._given[0])

    def finish(self) -> None:
        """See what was given done, and say so; what it raised is raised here."""
        self.begin()
        if self._given is not None and self._begun is not None:
            (_, then), work = self._given, self._begun
            self._given = self._begun = None
            work.result()
            then()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.finish()
        finally:
            self._thread.shutdown()
