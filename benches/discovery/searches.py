"""Arms that search before each test year. `SEARCHES` is the whole list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.discovery.formulas import reader
from benches.discovery.levels import Bank, Chosen
from benches.mining.measure import settings
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import as_proposed
from fama_fast.library.published import PUBLISHED, SEEDS
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.run.mine import mine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benches.discovery.arms import Bench
    from benches.discovery.levels import LevelRows
    from benches.discovery.origins import Origin
    from fama_fast.panel import Panel


@dataclass(frozen=True)
class Found:
    """What a search leaves: its measured formulas in order of proposal, with their levels.

    Attributes:
        listed: the factors that it hands over, as numbers of formulas. facts: for the row of the result.
    """

    levels: LevelRows
    headline: str
    listed: Sequence[int] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def _mined(library: str) -> Callable[[Bench, Origin, int, int, int, Path], Found]:
    def search(bench: Bench, origin: Origin, horizon: int, seed: int, candidates: int, place: Path) -> Found:
        asked = bench.of.settings(horizon)
        asked["splits"]["fractions"] = origin.fractions
        asked |= {"library": library, "control": {"random": False}}
        config = settings(seed, candidates, bench.threads, str(place), **asked)
        panel = origin.checked(bench.panel, config)
        result = mine(config, panel=panel)
        with Ledger.open(str(place / "ledger.sqlite"), create=False) as ledger:
            rows = ledger.candidates(result.run_id)
        scored = [r for r in rows if r["canonical"] and r["scores"].get("train")]
        anew = {as_proposed(r)[1]: r["origin"] == "fresh" for r in reversed(scored)}
        texts = list(dict.fromkeys(as_proposed(r)[1] for r in scored))
        numbers = {text: i for i, text in enumerate(texts)}
        levels = _measured(texts, [anew[t] for t in texts], bench, origin, panel, seed, place)
        listed = [numbers[f.as_proposed[0]] for f in result.factors if f.as_proposed[0] in numbers]
        facts = {
            "proposed": result.candidates,
            "admitted": len(result.factors),
            "status": result.verdict.status.value,
            "funnel": result.funnel,
        }
        return Found(levels, result.verdict.headline, listed, facts)

    return search


def _measured(
    texts: Sequence[str], anew: Sequence[bool], bench: Bench, origin: Origin, panel: Panel, seed: int, place: Path
) -> LevelRows:
    """Levels of a run's formulas, in their order; those that it drew anew, as runs of other years with its seed do too,
    stay in the cache, measured on all dates."""
    shared = bench.anew(seed)
    at = shared.hold(
        [t for t, new in zip(texts, anew, strict=True) if new],
        reader("mined", bench.panel),
        bench.panel,
        bench.threads,
    )
    own = Bank(place / "levels", bench.cells.until(origin.stop))
    bred = [t for t, new in zip(texts, anew, strict=True) if not new]
    own.extend(bred, reader("mined", panel), panel, bench.threads)
    order = np.argsort(np.concatenate([np.flatnonzero(anew), np.flatnonzero(~np.asarray(anew))]))
    parts = (shared.levels(), np.array(at, dtype=np.int64)), (own.levels(), np.arange(len(bred)))
    return Chosen(*parts, order=order)


def _gplearn(bench: Bench, origin: Origin, horizon: int, seed: int, candidates: int, place: Path) -> Found:
    from benches.mining.gplearn_arm import evolved

    asked = bench.of.settings(horizon)
    asked["splits"]["fractions"] = origin.fractions
    config = config_from_dict({"run": {"seed": seed, "threads": bench.threads}, **asked})
    panel = origin.checked(bench.panel, config)
    market, programs, tried = evolved(panel, config, candidates)
    bank = Bank(place / "levels", bench.cells.until(origin.stop))
    for name, program in zip(market.hold(programs), programs, strict=True):
        bank.append([str(program)], [bank.cells.levels(bank.cells.shares(market.values(name)))])
    return Found(
        bank.levels(), f"gplearn: {len(programs)} programs", facts={"proposed": tried, "admitted": len(programs)}
    )


SEARCHES = {
    "mined": _mined(SEEDS),
    **{f"mined-{name}": _mined(name) for name in PUBLISHED},
    "gplearn": _gplearn,
}
