"""Daily figures of factors: dates in chunks, figures kept, values let go. A panel in memory may be one chunk.

A chunk holds as many dates more before it as a label is held, for what is traded (one at least, for turnover), and the
rows after it that labels reach. Every figure of a date follows from those rows alone, so the figures have the bits of
one run over everything. Labels are made from the closes of the chunk (`ReturnLabels`), or are in memory already
(`GivenLabels`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.data.labels import MIN_MEMBERS, label_exits, label_span, only_scored, returns_to
from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.daily import ChunkLabels
from fama_fast.engine.evaluate import lowered_roots, plan_chunks, read_names
from fama_fast.evaluation.daily import SERIES, Daily, daily_by_horizon
from fama_fast.evaluation.ic import MIN_PAIRS
from fama_fast.evaluation.rows import SortedRows
from fama_fast.panel import Panel
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.data.labels import Horizon, Sessions
    from fama_fast.engine import Alpha
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.types import FloatArray, IntArray

# Bytes a cell: of a label its values, order and what computing them takes; of a batch the order of one factor's rows
# and its legs.
LABEL_BYTES, _ORDER = 8 + 4 + 8 + 8, 4 + 1 + 1


class LabelRows(ChunkLabels, Protocol):
    """Labels by rows of the data: `fields` are read for them, in the rows asked for and `rows_after` rows after
    those."""

    def rows(self, loaded: Loaded, start: int, stop: int) -> FloatArray:
        """(stop - start, N) labels of the dates [start, stop), which must lie in memory."""

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        """The same with the order of each date's."""

    def later(self, rows: int) -> LabelRows:
        """Of each date the label so many rows later; none where the data end before."""


@dataclass(frozen=True)
class ReturnLabels:
    """Forward returns of the closes at hand, on dates that are scored (`data.labels.only_scored`).

    `exits` (T,) rows at which positions are left. `ahead`: of each date the label so many rows later.
    """

    exits: IntArray
    entry_lag: int
    rows_after: int
    min_members: int
    ahead: int = 0

    @classmethod
    def of(cls, source: Source, horizon: Horizon, entry_lag: int, *, min_members: int = MIN_MEMBERS) -> ReturnLabels:
        """Of the data with these dates: no label knows a close behind their last one."""
        sessions = source.sessions
        exits, rows_after = label_exits(sessions, horizon, entry_lag), label_span(sessions, horizon, entry_lag)
        return cls(exits, entry_lag, rows_after, min_members)

    @property
    def fields(self) -> tuple[str, ...]:
        return ("CLOSE",)

    @property
    def cell_bytes(self) -> int:
        return LABEL_BYTES

    def rows(self, loaded: Loaded, start: int, stop: int) -> FloatArray:
        end = min(self.exits.size, stop + self.rows_after)
        found = returns_to(loaded.rows(start, end)["CLOSE"], self.exits[start:stop] - start, self.entry_lag)
        first, last = min(self.exits.size, start + self.ahead), min(self.exits.size, stop + self.ahead)
        members = loaded.rows(first, last).universe if last > first else None
        if members is not None:
            found[: last - first] = only_scored(found[: last - first], members, self.min_members)
        return found

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        return SortedRows.of(self.rows(loaded, start, stop), threads=threads)

    def later(self, rows: int) -> ReturnLabels:
        dates = self.exits.size
        moved = np.concatenate([self.exits[rows:], np.full(min(rows, dates), dates)])
        more = {"entry_lag": self.entry_lag + rows, "rows_after": self.rows_after + rows, "ahead": self.ahead + rows}
        return replace(self, exits=moved, **more)


@dataclass(frozen=True)
class GivenLabels:
    """Labels (T, N) in memory, such as shuffled ones.

    `ahead`: of each date the label so many rows later. `order`: of each date's values, where they are sorted once for
    all chunks.
    """

    values: FloatArray
    ahead: int = 0
    order: SortedRows | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return ()

    @property
    def rows_after(self) -> int:
        return 0

    @property
    def cell_bytes(self) -> int:
        return LABEL_BYTES

    def rows(self, loaded: Loaded, start: int, stop: int) -> FloatArray:
        del loaded
        found: FloatArray = _filled_up(self.values[start + self.ahead : stop + self.ahead], stop - start, np.nan)
        return found

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        if self.order is None:
            return SortedRows.of(self.rows(loaded, start, stop), threads=threads)
        if self.ahead == start == 0 and stop == len(self.values):
            return self.order
        found = self.order.part(slice(start + self.ahead, stop + self.ahead))
        arrays = ((found.values, np.nan), (found.order, 0), (found.count, 0))
        return SortedRows.made(*(_filled_up(a, stop - start, nothing) for a, nothing in arrays))

    def later(self, rows: int) -> GivenLabels:
        return replace(self, ahead=self.ahead + rows)

    def cut(self, start: int, stop: int) -> GivenLabels:
        """Those of the dates [start, stop) alone, of data that are cut there."""
        rows = slice(start + self.ahead, stop + self.ahead)
        return GivenLabels(self.values[rows], 0, None if self.order is None else self.order.part(rows))


