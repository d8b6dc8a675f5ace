"""What an arm does: its formulas measured, pooled and judged, a row a horizon and test year."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.discovery import formulas, pools
from benches.discovery.levels import MISSING, Bank, Cells, Chosen, daily_figures, label_ranks, products
from benches.discovery.origins import origins, years_of
from benches.discovery.studies import FIRST_YEAR, STUDIES
from fama_fast.mining.pools.short_list import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from benches.discovery.levels import LevelRows
    from benches.discovery.origins import Origin
    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

SIZES = (1, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000, 5000)
WITH = "alpha158"  # what unions add
UNION_SIZES = (20, 100, 1000)
SHORT_SIZES = (1, 3, 5, 10, 20, 50, 100)
CHOSEN, LISTED = "-chosen", "-listed"  # short lists: chosen here from all that was measured; the run's own
MOST_ALIKE = 0.7  # |correlation| of two formulas of a short list
LEAST_COVERAGE = 0.5  # members with a level, over the dates before the first test year
DATES_A_YEAR, MOST_CELLS, LEAST_DATES = 48, 196_608, 24  # of the correlations of ranks


@dataclass(frozen=True)
class Job:
    """What one process does: an arm of a study with a seed; of an arm that mines also one year."""

    study: str
    arm: str
    seed: int
    candidates: int
    horizons: tuple[int, ...]
    years: tuple[int, ...]
    threads: int
    cache: str
    done: frozenset[tuple[str, int, int]] = frozenset()  # (arm, horizon, year) that are on file


@dataclass
class Bench:
    """A study with what all arms share: cells, labels, origins, the published set."""

    study: str
    cache: Path
    threads: int
    labels: dict[int, FloatArray] = field(default_factory=dict)
    ranks: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    judged: dict[tuple[int, int], pools.Judged] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of = STUDIES[self.study]
        self.panel: Panel = self.of.panel()
        self.cells = Cells.of(self.panel)
        self.year = years_of(np.asarray(self.panel.dates).astype("datetime64[D]"))
        self.origins = origins(self.panel, FIRST_YEAR)

    def origin(self, year: int) -> Origin:
        """The one of a test year."""
        return next(o for o in self.origins if o.year == year)

    def levels(self, arm: str, seed: int, count: int, said: Callable[[str], None] | None = None) -> LevelRows:
        """Levels of the formulas of a fixed arm, as many as there are of `count`, measured where they are not yet."""
        texts, read = formulas.texts_of(arm, self.panel, seed, count), formulas.reader(arm, self.panel)
        if arm == formulas.SEARCHERS:
            bank = self.anew(seed)
            at = np.array(bank.hold(texts, read, self.panel, self.threads, said), dtype=np.int64)
            return Chosen((bank.levels(), at))
        name = arm if arm in formulas.PUBLISHED else f"{arm}-{seed}"
        bank = Bank(self.cache / self.panel.data_hash / name, self.cells)
        bank.extend(texts, read, self.panel, self.threads, said)
        return bank.levels(len(texts))

    def anew(self, seed: int) -> Bank:
        """The formulas that searches with this seed draw anew: the same ones whatever year they are of."""
        return Bank(self.cache / self.panel.data_hash / f"anew-{seed}", self.cells)

    def label(self, horizon: int) -> FloatArray:
        """(T, N) of all dates."""
        if horizon not in self.labels:
            found = self.of.predicted(horizon).values(self.panel, threads=self.threads)
            self.labels[horizon] = found
            self.ranks[horizon] = label_ranks(found, self.cells, self.panel.universe)
        return self.labels[horizon]

    def figures(self, levels: LevelRows, horizons: Sequence[int], stop: int) -> dict[int, NDArray[np.float32]]:
        """(K, stop) daily figures of formulas at each horizon before row `stop`."""
        for h in horizons:
            self.label(h)
        found = daily_figures(levels, [self.ranks[h] for h in horizons], self.cells, slice(0, stop))
        return dict(zip(horizons, found, strict=True))

    def sampled(self, first: int, stop: int) -> NDArray[np.int64]:
        """Dates of the rows [first, stop), which are whole years, that correlations of ranks are taken on: as many a
        year, evenly spread."""
        years = np.unique(self.year)
        a_year = float(len(self.cells)) / len(self.year)
        least = -(-LEAST_DATES // len(years))
        count = max(least, min(DATES_A_YEAR, int(MOST_CELLS / (a_year * len(years)))))
        out = []
        for y in np.unique(self.year[first:stop]):
            rows = first + np.flatnonzero(self.year[first:stop] == y)
            out.append(rows[((np.arange(count) + 0.5) * len(rows) / count).astype(np.int64)])
        return np.concatenate(out) if out else np.empty(0, dtype=np.int64)

    def usable(self, levels: LevelRows, stop: int | None = None) -> NDArray[np.int64]:
        """Numbers of the formulas that can be pooled, by their levels before the first test year (or row `stop`): they
        cover the members, vary, and are no copy of one before, nor its negative."""
        at = self.cells.on(self.sampled(0, self.origins[0].test if stop is None else stop))
        block = np.asarray(levels[:, at])
        seen: set[bytes] = set()
        out = []
        for i, own in enumerate(block):
            there = own != MISSING
            known = np.flatnonzero(there & (own != 0))
            if not known.size or there.mean() < LEAST_COVERAGE:
                continue
            key = np.where(there, own * (1 if own[known[0]] > 0 else -1), MISSING).astype(np.int8).tobytes()
            if key not in seen:
                seen.add(key)
                out.append(i)
        return np.array(out, dtype=np.int64)

    def judge(self, horizon: int, origin: Origin) -> pools.Judged:
        """The labels of a test year."""
        key = horizon, origin.year
        if key not in self.judged:
            self.judged[key] = pools.Judged.of(
                self.label(horizon), self.panel.universe, origin.test, origin.stop, horizon, self.threads
            )
        return self.judged[key]


def sizes_of(count: int, asked: Sequence[int] = SIZES) -> list[int]:
    """The pool sizes below the number of formulas there are, and that number."""
    return [n for n in asked if n < count] + ([count] if count else [])


@dataclass(frozen=True)
class Pool:
    """Which formulas of a chosen set one arm pools: `picks` by pool size.

    chooses: short lists of so many are chosen from the only picks, before the test year.
    """

    arm: str
    picks: Mapping[int, NDArray[np.int64]]
    chooses: tuple[int, ...] = ()


def arm_pools(arm: str, published: int, own: int, *, curve: bool = True) -> list[Pool]:
    """The pools of an arm whose formulas stand after the published ones: the first of its own by number, these with the
    published set, and short lists chosen from its own."""
    sizes = sizes_of(own) if curve else [own]
    found = [Pool(arm, {n: np.arange(published, published + n) for n in sizes})]
    if published:
        sizes = sizes_of(own, UNION_SIZES)
        found.append(Pool(f"{arm}+{WITH}", {n: np.arange(published + n) for n in sizes}))
        found.append(Pool(f"{arm}{CHOSEN}", {own: np.arange(published, published + own)}, SHORT_SIZES))
    return found


def at_origin(
    bench: Bench,
    levels: LevelRows,
    totals: tuple[FloatArray, int],
    figures: Mapping[int, NDArray[np.float32]],
    origin: Origin,
    wanted: Mapping[int, Sequence[Pool]],
) -> Iterator[dict[str, Any]]:
    """Rows (without their head) of the pools wanted at each horizon: fitted before the test year, forecast through it.

    Args:
        levels: of K formulas. totals: (K, K) sums of their products, and over how many cells. figures: (K, T) daily
            figures by horizon.
    """
    products_of, cells = totals
    correlation, lengths = pools.correlations(products_of), np.sqrt(np.diag(products_of))
    deviation = pools.deviations(products_of, cells)[:, None].astype(np.float32)
    for horizon, asked in wanted.items():
        reach = bench.of.predicted(horizon).rows_ahead(bench.panel.sessions)
        rows = origin.rows(reach)
        scaled = figures[horizon][:, : origin.test] / deviation
        fits, lines = [], []
        for pool in asked:
            for n, picks in (_chosen(pool, correlation, scaled, (rows.train, rows.valid)) or pool.picks).items():
                own = correlation[np.ix_(picks, picks)]
                found = pools.fit(own, scaled[picks], (rows.train, rows.valid), horizon, reach)
                line = np.zeros(len(levels))
                line[picks] = found.weights / np.maximum(lengths[picks], 1.0)  # weights are of ranks of one deviation
                fits.append((pool.arm, n, found))
                lines.append(line)
        judged = bench.judge(horizon, origin)
        forecasts = pools.forecasts(levels, np.stack(lines), bench.cells, judged.first, judged.stop)
        by_arm: dict[str, dict[str, Any]] = {}
        for (arm, n, found), forecast in zip(fits, forecasts, strict=True):
            row = by_arm.setdefault(arm, {"arm": arm, "horizon": horizon, "year": origin.year, "pools": []})
            chosen = {"size": n, "penalty": found.penalty, "power": found.power}
            row["pools"].append({**chosen, **judged.figures(forecast, bench.threads)})
        yield from by_arm.values()


def _chosen(
    pool: Pool, correlation: FloatArray, figures: NDArray[np.float32], parts: Sequence[slice]
) -> dict[int, NDArray[np.int64]]:
    """The short lists that a pool chooses by what is known before the test year, by size; none where it does not."""
    if not pool.chooses:
        return {}
    (among,) = pool.picks.values()
    own = np.concatenate([figures[among, part] for part in parts], axis=1).astype(np.float64)
    known = np.isfinite(own)
    m = np.where(known, own, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    allowed = np.ones(len(among), dtype=np.bool_)
    wanted = max(pool.chooses)
    listed = choose(correlation[np.ix_(among, among)], m, allowed, wanted=wanted, bound=MOST_ALIKE)
    return {n: among[listed[:n]] for n in pool.chooses if n <= len(listed)}


def fixed(job: Job, said: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """An arm whose formulas do not depend on data: measured once for all origins and horizons."""
    bench = Bench(job.study, Path(job.cache), job.threads)
    own = bench.levels(job.arm, job.seed, job.candidates, said)
    parts = []
    if job.arm in formulas.RANDOM:
        other = bench.levels(WITH, 0, 0)
        parts.append((other, bench.usable(other)))
    parts.append((own, bench.usable(own)))
    published = len(parts[0][1]) if len(parts) > 1 else 0
    everything = arm_pools(job.arm, published, len(parts[-1][1]), curve=job.arm in formulas.RANDOM)
    wanted = {
        y: {
            h: [p for p in everything if (p.arm, h, y) not in job.done]
            for h in job.horizons
            if any((p.arm, h, y) not in job.done for p in everything)
        }
        for y in job.years
    }
    years = [y for y, left in wanted.items() if left]
    if not years:
        return
    levels = Chosen(*parts)
    said(f"{len(parts[-1][1]):,} of {len(own):,} formulas can be pooled; their daily figures are taken")
    figures = bench.figures(levels, job.horizons, bench.origin(max(years)).test)
    total, cells, known = np.zeros((len(levels), len(levels))), 0, 0
    for year in sorted(years):
        began, origin = time.perf_counter(), bench.origin(year)
        at = bench.cells.on(bench.sampled(known, origin.test))
        total += products(levels, at)
        cells, known = cells + len(at), origin.test
        for row in at_origin(bench, levels, (total, cells), figures, origin, wanted[year]):
            yield {**row, "formulas": len(parts[-1][1]), "seconds": round(time.perf_counter() - began, 1)}
            began = time.perf_counter()


def mined(job: Job, said: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """An arm that searches before a test year: its measured candidates, in order of proposal.

    It searches once, at the study's middle horizon; its formulas are pooled at every horizon.
    """
    from benches.discovery.searches import SEARCHES

    bench = Bench(job.study, Path(job.cache), job.threads)
    (year,) = job.years
    horizon = bench.of.horizons[len(bench.of.horizons) // 2]
    origin, began = bench.origin(year), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fama_fast-discovery-") as place:
        found = SEARCHES[job.arm](bench, origin, horizon, job.seed, job.candidates, Path(place))
        searched = time.perf_counter() - began
        said(f"{found.headline}; {searched:.0f} s; {len(found.levels):,} formulas to pool")
        other = bench.levels(WITH, 0, 0)
        own = found.levels
        stop = origin.test
        parts = [(other, bench.usable(other)), (own, bench.usable(own, stop))]
        levels = Chosen(*parts)
        published = len(parts[0][1])
        asked = arm_pools(job.arm, published, len(parts[1][1]))
        place_of = {int(pick): published + i for i, pick in enumerate(parts[1][1])}
        listed = np.array([place_of[i] for i in found.listed if i in place_of], dtype=np.int64)
        if len(listed):
            asked.append(Pool(f"{job.arm}{LISTED}", {len(listed): listed}))
        figures = bench.figures(levels, job.horizons, stop)
        at = bench.cells.on(bench.sampled(0, stop))
        wanted = {h: [p for p in asked if (p.arm, h, year) not in job.done] for h in job.horizons}
        head = {"formulas": len(parts[1][1]), "searched_at": horizon, **found.facts}
        for row in at_origin(bench, levels, (products(levels, at), len(at)), figures, origin, wanted):
            yield {
                **row,
                **head,
                "search_seconds": round(searched, 1),
                "seconds": round(time.perf_counter() - began, 1),
            }
