"""Rows of a round: candidates with their parents, and steps of chains, as the ledger stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.ledger import schema
from fama_fast.ledger.records import REPEATED, CandidateRecord, ChainStep, RunRecord, plain, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_MANY = 500  # values in one IN (...): databases bound their number


def insert_candidates(c: sa.Connection, run: RunRecord, number: int, records: Sequence[CandidateRecord]) -> None:
    """Insert candidates and their parentage. A parent is linked to the row that stands for it, when it came earlier."""
    if not records:
        return
    wanted = {r.fingerprint for r in records if r.fingerprint} | {p for r in records for p in r.parents}
    first, count = _known(c, run.id, wanted)
    rows = []
    for record in records:
        occurrence = 1
        if record.fingerprint:
            occurrence = count[record.fingerprint] = count.get(record.fingerprint, 0) + 1
        rows.append(_row(run, number, record, occurrence))
    table = schema.candidates
    ids = c.scalars(table.insert().returning(table.c.id, sort_by_parameter_order=True), rows).all()
    links = []
    for row_id, record in zip(ids, records, strict=True):
        links += [
            {"candidate_id": row_id, "parent_fingerprint": parent, "parent_id": first.get(parent)}
            for parent in dict.fromkeys(record.parents)
        ]
        if record.fingerprint:
            if record.extra.get(REPEATED):
                first[record.fingerprint] = int(row_id)
            first.setdefault(record.fingerprint, int(row_id))
    if links:
        c.execute(schema.parents.insert(), links)


def standing_row() -> sa.ColumnElement[int]:
    """The id of the row that stands for a fingerprint: its first, or the last that completes it (`REPEATED`)."""
    t = schema.candidates.c
    completed = sa.case((t.extra[REPEATED].as_string().is_not(None), t.id))
    return sa.func.coalesce(sa.func.max(completed), sa.func.min(t.id))


def _known(c: sa.Connection, run_id: str, fingerprints: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """For each fingerprint of the run, the row that stands for it, and how often it was proposed so far."""
    t = schema.candidates
    first, count = {}, {}
    listed = sorted(fingerprints)
    for start in range(0, len(listed), _MANY):
        part = listed[start : start + _MANY]
        rows = c.execute(
            sa.select(t.c.fingerprint, standing_row(), sa.func.max(t.c.occurrence))
            .where(t.c.run_id == run_id, t.c.fingerprint.in_(part))
            .group_by(t.c.fingerprint)
        )
        for fingerprint, row_id, occurrence in rows:
            first[str(fingerprint)], count[str(fingerprint)] = int(row_id), int(occurrence)
    return first, count


def _row(run: RunRecord, number: int, record: CandidateRecord, occurrence: int) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "round": number,
        "position": record.position,
        "text": storable(record.text),
        "canonical": record.canonical,
        "fingerprint": record.fingerprint,
        "occurrence": occurrence,
        "proposer": storable(record.proposer)[:64],
        "model": record.model if record.model is None else storable(record.model),
        "origin": storable(record.origin)[:64],
        "hypothesis": storable(record.hypothesis),
        "explanation": storable(record.explanation),
        "prompt_hash": record.prompt_hash,
        "gate": record.gate,
        "reason": storable(record.reason),
        "admitted": record.admitted,
        "nodes": record.nodes,
        "sign": record.sign,
        "score": record.score,
        "scores": plain(record.scores),
        "seed": run.seed,
        "data_hash": run.data_hash,
        "seconds": record.seconds,
        "timings": plain(record.timings),
        "extra": plain(record.extra),
    }


def insert_steps(c: sa.Connection, run_id: str, number: int, steps: Iterable[ChainStep]) -> None:
    rows = [
        {
            "run_id": run_id,
            "round": number,
            "fingerprint": step.fingerprint,
            "action": step.action,
            "parent_fingerprint": step.parent,
            "chain": step.chain,
            "score": plain(step.score),
        }
        for step in steps
    ]
    if rows:
        c.execute(schema.chain_steps.insert(), rows)
