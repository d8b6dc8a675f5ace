"""The market of data larger than memory: what the loop asks is answered in passes over the dates, chunk by chunk.

A batch of expressions shares a pass. Labels are made from the closes of each chunk; of a factor only daily figures and
its ranks on the sampled training dates stay in memory. The answers have the bits of `Market`. Nothing behind the mining
rows is read but by `open_test`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.backends.numba_vm.run import SortedLabels
from fama_fast.engine.budget import DEFAULT_BUDGET, Demand, Schedule, parse_bytes, show_bytes, smallest_chunk
from fama_fast.engine.chunks import chunks
from fama_fast.engine.daily_chunks import ChunkLabels, daily_rank_ic_in_chunks, ranks_in_chunks
from fama_fast.engine.evaluate import has_universe
from fama_fast.errors import ConfigError, ExpressionError
from fama_fast.evaluation import SortedRows, trading
from fama_fast.evaluation.chunked import LABEL_BYTES, GivenLabels, ReturnLabels, daily_by_labels
from fama_fast.evaluation.ranks import unit_vector
from fama_fast.mining.measure.market import Market
from fama_fast.mining.measure.rank_moments import pass_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.engine.chunks import Loaded
    from fama_fast.evaluation import Daily
    from fama_fast.evaluation.chunked import LabelRows
    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import FloatArray

_VECTOR_COPIES = 3  # of a member's rank vector: its own, the library's stacked one, one in use
_RANK_SHARE = 4  # at most this part of the budget is for ranks that become vectors
_BUFFERS = 8  # intermediates that a formula of the searchers may need at once
_SURVEY_BYTES = 8 * 8  # a cell of the first pass: closes read twice over, labels, presence


class MarketInParts(Market):
    """A data set cut for mining, within `run.memory_budget` (`budget.DEFAULT_BUDGET` by default).

    Args:
        data: the whole data. config: as of `Market`. library: canonical texts of what the run begins with.
        labels: (T, N) over the mining rows in memory, in place of the forward returns.

    Raises:
        ConfigError: a budget too small for one chunk and the library; the message says the least that would do.
        DataError: as `Market`; from reading. UnknownName: the data have no CLOSE.
    """

    def __init__(
        self, data: Dataset, config: MiningConfig, *, library: Sequence[str] = (), labels: FloatArray | None = None
    ) -> None:
        self._begin(data, config)
        self.data, self.library = data, library
        self.part = data.slice_dates(0, self.rows.test.start)
        self.part.need("CLOSE")
        cut = config.splits
        self.label_rows: LabelRows = (
            ReturnLabels.of(self.part, cut.horizon, cut.entry_lag, min_members=cut.min_members)
            if labels is None
            else GivenLabels(labels)
        )
        self._options: dict[str, Any] = {"threads": config.run.threads, "min_coverage": config.run.min_coverage}
        asked = config.run.memory_budget
        self.budget = DEFAULT_BUDGET if asked is None else parse_bytes(asked)
        self.taken = self._taken(0 if labels is None else labels.nbytes)
        self._memory: dict[str, int] = {"budget": self.budget, "held": self.taken}
        self._survey()
        if labels is not None and has_universe(data):
            labels[self.members < cut.min_members] = np.nan
        self.race = self._race(None)
        if self.race is not None:
            self.race.score_parts = self._race_parts
        self._asked: list[Alpha] = []
        self._figures: dict[str, tuple[Daily, dict[int, FloatArray]]] = {}

    def _taken(self, labels: int) -> int:
        """Bytes of the budget that stay in memory beside the chunks of a pass; refuses what leaves those too little."""
        config, (dates, symbols) = self.config, self.part.shape
        found = min(config.u, config.run.rounds * config.batch_size)
        ranks = 4 * len(self.vector_rows) * symbols
        vectors = (len(self.library) + found) * _VECTOR_COPIES * ranks
        # The widest chunk that can come up, while the pool of as many factors as can be found is scored.
        halo = 1 + max([config.gates.max_lookback, *(_lookback(text, self.data) for text in self.library)])
        fields, groups = len(self.data.supplied_fields), len(self.data.groups)
        widest = Demand(
            dates=dates,
            symbols=symbols,
            item=self.data.dtype.itemsize,
            fields=fields,
            groups=groups,
            rows_after=self.label_rows.rows_after,
            kept=0,
            extra=pass_bytes(found),
        )
        chunk = widest.bytes_of(smallest_chunk(halo), [(halo, fields + groups + _BUFFERS)])
        least = chunk + 2 * ranks + vectors + labels
        if least > self.budget:
            held = f"rank vectors of {len(self.library) + found} factors ({show_bytes(vectors)})"
            shuffled = f", shuffled labels ({show_bytes(labels)})" if labels else ""
            raise ConfigError(
                f"memory_budget of {show_bytes(self.budget)} is too small: mining these data needs at least "
                f"{show_bytes(least)}: one chunk of dates with the {halo} rows before it that gates.max_lookback and "
                f"the starting library allow ({symbols:,} symbols, {fields} fields, {groups} groups: "
                f"{show_bytes(chunk)}), {held}{shuffled}"
            )
        self._spare = self.budget - least
        return vectors + labels

    def _survey(self) -> None:
        """One pass over the mining rows: members of each date, and whether each split has labels."""
        schedule = self._plain()
        self.members = np.zeros(self.part.shape[0])
        splits = {"train": self.rows.train, "valid": self.rows.valid}
        known = dict.fromkeys(splits, False)
        least = self.config.splits.min_members if has_universe(self.data) else 0
        for loaded in chunks(self.part, schedule, ["CLOSE"], []):
            view = loaded.rows(loaded.start, loaded.stop)
            present = trading(view) if view.universe is None else view.universe
            self.members[loaded.start : loaded.stop] = present.sum(axis=1)
            labels = self.label_rows.rows(loaded, loaded.start, loaded.stop)
            for name, rows in splits.items():
                own = slice(max(0, rows.start - loaded.start), max(0, rows.stop - loaded.start))
                known[name] = known[name] or bool(np.isfinite(labels[own]).any())
            del view, present, labels
        self.unscored = int(np.count_nonzero(self.members < least))
        for name, found in known.items():
            if not found:
                raise self.no_returns(name)

    def _plain(self) -> Schedule:
        """Chunks for closes and labels alone."""
        dates, symbols = self.part.shape
        core = max(1, min(dates, (self.budget - self.taken) // (_SURVEY_BYTES * symbols)))
        return Schedule(core, 0, self.label_rows.rows_after, (), 0)

    def measure(self, alphas: Sequence[Alpha]) -> tuple[FloatArray, FloatArray]:
        """As `Market.measure`, in one pass."""
        series, counts = daily_rank_ic_in_chunks(
            alphas, self.part, self._chunk_labels(), **self._memory, **self._options
        )
        return series, np.minimum(counts / np.maximum(self.members, 1.0), 1.0)

    def _race_parts(self, parts: Sequence[Sequence[Alpha]], block: slice) -> Iterator[tuple[FloatArray, FloatArray]]:
        """What `Race.score_parts` does: each part in one pass over the block, on the very cut of the data."""
        assert self.race is not None
        for part in parts:
            yield daily_rank_ic_in_chunks(
                part,
                self.part,
                self._chunk_labels(),
                **self._memory,
                first=block.start,
                last=block.stop,
                floor=self.race.first_row(part, block),
                **self._options,
            )

    def _chunk_labels(self) -> ChunkLabels:
        labels, threads = self.label_rows, self.config.run.threads

        def sort(loaded: Loaded) -> SortedLabels:
            found = SortedRows.of(labels.rows(loaded, loaded.start, loaded.stop), threads=threads)
            return SortedLabels(found.values, found.order, found.count)

        return ChunkLabels(sort, labels.fields, labels.rows_after, LABEL_BYTES)

    def vectors(self, alphas: Sequence[Alpha]) -> Iterator[NDArray[np.float32]]:
        """As `Market.vectors`; the ranks of as many as a part of the budget holds share a pass."""
        # Whose vectors are asked for are those whose figures may be, one after another: they will share a pass.
        self._asked, self._figures = list(alphas), {}
        ranks = 8 * len(self.vector_rows) * self.part.shape[1]
        size = max(1, min(self._spare, (self.budget - self.taken) // _RANK_SHARE) // ranks)
        for at in range(0, len(alphas), size):
            some = alphas[at : at + size]
            for found in ranks_in_chunks(some, self.part, self.vector_rows, **self._memory, **self._options):
                yield unit_vector(found)

    def figures(self, alpha: Alpha, ahead: int = 0) -> tuple[Daily, FloatArray]:
        """As `Market.figures`; the first of a batch makes one pass for all of it."""
        known = self._figures.get(alpha.canonical)
        if known is None or ahead not in known[1]:
            if all(a.canonical != alpha.canonical for a in self._asked):
                self._asked = [alpha]
            labels = {0: self.label_rows, ahead: self.label_rows.later(ahead)} if ahead else {0: self.label_rows}
            found = daily_by_labels(
                self._asked, self.part, labels, memory_budget=self.budget, held=self.taken, **self._options
            )
            self._figures = {
                a.canonical: (f[0], {key: figures.rank_ic for key, figures in f.items()})
                for a, f in zip(self._asked, found, strict=True)
            }
            known = self._figures[alpha.canonical]
        return known[0], known[1][ahead]

    def shuffled(self, rng: np.random.Generator, block: int) -> MarketInParts:
        """As `Market.shuffled`; these labels are in memory, for any date may be dealt any other's."""
        from fama_fast.data.labels import shuffled_labels

        dates, symbols = self.part.shape
        # While they are dealt there are the labels, the dealt ones and a copy of a split.
        self._taken(3 * 8 * dates * symbols)
        labels = np.empty((dates, symbols))
        for loaded in chunks(self.part, self._plain(), ["CLOSE"], []):
            labels[loaded.start : loaded.stop] = self.label_rows.rows(loaded, loaded.start, loaded.stop)
        dealt = shuffled_labels(labels, (self.rows.train, self.rows.valid), rng, block)
        del labels
        return MarketInParts(self.data, self.config, library=self.library, labels=dealt)

    def open_test(self, factors: Sequence[Factor]) -> dict[str, dict[str, float]]:
        """As `Market.open_test`, in one pass."""
        from fama_fast.evaluation.score import compile_all

        cut, rows = self.config.splits, self.rows.test
        forms = [f.as_proposed for f in factors]
        found = daily_by_labels(
            compile_all([text for text, _ in forms], self.data),
            self.data,
            {0: ReturnLabels.of(self.data, cut.horizon, cut.entry_lag, min_members=cut.min_members)},
            memory_budget=self.budget,
            held=self.taken,
            first=rows.start,
            **self._options,
        )
        return {
            f.fingerprint: figures[0].turned(sign).summary(rows, self.horizon).as_dict()
            for f, (_, sign), figures in zip(factors, forms, found, strict=True)
        }


def _lookback(text: str, data: Dataset) -> int:
    """Of a factor of the starting library; 0 of one that these data cannot serve, which is left out later."""
    from fama_fast.engine import compile_recorded

    try:
        return compile_recorded(text, fields=data.fields, groups=data.groups).lookback
    except ExpressionError:
        return 0
