"""Guotai Junan's 191 short-horizon price and volume alphas: numbers and texts in the package's own language.

Source: Guotai Junan Securities, "Multi-factor stock selection by short-horizon price and volume features" (in Chinese),
quantitative research series 93, June 2017; its formulas stand in the data file beside this module. In ours: WMA
(weights 0.9^age) is DECAY_EXP, REGBETA on SEQUENCE is TS_SLOPE, HIGHDAY and LOWDAY are TS_ARGMAX and TS_ARGMIN (of
equal days the latest), SUMIF and COUNT are SUM_IF and COUNT_IF, MAX and MIN with a number of days TS_MAX and TS_MIN.
SMA keeps a finite window, as everywhere here. AMOUNT, the value traded, is VOLUME * VWAP. Where the print cannot be
meant, or leaves out a number, `READINGS` says what was taken.

Four formulas look at the market's index: BENCHMARK_OPEN and BENCHMARK_CLOSE are columns that the data must have, with
the index's prices on every row. Two are left out: `LEFT_OUT` says why.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from fama_fast.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

DIALECT = "fama"
LAST = 191

# The report's own abbreviations.
ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "DTM": "(OPEN <= DELAY(OPEN, 1) ? 0 : MAX(HIGH - OPEN, OPEN - DELAY(OPEN, 1)))",
        "DBM": "(OPEN >= DELAY(OPEN, 1) ? 0 : MAX(OPEN - LOW, OPEN - DELAY(OPEN, 1)))",
        "TR": "MAX(MAX(HIGH - LOW, ABS(HIGH - DELAY(CLOSE, 1))), ABS(LOW - DELAY(CLOSE, 1)))",
        "HD": "(HIGH - DELAY(HIGH, 1))",
        "LD": "(DELAY(LOW, 1) - LOW)",
    }
)

LEFT_OUT: Mapping[int, str] = MappingProxyType(
    {
        30: "it is what a regression on the returns of three factors (market, size, value) leaves, which no panel has",
        143: "it multiplies its own value of the day before by today's return on every day that rose, and so hangs on "
        "the day on which it was begun",
    }
)

_FLAT = "It correlates ranks over few days; such a window is often constant, which has no correlation, and the strict "
SPARSE: Mapping[int, str] = MappingProxyType(
    {
        64: f"{_FLAT}windows above it (TS_MAX over 13, DECAY_LINEAR over 14) then lack one.",
        138: f"{_FLAT}windows above it (TS_RANK over 19, DECAY_LINEAR over 16, TS_RANK over 7) then lack one.",
    }
)

READINGS: Mapping[int, str] = MappingProxyType(
    {
        10: "the 5 behind the power is the window of MAX",
        22: "SMEAN is SMA",
        23: "in the first STD the window stands behind its colon",
        36: "the windows of CORR and SUM are 6 and 2: the print has 6 behind SUM, 2 behind RANK and none for CORR",
        52: "L is LOW",
        54: "STD without a window has that of CORR, 10",
        78: "MA is MEAN",
        111: "VOL is VOLUME",
        127: "MEAN without a window has that of MAX, 12",
        131: "DELAT is DELTA",
        146: "the last SMA has no weight: 1",
        149: "over the days of the past 252 on which the index fell, at least 60 of them; FILTER has no number",
        159: "HGIH is HIGH",
        165: "SUMAC, MAX and MIN without a window have that of STD, 48",
        166: "the bracket before ',20)^2' has lost its function: MEAN",
        181: "the last SUM without a window has that of the first, 20",
        183: "SUMAC, MAX and MIN without a window have that of STD, 24",
        190: "in the first SUMIF the 1 is taken from the mean return, as in the second, not from the difference",
    }
)


@cache
def _formulas() -> Mapping[int, str]:
    text = files("fama_fast.library").joinpath("gtja191.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    pairs = (line.split("\t", 1) for line in lines)
    return MappingProxyType({int(number): _written_out(formula.strip()) for number, formula in pairs})


def _written_out(formula: str) -> str:
    return re.sub(rf"\b({'|'.join(ABBREVIATIONS)})\b", lambda found: ABBREVIATIONS[found[0]], formula)


@overload
def gtja191() -> dict[int, str]: ...
@overload
def gtja191(number: int) -> str: ...
def gtja191(number: int | None = None) -> dict[int, str] | str:
    """All formulas by number, 1 to 191 without those of `LEFT_OUT`, or the one of this number.

    They are in the package's own language, so no dialect is needed to compile them.

    Raises:
        UnknownName: there is no formula of this number, or it was left out; the message says why.
    """
    formulas = _formulas()
    if number is None:
        return dict(formulas)
    if number in LEFT_OUT:
        raise UnknownName(f"formula {number} of GTJA's 191 cannot be written in this language: {LEFT_OUT[number]}")
    if number not in formulas:
        raise UnknownName(f"there is no formula {number} among GTJA's 191: they are numbered 1 to {LAST}")
    return formulas[number]
