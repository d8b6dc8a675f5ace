"""Ctrl-C and SIGTERM while a command runs: the first asks it to stop when it can, the second stops it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def first_asks(ask: Callable[[str], None], message: str | None) -> Iterator[None]:
    """While the block runs: the first signal calls `ask` with its name and writes `message` to standard error (None
    where `ask` tells it), the second raises KeyboardInterrupt. Outside the main thread, where no signal arrives, it
    does nothing.
    """
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
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{message}\n".encode())

    before = {number: signal.signal(number, handle) for number in _NAMES}
    try:
        yield
    finally:
        for number, handler in before.items():
            if not (stopped and number == signal.SIGINT):
                signal.signal(number, handler)
