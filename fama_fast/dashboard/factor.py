"""Reads everything that a run recorded about one factor: a candidate, or a member of the starting library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.errors import NotRecorded
from fama_fast.ledger import schema
from fama_fast.ledger.column_types import Listed, complete
from fama_fast.ledger.earlier_versions import oriented_figures, oriented_text
from fama_fast.ledger.kin import Kin
from fama_fast.ledger.lineage import Lineage
from fama_fast.ledger.records import AS_PROPOSED
from fama_fast.ledger.store import understood

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.ledger.store import Store

_SPLITS = ("screen", "train", "valid", "test")
_MOST_KIN = 200
_MOST_ROWS = 2**31 - 1  # PostgreSQL counts no further


@dataclass(frozen=True)
class FactorPage:
    """The content of a factor's page.

    Attributes:
        fate: "admitted", the gate that stopped it, or "known before" for a member of the starting library.
        scores: by split, in the direction of training, as the expression is. The test split is there only when the run
            opened it for this factor.
        verdict: t and adjusted p, as the run judged it. path: the best way that led to it, its start first.
        ancestors: everything it descends from. children: candidates that were derived from it, in the order proposed.
        turned: the factor is the negative of what was proposed.
        proposed_again: how many later proposals were the same expression.
    """

    run_id: str
    fingerprint: str | None
    expression: str
    text: str
    fate: str
    score: float | None
    test_opened: bool
    row: Mapping[str, Any] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    path: tuple[Kin, ...] = ()
    ancestors: tuple[Kin, ...] = ()
    children: tuple[Kin, ...] = ()
    turned: bool = False
    proposed_again: int = 0


def by_row(store: Store, run_id: str, row_id: int) -> FactorPage:
    """The page of a candidate by its row.

    Raises:
        NotRecorded: the run has no such candidate.
    """
    t = schema.candidates
    row = None
    if 0 <= row_id <= _MOST_ROWS:
        with store.transaction() as c:
            row = c.execute(sa.select(t).where(t.c.run_id == run_id, t.c.id == row_id)).mappings().first()
    if row is None:
        raise NotRecorded(f"ledger {store.place}: run {run_id} has no candidate {row_id}")
    return _of_candidate(store, run_id, dict(row))


def by_fingerprint(store: Store, run_id: str, fingerprint: str) -> FactorPage:
    """The page of a factor by its fingerprint.

    Raises:
        NotRecorded: the run has no such factor.
    """
    t, s = schema.candidates, schema.starting_factors
    with store.transaction() as c:
        query = sa.select(t).where(t.c.run_id == run_id, t.c.fingerprint == fingerprint).order_by(t.c.id)
        row = c.execute(query.limit(1)).mappings().first()
        start = c.execute(sa.select(s).where(s.c.run_id == run_id, s.c.fingerprint == fingerprint)).first()
    if start is not None:
        return FactorPage(
            run_id=run_id,
            fingerprint=fingerprint,
            expression=oriented_text(start.canonical, start.sign),
            text=start.canonical,
            fate="known before",
            score=start.score,
            test_opened=False,
            children=_children(store, run_id, fingerprint),
        )
    if row is None:
        raise NotRecorded(f"ledger {store.place}: run {run_id} has no factor {fingerprint[:80]!r}")
    return _of_candidate(store, run_id, dict(row))


def _of_candidate(store: Store, run_id: str, found: Mapping[Any, Any]) -> FactorPage:
    with understood(store.place, f"a candidate of run {run_id}"):
        return _page(store, run_id, complete(found, schema.candidates))


def _page(store: Store, run_id: str, row: dict[str, Any]) -> FactorPage:
    fingerprint = row["fingerprint"]
    scores = {name: dict(row["scores"][name]) for name in _SPLITS[:3] if row["scores"].get(name)}
    verdict: dict[str, Any] = {}
    path: tuple[Kin, ...] = ()
    ancestors: tuple[Kin, ...] = ()
    children: tuple[Kin, ...] = ()
    again, opened = 0, False
    if fingerprint is not None:
        lineage = Lineage(store, run_id)
        path = tuple(lineage.path(fingerprint))
        ancestors = tuple(k for k in lineage.ancestors(fingerprint) if k.distance)[:_MOST_KIN]
        children = _children(store, run_id, fingerprint)
        with store.transaction() as c:
            again = _again(c, run_id, fingerprint)
            opened, test = _test(c, run_id, fingerprint)
            verdict = _verdict(c, run_id, fingerprint)
        if test:
            scores["test"] = test
    sign = row["sign"]
    return FactorPage(
        run_id=run_id,
        fingerprint=fingerprint,
        expression=oriented_text(row["canonical"] or row["text"], sign),
        text=row["text"],
        fate=row["gate"] or "admitted",
        score=row["score"],
        test_opened=opened,
        row=row,
        scores={name: oriented_figures(figures, sign) for name, figures in scores.items()},
        verdict=verdict,
        path=path,
        ancestors=ancestors,
        children=children,
        turned=sign == -1 or AS_PROPOSED in (row["extra"] or {}),
        proposed_again=again,
    )


def _test(c: sa.Connection, run_id: str, fingerprint: str) -> tuple[bool, dict[str, Any]]:
    """Whether the run opened its test split, and the test figures of this factor."""
    r, runs = schema.results.c, schema.runs.c
    if c.execute(sa.select(runs.test_opened_at).where(runs.id == run_id)).scalar() is None:
        return False, {}
    query = sa.select(r.scores).where(r.run_id == run_id, r.fingerprint == fingerprint, r.split == "test")
    return True, dict(c.execute(query).scalar() or {})


def _again(c: sa.Connection, run_id: str, fingerprint: str) -> int:
    t = schema.candidates.c
    query = sa.select(sa.func.count()).where(t.run_id == run_id, t.fingerprint == fingerprint, t.occurrence > 1)
    return int(c.execute(query).scalar() or 0)


def _verdict(c: sa.Connection, run_id: str, fingerprint: str) -> dict[str, Any]:
    """The verdict's entry on a factor; empty for one that it does not judge."""
    t = schema.runs.c
    listed = c.execute(sa.select(sa.type_coerce(t.summary["factors"], Listed)).where(t.id == run_id)).scalar()
    for entry in listed if isinstance(listed, list) else ():
        if entry.get("fingerprint") == fingerprint:
            return dict(entry.get("verdict") or {})
    return {}


def _children(store: Store, run_id: str, fingerprint: str) -> tuple[Kin, ...]:
    t, p = schema.candidates.c, schema.parents.c
    query = (
        sa.select(t.id, t.round, t.text, t.canonical, t.fingerprint, t.origin, t.gate, t.admitted, t.score, t.sign)
        .join(schema.parents, p.candidate_id == t.id)
        .where(t.run_id == run_id, p.parent_fingerprint == fingerprint)
        .order_by(t.id)
        .limit(_MOST_KIN)
    )
    with store.transaction() as c:
        return tuple(
            Kin(
                distance=1,
                expression=oriented_text(row.canonical or row.text or "", row.sign),
                fingerprint=row.fingerprint,
                score=row.score,
                gate=row.gate,
                admitted=bool(row.admitted),
                id=row.id,
                round=row.round,
                origin=row.origin,
            )
            for row in c.execute(query)
        )
