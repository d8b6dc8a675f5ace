"""Least-squares lines over a window of d days that ends today: on another series, or on time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.ops import pair_windows
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MAX_WINDOW, MIN_PERIODS, Algebra, OpSpec, Parameter, PolarsLowering, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext

# By the rettypes of TS_REGRESSION.
_UNITS = (
    UnitRule.SHIFT_FREE,
    UnitRule.SAME,
    UnitRule.SLOPE,
    UnitRule.SAME,
    UnitRule.SQUARE,
    UnitRule.SQUARE,
    UnitRule.FREE,
    UnitRule.SQUARE,
    UnitRule.SLOPE,
    UnitRule.SAME,
)
_CONDITIONING = (
    Conditioning.SPREAD,
    Conditioning.INTERCEPT,
    Conditioning.SLOPE,
    Conditioning.LEVEL,
    Conditioning.SUM_OF_SQUARES,
    Conditioning.SPREAD,
    Conditioning.ONE,
    Conditioning.VARIANCE,
    Conditioning.SLOPE,
    Conditioning.INTERCEPT,
)
_ALL_PRESENT = "missing unless all d days are present (or min_periods of them); at least 2 in any case"
_DAYS = "Days are numbered 1 (the oldest) to d (today), missing ones too"


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


def _on_time(rettype: int) -> PolarsLowering:
    def lower(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
        return pair_windows.on_time(ctx, x, d, rettype, min_periods)

    return lower


def _line(
    name: str,
    kernel: str,
    rettype: int,
    doc: str,
    source: str,
    aliases: tuple[str, ...],
    *,
    algebra: Algebra,
    missing: str = "",
    notes: str = "",
    **more: Any,
) -> None:
    register(
        OpSpec(
            name=name,
            family=Family.TIME_SERIES,
            parameters=(series(), window(minimum=2), MIN_PERIODS),
            doc=doc,
            example=f"{name}(CLOSE, 20)",
            source=source,
            missing=f"{_ALL_PRESENT}{missing}",
            aliases=aliases,
            lookback=_lookback,
            algebra=algebra,
            polars=_on_time(rettype),
            kernel=f"ts_regression.{kernel}",
            notes=f"{_DAYS}.{notes}",
            **more,
        )
    )


_line(
    "TS_SLOPE",
    "slope",
    pair_windows.SLOPE,
    "The change of x a day by the least-squares line through the past d days; exactly 0 for a constant window.",
    "qlib Slope; TA-Lib LINEARREG_SLOPE",
    ("SLOPE",),
    algebra=Algebra(odd=True),
    unit=UnitRule.SHIFT_FREE,
    usage=1,
    conditioning=Conditioning.SLOPE,
)
_line(
    "TS_INTERCEPT",
    "intercept",
    pair_windows.INTERCEPT,
    "The value at day 0, the day before the window, of the least-squares line through the past d days.",
    "the line of qlib's Slope and Resi",
    ("INTERCEPT",),
    algebra=Algebra(odd=True),
    notes=" TA-Lib's LINEARREG_INTERCEPT is the line's value on the oldest day: this plus TS_SLOPE.",
    unit=UnitRule.SAME,
    conditioning=Conditioning.INTERCEPT,
)
_line(
    "TS_RSQUARE",
    "rsquare",
    pair_windows.R_SQUARE,
    "The share of the variance of the past d days that their least-squares line explains; within 1e-14 of 1 it is 1.",
    "qlib Rsquare",
    ("RSQUARE", "R_SQUARE"),
    algebra=Algebra(even=True),
    missing="; missing for a constant window",
    unit=UnitRule.FREE,
    usage=1,
    conditioning=Conditioning.ONE,
)
_line(
    "TS_RESIDUAL",
    "residual",
    pair_windows.RESIDUAL,
    "x minus the least-squares line through the past d days, today; 0 where it is no more than rounding.",
    "qlib Resi",
    ("RESIDUAL", "RESI", "TS_RESI"),
    algebra=Algebra(odd=True),
    missing="; missing when x is missing today",
    unit=UnitRule.SHIFT_FREE,
    usage=1,
    conditioning=Conditioning.SPREAD,
)


def _beta(y: Node, x: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_REGRESSION", y, x, d, 0, pair_windows.SLOPE, min_periods=min_periods)


register(
    OpSpec(
        name="TS_REGRESSION",
        family=Family.TIME_SERIES,
        parameters=(
            series("y", "what is explained"),
            series("x", "what explains it"),
            window(minimum=2),
            Parameter("lag", Kind.WINDOW, 0, 0, MAX_WINDOW, doc="days by which x comes earlier"),
            Parameter("rettype", Kind.COUNT, 0, 0, 9, doc="which number of the regression, see the definition"),
            MIN_PERIODS,
        ),
        doc="The least-squares regression of y on x (of `lag` days earlier) over the past d days. rettype: 0 today's "
        "error y - estimate, 1 intercept, 2 slope, 3 today's estimate of y, 4 sum of squared errors, 5 sum of squares "
        "of y about its mean, 6 R-square, 7 mean squared error (over n - 2), 8 standard error of the slope, 9 of the "
        "intercept.",
        example="TS_REGRESSION(RET, DELTA(VOLUME, 1), 60, 0, 2)",
        source="WorldQuant BRAIN ts_regression; GTJA (2017), 191 alphas, REGRESI (rettype 0)",
        missing="missing unless all d days have both (or min_periods of them), at least 2 in any case and 3 for "
        "rettypes 7 to 9; missing when x is constant over the window; rettypes 0 and 3 when today lacks either, 6 when "
        "y is constant",
        aliases=("REGRESI",),
        lookback=lambda p: int(p["d"]) - 1 + int(p["lag"]),
        unit=lambda p: _UNITS[p["rettype"]],
        conditioning=lambda p: _CONDITIONING[p["rettype"]],
        polars=pair_windows.regression,
        kernel="ts_regression.regression",
        notes="An error no larger than rounding (1e-13 of the root of rettype 5) is 0; an R-square that near 1 is 1.",
    )
)
register(
    OpSpec(
        name="TS_BETA",
        family=Family.TIME_SERIES,
        parameters=(series("y", "what is explained"), series("x", "what explains it"), window(minimum=2), MIN_PERIODS),
        doc="The slope of the least-squares regression of y on x over the past d days.",
        example="TS_BETA(RET, DELTA(VOLUME, 1), 60)",
        source="GTJA (2017), 191 alphas, REGBETA",
        missing="missing unless all d days have both (or min_periods of them); missing when x is constant over them",
        aliases=("REGBETA",),
        lookback=_lookback,
        lower=_beta,
        conditioning=Conditioning.SLOPE,
    )
)
