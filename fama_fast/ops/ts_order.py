"""Extremes, their positions, ranks and quantiles of a window of d days that ends today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, number, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from typing import Any

    from fama_fast.ir import Node
    from fama_fast.ops.spec import Parameter

_ALL_PRESENT = "missing unless all d days are present (or min_periods of them)"
_TODAY = f"{_ALL_PRESENT}; missing when x is missing today"
_ARG_NOTES = (
    "Days ago: 0 is today. BRAIN counts the same way; Kakushadze (2016) says only 'which day'. Ports to "
    "pandas, and qlib's IdxMax and IdxMin, count 1..d from the oldest: d minus ours."
)


def _order(name: str, doc: str, source: str, *static: Parameter, least: int = 1, **more: Any) -> None:
    """An operator of one series over d days; what is not given is the same for all of them."""
    register(
        OpSpec(
            name=name,
            family=Family.TIME_SERIES,
            parameters=(series(), window(minimum=least), *static, MIN_PERIODS),
            doc=doc,
            source=source,
            lookback=lambda p: int(p["d"]) - 1,
            **{"example": f"{name}(CLOSE, 20)", "missing": _ALL_PRESENT, **more},
        )
    )


def _median(x: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_QUANTILE", x, d, 0.5, min_periods=min_periods)


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


for _name, _word, _polars, _field, _alias, _usage in (
    ("MIN", "smallest", windows.minimum, "LOW", "LOWEST", 14),
    ("MAX", "largest", windows.maximum, "HIGH", "HIGHEST", 11),
):
    _order(
        f"TS_{_name}",
        f"The {_word} value over the past d days.",
        f"Kakushadze (2016), ts_{_name.lower()}; WorldQuant BRAIN ts_{_name.lower()}",
        example=f"TS_{_name}({_field}, 20)",
        aliases=(_alias, f"TS{_name}"),
        polars=_polars,
        kernel=f"ts_order.{_name.lower()}",
        unit=UnitRule.SAME,
        usage=_usage,
    )
for _name, _word, _polars, _field, _alias, _usage in (
    ("MIN", "smallest", windows.argmin, "LOW", "LOWDAY", 2),
    ("MAX", "largest", windows.argmax, "HIGH", "HIGHDAY", 4),
):
    _order(
        f"TS_ARG{_name}",
        f"How many days ago the {_word} value of the past d days was; of equals, the latest.",
        f"Kakushadze (2016), ts_arg{_name.lower()}; WorldQuant BRAIN ts_arg_{_name.lower()}",
        example=f"TS_ARG{_name}({_field}, 20)",
        aliases=(f"TS_ARG_{_name}", _alias),
        polars=_polars,
        kernel=f"ts_order.arg{_name.lower()}",
        unit=UnitRule.FREE,
        usage=_usage,
        notes=_ARG_NOTES,
    )
_order(
    "TS_RANK",
    "Today's rank among the present values of the past d days, r/n in (0, 1], average ties.",
    "Kakushadze (2016), Ts_Rank; WorldQuant BRAIN ts_rank; pandas rolling rank(pct=True)",
    missing=_TODAY,
    aliases=("TSRANK",),
    polars=windows.rank,
    kernel="ts_order.rank",
    notes="qlib's Rank is this one. BRAIN scales to [0, 1].",
    unit=UnitRule.FREE,
    usage=14,
)
_order(
    "TS_QUANTILE",
    "The q-quantile over the past d days, with linear interpolation.",
    "pandas rolling quantile; qlib Quantile",
    number("q", minimum=0.0, maximum=1.0, doc="0 to 1"),
    example="TS_QUANTILE(CLOSE, 20, 0.8)",
    polars=windows.quantile,
    kernel="ts_order.quantile",
    notes="BRAIN's ts_quantile is another operator: the inverse normal of TS_RANK.",
    unit=UnitRule.SAME,
    usage=2,
    conditioning=Conditioning.TERMS,
)
_order(
    "TS_MEDIAN",
    "The median over the past d days.",
    "WorldQuant BRAIN ts_median; qlib Med",
    aliases=("MEDIAN", "MED"),
    lower=_median,
    conditioning=Conditioning.TERMS,
)
_order(
    "TS_SCALE",
    "(x - min) / (max - min) over the past d days, plus a constant.",
    "WorldQuant BRAIN ts_scale",
    number("constant", 0.0, doc="added to the result"),
    least=2,
    missing=f"{_TODAY} and for a constant window",
    lower=_scale,
)
_order(
    "TS_MIN_DIFF",
    "x minus its smallest value over the past d days.",
    "WorldQuant BRAIN ts_min_diff",
    example="TS_MIN_DIFF(LOW, 20)",
    missing=_TODAY,
    lower=lambda x, d, min_periods: _below(x, "TS_MIN", d, min_periods),
)
_order(
    "TS_MAX_DIFF",
    "x minus its largest value over the past d days.",
    "WorldQuant BRAIN ts_max_diff",
    example="TS_MAX_DIFF(HIGH, 20)",
    missing=_TODAY,
    lower=lambda x, d, min_periods: _below(x, "TS_MAX", d, min_periods),
)
_order(
    "TS_MIN_MAX_DIFF",
    "x - f * (min + max), the extremes over the past d days.",
    "WorldQuant BRAIN ts_min_max_diff",
    number("f", 0.5, doc="share of the two extremes taken off"),
    missing=_TODAY,
    aliases=("MIN_MAX_DIFF",),
    algebra=Algebra(odd=True),
    lower=_min_max_diff,
    conditioning=Conditioning.RANGE,
)
_order(
    "TS_MIN_MAX_CPS",
    "(min + max) - f * x, the extremes over the past d days.",
    "WorldQuant BRAIN ts_min_max_cps",
    number("f", 2.0, doc="how often x is taken off"),
    missing=_TODAY,
    aliases=("MIN_MAX_CPS",),
    algebra=Algebra(odd=True),
    lower=_min_max_cps,
    conditioning=Conditioning.RANGE,
)
