"""How WorldQuant BRAIN's FASTEXPR writes our operators.

Source: BRAIN's operator reference, as `fama_fast.lang.dialects.brain` reads it. Operators in `needs` are not of the
base level, which every user has. Its standard deviations divide by n and its ranks run from 0 to 1: over a whole window
of days both are ours after a factor that is written, across the symbols of a date they are another number, of the same
order.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.exporting.pieces import Piece, call, compared
from fama_fast.exporting.spelling import ARITHMETIC, ROUNDING, Rule, Spelling, named

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANK = "ranks of a date are (r - 1)/(n - 1), here r/n"
_SPREAD = "the standard deviation of a date divides by n, here by n - 1"
_OF_ALL_DAYS = "the factor that turns BRAIN's number into ours is of all days of the window"
_FOR_EVER = "it looks back without end, here {} days at most"


def _present_side(name: str) -> Rule:
    """The smaller or larger of two, the present one where the other is missing."""

    def write(x: Piece, y: Piece) -> Piece:
        both = call("if_else", call("is_nan", y), x, call(name, x, y))
        return call("if_else", call("is_nan", x), y, both)

    return Rule(write)


def _beyond(name: str, differs: str = "") -> Rule:
    return named(name, differs=differs, needs=True)


def _regression(y: Piece, x: Piece, d: int, lag: int, rettype: int) -> Piece:
    more = [*([f"lag = {lag}"] if lag else []), *([f"rettype = {rettype}"] if rettype else [])]
    return call("ts_regression", y, x, d, *more)


def _line(rettype: int) -> Rule:
    return Rule(lambda x, d: call("ts_regression", x, "ts_step(1)", d, f"rettype = {rettype}"), ROUNDING)


def _ts_rank(x: Piece, d: int) -> Piece:
    return (call("ts_rank", x, d) * (d - 1) + 1) / d if d > 1 else 0 * x + 1


def _ratio(d: int) -> float:
    return d / (d - 1.0)


def _normalize(x: Piece, useStd: bool, limit: float) -> Piece:
    return call("normalize", x, *(["useStd = true"] if useStd else []), *([f"limit = {limit:g}"] if limit else []))


def _scale(x: Piece, a: float, longscale: float, shortscale: float) -> Piece:
    if not longscale and not shortscale:
        return call("scale", x, *([f"scale = {a!r}"] if a != 1.0 else []))
    return call("scale", x, f"scale = {a!r}", f"longscale = {longscale!r}", f"shortscale = {shortscale!r}")


def _quantile(x: Piece, driver: str, sigma: float) -> Piece:
    return call("quantile", x, f"driver = {driver}", f"sigma = {sigma!r}")


def _bucket(x: Piece, start: float, end: float, step: float, skipBegin: bool, skipEnd: bool) -> Piece:
    more = [*(["skipBegin = true"] if skipBegin else []), *(["skipEnd = true"] if skipEnd else [])]
    return call("bucket", x, f'range = "{start!r}, {end!r}, {step!r}"', *more)


def _regression_neut(y: Piece, x1: Piece, x2: Piece, x3: Piece) -> Piece | None:
    return call("regression_neut", y, x1) if x2.text == x3.text == "0" else None


_RULES: Mapping[str, Rule] = {
    **ARITHMETIC,
    **{name: named(name.lower()) for name in ("MIN", "MAX", "ABS", "SIGN", "LOG", "SQRT", "INVERSE", "SIGNED_POWER")},
    "FMIN": _present_side("min"),
    "FMAX": _present_side("max"),
    "POWER": named("power"),
    "LOG1P": Rule(lambda x: call("log", 1 + x), ROUNDING),
    **{name: _beyond(name.lower()) for name in ("EXP", "FLOOR", "ROUND", "TANH", "SIGMOID")},
    "CEIL": _beyond("ceiling"),
    "LT": Rule(compared("<")),
    "LE": Rule(compared("<=")),
    "GT": Rule(compared(">")),
    "GE": Rule(compared(">=")),
    "EQ": Rule(compared("==")),
    "NE": Rule(compared("!=")),
    "AND": named("and", boolean=True),
    "OR": named("or", boolean=True),
    "NOT": named("not", boolean=True),
    "IF_ELSE": named("if_else"),
    "IS_NAN": named("is_nan", boolean=True),
    "NAN_TO": Rule(lambda x, value: call("if_else", call("is_nan", x), value, x)),
    "MASK": Rule(lambda x, members: call("if_else", members, x, "nan")),
    "TRADE_WHEN": Rule(lambda trigger, alpha, leave, d: call("trade_when", trigger, alpha, leave), _FOR_EVER),
    "HUMP": Rule(lambda x, hump, d: call("hump", x, f"hump = {hump!r}"), _FOR_EVER),
    "DAYS_FROM_LAST_CHANGE": Rule(lambda x, d: call("days_from_last_change", x), _FOR_EVER),
    "RANK": named("rank", differs=_RANK),
    "Z_SCORE": named("zscore", differs=_SPREAD),
    "DEMEAN": named("normalize"),
    "NORMALIZE": Rule(_normalize),
    "SCALE": Rule(_scale),
    "WINSORIZE": Rule(lambda x, std: call("winsorize", x, f"std = {std!r}"), _SPREAD),
    "QUANTILE": Rule(_quantile),
    "VECTOR_NEUT": _beyond("vector_neut"),
    "REGRESSION_NEUT": Rule(_regression_neut, needs=("regression_neut",)),
    "GROUP_NEUTRALIZE": named("group_neutralize"),
    "GROUP_SCALE": named("group_scale"),
    "GROUP_MEAN": Rule(lambda x, group: call("group_mean", x, 1, group), ROUNDING),
    "GROUP_RANK": named("group_rank", differs=_RANK),
    "GROUP_ZSCORE": named("group_zscore", differs=_SPREAD),
    "GROUP_STD": _beyond("group_std_dev", _SPREAD),
    **{name: _beyond(name.lower()) for name in ("GROUP_SUM", "GROUP_COUNT", "GROUP_MAX", "GROUP_MIN", "GROUP_MEDIAN")},
    "GROUP_BACKFILL": named("group_backfill"),
    "GROUP_VECTOR_NEUT": _beyond("group_vector_neut"),
    "BUCKET": Rule(_bucket),
    "DELAY": named("ts_delay"),
    "DELTA": named("ts_delta"),
    "BACKFILL": named("ts_backfill"),
    "KTH_ELEMENT": named("kth_element"),
    "LAST_DIFF_VALUE": named("last_diff_value"),
    "TS_SUM": named("ts_sum"),
    "TS_MEAN": named("ts_mean"),
    "TS_PRODUCT": named("ts_product"),
    "TS_AV_DIFF": named("ts_av_diff"),
    "TS_COUNT_NANS": named("ts_count_nans"),
    "TS_SCALE": Rule(lambda x, d, constant: call("ts_scale", x, d, *([constant] if constant else []))),
    "TS_STDDEV": Rule(lambda x, d: math.sqrt(_ratio(d)) * call("ts_std_dev", x, d), ROUNDING, partial=_OF_ALL_DAYS),
    "TS_VAR": Rule(lambda x, d: _ratio(d) * call("power", call("ts_std_dev", x, d), 2), ROUNDING, partial=_OF_ALL_DAYS),
    "TS_ZSCORE": Rule(
        lambda x, d: math.sqrt(1.0 / _ratio(d)) * call("ts_zscore", x, d), ROUNDING, partial=_OF_ALL_DAYS
    ),
    "TS_RANK": Rule(_ts_rank, ROUNDING, partial=_OF_ALL_DAYS),
    "TS_ARGMAX": named("ts_arg_max"),
    "TS_ARGMIN": named("ts_arg_min"),
    **{name: _beyond(name.lower()) for name in ("TS_MIN", "TS_MAX", "TS_MEDIAN", "TS_ENTROPY")},
    "TS_SKEW": _beyond("ts_skewness"),
    "TS_KURT": _beyond("ts_kurtosis"),
    "CORREL": named("ts_corr"),
    "TS_COVARIANCE": Rule(lambda x, y, d: _ratio(d) * call("ts_covariance", x, y, d), ROUNDING, partial=_OF_ALL_DAYS),
    "TS_SLOPE": _line(2),
    "TS_RSQUARE": _line(6),
    "TS_RESIDUAL": _line(0),
    "TS_REGRESSION": Rule(_regression),
    "DECAY_LINEAR": Rule(lambda x, d, dense: call("ts_decay_linear", x, d, *(["dense = true"] if dense else []))),
    "DECAY_EXP": _beyond("ts_decay_exp_window"),
    "EMA": Rule(
        lambda x, d: call("ts_decay_exp_window", x, d, 1.0 - 2.0 / (d + 1.0)), ROUNDING, ("ts_decay_exp_window",)
    ),
}

FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "VWAP", "CAP")

BRAIN = Spelling(
    name="brain",
    fields=MappingProxyType({**{name: name.lower() for name in FIELDS}, "RET": "returns"}),
    groups=MappingProxyType({name: name.lower() for name in ("SECTOR", "INDUSTRY", "SUBINDUSTRY")}),
    rules=MappingProxyType(_RULES),
    refused=MappingProxyType(
        {
            "REGRESSION_NEUT": "BRAIN's regression_neut takes one regressor",
            "TS_QUANTILE": "BRAIN's ts_quantile is another operator",
        }
    ),
    missing="nan",
)
