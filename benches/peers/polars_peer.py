"""Polars: windows over a long frame in (symbol, date) order, on all of its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benches.peers.cases import Contender

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

NAME = "Polars"
THREADS = None


def unavailable() -> str | None:
    """It is always there: the package depends on it."""
    return None


def long_frame(panel: Panel, *, null: bool) -> pl.DataFrame:
    """`date`, `symbol` and the panel's fields in lower case, symbol by symbol; gaps as null or as NaN."""
    import polars as pl

    t, n = panel.shape
    columns = {name.lower(): panel[name].T.ravel() for name in panel.supplied_fields}
    frame = pl.DataFrame(
        {"date": np.tile(panel.dates, n), "symbol": np.repeat(np.arange(n, dtype=np.int32), t), **columns}
    )
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)) if null else frame


def contenders(panel: Panel, threads: int) -> dict[str, Contender]:
    """Cases with a native expression."""
    import polars as pl

    t, n = panel.shape
    frame = long_frame(panel, null=True)
    close, volume = pl.col("close"), pl.col("volume")
    by_symbol = {
        "DELTA 5": close - close.shift(5),
        "TS_SUM 20": close.rolling_sum(20),
        "TS_MEAN 20": close.rolling_mean(20),
        **{
            # Weighted windows refuse nulls; a NaN serves.
            f"DECAY_LINEAR {d}": close.fill_null(float("nan")).rolling_mean(d, weights=list(np.arange(1.0, d + 1)))
            for d in (10, 20)
        },
        **{f"TS_STDDEV {d}": close.rolling_std(d) for d in (10, 60, 250)},
        **{f"CORREL {d}": pl.rolling_corr(close, volume, window_size=d) for d in (10, 60, 250)},
        **{f"TS_COVARIANCE {d}": pl.rolling_cov(close, volume, window_size=d) for d in (10, 60, 250)},
        **{f"TS_RANK {d}": close.rolling_rank(d) / d for d in (10, 60)},
        **{f"TS_MAX {d}": close.rolling_max(d) for d in (10, 60, 250)},
        **{f"TS_MIN {d}": close.rolling_min(d) for d in (10, 60, 250)},
        **{f"TS_MEDIAN {d}": close.rolling_median(d) for d in (20, 60)},
        **{f"TS_QUANTILE {d}": close.rolling_quantile(0.8, "linear", window_size=d) for d in (20, 60)},
    }
    expressions = {name: e.over("symbol") for name, e in by_symbol.items()}
    expressions["RANK"] = (close.rank() / close.count()).over("date")
    expressions["Z_SCORE"] = ((close - close.mean()) / close.std()).over("date")
    expressions["elementwise 4"] = (close - pl.col("open")) / (pl.col("high") - pl.col("low") + 0.001)

    def contender(expression: pl.Expr) -> Contender:
        query = frame.select
        named = expression.alias("value")
        return Contender(lambda: query(named)["value"], lambda s: s.cast(pl.Float64).to_numpy().reshape(n, t).T)

    return {name: contender(e) for name, e in expressions.items()}


def rank_ic(values: FloatArray, labels: FloatArray, threads: int) -> Contender:
    """Spearman correlation by date over the pairs that have both."""
    import polars as pl

    t, n = values.shape
    frame = pl.DataFrame(
        {"row": np.repeat(np.arange(t), n), "value": values.ravel(), "label": labels.ravel()}
    ).with_columns(pl.col("value", "label").fill_nan(None))
    spearman = pl.corr("value", "label", method="spearman").alias("ic")

    def run() -> pl.DataFrame:
        return frame.drop_nulls().group_by("row").agg(spearman)

    def dense(found: pl.DataFrame) -> FloatArray:
        out = np.full(t, np.nan)
        out[found["row"].to_numpy()] = found["ic"].to_numpy()
        return out

    return Contender(run, dense)
