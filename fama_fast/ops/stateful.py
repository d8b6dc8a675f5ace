"""Operators whose value depends on their own earlier values.

Each looks for its state at most d days back, today included, so its lookback is finite and a run over any part of the
history gives the same values; what systems without such a limit carry on from earlier is missing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, flag, number, series, window
from fama_fast.ops.unit_rule import UnitRule
from fama_fast.types import Family

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.ir import Node
    from fama_fast.ops.spec import PolarsContext

_BRAIN = "WorldQuant BRAIN operator reference, transformational"
_ANY_DAYS = "none: a day without a value changes nothing, so no number of days is asked for"


def _trade_when(ctx: PolarsContext, trigger: pl.Expr, alpha: pl.Expr, leave: pl.Expr, d: int) -> Any:
    # NaN stands for "taken, but missing", so that it is carried on as a value is.
    nothing = float("nan")
    taken = ctx.step(ctx.pl.when(leave > 0).then(nothing).when(trigger > 0).then(alpha.fill_null(nothing)))
    return taken if d == 1 else ctx.by_symbol(taken.forward_fill(limit=d - 1))


def _keep(x: Node, f: Node, period: int) -> Node:
    changed = build("NAN_TO", build("NE", f, build("DELAY", f, 1)), 0)
    return build("MASK", x, build("TS_MAX", changed, period, min_periods=1))


def _ts_hump(ctx: PolarsContext, x: pl.Expr, limit: pl.Expr, d: int) -> Any:
    when = ctx.pl.when
    present = ctx.step(when(x.is_not_null() & (limit >= 0)).then(x))
    held = None
    for k in range(d - 1, -1, -1):
        v, reach = (ctx.step(ctx.by_symbol(e.shift(k))) if k else e for e in (present, limit))
        if held is None:
            held = v
            continue
        change = v - held
        moved = held + when(change > 0).then(reach).otherwise(-reach)
        following = when(held.is_null()).then(v).when(change.abs() > reach).then(moved).otherwise(held)
        held = ctx.step(when(v.is_null()).then(held).otherwise(following))
    return when(present.is_not_null()).then(held)


def _ts_follow(ctx: PolarsContext, x: pl.Expr, limit: pl.Expr, start: pl.Expr, d: int, hold: bool) -> Any:
    when = ctx.pl.when
    present = ctx.step(when(x.is_not_null() & (limit >= 0)).then(x))
    held = ctx.step(start)
    for k in range(d - 1, -1, -1):
        v, reach = (ctx.step(ctx.by_symbol(e.shift(k))) if k else e for e in (present, limit))
        change = v - held
        moved = held + when(change > 0).then(reach).otherwise(-reach)
        following = when(change.abs() > reach).then(moved).otherwise(held if hold else v)
        held = ctx.step(when(v.is_null()).then(held).otherwise(following))
    return when(present.is_not_null() & start.is_not_null()).then(held)


def _hump(x: Node, hump: float, d: int) -> Node:
    return build("TS_HUMP", x, build("MUL", build("CS_SUM", build("ABS", x)), hump), d)


register(
    OpSpec(
        name="TRADE_WHEN",
        family=Family.TIME_SERIES,
        parameters=(
            series("trigger", "above 0: alpha is taken"),
            series("alpha"),
            series("exit", "above 0: the value is missing until the next trigger"),
            window(default=250),
        ),
        doc="alpha as it was on the last day on which trigger was above 0, unless exit was above 0 on that day or "
        "since; looked for among the past d days.",
        example="TRADE_WHEN(VOLUME > TS_MEAN(VOLUME, 20), RANK(-RET), ABS(RET) > 0.1)",
        source=_BRAIN,
        missing="a missing trigger or exit is not above 0; missing when alpha was missing on the day it was taken, "
        "after an exit, and when there was neither trigger nor exit in d days",
        lookback=lambda p: int(p["d"]) - 1,
        polars=_trade_when,
        kernel="stateful.trade_when",
        notes="BRAIN holds a value for ever; here at most d days. An exit is looked at before the trigger.",
        no_min_periods="none: one day with a trigger or an exit suffices by definition",
        unit=UnitRule.WHEN,
    )
)
register(
    OpSpec(
        name="KEEP",
        family=Family.TIME_SERIES,
        parameters=(series(), series("f", "what is watched for changes"), window("period", default=5)),
        doc="x where f changed from one day to the next within the past `period` days, today included; else missing.",
        example="KEEP(RET, RANK(RET) > 0.5, 3)",
        source=_BRAIN,
        missing="missing when x is missing; from or to a missing f is no change",
        lookback=lambda p: int(p["period"]),
        algebra=Algebra(odd=True),
        lower=_keep,
        no_min_periods="none: one change within the period suffices by definition",
        unit=UnitRule.SAME,
    )
)
register(
    OpSpec(
        name="TS_HUMP",
        family=Family.TIME_SERIES,
        parameters=(series(), series("limit", "the most a day, at least 0"), window(default=20)),
        doc="x held where it was while it is within the limit of the day, else moved by the limit towards x; starts "
        "from the first present x among the past d days.",
        example="TS_HUMP(CLOSE, 0.01 * TS_MEAN(CLOSE, 20))",
        source=f"{_BRAIN}, hump with its threshold as an operand",
        missing="missing when x or the limit is missing or the limit is below 0; such a day changes nothing",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        polars=_ts_hump,
        kernel="stateful.hump",
        no_min_periods=_ANY_DAYS,
        unit=UnitRule.FOLLOWED,
    )
)
register(
    OpSpec(
        name="TS_FOLLOW",
        family=Family.TIME_SERIES,
        parameters=(
            series(),
            series("limit", "the most a day, at least 0"),
            series("start", "today's value of it is where the walk begins"),
            window(default=20),
            flag("hold", doc="stay while x is within the limit, as TS_HUMP does"),
        ),
        doc="A walk through the past d days that begins at today's `start` and goes towards x by at most the limit of "
        "each day.",
        example="TS_FOLLOW(CLOSE, 0.01 * CLOSE, TS_MEAN(CLOSE, 20), 20)",
        source="TS_DELTA_LIMIT and TS_HUMP with a start that moves slowly, so that a small limit trades little",
        missing="missing when x, the limit or the start is missing or the limit is below 0; a past day without x or "
        "limit changes nothing",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(),
        polars=_ts_follow,
        kernel="follow.follow",
        notes="TS_DELTA_LIMIT and TS_HUMP begin at x of d days ago, which is another x every day.",
        no_min_periods=_ANY_DAYS,
        unit=UnitRule.FOLLOWED,
    )
)
register(
    OpSpec(
        name="HUMP",
        family=Family.CROSS_SECTION,
        parameters=(
            series(),
            number("hump", 0.01, minimum=0.0, doc="the limit as a share of the members' absolute values"),
            window(default=20),
        ),
        doc="x held where it was while it is within a limit, else moved by the limit towards x; the limit of a date is "
        "`hump` times the sum of the members' absolute values; starts from the first present x among the past d days.",
        example="HUMP(RANK(-RET), 0.001)",
        source=_BRAIN,
        missing="missing when x is missing; such a day changes nothing",
        lookback=lambda p: int(p["d"]) - 1,
        algebra=Algebra(odd=True),
        lower=_hump,
        notes="BRAIN's starts on the first day of the data; here d days back.",
        no_min_periods=_ANY_DAYS,
    )
)