def _filled_up(array: Any, rows: int, nothing: float) -> Any:
    """The array, with as many rows of `nothing` behind it as `rows` rows ask for."""
    if len(array) == rows:
        return array
    out = np.full((rows, *array.shape[1:]), nothing, dtype=array.dtype)
    out[: len(array)] = array
    return out


def daily_in_chunks(
    alphas: Sequence[Alpha],
    source: Source,
    horizons: Sequence[int | Sessions],
    entry_lag: int,
    *,
    memory_budget: int | float | str | None,
    min_coverage: float | None,
    min_pairs: int,
    threads: int | None,
    min_members: int = MIN_MEMBERS,
    first: int = 0,
    last: int | None = None,
) -> list[Mapping[Any, Daily]]:
    """Daily figures by horizon of each alpha, in order; of the dates [first, last) alone, NaN elsewhere.

    Without a memory budget a panel is one chunk, and data that are read in parts have `DEFAULT_BUDGET`.

    Raises:
        ConfigError: a budget too small for one chunk. DataError: from reading.
    """
    in_memory = isinstance(source, Panel)
    return daily_by_labels(
        alphas,
        source,
        {h: ReturnLabels.of(source, h, entry_lag, min_members=min_members) for h in horizons},
        spans=held_rows(source, horizons, entry_lag),
        budget=parse_bytes(memory_budget) if memory_budget is not None else None if in_memory else DEFAULT_BUDGET,
        min_coverage=min_coverage,
        min_pairs=min_pairs,
        threads=threads,
        first=first,
        last=last,
    )


def held_rows(source: Source, horizons: Sequence[int | Sessions], entry_lag: int) -> dict[Any, int]:
    """Rows that a label of each horizon is held; of sessions the most that one is."""
    return {
        h: h if isinstance(h, int) else max(1, label_span(source.sessions, h, entry_lag) - entry_lag) for h in horizons
    }


def daily_by_labels(
    alphas: Sequence[Alpha],
    source: Source,
    labels_by: Mapping[Any, LabelRows],
    *,
    spans: Mapping[Any, int],
    budget: int | None,
    held: int = 0,
    min_coverage: float | None = None,
    min_pairs: int = MIN_PAIRS,
    threads: int | None = None,
    first: int = 0,
    last: int | None = None,
) -> list[Mapping[Any, Daily]]:
    """The same for any labels, by their keys. Of the budget `held` bytes are taken already, by labels in memory too.

    spans: rows that each label is held. budget: bytes; None: all dates of a panel in memory are one chunk.

    Raises:
        As `daily_in_chunks`.
    """
    if not alphas:
        return []
    dates = len(source.dates)
    stop_row = dates if last is None else last
    warm = max(1, *spans.values())
    roots = lowered_roots(alphas, source, min_coverage)
    fields, groups = read_names(roots, source)
    rows_of = ("CLOSE",) if "CLOSE" in source.supplied_fields or source.has_universe else source.supplied_fields
    read_for = [f for y in labels_by.values() for f in y.fields]
    fields = list(dict.fromkeys([*fields, *read_for, *rows_of]))
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        rows_after=max(y.rows_after for y in labels_by.values()),
        warm=warm,
        extra=len(labels_by) * LABEL_BYTES + 2,
        extra_batch=_ORDER,
        walked=stop_row - first,
        held=held,
    )
    series = {h: {name: np.full((len(alphas), dates), np.nan) for name in SERIES} for h in labels_by}
    for loaded in chunks(source, schedule, fields, groups, first, stop_row):
        begin, stop = max(0, loaded.start - warm), loaded.stop
        rows = slice(loaded.start, stop)
        view = loaded.rows(begin, stop)
        universe = view.universe
        present = trading(view) if universe is None else None
        labels = {h: y.sorted(loaded, begin, stop, threads) for h, y in labels_by.items()}
        del view
        for batch, found in compute(loaded, schedule.batches, warm=warm, threads=threads):
            for index, values in zip(batch.indices, found, strict=True):
                daily = daily_by_horizon(
                    values, labels, universe, present=present, spans=spans, min_pairs=min_pairs, threads=threads
                )
                for h, figures in daily.items():
                    for name in SERIES:
                        series[h][name][index, rows] = getattr(figures, name)[loaded.start - begin :]
            del found, values
        del labels, universe, present
    return [{h: Daily(**{n: series[h][n][i] for n in SERIES}) for h in labels_by} for i in range(len(alphas))]
