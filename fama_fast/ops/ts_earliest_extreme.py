"""Where in a window the extreme is, of equals the earliest: what NumPy's argmax, and so qlib's IdxMax, gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import register
from fama_fast.ops.spec import MIN_PERIODS, OpSpec, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ops.spec import PolarsContext, PolarsLowering


def _earliest_of(extreme: PolarsLowering) -> PolarsLowering:
    def lower(ctx: PolarsContext, x: pl.Expr, d: int, min_periods: int | None) -> pl.Expr:
        best = ctx.step(extreme(ctx, x, d, min_periods))
        return ctx.by_symbol(ctx.pl.coalesce([ctx.pl.when(x.shift(i) == best).then(float(i)) for i in range(d)[::-1]]))

    return lower


for _name, _word, _extreme, _usage in (
    ("ARGMAX", "largest", windows.maximum, 6),
    ("ARGMIN", "smallest", windows.minimum, 2),
):
    register(
        OpSpec(
            name=f"TS_{_name}_FIRST",
            family=Family.TIME_SERIES,
            parameters=(series(), window(), MIN_PERIODS),
            doc=f"How many days ago the {_word} value of the past d days was; of equals, the earliest.",
            example=f"TS_{_name}_FIRST(HIGH, 20)",
            source="numpy.argmax and argmin; qlib IdxMax and IdxMin",
            missing="missing unless all d days are present (or min_periods of them)",
            lookback=lambda p: int(p["d"]) - 1,
            polars=_earliest_of(_extreme),
            unit=UnitRule.FREE,
            usage=_usage,
            kernel=f"ts_earliest_extreme.{_name.lower()}",
            notes=f"TS_{_name} takes the latest of equals. qlib counts from the window's first day: see its dialect.",
        )
    )
