"""Alpha158, the factor set of Microsoft's qlib: names and texts in the `qlib` dialect.

Written after its definition, `Alpha158DL.get_feature_config` in qlib/contrib/data/loader.py of microsoft/qlib, with the
configuration of the `Alpha158` handler: 9 of the day's bar, 4 prices of today, 29 statistics over 5, 10, 20, 30 and 60
days. Every price stands beside today's close and every volume beside today's volume, so levels cancel. The set needs
OPEN, HIGH, LOW, CLOSE, VOLUME and VWAP (which derives from the others where the data lack it) and 60 days of the past.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from fama_fast.errors import UnknownName, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOWS = (5, 10, 20, 30, 60)
PRICES = ("OPEN", "HIGH", "LOW", "VWAP")
DIALECT = "qlib"

_RANGE = "($high-$low+1e-12)"
_UP = "Greater({0}-Ref({0}, 1), 0)"
_DOWN = "Greater(Ref({0}, 1)-{0}, 0)"
_MOVE = "Sum(Abs({0}-Ref({0}, 1)), %d)+1e-12"
_FLOW = "Abs($close/Ref($close, 1)-1)*$volume"

# The day's bar: body, range, upper and lower shadow, and where in the range the close is.
KBAR: Mapping[str, str] = MappingProxyType(
    {
        "KMID": "($close-$open)/$open",
        "KLEN": "($high-$low)/$open",
        "KMID2": f"($close-$open)/{_RANGE}",
        "KUP": "($high-Greater($open, $close))/$open",
        "KUP2": f"($high-Greater($open, $close))/{_RANGE}",
        "KLOW": "(Less($open, $close)-$low)/$open",
        "KLOW2": f"(Less($open, $close)-$low)/{_RANGE}",
        "KSFT": "(2*$close-$high-$low)/$open",
        "KSFT2": f"(2*$close-$high-$low)/{_RANGE}",
    }
)


def _moves(name: str, field: str) -> dict[str, str]:
    """Shares of the total movement that went up and down, and their difference."""
    up, down, move = _UP.format(field), _DOWN.format(field), _MOVE.format(field)
    return {
        f"{name}P": f"Sum({up}, %d)/({move})",
        f"{name}N": f"Sum({down}, %d)/({move})",
        f"{name}D": f"(Sum({up}, %d)-Sum({down}, %d))/({move})",
    }


# Statistics over a window, which stands for each %d.
ROLLING: Mapping[str, str] = MappingProxyType(
    {
        "ROC": "Ref($close, %d)/$close",
        "MA": "Mean($close, %d)/$close",
        "STD": "Std($close, %d)/$close",
        "BETA": "Slope($close, %d)/$close",
        "RSQR": "Rsquare($close, %d)",
        "RESI": "Resi($close, %d)/$close",
        "MAX": "Max($high, %d)/$close",
        "MIN": "Min($low, %d)/$close",
        "QTLU": "Quantile($close, %d, 0.8)/$close",
        "QTLD": "Quantile($close, %d, 0.2)/$close",
        "RANK": "Rank($close, %d)",
        "RSV": "($close-Min($low, %d))/(Max($high, %d)-Min($low, %d)+1e-12)",
        "IMAX": "IdxMax($high, %d)/%d",
        "IMIN": "IdxMin($low, %d)/%d",
        "IMXD": "(IdxMax($high, %d)-IdxMin($low, %d))/%d",
        "CORR": "Corr($close, Log($volume+1), %d)",
        "CORD": "Corr($close/Ref($close,1), Log($volume/Ref($volume, 1)+1), %d)",
        "CNTP": "Mean($close>Ref($close, 1), %d)",
        "CNTN": "Mean($close<Ref($close, 1), %d)",
        "CNTD": "Mean($close>Ref($close, 1), %d)-Mean($close<Ref($close, 1), %d)",
        **_moves("SUM", "$close"),
        "VMA": "Mean($volume, %d)/($volume+1e-12)",
        "VSTD": "Std($volume, %d)/($volume+1e-12)",
        "WVMA": f"Std({_FLOW}, %d)/(Mean({_FLOW}, %d)+1e-12)",
        **_moves("VSUM", "$volume"),
    }
)


@cache
def _expressions() -> Mapping[str, str]:
    prices = {f"{price}0": f"${price.lower()}/$close" for price in PRICES}
    rolling = {f"{name}{d}": text.replace("%d", str(d)) for name, text in ROLLING.items() for d in WINDOWS}
    return MappingProxyType({**KBAR, **prices, **rolling})


@overload
def alpha158() -> dict[str, str]: ...
@overload
def alpha158(name: str) -> str: ...
def alpha158(name: str | None = None) -> dict[str, str] | str:
    """All expressions by name in qlib's order, or the one of this name; compile them with `dialect="qlib"`.

    Raises:
        UnknownName: there is no factor of this name.
    """
    expressions = _expressions()
    if name is None:
        return dict(expressions)
    if name.upper() not in expressions:
        raise UnknownName(f"there is no Alpha158 factor {name[:40]!r}", suggestion=nearest_name(name, expressions))
    return expressions[name.upper()]


def volume_lags(days: int = 5) -> dict[str, str]:
    """qlib's optional volume block, which Alpha158 leaves out: VOLUME0 is today's, VOLUME1 yesterday's, ..."""
    return {f"VOLUME{d}": f"{'$volume' if d == 0 else f'Ref($volume, {d})'}/($volume+1e-12)" for d in range(days)}
