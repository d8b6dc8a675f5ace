"""The data-quality checks on a loaded panel; each equals the check of `row_checks` on the same rows.

What ingestion already refused or counted (duplicate keys, infinite values, columns without a use) a panel does not
show; `Panel.warnings` has it. Every finding equals the one that `checks` makes of the same rows, and the tests hold it
to that. There they are queries of Polars, which arrays do not need, and whose threads a forked process lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.quality.finding import DEFAULT_JUMP, NOTE, RETURNED, SHOWN, WARNING, Finding, value_text
from fama_fast.types import PRICE_FIELDS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray, FloatArray, IntArray

_CELL_BYTES = 8  # of a (date, symbol): which rows are there, and what a check marks
_BLOCK = 256  # symbols whose moves are computed at once


def panel_findings(panel: Panel, *, jump: float = DEFAULT_JUMP) -> tuple[Finding, ...]:
    """Findings of the checks on a panel; a row is there on the dates on which a symbol has any value.

    Args:
        jump: size of a close-to-close move (0.2 is 20%) beyond which it is reported.
    """
    bars = _Bars(panel, jump)
    return tuple(f for f in (check(bars) for check in _CHECKS) if f is not None)


def bytes_needed(dates: int, symbols: int) -> int:
    """Estimated bytes that the checks take beside the panel."""
    return dates * symbols * _CELL_BYTES + 64 * dates * _BLOCK


@dataclass(frozen=True)
class _Moves:
    """Rows whose close moved beyond the threshold: symbols and days by number, ascending, the move from the close
    before, and where the next close stands against that."""

    symbol: IntArray
    day: IntArray
    move: FloatArray
    back: FloatArray


class _Bars:
    """A panel prepared for the checks."""

    def __init__(self, panel: Panel, jump: float) -> None:
        self.panel, self.jump = panel, jump
        self.fields = panel.supplied_fields
        self.names = [str(s) for s in panel.symbols]
        self.there: BoolArray = np.zeros(panel.shape, dtype=np.bool_)
        for name in self.fields:
            self.there |= np.isfinite(panel[name])

    def has(self, *fields: str) -> bool:
        return all(f in self.fields for f in fields)

    @cached_property
    def spans(self) -> tuple[IntArray, IntArray, IntArray, list[str]]:
        """First and last day and number of rows of each symbol that has any, and its name."""
        count = np.count_nonzero(self.there, axis=0)
        has = np.flatnonzero(count)
        first = self.there.argmax(axis=0)[has]
        last = len(self.there) - 1 - self.there[::-1].argmax(axis=0)[has]
        return first, last, count[has], [self.names[i] for i in has]

    @cached_property
    def moves(self) -> _Moves:
        close = self.panel["CLOSE"]
        parts: list[tuple[Any, ...]] = []
        for start in range(0, close.shape[1], _BLOCK):
            block = np.ascontiguousarray(close[:, start : start + _BLOCK], dtype=np.float64)
            before = _last_known(block)
            after = _last_known(block[::-1])[::-1]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                move = np.where(block > 0.0, block / before - 1.0, np.nan)
                day, symbol = np.nonzero(np.abs(move) > self.jump)
                back = after[day, symbol] / before[day, symbol] - 1.0
            parts.append((symbol + start, day, move[day, symbol], back))
        symbol, day, moved, back = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((day, symbol))
        return _Moves(symbol[order], day[order], moved[order], back[order])

    def row(self, day: int, symbol: int) -> str:
        """Name of a row in messages: `AOS 2014-05-19`."""
        return f"{self.names[symbol]} {self._days[day]}"

    @cached_property
    def _days(self) -> list[str]:
        dates = self.panel.dates
        if bool((dates == dates.astype("datetime64[D]")).all()):
            return [str(d) for d in dates.astype("datetime64[D]")]
        moments: Sequence[dt.datetime] = dates.astype("datetime64[us]").tolist()
        return [str(m) for m in moments]

    def examples(self, day: Any, symbol: Any, *fields: str) -> tuple[str, ...]:
        """Examples of the first rows by date and symbol, with these fields."""
        shown = []
        for t, i in list(zip(day, symbol, strict=True))[:SHOWN]:
            values = ", ".join(f"{f.lower()} {value_text(_known(self.panel[f][t, i]))}" for f in fields)
            shown.append(self.row(t, i) + (f": {values}" if values else ""))
        return tuple(shown)

    def where(self, wrong: BoolArray, check: str, message: str, *fields: str) -> Finding | None:
        count = int(np.count_nonzero(wrong))
        if not count:
            return None
        return Finding(check, WARNING, count, message, self.examples(*_first(wrong), *fields))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _first(wrong: BoolArray) -> tuple[list[int], list[int]]:
    """Days and symbols of the first few marked rows, by date."""
    days, symbols = [], []
    for t in np.flatnonzero(wrong.any(axis=1))[:SHOWN]:
        for i in np.flatnonzero(wrong[t])[:SHOWN]:
            days.append(int(t))
            symbols.append(int(i))
    return days[:SHOWN], symbols[:SHOWN]


def _last_known(close: FloatArray) -> FloatArray:
    """(T, N) the last price above zero on a row before each; NaN where there is none."""
    rows = np.where(close > 0.0, np.arange(len(close), dtype=np.int32)[:, None], np.int32(-1))
    np.maximum.accumulate(rows, axis=0, out=rows)
    out = np.full(close.shape, np.nan)
    at = rows[:-1]
    out[1:] = np.where(at >= 0, np.take_along_axis(close, np.maximum(at, 0), axis=0), np.nan)
    return out


def _missing_values(bars: _Bars) -> Finding | None:
    counts: dict[str, int] = {}
    lacking = np.zeros_like(bars.there)
    for name in bars.fields:
        missing = bars.there & np.isnan(bars.panel[name])
        counts[name] = int(np.count_nonzero(missing))
        lacking |= missing
    by_field = ", ".join(f"{f} {n:,}" for f, n in counts.items() if n)
    if not by_field:
        return None
    text = f"values missing in rows: {by_field}"
    return Finding("missing_values", WARNING, sum(counts.values()), text, bars.examples(*_first(lacking)))


def _high_below_low(bars: _Bars) -> Finding | None:
    if not bars.has("HIGH", "LOW"):
        return None
    wrong = bars.panel["HIGH"] < bars.panel["LOW"]
    return bars.where(wrong, "high_below_low", "bars with high below low", "HIGH", "LOW")


def _outside_range(bars: _Bars) -> Finding | None:
    if not bars.has("HIGH", "LOW"):
        return None
    wrong = np.zeros_like(bars.there)
    parts = []
    for name in ("OPEN", "CLOSE"):
        if bars.has(name):
            values = bars.panel[name]
            for word, beyond in (
                ("below low", values < bars.panel["LOW"]),
                ("above high", values > bars.panel["HIGH"]),
            ):
                count = int(np.count_nonzero(beyond))
                wrong |= beyond
                parts += [f"{name.lower()} {word} {count:,}"] if count else []
    text = f"bars with open or close outside [low, high] ({', '.join(parts)})"
    return bars.where(wrong, "outside_range", text, *(f for f in PRICE_FIELDS if bars.has(f)))


def _non_positive_prices(bars: _Bars) -> Finding | None:
    fields = [f for f in (*PRICE_FIELDS, "VWAP") if bars.has(f)]
    wrong = np.zeros_like(bars.there)
    for name in fields:
        wrong |= bars.panel[name] <= 0.0
    return bars.where(wrong, "non_positive_prices", "rows with a price of zero or less", *fields)


def _glitches(bars: _Bars) -> Finding | None:
    if not bars.has("CLOSE"):
        return None
    moves = bars.moves
    came_back = np.flatnonzero(np.abs(moves.back) < RETURNED)
    if not came_back.size:
        return None
    text = f"closes that move more than {bars.jump:.0%} and are back within {RETURNED:.0%} the next day (bad ticks?)"
    first = came_back[np.lexsort((moves.symbol[came_back], moves.day[came_back]))][:SHOWN]
    shown = tuple(
        f"{bars.row(moves.day[i], moves.symbol[i])}: move {value_text(float(moves.move[i]))}, "
        f"close {value_text(float(bars.panel['CLOSE'][moves.day[i], moves.symbol[i]]))}"
        for i in first
    )
    return Finding("glitches", WARNING, int(came_back.size), text, shown)


def _jumps(bars: _Bars) -> Finding | None:
    if not bars.has("CLOSE") or not bars.moves.day.size:
        return None
    moves = bars.moves
    largest = np.argsort(-np.abs(moves.move), kind="stable")[:SHOWN]
    shown = tuple(f"{bars.row(moves.day[i], moves.symbol[i])}: {moves.move[i]:+.0%}" for i in largest)
    text = f"close-to-close moves beyond {bars.jump:.0%} (unadjusted splits? the largest are shown)"
    return Finding("jumps", WARNING, int(moves.day.size), text, shown)


def _volumes(bars: _Bars) -> Finding | None:
    if not bars.has("VOLUME"):
        return None
    return bars.where(bars.panel["VOLUME"] == 0.0, "zero_volume", "rows with volume zero")


def _negative_volumes(bars: _Bars) -> Finding | None:
    if not bars.has("VOLUME"):
        return None
    return bars.where(bars.panel["VOLUME"] < 0.0, "negative_volume", "rows with a negative volume", "VOLUME")


def _flat_bars(bars: _Bars) -> Finding | None:
    if not bars.has(*PRICE_FIELDS):
        return None
    close = bars.panel["CLOSE"]
    wrong = np.ones_like(bars.there)
    for name in ("OPEN", "HIGH", "LOW"):
        wrong &= bars.panel[name] == close
    return bars.where(wrong, "flat_bars", "bars with open = high = low = close", "CLOSE")


def _gaps(bars: _Bars) -> Finding | None:
    first, last, count, names = bars.spans
    gap = last - first + 1 - count
    gaps = sorted((-int(g), name) for g, name in zip(gap, names, strict=True) if g > 0)
    if not gaps:
        return None
    shown = tuple(f"{name} {-g:,}" for g, name in gaps[:SHOWN])
    text = f"market days missing inside the histories of {len(gaps):,} symbols"
    return Finding("gaps", WARNING, int(gap.sum()), text, shown)


def _of_symbols(bars: _Bars, odd: BoolArray, by: IntArray, check: str, text: str) -> Finding | None:
    """Symbols that are marked, the least by `by` shown first."""
    _, _, count, names = bars.spans
    listed = sorted(
        (int(key), name, int(n)) for key, name, n, is_odd in zip(by, names, count, odd, strict=True) if is_odd
    )
    if not listed:
        return None
    return Finding(check, NOTE, len(listed), text, tuple(f"{name} ({n:,} rows)" for _, name, n in listed[:SHOWN]))


def _late_listings(bars: _Bars) -> Finding | None:
    first, _, count, _ = bars.spans
    return _of_symbols(bars, first > 0, count, "late_listings", "symbols that start after the first day")


def _early_ends(bars: _Bars) -> Finding | None:
    _, last, _, _ = bars.spans
    return _of_symbols(bars, last < len(bars.there) - 1, last, "early_ends", "symbols that end before the last day")


def _short_histories(bars: _Bars) -> Finding | None:
    _, _, count, _ = bars.spans
    text = "symbols with rows on fewer than half of the days"
    return _of_symbols(bars, count * 2 < len(bars.there), count, "short_histories", text)


def _survivorship(bars: _Bars) -> Finding | None:
    _, last, _, names = bars.spans
    if len(bars.there) < 2 or len(names) < 2 or bool((last < len(bars.there) - 1).any()):
        return None
    text = (
        "every symbol has a row on the last day: the symbols were probably chosen at the end of the period "
        "(survivorship bias)"
    )
    return Finding("survivorship", WARNING, len(names), text)


_CHECKS: tuple[Callable[[_Bars], Finding | None], ...] = (
    _missing_values,
    _high_below_low,
    _outside_range,
    _non_positive_prices,
    _glitches,
    _jumps,
    _volumes,
    _negative_volumes,
    _flat_bars,
    _gaps,
    _late_listings,
    _early_ends,
    _short_histories,
    _survivorship,
)
