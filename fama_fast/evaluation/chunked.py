"""Daily figures of factors on data larger than memory: dates in chunks, figures kept, values let go.

A chunk holds one date more before it, for turnover, and the rows after it that labels reach. Every figure of a date
follows from those rows alone, so the figures have the bits of one run over everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.labels import label_exits, label_reach, returns_to
from fama_fast.engine.budget import DEFAULT_BUDGET, parse_bytes
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.evaluate import has_universe, lowered_roots, plan_chunks, read_names
from fama_fast.evaluation.daily import Daily, daily_by_horizon
from fama_fast.evaluation.rows import SortedRows
from fama_fast.panel.presence import trading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fama_fast.data.labels import Sessions
    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

_SERIES = ("rank_ic", "ic", "coverage", "turnover")
# Bytes a cell: of a label its values, order and what computing them takes; of a batch the order of one factor's rows.
_LABEL, _ORDER = 8 + 4 + 8 + 8, 4 + 1


def daily_in_chunks(
    alphas: Sequence[Alpha],
    source: Panel | Dataset,
    horizons: Sequence[int | Sessions],
    entry_lag: int,
    *,
    memory_budget: int | float | str | None,
    min_coverage: float | None,
    min_pairs: int,
    threads: int | None,
    first: int = 0,
    last: int | None = None,
) -> list[Mapping[Any, Daily]]:
    """Daily figures by horizon of each alpha, in order; of the dates [first, last) alone, NaN elsewhere.

    Raises:
        ConfigError: a budget too small for one chunk. DataError: from reading.
    """
    dates = len(source.dates)
    sessions = source.sessions
    exits = {h: label_exits(sessions, h, entry_lag) for h in horizons}
    reach = max(label_reach(sessions, h, entry_lag) for h in horizons)
    roots = lowered_roots(alphas, source, min_coverage)
    fields, groups = read_names(roots, source)
    rows_of = ("CLOSE",) if "CLOSE" in source.supplied_fields or has_universe(source) else source.supplied_fields
    fields = list(dict.fromkeys([*fields, "CLOSE", *rows_of]))
    schedule = plan_chunks(
        roots,
        source,
        DEFAULT_BUDGET if memory_budget is None else parse_bytes(memory_budget),
        fields=fields,
        groups=groups,
        reach=reach,
        warm=1,
        extra=len(horizons) * _LABEL + 2,
        extra_batch=_ORDER,
    )
    series = {h: {name: np.full((len(alphas), dates), np.nan) for name in _SERIES} for h in horizons}
    for loaded in chunks(source, schedule, fields, groups, first, last):
        begin, stop = max(0, loaded.start - 1), loaded.stop
        rows = slice(loaded.start, stop)
        view = loaded.rows(begin, stop)
        universe = view.universe
        present = trading(view) if universe is None else None
        close = loaded.rows(begin, min(dates, stop + reach))["CLOSE"]
        labels: dict[Any, SortedRows] = {
            h: SortedRows.of(returns_to(close, exits[h][begin:stop] - begin, entry_lag), threads=threads)
            for h in horizons
        }
        del view, close
        for batch, found in compute(loaded, schedule.batches, warm=1, threads=threads):
            for index, values in zip(batch.indices, found, strict=True):
                daily = daily_by_horizon(
                    values, labels, universe, present=present, min_pairs=min_pairs, threads=threads
                )
                for h, figures in daily.items():
                    for name in _SERIES:
                        series[h][name][index, rows] = getattr(figures, name)[loaded.start - begin :]
            del found, values
        del labels, universe, present
    return [{h: Daily(**{n: series[h][n][i] for n in _SERIES}) for h in horizons} for i in range(len(alphas))]
