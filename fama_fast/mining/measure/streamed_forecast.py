"""The forecast of thousands of weighted formulas, made batch by batch: their ranks are never all there at once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import passes
from fama_fast.arguments import frozen
from fama_fast.engine import Alpha
from fama_fast.engine.chunks import chunks, compute
from fama_fast.engine.prepare import lowered_roots, plan_chunks, read_names
from fama_fast.evaluation.blend import add_ranks
from fama_fast.evaluation.daily import SERIES, Daily, daily
from fama_fast.evaluation.ranks import oriented_ranks
from fama_fast.evaluation.rows import over_rows
from fama_fast.mining.measure.horizons import over_markets
from fama_fast.mining.measure.rank_moments import pass_bytes
from fama_fast.ops.registry import build
from fama_fast.target.rows import LABEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine.budget import Schedule
    from fama_fast.ir import Node
    from fama_fast.mining.measure.market import Market
    from fama_fast.panel.source import Source
    from fama_fast.target.rows import LabelRows
    from fama_fast.types import BoolArray, FloatArray


_SUMS = 3 * 8 + 8  # bytes a cell of a further forecast: what it is added up from, and itself


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
    market: Market,
    roots: Sequence[Node],
    source: Source,
    labels: Sequence[LabelRows],
    rows: slice,
    *,
    kept: int,
    more: int = 0,
) -> tuple[Schedule, list[str], list[str]]:
    """How the values of some roots and the labels are read over some rows: the schedule, the fields and the groups.

    Args:
        kept: factors whose ranks stay in memory at once. more: further bytes a cell of a chunk.
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
        extra=pass_bytes(kept) + more + sum(y.cell_bytes for y in labels) - LABEL_BYTES,
        walked=rows.stop - rows.start,
        held=market.budget.held,
    )
    return schedule, fields, groups


def weighted_forecasts(
    market: Market, forms: Sequence[tuple[str, int]], weights: Sequence[FloatArray], rows: slice, *, whole: bool = False
) -> list[SeriesByHorizon]:
    """Daily figures of sums of weights times oriented centred ranks, where a missing rank counts as the middle.

    A symbol without any rank on a date is missing. Formulas are added in the order of their lookbacks, whatever the
    batches, so that the bits do not depend on the memory that there is, nor on the other forecasts.

    Args:
        forms: (canonical text as proposed, its sign) of K formulas. weights: (k,) of each forecast, of the first k of
            them; the others are not in it. rows: dates of the mining rows, or of `whole` data: those of the test, which
            opens it.

    Returns:
        One for each forecast; each formula is evaluated once for all of them.

    Raises:
        DataError: from reading. ConfigError: a budget too small for one chunk.
    """
    source = market.whole if whole else market.panel
    run, threads = market.config.run, market.config.run.threads
    every = [m.returns(source) if whole else m.label_rows for m in market.every]
    out = [SeriesByHorizon(market, rows) for _ in weights]
    forms = forms[: max((len(own) for own in weights), default=0)]
    if not len(forms):
        return out
    roots = lowered_roots(_ranked(market, [text for text, _ in forms]), source, run.min_coverage)
    order = by_lookback(roots, source)
    roots = tuple(roots[i] for i in order)
    more = _SUMS * (len(weights) - 1)
    schedule, fields, groups = planned(market, roots, source, every, rows, kept=1, more=more)
    for loaded in chunks(source, schedule, fields, groups, rows.start, rows.stop):
        begin = max(0, loaded.start - market.horizon)
        warm = max(begin, rows.start)
        shape = loaded.stop - warm, len(source.symbols)
        sums = [[np.zeros(shape) for _ in range(3)] for _ in weights]
        for batch, found in compute(loaded, schedule.batches, warm=market.horizon, threads=threads):
            for index, values in zip(batch.indices, found, strict=True):
                place = order[index]
                ranks = frozen(oriented_ranks(values[warm - begin :], forms[place][1], threads))
                for own, sums_of_own in zip(weights, sums, strict=True):
                    if place < len(own):
                        weight = np.full(len(ranks), own[place])
                        over_rows(functools.partial(add_ranks, ranks, weight, sums_of_own), ranks.shape, threads)
            del found, values, ranks
        universe = loaded.rows(warm, loaded.stop).universe if source.has_universe else None
        labels = [y.rows(loaded, warm, loaded.stop) for y in every]
        for series, (total, _, there) in zip(out, sums, strict=True):
            series.add(np.where(there > 0.0, total, np.nan), labels, universe, warm, loaded.start)
        del sums, labels, universe
    return out


def _ranked(market: Market, texts: Sequence[str]) -> list[Alpha]:
    """The rank of each formula, given as canonical texts: as if RANK(text) had been read."""
    return [
        Alpha(f"RANK({alpha.text})", alpha.dialect, passes.canonicalise(build("RANK", alpha.node)))
        for alpha in market.compiled(texts)
    ]


def by_lookback(roots: Sequence[Node], source: Source) -> list[int]:
    """Places of roots in the order in which a wide pool's ranks are added up: those that look back least come first."""
    available = frozenset(source.supplied_fields)
    back = [passes.lookback(root, available) for root in roots]
    return sorted(range(len(roots)), key=lambda i: (back[i], i))
