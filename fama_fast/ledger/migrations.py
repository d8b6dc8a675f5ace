"""Migrates an older layout of the ledger to today's, one function a version.

`MIGRATIONS` is the whole history. A step speaks of the tables as they were at its version, in SQL of its own:
it must not follow `schema`, which goes on changing. All steps that a database needs run in one transaction, so
a killed migration leaves the old layout whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Migration:
    """One step of the migration: `apply` leads from version `to - 1` to `to`."""

    to: int
    what: str
    apply: Callable[[sa.Connection], None]


def _to_2(c: sa.Connection) -> None:
    for table, column in (
        ("candidates", "occurrence INTEGER DEFAULT 1 NOT NULL"),
        ("candidates", "model TEXT"),
        ("candidates", "nodes INTEGER"),
        ("candidates", "sign INTEGER"),
        ("candidates", "score FLOAT"),
        ("candidates", "timings JSON"),
        ("candidates", "extra JSON"),
        ("exchanges", "chain_id INTEGER"),
        ("exchanges", "selection JSON"),
        ("exchanges", "extra JSON"),
        ("chain_steps", "chain INTEGER"),
        ("chain_steps", "score FLOAT"),
    ):
        c.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    c.exec_driver_sql(
        "CREATE TABLE starting_factors (run_id VARCHAR(64) NOT NULL REFERENCES runs (id) ON DELETE CASCADE, "
        "fingerprint VARCHAR(64) NOT NULL, canonical TEXT NOT NULL, sign INTEGER NOT NULL, score FLOAT, "
        "PRIMARY KEY (run_id, fingerprint))"
    )
    c.exec_driver_sql(
        "UPDATE candidates SET occurrence = (SELECT COUNT(*) FROM candidates earlier WHERE "
        "earlier.run_id = candidates.run_id AND earlier.fingerprint = candidates.fingerprint "
        "AND earlier.id <= candidates.id) WHERE fingerprint IS NOT NULL"
    )
    for index in (
        "UNIQUE INDEX uq_candidate_occurrence ON candidates (run_id, fingerprint, occurrence)",
        "INDEX ix_candidates_prompt ON candidates (prompt_hash)",
        "INDEX ix_parents_parent ON parents (parent_id)",
        "INDEX ix_chain_steps_member ON chain_steps (run_id, fingerprint)",
        "INDEX ix_chain_steps_parent ON chain_steps (run_id, parent_fingerprint)",
    ):
        c.exec_driver_sql(f"CREATE {index}")
    _fill_scores_2(c)
    _fill_runs_2(c)


def _fill_scores_2(c: sa.Connection) -> None:
    t = sa.table("candidates", sa.column("id"), sa.column("scores", sa.JSON), sa.column("sign"), sa.column("score"))
    measured = []
    for number, scores in c.execute(sa.select(t.c.id, t.c.scores)):
        raw = ((scores or {}).get("train") or {}).get("rank_ic")
        if isinstance(raw, (int, float)) and math.isfinite(raw):
            measured.append({"key": number, "to_sign": -1 if raw < 0 else 1, "to_score": abs(raw)})
    if measured:
        change = t.update().where(t.c.id == sa.bindparam("key"))
        c.execute(change.values(sign=sa.bindparam("to_sign"), score=sa.bindparam("to_score")), measured)


def _fill_runs_2(c: sa.Connection) -> None:
    """The starting library and the chains as they were built, from each run's stored state."""
    runs = sa.table("runs", sa.column("id"), sa.column("state", sa.JSON))
    names = ("run_id", "fingerprint", "canonical", "sign", "score")
    start = sa.table("starting_factors", *map(sa.column, names))
    steps = sa.table(
        "chain_steps",
        *map(sa.column, ("run_id", "round", "fingerprint", "action", "parent_fingerprint", "chain", "score")),
    )
    for run, state in c.execute(sa.select(runs.c.id, runs.c.state)).all():
        if not isinstance(state, dict):
            continue
        for entry in state.get("library") or ():
            factor = entry["factor"]
            if not entry["mined"]:
                row = (run, factor["fingerprint"], factor["canonical"], factor.get("sign", 1), _score(factor))
                c.execute(start.insert().values(dict(zip(names, row, strict=True))))
        book = state.get("book") or {}
        scores = {f["fingerprint"]: _score(f) for f in book.get("factors") or ()}
        recorded = set(c.scalars(sa.select(steps.c.fingerprint).where(steps.c.run_id == run)))
        seen: set[str] = set()
        for chain in sorted(book.get("chains") or (), key=lambda x: x["id"]):
            before = None
            for member in chain["members"]:
                if member in recorded and member not in seen:
                    change = steps.update().where(steps.c.run_id == run, steps.c.fingerprint == member)
                    c.execute(change.values(chain=chain["id"], score=scores.get(member)))
                elif member not in seen:
                    c.execute(
                        steps.insert().values(
                            run_id=run,
                            round=0,
                            fingerprint=member,
                            action="build",
                            parent_fingerprint=before,
                            chain=chain["id"],
                            score=scores.get(member),
                        )
                    )
                seen.add(member)
                before = member


def _score(factor: dict[str, Any]) -> float | None:
    raw = ((factor.get("scores") or {}).get("train") or {}).get("rank_ic")
    return None if raw is None else float(factor.get("sign", 1) * raw)


def _to_3(c: sa.Connection) -> None:
    for column in ("data JSON", "owner JSON", "seen_at VARCHAR(32)", "reason TEXT"):
        c.exec_driver_sql(f"ALTER TABLE runs ADD COLUMN {column}")


def _to_4(c: sa.Connection) -> None:
    c.exec_driver_sql(
        "CREATE TABLE test_looks (id VARCHAR(64) NOT NULL PRIMARY KEY, data_hash VARCHAR(64) NOT NULL, "
        "run_id VARCHAR(64) REFERENCES runs (id) ON DELETE CASCADE, at VARCHAR(32) NOT NULL, who TEXT NOT NULL, "
        "command TEXT NOT NULL, why VARCHAR(32) NOT NULL)"
    )
    c.exec_driver_sql("CREATE INDEX ix_test_looks_data ON test_looks (data_hash)")
    c.exec_driver_sql(
        "INSERT INTO test_looks (id, data_hash, run_id, at, who, command, why) "
        "SELECT id, data_hash, id, test_opened_at, '', '', 'verdict' FROM runs WHERE test_opened_at IS NOT NULL"
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "parentage and chains as graphs; model, orientation, score and timings of candidates", _to_2),
    Migration(3, "the data of a run, the process that works on it, and why it stopped", _to_3),
    Migration(4, "every look at the test split", _to_4),
)
