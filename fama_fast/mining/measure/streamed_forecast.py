"""The forecast of thousands of weighted formulas, made batch by batch: their ranks are never all there at once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import passes
from fama_fast.arguments import frozen
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.prepare import lowered, plan_chunks, read_names
from fama_fast.evaluation.blend import add_ranks
from fama_fast.evaluation.daily import SERIES, Daily, daily
from fama_fast.evaluation.ranks import oriented_ranks
from fama_fast.evaluation.rows import over_rows
from fama_fast.mining.measure.horizons import over_markets
from fama_fast.mining.measure.rank_moments import pass_bytes
from fama_fast.target.rows import LABEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine.budget import Schedule
    from fama_fast.ir import Node
    from fama_fast.mining.measure.market import Market
    from fama_fast.panel.source import Source
    from fama_fast.target.rows import LabelRows
    from fama_fast.types import BoolArray, FloatArray


class SeriesByHorizon:
    """Daily figures of one forecast over some rows, at the horizon of each market, filled in stretch by stretch.

    Attributes:
        rows: the rows that are asked for. found: figures by name at each horizon, (dates,).
    """

    def __init__(self, market: Market, rows: slice) -> None:
        self.market, self.rows = market, rows
        dates = rows.stop - rows.start
        self.found = [{name: np.full(dates, np.nan) for name in SERIES} for _ in market.every]

    def add(
        self, forecast: FloatArray, labels: Sequence[FloatArray], inside: BoolArray | None, warm: int, first: int
    ) -> None:
        """The dates from row `first` on, of a forecast (rows, N) that begins at row `warm` and labels of each horizon;
        turnover and what is traded need the rows before."""
        threads = self.market.config.run.threads
        at = slice(first - self.rows.start, warm + len(forecast) - self.rows.start)
        for own, market, series in zip(labels, self.market.every, self.found, strict=True):
            figures = daily(forecast, own, inside, span=market.span, threads=threads)
            for name in SERIES:
                series[name][at] = getattr(figures, name)[first - warm :]

    def each(self) -> list[Daily]:
        """At each horizon."""
        return [Daily(**series) for series in self.found]

    def daily(self) -> Daily:
        """The mean over horizons."""
        return over_markets(self.market.every, self.each())


def planned(
    market: Market, roots: Sequence[Node], source: Source, labels: Sequence[LabelRows], rows: slice, *, kept: int
) -> tuple[Schedule, list[str], list[str]]:
    """How the values of some roots and the labels are read over some rows: the schedule, the fields and the groups.

    Args:
        kept: factors whose ranks stay in memory at once.
    """
    fields, groups = read_names(roots, source)
    fields = list(dict.fromkeys([*fields, *(name for y in labels for name in y.fields)]))
    groups = list(dict.fromkeys([*groups, *(name for y in labels for name in y.groups)]))
    schedule = plan_chunks(
        roots,
        source,
        market.budget.total,
        fields=fields,
        groups=groups,
        rows_before=market.horizon + max(y.rows_before for y in labels),
        rows_after=max(y.rows_after for y in labels),
        warm=market.horizon,
        extra=pass_bytes(kept) + sum(y.cell_bytes for y in labels) - LABEL_BYTES,
        walked=rows.stop - rows.start,
        held=market.budget.held,
    )
    return schedule, fields, groups


def weighted_forecast(
    market: Market, forms: Sequence[tuple[str, int]], weights: FloatArray, rows: slice, *, whole: bool = False
) -> SeriesByHorizon:
    """Daily figures of the sum of weights times oriented centred ranks, where a missing rank counts as the middle.

    A symbol without any rank on a date is missing. Formulas are added in the order of their lookbacks, whatever the
    batches, so that the bits do not depend on the memory that there is.

    Args:
        forms: (canonical text as proposed, its sign) of K formulas. weights: (K,). rows: dates of the mining rows, or
            of `whole` data: those of the test, which opens it.

    Raises:
        DataError: from reading. ConfigError: a budget too small for one chunk.
    """
    source = market.whole if whole else market.panel
    run, threads = market.config.run, market.config.run.threads
    every = [m.returns(source) if whole else m.label_rows for m in market.every]
    out = SeriesByHorizon(market, rows)
    if not len(forms):
        return out
    roots = lowered([f"RANK({text})" for text, _ in forms], source, run.min_coverage)
    order = by_lookback(roots, source)
    roots = tuple(roots[i] for i in order)
    schedule, fields, groups = planned(market, roots, source, every, rows, kept=1)
    for loaded in chunks(source, schedule, fields, groups, rows.start, rows.stop):
        begin = max(0, loaded.start - market.horizon)
        warm = max(begin, rows.start)
        sums = [np.zeros((loaded.stop - warm, len(source.symbols))) for _ in range(3)]
        for batch, found in compute(loaded, schedule.batches, warm=market.horizon, threads=threads):
            for index, values in zip(batch.indices, found, strict=True):
                ranks = oriented_ranks(values[warm - begin :], forms[order[index]][1], threads)
                weight = np.full(len(ranks), weights[order[index]])
                over_rows(functools.partial(add_ranks, frozen(ranks), weight, sums), ranks.shape, threads)
            del found, values, ranks
        universe = loaded.rows(warm, loaded.stop).universe if source.has_universe else None
        labels = [y.rows(loaded, warm, loaded.stop) for y in every]
        out.add(np.where(sums[2] > 0.0, sums[0], np.nan), labels, universe, warm, loaded.start)
        del sums, labels, universe
    return out


def by_lookback(roots: Sequence[Node], source: Source) -> list[int]:
    """Places of roots in the order in which a wide pool's ranks are added up: those that look back least come first."""
    available = frozenset(source.supplied_fields)
    back = [passes.lookback(root, available) for root in roots]
    return sorted(range(len(roots)), key=lambda i: (back[i], i))
