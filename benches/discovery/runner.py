"""Jobs of the benchmark in processes of their own; each row is on disk the moment it is there."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from benches.discovery import formulas
from benches.discovery.arms import CHOSEN, LISTED, WITH, Job
from benches.discovery.planted import LadderJob
from benches.discovery.searches import SEARCHES
from benches.mining.runner import append, end_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

FIXED = (*formulas.PUBLISHED, *formulas.RANDOM)
SEARCHED = tuple(SEARCHES)
ARMS = (*FIXED, *SEARCHED)
USUAL = (*FIXED, "mined", "mined-alpha158", "gplearn")


AnyJob = Job | LadderJob


def rows_of(job: Job) -> list[tuple[str, int, int]]:
    """(arm, horizon, year) of every row that a job writes."""
    arms = [job.arm] if job.arm in formulas.PUBLISHED else [job.arm, f"{job.arm}+{WITH}", f"{job.arm}{CHOSEN}"]
    return [(arm, h, y) for y in job.years for h in job.horizons for arm in arms]


def jobs_of(
    study: str,
    arms: Sequence[str],
    seeds: Iterable[int],
    horizons: Sequence[int],
    years: Sequence[int],
    candidates: int,
    threads: int,
    cache: Path,
    results: Iterable[dict[str, Any]],
) -> list[Job]:
    """What is left to do: of fixed arms a job a seed, of those that search one also a year.

    Published sets come first and have one seed; then seed by seed, so that a run that is stopped has compared whole
    seeds.
    """
    done: dict[tuple[str, int], set[tuple[str, int, int]]] = {}
    for r in results:
        if r["suite"] == "origins" and r["study"] == study and r["candidates_asked"] in (candidates, 0):
            base = r["arm"].partition("+")[0].removesuffix(CHOSEN).removesuffix(LISTED)
            done.setdefault((base, r["seed"]), set()).add((r["arm"], r["horizon"], r["year"]))
    first = Job(study, "", 0, candidates, tuple(horizons), tuple(years), threads, str(cache))
    wanted = [replace(first, arm=a) for a in arms if a in formulas.PUBLISHED]
    for seed in seeds:
        wanted += [replace(first, arm=a, seed=seed) for a in arms if a in formulas.RANDOM]
        for y in years:
            wanted += [replace(first, arm=a, seed=seed, years=(y,)) for a in arms if a in SEARCHED]
    out = [replace(j, done=frozenset(done.get((j.arm, j.seed), ()))) for j in wanted]
    return [j for j in out if not set(rows_of(j)) <= j.done]


@dataclass
class Progress:
    """How long the rest takes, from the rows so far.

    Attributes:
        left: rows by arm. jobs: at a time. candidates: of an arm. spent: seconds of each row so far, by arm.
    """

    left: dict[str, int]
    jobs: int
    candidates: int
    spent: dict[str, list[float]] = field(default_factory=dict)

    def row(self, job: AnyJob, seconds: float) -> str:
        """Count a row; the time that the others take, in words."""
        self.left[job.arm] = max(0, self.left[job.arm] - 1)
        self.spent.setdefault(job.arm, []).append(seconds)
        known = {arm: sum(s) / len(s) for arm, s in self.spent.items()}
        rest = sum(n * known.get(arm, self._guess(arm)) for arm, n in self.left.items()) / self.jobs
        return f"about {rest / 60:.0f} minutes left"

    def _guess(self, arm: str) -> float:
        """Seconds of a row of an arm that has none yet."""
        each = 0.0 if arm in formulas.PUBLISHED else 0.01 if arm in formulas.RANDOM else 0.04
        return 1.0 + each * self.candidates


def run_jobs(jobs: Sequence[Job], at_a_time: int, path: Path) -> int:
    """Run jobs, the measuring of what they share first. Returns how many failed."""
    if not jobs:
        return 0
    left: dict[str, int] = {}
    for job in jobs:
        left[job.arm] = left.get(job.arm, 0) + len(set(rows_of(job)) - job.done)
    progress = Progress(left, at_a_time, max(j.candidates for j in jobs))
    # What unions add is measured before anything that needs it; a job without rows to write only measures.
    shared = replace(jobs[0], arm=WITH, seed=0, candidates=0, horizons=(), years=())
    failed = _some([shared], 1, path, progress)
    if failed:
        return failed
    first = [j for j in jobs if j.arm in formulas.PUBLISHED]
    failed += _some(first, at_a_time, path, progress)
    return failed + _some([j for j in jobs if j.arm not in formulas.PUBLISHED], at_a_time, path, progress)


def run_ladder(jobs: Sequence[LadderJob], at_a_time: int, path: Path) -> int:
    """Run jobs of the ladder of planted signals. Returns how many failed."""
    left = {arm: sum(j.arm == arm for j in jobs) for arm in {j.arm for j in jobs}}
    return _some(jobs, at_a_time, path, Progress(left, at_a_time, max((j.candidates for j in jobs), default=0)))


def _some(jobs: Sequence[AnyJob], at_a_time: int, path: Path, progress: Progress) -> int:
    lock = threading.Lock()
    with ThreadPoolExecutor(at_a_time) as pool:
        running = [pool.submit(_alone, job, path, progress, lock) for job in jobs]
        return sum(f.result() for f in as_completed(running))


def _alone(job: AnyJob, path: Path, progress: Progress, lock: threading.Lock) -> int:
    """A job in a process of its own, whose memory ends with it; 1 when it failed."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    at, failed = time.perf_counter(), None
    while True:
        try:
            kind, what = ours.recv()
        except EOFError:
            break
        if kind == "said":
            print(f"{label(job)}: {what}", file=sys.stderr, flush=True)
        elif kind == "failed":
            failed = what
        else:
            seconds, at = time.perf_counter() - at, time.perf_counter()
            with lock:
                append(path, what)
                rest = progress.row(job, seconds)
            print(f"{headline(job, what)}; {rest}", file=sys.stderr, flush=True)
    process.join()
    if failed is None and process.exitcode:
        failed = f"its process ended with {process.exitcode}"
    if failed is not None:
        print(f"{label(job)} failed:\n{failed}", file=sys.stderr, flush=True)
        return 1
    return 0


