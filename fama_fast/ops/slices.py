"""Polars forms of the cross-sectional and group operators (draft)."""
from __future__ import annotations
from typing import Any
def _todo(ctx: Any, *a: Any) -> Any:
    raise NotImplementedError
rank = zscore = demean = scale = winsorize = group_rank = group_mean = group_sum = group_count = group_neutralize = group_zscore = group_scale = group_std = group_max = group_min = _todo
