"""The data as the loop sees it: mining rows, labels, splits, and the measures that gates ask for.

The mining panel ends where the test split begins, so nothing in the loop can look at the test, even by
mistake; `open_test` is the one place that reads it. It knows no library, no proposer and no store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.data.labels import only_scored, shuffled_labels
from fama_fast.engine import daily_measures, daily_rank_ic, ranks_on
from fama_fast.engine.budget import Schedule
from fama_fast.engine.chunks import chunks
from fama_fast.errors import DataError
from fama_fast.evaluation import SortedRows, mean, newey_west_t, trading
from fama_fast.evaluation.chunked import daily_by_labels
from fama_fast.evaluation.ic import coverage_adjusted
from fama_fast.evaluation.ranks import unit_vector
from fama_fast.evaluation.score import compile_all
from fama_fast.lang import writable
from fama_fast.mining.css import sample_rows
from fama_fast.mining.measure.market_rows import split_rows
from fama_fast.mining.measure.pass_budget import PassBudget
from fama_fast.mining.measure.race import BlockSeries, Race, first_row
from fama_fast.mining.objective import Measured, Yardstick, deviations
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Vocabulary
from fama_fast.target import GivenLabels
from fama_fast.target.labels import LeftOut, TargetLabels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.engine.chunks import Loaded
    from fama_fast.evaluation import Daily
    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate, Member
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.source import Source
    from fama_fast.target import LabelRows
    from fama_fast.types import FloatArray


class Market:
    """Data cut for mining.

    Passes over the dates answer what the loop asks. Of data in memory a pass is one chunk, and the labels are sorted
    once. Of data that are read in parts it goes chunk by chunk within `run.memory_budget`; a batch of expressions
    shares it, and of a factor only daily figures and its ranks on the sampled training dates stay in memory. The
    answers have the same bits.

    Args:
        data: the whole data. config: splits, label, sampling and gates' settings. library: canonical texts of what the
            run begins with, whose rank vectors the budget holds.
        labels: (T, N) over the mining rows, in place of the forward returns; for controls that shuffle them.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers; from reading.
        ConfigError: a budget too small for one chunk and the library. UnknownName: the data have no CLOSE.
    """

    def __init__(
        self,
        data: Source,
        config: MiningConfig,
        *,
        library: Sequence[str] = (),
        labels: FloatArray | None = None,
    ) -> None:
        self.rows = split_rows(data, config)
        self.config, self.whole, self.library = config, data, library
        self.target = config.predicted
        self.reach = self.target.rows_ahead(data.sessions)
        self.horizon = max(self.target.held(data.sessions).values())
        self.left_out = LeftOut()
        # Labels of the last validation dates reach to the test's first row at most: the purge sees to that.
        self.panel = data.slice_dates(0, self.rows.test.start)
        self.vector_rows = sample_rows(self.rows.train, config.css.n_dates, config.run.seed)
        self.label_rows: LabelRows = GivenLabels(labels) if labels is not None else self.returns(self.panel)
        self._options: dict[str, Any] = {"threads": config.run.threads, "min_coverage": config.run.min_coverage}
        self.budget = self._budget(0 if labels is None else labels.nbytes)
        self._memory: dict[str, Any] = {"budget": self.budget.total, "held": self.budget.held}
        self.scale = self._survey()
        self.yardstick = Yardstick.of(
            config.objective, cost_bps=config.cost_bps, scale=self.scale, horizon=self.horizon
        )
        self.race = self._race()
        self._cuts: dict[tuple[int, int], tuple[Panel, GivenLabels]] = {}
        self._asked: list[Alpha] = []
        self._figures: dict[str, tuple[Daily, dict[int, FloatArray]]] = {}

    def _budget(self, labels: int) -> PassBudget:
        """What passes may take with so many bytes of labels in memory."""
        if isinstance(self.panel, Panel):
            return PassBudget()
        return PassBudget.of(
            self.panel,
            self.config,
            self.library,
            sampled=len(self.vector_rows),
            made=self.label_rows,
            labels=labels,
        )

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
            for name, rows in splits.items():
                own = slice(max(0, rows.start - loaded.start), max(0, rows.stop - loaded.start))
                known[name] = known[name] or bool(np.isfinite(scored[own]).any())
            if isinstance(self.panel, Panel):
                self.label_rows = GivenLabels(scored, 0, SortedRows.of(scored, threads=self.config.run.threads))
            del loaded, view, present, labels, scored
        self.unscored = int(np.count_nonzero(self.members < least))
        for name, found in known.items():
            if not found:
                raise self.no_returns(name)
        return max(0.0, float(np.nan_to_num(mean(spreads[self.rows.train]))))

    def _labels(self) -> Iterator[tuple[Loaded, FloatArray]]:
        """The labels of all mining rows, chunk by chunk, with the chunk's closes."""
        made, counted = self.label_rows, self.budget.total is not None
        core = self.budget.survey_rows(*self.panel.shape, made)
        schedule = Schedule(core, 0, made.rows_after, (), 0, counted=counted, rows_before=made.rows_before)
        fields = list(dict.fromkeys([*made.fields, *(["CLOSE"] if "CLOSE" in self.panel.supplied_fields else [])]))
        left_out = LeftOut()
        for loaded in chunks(self.panel, schedule, fields, list(made.groups)):
            if isinstance(made, TargetLabels):
                labels, left = made.made(loaded, loaded.start, loaded.stop, self.config.run.threads)
                self.left_out = left_out = left_out + left
                yield loaded, labels
                del labels
            else:
                yield loaded, made.rows(loaded, loaded.start, loaded.stop)

    def no_returns(self, split: str) -> DataError:
        """That a split has no label at all."""
        rows: slice = getattr(self.rows, split)
        start = f"{self.whole.source}: no forward return is known in the {split} split"
        if self.unscored and self.members[rows].max() < self.config.splits.min_members:
            most = int(self.members[rows].max())
            return DataError(
                f"{start}: the universe has at most {most} members there, fewer than splits.min_members, "
                f"{self.config.splits.min_members}"
            )
        if self.left_out.left:
            return DataError(f"{start}: of {self.left_out.of:,} that there are in both none is tradable at entry")
        return DataError(
            f"{start}: {'CLOSE is missing' if self.target.is_default else 'the target has no value there'}"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about dates that are not scored."""
        from fama_fast.data.labels import say_unscored

        few = say_unscored(self.unscored, self.panel.shape[0], self.config.splits.min_members)
        return (*few, *self.left_out.said())

    def _race(self) -> Race | None:
        """The race that the configuration asks for."""
        racing = self.config.racing
        if not racing.enabled or racing.rungs >= racing.blocks:
            return None
        return Race(
            self.panel.shape,
            self.score_parts,
            self.rows.train,
            self.members,
            error=racing.error,
            blocks=racing.blocks,
            rungs=racing.rungs,
            seed=self.config.run.seed,
        )

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
        found = daily_measures(alphas, self.panel, self.label_rows, span=self.horizon, **self._memory, **self._options)
        covered = np.minimum(found.count / np.maximum(self.members, 1.0), 1.0)
        return Measured(found.rank_ic, found.ic, found.spread, found.traded, covered)

    def score_parts(self, parts: Sequence[Sequence[Alpha]], block: slice) -> Iterator[BlockSeries]:
        """The objective's series on a block of dates, part by part: a race's rung."""
        for part in parts:
            yield self.score_block(part, first_row(part, block), block)

    def score_block(self, alphas: Sequence[Alpha], first: int, block: slice) -> BlockSeries:
        """The same of one part, computed from row `first` on. What is traded is not known on a block's first dates."""
        source: Source = self.panel
        labels, before = self.label_rows, 0
        if isinstance(source, Panel):
            # A cut is kept, with what the engine makes of its fields: many candidates are scored on the same one.
            if (first, block.stop) not in self._cuts:
                assert isinstance(labels, GivenLabels)
                self._cuts[first, block.stop] = source.slice_dates(first, block.stop), labels.cut(first, block.stop)
            source, labels = self._cuts[first, block.stop]
            before = first
        rows = {"first": block.start - before, "last": block.stop - before, "floor": first - before}
        if self.yardstick.objective.name == "rank_ic":
            return BlockSeries(*daily_rank_ic(alphas, source, labels, **rows, **self._memory, **self._options))
        found = daily_measures(alphas, source, labels, span=self.horizon, **rows, **self._memory, **self._options)
        return BlockSeries(self.yardstick.gross(found), found.count, self.yardstick.cost(found))

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
        known = self._figures.get(alpha.canonical)
        if known is None or ahead not in known[1]:
            if all(a.canonical != alpha.canonical for a in self._asked):
                self._asked = [alpha]
            labels = {0: self.label_rows, ahead: self.label_rows.later(ahead)} if ahead else {0: self.label_rows}
            found = daily_by_labels(
                self._asked,
                self.panel,
                labels,
                spans=dict.fromkeys(labels, self.horizon),
                **self._memory,
                **self._options,
            )
            self._figures = {
                a.canonical: (f[0], {key: figures.rank_ic for key, figures in f.items()})
                for a, f in zip(self._asked, found, strict=True)
            }
            known = self._figures[alpha.canonical]
        return known[0], known[1][ahead]

    def shuffled(self, rng: np.random.Generator, block: int) -> Market:
        """The same market with labels whose dates were dealt out anew, see `data.labels.shuffled_labels`.

        These are in memory, for any date may be dealt any other's.
        """
        labels = np.empty(self.panel.shape)
        # While they are dealt there are the labels, the dealt ones and a copy of a split.
        self._budget(3 * labels.nbytes)
        for loaded, found in self._labels():
            labels[loaded.start : loaded.stop] = found
        dealt = shuffled_labels(labels, (self.rows.train, self.rows.valid), rng, block)
        del labels
        if self.unscored:
            dealt[self.members < self.config.splits.min_members] = np.nan
        return Market(self.whole, self.config, library=self.library, labels=dealt)

    def lead(self, candidate: Candidate, member: Member) -> float:
        """Newey-West t of how far a candidate's daily series is above a member's in training, each for its breadth."""
        assert candidate.series is not None
        assert member.series is not None
        theirs = coverage_adjusted(1.0, member.scored_coverage) * member.series
        difference = coverage_adjusted(1.0, candidate.scored_coverage) * candidate.series - theirs
        return newey_west_t(difference[self.rows.train], horizon=self.horizon)

    def vectors(self, alphas: Sequence[Alpha]) -> Iterator[NDArray[np.float32]]:
        """Unit rank vectors on the sampled training dates; the engine does the ranking."""
        size = self.budget.vectors_a_pass(len(self.vector_rows) * self.panel.shape[1])
        if size is not None:
            # Whose vectors are asked for are those whose figures may be, one after another: they will share a pass.
            self._asked, self._figures = list(alphas), {}
        step = size or max(1, len(alphas))
        for at in range(0, len(alphas), step):
            some = alphas[at : at + step]
            for found in ranks_on(some, self.panel, self.vector_rows, **self._memory, **self._options):
                yield unit_vector(found)

    def open_test(self, factors: Sequence[Factor]) -> dict[str, dict[str, float]]:
        """Scores of each factor on the test rows, by fingerprint. Only the verdict may call this, once."""
        rows, forms = self.rows.test, [f.as_proposed for f in factors]
        found = daily_by_labels(
            compile_all([text for text, _ in forms], self.whole),
            self.whole,
            {0: self.returns(self.whole)},
            spans={0: self.horizon},
            first=rows.start,
            **self._memory,
            **self._options,
        )
        return {
            f.fingerprint: self.summary(figures[0].turned(sign), rows)
            for f, (_, sign), figures in zip(factors, forms, found, strict=True)
        }
