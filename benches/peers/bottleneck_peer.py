"""bottleneck: moving windows in C, on one thread, with time contiguous (its faster layout)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from benches.peers.arrays import by_date, by_symbol, same
from benches.peers.cases import Contender

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

NAME = "bottleneck"
THREADS = 1


def unavailable() -> str | None:
    """Why it cannot run here."""
    return None if find_spec("bottleneck") else "bottleneck is not installed"


def contenders(panel: Panel, threads: int) -> dict[str, Contender]:
    """Cases it has: moments, extremes, ranks and medians, but nothing of two series."""
    import bottleneck as bn

    dates_first = panel["CLOSE"]
    close = by_symbol(dates_first)
    members = np.sum(~np.isnan(dates_first), axis=1, keepdims=True)

    def moving(function: Callable[..., FloatArray], d: int, **options: int) -> Contender:
        return Contender(lambda: function(close, d, axis=1, **options), by_date)

    def moving_rank(d: int) -> Contender:
        """Its ranks run from -1 to 1."""
        return Contender(
            lambda: bn.move_rank(close, d, axis=1), lambda v: by_date(((v + 1.0) / 2.0 * (d - 1) + 1.0) / d)
        )

    return {
        "RANK": Contender(lambda: bn.nanrankdata(dates_first, axis=1), lambda v: same(v / members)),
        "TS_SUM 20": moving(bn.move_sum, 20),
        "TS_MEAN 20": moving(bn.move_mean, 20),
        **{f"TS_STDDEV {d}": moving(bn.move_std, d, ddof=1) for d in (10, 60, 250)},
        **{f"TS_RANK {d}": moving_rank(d) for d in (10, 60)},
        **{f"TS_MAX {d}": moving(bn.move_max, d) for d in (10, 60, 250)},
        **{f"TS_MIN {d}": moving(bn.move_min, d) for d in (10, 60, 250)},
        **{f"TS_ARGMAX {d}": moving(bn.move_argmax, d) for d in (10, 60, 250)},
        **{f"TS_MEDIAN {d}": moving(bn.move_median, d) for d in (20, 60)},
    }
