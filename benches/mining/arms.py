"""What a language model is worth to a search: `python -m benches.mining arms --config run.yaml`.

The same panel is mined by `llm`, `evolve`, `mixed` and `random` (formulas drawn from the grammar, with no search), each
with a ledger of its own, over seeds: once with equal candidates, once for equal money. The configuration says which
model, what its tokens cost (`llm.price_in`, `llm.price_out`), the data and the gates; everything else is alike.

Money is tokens and the processor: an hour of a core costs `--core-hour`. A search without a model turns the whole sum
into candidates, at what a candidate of it took in the run of equal candidates, up to `--most` of them.

A model may have read about dates before its training cut-off (`--cutoff`): the table says how many of validation are.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.mining import panels
from benches.mining.runner import append, finished, positive
from benches.mining.suites import SMALL
from fama_fast.errors import ConfigError, FamaError
from fama_fast.ledger.ledger import Ledger
from fama_fast.llm.answers import REPEATED
from fama_fast.mining.config_file import config_from_dict, document, load_config
from fama_fast.mining.configured_data import open_panel
from fama_fast.mining.proposers.level_free import tree_maker
from fama_fast.mining.proposers.random_tree import is_scorable
from fama_fast.mining.run.mine import mine
from fama_fast.mining.run.setup import ledger_place
from fama_fast.mining.run.to_records import split_days
from fama_fast.passes import canonicalise
from fama_fast.proposals.protocol import Capabilities, Proposal, ProposalBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.verdict.results import MiningResult
    from fama_fast.panel import Panel
    from fama_fast.proposals.protocol import ProposalRequest

ARMS = ("llm", "evolve", "mixed", "random")
WITH_MODEL = ("llm", "mixed")
CANDIDATES, MONEY = "candidates", "money"
MIX = {"llm": 0.3, "evolve": 0.7}
_DUPLICATES = ("duplicate", "overlap", "fingerprint")  # gates that stop what is known
_TWICE = (REPEATED, "proposed twice for the same request")  # what a model's answer says again
_DRAWS = 200  # for one formula, before the grammar has no more to say
_DEPTH = 8


class RandomProposer:
    """Draws formulas from the grammar, and learns nothing: what a search must beat."""

    name = "random"
    capabilities = Capabilities(deterministic=True, has_more=True)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """As many new formulas as asked for, or fewer where the grammar has no more."""
        from fama_fast.lang import to_text

        rng = random.Random(f"arms {request.seed} {request.round}")
        maker = tree_maker(rng, request.vocabulary, level_free=request.limits.level_free)
        found: dict[str, None] = {}
        for _ in range(_DRAWS * request.count):
            if len(found) == request.count:
                break
            try:
                node = canonicalise(maker.expression(rng.randint(3, _DEPTH)))
            except FamaError:  # parameters that do not go together
                continue
            text = to_text(node)
            fits = maker.fits(node, request.limits.max_depth, request.limits.max_nodes)
            if fits and is_scorable(node) and text not in request.known:
                found[text] = None
        return ProposalBatch(tuple(Proposal(text, origin="random") for text in found))


def arm_settings(
    base: MiningConfig, arm: str, seed: int, place: str, *, candidates: int, money: float | None
) -> MiningConfig:
    """The settings of one run: those of the configuration, but for what proposes, the budget and where it is kept.

    Raises:
        ConfigError: money is asked of a model whose tokens have no price.
    """
    more: dict[str, Any] = {
        "proposer": "evolve" if arm == "random" else arm,
        "run.rounds": 10**6,
        "run.patience": 10**6,  # the budget decides
        "run.max_candidates": candidates,
        "run.seed": seed,
        "run.update_cache": False,
        "paths.output_dir": place,
        "ledger": str(Path(place) / "ledger.sqlite"),
        "control.random": False,
    }
    if arm == "mixed" and not base.mix:
        more["mix"] = MIX
    if money is not None and arm in WITH_MODEL:
        more["llm.max_cost"] = money
    return config_from_dict(document(base), source="the configuration", overrides=more)


def run_arm(
    panel: Panel,
    base: MiningConfig,
    arm: str,
    seed: int,
    *,
    candidates: int,
    money: float | None = None,
    core_hour: float = 0.0,
) -> dict[str, Any]:
    """One run, and what is kept of it."""
    with tempfile.TemporaryDirectory(prefix="fama_fast-arms-") as place:
        config = arm_settings(base, arm, seed, place, candidates=candidates, money=money)
        began, spent = time.perf_counter(), time.process_time()
        result = mine(config, panel=panel, proposer=RandomProposer() if arm == "random" else None)
        seconds, processor = time.perf_counter() - began, time.process_time() - spent
        with Ledger.open(ledger_place(config), create=False) as ledger:
            rows = ledger.candidates(result.run_id)
            usage: Counter[str] = Counter()
            for exchange in ledger.exchanges(result.run_id):
                usage.update({k: v for k, v in (exchange["usage"] or {}).items() if isinstance(v, int | float)})
    return {
        "seconds": round(seconds, 1),
        "headline": result.verdict.headline,
        **figures(config, result, rows, usage),
        "cost": _cost(usage, processor, core_hour),
        "processor_seconds": round(processor, 2),
    }


def _cost(usage: Counter[str], processor: float, core_hour: float) -> dict[str, float]:
    model, machine = float(usage["cost"]), processor / 3600.0 * core_hour
    return {"model": model, "processor": machine, "all": model + machine}


def figures(
    config: MiningConfig, result: MiningResult, rows: Sequence[dict[str, Any]], usage: Counter[str]
) -> dict[str, Any]:
    """What a run came to, as a whole and by proposer."""
    listed = {f.fingerprint for f in result.factors}
    by: dict[str, dict[str, Any]] = {}
    for row in rows:
        own = by.setdefault(row["proposer"], {"candidates": 0, "duplicates": 0, "listed": 0, "funnel": Counter()})
        own["candidates"] += 1
        own["duplicates"] += row["gate"] in _DUPLICATES or row["reason"] in _TWICE
        own["funnel"][row["gate"] or "admitted"] += 1
        own["listed"] += row["fingerprint"] in listed and row["occurrence"] == 1
    verdict = result.verdict
    wide = None if verdict.wide is None else verdict.wide.valid
    return {
        "model": config.llm.model if config.proposer in WITH_MODEL else None,
        "stop": result.stop,
        "candidates": len(rows),
        "listed": len(listed),
        "passed": sum(row["gate"] in (None, "correlation", "admission", "quota") for row in rows),
        "duplicates": sum(own["duplicates"] for own in by.values()),
        "pool_valid": None if verdict.valid is None else verdict.valid.scores.get("rank_ic"),
        "wide_valid": None if wide is None else wide.scores.get("rank_ic"),
        "usage": dict(usage),
        "by_proposer": {name: {**own, "funnel": dict(own["funnel"])} for name, own in sorted(by.items())},
    }


def seen_before(panel: Panel, config: MiningConfig, cutoff: str | None) -> dict[str, Any] | None:
    """How many validation dates lie before a model's training cut-off; None where none is given."""
    if cutoff is None:
        return None
    from fama_fast.mining.measure.market import Market

    splits = split_days(Market(panel, config))
    first, last = splits["valid"]["rows"]
    dates = panel.dates[first:last].astype("datetime64[D]")
    return {
        "cutoff": cutoff,
        "valid_days": len(dates),
        "before": int(np.count_nonzero(dates < np.datetime64(cutoff))),
        "valid": [splits["valid"]["first"], splits["valid"]["last"]],
    }


