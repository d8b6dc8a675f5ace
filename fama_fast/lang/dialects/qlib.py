"""qlib's operators in ours, as qlib's code computes them.

Source: microsoft/qlib, qlib/data/ops.py and qlib/data/_libs/rolling.pyx. A rolling operator takes what is there
(`min_periods=1`, which the dialect sets). Where qlib's answer is infinite, ours is missing. Its windows of 0 (the whole
history) and of a fraction (an exponential mean of the whole past) have no finite lookback and are refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fama_fast.lang.dialects.operators import days_present, own, present, table
from fama_fast.ops import MAX_WINDOW, MIN_PERIODS, build
from fama_fast.ops.spec import lag, series, window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.ir import Node
    from fama_fast.ops import OpSpec

_SOURCE = "microsoft/qlib, qlib/data/ops.py"

# qlib takes a standard deviation up to this for none, and gives no correlation or R squared then.
FLAT = 2e-5

# The weight of the past that an exponential mean leaves out, as qlib cuts its own windows of a fraction.
EMA_TAIL = 1e-6

RENAMED: Mapping[str, str] = {
    "MEAN": "TS_MEAN",
    "SUM": "TS_SUM",
    "STD": "TS_STDDEV",
    "VAR": "TS_VAR",
    "SKEW": "TS_SKEW",
    "KURT": "TS_KURT",
    "MAX": "TS_MAX",
    "MIN": "TS_MIN",
    "MED": "TS_MEDIAN",
    "QUANTILE": "TS_QUANTILE",
    "RANK": "TS_RANK",
    "COV": "TS_COVARIANCE",
    "SLOPE": "TS_SLOPE",
    "RESI": "TS_RESIDUAL",
    "MAD": "TS_MAD",
    "ABS": "ABS",
    "SIGN": "SIGN",
    "LOG": "LOG",
    "POWER": "POWER",
    "ADD": "ADD",
    "SUB": "SUB",
    "MUL": "MUL",
    "DIV": "DIV",
    "GREATER": "MAX",
    "LESS": "MIN",
    "IF": "IF_ELSE",
}

REFUSED: Mapping[str, str] = {
    "MASK": "qlib's Mask reads another instrument; join its values to the data as a field instead",
    "CHANGEINSTRUMENT": "it reads another instrument; join its values to the data as a field instead",
    "TRESAMPLE": "it changes the calendar; a panel has one",
}


def _comparison(name: str, words: str, when_missing: float) -> OpSpec:
    def lower(x: Node, y: Node) -> Node:
        known = build(name, x, y)
        sides = [s for s in (x, y) if not s.is_const]
        if not sides:
            return known
        # NumPy answers a comparison with one NaN; where every side is missing qlib has no row for the stock.
        gone = build("IS_NAN", sides[0])
        for side in sides[1:]:
            gone = build("MUL", gone, build("IS_NAN", side))
        return build("IF_ELSE", gone, math.nan, build("NAN_TO", known, when_missing))

    doc = f"1 where x is {words} y, else 0; {when_missing:g} where one side is missing, as in NumPy."
    return own(name, (series("x"), series("y")), lower, doc, _SOURCE)


def _corr(x: Node, y: Node, d: int, min_periods: int | None) -> Node:
    varied = build("AND", _varies(x, d, min_periods), _varies(y, d, min_periods))
    return build("MASK", build("CORREL", x, y, d, min_periods=min_periods), varied)


def _varies(x: Node, d: int, min_periods: int | None) -> Node:
    return build("GT", build("TS_STDDEV", x, d, min_periods=min_periods), FLAT)


def _count(x: Node, d: int, min_periods: int | None) -> Node:
    return build("TS_SUM", build("SUB", 1.0, build("IS_NAN", x)), d, min_periods=min_periods)


def _index(name: str) -> Callable[..., Node]:
    """Position of the extreme in the window, 1 for its first present day; of equals, the first."""

    def lower(x: Node, d: int, min_periods: int | None) -> Node:
        first = build("TS_ARGMAX_FIRST", present(x), d, min_periods=min_periods)
        extreme = build(f"TS_{name}_FIRST", x, d, min_periods=min_periods)
        return build("ADD", build("SUB", first, extreme), 1.0)

    return lower


def _length(x: Node, d: int) -> Node:
    """Days from the first present day of the window to today."""
    return build("ADD", build("TS_ARGMAX_FIRST", present(x), d, min_periods=1), 1.0)


def _rsquare(x: Node, d: int, min_periods: int | None) -> Node:
    return build("MASK", build("TS_RSQUARE", x, d, min_periods=min_periods), _varies(x, d, min_periods))


def _wma(x: Node, d: int, min_periods: int | None) -> Node:
    """The mean (not the sum) of x times weights 1, 2, ... that add up to 1 over the window's days.

    DECAY_LINEAR counts weights from d down, this from the window's own length: the difference is a plain sum.
    """
    length = _length(x, d)
    weighted = build("MUL", build("DECAY_LINEAR", x, d, False, min_periods=min_periods), d * (d + 1) / 2)
    excess = build("MUL", build("SUB", float(d), length), build("TS_SUM", x, d, min_periods=min_periods))
    total = build("DIV", build("MUL", length, build("ADD", length, 1.0)), 2.0)
    mean = build("DIV", build("SUB", weighted, excess), total)
    return build("DIV", mean, days_present(x, d, min_periods))


def ema_window(span: int) -> int:
    """Days after which the weights left of an exponential mean of this span are below EMA_TAIL."""
    if span < 2:
        return 1
    return min(MAX_WINDOW, math.ceil(math.log(EMA_TAIL) / math.log(1.0 - 2.0 / (span + 1.0))))


def _ema(x: Node, d: int, min_periods: int | None) -> Node:
    return build("DECAY_EXP", x, ema_window(d), 1.0 - 2.0 / (d + 1.0), min_periods=min_periods)


def _ref(x: Node, d: int) -> Node:
    return build("DELAY", x, d)


def _delta(x: Node, d: int) -> Node:
    return build("DELTA", x, d)


def _rolling(name: str, lower: Callable[..., Node], doc: str, *, minimum: int = 1, operands: str = "x") -> OpSpec:
    parameters = (*(series(o) for o in operands.split()), window(minimum=minimum), MIN_PERIODS)
    return own(name, parameters, lower, doc, _SOURCE)


OPERATORS: Mapping[str, Any] = table(
    own("REF", (series(), lag()), _ref, "The value d market days ago; d is at least 1.", _SOURCE),
    own("DELTA", (series(), lag()), _delta, "x minus its value d market days ago.", _SOURCE),
    *(
        _comparison(name, words, float(name == "NE"))
        for name, words in (
            ("GT", "greater than"),
            ("GE", "at least"),
            ("LT", "less than"),
            ("LE", "at most"),
            ("EQ", "equal to"),
            ("NE", "not equal to"),
        )
    ),
    _rolling(
        "CORR",
        _corr,
        f"The correlation of x and y; missing where the standard deviation of either is at most {FLAT:g}.",
        minimum=2,
        operands="x y",
    ),
    _rolling(
        "RSQUARE",
        _rsquare,
        f"The share of the variance that a line through the days explains; missing where the standard deviation is at "
        f"most {FLAT:g}.",
        minimum=2,
    ),
    _rolling(
        "EMA",
        _ema,
        "The exponential mean of span d, 1 - 2/(d+1) the weight of a day beside that of the next, over the days that "
        f"hold all but {EMA_TAIL:g} of the weight. qlib weighs the whole past.",
    ),
    _rolling("COUNT", _count, "How many of the past d days have x."),
    _rolling(
        "IDXMAX",
        _index("ARGMAX"),
        "Where in the window the largest value is, 1 for the window's first present day; of equals, the first.",
    ),
    _rolling(
        "IDXMIN",
        _index("ARGMIN"),
        "Where in the window the smallest value is, 1 for the window's first present day; of equals, the first.",
    ),
    _rolling(
        "WMA",
        _wma,
        "The mean of x times linear weights that sum to 1. qlib takes a mean of the products where the weighted mean "
        "is their sum, so this is the weighted mean divided by the number of days. Weights count from the window's "
        "first present day.",
    ),
)
