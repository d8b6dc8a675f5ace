"""Daily figures of factors: dates in chunks, figures kept, values let go. A panel in memory may be one chunk.

A chunk holds as many dates more before it as a label is held, for what is traded (one at least, for turnover), and the
rows around it that labels need. Every figure of a date follows from those rows alone, so the figures have the bits of
one run over everything. Labels are those of a target (`fama_fast.target`), made of the chunk's rows, or are in memory
already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.labels import MIN_MEMBERS
from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.prepare import lowered_roots, plan_chunks, read_names
from fama_fast.evaluation.daily import SERIES, Daily, daily_by_horizon
from fama_fast.evaluation.ic import MIN_PAIRS
from fama_fast.panel import Panel
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.engine import Alpha
    from fama_fast.panel.source import Source
    from fama_fast.target import LabelRows, Target

_ORDER = 4 + 1 + 1  # bytes a cell of a batch: the order of one factor's rows and its legs


def daily_in_chunks(
    alphas: Sequence[Alpha],
    source: Source,
    target: Target,
    *,
    memory_budget: int | float | str | None,
    min_coverage: float | None,
    min_pairs: int,
    threads: int | None,
    min_members: int = MIN_MEMBERS,
    first: int = 0,
    last: int | None = None,
) -> list[Mapping[Any, Daily]]:
    """Daily figures by the target's keys of each alpha, in order; of the dates [first, last) alone, NaN elsewhere.

    Without a memory budget a panel is one chunk, and data that are read in parts have `DEFAULT_BUDGET`.

    Raises:
        ConfigError: a budget too small for one chunk. DataError: from reading. As `Target.labels`.
    """
    in_memory = isinstance(source, Panel)
    return daily_by_labels(
        alphas,
        source,
        target.labels(source, min_members=min_members),
        spans=target.held(source.sessions),
        budget=parse_bytes(memory_budget) if memory_budget is not None else None if in_memory else DEFAULT_BUDGET,
        min_coverage=min_coverage,
        min_pairs=min_pairs,
        threads=threads,
        first=first,
        last=last,
    )


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
    groups = list(dict.fromkeys([*groups, *(g for y in labels_by.values() for g in y.groups)]))
    schedule = plan_chunks(
        roots,
        source,
        budget,
        fields=fields,
        groups=groups,
        rows_before=warm + max(y.rows_before for y in labels_by.values()),
        rows_after=max(y.rows_after for y in labels_by.values()),
        warm=warm,
        extra=sum(y.cell_bytes for y in labels_by.values()) + 2,
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
