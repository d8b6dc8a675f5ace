"""What Cross-Sample Selection and Chain-of-Experience add: the same search with neither, one, and both, on small data.

The panels are a simulated market with three weak signals, and a part of the S&P 500 without the dates that a run of all
of it would test on; a run takes seconds, so that ten seeds do not take an afternoon. What a run is judged by is its
validation, and how many of its formulas were admitted. Each run also keeps what its proposer was shown and what it
built on, so that one sees whether the arms differ at all.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from benches.mining import panels
from benches.mining.measure import settings
from fama_fast.data import PlantedSignal, SimulationSpec, load_market_data, simulate
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.proposers import ProposerSettings, make_proposer
from fama_fast.mining.proposers.kinds.llm import LLMProposer
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.setup import ledger_place

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel import Panel
    from fama_fast.proposals.protocol import ProposalBatch, ProposalRequest, Proposer

ARMS = ("neither", "css", "coe", "both")
SYMBOLS, DATES = 120, 700
DATA, SECTORS = "sp500_2013_2018.parquet", "sp500_sectors.csv"
_SIGNALS, _RANK_IC = 3, 0.03
_SCRIPTED = {
    "model": "scripted",
    "api_key_env": None,
    "base_url": "http://127.0.0.1:1/v1",
    "constraint": "none",
    "concurrency": 1,
}


def simulated(seed: int) -> Panel:
    """A market with three weak signals."""
    signals = tuple(PlantedSignal(panels.planted_expression(50_000 + 10 * seed + i), _RANK_IC) for i in range(_SIGNALS))
    return simulate(SimulationSpec(n_symbols=SYMBOLS, n_dates=DATES, seed=5000 + seed, signals=signals))


@lru_cache(maxsize=1)
def _sp500() -> tuple[pl.DataFrame, list[str]]:
    frame = pl.read_parquet(panels.folder() / DATA)
    days = frame["date"].unique().sort()
    frame = frame.filter(pl.col("date") < days[round(0.8 * len(days))])
    return frame, frame["symbol"].unique().sort().to_list()


def part_of_sp500(seed: int) -> Panel:
    """So many symbols of the S&P 500, drawn by seed, on the dates that choices may be made on."""
    frame, symbols = _sp500()
    chosen = random.Random(f"part {seed}").sample(symbols, SYMBOLS)
    return load_market_data(frame.filter(pl.col("symbol").is_in(chosen)), groups=panels.folder() / SECTORS)


class Watched:
    """A proposer, and what it was shown and built on."""

    def __init__(self, inner: Proposer) -> None:
        self.inner, self.name, self.capabilities = inner, inner.name, inner.capabilities
        self.seen: Counter[str] = Counter()

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """What the proposer answers."""
        batch = self.inner.propose(request)
        prompts = request.contexts
        exemplars = {f.fingerprint for f in request.exemplars}
        exemplars.update(f.fingerprint for p in prompts for f in p.exemplars)
        chain = {f.fingerprint for f in request.chain}
        chain.update(step.factor.fingerprint for p in prompts for step in p.path)
        self.seen.update(rounds=1, exemplars=len(exemplars), steps=len(chain), proposals=len(batch.proposals))
        for proposal in batch.proposals:
            on_chain, on_exemplar = (bool(shown.intersection(proposal.parents)) for shown in (chain, exemplars))
            self.seen.update(on_chain=on_chain, on_exemplar=on_exemplar and not on_chain)
        return batch


def _evolve(config: MiningConfig) -> Proposer:
    return make_proposer(ProposerSettings("evolve", config.run.seed))


def _scripted(config: MiningConfig) -> Proposer:
    from tests.support.strong_model import StrongModel

    return LLMProposer(config.llm, StrongModel())


PROPOSERS: dict[str, tuple[Callable[[MiningConfig], Proposer], dict[str, Any]]] = {
    "evolve": (_evolve, {}),
    "scripted": (_scripted, {"proposer": "llm", "llm": _SCRIPTED}),
}


def ablation(
    panel_of: Callable[[int], Panel], proposer: str, **rest: Any
) -> Callable[[str, int, int, int], dict[str, Any]]:
    """One run of an arm; `rest`: further settings of all arms."""
    make, own = PROPOSERS[proposer]

    def run(arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
        memories = {"use_css": arm in ("css", "both"), "use_coe": arm in ("coe", "both")}
        panel = panel_of(seed)
        more = {**own, **rest, "run": {**rest.get("run", {}), **memories}, "control": {"random": False}}
        with tempfile.TemporaryDirectory(prefix="fama_fast-ablation-") as place:
            config = settings(seed, candidates, threads, place, **more)
            watched = Watched(make(config))
            result = mine(config, panel=panel, proposer=watched)
            with Ledger.open(ledger_place(config), create=False) as ledger:
                rows, steps = ledger.candidates(result.run_id), ledger.chain_steps(result.run_id)
        verdict = result.verdict
        wide = None if verdict.wide is None else verdict.wide.valid
        admitted = [r for r in rows if r["gate"] is None]
        return {
            "headline": verdict.headline,
            "candidates": len(rows),
            "admitted": len(admitted),
            "per_1000": 1000.0 * len(admitted) / max(1, len(rows)),
            "passed": sum(r["gate"] in (None, "correlation", "admission", "quota") for r in rows),
            "pool_valid": None if verdict.valid is None else verdict.valid.scores.get("rank_ic"),
            "wide_valid": None if wide is None else wide.scores.get("rank_ic"),
            "shown": dict(watched.seen),
            "chain_steps": dict(Counter(s.action for _, s in steps)),
            "origins": dict(Counter(r["origin"] for r in rows)),
            "admitted_by_origin": dict(Counter(r["origin"] for r in admitted)),
        }

    return run
