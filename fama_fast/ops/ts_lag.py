"""Earlier values of the same symbol. Days are market days: a symbol that was absent on the day is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops import windows
from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import MAX_WINDOW, Algebra, OpSpec, Parameter, lag, number, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family, Kind

_SINGLE_DAYS = "none: it reads single days, so there is nothing to relax"

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext


def _delta(x: Node, d: int) -> Node:
    return build("SUB", x, build("DELAY", x, d))


def _returns(x: Node, d: int) -> Node:
    return build("SUB", build("DIV", x, build("DELAY", x, d)), 1)


def _backfill(ctx: PolarsContext, x: pl.Expr, d: int) -> pl.Expr:
    return x if d == 1 else ctx.by_symbol(x.forward_fill(limit=d - 1))


register(
    OpSpec(
        name="DELAY",
        family=Family.TIME_SERIES,
        parameters=(series(), lag()),
        doc="The value of x d market days ago.",
        example="DELAY(CLOSE, 1)",
        source="Kakushadze (2016), delay; WorldQuant BRAIN ts_delay; qlib Ref with a positive lag",
        missing="missing when that day is missing or before the data begin",
        aliases=("TS_DELAY", "REF", "LAG"),
        lookback=lambda p: int(p["d"]),
        algebra=Algebra(odd=True),
        polars=lambda ctx, x, d: ctx.by_symbol(x.shift(d)),
        kernel="ts_lag.delay",
        notes="qlib's Ref with a negative lag looks ahead; here a lag is at least 1.",
        no_min_periods=_SINGLE_DAYS,
        unit=UnitRule.SAME,
        usage=14,
    )
)
register(
    OpSpec(
        name="DELTA",
        family=Family.TIME_SERIES,
        parameters=(series(), lag()),
        doc="x minus its value d market days ago.",
        example="DELTA(CLOSE, 5)",
        source="Kakushadze (2016), delta; WorldQuant BRAIN ts_delta",
        missing="missing when either day is missing",
        aliases=("TS_DELTA", "DIFF"),
        lookback=lambda p: int(p["d"]),
        algebra=Algebra(odd=True),
        lower=_delta,
        no_min_periods=_SINGLE_DAYS,
        usage=14,
    )
)
register(
    OpSpec(
        name="TS_RETURNS",
        family=Family.TIME_SERIES,
        parameters=(series(), lag(default=1)),
        doc="x divided by its value d market days ago, minus 1.",
        example="TS_RETURNS(CLOSE, 5)",
        source="WorldQuant BRAIN ts_returns, relative mode",
        missing="missing when either day is missing or the earlier value is 0",
        aliases=("PCT_CHANGE", "ROC"),
        lookback=lambda p: int(p["d"]),
        algebra=Algebra(even=True),
        lower=_returns,
        no_min_periods=_SINGLE_DAYS,
    )
)
register(
    OpSpec(
        name="BACKFILL",
        family=Family.TIME_SERIES,
        parameters=(series(), window()),
        doc="The last present value of x within d days, today included.",
        example="BACKFILL(VOLUME, 5)",
        source="WorldQuant BRAIN ts_backfill",
        missing="missing when all d days are missing",
        aliases=("TS_BACKFILL", "FFILL"),
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        polars=_backfill,
        kernel="ts_lag.backfill",
        no_min_periods="none: one present day of the d suffices by definition",
        unit=UnitRule.SAME,
    )
)
register(
    OpSpec(
        name="KTH_ELEMENT",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            window(),
            Parameter("k", Kind.COUNT, 1, 1, MAX_WINDOW, doc="1 is the latest present value"),
        ),
        doc="The k-th latest present value of x within d days, today included.",
        example="KTH_ELEMENT(VOLUME, 10, 2)",
        source="WorldQuant BRAIN kth_element",
        missing="missing when fewer than k of the d days are present",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        polars=windows.kth_element,
        kernel="ts_conditions.kth_element",
        notes="k counts from 1, so k=1 is BACKFILL, as BRAIN says; the example in its manual counts from 0.",
        ordered=(("k", "d"),),
        no_min_periods="none: k present days of the d suffice by definition",
        unit=UnitRule.SAME,
    )
)
register(
    OpSpec(
        name="LAST_DIFF_VALUE",
        family=Family.TIME_SERIES,
        parameters=(series(), window(minimum=2)),
        doc="The latest value of x within d days, today included, that differs from today's.",
        example="LAST_DIFF_VALUE(CLOSE, 20)",
        source="WorldQuant BRAIN last_diff_value",
        missing="missing when x is missing today or no present day of the window differs",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        polars=windows.last_diff_value,
        kernel="ts_conditions.last_diff_value",
        no_min_periods="none: one present day that differs from today suffices by definition",
        unit=UnitRule.SAME,
    )
)
register(
    OpSpec(
        name="DAYS_FROM_LAST_CHANGE",
        family=Family.TIME_SERIES,
        parameters=(series(), window(minimum=2, default=252)),
        doc="How many days ago x last had another value than today's; d when it had none within d days.",
        example="DAYS_FROM_LAST_CHANGE(CLOSE, 60)",
        source="WorldQuant BRAIN days_from_last_change, cut to a finite window so that the lookback is exact",
        missing="missing when x is missing today, or when no other day is present, or when no change was seen and the "
        "data began less than d days ago; missing days in between are passed over",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(even=True),
        polars=windows.days_from_last_change,
        kernel="ts_conditions.days_from_last_change",
        notes="BRAIN takes no window and counts on. Its example is as here: 2, 2, 2, 7, latest first, gives 3.",
        no_min_periods="none: missing days are passed over",
        unit=UnitRule.FREE,
    )
)
register(
    OpSpec(
        name="TS_DELTA_LIMIT",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            series("y", "what the limit is a share of, such as ADV20"),
            number("limit_volume", 0.1, 0.0, doc="the limit of a day's change as a share of y"),
            window(default=20),
        ),
        doc="x followed by at most limit_volume * y a day; starts from the first present x among the past d days.",
        example="TS_DELTA_LIMIT(RET, TS_STDDEV(RET, 20), 0.5)",
        source="WorldQuant BRAIN ts_delta_limit, with a finite start so that the lookback is exact",
        missing="missing when x or y is missing or the limit is below 0; such a day changes nothing",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        polars=windows.delta_limit,
        kernel="ts_conditions.delta_limit",
        notes="BRAIN starts on the first day of the data; here d days back.",
        no_min_periods="none: a day without a value changes nothing, so no number of days is asked for",
        unit=UnitRule.FOLLOWED,
    )
)
