"""WorldQuant BRAIN's operators in ours, by its operator reference.

Standard deviations over days and over the members of a date divide by n (its examples of `ts_zscore`, `zscore` and
`winsorize` do), those of `normalize` by n - 1 (its example does). Ranks run from 0 to 1. Time-series operators take
what is there (`min_periods=1`, which the dialect sets).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.lang.dialects.brain_text import bucket, without
from fama_fast.lang.dialects.operators import days_present, own, present, table
from fama_fast.ops import MIN_PERIODS, Parameter, build
from fama_fast.ops.spec import count, flag, group, number, series, text, window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fama_fast.ir import Node
    from fama_fast.ops import OpSpec

_SOURCE = "WorldQuant BRAIN operator reference"

RENAMED: Mapping[str, str] = {"MULTIPLY": "MUL"}

REFUSED: Mapping[str, str] = {
    "TS_QUANTILE": "BRAIN's description (a quantile of ts_rank) and its example (a share at a z-score) disagree",
}


def _own(name: str, parameters: tuple[Parameter, ...], lower: Callable[..., Node], doc: str, **more: Any) -> OpSpec:
    return own(name, parameters, lower, doc, _SOURCE, **more)


def _days(name: str, lower: Callable[..., Node], doc: str, *more: Parameter) -> OpSpec:
    return _own(name, (series(), window(), *more, MIN_PERIODS), lower, doc)


# Ranks: r/n becomes (r - 1)/(n - 1); half-way ranks of ties are made exact again first.


def _from_zero(share: Node, n: Node) -> Node:
    place = build("DIV", build("ROUND", build("MUL", build("MUL", share, n), 2.0)), 2.0)
    return build("DIV", build("SUB", place, 1.0), build("SUB", n, 1.0))


def _rank(x: Node, rate: float) -> Node:
    return _from_zero(build("RANK", x), build("CS_COUNT", x))


def _group_rank(x: Node, g: Node) -> Node:
    return _from_zero(build("GROUP_RANK", x, g), build("GROUP_COUNT", x, g))


def _ts_rank(x: Node, d: int, constant: float, min_periods: int | None) -> Node:
    place = _from_zero(build("TS_RANK", x, d, min_periods=min_periods), days_present(x, d, min_periods))
    return build("ADD", place, constant)


# Spreads: from n - 1 to n. A lone value has spread 0 over n and none over n - 1.


def _shrink(n: Node) -> Node:
    """(n - 1) / n."""
    return build("DIV", build("SUB", n, 1.0), n)


def _over_n(sample: Node, n: Node, factor: Node) -> Node:
    return build("IF_ELSE", build("EQ", n, 1.0), 0.0, build("MUL", sample, factor))


def _window_of_two(d: int) -> int:
    return max(d, 2)


def _ts_var(x: Node, d: int, min_periods: int | None) -> Node:
    n = days_present(x, d, min_periods)
    return _over_n(build("TS_VAR", x, _window_of_two(d), min_periods=min_periods), n, _shrink(n))


def _ts_std_dev(x: Node, d: int, min_periods: int | None) -> Node:
    n = days_present(x, d, min_periods)
    return _over_n(build("TS_STDDEV", x, _window_of_two(d), min_periods=min_periods), n, build("SQRT", _shrink(n)))


def _ts_zscore(x: Node, d: int, min_periods: int | None) -> Node:
    n = days_present(x, d, min_periods)
    return build("DIV", build("TS_ZSCORE", x, d, min_periods=min_periods), build("SQRT", _shrink(n)))


def _ts_covariance(y: Node, x: Node, d: int, min_periods: int | None) -> Node:
    n = days_present(build("ADD", build("MUL", x, 0.0), build("MUL", y, 0.0)), d, min_periods)
    return build("MUL", build("TS_COVARIANCE", y, x, d, min_periods=min_periods), _shrink(n))


def _zscore(x: Node) -> Node:
    return build("DIV", build("Z_SCORE", x), build("SQRT", _shrink(build("CS_COUNT", x))))


def _group_zscore(x: Node, g: Node) -> Node:
    return build("DIV", build("GROUP_ZSCORE", x, g), build("SQRT", _shrink(build("GROUP_COUNT", x, g))))


def _group_std(x: Node, g: Node) -> Node:
    n = build("GROUP_COUNT", x, g)
    return _over_n(build("GROUP_STD", x, g), n, build("SQRT", _shrink(n)))


def _winsorize(x: Node, std: float) -> Node:
    n, mean = build("CS_COUNT", x), build("CS_MEAN", x)
    spread = _over_n(build("CS_STD", x), n, build("SQRT", _shrink(n)))
    reach = build("MUL", spread, std)
    return build("MIN", build("MAX", x, build("SUB", mean, reach)), build("ADD", mean, reach))


def _scale(x: Node, scale: float, long: float, short: float) -> Node:
    return build("SCALE", x, scale, long, short)


def _ts_decay_linear(x: Node, d: int, dense: bool, min_periods: int | None) -> Node:
    return build("DECAY_LINEAR", x, d, dense, min_periods=min_periods)


def _ts_backfill(x: Node, lookback: int, k: int, ignore: str) -> Node:
    return build("KTH_ELEMENT", without(x, ignore), lookback, k) if k > 1 or ignore else build("BACKFILL", x, lookback)


def _kth_element(x: Node, d: int, k: int, ignore: str) -> Node:
    return build("KTH_ELEMENT", without(x, ignore), d, k)


def _group_mean(x: Node, weight: Node, g: Node) -> Node:
    known = build("MUL", weight, present(x))
    return build("DIV", build("GROUP_SUM", build("MUL", x, weight), g), build("GROUP_SUM", known, g))


# Arithmetic with a filter: what stands for a missing operand.


def _filtered(name: str, what: str, neutral: float) -> OpSpec:
    def lower(x: Node, y: Node, keep: bool) -> Node:
        if keep:
            x, y = build("NAN_TO", x, neutral), build("NAN_TO", y, neutral)
        return build(name, x, y)

    filtering = flag("filter", doc=f"a missing operand counts as {neutral:g}")
    doc = f"{what}; with filter=TRUE a missing operand counts as {neutral:g}."
    return _own(name, (series("x"), series("y"), filtering), lower, doc)


_RATE = number("rate", 2.0, minimum=0.0, doc="how exactly BRAIN sorts; ours is always exact")
_IGNORE = text("ignore", doc='numbers that count as missing, such as "NAN 0"')
_CONSTANT = number("constant", 0.0, doc="added")

_ENTRIES = (
    _own("RANK", (series(), _RATE), _rank, "The rank among the date's members, (r - 1)/(n - 1) in [0, 1]."),
    _own("GROUP_RANK", (series(), group()), _group_rank, "The rank within the group, (r - 1)/(n - 1) in [0, 1]."),
    _days("TS_RANK", _ts_rank, "The rank among the past d days, (r - 1)/(n - 1) in [0, 1].", _CONSTANT),
    _days("TS_STD_DEV", _ts_std_dev, "The standard deviation (ddof 0) over the past d days."),
    _days("TS_VARIANCE", _ts_var, "The variance (ddof 0) over the past d days."),
    _own(
        "TS_ZSCORE",
        (series(), window(minimum=2), MIN_PERIODS),
        _ts_zscore,
        "(x - mean) / standard deviation (ddof 0) over the past d days.",
    ),
    _own(
        "TS_COVARIANCE",
        (series("y"), series("x"), window(minimum=2), MIN_PERIODS),
        _ts_covariance,
        "The covariance (ddof 0) of y and x over the past d days.",
    ),
    _own("ZSCORE", (series(),), _zscore, "(x - mean) / standard deviation (ddof 0) of the date's members."),
    _own("GROUP_ZSCORE", (series(), group()), _group_zscore, "(x - mean) / standard deviation (ddof 0) of the group."),
    _own("GROUP_STD_DEV", (series(), group()), _group_std, "The standard deviation (ddof 0) of the group."),
    _own(
        "WINSORIZE",
        (series(), number("std", 4.0, minimum=0.0, doc="standard deviations kept")),
        _winsorize,
        "x held within the mean of the date's members plus and minus std standard deviations (ddof 0).",
    ),
    _own(
        "SCALE",
        (
            series(),
            number("scale", 1.0, minimum=0.0, doc="sum of absolute values"),
            number("longscale", 0.0, minimum=0.0, doc="sum of the positive values"),
            number("shortscale", 0.0, minimum=0.0, doc="sum of the sizes of the negative values"),
        ),
        _scale,
        "x scaled to a sum of absolute values, or its positive and negative values each to their own.",
    ),
    _days(
        "TS_DECAY_LINEAR",
        _ts_decay_linear,
        "The mean of the past d days with weights d, ..., 1; a missing day counts as 0 unless dense=TRUE.",
        flag("dense", doc="leave missing days out"),
    ),
    _own(
        "TS_BACKFILL",
        (series(), window("lookback"), count("k", 1, doc="1 is the latest"), _IGNORE),
        _ts_backfill,
        "The k-th latest value within the lookback that is present and not ignored.",
        ordered=(("k", "lookback"),),
    ),
    _own(
        "KTH_ELEMENT",
        (series(), window(), count("k", doc="1 is the latest"), _IGNORE),
        _kth_element,
        "The k-th latest value of the past d days, today included, that is present and not ignored.",
        ordered=(("k", "d"),),
    ),
    _own(
        "BUCKET",
        (
            series(),
            text("range", doc='the bounds as "start, end, step"'),
            text("buckets", doc='the bounds as "bound, bound, ..."'),
            flag("skipBegin", doc="what is not above the first bound is in no group"),
            flag("skipEnd", doc="what is above the last bound is in no group"),
            flag("skipBoth", doc="skipBegin and skipEnd"),
            flag("NANGroup", doc="a missing x is in a group of its own, after the last"),
        ),
        bucket,
        "The group that x falls into: the number of bounds below it.",
        gives_group=True,
    ),
    _own(
        "GROUP_MEAN",
        (series(), series("weight"), group()),
        _group_mean,
        "The weighted mean of the group.",
    ),
    _filtered("ADD", "x + y", 0.0),
    _filtered("SUB", "x - y", 0.0),
    _filtered("MUL", "x * y", 1.0),
)

_SPELLINGS = {"TS_STDDEV": "TS_STD_DEV", "DECAY_LINEAR": "TS_DECAY_LINEAR", "SUBTRACT": "SUB", "MULTIPLY": "MUL"}
_BY_NAME = table(*_ENTRIES)
OPERATORS: Mapping[str, OpSpec] = {**_BY_NAME, **{alias: _BY_NAME[name] for alias, name in _SPELLINGS.items()}}
