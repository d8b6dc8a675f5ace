"""Weighted means of a window of d days that ends today; the weights of the present days sum to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, series, window
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ALL_PRESENT = "missing unless all d days are present (or min_periods of them, whose weights then sum to 1)"


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


register(
    OpSpec(
        name="DECAY_LINEAR",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="The mean over the past d days with weights d (today), d-1, ..., 1.",
        example="DECAY_LINEAR(RET, 10)",
        source="Kakushadze (2016), decay_linear; WorldQuant BRAIN ts_decay_linear; qlib WMA",
        missing=_ALL_PRESENT,
        aliases=("TS_DECAY_LINEAR", "TS_DECAY", "WMA"),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        polars=windows.decay_linear,
        kernel="ts_weights.decay_linear",
    )
)
register(
    OpSpec(
        name="EMA",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="The exponentially weighted mean of the past d days: weights (1 - 2/(d+1))^age, summing to 1.",
        example="EMA(CLOSE, 10)",
        source="qlib EMA (span d), cut to a finite window so that the lookback is exact",
        missing=_ALL_PRESENT,
        aliases=("TS_EMA", "EWMA"),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        polars=windows.ema,
        kernel="ts_weights.ema",
        notes="qlib and pandas weigh the whole past: their ewm(span=d) differs by the tail beyond d days.",
    )
)
