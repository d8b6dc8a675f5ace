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
def first_asks(ask: Callable[[str], None], message: str) -> Iterator[None]:
    """While the block runs: the first signal calls `ask` with its name and writes `message` to standard error, the
    second raises KeyboardInterrupt. Outside the main thread, where no signal arrives, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        ask(_NAMES[signal.Signals(number)])
        # Not print(): the handler may run in the middle of another write to the same stream.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{message}\n".encode())

    before = {number: signal.signal(number, handle) for number in _NAMES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
