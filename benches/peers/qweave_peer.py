"""qweave: its own expressions over a Polars frame, on all of its threads.

Each call sorts the frame and adds a column to it; that is its one way of working, so it is timed as it is.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.peers.cases import Contender
from benches.peers.polars_peer import long_frame

if TYPE_CHECKING:
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

NAME = "qweave"
THREADS = None


def unavailable() -> str | None:
    """Why it cannot run here."""
    return None if find_spec("qweave") else "qweave is not installed (the bench extra)"


def contenders(panel: Panel, threads: int) -> dict[str, Contender]:
    """Cases it has a function for."""
    import qweave as qw

    t, n = panel.shape
    frame = long_frame(panel, null=False)
    close, volume = qw.col("close"), qw.col("volume")
    expressions = {
        "RANK": close.rank(),
        "DELTA 5": close.delta(5),
        "TS_SUM 20": close.ts_sum(20),
        "TS_MEAN 20": close.ts_mean(20),
        **{f"DECAY_LINEAR {d}": close.decay_linear(d) for d in (10, 20)},
        **{f"TS_STDDEV {d}": close.ts_std(d) for d in (10, 60, 250)},
        **{f"CORREL {d}": qw.correlation(close, volume, d) for d in (10, 60, 250)},
        **{f"TS_COVARIANCE {d}": qw.covariance(close, volume, d) for d in (10, 60, 250)},
        **{f"TS_RANK {d}": close.ts_rank(d) for d in (10, 60)},
        **{f"TS_MAX {d}": close.ts_max(d) for d in (10, 60, 250)},
        **{f"TS_MIN {d}": close.ts_min(d) for d in (10, 60, 250)},
        **{f"TS_ARGMAX {d}": close.ts_argmax(d) for d in (10, 60, 250)},
        "elementwise 4": (close - qw.col("open")) / (qw.col("high") - qw.col("low") + qw.lit(0.001)),
    }

    def dense(series: Any) -> FloatArray:
        out: FloatArray = series.to_numpy().astype(np.float64).reshape(n, t).T
        return out

    def contender(case: str, expression: Any) -> Contender:
        named = expression.alias("value")
        operator, _, d = case.partition(" ")

        def values(series: Any) -> FloatArray:
            """Its TS_ARGMAX counts from the oldest day of the window."""
            return int(d) - 1 - dense(series) if operator == "TS_ARGMAX" else dense(series)

        return Contender(lambda: qw.with_alphas(frame, "symbol", "date", [named])["value"], values)

    return {case: contender(case, e) for case, e in expressions.items()}


def alpha101(panel: Panel, threads: int) -> dict[int, Contender]:
    """Each formula of its set by number, all run by the one call that any of them holds."""
    import polars as pl
    import qweave as qw

    from benches.peers.alpha101 import SHIPPED_BY_KUNQUANT

    t, n = panel.shape
    frame = long_frame(panel, null=False).with_columns(
        pl.Series("vwap", panel["VWAP"].T.ravel()),
        pl.Series("returns", panel["RET"].T.ravel()),
        (pl.col("close") * 1e6).alias("cap"),
        *(
            pl.Series(g, np.nan_to_num(panel.group("SECTOR").codes.T.ravel()).astype(np.int32))
            for g in ("sector", "industry", "subindustry")
        ),
    )
    alphas = {int(a.output_name().removeprefix("alpha")): a for a in qw.worldquant_alpha101({})}
    wanted = {i: a for i, a in alphas.items() if i in SHIPPED_BY_KUNQUANT}

    def run() -> Any:
        return qw.with_alphas(frame, "symbol", "date", list(wanted.values()))

    def formula(name: str) -> Contender:
        return Contender(run, lambda out: dense(out[name]))

    def dense(series: Any) -> FloatArray:
        out: FloatArray = series.to_numpy().astype(np.float64).reshape(n, t).T
        return out

    return {i: formula(a.output_name()) for i, a in wanted.items()}
