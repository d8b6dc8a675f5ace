"""The bars on which A-shares could be traded: not halted, not locked at the limit of their board.

Mainland exchanges limit a day's move from the previous close: 10% on the main boards (codes 60, 00, and others), 20% on
the STAR market (68) and, from 2020-08-24, on ChiNext (30), 30% in Beijing (8, 4, 92), 5% for shares under special
treatment (ST), which a code does not tell. A bar of one price at about such a move is locked: who wants to buy (or
sell) does not get to. Who trades at the close does not get to either where that is the day's extreme at the limit. It
is no expression, for it reads the codes.

Source: trading rules of the Shanghai, Shenzhen and Beijing stock exchanges, price limits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import ConfigError, DataError, UnknownName, quoted

if TYPE_CHECKING:
    from fama_fast.panel import Panel
    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray, FloatArray, IntArray

FIELDS = ("HIGH", "LOW", "CLOSE", "VOLUME")
LOOKBACK = 20
"""Rows back to which the previous close is looked for, over halts. One further back is not known: a bar of one price
then counts as locked."""

_TOLERANCE = 0.005  # limits are rounded to a cent; half a percent is that of a share of one yuan
_ONE_PRICE = 1e-6
_CODE = re.compile(r"(?<!\d)(\d{6})(?!\d)")
_CHINEXT_WIDER = np.datetime64("2020-08-24")


def board_limits(symbols: Any, dates: Any) -> FloatArray:
    """(T, N) limit of a day's move by board and date, such as 0.1.

    Args:
        symbols: (N,) texts with the six digits of a code, such as SH600000, 000001.SZ or 300750.

    Raises:
        DataError: a symbol without such a code.
    """
    out = np.full((len(dates), len(symbols)), 0.1)
    wider = dates.astype("datetime64[D]") >= _CHINEXT_WIDER
    for i, symbol in enumerate(symbols):
        found = _CODE.search(str(symbol))
        if not found:
            raise DataError(
                f"tradable: a-share reads the board from the six digits of a code, such as SH600000 or 000001.SZ: "
                f"symbol {quoted(symbol)} has none"
            )
        code = found[1]
        if code.startswith("68"):
            out[:, i] = 0.2
        elif code.startswith("30"):
            out[wider, i] = 0.2
        elif code.startswith(("8", "4", "92")):
            out[:, i] = 0.3
    return out


def previous_closes(close: FloatArray) -> FloatArray:
    """(T, N) the last close above zero before each row, at most `LOOKBACK` rows back; NaN where there is none."""
    price = np.where(close > 0.0, close, np.nan)
    out = np.full(close.shape, np.nan)
    for back in range(min(LOOKBACK, len(close) - 1), 0, -1):
        earlier = price[:-back]
        np.copyto(out[back:], earlier, where=np.isfinite(earlier))
    return out


def tradable(panel: Panel, *, at_close: bool = False) -> BoolArray:
    """(T, N) whether each bar of a panel could be traded. The first `LOOKBACK` rows do not know their previous closes.

    at_close: at its close; else at some price of it.

    Raises:
        DataError: a symbol without a code.
    """
    high, low, close, volume = (panel[name].astype(np.float64) for name in FIELDS)
    traded = np.isfinite(close) & (close > 0.0) & (volume > 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        one_price = np.abs(high - low) <= _ONE_PRICE * np.abs(high)
        signed = close / previous_closes(close) - 1.0
        move, limit = np.abs(signed), board_limits(panel.symbols, panel.dates)
        at_limit = np.abs(move - limit) <= _TOLERANCE
        special = (limit == 0.1) & (np.abs(move - 0.05) <= _TOLERANCE)
        extreme = np.abs(close - np.where(signed > 0.0, high, low)) <= _ONE_PRICE * close
    locked = one_price & (at_limit | special | ~np.isfinite(move))
    if at_close:
        locked |= at_limit & extreme
    out: BoolArray = traded & ~locked
    return out


def check_fields(source: Source) -> None:
    """Raises UnknownName where the data lack a field that the preset reads, DataError where a symbol has no code."""
    for name in FIELDS:
        if name not in source:
            raise UnknownName(f"tradable: a-share reads {', '.join(FIELDS)}: the data has no field {name}")
    board_limits(source.symbols, source.dates[:1])


def check_sessions(sessions: IntArray, entry: IntArray, exits: IntArray) -> None:
    """Refuses labels whose position is entered and left in one session: shares bought are sold the next day (T+1).

    Args:
        sessions: (T,) number of each row's session. entry, exits: (T,) rows; at or behind T where the data end before.

    Raises:
        ConfigError: there is one.
    """
    known = (exits < sessions.size) & (entry < sessions.size)
    if bool((sessions[entry[known]] == sessions[exits[known]]).any()):
        raise ConfigError(
            "tradable: a-share: shares that are bought can be sold in the next session (T+1), and the target leaves "
            'some in the session that it enters them in: hold for sessions, such as "1 session"'
        )
