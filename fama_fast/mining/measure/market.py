"""The data as the loop sees it: mining rows, labels, splits, and the measures that gates ask for.

The mining panel ends where the test split begins, so nothing in the loop can look at the test, even by
mistake; `open_test` is the one place that reads it. Data larger than memory have a market of their own, `market_parts`.
It knows no library, no proposer and no store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.backends.numba_vm.run import SortedLabels
from fama_fast.errors import DataError
from fama_fast.evaluation import (
    SortedRows,
    daily,
    level,
    mean,
    newey_west_t,
    rank_ic,
    trading,
)
from fama_fast.evaluation.ic import coverage_adjusted
from fama_fast.evaluation.ranks import unit_vector
from fama_fast.lang import writable
from fama_fast.mining.css import sample_rows
from fama_fast.mining.measure.race import Race
from fama_fast.panel import Panel
from fama_fast.proposals.protocol import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.evaluation import Daily
    from fama_fast.evaluation.ranks import Ranks
    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate, Member
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.dataset import Dataset
    from fama_fast.types import BoolArray, FloatArray

BATCH_BYTES = 512 * 2**20  # values of one evaluated batch
MIN_SYMBOLS = 3
MIN_ROWS = 5  # dates a split needs
_RANK_FIGURES = ("rank_ic", "rank_icir", "hit_rate", "coverage", "n_days", "rank_ic_t")


@dataclass(frozen=True)
class Rows:
    """The splits as row ranges of the panel, with their dates for reports."""

    train: slice
    valid: slice
    test: slice


def split_rows(data: Panel | Dataset, config: MiningConfig) -> Rows:
    """The splits of the data.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers.
    """
    from fama_fast.data import date_splits

    n_dates, n_symbols = data.shape
    if n_symbols < MIN_SYMBOLS:
        raise DataError(f"{data.source}: mining ranks symbols against each other: {n_symbols} is too few")
    cut = config.splits
    first, second, third = cut.fractions
    found = date_splits(
        n_dates,
        horizon=cut.horizon,
        entry_lag=cut.entry_lag,
        fractions=(first, second, third),
        embargo=cut.embargo,
    )
    out = Rows(found.train, found.valid, found.test)
    for name in ("train", "valid", "test"):
        rows: slice = getattr(out, name)
        if rows.stop - rows.start < MIN_ROWS:
            raise DataError(
                f"{data.source}: {n_dates} dates leave {max(0, rows.stop - rows.start)} for the {name} "
                f"split, at least {MIN_ROWS} are needed"
            )
    return out


class Market:
    """A panel cut for mining.

    Args:
        panel: the whole data. config: splits, label, sampling and gates' settings.
        labels: (T, N) over the mining rows, in place of the forward returns; for controls that shuffle them.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers.
    """

    def __init__(self, panel: Panel, config: MiningConfig, *, labels: FloatArray | None = None) -> None:
        from fama_fast.data.labels import forward_returns, only_scored, unscored

        self._begin(panel, config)
        cut, threads = config.splits, config.run.threads
        if labels is None:
            labels = forward_returns(self.held, horizon=cut.horizon, entry_lag=cut.entry_lag)
        self.present: BoolArray = trading(self.held) if self.held.universe is None else self.held.universe
        self.members = self.present.sum(axis=1).astype(np.float64)
        labels = only_scored(labels, self.held.universe, cut.min_members)
        self.unscored = int(unscored(self.held.universe, cut.min_members).sum())
        for name in ("train", "valid"):
            if not np.isfinite(labels[getattr(self.rows, name)]).any():
                raise self.no_returns(name)
        self.labels = SortedRows.of(labels, threads=threads)
        order = np.ascontiguousarray(self.labels.order, dtype=np.int32)
        self.sink_labels = SortedLabels(self.labels.values, order, self.labels.count)
        self.race = self._race(self.sink_labels)

    def _begin(self, data: Panel | Dataset, config: MiningConfig) -> None:
        """What follows from the axes alone."""
        self.rows = split_rows(data, config)
        self.config = config
        self.whole = data
        self.horizon = config.splits.horizon
        # Labels of the last validation dates reach to the test's first row at most: the purge sees to that.
        self.panel = data.slice_dates(0, self.rows.test.start)
        self.vector_rows = sample_rows(self.rows.train, config.css.n_dates, config.run.seed)

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
        return DataError(f"{start}: CLOSE is missing")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about dates that are not scored."""
        from fama_fast.data.labels import say_unscored

        return say_unscored(self.unscored, self.panel.shape[0], self.config.splits.min_members)

    def _race(self, labels: SortedLabels | None) -> Race | None:
        """The race that the configuration asks for."""
        racing, run = self.config.racing, self.config.run
        if not racing.enabled or racing.rungs >= racing.blocks:
            return None
        return Race(
            self.panel,
            labels,
            self.rows.train,
            self.members,
            error=racing.error,
            blocks=racing.blocks,
            rungs=racing.rungs,
            seed=run.seed,
            horizon=self.config.splits.horizon,
            threads=run.threads,
            min_coverage=run.min_coverage,
        )

    @property
    def held(self) -> Panel:
        """The mining rows in memory."""
        assert isinstance(self.panel, Panel)
        return self.panel

    @property
    def vocabulary(self) -> Vocabulary:
        """What the data offers to proposals: not what an expression cannot name."""
        fields, groups = (tuple(n for n in names if writable(n)) for names in (self.panel.fields, self.panel.groups))
        return Vocabulary(fields, groups, max_window=min(self.config.gates.max_lookback + 1, 250))

    def evaluate(self, alphas: Sequence[Alpha]) -> Iterator[FloatArray]:
        """Values (T, N) over the mining rows, in order; work common to a batch is done once."""
        return self._values(alphas, self.held)

    def _values(self, items: Sequence[str | Alpha], panel: Panel, row: int = 0) -> Iterator[FloatArray]:
        """Values on the dates from `row` on."""
        from fama_fast.engine import evaluate_from

        t, n = panel.shape
        batch = max(1, BATCH_BYTES // (8 * t * n))
        run = self.config.run
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            yield from evaluate_from(part, panel, row, threads=run.threads, min_coverage=run.min_coverage)

    def measure(self, alphas: Sequence[Alpha]) -> tuple[FloatArray, FloatArray]:
        """Daily RankIC (K, T) over the mining rows, exact, and the share of members with a value (K, T).

        Values are never materialised. A symbol that does not trade but has a value counts too, up to everyone.
        """
        from fama_fast.engine import daily_rank_ic

        run = self.config.run
        series, counts = daily_rank_ic(
            alphas, self.held, self.sink_labels, threads=run.threads, min_coverage=run.min_coverage
        )
        return series, np.minimum(counts / np.maximum(self.members, 1.0), 1.0)

    def training_series(self, texts: Sequence[str]) -> FloatArray:
        """Exact daily RankICs over the training rows, (K, dates of training), of canonical texts."""
        return self.measure(self.compiled(texts))[0][:, self.rows.train]

    def compiled(self, texts: Iterable[str]) -> list[Alpha]:
        """Recorded canonical texts, read with the names of these data."""
        from fama_fast.engine import compile_recorded

        known: dict[str, Any] = {"fields": self.panel.fields, "groups": self.panel.groups}
        return [compile_recorded(text, **known) for text in texts]

    def scores(self, series: FloatArray, covered: FloatArray, split: str) -> dict[str, float]:
        """What `measure` found of one factor, over a split: the figures of `FactorScores` that ranks decide."""
        rows: slice = getattr(self.rows, split)
        ranks = level(series[rows], horizon=self.horizon)
        figures = (ranks.mean, ranks.ratio, ranks.hit_rate, mean(covered[rows]), ranks.days, ranks.t)
        return dict(zip(_RANK_FIGURES, figures, strict=True))

    def scored_coverage(self, series: FloatArray, covered: FloatArray) -> float:
        """Mean share of members with a value on the training dates that have a RankIC, of what `measure` found of one
        factor; 1 where there is no such date."""
        there = np.isfinite(series[self.rows.train])
        return mean(covered[self.rows.train][there]) if there.any() else 1.0

    def full_scores(self, alpha: Alpha, sign: int) -> dict[str, dict[str, float]]:
        """All figures of `FactorScores` of `sign` times an alpha over training and validation: for what is kept, as it
        takes the values."""
        found = self.figures(alpha)[0].turned(sign)
        return {s: found.summary(getattr(self.rows, s), self.horizon).as_dict() for s in ("train", "valid")}

    def figures(self, alpha: Alpha, ahead: int = 0) -> tuple[Daily, FloatArray]:
        """Daily figures (T,) over the mining rows; and the RankIC of each date with the labels `ahead` dates later.

        The second is NaN for the last `ahead` dates.
        """
        threads = self.config.run.threads
        values = next(iter(self.evaluate([alpha])))
        ordered = SortedRows.of(values, self.held.universe, threads=threads)
        found = daily(ordered, self.labels, self.held.universe, present=self.present, threads=threads)
        if not ahead:
            return found, found.rank_ic
        out = np.full(len(ordered.count), np.nan)
        kept = max(0, len(out) - ahead)
        early, late = ordered.part(slice(None, kept)), self.labels.part(slice(ahead, None))
        out[:kept] = rank_ic(early, late, threads=threads)
        return found, out

    def shuffled(self, rng: np.random.Generator, block: int) -> Market:
        """The same market with labels whose dates were dealt out anew, see `control.shuffled_labels`."""
        from fama_fast.data.labels import shuffled_labels

        labels = shuffled_labels(self.labels.values, (self.rows.train, self.rows.valid), rng, block)
        assert isinstance(self.whole, Panel)
        return Market(self.whole, self.config, labels=labels)

    def lead(self, candidate: Candidate, member: Member) -> float:
        """Newey-West t of how far a candidate's daily RankIC is above a member's in training, each for its breadth."""
        assert candidate.series is not None
        assert member.series is not None
        theirs = coverage_adjusted(1.0, member.scored_coverage) * member.series
        difference = coverage_adjusted(1.0, candidate.scored_coverage) * candidate.series - theirs
        return newey_west_t(difference[self.rows.train], horizon=self.horizon)

    def vectors(self, alphas: Sequence[Alpha]) -> Iterator[NDArray[np.float32]]:
        """Unit rank vectors on the sampled training dates; the engine does the ranking."""
        from fama_fast.engine import ranks_on

        run = self.config.run
        for block in ranks_on(alphas, self.held, self.vector_rows, threads=run.threads, min_coverage=run.min_coverage):
            yield unit_vector(block)

    def pool_ranks(self, factors: Sequence[Factor], panel: Panel, rows: slice) -> Iterator[Ranks]:
        """Cross-sectional ranks of each factor, centred, on some rows: its share of the pool."""
        from fama_fast.evaluation.ranks import oriented_ranks

        forms = [f.as_proposed for f in factors]
        start, stop, _ = rows.indices(panel.shape[0])
        found = self._values([f"RANK({text})" for text, _ in forms], panel, start)
        for (_, sign), shares in zip(forms, found, strict=True):
            yield oriented_ranks(shares[: stop - start], sign, self.config.run.threads)

    def open_test(self, factors: Sequence[Factor]) -> dict[str, dict[str, float]]:
        """Scores of each factor on the test rows, by fingerprint. Only the verdict may call this, once."""
        from fama_fast.data.labels import scored_returns

        run, cut, rows = self.config.run, self.config.splits, self.rows.test
        whole = self.whole
        assert isinstance(whole, Panel)
        asked = slice(rows.start - 1, rows.stop)  # turnover needs the row before
        labels = scored_returns(whole, cut.horizon, cut.entry_lag, min_members=cut.min_members)[asked]
        universe = None if whole.universe is None else whole.universe[asked]
        present = trading(whole)[asked] if universe is None else None
        out: dict[str, dict[str, float]] = {}
        forms = [f.as_proposed for f in factors]
        found = self._values([text for text, _ in forms], whole, asked.start)
        for factor, (_, sign), values in zip(factors, forms, found, strict=True):
            kept = values[: asked.stop - asked.start]
            by_date = daily(kept, labels, universe, present=present, threads=run.threads)
            out[factor.fingerprint] = by_date.turned(sign).summary(slice(1, None), self.horizon).as_dict()
        return out
