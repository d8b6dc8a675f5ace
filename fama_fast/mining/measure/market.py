"""The data as the loop sees it: mining rows, labels, splits, and the measures that gates ask for.

The mining panel ends where the test split begins, so nothing in the loop can look at the test, even by
mistake; `open_test` is the one place that reads it. It knows no library, no proposer and no store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.labels import only_scored, shuffled_labels
from fama_fast.engine import daily_measures, daily_rank_ic, ranks_on
from fama_fast.evaluation import SortedRows, mean, newey_west_t, trading
from fama_fast.evaluation.chunked import daily_by_labels
from fama_fast.evaluation.ic import coverage_adjusted
from fama_fast.evaluation.score import compile_all
from fama_fast.lang import writable
from fama_fast.mining.css import sample_rows
from fama_fast.mining.measure.cuts import Cuts
from fama_fast.mining.measure.full_figures import FullFigures
from fama_fast.mining.measure.horizons import averaged, over_longest, over_markets
from fama_fast.mining.measure.label_pass import label_chunks
from fama_fast.mining.measure.levels import SampledMembers, unit_vector
from fama_fast.mining.measure.market_rows import no_labels, split_rows
from fama_fast.mining.measure.pass_budget import PassBudget
from fama_fast.mining.measure.race import BlockSeries, first_row, race_of
from fama_fast.mining.objective import Measured, Yardstick, deviations
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Vocabulary
from fama_fast.target import GivenLabels
from fama_fast.target.labels import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.engine.chunks import Loaded
    from fama_fast.evaluation import Daily
    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate, Member
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.mining.measure.market_rows import Rows
    from fama_fast.panel.source import Source
    from fama_fast.target import LabelRows, Target
    from fama_fast.types import FloatArray, IntArray


class Market:
    """Data cut for mining.

    Passes over the dates answer what the loop asks. Of data in memory a pass is one chunk, and the labels are sorted
    once. Of data that are read in parts it goes chunk by chunk within `run.memory_budget`; a batch of expressions
    shares it, and of a factor only daily figures and its ranks on the sampled training dates stay in memory. The
    answers have the same bits.

    Args:
        data: the whole data. config: splits, label, sampling and gates' settings. library: canonical texts of what the
            run begins with, whose rank vectors the budget holds.
        labels: (T, N) over the mining rows, or one for each horizon, in place of the target's; for controls that
            shuffle them.
        first, target: of a further horizon, the market of the first one, whose data it shares, and its own target.
        rows: the splits, in place of those of the configuration.

    Attributes:
        further: a market for each further horizon. horizon: rows over which labels overlap, of the longest. span: rows
            that the own label is held; weight: of the longest, so many times that. own_scale: mean over training dates
            of the labels' standard deviation; scale: of what is averaged over horizons. levels: cells of 8-bit ranks.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers; from reading.
        ConfigError: a budget too small for one chunk and the library. UnknownName: a name that the data lack.
    """

    def __init__(
        self,
        data: Source,
        config: MiningConfig,
        *,
        library: Sequence[str] = (),
        labels: FloatArray | Sequence[FloatArray] | None = None,
        first: Market | None = None,
        target: Target | None = None,
        rows: Rows | None = None,
    ) -> None:
        self.rows = rows or split_rows(data, config)
        self.config, self.whole, self.library = config, data, library
        self.target = target or config.predicted
        self.reach = self.target.rows_ahead(data.sessions)
        held = list(self.target.held(data.sessions).values())
        self.span, self.horizon = held[0], max(held)
        self.weight: float = (first or self).horizon / self.span
        self.left_out = LeftOut()
        # Labels of the last validation dates reach to the test's first row at most: the purge sees to that.
        self.panel: Source = data.slice_dates(0, self.rows.test.start) if first is None else first.panel
        self.vector_rows = sample_rows(self.rows.train, config.css.n_dates, config.run.seed)
        self._sampled = SampledMembers.of(self.panel, self.rows.train, config.wide.dates_a_year, config.run.seed)
        given = [] if labels is None else [labels] if isinstance(labels, np.ndarray) else list(labels)
        self.label_rows: LabelRows = GivenLabels(given[0]) if given else self.returns(self.panel)
        self._options: dict[str, Any] = {"threads": config.run.threads, "min_coverage": config.run.min_coverage}
        self.budget = self._budget(sum(y.nbytes for y in given))
        self._memory: dict[str, Any] = {"budget": self.budget.total, "held": self.budget.held}
        self.own_scale = self._survey()
        self.levels = self._sampled.cells()
        # Rows that are ranked in the pass that measures, with the places of either sample among them.
        self._ranked = np.union1d(self.levels.rows, self.vector_rows)
        samples = self.levels.rows, self.vector_rows
        self._of_levels, self._of_vectors = (np.searchsorted(self._ranked, rows) for rows in samples)
        self.further = tuple(
            Market(
                data,
                config,
                library=library,
                labels=given[i] if given else None,
                first=self,
                target=replace(self.target, horizons=(key,)),
                rows=self.rows,
            )
            for i, key in enumerate(self.target.keys)
            if i
        )
        self.scale = float(np.mean([m.weight * m.own_scale for m in self.every]))
        self.yardstick = Yardstick.of(
            config.objective, cost_bps=config.cost_bps, scale=self.scale, horizon=self.horizon
        )
        asked = race_of(config, self.panel.shape, self.score_parts, self.rows.train, self.members)
        self.race = asked if first is None else None
        self._cuts = Cuts()
        self._full = FullFigures(self.panel, self.label_rows, self.span, {**self._memory, **self._options})

    def _budget(self, labels: int) -> PassBudget:
        """What passes may take with so many bytes of labels in memory."""
        if isinstance(self.panel, Panel):
            return PassBudget()
        more: dict[str, Any] = {"sampled": len(self.vector_rows), "made": self.label_rows, "warm": self.horizon}
        return PassBudget.of(self.panel, self.config, self.library, labels=labels, **more)

    def _survey(self) -> float:
        """One pass over the mining rows: members of each date, whether each split has labels, those kept in memory.

        Returns:
            Mean over training dates of the cross-sectional standard deviation of members' labels; 0 without any.
        """
        spreads = np.full(self.panel.shape[0], np.nan)
        self.members = np.zeros(self.panel.shape[0])
        splits = {"train": self.rows.train, "valid": self.rows.valid}
        known = dict.fromkeys(splits, False)
        least = self.config.splits.min_members if self.panel.has_universe else 0
        for loaded, labels in self._labels():
            view = loaded.rows(loaded.start, loaded.stop)
            present = trading(view) if view.universe is None else view.universe
            self.members[loaded.start : loaded.stop] = present.sum(axis=1)
            scored = only_scored(labels, view.universe, least)
            spreads[loaded.start : loaded.stop] = deviations(scored, view.universe)
            self._sampled.see(loaded.start, view.universe)
            for name, rows in splits.items():
                own = slice(max(0, rows.start - loaded.start), max(0, rows.stop - loaded.start))
                known[name] = known[name] or bool(np.isfinite(scored[own]).any())
            if isinstance(self.panel, Panel):
                self.label_rows = GivenLabels(scored, 0, SortedRows.of(scored, threads=self.config.run.threads))
            del loaded, view, present, labels, scored
        self.unscored = int(np.count_nonzero(self.members < least))
        for name, found in known.items():
            if not found:
                most = int(self.members[getattr(self.rows, name)].max()) if self.unscored else least
                raise no_labels(name, self.whole.source, most, least, self.left_out, plain=self.target.is_default)
        return max(0.0, float(np.nan_to_num(mean(spreads[self.rows.train]))))

    def _labels(self) -> Iterator[tuple[Loaded, FloatArray]]:
        """The labels of all mining rows, chunk by chunk, with the chunk's closes."""
        left_out = LeftOut()
        for loaded, labels, left in label_chunks(self.panel, self.label_rows, self.budget, self.config.run.threads):
            if left is not None:
                self.left_out = left_out = left_out + left
            yield loaded, labels
            del loaded, labels

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about dates that are not scored."""
        from fama_fast.data.labels import say_unscored

        few = say_unscored(self.unscored, self.panel.shape[0], self.config.splits.min_members)
        return (*few, *self.left_out.said())

    @property
    def every(self) -> tuple[Market, ...]:
        """The markets whose mean is what is measured."""
        return (self, *self.further)

    @property
    def held(self) -> Panel:
        """The mining rows in memory."""
        assert isinstance(self.panel, Panel)
        return self.panel

    @property
    def labels(self) -> SortedRows:
        """Those of the mining rows in memory."""
        assert isinstance(self.label_rows, GivenLabels)
        assert self.label_rows.order is not None
        return self.label_rows.order

    def returns(self, data: Source) -> LabelRows:
        """Labels of all dates of the data, made chunk by chunk."""
        labels = self.target.labels(data, min_members=self.config.splits.min_members)
        return next(iter(labels.values()))

    @property
    def vocabulary(self) -> Vocabulary:
        """What the data offers to proposals: not what an expression cannot name."""
        fields, groups = (tuple(n for n in names if writable(n)) for names in (self.panel.fields, self.panel.groups))
        if self.target.column is not None:
            # It is what is predicted, so nothing that predicts may see it.
            fields = tuple(n for n in fields if n != self.target.column.upper())
        return Vocabulary(fields, groups, max_window=min(self.config.gates.max_lookback + 1, 250))

    def measure(self, alphas: Sequence[Alpha]) -> Measured:
        """Daily series over the mining rows, exact, with the share of members that have a value.

        Values are never materialised. A symbol that does not trade but has a value counts too, up to everyone.
        """
        return over_markets(self.every, [market._measured(alphas)[0] for market in self.every])

    def _measured(self, alphas: Sequence[Alpha], sampled: IntArray | None = None) -> tuple[Measured, Levels | None]:
        """The same at the own horizon alone, with the levels of sampled rows (K, rows, N) if they are asked for."""
        options: dict[str, Any] = {"span": self.span, "sampled": sampled, **self._memory, **self._options}
        found = daily_measures(alphas, self.panel, self.label_rows, **options)
        covered = np.minimum(found.count / np.maximum(self.members, 1.0), 1.0)
        return Measured(found.rank_ic, found.ic, found.spread, found.traded, covered), found.levels

    def measure_levels(self, alphas: Sequence[Alpha]) -> tuple[Measured, Levels, Levels]:
        """`measure`, and ranks in 8 bits on sampled training dates, as proposed: the levels (K, cells) that the wide
        pool takes, and those (K, dates times N) that a rank vector is made of (`levels.unit_vector`)."""
        symbols = self.panel.shape[1]
        size = self.budget.vectors_a_pass(len(self._ranked) * symbols) or max(1, len(alphas))
        parts, out = [], np.empty((len(alphas), self.levels.count), dtype=np.int8)
        vectors = np.empty((len(alphas), len(self.vector_rows), symbols), dtype=np.int8)
        for at in range(0, max(1, len(alphas)), size):
            some = alphas[at : at + size]
            own, levels = self._measured(some, self._ranked)
            assert levels is not None
            out[at : at + size] = self.levels.taken(levels[:, self._of_levels])
            vectors[at : at + size] = levels[:, self._of_vectors]
            parts.append(over_markets(self.every, [own, *(market._measured(some)[0] for market in self.further)]))
        return Measured.joined(parts), out, vectors.reshape(len(alphas), len(self.vector_rows) * symbols)

    def score_parts(self, parts: Sequence[Sequence[Alpha]], block: slice) -> Iterator[BlockSeries]:
        """The objective's series on a block of dates, part by part: a race's rung."""
        for part in parts:
            yield self.score_block(part, first_row(part, block), block)

    def score_block(self, alphas: Sequence[Alpha], first: int, block: slice) -> BlockSeries:
        """The same of one part, computed from row `first` on. What is traded is not known on a block's first dates."""
        return averaged([market._block(alphas, first, block, self.yardstick) for market in self.every])

    def _block(self, alphas: Sequence[Alpha], first: int, block: slice, yardstick: Yardstick) -> BlockSeries:
        """The same at the own horizon alone."""
        source: Source = self.panel
        labels, before = self.label_rows, 0
        if isinstance(source, Panel):
            assert isinstance(labels, GivenLabels)
            source, labels, before = self._cuts.of(source, first, block.stop), labels.cut(first, block.stop), first
        rows = {"first": block.start - before, "last": block.stop - before, "floor": first - before}
        if yardstick.objective.name == "rank_ic":
            return BlockSeries(*daily_rank_ic(alphas, source, labels, **rows, **self._memory, **self._options))
        daily = daily_measures(alphas, source, labels, span=self.span, **rows, **self._memory, **self._options)
        found = over_longest(daily, self.weight)
        return BlockSeries(yardstick.gross(found), found.count, yardstick.cost(found))

    def training_series(self, texts: Sequence[str]) -> FloatArray:
        """The objective's exact daily series over the training rows, (K, dates of training), of canonical texts, each
        in the direction that these rows give it."""
        train = self.rows.train
        found = self.measure(self.compiled(texts))
        out = np.empty((len(texts), train.stop - train.start))
        for i, one in enumerate(found):
            out[i] = self.yardstick.series(one, self.yardstick.direction(one, train))[train]
        return out

    def compiled(self, texts: Iterable[str]) -> list[Alpha]:
        """Recorded canonical texts, read with the names of these data."""
        from fama_fast.engine import compile_recorded

        known: dict[str, Any] = {"fields": self.panel.fields, "groups": self.panel.groups}
        return [compile_recorded(text, **known) for text in texts]

    def scores(self, measured: Measured, sign: int, split: str) -> dict[str, float]:
        """What `measure` found of `sign` times one factor, over a split: see `Yardstick.scores`."""
        return self.yardstick.scores(measured, sign, getattr(self.rows, split))

    def training(self, series: FloatArray) -> FloatArray:
        """The training rows of a daily series (T,)."""
        return series[self.rows.train]

    def scored_coverage(self, series: FloatArray, covered: FloatArray) -> float:
        """Mean share of members with a value on the training dates that are in its series, of what `measure` found of
        one factor; 1 where there is no such date."""
        there = np.isfinite(series[self.rows.train])
        return mean(covered[self.rows.train][there]) if there.any() else 1.0

    def full_scores(self, alpha: Alpha, sign: int) -> dict[str, dict[str, float]]:
        """All figures of `FactorScores` of `sign` times an alpha over training and validation: for what is kept, as it
        takes the values."""
        found = self.figures(alpha)[0].turned(sign)
        return {s: self.summary(found, getattr(self.rows, s)) for s in ("train", "valid")}

    def summary(self, found: Daily, rows: slice | None = None) -> dict[str, float]:
        """Scores of a factor's or a pool's daily figures over some rows of theirs, with those of the objective."""
        return self.yardstick.with_objective(found.summary(rows, self.horizon, self.config.cost_bps).as_dict())

    def figures(self, alpha: Alpha, ahead: int = 0) -> tuple[Daily, FloatArray]:
        """Daily figures (T,) over the mining rows; and the RankIC of each date with the labels `ahead` dates later.

        The second is NaN for the last `ahead` dates. The first of a batch makes one pass for all of it.
        """
        found = [market._full.of(alpha, ahead, self._full.asked) for market in self.every]
        later = [series for _, series in found]
        return over_markets(self.every, [series for series, _ in found]), sum(later[1:], later[0]) / len(later)

    def shuffled(self, rng: np.random.Generator, block: int) -> Market:
        """The same market with labels whose dates were dealt out anew, see `data.labels.shuffled_labels`.

        These are in memory, for any date may be dealt any other's.
        """
        state = rng.bit_generator.state
        dealt = []
        for market in self.every:
            rng.bit_generator.state = state  # dates are dealt out alike at every horizon
            dealt.append(market._dealt(rng, block, len(self.further)))
        return Market(self.whole, self.config, library=self.library, labels=dealt)

    def _dealt(self, rng: np.random.Generator, block: int, others: int) -> FloatArray:
        """The own labels, dealt out anew, beside those of so many other horizons."""
        labels = np.empty(self.panel.shape)
        # While they are dealt there are the labels, the dealt ones and a copy of a split.
        self._budget((3 + others) * labels.nbytes)
        for loaded, found in self._labels():
            labels[loaded.start : loaded.stop] = found
        dealt = shuffled_labels(labels, (self.rows.train, self.rows.valid), rng, block)
        if self.unscored:
            dealt[self.members < self.config.splits.min_members] = np.nan
        return dealt

    def lead(self, candidate: Candidate | Member, member: Member) -> float:
        """Newey-West t of how far a candidate's, or a member's, daily series is above a member's in training, each for
        its breadth."""
        assert candidate.series is not None
        assert member.series is not None
        theirs = coverage_adjusted(1.0, member.scored_coverage) * member.series
        difference = coverage_adjusted(1.0, candidate.scored_coverage) * candidate.series - theirs
        return newey_west_t(difference[self.rows.train], horizon=self.horizon)

    def share_pass(self, alphas: Sequence[Alpha]) -> None:
        """The figures of these will be asked for one after another: where data are read in parts they take one pass."""
        if not isinstance(self.panel, Panel):
            self._full.share(alphas)

    def vectors(self, alphas: Sequence[Alpha]) -> Iterator[NDArray[np.float32]]:
        """Unit rank vectors on the sampled training dates, in a pass of their own; see `measure_levels`."""
        step = self.budget.vectors_a_pass(len(self.vector_rows) * self.panel.shape[1]) or max(1, len(alphas))
        for at in range(0, len(alphas), step):
            _, levels = self._measured(alphas[at : at + step], self.vector_rows)
            assert levels is not None
            for own in levels:
                yield unit_vector(own)

    def ranks(self, alphas: Sequence[Alpha], rows: IntArray) -> Iterator[FloatArray]:
        """Cross-sectional ranks in (0, 1] (len(rows), N) of each alpha in turn on some mining rows, ascending."""
        yield from ranks_on(alphas, self.panel, rows, **self._memory, **self._options)

    def ranks_nearby(self, alphas: Sequence[Alpha], rows: IntArray) -> Iterator[FloatArray]:
        """The same, with the same bits, where the rows lie near to each other: of data in memory no more is computed
        than what an alpha looks back on from there."""
        if isinstance(self.panel, Panel):
            yield from self._cuts.ranks(self.panel, alphas, rows, **self._options)
        else:
            yield from self.ranks(alphas, rows)

    def open_test(self, factors: Sequence[Factor]) -> dict[str, dict[str, float]]:
        """Scores of each factor on the test rows, by fingerprint. Only the verdict may call this, once."""
        rows, forms = self.rows.test, [f.as_proposed for f in factors]
        found = daily_by_labels(
            compile_all([text for text, _ in forms], self.whole),
            self.whole,
            {i: market.returns(self.whole) for i, market in enumerate(self.every)},
            spans={i: market.span for i, market in enumerate(self.every)},
            first=rows.start,
            **self._memory,
            **self._options,
        )
        return {
            f.fingerprint: self.summary(over_markets(self.every, list(figures.values())).turned(sign), rows)
            for f, (_, sign), figures in zip(factors, forms, found, strict=True)
        }
