"""Compiled expressions (`Alpha`) and the computation of their values."""

from fama_fast.engine.alpha import Alpha, compile, compile_recorded
from fama_fast.engine.daily import daily_measures, daily_rank_ic, ranks_on
from fama_fast.engine.evaluate import compute_factor_values, evaluate, evaluate_from
from fama_fast.engine.legs import DailyMeasures
from fama_fast.engine.stream import Stream

__all__ = [
    "Alpha",
    "DailyMeasures",
    "Stream",
    "compile",
    "compile_recorded",
    "compute_factor_values",
    "daily_measures",
    "daily_rank_ic",
    "evaluate",
    "evaluate_from",
    "ranks_on",
]
