"""Evaluation of factors: information coefficients, portfolios, breakdowns, inference, tables of scores.

Numba and Polars are imported when something is computed, not when this package is.
"""

from fama_fast.evaluation.breakdown import by_group, by_period, liquidity_groups, rank_ic_by_group
from fama_fast.evaluation.daily import (
    Daily,
    FactorScores,
    daily,
    daily_by_horizon,
    score_batch,
    score_values,
    summarise,
)
from fama_fast.evaluation.decay import decay_curve, half_life
from fama_fast.evaluation.ic import MIN_PAIRS, ic, rank_ic
from fama_fast.evaluation.inference import (
    SeriesLevel,
    benjamini_hochberg,
    deflated_sharpe,
    expected_maximum_sharpe,
    hit_rate,
    information_ratio,
    level,
    mean,
    newey_west_lag,
    newey_west_t,
    p_value,
    stationary_bootstrap_interval,
    std,
    t_statistic,
)
from fama_fast.evaluation.library_study import LibraryStudy, study_frame, study_library
from fama_fast.evaluation.mean_tests import MeanTest, mean_test, studentised_interval
from fama_fast.evaluation.overfitting import Overfitting, overfitting_probability
from fama_fast.evaluation.performance import CostLevel, Path, Performance, max_drawdown, sharpe
from fama_fast.evaluation.portfolios import (
    Groups,
    bucket_returns,
    capacity,
    distinct_values,
    hold,
    long_short_weights,
    quantile_buckets,
    top_k_weights,
    waiting_weights,
)
from fama_fast.evaluation.power import Hurdle, least_effect
from fama_fast.evaluation.rank_correlation import CorrelationClusters, clustered, correlations, rank_correlation_matrix
from fama_fast.evaluation.residual import average_ranks, residual_values, style_controls
from fama_fast.evaluation.rows import SortedRows
from fama_fast.evaluation.score import compile_all, score, score_windows
from fama_fast.evaluation.selection_tests import (
    SelectionTests,
    Trials,
    independent_trials,
    luck_deflated_sharpe,
    selection_tests,
)
from fama_fast.evaluation.spread import COST_BPS, spread_and_traded
from fama_fast.evaluation.study import FactorStudy, StudyData, study
from fama_fast.evaluation.study_settings import StudySettings
from fama_fast.evaluation.turnover import coverage, rank_autocorrelation, rank_turnover
from fama_fast.panel.presence import trading

__all__ = [
    "COST_BPS",
    "MIN_PAIRS",
    "CorrelationClusters",
    "CostLevel",
    "Daily",
    "FactorScores",
    "FactorStudy",
    "Groups",
    "Hurdle",
    "LibraryStudy",
    "MeanTest",
    "Overfitting",
    "Path",
    "Performance",
    "SelectionTests",
    "SeriesLevel",
    "SortedRows",
    "StudyData",
    "StudySettings",
    "Trials",
    "average_ranks",
    "benjamini_hochberg",
    "bucket_returns",
    "by_group",
    "by_period",
    "capacity",
    "clustered",
    "compile_all",
    "correlations",
    "coverage",
    "daily",
    "daily_by_horizon",
    "decay_curve",
    "deflated_sharpe",
    "distinct_values",
    "expected_maximum_sharpe",
    "half_life",
    "hit_rate",
    "hold",
    "ic",
    "independent_trials",
    "information_ratio",
    "least_effect",
    "level",
    "liquidity_groups",
    "long_short_weights",
    "luck_deflated_sharpe",
    "max_drawdown",
    "mean",
    "mean_test",
    "newey_west_lag",
    "newey_west_t",
    "overfitting_probability",
    "p_value",
    "quantile_buckets",
    "rank_autocorrelation",
    "rank_correlation_matrix",
    "rank_ic",
    "rank_ic_by_group",
    "rank_turnover",
    "residual_values",
    "score",
    "score_batch",
    "score_values",
    "score_windows",
    "selection_tests",
    "sharpe",
    "spread_and_traded",
    "stationary_bootstrap_interval",
    "std",
    "studentised_interval",
    "study",
    "study_frame",
    "study_library",
    "style_controls",
    "summarise",
    "t_statistic",
    "top_k_weights",
    "trading",
    "waiting_weights",
]