def label(job: AnyJob) -> str:
    """Which job it is, in words."""
    if isinstance(job, LadderJob):
        return f"{job.rung} {job.arm} seed {job.seed}"
    return f"{job.study} {job.arm} seed {job.seed}" + (f", {job.years[0]}" if len(job.years) == 1 else "")


def headline(job: AnyJob, row: dict[str, Any]) -> str:
    """A row in a line."""
    if isinstance(job, LadderJob):
        near = ", ".join(f"{v:.2f}" for v in row["best"])
        return f"{label(job)}: {row['found']} of {len(row['best'])} found ({near})"
    last = row["pools"][-1]
    figures = f"{last['size']:,}: {last['rank_ic']:.4f} / {last['ic']:.4f} / {last['spread']:.1f} bp"
    return f"{row['arm']} seed {job.seed}, {row['horizon']} days, {row['year']}: {figures}"


def _work(job: AnyJob, pipe: Connection, parent: int) -> None:
    """In the process of a job: its rows through the pipe as they come."""
    end_with(parent)
    try:
        for row in rows(job, lambda text: pipe.send(("said", text))):
            pipe.send(("row", row))
    except Exception:  # noqa: BLE001  (the parent prints it and counts it)
        pipe.send(("failed", traceback.format_exc()))
    except SystemExit as error:
        pipe.send(("failed", str(error)))
    finally:
        pipe.close()


def rows(job: AnyJob, said: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The rows of a job in this process."""
    from benches.discovery.arms import fixed, mined
    from benches.discovery.planted import climb

    if isinstance(job, LadderJob):
        yield from climb(job, said)
        return
    kind = fixed if job.arm in FIXED else mined
    asked = 0 if job.arm in formulas.PUBLISHED else job.candidates
    head = {"suite": "origins", "study": job.study, "seed": job.seed, "candidates_asked": asked}
    for row in kind(job, said):
        yield {**head, **row, "threads": job.threads}
