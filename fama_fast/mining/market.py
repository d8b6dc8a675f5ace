"""The data as the loop sees it: mining rows, labels, splits, and the measures that gates ask for.

The mining panel ends where the test split begins, so nothing in the loop can look at the test, even by
mistake; `open_test` is the one place that reads it. It knows no library, no proposer and no store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.errors import DataError
from fama_fast.evaluation import (
    SortedRows,
    coverage,
    daily,
    mean,
    rank_ic,
    score_values,
    summarise,
    trading,
)
from fama_fast.mining.css import rank_vectors, sample_rows
from fama_fast.mining.protocol import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fama_fast.engine import Alpha
    from fama_fast.library.factor import Factor
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray, FloatArray

BATCH_BYTES = 512 * 2**20  # values of one evaluated batch
MIN_SYMBOLS = 3
MIN_ROWS = 5  # dates a split needs


@dataclass(frozen=True)
class Rows:
    """The splits as row ranges of the panel, with their dates for reports."""

    train: slice
    valid: slice
    test: slice


class Market:
    """A panel cut for mining.

    Args:
        panel: the whole data. config: splits, label, sampling and gates' settings.

    Raises:
        DataError: too few dates or symbols to mine on; the message has the numbers.
    """

    def __init__(self, panel: Panel, config: MiningConfig) -> None:
        from fama_fast.data import date_splits, forward_returns

        n_dates, n_symbols = panel.shape
        if n_symbols < MIN_SYMBOLS:
            raise DataError(f"{panel.source}: mining ranks symbols against each other: {n_symbols} is too few")
        cut = config.splits
        first, second, third = cut.fractions
        found = date_splits(
            n_dates,
            horizon=cut.horizon,
            entry_lag=cut.entry_lag,
            fractions=(first, second, third),
            embargo=cut.embargo,
        )
        self.rows = Rows(found.train, found.valid, found.test)
        for name in ("train", "valid", "test"):
            rows: slice = getattr(self.rows, name)
            if rows.stop - rows.start < MIN_ROWS:
                raise DataError(
                    f"{panel.source}: {n_dates} dates leave {max(0, rows.stop - rows.start)} for the {name} "
                    f"split, at least {MIN_ROWS} are needed"
                )
        self.config = config
        self.whole = panel
        self.horizon = cut.horizon
        # Labels of the last validation dates reach to the test's first row at most: the purge sees to that.
        self.panel = panel.slice_dates(0, self.rows.test.start)
        labels = forward_returns(self.panel, horizon=cut.horizon, entry_lag=cut.entry_lag)
        for name in ("train", "valid"):
            if not np.isfinite(labels[getattr(self.rows, name)]).any():
                raise DataError(f"{panel.source}: no forward return is known in the {name} split: CLOSE is missing")
        threads = config.run.threads
        self.labels = SortedRows.of(labels, threads=threads)
        self.present: BoolArray = trading(self.panel) if self.panel.universe is None else self.panel.universe
        seed = config.run.seed
        self.screening_rows = sample_rows(self.rows.train, config.gates.screening_dates, seed)
        self.vector_rows = sample_rows(self.rows.train, config.css.n_dates, seed)
        self._screening_labels = SortedRows.of(labels[self.screening_rows], threads=threads)

    @property
    def vocabulary(self) -> Vocabulary:
        """What the data offers to proposals."""
        return Vocabulary(self.panel.fields, self.panel.groups, max_window=min(self.config.gates.max_lookback + 1, 250))

    def evaluate(self, alphas: Sequence[Alpha]) -> Iterator[FloatArray]:
        """Values (T, N) over the mining rows, in order; work common to a batch is done once."""
        from fama_fast.engine import evaluate

        t, n = self.panel.shape
        batch = max(1, BATCH_BYTES // (8 * t * n))
        run = self.config.run
        for start in range(0, len(alphas), batch):
            yield from evaluate(
                alphas[start : start + batch], self.panel, threads=run.threads, min_coverage=run.min_coverage
            )

    # The measures of gates: training rows only.

    def coverage(self, values: FloatArray) -> float:
        """Mean share of members (or of symbols that trade) with a value, over the training rows."""
        rows = self.rows.train
        return mean(coverage(values[rows], self.present[rows]))

    def screen(self, values: FloatArray) -> float:
        """Mean RankIC on the sampled training dates."""
        rows = self.screening_rows
        universe = None if self.panel.universe is None else self.panel.universe[rows]
        return mean(rank_ic(values[rows], self._screening_labels, universe=universe, threads=self.config.run.threads))

    def train_scores(self, candidate: Candidate) -> dict[str, float]:
        """Scores over the training rows; the daily series stay with the candidate."""
        assert candidate.values is not None
        candidate.daily = daily(
            candidate.values,
            self.labels,
            self.panel.universe,
            present=self.present,
            threads=self.config.run.threads,
        )
        return candidate.daily.summary(self.rows.train, self.horizon).as_dict()

    def vector(self, values: FloatArray) -> NDArray[np.float32]:
        """Unit rank vector on the sampled training dates, not oriented."""
        found = rank_vectors([values], universe=self.panel.universe, rows=self.vector_rows)[0]
        return np.asarray(found, dtype=np.float32)

    # Validation and test

    def valid_scores(self, candidate: Candidate) -> dict[str, float]:
        """Scores over the validation rows of a candidate whose training scores were taken."""
        assert candidate.daily is not None
        return candidate.daily.summary(self.rows.valid, self.horizon).as_dict()

    def pool_ranks(self, factor: Factor, panel: Panel, rows: slice) -> FloatArray:
        """Oriented cross-sectional ranks of a factor, centred, on some rows: its share of the pool."""
        from fama_fast.engine import evaluate

        run = self.config.run
        text = f"RANK({factor.canonical})"
        ranks = evaluate([text], panel, threads=run.threads, min_coverage=run.min_coverage)[0][rows]
        out: FloatArray = factor.sign * (ranks - 0.5)
        return out

    def pool_valid(self, ranks: Sequence[FloatArray]) -> dict[str, float]:
        """Scores of the equal-weight pool over the validation rows; `ranks` come from `pool_ranks`."""
        rows = self.rows.valid
        return self._pool_scores(ranks, self.labels.values[rows], self.panel.universe, rows)

    def _pool_scores(
        self, ranks: Sequence[FloatArray], labels: FloatArray, universe: Any, rows: slice
    ) -> dict[str, float]:
        inside = None if universe is None else universe[rows]
        found = daily(combine(ranks), labels, inside, threads=self.config.run.threads)
        return summarise(
            found.rank_ic,
            found.ic,
            daily_coverage=found.coverage,
            daily_turnover=found.turnover,
            horizon=self.horizon,
        ).as_dict()

    def open_test(self, factors: Sequence[Factor]) -> dict[str, dict[str, float]]:
        """Scores on the test rows by fingerprint, and of the factors' pool as "pool". To be called once."""
        from fama_fast.data import forward_returns
        from fama_fast.engine import evaluate

        if not factors:
            return {}
        run, cut, rows = self.config.run, self.config.splits, self.rows.test
        labels = forward_returns(self.whole, horizon=cut.horizon, entry_lag=cut.entry_lag)
        present = trading(self.whole) if self.whole.universe is None else None
        out: dict[str, dict[str, float]] = {}
        ranks = []
        for factor in factors:
            values = evaluate([factor.canonical], self.whole, threads=run.threads, min_coverage=run.min_coverage)[0]
            out[factor.fingerprint] = score_values(
                values,
                labels,
                universe=self.whole.universe,
                rows=rows,
                horizon=self.horizon,
                present=present,
                threads=run.threads,
            ).as_dict()
            ranks.append(self.pool_ranks(factor, self.whole, rows))
        out["pool"] = self._pool_scores(ranks, labels[rows], self.whole.universe, rows)
        return out


def combine(ranks: Sequence[FloatArray]) -> FloatArray:
    """Equal-weight mean (T, N) of the oriented ranks that are present; missing where none is."""
    total = np.zeros(ranks[0].shape)
    count = np.zeros(ranks[0].shape)
    for r in ranks:
        there = np.isfinite(r)
        total += np.where(there, r, 0.0)
        count += there
    with np.errstate(invalid="ignore", divide="ignore"):
        out: FloatArray = total / count
    return out
