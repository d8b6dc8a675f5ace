"""Honest evaluation: information coefficients, turnover, coverage, inference, tables of scores.

Numba and Polars are imported when something is computed, not when this package is.
"""

from fama_fast.evaluation.daily import (
    Daily,
    FactorScores,
    daily,
    daily_by_horizon,
    score_batch,
    score_values,
    summarise,
)
from fama_fast.evaluation.ic import MIN_PAIRS, ic, rank_ic
from fama_fast.evaluation.inference import (
    benjamini_hochberg,
    bootstrap_interval,
    hit_rate,
    information_ratio,
    mean,
    newey_west_lag,
    newey_west_t,
    p_value,
    std,
    t_statistic,
)
from fama_fast.evaluation.rows import SortedRows
from fama_fast.evaluation.score import compile_all, score, score_windows, trading
from fama_fast.evaluation.turnover import coverage, rank_autocorrelation, rank_turnover

__all__ = [
    "MIN_PAIRS",
    "Daily",
    "FactorScores",
    "SortedRows",
    "benjamini_hochberg",
    "bootstrap_interval",
    "compile_all",
    "coverage",
    "daily",
    "daily_by_horizon",
    "hit_rate",
    "ic",
    "information_ratio",
    "mean",
    "newey_west_lag",
    "newey_west_t",
    "p_value",
    "rank_autocorrelation",
    "rank_ic",
    "rank_turnover",
    "score",
    "score_batch",
    "score_values",
    "score_windows",
    "std",
    "summarise",
    "t_statistic",
    "trading",
]
