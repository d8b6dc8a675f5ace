"""Other packages on the same panels: each operator that has a direct equivalent there, checked for equal values.

A peer is a module with `NAME`, `THREADS` (1 when it works on one thread only, None when it takes as many as it is
given), `unavailable()` (why it cannot be used here, or None) and `contenders(panel, threads)`: by case, how to run it
and how to read its result as (T, N). No peer's code is in here, only calls to it.
"""

from __future__ import annotations

from benches.peers.cases import CASES, Contender, check_equal

__all__ = ["CASES", "Contender", "check_equal"]
