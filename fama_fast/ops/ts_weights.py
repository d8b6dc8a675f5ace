"""Weighted means of a window of d days that ends today; the weights of the present days sum to 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MAX_WINDOW, MIN_PERIODS, Algebra, OpSpec, Parameter, number, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fama_fast.ir import Node

_ALL_PRESENT = "missing unless all d days are present (or min_periods of them, whose weights then sum to 1)"


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


register(
    OpSpec(
        name="DECAY_LINEAR",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            window(),
            Parameter("dense", Kind.FLAG, True, doc="FALSE: a missing day counts as 0 instead of not at all"),
            MIN_PERIODS,
        ),
        doc="The mean over the past d days with weights d (today), d-1, ..., 1.",
        example="DECAY_LINEAR(RET, 10)",
        source="Kakushadze (2016), decay_linear; WorldQuant BRAIN ts_decay_linear; qlib WMA",
        missing=_ALL_PRESENT,
        aliases=("TS_DECAY_LINEAR", "TS_DECAY", "DECAYLINEAR", "WMA"),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        polars=windows.decay_linear,
        kernel="ts_weights.decay_linear",
        notes="`dense` matters only with min_periods. BRAIN's default is dense=false. GTJA's WMA has other weights: "
        "DECAY_EXP(x, d, 0.9).",
        unit=UnitRule.SAME,
        usage=14,
        conditioning=Conditioning.TERMS,
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
        unit=UnitRule.SAME,
        conditioning=Conditioning.TERMS,
    )
)


def _sma_window(n: int, m: int | None, d: int | None) -> int:
    """Days of SMA: those of the EMA with the same weights, 2n/m - 1, rounded up."""
    if m is None:
        return n
    return d or min(max(math.ceil(2 * n / m) - 1, 1), MAX_WINDOW)


def _sma(x: Node, n: int, m: int | None, d: int | None, min_periods: int | None) -> Node:
    days = _sma_window(n, m, d)
    # The window follows from the weights: more days than it has are all of it.
    min_periods = None if min_periods is None else min(min_periods, days)
    if m is None:
        return build("TS_MEAN", x, days, min_periods=min_periods)
    return build("DECAY_EXP", x, days, max(0.0, 1.0 - m / n), min_periods=min_periods)


register(
    OpSpec(
        name="DECAY_EXP",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            window(),
            number("factor", 0.9, 0.0, 1.0, doc="the weight of a day beside that of the next"),
            MIN_PERIODS,
        ),
        doc="The mean over the past d days with weights factor^age: 1 (today), factor, factor^2, ...",
        example="DECAY_EXP(RET, 20, 0.8)",
        source="WorldQuant BRAIN ts_decay_exp_window; GTJA (2017), 191 alphas, WMA with factor 0.9",
        missing=_ALL_PRESENT,
        aliases=("TS_DECAY_EXP_WINDOW", "DECAY_EXP_WINDOW", "TS_DECAY_EXP"),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        polars=windows.decay_exp,
        kernel="ts_weights.decay_exp",
        unit=UnitRule.SAME,
        conditioning=Conditioning.TERMS,
    )
)
register(
    OpSpec(
        name="SMA",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            window("n"),
            Parameter("m", Kind.COUNT, None, 1, MAX_WINDOW, doc="the newest day's weight is m/n"),
            Parameter("d", Kind.WINDOW, None, 1, MAX_WINDOW, doc="days kept, by default 2n/m - 1 rounded up"),
            MIN_PERIODS,
        ),
        doc="Without m the plain mean of n days. With m the smoothed mean y = (m * x + (n - m) * y of the day before) "
        "/ n: weights (1 - m/n)^age over a finite window.",
        example="SMA(CLOSE, 12, 2)",
        source="GTJA (2017), 191 alphas, SMA(A, n, m), cut to a finite window so that the lookback is exact",
        missing=_ALL_PRESENT,
        aliases=("TS_SMA",),
        lookback=lambda p: _sma_window(p["n"], p["m"], p["d"]) - 1,
        algebra=Algebra(odd=True),
        lower=_sma,
        notes="The window is that of EMA, which SMA(x, n, 2) is with d = n - 1. GTJA weighs the whole past: a larger d "
        "comes as near to it as wanted, with a lookback of d - 1. An m above n counts as n, which gives x.",
        conditioning=Conditioning.TERMS,
    )
)
