"""The ladder of planted signals: simulated markets by depth, strength and number of signals, mined and at random."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.discovery.formulas import MAX_LOOKBACK, drawn
from benches.mining.measure import settings
from benches.mining.runner import finished
from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.engine import compile as compile_alpha
from fama_fast.engine import ranks_on
from fama_fast.errors import FamaError
from fama_fast.evaluation.ranks import unit_vector
from fama_fast.lang import to_text
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.css import sample_rows
from fama_fast.mining.proposers.random_tree import random_expression
from fama_fast.mining.run.mine import mine
from fama_fast.passes import canonicalise
from fama_fast.proposals.protocol import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray

SYMBOLS, DATES = 500, 1260
FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP")
FOUND = 0.7  # |correlation| of rank vectors from which on a signal is found
ARMS = ("mined", "random-free")
_BATCH = 64


@dataclass(frozen=True)
class Rung:
    """So many signals of one depth and strength."""

    depth: int
    rank_ic: float
    signals: int = 1

    @property
    def name(self) -> str:
        many = "" if self.signals == 1 else f"-x{self.signals}"
        return f"depth-{self.depth}-{self.rank_ic:g}{many}"


RUNGS = {
    r.name: r
    for r in (
        *(Rung(depth, rank_ic) for depth in (2, 3, 4, 5, 6) for rank_ic in (0.01, 0.02, 0.03)),
        Rung(4, 0.02, 3),
        Rung(4, 0.02, 5),
    )
}


@dataclass(frozen=True)
class LadderJob:
    """One market of a rung, searched by one arm."""

    rung: str
    arm: str
    seed: int
    candidates: int
    threads: int
    symbols: int = SYMBOLS
    dates: int = DATES


@lru_cache(maxsize=1)
def _blank() -> Panel:
    """A small market that signals are tried on."""
    return simulate(SimulationSpec(n_symbols=60, n_dates=260, seed=77))


def signals_of(rung: Rung, seed: int) -> list[str]:
    """Different expressions of the rung's depth, level-free, that rank most symbols apart on every date."""
    rng = random.Random(f"ladder {rung.depth} {seed}")
    vocabulary = Vocabulary(FIELDS, (), 60)
    out: list[str] = []
    while len(out) < rung.signals:
        try:
            node = canonicalise(random_expression(rng, vocabulary, max_depth=rung.depth))
            alpha = compile_alpha(to_text(node), fields=FIELDS)
        except FamaError:  # parameters that do not go together
            continue
        if node.depth != rung.depth or alpha.level_dependence or alpha.lookback > MAX_LOOKBACK:
            continue
        values = alpha.evaluate(_blank())[-100:]
        apart = np.mean([len(np.unique(row[np.isfinite(row)])) for row in values]) / values.shape[1]
        if apart < 0.9 or alpha.canonical in out:
            continue
        if any(abs(v) > FOUND for v in best(_blank(), [alpha.canonical], out)):
            continue
        out.append(alpha.canonical)
    return out


def best(panel: Panel, texts: Sequence[str], signals: Sequence[str], threads: int = 1) -> list[float]:
    """Of each signal the largest |correlation| of its ranks with those of any of the texts, on 64 sampled dates."""
    rows = sample_rows(slice(0, panel.shape[0]), 64, 0)

    def vectors(some: Sequence[str]) -> FloatArray:
        alphas = [compile_alpha(t, fields=panel.fields, groups=panel.groups) for t in some]
        return np.stack([unit_vector(r) for r in ranks_on(alphas, panel, rows, threads=threads)])

    if not signals:
        return []
    truth, top = vectors(signals), np.zeros(len(signals))
    for at in range(0, len(texts), _BATCH):
        top = np.maximum(top, np.abs(vectors(texts[at : at + _BATCH]) @ truth.T).max(axis=0))
    return [float(v) for v in top]


def market(rung: Rung, seed: int, symbols: int, dates: int) -> tuple[Panel, list[str]]:
    """A simulated market with a rung's signals, and these."""
    texts = signals_of(rung, seed)
    planted = tuple(PlantedSignal(t, rung.rank_ic) for t in texts)
    spec = SimulationSpec(n_symbols=symbols, n_dates=dates, seed=4000 + seed, signals=planted)
    return simulate(spec), texts


def climb(job: LadderJob, said: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """One row: how near the arm's candidates came to each signal, and its short list."""
    began, rung = time.perf_counter(), RUNGS[job.rung]
    panel, signals = market(rung, job.seed, job.symbols, job.dates)
    said(f"planted {'; '.join(signals)}")
    more: dict[str, Any] = {}
    if job.arm == "mined":
        with tempfile.TemporaryDirectory(prefix="fama_fast-ladder-") as place:
            config = settings(job.seed, job.candidates, job.threads, place, control={"random": False})
            result = mine(config, panel=panel)
            with Ledger.open(str(Path(place) / "ledger.sqlite"), create=False) as ledger:
                rows = ledger.candidates(result.run_id)
        texts = list(dict.fromkeys(r["canonical"] for r in rows if r["canonical"]))
        short = [f.canonical for f in result.factors]
        more = {
            "best_short": best(panel, short, signals, job.threads),
            "short": len(short),
            "status": result.verdict.status.value,
        }
    else:
        texts = drawn(panel, job.seed, job.candidates, level_free=True)
    near = best(panel, texts, signals, job.threads)
    yield {
        "suite": "planted",
        "rung": job.rung,
        "arm": job.arm,
        "seed": job.seed,
        "candidates_asked": job.candidates,
        "signals": signals,
        "best": near,
        **more,
        "found": sum(v > FOUND for v in near),
        "seconds": round(time.perf_counter() - began, 1),
    }


def ladder_jobs(
    seeds: Sequence[int], candidates: int, threads: int, path: Path, rungs: Sequence[str] | None
) -> list[LadderJob]:
    """What the file does not hold yet, seed by seed.

    Raises:
        SystemExit: there is no such rung.
    """
    for name in rungs or ():
        if name not in RUNGS:
            raise SystemExit(f"error: there is no rung {name}: {', '.join(RUNGS)}")
    done = {(r["rung"], r["arm"], r["seed"], r["candidates_asked"]) for r in finished(path) if r["suite"] == "planted"}
    wanted = [
        LadderJob(rung, arm, seed, candidates, threads) for seed in seeds for rung in rungs or RUNGS for arm in ARMS
    ]
    return [j for j in wanted if (j.rung, j.arm, j.seed, j.candidates) not in done]
