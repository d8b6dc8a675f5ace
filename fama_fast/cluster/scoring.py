"""`score` on a cluster: tasks are candidates and chunks of dates, results are daily figures.

A worker reads the data once and keeps them where its memory allows; where it does not, the dates of each task are read
again, in chunks that fit. Both are bit-identical to one process.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.cluster.source import MappedPanel, hash_of
from fama_fast.cluster.worker import Unfit
from fama_fast.data.labels import MIN_MEMBERS
from fama_fast.errors import ConfigError
from fama_fast.evaluation.daily import SERIES, Daily
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fama_fast.cluster.pool import WorkerPool
    from fama_fast.cluster.source import Source
    from fama_fast.engine import Alpha
    from fama_fast.panel.dataset import Dataset
    from fama_fast.target import LabelRows, Target

TASKS = 4  # tasks a thread, so that unequal ones even out
_MOST = 16  # expressions a task: more share more work, and hold more values
_MOST_IN_PARTS = 64
_HALO_ROWS = 4  # a task's dates, in halos: what is computed twice stays a small share
_LEAST_ROWS = 64
_SHARE = 0.7  # of a worker's memory that the data and the work may take
_ARRAYS = 26  # (T, N) arrays a thread works with: the values of a batch, their ranks, intermediates


@dataclass(frozen=True)
class Part:
    """One task: the numbers of its expressions, and its dates [first, last)."""

    numbers: tuple[int, ...]
    first: int
    last: int


def cut(count: int, dates: int, halo: int, threads: int, *, parts: bool) -> list[Part]:
    """Cut `count` expressions over `dates` dates into tasks.

    Data in memory are cut by expressions, and by dates only where that leaves threads without work; data that are read
    in parts are cut by dates first, for reading is what costs.
    """
    target = TASKS * threads
    size = min(_MOST_IN_PARTS, count) if parts else min(_MOST, max(1, -(-count // target)))
    groups = [tuple(range(a, min(count, a + size))) for a in range(0, count, size)]
    wide = max(_LEAST_ROWS, _HALO_ROWS * halo)
    ranges = max(1, min(target // max(1, len(groups)), dates // wide))
    edges = np.linspace(0, dates, ranges + 1).round().astype(int).tolist()
    return [Part(group, a, b) for group in groups for a, b in pairwise(edges)]


@dataclass(frozen=True)
class ScoringBuild:
    """Makes a worker's `Scoring`."""

    source: Source

    def __call__(self, memory: int | None) -> Scoring:
        """Opens the data; keeps them where they fit `memory` bytes."""
        import psutil
        from distributed import get_worker

        data = self.source.open()
        data_hash = hash_of(data)
        if data_hash != self.source.hash:
            raise Unfit(f"its data {data.source} have hash {data_hash}, here {self.source.hash}")
        threads = int(get_worker().state.nthreads)
        return Scoring.within(data, memory, threads, taken=int(psutil.Process().memory_info().rss))


