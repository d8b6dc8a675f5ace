"""Checksums of the data that stored values were computed from: they show whether, and where, history has changed.

A present cell (field, date, symbol, value) is hashed to 64 bits. The hashes of a date's cells are summed over its
symbols, and those of a symbol's over the dates of a month, both modulo 2^64. So a symbol without data adds nothing, a
month's sums grow by adding a date's, and a cell that differs shows its date and its symbol. What two different months
have in common by chance is one in 2^64 a date; nobody is defended against who would forge it.

The hash is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import StoreError
from fama_fast.panel.io.unreadable import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fama_fast.panel import Panel

UNIVERSE = "universe"
_GROUP = "group "
_ROWS = 1 << 16  # cells hashed at a time: they stay in the cache of a core


def group_name(name: str) -> str:
    """The name of a group field among the checksums of fields."""
    return _GROUP + name


@dataclass
class Sums:
    """Checksums of one field on some dates: one for each date (T,), and one for each symbol that has data."""

    dates: Any
    symbols: dict[str, int]


Checks = dict[str, Sums]
"""By field; groups and the universe count as fields."""


def data_hash(sums: Sums) -> str:
    """Hash of a field on some dates, 32 hex digits."""
    return hashlib.blake2b(np.ascontiguousarray(sums.dates).data, digest_size=16).hexdigest()


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mix(x: Any) -> Any:
    """SplitMix64's finaliser, in place."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


class Summer:
    """Computes checksums of data with these symbols."""

    def __init__(self, symbols: Iterable[Any]) -> None:
        self._names = [str(s) for s in symbols]
        self._symbol_keys = np.array([_key(s) for s in self._names], dtype=np.uint64)

    def __call__(self, panel: Panel, names: Iterable[str], moments: Any, rows: slice) -> Checks:
        """Checksums of the panel's `rows`, whose dates are `moments`."""
        when = _mix(np.asarray(moments).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        out: Checks = {}
        for name in names:
            bits, present = _bits(panel, name, rows)
            by_date = np.zeros(len(when), dtype=np.uint64)
            by_symbol = np.zeros(len(self._names), dtype=np.uint64)
            step = max(1, _ROWS // len(self._names))
            key = np.uint64(_key(name))
            for at in range(0, len(when), step):
                part = slice(at, at + step)
                # Mixed before and after the keys are added: sums of keys alone would be easy to hit twice.
                cells = _mix(bits[part] ^ key)
                cells += when[part, None]
                cells += self._symbol_keys
                _mix(cells)
                cells *= present[part]
                by_date[part] = cells.sum(axis=1, dtype=np.uint64)
                by_symbol += cells.sum(axis=0, dtype=np.uint64)
            seen = np.flatnonzero(by_symbol)
            out[name] = Sums(by_date, {self._names[i]: int(by_symbol[i]) for i in seen})
        return out


def _bits(panel: Panel, name: str, rows: slice) -> tuple[Any, Any]:
    """Cells as 64-bit words, and a mask of those that have a value."""
    if name == UNIVERSE:
        assert panel.universe is not None
        mask = panel.universe[rows]
        return mask.astype(np.uint64), mask
    if name.startswith(_GROUP):
        group = panel.group(name[len(_GROUP) :])
        codes = group.codes[rows]
        present = np.isfinite(codes)
        # Labels, not codes: these move when a label is added.
        keys = np.array([*(_key(label) for label in group.labels), 0], dtype=np.uint64)
        return keys[np.where(present, codes, -1).astype(np.int64)], present
    # Adding zero makes one of the two zeros, and a copy.
    values = np.add(panel[name][rows], 0.0, dtype=np.float64)
    return values.view(np.uint64), ~np.isnan(values)


def joined(first: Checks, second: Checks) -> Checks:
    """Checksums of consecutive spans of dates as one."""
    out = dict(first)
    for name, sums in second.items():
        if name not in out:
            out[name] = sums
            continue
        symbols = dict(out[name].symbols)
        for symbol, value in sums.symbols.items():
            symbols[symbol] = (symbols.get(symbol, 0) + value) % 2**64
        out[name] = Sums(np.concatenate([out[name].dates, sums.dates]), symbols)
    return out


def differences(stored: Checks, found: Checks, names: Iterable[str]) -> tuple[set[int], set[str], set[str]]:
    """The numbers of the dates, symbols and fields whose checksums differ."""
    dates: set[int] = set()
    symbols: set[str] = set()
    fields: set[str] = set()
    for name in names:
        old, new = stored[name], found[name]
        rows = np.flatnonzero(old.dates != new.dates)
        if rows.size:
            fields.add(name)
            dates.update(rows.tolist())
            both = old.symbols.keys() | new.symbols.keys()
            symbols.update(s for s in both if old.symbols.get(s, 0) != new.symbols.get(s, 0))
    return dates, symbols, fields


def write_checks(path: Path, checks: Checks) -> None:
    """Write checksums: one row for each (field, date number) and each (field, symbol)."""
    parts = []
    for name, sums in checks.items():
        count = len(sums.dates)
        parts.append(
            pl.DataFrame(
                {
                    "field": pl.repeat(name, count + len(sums.symbols), eager=True, dtype=pl.String),
                    "date": pl.Series([*range(count), *([None] * len(sums.symbols))], dtype=pl.Int32),
                    "symbol": pl.Series([*([None] * count), *sums.symbols], dtype=pl.String),
                    "sum": pl.Series(np.concatenate([sums.dates, np.array([*sums.symbols.values()], dtype=np.uint64)])),
                }
            )
        )
    pl.concat(parts).write_parquet(path, compression="zstd", compression_level=1)


def read_checks(path: Path) -> Checks:
    """Read the checksums that `write_checks` wrote.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        table = pl.read_parquet(path)
        out: Checks = {}
        for (name,), part in table.group_by(["field"], maintain_order=True):
            dates = part.filter(pl.col("date").is_not_null()).sort("date")["sum"].to_numpy()
            symbols = part.filter(pl.col("symbol").is_not_null())
            out[str(name)] = Sums(dates, dict(zip(symbols["symbol"].to_list(), symbols["sum"].to_list(), strict=True)))
    except UNREADABLE as error:
        raise StoreError(f"{path}: the store is damaged: {str(error).splitlines()[0]}") from error
    return out
