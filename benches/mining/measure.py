"""What a mining run is judged by here, outside the run: test scores of everything it admitted.

The harness may look at the test of factors that the run itself kept closed; it changes nothing of the run.
"""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.measure.combination import FactorPool
from fama_fast.mining.measure.market import Market
from fama_fast.mining.run.mine import mine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.library.factor import Factor
    from fama_fast.mining.config import MiningConfig
    from fama_fast.mining.verdict.results import MiningResult
    from fama_fast.panel import Panel


_SHOWN = 10  # factors that a result lists


def settings(seed: int, candidates: int, threads: int, place: str, **rest: Any) -> MiningConfig:
    """The settings of every suite: defaults but for budget, seed and cores; nothing is tuned to a suite."""
    run = {
        "rounds": 10**6,
        "patience": 10**6,  # the budget decides, so that all arms spend the same
        "max_candidates": candidates,
        "seed": seed,
        "threads": threads,
        **rest.pop("run", {}),
    }
    return config_from_dict({"paths": {"output_dir": place}, "run": run, **rest})


def mined(panel: Panel, seed: int, candidates: int, threads: int, **rest: Any) -> tuple[MiningResult, MiningConfig]:
    """A run with a ledger of its own, so that seeds are independent."""
    with tempfile.TemporaryDirectory(prefix="fama_fast-bench-") as place:
        config = settings(seed, candidates, threads, place, **rest)
        return mine(config, panel=panel), config


def described(result: MiningResult) -> dict[str, Any]:
    """What every suite keeps of a run."""
    verdict, record = result.verdict, result.record
    return {
        "status": verdict.status.value,
        "headline": verdict.headline,
        "statements": list(verdict.statements),
        "stop": result.stop,
        "rounds": result.rounds,
        "candidates": result.candidates,
        "admitted": len(result.factors),
        "holding": len(verdict.holding),
        "funnel": result.funnel,
        "run_seconds": record["seconds"],
        "candidates_per_second": record["candidates_per_second"],
        "verdict_pool": {
            split: {k: v for k, v in figures.items() if k != "weights"}
            for split, figures in verdict.as_dict()["pool"].items()
        },
        "control": verdict.control.as_dict(),
        "shrinkage_of_holding": verdict.shrinkage,
    }


def scored(panel: Panel, config: MiningConfig, factors: Sequence[Factor]) -> dict[str, Any]:
    """Train, validation and test RankIC of admitted factors, their pool's on the test, and how alike they are.

    Of the factors themselves only the best in training are kept: results of many seeds should stay readable.
    """
    if not factors:
        return {"factors": [], "pool_test": {}, "pool_valid": {}}
    market = Market(panel, config)
    pool = FactorPool(market, config.pool)
    valid, test = pool.valid(factors), pool.test(factors)
    tests = market.open_test(factors)
    rows: list[dict[str, Any]] = [
        {
            "expression": f.canonical,
            "train": f.score,
            "valid": f.scores.get("valid", {}).get("rank_ic", math.nan),
            "test": tests[f.fingerprint]["rank_ic"],
        }
        for f in factors
    ]
    # A factor that has no RankIC on the test earned nothing there.
    train, after = (float(np.mean(np.nan_to_num([r[k] for r in rows]))) for k in ("train", "test"))
    return {
        "factors": sorted(rows, key=lambda r: -r["train"])[:_SHOWN],
        "best_test": max(r["test"] for r in rows),
        "test_over_train": after / train if train > 0.0 else None,
        "pool_valid": {m: s.get("rank_ic") for m, s in valid.scores.items()},
        "pool_test": {m: s.get("rank_ic") for m, s in test.scores.items()},
        "pool_test_figures": {m: dict(s) for m, s in test.scores.items()},
        "mean_abs_correlation": _likeness(market, factors),
    }


def _likeness(market: Market, factors: Sequence[Factor]) -> float | None:
    from fama_fast.engine import compile as compile_alpha

    if len(factors) < 2:
        return None
    fields, groups = market.panel.fields, market.panel.groups
    alphas = [compile_alpha(f.canonical, fields=fields, groups=groups) for f in factors]
    vectors = np.stack([v.astype(np.float64) for v in market.vectors(alphas)])
    found = np.abs(vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return float(found.mean())