class Scoring:
    """A worker's state for scoring: the data, or where to read them, and sorted labels."""

    def __init__(self, data: Panel | Dataset, budget: int | None, of: Dataset | None = None) -> None:
        """`of`: the data set that `data` are or were read from; it has noticed what was let pass."""
        self.data, self.budget, self.of = data, budget, of
        self._labels: dict[Any, Mapping[Any, LabelRows]] = {}

    @classmethod
    def within(cls, data: Panel | Dataset, memory: int | None, threads: int, *, taken: int) -> Scoring:
        """The data in memory, or read in parts under a budget, as `memory` bytes allow, of which `taken` are in use.

        Raises:
            Unfit: nothing is left.
        """
        dates, symbols = data.shape
        fields = len(data.supplied_fields) + len(data.groups)
        needed = 8 * dates * symbols * (2 * fields + 2 + _ARRAYS * threads)
        usable = needed if memory is None else int(_SHARE * memory) - taken
        if needed <= usable:
            return cls(data, None) if isinstance(data, Panel) else cls(data.panel(), None, data)
        if memory is not None and usable <= 0:
            raise Unfit(f"its memory limit of {memory / 1e6:.0f} MB leaves nothing for data")
        return cls(data, usable // threads, None if isinstance(data, Panel) else data)

    def daily(
        self,
        texts: Sequence[str],
        target: Target,
        options: Mapping[str, Any],
        first: int,
        last: int,
    ) -> tuple[list[dict[Any, tuple[Any, ...]]], Any]:
        """By horizon and text, the daily series on the dates [first, last), with one thread; and what reading
        these dates let pass, as `Dataset.noticed`.
        """
        from fama_fast.evaluation.chunked import daily_by_labels
        from fama_fast.evaluation.score import compile_all

        figures = daily_by_labels(
            compile_all(texts, self.data),
            self.data,
            self._labels_of(target, options["min_members"]),
            spans=target.held(self.data.sessions),
            budget=self.budget,
            min_coverage=options["min_coverage"],
            min_pairs=options["min_pairs"],
            threads=1,
            first=first,
            last=last,
        )
        rows = slice(first, last)
        series = [{h: tuple(getattr(d, n)[rows].copy() for n in SERIES) for h, d in by.items()} for by in figures]
        return series, None if self.of is None else self.of.noticed(first, last)

    def _labels_of(self, target: Target, min_members: int) -> Mapping[Any, LabelRows]:
        """The target's labels: sorted once where all dates are in memory, else made chunk by chunk."""
        from fama_fast.evaluation.rows import SortedRows
        from fama_fast.target import GivenLabels

        if not isinstance(self.data, Panel) or self.budget is not None:
            return target.labels(self.data, min_members=min_members)
        key = target, min_members
        if key not in self._labels:
            held = {h: target.values(self.data, h, min_members=min_members, threads=1) for h in target.keys}
            self._labels[key] = {h: GivenLabels(y, 0, SortedRows.of(y, threads=1)) for h, y in held.items()}
        return self._labels[key]


class ClusterScoring:
    """Computes daily figures on a pool of workers; what `score(..., cluster=...)` takes.

    Args:
        pool: the workers. data: as the client knows them, for their axes. source: how workers open them.
    """

    def __init__(self, pool: WorkerPool, data: Panel | Dataset, source: Source) -> None:
        self.pool, self.data = pool, data
        self._kept = pool.kept(f"scoring {source.hash} {source}", ScoringBuild(source))

    def __call__(
        self,
        alphas: Sequence[Alpha],
        target: Target,
        *,
        min_coverage: float | None,
        min_pairs: int,
        min_members: int = MIN_MEMBERS,
    ) -> Iterator[Mapping[Any, Daily]]:
        """By horizon, of each alpha in order; see `evaluation.score.DailyFigures`."""
        dates = len(self.data.dates)
        halo = max((a.lookback for a in alphas), default=0)
        pieces = cut(len(alphas), dates, halo, self.pool.threads, parts=not isinstance(self.data, Panel))
        options = {"min_coverage": min_coverage, "min_pairs": min_pairs, "min_members": min_members}
        texts = [a.canonical for a in alphas]
        tasks = [(tuple(texts[i] for i in p.numbers), target, options, p.first, p.last) for p in pieces]
        results = self.pool.map(self._kept, Scoring.daily, tasks, describe)
        series = {h: {n: np.full((len(alphas), dates), np.nan) for n in SERIES} for h in target.keys}
        for piece, (of_piece, noticed) in zip(pieces, results, strict=True):
            if noticed is not None and not isinstance(self.data, Panel):
                self.data.take_notice(piece.first, noticed)
            for number, by_horizon in zip(piece.numbers, of_piece, strict=True):
                for h, arrays in by_horizon.items():
                    for name, values in zip(SERIES, arrays, strict=True):
                        series[h][name][number, piece.first : piece.last] = values
        for i in range(len(alphas)):
            yield {h: Daily(**{n: series[h][n][i] for n in SERIES}) for h in series}


def mapped(pool: WorkerPool, panel: Panel, folder: Path) -> MappedPanel:
    """A panel of this process made available to the workers of a pool, by files in an empty folder.

    Raises:
        ConfigError: the workers are not on this machine.
    """
    if not pool.local:
        raise ConfigError(
            f"workers of {pool.where} cannot see data that are in this process alone: name Parquet or CSV files that "
            "they can read, or use local:N"
        )
    return MappedPanel.write(panel, folder)


def describe(task: tuple[Any, ...]) -> str:
    """A name of a task for messages: the first of its expressions."""
    texts = task[0]
    rest = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    return f"scoring {texts[0]}{rest}"
