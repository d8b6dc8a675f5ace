"""Counts what reading values let pass: infinite ones, fields without any, prices of zero or below.

The counts are kept by date, so that dates which are read more than once, as rows around a chunk are, count once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.types import PRICE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fama_fast.types import BoolArray, IntArray

PRICES = frozenset({*PRICE_FIELDS, "VWAP", "ADJ_CLOSE"})
"""Fields that are prices: zero or below is no price."""
_RETURNS_OF = ("CLOSE", "ADJ_CLOSE")  # what returns are made of


def value_warnings(
    fields: Iterable[str], infinite: Mapping[str, int], known: Collection[str], unpriced: Mapping[str, int]
) -> tuple[str, ...]:
    """The sentences about the values of these fields, in their order.

    Args:
        infinite: infinite values by field. known: fields that have a value. unpriced: prices of zero or below by field.
    """
    names = tuple(fields)
    out = []
    for name in names:
        if infinite.get(name):
            out.append(f"{name}: {infinite[name]:,} infinite values taken as missing")
        if name not in known:
            out.append(f"{name}: no value at all")
    priced = [name for name in names if unpriced.get(name)]
    if priced:
        derived = "labels" if "RET" in names else "RET and labels"
        parts = (f"{n} {unpriced[n]:,}" + (f" (missing for {derived})" if n in _RETURNS_OF else "") for n in priced)
        out.append(f"prices of zero or below: {', '.join(parts)}")
    return tuple(out)


def unpriced(name: str, values: Any) -> IntArray | None:
    """Number of prices of zero or below in each row of a field (T, N); None for a field that is no price."""
    if name not in PRICES:
        return None
    counts: IntArray = np.count_nonzero((values <= 0.0) & (values > -np.inf), axis=1)
    return counts


class Noticed:
    """Counts of what was let pass on the dates that were read so far; rows are dates of the whole data."""

    def __init__(self, dates: int) -> None:
        self._dates = dates
        self._read: dict[str, BoolArray] = {}
        self._with_value: dict[str, BoolArray] = {}
        self._infinite: dict[str, IntArray] = {}
        self._unpriced: dict[str, IntArray] = {}
        self.members: IntArray = np.full(dates, -1)  # of the universe; -1 where it was not read

    def take(self, name: str, start: int, values: Any, infinite: IntArray | None) -> None:
        """Count a field's values (rows, N) on the dates from `start` on, and how many infinite ones each had."""
        rows = slice(start, start + len(values))
        self._rows(self._read, name, np.bool_)[rows] = True
        self._rows(self._with_value, name, np.bool_)[rows] = np.isfinite(values).any(axis=1)
        for counts, new in ((self._infinite, infinite), (self._unpriced, unpriced(name, values))):
            if name in counts or (new is not None and new.any()):
                self._rows(counts, name, np.int64)[rows] = 0 if new is None else new

    def part(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The counts of the dates [start, stop), for `merge` elsewhere."""
        rows = slice(start, stop)
        counts = (self._read, self._with_value, self._infinite, self._unpriced, {"": self.members})
        return [{name: values[rows].copy() for name, values in of.items()} for of in counts]

    def merge(self, start: int, part: Sequence[Mapping[str, Any]]) -> None:
        """Add the counts made elsewhere of the dates from `start` on."""
        read, with_value, infinite, below, members = part
        for name, there in read.items():
            rows = start + np.flatnonzero(there)
            self._rows(self._read, name, np.bool_)[rows] = True
            self._rows(self._with_value, name, np.bool_)[rows] = with_value[name][there]
            for counts, new in ((self._infinite, infinite), (self._unpriced, below)):
                if name in new:
                    self._rows(counts, name, np.int64)[rows] = new[name][there]
        known = np.flatnonzero(members[""] >= 0)
        self.members[start + known] = members[""][known]

    def _rows(self, kept: dict[str, Any], name: str, dtype: Any) -> Any:
        return kept.setdefault(name, np.zeros(self._dates, dtype=dtype))

    def warnings(self, fields: Iterable[str], start: int = 0, stop: int | None = None) -> tuple[str, ...]:
        """The sentences about these fields on the dates [start, stop)."""
        rows = slice(start, stop)
        names = [n for n in fields if n in self._read]
        # That there is no value at all is known when all dates were read.
        known = [n for n in names if not self._read[n][rows].all() or self._with_value[n][rows].any()]
        infinite = {n: int(c[rows].sum()) for n, c in self._infinite.items()}
        below = {n: int(c[rows].sum()) for n, c in self._unpriced.items()}
        return value_warnings(names, infinite, known, below)
