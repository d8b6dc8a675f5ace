"""Fills a run's wide pool with what was measured: a round's candidates, or all of a run that goes on.

The pool is not in the stored state. A run that is resumed measures its candidates again, in their order, and has the
same pool to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fama_fast.ledger.records import LISTABLE, as_proposed
from fama_fast.mining.library.archive import series_hash
from fama_fast.mining.library.gates import PASSED_TRAINING
from fama_fast.mining.pools.wide import PoolMember
from fama_fast.proposals.protocol import Proposal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from fama_fast.engine import Alpha
    from fama_fast.mining.candidate import Candidate
    from fama_fast.mining.measure.levels import Levels
    from fama_fast.mining.measure.market import Market
    from fama_fast.mining.objective import Measured
    from fama_fast.mining.pools.wide import WidePool
    from fama_fast.types import FloatArray

_BATCH = 64  # formulas measured again at a time


class Figures(NamedTuple):
    """What one pass finds of a formula, as proposed: its daily figures, the levels (cells,) that the wide pool takes,
    and those that its rank vector is made of."""

    daily: Measured
    levels: Levels
    of_vector: Levels


def measured(market: Market, alphas: Sequence[Alpha]) -> Iterator[Figures]:
    """What is measured of each alpha."""
    return map(Figures._make, zip(*market.measure_levels(alphas), strict=True))


def daily_figures(market: Market, found: Measured, sign: int) -> FloatArray:
    """(T,) the objective's daily figures of `sign` times a formula as a part of a forecast over every member.

    Before costs, counted as RankICs. Where a formula has no value the forecast has the middle, so a date counts with
    the share of members that have one, over the root of the mean share (docs/decisions/039-what-a-wide-pool-fits.md).
    """
    series = sign * market.yardstick.gross(found)
    usual = max(market.scored_coverage(series, found.covered), 1e-12)
    figures: FloatArray = series * found.covered / np.sqrt(usual)
    return figures


def take_in(pool: WidePool, candidates: Iterable[Candidate]) -> None:
    """Add a round's candidates that were measured, in the order that they were proposed."""
    taken = [c for c in candidates if c.wide_series is not None and c.levels is not None]
    pool.add(
        [PoolMember(c.fingerprint, c.oriented.canonical, c.compiled.canonical, c.sign, c.ranking) for c in taken],
        [c.wide_series for c in taken if c.wide_series is not None],
        [c.levels for c in taken if c.levels is not None],
    )


def measure_again(pool: WidePool, market: Market, texts: Sequence[str], *, begun_with: bool = False) -> None:
    """Measure formulas, given as canonical texts as they were proposed, and add them."""
    if not pool.settings.enabled:
        return
    for at in range(0, len(texts), _BATCH):
        alphas = market.compiled(texts[at : at + _BATCH])
        offer(pool, market, alphas, list(measured(market, alphas)), begun_with=begun_with)


def offer(
    pool: WidePool,
    market: Market,
    alphas: Sequence[Alpha],
    figures: Sequence[Figures],
    *,
    begun_with: bool = False,
) -> None:
    """Add formulas with what `measured` found of them."""
    members, series, own = [], [], []
    for alpha, (found, levels, _) in zip(alphas, figures, strict=True):
        sign = market.yardstick.direction(found, market.rows.train)
        oriented = alpha if sign > 0 else alpha.oriented(-1)
        members.append(
            PoolMember(
                oriented.fingerprint, oriented.canonical, alpha.canonical, sign, series_hash(found.rank_ic), begun_with
            )
        )
        series.append(daily_figures(market, found, sign))
        own.append(levels * np.int8(sign))
    pool.add(members, series, own)


def measured_texts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Canonical texts, as proposed, of the ledger's candidates that were measured on all dates, in their order."""
    return [as_proposed(row)[1] for row in rows if row["fingerprint"] and "train" in row["scores"]]


def listable_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, Proposal]]:
    """Round and proposal, by fingerprint, of the ledger's candidates that may be in a short list."""
    found: dict[str, tuple[int, Proposal]] = {}
    for row in rows:
        said = (row["extra"] or {}).get(LISTABLE)
        # Runs of earlier versions did not say so: what passed every gate of training.
        if row["fingerprint"] and (row["gate"] in PASSED_TRAINING if said is None else said):
            proposal = Proposal(
                row["text"],
                hypothesis=row["hypothesis"] or "",
                explanation=row["explanation"] or "",
                parents=tuple(row["parents"]),
                origin=row["origin"] or "",
                prompt_hash=row["prompt_hash"],
            )
            found.setdefault(row["fingerprint"], (row["round"], as_kept(proposal)))
    return found


def as_kept(proposal: Proposal) -> Proposal:
    """A proposal as the ledger gives it back: its parents by name."""
    return replace(
        proposal, parents=tuple(sorted(set(proposal.parents))), proposer="", thread=-1, builds_on="", node=None
    )
