"""Earlier values of the same symbol. Days are market days: a symbol that was absent on the day is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, lag, series, window
from fama_fast.types import Family

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
    )
)
