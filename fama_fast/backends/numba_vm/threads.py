"""The threads that run tiles: started once, kept for the life of the process, made anew after a fork.

Waking a sleeping thread takes long beside a stage of a small panel (docs/decisions/005-time-outside-kernels.md). So a
helper that has done its share looks for the next job for a while before it goes to sleep (as OpenMP's threads do), in
compiled code and without the interpreter's lock (`loop.serve`).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fama_fast.arguments import whole
from fama_fast.backends.numba_vm.memory import DESK, address, aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.types import FloatArray, IntArray

Item = TypeVar("Item")
Made = TypeVar("Made")

_LOCK = threading.Lock()
_POOLS: dict[int, ThreadPoolExecutor] = {}
_AHEAD = 0  # which of them is the one thread that works ahead


MOST_THREADS = 1024


def default_threads() -> int:
    """FAMA_THREADS, else the processors that this process may use.

    Raises:
        ConfigError: FAMA_THREADS is not a number of threads.
    """
    wanted = os.environ.get("FAMA_THREADS", "").strip()
    if wanted:
        return whole(int(wanted) if wanted.isdecimal() else wanted, "FAMA_THREADS", 1, MOST_THREADS)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: Any) -> int:
    """The number of threads that a caller asks for; None is `default_threads()`.

    Raises:
        ConfigError: not a whole number from 1 to MOST_THREADS.
    """
    return default_threads() if threads is None else whole(threads, "threads", 1, MOST_THREADS)


def _pool(helpers: int) -> ThreadPoolExecutor:
    with _LOCK:
        if helpers not in _POOLS:
            _POOLS[helpers] = ThreadPoolExecutor(max(1, helpers), thread_name_prefix="fama-fast")
        return _POOLS[helpers]


def run_together(work: Callable[[], None], threads: int) -> None:
    """Call `work` on this thread and on `threads - 1` others at the same time; the first error is raised."""
    if threads <= 1:
        work()
        return
    futures = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for future in futures:
            # One that never started has nothing left to do: this thread took its share.
            if not future.cancel():
                future.result()


def ahead(make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """`make` of each item in turn, by another thread, which begins now and is ahead of whoever asks for them."""
    futures = [_pool(_AHEAD).submit(make, item) for item in items]

    def made() -> Iterator[Made]:
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    return made()


def _give_way() -> int:
    """Address of the C function that offers the processor to other threads; 0 where it is not known."""
    try:
        if sys.platform == "win32":
            return ctypes.cast(ctypes.windll.kernel32.SwitchToThread, ctypes.c_void_p).value or 0
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    except (AttributeError, OSError):
        return 0


class _Helper:
    """A thread that waits for jobs in its mailbox, and its desk."""

    def __init__(self, mailbox: IntArray, give_way: int) -> None:
        self.mailbox, self.at = mailbox, address(mailbox)
        self._give_way = give_way
        self.desk: FloatArray = aligned((0,))
        self.bell = threading.Semaphore(0)
        self.leaving = False
        self.thread = threading.Thread(target=self._serve, name="fama-fast", daemon=True)

    def _serve(self) -> None:
        from fama_fast.backends.numba_vm import loop

        while True:
            self.bell.acquire()
            if self.leaving:
                return
            loop.serve(self.at, self._give_way)


class Helpers:
    """Threads that help one stage at a time; who comes while they are busy works alone."""

    def __init__(self) -> None:
        self._give_way = _give_way()
        self.forget()

    def forget(self) -> None:
        """Begin without any thread."""
        self._lock = threading.Lock()
        self._helpers: list[_Helper] = []
        self._mailboxes_at = 0

    def run(self, job: int, doubles: int, threads: int, wake: bool) -> None:
        """Run the job (`loop`) at this address on this thread and on `threads - 1` others.

        doubles: float64 of the desk that each of them needs. wake: whether the job is worth waking one that sleeps.
        """
        from fama_fast.backends.numba_vm import loop

        _, desk = DESK.room("desk", doubles)
        helping = threads - 1 if threads > 1 and self._lock.acquire(blocking=False) else 0
        try:
            if helping > len(self._helpers):
                self._start(helping)
            for helper in self._helpers[:helping]:
                if helper.desk.size < doubles:
                    helper.desk = aligned((doubles,))
                    helper.mailbox[loop.DESK] = address(helper.desk)
                if wake and helper.mailbox[loop.STATE] == loop.ASLEEP and loop.rouse(helper.at):
                    helper.bell.release()
            loop.lead(job, desk, self._mailboxes_at, helping, self._give_way)
        finally:
            if helping:
                self._lock.release()

    def _start(self, wanted: int) -> None:
        """That many helpers; those there were leave, for all mailboxes lie side by side."""
        from fama_fast.backends.numba_vm import loop

        self._leave()
        loop.serve.compile("void(int64, int64)")  # here: compiling beside this thread would hold it up
        rows = aligned((wanted, loop.MAILBOX)).view(np.int64)
        rows[:] = 0
        rows[:, loop.STATE] = loop.ASLEEP
        self._mailboxes_at = address(rows)
        self._helpers = [_Helper(row, self._give_way) for row in rows]
        for helper in self._helpers:
            helper.thread.start()

    def _leave(self) -> None:
        for helper in self._helpers:
            helper.leaving = True
            helper.bell.release()
        for helper in self._helpers:
            helper.thread.join()
        self._helpers = []

    def close(self) -> None:
        """Let all threads end: compiled code must not run when the interpreter takes its memory down."""
        with self._lock:
            self._leave()


HELPERS = Helpers()


def _forget() -> None:
    """In a forked process no other thread runs."""
    HELPERS.forget()
    _POOLS.clear()


atexit.register(HELPERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
