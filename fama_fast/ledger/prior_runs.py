"""Finds what other runs in the ledger measured and tested on the same data, which a verdict counts as trials.

Runs are asked for by what is in their rows; no run is loaded. It knows tables and no bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.ledger import schema
from fama_fast.ledger.earlier_versions import oriented_identity
from fama_fast.ledger.records import AS_PROPOSED, as_proposed, was_measured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from fama_fast.ledger.ledger import Ledger
    from fama_fast.ledger.records import RunRecord


@dataclass(frozen=True)
class PriorRuns:
    """Fingerprints that earlier runs measured on the same data (as proposed), and the sets of factors that any run
    tested."""

    measured: frozenset[str] = frozenset()
    tested: tuple[frozenset[str], ...] = ()

    def not_among(self, candidates: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """Fingerprints that only others measured: without a run's own candidates, given as rows of the ledger."""
        own = (as_proposed(row)[0] for row in candidates if was_measured(row["scores"]))
        return self.measured.difference(own)

    def openings(self, own: Collection[str]) -> int:
        """Number of other sets of factors that had their test; the same set again is the same test."""
        return len({s for s in self.tested if s != frozenset(own)})


def earlier_runs(ledger: Ledger, run: RunRecord) -> PriorRuns:
    """The `PriorRuns` of all other runs on this run's data, finished or not.

    A candidate counts where its run began before this one (of two that began in the same second the one with the
    lesser id is first): what is measured meanwhile counts in the run that came later, once. A test that is open is
    open to every later run, so openings count whenever their runs began.

    Raises:
        StoreError: the ledger cannot be read, or does not hold the run.
    """
    with ledger.transaction() as c:
        measured = frozenset(c.scalars(_measured_before(run)))
        tested: dict[str, set[str]] = {}
        for other, fingerprint, canonical, sign in c.execute(_tested_by_others(run)):
            # A run that was killed while its test was open has no results: it counts under its own name.
            own = [] if fingerprint is None else [oriented_identity(fingerprint, canonical or "", sign)[0]]
            tested.setdefault(other, set()).update(own)
    return PriorRuns(measured, tuple(frozenset(factors or {f"run {other}"}) for other, factors in tested.items()))


def _measured_before(run: RunRecord) -> sa.Select[Any]:
    """Query of the fingerprints, as proposed, whose figures on data were looked at, if only on a few dates
    (`verdict.was_measured`).

    That is how runs of every version have them.
    """
    runs, t = schema.runs, schema.candidates
    fingerprint = sa.func.coalesce(t.c.extra[(AS_PROPOSED, "fingerprint")].as_string(), t.c.fingerprint)
    began = sa.select(runs.c.started_at).where(runs.c.id == run.id).scalar_subquery()
    before = sa.or_(runs.c.started_at < began, sa.and_(runs.c.started_at == began, runs.c.id < run.id))
    looked_at = sa.or_(*(t.c.scores[split].as_string().is_not(None) for split in ("screen", "train")))
    return (
        sa.select(fingerprint)
        .distinct()
        .join(runs, runs.c.id == t.c.run_id)
        .where(runs.c.data_hash == run.data_hash, before, t.c.fingerprint.is_not(None), looked_at)
    )


def _tested_by_others(run: RunRecord) -> sa.Select[Any]:
    """Query of (run, fingerprint, canonical text, sign) of each factor whose test was opened; NULL for a run that has
    no results."""
    runs, t, row = schema.runs, schema.results, schema.candidates
    own = sa.and_(t.c.run_id == runs.c.id, t.c.split == "test", t.c.fingerprint != "pool")
    same_factor = sa.and_(row.c.run_id == t.c.run_id, row.c.fingerprint == t.c.fingerprint, row.c.occurrence == 1)
    return (
        sa.select(runs.c.id, t.c.fingerprint, row.c.canonical, row.c.sign)
        .select_from(runs.outerjoin(t, own).outerjoin(row, same_factor))
        .where(runs.c.data_hash == run.data_hash, runs.c.id != run.id, runs.c.test_opened_at.is_not(None))
        .order_by(runs.c.started_at, runs.c.id)
    )
