"""Sums and moments of a window of d days that ends today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, series, window
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fama_fast.ops.spec import PolarsLowering

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
    notes: str = "",
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
            kernel=f"ts_moments.{kernel}",
            notes=notes,
        )
    )


_moment(
    "TS_SUM",
    "sum",
    "The sum over the past d days.",
    "Kakushadze (2016), sum; WorldQuant BRAIN ts_sum; qlib Sum",
    ("SUM",),
    windows.total,
    algebra=Algebra(odd=True),
)
_moment(
    "TS_MEAN",
    "mean",
    "The mean over the past d days.",
    "WorldQuant BRAIN ts_mean; qlib Mean",
    ("MEAN", "TS_AVG", "SMA"),
    windows.mean,
    algebra=Algebra(odd=True),
    example="TS_MEAN(CLOSE, 20)",
)
_moment(
    "TS_PRODUCT",
    "product",
    "The product over the past d days.",
    "Kakushadze (2016), product; WorldQuant BRAIN ts_product",
    ("PRODUCT",),
    windows.product,
    algebra=Algebra(),
    example="TS_PRODUCT(1 + RET, 5)",
)
_moment(
    "TS_VAR",
    "var",
    "The sample variance (ddof 1) over the past d days; exactly 0 for a constant window.",
    "qlib Var; pandas rolling var",
    ("VAR", "VARIANCE"),
    windows.variance,
    algebra=Algebra(even=True),
    least=2,
    missing=f"{_ALL_PRESENT}; at least 2 in any case",
)
_moment(
    "TS_STDDEV",
    "stddev",
    "The sample standard deviation (ddof 1) over the past d days; exactly 0 for a constant window.",
    "Kakushadze (2016), stddev; WorldQuant BRAIN ts_std_dev; qlib Std",
    ("STDDEV", "STD", "TS_STD", "TS_STD_DEV"),
    windows.stddev,
    algebra=Algebra(even=True),
    least=2,
    missing=f"{_ALL_PRESENT}; at least 2 in any case",
    notes="BRAIN does not say which ddof it uses.",
)
_moment(
    "TS_SKEW",
    "skew",
    "The bias-corrected skewness over the past d days.",
    "pandas rolling skew; WorldQuant BRAIN ts_skewness; qlib Skew",
    ("SKEW", "SKEWNESS", "TS_SKEWNESS"),
    windows.skewness,
    algebra=Algebra(odd=True),
    least=3,
    missing=f"{_ALL_PRESENT}; at least 3 in any case; missing for a constant window",
    notes="pandas gives 0 for a constant window.",
)
_moment(
    "TS_KURT",
    "kurt",
    "The bias-corrected excess kurtosis over the past d days.",
    "pandas rolling kurt; WorldQuant BRAIN ts_kurtosis; qlib Kurt",
    ("KURT", "KURTOSIS", "TS_KURTOSIS"),
    windows.kurtosis,
    algebra=Algebra(even=True),
    least=4,
    missing=f"{_ALL_PRESENT}; at least 4 in any case; missing for a constant window",
    notes="pandas gives -3 for a constant window.",
)
_moment(
    "TS_ZSCORE",
    "zscore",
    "(x - mean) / standard deviation (ddof 1), both over the past d days.",
    "WorldQuant BRAIN ts_zscore",
    ("TS_Z_SCORE",),
    windows.zscore,
    algebra=Algebra(odd=True),
    least=2,
    missing=f"{_ALL_PRESENT}; missing when x is missing today and for a constant window",
    example="TS_ZSCORE(VOLUME, 20)",
)
