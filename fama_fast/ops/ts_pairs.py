"""Two series over a window of d days that ends today; a day counts when both are present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, series, window
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PAIRS = "missing unless all d days have both (or min_periods of them); at least 2 in any case"


def _lookback(p: Mapping[str, Any]) -> int:
    return int(p["d"]) - 1


register(
    OpSpec(
        name="CORREL",
        family=Family.TIME_SERIES,
        parameters=(series("x"), series("y"), window(minimum=2), MIN_PERIODS),
        doc="The Pearson correlation of x and y over the past d days; within 1e-14 of 1 or -1 it is exactly that.",
        example="CORREL(CLOSE, VOLUME, 10)",
        source="Kakushadze (2016), correlation; WorldQuant BRAIN ts_corr; qlib Corr",
        missing=f"{_PAIRS}; missing when either is constant over the window",
        aliases=("CORRELATION", "CORR", "TS_CORR"),
        lookback=_lookback,
        algebra=Algebra(commutative=True, odd=True),
        polars=windows.correlation,
        kernel="ts_pairs.correl",
    )
)
register(
    OpSpec(
        name="TS_COVARIANCE",
        family=Family.TIME_SERIES,
        parameters=(series("x"), series("y"), window(minimum=2), MIN_PERIODS),
        doc="The sample covariance (ddof 1) of x and y over the past d days.",
        example="TS_COVARIANCE(CLOSE, VOLUME, 10)",
        source="Kakushadze (2016), covariance; WorldQuant BRAIN ts_covariance; qlib Cov",
        missing=_PAIRS,
        aliases=("COVARIANCE", "COV", "TS_COV"),
        lookback=_lookback,
        algebra=Algebra(commutative=True, odd=True),
        polars=windows.covariance,
        kernel="ts_pairs.covariance",
    )
)
