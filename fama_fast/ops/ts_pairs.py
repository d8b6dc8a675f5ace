"""Two series over a window of d days that ends today; a day counts when both are present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import pair_windows
from fama_fast.ops.conditioning import Conditioning
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MIN_PERIODS, Algebra, OpSpec, lag, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext

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
        polars=pair_windows.correlation,
        kernel="ts_pairs.correl",
        unit=UnitRule.FREE,
        usage=14,
        conditioning=Conditioning.ONE,
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
        aliases=("COVARIANCE", "COV", "TS_COV", "COVIANCE"),
        lookback=_lookback,
        algebra=Algebra(commutative=True, odd=True),
        polars=pair_windows.covariance,
        kernel="ts_pairs.covariance",
        notes="COVIANCE is how GTJA (2017) spells it.",
        unit=UnitRule.COVARIANCE,
        usage=2,
        conditioning=Conditioning.SPREADS,
    )
)


def _rank_corr(ctx: PolarsContext, x: pl.Expr, y: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
    return ctx.kernel("TS_RANK_CORR", [x, y], (d, min_periods))


def _autocorr(x: Node, d: int, days: int, min_periods: int | None) -> Node:
    return build("CORREL", x, build("DELAY", x, days), d, min_periods=min_periods)


def _partial_corr(x: Node, y: Node, z: Node, d: int, min_periods: int | None) -> Node:
    # A value equals itself unless it is missing: this is 1 on days that have all three.
    both = build("AND", build("EQ", x, x), build("EQ", y, y))
    all_three = build("AND", both, build("EQ", z, z))
    x, y, z = (build("MASK", each, all_three) for each in (x, y, z))

    def correlation(a: Node, b: Node) -> Node:
        return build("CORREL", a, b, d, min_periods=min_periods)

    def unexplained(r: Node) -> Node:
        return build("SQRT", build("MUL", build("SUB", 1, r), build("ADD", 1, r)))

    xy, xz, yz = correlation(x, y), correlation(x, z), correlation(y, z)
    above = build("SUB", xy, build("MUL", xz, yz))
    left = build("DIV", build("DIV", above, unexplained(xz)), unexplained(yz))
    return build("CLIP", left, -1.0, 1.0)  # where z explains nearly all, rounding is a large part of what is left


register(
    OpSpec(
        name="TS_RANK_CORR",
        family=Family.TIME_SERIES,
        parameters=(series("x"), series("y"), window(minimum=2), MIN_PERIODS),
        doc="The correlation of the ranks (Spearman, average ties) of x and y within the past d days.",
        example="TS_RANK_CORR(CLOSE, VOLUME, 20)",
        source="Spearman (1904); SciPy spearmanr over a window",
        missing=f"{_PAIRS}; missing when either is constant over the window",
        aliases=("RANK_CORR", "SPEARMAN"),
        lookback=_lookback,
        algebra=Algebra(commutative=True, odd=True),
        polars=_rank_corr,
        kernel="ts_rank_corr.rank_corr",
        unit=UnitRule.FREE,
        conditioning=Conditioning.ONE,
    )
)
register(
    OpSpec(
        name="TS_PARTIAL_CORR",
        family=Family.TIME_SERIES,
        parameters=(series("x"), series("y"), series("z"), window(minimum=3), MIN_PERIODS),
        doc="The correlation of x and y over the past d days with what z explains linearly taken out of both.",
        example="TS_PARTIAL_CORR(RET, VOLUME, CLOSE, 60)",
        source="WorldQuant BRAIN ts_partial_corr; Yule (1907)",
        missing="missing unless all d days have all three (or min_periods of them); missing when one of them is "
        "constant over the window or z explains all of x or of y",
        aliases=("PARTIAL_CORR",),
        lookback=_lookback,
        algebra=Algebra(odd=True),
        lower=_partial_corr,
        conditioning=Conditioning.ONE,
    )
)
register(
    OpSpec(
        name="TS_AUTOCORR",
        family=Family.TIME_SERIES,
        parameters=(series(), window(minimum=2), lag("lag", 1), MIN_PERIODS),
        doc="The correlation over the past d days of x with its value `lag` market days earlier.",
        example="TS_AUTOCORR(RET, 20, 1)",
        source="pandas Series.autocorr over a window",
        missing=f"a day counts when both values are present: {_PAIRS}; missing when either is constant over the window",
        aliases=("AUTOCORR",),
        lookback=lambda p: int(p["d"]) - 1 + int(p["lag"]),
        algebra=Algebra(even=True),
        lower=_autocorr,
        notes="All d pairs are used, so d + lag days; the textbook estimator has d - lag products and one mean.",
        conditioning=Conditioning.ONE,
    )
)
