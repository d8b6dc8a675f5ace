"""Handles Ctrl-C and SIGTERM while a command runs: the first asks it to stop when it can, the second stops it at once.

Python handles a signal between two steps of the main thread. Where that thread is inside compiled code, or waits for
something that never comes, a thread of its own sees that the second signal was not heeded, and ends the process.
Where that step is in a callback of a weak reference, a finaliser or foreign code, Python drops what is raised and shows
it as a fault: it is raised again a moment later (`never_lost`).
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fama_fast.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_A_MOMENT = 0.01  # seconds, by which a callback is over
GRACE = 20.0  # seconds for the way out after the second signal, in which a round may still be written


@contextmanager
def first_asks(ask: Callable[[str], None], message: str | None) -> Iterator[None]:
    """Context in which the first signal calls `ask` with its name and writes `message` to standard error (None where
    `ask` reports it), and the second raises KeyboardInterrupt, and ends the process where that is of no use. Outside
    the main thread, where no signal arrives, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = stopped = False

    def handle(number: int, _frame: Any) -> None:
        nonlocal asked, stopped
        if asked:
            # A third Ctrl-C must not interrupt the way out.
            stopped = True
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt
        asked = True
        ask(_NAMES[signal.Signals(number)])
        if message is None:
            return
        # Not print(): the handler may run in the middle of another write to the same stream.
        os.write(_error(), f"\n{message}\n".encode())

    before = {number: signal.signal(number, handle) for number in _NAMES}
    try:
        with _heeded(), never_lost():
            yield
    finally:
        for number, handler in before.items():
            if not (stopped and number == signal.SIGINT):
                signal.signal(number, handler)


@contextmanager
def never_lost() -> Iterator[None]:
    """Context in which a KeyboardInterrupt that Python drops, where it calls back from a weak reference, a finaliser or
    foreign code, is raised again in the main thread, and is not shown as a fault."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        # Not threading.Thread: the main thread may hold any of that module's locks here.
        _thread.start_new_thread(raise_again, ())

    def raise_again() -> None:
        time.sleep(_A_MOMENT)
        # SIGINT is ignored after the second signal; where Python handles neither, nobody waits to be interrupted.
        number = signal.SIGINT if callable(signal.getsignal(signal.SIGINT)) else signal.SIGTERM
        _thread.interrupt_main(number)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _heeded() -> Iterator[None]:
    """Context in which a thread counts signals as they arrive, whatever the main thread does; `GRACE` seconds after the
    second one it ends the process."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    over = threading.Event()

    def watch() -> None:
        arrived = 0
        with ours:  # to the end: a further signal is written there too
            while arrived < 2:
                signals = ours.recv(64)
                if not signals:
                    return
                arrived += sum(number in _NAMES for number in signals)
            if not over.wait(GRACE):
                with suppress(OSError):
                    os.write(_error(), b"\nthe program does not stop, and is ended; committed rounds are kept\n")
                os._exit(EXIT_INTERRUPTED)

    woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="fama-fast signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        over.set()
        theirs.close()  # the thread reads the end of it


def _error() -> int:
    return sys.__stderr__.fileno() if sys.__stderr__ else 2