def candidates_for(money: float, alike: dict[str, Any], core_hour: float, most: int) -> int:
    """How many candidates a search without a model can have for a sum, by what its run of equal candidates cost."""
    each = alike["processor_seconds"] / max(1, alike["candidates"]) / 3600.0 * core_hour
    return most if each <= 0.0 else max(1, min(most, int(money / each)))


def open_data(name: str | None, base: MiningConfig, seed: int) -> Panel:
    """The panel of a seed: a simulated or a real one of the benches by name, else that of the configuration."""
    if name is None:
        return open_panel(base)
    if name == "planted":
        return panels.planted(seed, *SMALL)[0]
    if name == "noise":
        return panels.noise(seed, *SMALL)
    return panels.tuning(name)


def run(options: argparse.Namespace) -> int:
    """All runs that the file does not hold yet; returns how many failed."""
    base = load_config(options.config)
    with_model = any(arm in WITH_MODEL for arm in options.arms)
    if base.llm.model is None and with_model:
        raise ConfigError("llm.model: the arms llm and mixed need the model in --config")
    if options.money is not None and with_model and (base.llm.price_in is None or base.llm.price_out is None):
        raise ConfigError("llm.price_in, llm.price_out: equal money needs what a million tokens cost")
    failed = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        panel = open_data(options.panel, base, seed)
        seen = seen_before(panel, base, options.cutoff or base.llm.cutoff)
        for budget in (CANDIDATES, *([MONEY] if options.money is not None else [])):
            for arm in options.arms:
                failed += not _one(options, base, panel, arm, seed, budget, seen)
    return failed


def _one(
    options: argparse.Namespace,
    base: MiningConfig,
    panel: Panel,
    arm: str,
    seed: int,
    budget: str,
    seen: dict[str, Any] | None,
) -> bool:
    """One run, unless the file has it. Returns whether it is there now."""
    done = {(r["arm"], r["seed"], r["budget"], r["candidates_asked"]): r for r in finished(options.out)}
    asked = options.candidates
    money = None
    if budget == MONEY:
        money, asked = options.money, options.most
        alike = done.get((arm, seed, CANDIDATES, options.candidates))
        if arm not in WITH_MODEL:
            if alike is None:
                return False  # its run of equal candidates failed, and was counted
            asked = candidates_for(money, alike, options.core_hour, options.most)
    if (arm, seed, budget, asked) in done:
        return True
    try:
        found = run_arm(panel, base, arm, seed, candidates=asked, money=money, core_hour=options.core_hour)
    except FamaError as error:
        print(f"arms {arm} seed {seed}, equal {budget}, failed: {error}", file=sys.stderr)
        return False
    head = {"suite": "arms", "arm": arm, "seed": seed, "candidates_asked": asked, "budget": budget, "money": money}
    append(options.out, {**head, **found, "panel": options.panel or panel.source, "seen": seen})
    print(f"arms {arm} seed {seed}, equal {budget}: {found['seconds']:.0f} s: {found['headline']}", file=sys.stderr)
    return True


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the suite."""
    parser.add_argument("--config", type=Path, help="YAML configuration with model, prices, data and gates")
    parser.add_argument("--panel", choices=("planted", "noise", *panels.REAL), help="data in place of --config's")
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--candidates", type=positive, default=400, help="of the runs of equal candidates")
    parser.add_argument("--money", type=float, help="of the runs of equal money, in the currency of the prices")
    parser.add_argument("--core-hour", type=float, default=0.04, help="what an hour of a core costs")
    parser.add_argument("--most", type=positive, default=20_000, help="candidates at most for the money")
    parser.add_argument("--cutoff", metavar="DATE", help="in place of llm.cutoff, to which the model was trained")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=Path("mining-arms.jsonl"))
