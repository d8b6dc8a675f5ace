"""Sums and moments of a window of d days that ends today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.ops import moment_windows, windows
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, Parameter, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext, PolarsLowering

_ALL_PRESENT = "missing unless all d days are present (or min_periods of them)"


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


def _moment(
    name: str,
    kernel: str,
    doc: str,
    source: str,
    aliases: tuple[str, ...],
    polars: PolarsLowering,
    *,
    algebra: Algebra,
    least: int = 1,
    missing: str = _ALL_PRESENT,
    example: str = "",
    **more: Any,
) -> None:
    register(
        OpSpec(
            name=name,
            family=Family.TIME_SERIES,
            parameters=(series(), window(minimum=least), MIN_PERIODS),
            doc=doc,
            example=example or f"{name}(RET, 20)",
            source=source,
            missing=missing,
            aliases=aliases,
            lookback=_lookback,
            algebra=algebra,
            polars=polars,
            kernel=kernel if "." in kernel else f"ts_moments.{kernel}",
            **more,
        )
    )


_moment(
    "TS_SUM",
    "sum",
    "The sum over the past d days.",
    "Kakushadze (2016), sum; WorldQuant BRAIN ts_sum; qlib Sum",
    ("SUM", "SUMAC"),
    windows.total,
    algebra=Algebra(odd=True),
    unit=UnitRule.SUM_OF_DAYS,
    usage=14,
    conditioning=Conditioning.TERMS,
)
_moment(
    "TS_MEAN",
    "mean",
    "The mean over the past d days.",
    "WorldQuant BRAIN ts_mean; qlib Mean",
    ("MEAN", "TS_AVG"),
    windows.mean,
    algebra=Algebra(odd=True),
    example="TS_MEAN(CLOSE, 20)",
    unit=UnitRule.SAME,
    usage=7,
    conditioning=Conditioning.TERMS,
)
_moment(
    "TS_PRODUCT",
    "ts_product.product",
    "The product over the past d days.",
    "Kakushadze (2016), product; WorldQuant BRAIN ts_product",
    ("PRODUCT", "PROD"),
    windows.product,
    algebra=Algebra(),
    example="TS_PRODUCT(1 + RET, 5)",
    unit=UnitRule.PRODUCT_OF_DAYS,
    usage=2,
)
_moment(
    "TS_VAR",
    "ts_spread.var",
    "The sample variance (ddof 1) over the past d days; exactly 0 for a constant window.",
    "qlib Var; pandas rolling var",
    ("VAR", "VARIANCE"),
    moment_windows.variance,
    algebra=Algebra(even=True),
    least=2,
    missing=f"{_ALL_PRESENT}; at least 2 in any case",
    unit=UnitRule.SQUARE,
)
_moment(
    "TS_STDDEV",
    "ts_spread.stddev",
    "The sample standard deviation (ddof 1) over the past d days; exactly 0 for a constant window.",
    "Kakushadze (2016), stddev; WorldQuant BRAIN ts_std_dev; qlib Std",
    ("STDDEV", "STD", "TS_STD", "TS_STD_DEV"),
    moment_windows.stddev,
    algebra=Algebra(even=True),
    least=2,
    missing=f"{_ALL_PRESENT}; at least 2 in any case",
    notes="BRAIN does not say which ddof it uses.",
    unit=UnitRule.SHIFT_FREE,
    usage=14,
)
_moment(
    "TS_SKEW",
    "skew",
    "The bias-corrected skewness over the past d days.",
    "pandas rolling skew; WorldQuant BRAIN ts_skewness; qlib Skew",
    ("SKEW", "SKEWNESS", "TS_SKEWNESS"),
    moment_windows.skewness,
    algebra=Algebra(odd=True),
    least=3,
    missing=f"{_ALL_PRESENT}; at least 3 in any case; missing for a constant window",
    notes="pandas gives 0 for a constant window.",
    unit=UnitRule.FREE,
    conditioning=Conditioning.ONE,
)
_moment(
    "TS_KURT",
    "kurt",
    "The bias-corrected excess kurtosis over the past d days.",
    "pandas rolling kurt; WorldQuant BRAIN ts_kurtosis; qlib Kurt",
    ("KURT", "KURTOSIS", "TS_KURTOSIS"),
    moment_windows.kurtosis,
    algebra=Algebra(even=True),
    least=4,
    missing=f"{_ALL_PRESENT}; at least 4 in any case; missing for a constant window",
    notes="pandas gives -3 for a constant window.",
    unit=UnitRule.FREE,
    conditioning=Conditioning.ONE,
)
_moment(
    "TS_ZSCORE",
    "ts_spread.zscore",
    "(x - mean) / standard deviation (ddof 1), both over the past d days.",
    "WorldQuant BRAIN ts_zscore",
    ("TS_Z_SCORE",),
    moment_windows.zscore,
    algebra=Algebra(odd=True),
    least=2,
    missing=f"{_ALL_PRESENT}; missing when x is missing today and for a constant window",
    example="TS_ZSCORE(VOLUME, 20)",
    unit=UnitRule.FREE,
    conditioning=Conditioning.ONE,
)
_moment(
    "TS_AV_DIFF",
    "ts_deviation.av_diff",
    "x minus its mean over the past d days; exactly 0 for a constant window.",
    "WorldQuant BRAIN ts_av_diff",
    ("AV_DIFF",),
    moment_windows.av_diff,
    algebra=Algebra(odd=True),
    missing=f"{_ALL_PRESENT}; missing when x is missing today",
    example="TS_AV_DIFF(CLOSE, 20)",
    notes="BRAIN leaves missing days out of the mean, however many: min_periods=1 is that.",
    unit=UnitRule.SHIFT_FREE,
    conditioning=Conditioning.SPREAD,
)
_moment(
    "TS_MAD",
    "ts_deviation.mad",
    "The mean absolute deviation from the mean over the past d days; exactly 0 for a constant window.",
    "qlib Mad",
    ("MAD", "TS_MEAN_ABS_DEV"),
    moment_windows.mean_absolute_deviation,
    algebra=Algebra(even=True),
    notes="The mean distance from the mean, unscaled; elsewhere MAD is often the median distance from the median.",
    unit=UnitRule.SHIFT_FREE,
    conditioning=Conditioning.SPREAD,
)


def _entropy(ctx: PolarsContext, x: pl.Expr, d: int, buckets: int, min_periods: int | None) -> pl.Expr:
    return ctx.kernel("TS_ENTROPY", [x], (d, buckets, min_periods))


def _ratio(x: Node, d: int, min_periods: int | None) -> Node:
    mean = build("TS_MEAN", x, d, min_periods=min_periods)
    return build("DIV", mean, build("TS_STDDEV", x, d, min_periods=min_periods))


def _count_if(condition: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_SUM", build("NE", condition, 0), d, min_periods=min_periods)


def _sum_if(x: Node, condition: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_SUM", build("IF_ELSE", condition, x, 0), d, min_periods=min_periods)


def _count_nans(x: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_SUM", build("IS_NAN", x), d, min_periods=min_periods)


register(
    OpSpec(
        name="TS_ENTROPY",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            window(),
            Parameter("buckets", Kind.COUNT, 10, 2, 100, doc="bars of the histogram"),
            MIN_PERIODS,
        ),
        doc="The Shannon entropy (natural logarithm) of the past d days' histogram, its bars of equal width from the "
        "lowest to the highest value; 0 for a constant window.",
        example="TS_ENTROPY(RET, 60)",
        source="WorldQuant BRAIN ts_entropy",
        missing=_ALL_PRESENT,
        aliases=("ENTROPY",),
        lookback=_lookback,
        polars=_entropy,
        kernel="ts_deviation.entropy",
        notes="A bar holds its lower edge, the last one both: floor((x - min) * buckets / (max - min)).",
        unit=UnitRule.FREE,
    )
)
register(
    OpSpec(
        name="TS_IR",
        family=Family.TIME_SERIES,
        parameters=(series(), window(minimum=2), MIN_PERIODS),
        doc="The mean over the standard deviation (ddof 1) of the past d days.",
        example="TS_IR(RET, 20)",
        source="WorldQuant BRAIN ts_ir",
        missing=f"{_ALL_PRESENT}; at least 2 in any case; missing for a constant window",
        lookback=_lookback,
        algebra=Algebra(odd=True),
        lower=_ratio,
        conditioning=Conditioning.LEVEL_IN_SPREADS,
    )
)
register(
    OpSpec(
        name="COUNT_IF",
        family=Family.TIME_SERIES,
        parameters=(series("condition"), window(), MIN_PERIODS),
        doc="On how many of the past d days the condition was true.",
        example="COUNT_IF(CLOSE > OPEN, 20)",
        source="GTJA (2017), 191 alphas, COUNT(condition, n)",
        missing="missing unless the condition is present on all d days (or min_periods of them)",
        aliases=("TS_COUNT", "TS_COUNT_IF"),
        lookback=_lookback,
        lower=_count_if,
        notes="qlib's Count is another operator: the number of present days, d - TS_COUNT_NANS(x, d).",
    )
)
register(
    OpSpec(
        name="SUM_IF",
        family=Family.TIME_SERIES,
        parameters=(series("x"), series("condition"), window(), MIN_PERIODS),
        doc="The sum of x over those of the past d days on which the condition was true.",
        example="SUM_IF(VOLUME, CLOSE > OPEN, 20)",
        source="GTJA (2017), 191 alphas, SUMIF",
        missing="a day counts as present when the condition is, and x too where it is true; missing unless all d days "
        "are (or min_periods of them)",
        aliases=("TS_SUM_IF",),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        lower=_sum_if,
        notes="GTJA writes SUMIF(x, d, condition): the condition last.",
        conditioning=Conditioning.TERMS,
    )
)
register(
    OpSpec(
        name="TS_COUNT_NANS",
        family=Family.TIME_SERIES,
        parameters=(series(), window(), MIN_PERIODS),
        doc="On how many of the past d days x was missing.",
        example="TS_COUNT_NANS(VOLUME, 20)",
        source="WorldQuant BRAIN ts_count_nans",
        missing="missing unless the data go back d days (or min_periods of them)",
        aliases=("COUNT_NANS",),
        lookback=_lookback,
        lower=_count_nans,
    )
)
