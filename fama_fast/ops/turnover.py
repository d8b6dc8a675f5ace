"""Smoothing that is tuned, date by date, until the alpha turns over about as much as a target.

BRAIN tunes one number, lambda, over the history it sees and does not publish how. Here the number of a date follows
from the d days that end on it: the alpha is smoothed with each number of a ladder, the turnover of each over those days
is measured, and two neighbours of the ladder whose turnovers enclose the target are blended (turnover is convex, so a
blend trades no more than its parts do on average). What the change of lambda from date to date trades comes on top. The
lookback is finite: d days of smoothing, one of change, d of measuring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.ops.registry import build, register
from fama_fast.ops.spec import Algebra, OpSpec, Parameter, number, series, window
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Node

_SOURCE = "WorldQuant BRAIN operator reference, transformational; the tuning is of this package"

# Shares of the way from lambda_min to lambda_max: limits matter by their order of magnitude, a decay by its memory.
_LIMITS = (0.0001, 0.001, 0.01, 0.1, 1.0)
_MEMORIES = (0.5, 0.75, 0.875, 0.9375, 1.0)


def _turnover(smoothed: Node, d: int) -> Node:
    """The mean over d days of the change of weights a day, one number a date; weights add up to 1 in size."""
    present = build("EQ", smoothed, smoothed)
    weights = build("NAN_TO", build("SCALE", smoothed), 0)
    traded = build("CS_SUM", build("MASK", build("ABS", build("DELTA", weights, 1)), present))
    mean = build("MASK", build("TS_MEAN", traded, d, min_periods=1), present)
    # A symbol new in the universe has seen fewer days: the members' mean is the same for all of them.
    return build("NAN_TO", build("CS_MEAN", mean), 0)


def _tuned(x: Node, rungs: Sequence[Node], target: float, d: int) -> Node:
    """x where it trades within the target; else the blend of two neighbours of x, *rungs that enclose the target.

    Neighbours, the first trading too much: the last such pair, and the last rung where all trade too much.
    """
    ladder = (x, *rungs)
    turnovers = [_turnover(r, d) for r in ladder]
    result = rungs[-1]
    for k in range(1, len(ladder)):
        slow, fast = turnovers[k], turnovers[k - 1]
        share = build("DIV", build("SUB", target, slow), build("SUB", fast, slow))
        blend = build("ADD", ladder[k], build("MUL", share, build("SUB", ladder[k - 1], ladder[k])))
        enclosed = build("AND", build("LE", slow, target), build("GT", fast, target))
        result = build("IF_ELSE", enclosed, blend, result)
    return build("IF_ELSE", build("LE", turnovers[0], target), x, result)


def _ladder(low: float, high: float, shares: Sequence[float]) -> list[float]:
    return list(dict.fromkeys(low + (high - low) * s for s in shares))


def _of_members(x: Node) -> Node:
    """x on the days on which the symbol is in the universe."""
    return build("MASK", x, build("CS_COUNT", x))


def _decay(x: Node, low: float, high: float, target: float, d: int) -> Node:
    x = _of_members(x)
    rungs = [build("DECAY_EXP", x, d, memory, min_periods=1) for memory in _ladder(low, high, _MEMORIES)]
    return _tuned(x, [build("MASK", r, build("EQ", x, x)) for r in rungs], target, d)


def _limited(x: Node, size: Node, low: float, high: float, target: float, d: int, *, hold: bool) -> Node:
    """From the mean of the past d days: begun at x of d days ago, another x every day, a small limit spares nothing."""
    x = _of_members(x)
    start = build("TS_MEAN", x, d, min_periods=1)
    limits = [build("MUL", size, limit) for limit in _ladder(low, high, _LIMITS)]
    # A limit on what is followed spares more the smaller it is, one below which nothing moves the larger it is.
    limits = limits if hold else limits[::-1]
    return _tuned(x, [build("TS_FOLLOW", x, limit, start, d, hold) for limit in limits], target, d)


def _hump(x: Node, low: float, high: float, target: float, d: int) -> Node:
    return _limited(x, build("CS_SUM", build("ABS", x)), low, high, target, d, hold=True)


def _delta_limit(x: Node, y: Node, low: float, high: float, target: float, d: int) -> Node:
    return _limited(x, y, low, high, target, d, hold=False)


def _register(name: str, doc: str, operands: tuple[Parameter, ...], lower: Callable[..., Node], example: str) -> None:
    register(
        OpSpec(
            name=f"TS_TARGET_TVR_{name}",
            family=Family.CROSS_SECTION,
            parameters=(
                *operands,
                number("lambda_min", 0.0, 0.0, 1.0, doc="the least that lambda may be"),
                number("lambda_max", 1.0, 0.0, 1.0, doc="the most that lambda may be"),
                number("target_tvr", 0.1, 0.0, doc="turnover a day as a share of the book; 2 replaces all of it"),
                window(default=20),
            ),
            doc=f"{doc}; lambda, from lambda_min to lambda_max, is on each date the one with which the past d days "
            "trade target_tvr a day: x itself where it trades no more, the slowest where all trade more.",
            example=example,
            source=_SOURCE,
            missing="missing when x is missing",
            lookback=lambda p: 2 * int(p["d"]) - 1,
            algebra=Algebra(odd=True),
            lower=lower,
            ordered=(("lambda_min", "lambda_max"),),
            no_min_periods="none: whatever past days there are, are used",
            notes="BRAIN takes no window and does not say how it tunes. Here five numbers from lambda_min to "
            "lambda_max are tried and neighbours blended; of past days only those in the universe count. Turnover is "
            "the change of SCALE, summed over the members present that day; what the change of lambda from date to "
            "date trades comes on top. d bounds how slow the result can be (about 1.4 / sqrt(d) a day for values that "
            "have nothing to do with those of the day before): a lower target takes a longer d.",
        )
    )


_register(
    "DECAY",
    "DECAY_EXP(x, d, lambda) with min_periods=1",
    (series(),),
    _decay,
    "TS_TARGET_TVR_DECAY(RANK(-RET) - 0.5, target_tvr=0.5)",
)
_register(
    "HUMP",
    "HUMP with the limit lambda, from the mean of the past d days",
    (series(),),
    _hump,
    "TS_TARGET_TVR_HUMP(Z_SCORE(RET), 0, 0.01, 0.5)",
)
_register(
    "DELTA_LIMIT",
    "TS_DELTA_LIMIT with limit_volume lambda, from the mean of the past d days",
    (series(), series("y", "what the limit is a share of")),
    _delta_limit,
    "TS_TARGET_TVR_DELTA_LIMIT(RANK(-RET) - 0.5, TS_STDDEV(RANK(-RET), 20), target_tvr=0.5)",
)
