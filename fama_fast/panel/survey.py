"""Reads the keys of data that are read in parts, once: dates, symbols, groups' labels, order of rows, symbols a
date.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.panel.calendar import Attendance
from fama_fast.panel.keys import read_symbols
from fama_fast.panel.text_values import labels_of, no_group

if TYPE_CHECKING:
    from fama_fast.panel.calendar import Span
    from fama_fast.panel.columns import Columns
    from fama_fast.panel.rows import Decoder
    from fama_fast.types import BoolArray, IntArray

_CELLS = 1 << 24  # that are looked at together for rows that share one


@dataclass(frozen=True)
class Survey:
    """The result of a pass over the keys.

    Attributes:
        moments: (T,) dates in microseconds. symbols: (N,) sorted names. labels: of each group, sorted. labelled: how
            many rows have a label of each.
        spans: first and last moment of each row group. ordered: rows come in the order of dates. rows: how many.
        counts: (T,) rows of each date. present: (T,) symbols with a row. first, last: (N,) the moments of each symbol's
            first and last row.
    """

    moments: IntArray
    symbols: pl.Series
    labels: dict[str, tuple[str, ...]]
    labelled: dict[str, int]
    spans: list[tuple[int, int]]
    ordered: bool
    counts: IntArray
    present: IntArray
    first: IntArray
    last: IntArray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @property
    def repeated(self) -> IntArray:
        """Moments on which some symbol has more than one row."""
        return self.moments[self.counts > self.present]

    @property
    def attendance(self) -> Attendance:
        """Number of symbols on each date that have a row, and that are alive."""
        first, last = np.searchsorted(self.moments, self.first), np.searchsorted(self.moments, self.last)
        return Attendance.of(self.present, first, last)


def survey(decoder: Decoder, columns: Columns, span: Span) -> Survey:
    """Read the keys of all rows; those outside of `span` are not judged, and there may be none inside.

    Raises:
        DataError: a key that cannot be read.
    """
    tally = _Tally()
    labels = {g: pl.Series([], dtype=pl.String) for g in columns.groups}
    labelled = dict.fromkeys(columns.groups, 0)
    files = decoder.files
    spans = [(2**63 - 1, -(2**63))] * len(files.groups)
    ordered, latest = True, -(2**63)
    wanted = list(dict.fromkeys([columns.date, columns.symbol, *columns.groups.values()]))
    for rows in decoder.rows(range(len(files.groups)), wanted, threads=True):
        when = rows.when
        ordered = ordered and bool(when[0] >= latest) and bool(np.all(when[1:] >= when[:-1]))
        latest = int(when[-1])
        low, high = spans[rows.group]
        spans[rows.group] = min(low, int(when.min())), max(high, int(when.max()))
        inside = rows.where(span.holds(when))
        if inside is None:
            continue
        names = read_symbols(inside.table[columns.symbol], source=decoder.files.source, locate=inside.locate)
        tally.add(inside.when, names, ordered=ordered)
        for name, column in columns.groups.items():
            texts = labels_of(inside.table[column]).drop_nulls().rename("")
            labelled[name] += len(texts)
            labels[name] = pl.concat([labels[name], texts.unique()]).unique()
    symbols, codes = tally.symbols()
    result = Survey(
        tally.moments,
        symbols,
        {g: tuple(s.sort().to_list()) for g, s in labels.items()},
        labelled,
        spans,
        ordered,
        tally.counts,
        tally.counts - tally.surplus,
        tally.first[codes],
        tally.last[codes],
    )
    return result if ordered or not tally.moments.size else replace(result, present=_present(decoder, columns, result))


class _Tally:
    """Counts of rows and symbols by date, as rows come in; `surplus`: rows of each date that share their symbol with
    another, counted as long as rows come in the order of dates."""

    def __init__(self) -> None:
        self.moments: IntArray = np.empty(0, dtype=np.int64)
        self.counts: IntArray = np.empty(0, dtype=np.int64)
        self.surplus: IntArray = np.empty(0, dtype=np.int64)
        self.first: IntArray = np.empty(0, dtype=np.int64)
        self.last: IntArray = np.empty(0, dtype=np.int64)
        self._codes: dict[str, int] = {}
        self._tail: BoolArray = np.empty(0, dtype=np.bool_)  # symbols with a row on the latest date so far

    def symbols(self) -> tuple[pl.Series, IntArray]:
        """All names, sorted, and the code of each."""
        names = pl.Series("", list(self._codes), dtype=pl.String)
        codes = names.arg_sort()
        return names.gather(codes), codes.to_numpy().astype(np.int64)

    def add(self, when: IntArray, names: pl.Series, *, ordered: bool) -> None:
        """Count rows with these moments and symbols; `ordered`: no moment so far was after a later one."""
        code = self._code(names)
        np.minimum.at(self.first, code, when)
        np.maximum.at(self.last, code, when)
        heads = np.concatenate(([0], np.flatnonzero(when[1:] != when[:-1]) + 1))
        days, day = np.unique(when[heads], return_inverse=True)
        lengths = np.diff(np.append(heads, when.size))
        known = np.union1d(self.moments, days)
        before, here = np.searchsorted(known, self.moments), np.searchsorted(known, days)
        counts, surplus = np.zeros((2, known.size), dtype=np.int64)
        counts[before], surplus[before] = self.counts, self.surplus
        counts[here] += np.bincount(day, weights=lengths).astype(np.int64)
        if ordered:
            surplus[here] += lengths - self._distinct(when, code, heads)
        self.moments, self.counts, self.surplus = known, counts, surplus

    def _code(self, names: pl.Series) -> IntArray:
        """The number of each symbol, by when it came first."""
        different = names.unique()
        codes = self._codes
        table = np.array([codes.setdefault(n, len(codes)) for n in different.to_list()], dtype=np.int64)
        new = len(codes) - self.first.size
        if new:
            self.first = np.append(self.first, np.full(new, 2**63 - 1))
            self.last = np.append(self.last, np.full(new, -(2**63)))
            self._tail = np.append(self._tail, np.zeros(new, dtype=np.bool_))
        numbers: IntArray = table[names.cast(pl.Enum(different)).to_physical().to_numpy()]
        return numbers

    def _distinct(self, when: IntArray, code: IntArray, heads: IntArray) -> IntArray:
        """Symbols that each run of one date has and did not have in the rows before."""
        width = len(self._codes)
        run = np.repeat(np.arange(heads.size), np.diff(np.append(heads, when.size)))
        pairs = _different(run * width + code, heads.size * width)
        if not self.moments.size or when[0] > self.moments[-1]:
            self._tail[:] = False
        runs, symbols = np.divmod(pairs, width)
        again = np.count_nonzero(self._tail[symbols[runs == 0]])
        if heads.size > 1:
            self._tail[:] = False
        self._tail[symbols[runs == heads.size - 1]] = True
        distinct: IntArray = np.bincount(runs, minlength=heads.size)
        distinct[0] -= again
        return distinct


def _different(numbers: IntArray, stop: int) -> IntArray:
    """The distinct whole numbers below `stop`, ascending."""
    if stop <= 8 * numbers.size:
        there = np.zeros(stop, dtype=np.bool_)
        there[numbers] = True
        return np.flatnonzero(there)
    ascending = np.sort(numbers)
    return ascending[np.concatenate(([True], ascending[1:] != ascending[:-1]))]


def _present(decoder: Decoder, columns: Columns, found: Survey) -> IntArray:
    """(T,) number of symbols that have a row, where rows do not come in the order of dates: another pass over the
    keys."""
    moments, symbols = found.moments, pl.Enum(found.symbols)
    width = len(found.symbols)
    step = max(1, _CELLS // width)
    present: IntArray = np.empty(moments.size, dtype=np.int64)
    for start in range(0, moments.size, step):
        window = moments[start : start + step]
        low, high = int(window[0]), int(window[-1])
        there = np.zeros((window.size, width), dtype=np.bool_)
        for rows in decoder.rows(meeting(found.spans, low, high), [columns.date, columns.symbol], threads=True):
            inside, _ = rows.cut(low, high)
            if inside is None:
                continue
            names = read_symbols(inside.table[columns.symbol], source=decoder.files.source, locate=inside.locate)
            there[np.searchsorted(window, inside.when), names.cast(symbols).to_physical().to_numpy()] = True
        present[start : start + step] = np.count_nonzero(there, axis=1)
    return present


def meeting(spans: list[tuple[int, int]], low: int, high: int) -> list[int]:
    """Numbers of row groups that may hold moments of [low, high]."""
    return [i for i, (first, last) in enumerate(spans) if first <= high and last >= low]


def only_groups(columns: Columns, found: Survey) -> Columns:
    """The columns without those of text that are no groups; sentences about these are among `unused`."""
    reasons = {
        name: no_group(name, column, found.labels[name], rows=found.labelled[name], symbols=len(found.symbols))
        for name, column in columns.groups.items()
    }
    said = tuple(reason for reason in reasons.values() if reason is not None)
    groups = {name: column for name, column in columns.groups.items() if reasons[name] is None}
    return replace(columns, groups=groups, unused=(*columns.unused, *said))
