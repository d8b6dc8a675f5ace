"""Extremes, their positions, ranks and quantiles of a window of d days that ends today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, number, series, window
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fama_fast.ir import Node

_ALL_PRESENT = "missing unless all d days are present (or min_periods of them)"
_ARG_NOTES = (
    "Days ago: 0 is today. BRAIN counts the same way; Kakushadze (2016) says only 'which day'. Ports to "
    "pandas, and qlib's IdxMax and IdxMin, count 1..d from the oldest: d minus ours."
)


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


def _median(x: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_QUANTILE", x, d, 0.5, min_periods=min_periods)


register(
    OpSpec(
        name="TS_MIN",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="The smallest value over the past d days.",
        example="TS_MIN(LOW, 20)",
        source="Kakushadze (2016), ts_min; WorldQuant BRAIN ts_min",
        missing=_ALL_PRESENT,
        aliases=("LOWEST", "TSMIN"),
        lookback=_lookback,
        polars=windows.minimum,
        kernel="ts_order.min",
    )
)
register(
    OpSpec(
        name="TS_MAX",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="The largest value over the past d days.",
        example="TS_MAX(HIGH, 20)",
        source="Kakushadze (2016), ts_max; WorldQuant BRAIN ts_max",
        missing=_ALL_PRESENT,
        aliases=("HIGHEST", "TSMAX"),
        lookback=_lookback,
        polars=windows.maximum,
        kernel="ts_order.max",
    )
)
register(
    OpSpec(
        name="TS_ARGMIN",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="How many days ago the smallest value of the past d days was; of equals, the latest.",
        example="TS_ARGMIN(LOW, 20)",
        source="Kakushadze (2016), ts_argmin; WorldQuant BRAIN ts_arg_min",
        missing=_ALL_PRESENT,
        aliases=("TS_ARG_MIN", "LOWDAY"),
        lookback=_lookback,
        polars=windows.argmin,
        kernel="ts_order.argmin",
        notes=_ARG_NOTES,
    )
)
register(
    OpSpec(
        name="TS_ARGMAX",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="How many days ago the largest value of the past d days was; of equals, the latest.",
        example="TS_ARGMAX(HIGH, 20)",
        source="Kakushadze (2016), ts_argmax; WorldQuant BRAIN ts_arg_max",
        missing=_ALL_PRESENT,
        aliases=("TS_ARG_MAX", "HIGHDAY"),
        lookback=_lookback,
        polars=windows.argmax,
        kernel="ts_order.argmax",
        notes=_ARG_NOTES,
    )
)
register(
    OpSpec(
        name="TS_RANK",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="Today's rank among the present values of the past d days, r/n in (0, 1], average ties.",
        example="TS_RANK(CLOSE, 20)",
        source="Kakushadze (2016), Ts_Rank; WorldQuant BRAIN ts_rank; pandas rolling rank(pct=True)",
        missing=f"{_ALL_PRESENT}; missing when x is missing today",
        aliases=("TSRANK",),
        lookback=_lookback,
        polars=windows.rank,
        kernel="ts_order.rank",
        notes="qlib's Rank is this one. BRAIN scales to [0, 1].",
    )
)
register(
    OpSpec(
        name="TS_QUANTILE",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), number("q", minimum=0.0, maximum=1.0, doc="0 to 1"), MIN_PERIODS),
        doc="The q-quantile over the past d days, with linear interpolation.",
        example="TS_QUANTILE(CLOSE, 20, 0.8)",
        source="pandas rolling quantile; qlib Quantile",
        missing=_ALL_PRESENT,
        lookback=_lookback,
        polars=windows.quantile,
        kernel="ts_order.quantile",
        notes="BRAIN's ts_quantile is another operator: the inverse normal of TS_RANK.",
    )
)
register(
    OpSpec(
        name="TS_MEDIAN",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="The median over the past d days.",
        example="TS_MEDIAN(CLOSE, 20)",
        source="WorldQuant BRAIN ts_median; qlib Med",
        missing=_ALL_PRESENT,
        aliases=("MEDIAN", "MED"),
        lookback=_lookback,
        algebra=Algebra(),
        lower=_median,
    )
)


def _scale(x: Node, d: int, constant: float, min_periods: int | None) -> Node:
    low = build("TS_MIN", x, d, min_periods=min_periods)
    high = build("TS_MAX", x, d, min_periods=min_periods)
    value = build("DIV", build("SUB", x, low), build("SUB", high, low))
    return build("ADD", value, constant) if constant else value


def _below(x: Node, extreme: str, d: int, min_periods: int | None) -> Node:
    return build("SUB", x, build(extreme, x, d, min_periods=min_periods))


def _from_extremes(x: Node, d: int, min_periods: int | None) -> Node:
    """(x - min) + (x - max): the level is gone before anything is added, so it costs no digits."""
    return build("ADD", _below(x, "TS_MIN", d, min_periods), _below(x, "TS_MAX", d, min_periods))


def _min_max_diff(x: Node, d: int, f: float, min_periods: int | None) -> Node:
    value = build("MUL", _from_extremes(x, d, min_periods), f)
    return build("ADD", value, build("MUL", x, 1.0 - 2.0 * f)) if f != 0.5 else value


def _min_max_cps(x: Node, d: int, f: float, min_periods: int | None) -> Node:
    value = build("NEG", _from_extremes(x, d, min_periods))
    return build("ADD", value, build("MUL", x, 2.0 - f)) if f != 2.0 else value


register(
    OpSpec(
        name="TS_SCALE",
        family=Family.TIME_SERIES,
        parameters=(series(), window(minimum=2), number("constant", 0.0, doc="added to the result"), MIN_PERIODS),
        doc="(x - min) / (max - min) over the past d days, plus a constant.",
        example="TS_SCALE(CLOSE, 20)",
        source="WorldQuant BRAIN ts_scale",
        missing=f"{_ALL_PRESENT}; missing when x is missing today and for a constant window",
        lookback=_lookback,
        lower=_scale,
    )
)
register(
    OpSpec(
        name="TS_MIN_DIFF",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="x minus its smallest value over the past d days.",
        example="TS_MIN_DIFF(LOW, 20)",
        source="WorldQuant BRAIN ts_min_diff",
        missing=f"{_ALL_PRESENT}; missing when x is missing today",
        lookback=_lookback,
        lower=lambda x, d, min_periods: _below(x, "TS_MIN", d, min_periods),
    )
)
register(
    OpSpec(
        name="TS_MAX_DIFF",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="x minus its largest value over the past d days.",
        example="TS_MAX_DIFF(HIGH, 20)",
        source="WorldQuant BRAIN ts_max_diff",
        missing=f"{_ALL_PRESENT}; missing when x is missing today",
        lookback=_lookback,
        lower=lambda x, d, min_periods: _below(x, "TS_MAX", d, min_periods),
    )
)
register(
    OpSpec(
        name="TS_MIN_MAX_DIFF",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), number("f", 0.5, doc="share of the two extremes taken off"), MIN_PERIODS),
        doc="x - f * (min + max), the extremes over the past d days.",
        example="TS_MIN_MAX_DIFF(CLOSE, 20)",
        source="WorldQuant BRAIN ts_min_max_diff",
        missing=f"{_ALL_PRESENT}; missing when x is missing today",
        aliases=("MIN_MAX_DIFF",),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        lower=_min_max_diff,
    )
)
register(
    OpSpec(
        name="TS_MIN_MAX_CPS",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), number("f", 2.0, doc="how often x is taken off"), MIN_PERIODS),
        doc="(min + max) - f * x, the extremes over the past d days.",
        example="TS_MIN_MAX_CPS(CLOSE, 20)",
        source="WorldQuant BRAIN ts_min_max_cps",
        missing=f"{_ALL_PRESENT}; missing when x is missing today",
        aliases=("MIN_MAX_CPS",),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        lower=_min_max_cps,
    )
)
