"""Polars forms of the windowed operators (draft)."""
from __future__ import annotations
from typing import Any
def _todo(ctx: Any, *a: Any) -> Any:
    raise NotImplementedError
total = mean = product = variance = stddev = skewness = kurtosis = zscore = minimum = maximum = argmin = argmax = rank = quantile = correlation = covariance = decay_linear = ema = _todo
