"""Keeps requests within a server's limits of requests and tokens a minute, so that it need not refuse any.

All threads of a client share one pace. What other programs ask of the same key is not seen here; a server that is asked
too much says so, and is asked again later (`faults`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = 60.0


class Pace:
    """The requests of the last minute, with the tokens of each."""

    def __init__(self, requests: int | None, tokens: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`requests`, `tokens`: at most, in any minute; None is without bound."""
        self._requests, self._tokens, self._clock = requests, tokens, clock
        self._begun: deque[list[float]] = deque()  # [when, tokens] of each request, in order
        self._lock = threading.Lock()

    def take(self, tokens: int) -> float:
        """Begin a request of about so many tokens: 0.0 when it may be sent now, else the seconds to wait before asking
        again. A request larger than the limit goes when it is alone."""
        if self._requests is None and self._tokens is None:
            return 0.0
        with self._lock:
            now = self._clock()
            while self._begun and self._begun[0][0] <= now - MINUTE:
                self._begun.popleft()
            many = self._requests is not None and len(self._begun) >= self._requests
            spent = sum(size for _, size in self._begun)
            full = self._tokens is not None and bool(self._begun) and spent + tokens > self._tokens
            if many or full:
                return max(0.01, self._begun[0][0] + MINUTE - now)
            self._begun.append([now, float(tokens)])
            return 0.0

    def add(self, tokens: int) -> None:
        """Count the tokens of an answer that came just now."""
        with self._lock:
            if self._begun:
                self._begun[-1][1] += tokens
