"""Reads and writes the ledger: runs, candidates, parentage, exchanges and chain steps.

A round is written in one transaction together with the loop's state, so a killed run has lost nothing that it
reported and resumes at a round's boundary. Every failure is a StoreError that names the place. This module
knows tables, not how mining decides; connections and layouts are `store`'s, ancestors and descendants `lineage`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.errors import StoreError, nearest_name
from fama_fast.ledger import schema
from fama_fast.ledger.column_types import complete
from fama_fast.ledger.earlier_versions import oriented_document, oriented_figures, oriented_identity, oriented_row
from fama_fast.ledger.ownership import FINISHED, RUNNING, owner_text, status_now, this_process
from fama_fast.ledger.records import (
    FACTORS,
    REPEATED,
    CandidateRecord,
    ChainStep,
    ExchangeRecord,
    RunRecord,
    StartingFactor,
    now,
    plain,
    storable,
)
from fama_fast.ledger.rows import insert_candidates, insert_steps
from fama_fast.ledger.store import Store
from fama_fast.ledger.test_looks import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Ledger(Store):
    """An open ledger: its records and how they are written. Use `Ledger.open`; close it or use it as a context
    manager."""

    # Writing

    def start_run(
        self, run: RunRecord, *, start: Iterable[StartingFactor] = (), steps: Iterable[ChainStep] = ()
    ) -> None:
        """Record a run before its first round, with the library and the chains that it begins with; this process works
        on it from here on."""
        with self.transaction(write=True) as c:
            c.execute(
                schema.runs.insert().values(
                    id=run.id,
                    started_at=run.started_at or now(),
                    status=RUNNING,
                    owner=this_process(),
                    seen_at=now(),
                    data=plain(run.data),
                    version=run.version,
                    source=storable(run.source),
                    data_hash=run.data_hash,
                    seed=run.seed,
                    proposer=run.proposer[:64],
                    config=plain(run.config),
                    rounds=0,
                    state=plain(run.state),
                )
            )
            rows = [
                {
                    "run_id": run.id,
                    "fingerprint": f.fingerprint,
                    "canonical": f.canonical,
                    "sign": 1,
                    "score": plain(f.score),
                }
                for f in {f.fingerprint: f for f in start}.values()
            ]
            if rows:
                c.execute(schema.starting_factors.insert(), rows)
            insert_steps(c, run.id, 0, steps)

    def claim_run(self, run: RunRecord) -> RunRecord:
        """Take over an unfinished run: this process works on it from here on. Returns the run as it is now.

        Raises:
            StoreError: it is finished, or another process is working on it.
        """
        t = schema.runs
        with self.transaction(write=True) as c:
            record = RunRecord(**complete(c.execute(sa.select(t).where(t.c.id == run.id)).mappings().one(), t))
            if record.status == FINISHED or (status_now(record) == RUNNING and record.owner != this_process()):
                raise StoreError(self._why_not(c, run.id, record.rounds + 1))
            c.execute(
                t.update()
                .where(t.c.id == run.id)
                .values(status=RUNNING, owner=this_process(), seen_at=now(), reason=None)
            )
        return record

    def beat(self, run_id: str) -> None:
        """Record the time at which this process still worked on a run."""
        t = schema.runs
        with self.transaction(write=True) as c:
            if self._is_ours(c, run_id):
                c.execute(t.update().where(t.c.id == run_id).values(seen_at=now()))

    def keep_factors(self, run_id: str, factors: Sequence[Mapping[str, Any]]) -> None:
        """Write the factors that a run ends with, as they are stored, beside its state, until it commits another round.

        Nothing happens to a run that another process goes on with.
        """
        t = schema.runs
        with self.transaction(write=True) as c:
            state = c.execute(sa.select(t.c.state).where(t.c.id == run_id)).scalar()
            if state is not None and self._is_ours(c, run_id):
                c.execute(t.update().where(t.c.id == run_id).values(state={**state, FACTORS: plain(list(factors))}))

    def leave_run(self, run_id: str, status: str, reason: str) -> None:
        """Record that this process no longer works on a run: it was `interrupted`, or `failed`, and why.

        Nothing happens to a run that is finished or that another process goes on with.
        """
        t = schema.runs
        with self.transaction(write=True) as c:
            if self._is_ours(c, run_id):
                c.execute(
                    t.update()
                    .where(t.c.id == run_id, t.c.status == RUNNING)
                    .values(status=status, owner=None, reason=storable(reason))
                )

    @staticmethod
    def _is_ours(c: sa.Connection, run_id: str) -> bool:
        """Whether no other process has taken the run over."""
        owner = c.execute(sa.select(schema.runs.c.owner).where(schema.runs.c.id == run_id)).scalar()
        return owner is None or owner == this_process()

    def commit_round(
        self,
        run: RunRecord,
        number: int,
        candidates: Sequence[CandidateRecord],
        *,
        exchange: ExchangeRecord,
        steps: Sequence[ChainStep] = (),
        state: Mapping[str, Any],
    ) -> None:
        """Write round `number` (from 1) whole: candidates, parents, exchange, chain steps, state after it.

        Raises:
            StoreError: the run is not at round `number - 1` (another process goes on with it too, or the
                database was exchanged), or the database refuses; nothing is written then.
        """
        with self.transaction(write=True) as c:
            table = schema.runs
            moved = c.execute(
                table.update()
                .where(table.c.id == run.id, table.c.rounds == number - 1, table.c.status == RUNNING)
                .values(rounds=number, state=plain(dict(state)), seen_at=now())
            )
            if moved.rowcount != 1 or not self._is_ours(c, run.id):
                raise StoreError(self._why_not(c, run.id, number))
            insert_candidates(c, run, number, candidates)
            c.execute(
                schema.exchanges.insert().values(
                    run_id=run.id,
                    round=number,
                    proposer=run.proposer[:64],
                    prompt_hashes=list(exchange.prompt_hashes),
                    exemplars=list(exchange.exemplars),
                    chain=list(exchange.chain),
                    chain_id=exchange.chain_id,
                    usage=plain(exchange.usage),
                    selection=plain(exchange.selection),
                    extra=plain(exchange.extra),
                )
            )
            insert_steps(c, run.id, number, steps)

    def _why_not(self, c: sa.Connection, run_id: str, number: int) -> str:
        table = schema.runs
        row = c.execute(sa.select(table).where(table.c.id == run_id)).mappings().one_or_none()
        if row is None:
            return f"ledger {self.place}: run {run_id} is not in it any more: the database was exchanged or emptied"
        run = RunRecord(**row)
        if run.status == FINISHED:
            at = "is finished"
        elif run.owner is not None and run.owner != this_process() and status_now(run) == RUNNING:
            return f"ledger {self.place}: run {run_id} is being worked on by {owner_text(run.owner)}"
        else:
            at = f"is at round {run.rounds}, not at {number - 1}" if run.status == RUNNING else f"was {run.status}"
        return f"ledger {self.place}: run {run_id} {at}: another process went on with it"

    def open_test(self, run: RunRecord) -> int:
        """Log that the run opens its test split. Returns how many other runs have opened it on the same data.

        A run that was killed between opening its test and its end may log it again: it cannot have searched on.
        """
        table = schema.runs
        with self.transaction(write=True) as c:
            others = c.execute(
                sa.select(sa.func.count())
                .select_from(table)
                .where(
                    table.c.data_hash == run.data_hash,
                    table.c.test_opened_at.is_not(None),
                    table.c.id != run.id,
                )
            ).scalar()
            c.execute(
                table.update()
                .where(table.c.id == run.id, table.c.test_opened_at.is_(None))
                .values(test_opened_at=now())
            )
            c.execute(schema.test_looks.insert().values(look(run.data_hash, "verdict", run.id)))
        return int(others or 0)

    def log_look(self, data_hash: str, why: str, run_id: str | None = None) -> None:
        """Log that this process looks at the test dates of some data: who, by which command, and `why`."""
        with self.transaction(write=True) as c:
            c.execute(schema.test_looks.insert().values(look(data_hash, why, run_id)))

    def finish_run(
        self,
        run_id: str,
        *,
        verdict: Mapping[str, Any],
        summary: Mapping[str, Any],
        scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    ) -> None:
        """Close a run: its verdict, its result document and scores by fingerprint (or "pool") and split.

        Raises:
            StoreError: it is not there, or was finished by another process.
        """
        rows = [
            {"run_id": run_id, "fingerprint": fingerprint, "split": split, "scores": plain(dict(values))}
            for fingerprint, by_split in scores.items()
            for split, values in by_split.items()
        ]
        table = schema.runs
        with self.transaction(write=True) as c:
            if not self._is_ours(c, run_id):
                raise StoreError(self._why_not(c, run_id, 0))
            closed = c.execute(
                table.update()
                .where(table.c.id == run_id, table.c.status == RUNNING)
                .values(
                    status=FINISHED,
                    finished_at=now(),
                    owner=None,
                    verdict=plain(dict(verdict)),
                    summary=plain(dict(summary)),
                )
            )
            if closed.rowcount != 1:
                raise StoreError(self._why_not(c, run_id, 0))
            if rows:
                c.execute(schema.results.insert(), rows)

    # Reading

    def list_runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        with self.transaction() as c:
            rows = c.execute(sa.select(schema.runs).order_by(schema.runs.c.started_at, schema.runs.c.id)).mappings()
            return [RunRecord(**complete(row, schema.runs)) for row in rows]

    def get_run(self, run_id: str) -> RunRecord:
        """The run of this id, or of an unambiguous beginning of it; `last` is the latest.

        Raises:
            StoreError: no such run; names the nearest.
        """
        t = schema.runs
        with self.transaction() as c:
            known = list(c.scalars(sa.select(t.c.id).order_by(t.c.started_at, t.c.id)))
            chosen = self._chosen(run_id, known)
            record = RunRecord(**complete(c.execute(sa.select(t).where(t.c.id == chosen)).mappings().one(), t))
            return record if record.summary is None else replace(record, summary=oriented_document(record.summary))

    def _chosen(self, run_id: str, known: Sequence[str]) -> str:
        if run_id == "last" and known:
            return known[-1]
        hits = [r for r in known if r == run_id] or [r for r in known if run_id and r.startswith(run_id)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise StoreError(f"ledger {self.place}: {run_id!r} is the beginning of {len(hits)} runs")
        near = nearest_name(run_id, known)
        hint = f"; did you mean {near}?" if near else ("" if known else "; it holds no runs")
        raise StoreError(f"ledger {self.place}: no run {run_id[:80]!r}{hint}")

    def candidates(self, run_id: str) -> list[dict[str, Any]]:
        """Every candidate of a run in the order proposed, as mappings of the columns plus `parents`."""
        table = schema.candidates
        with self.transaction() as c:
            rows = c.execute(
                sa.select(table).where(table.c.run_id == run_id).order_by(table.c.round, table.c.position)
            ).mappings()
            out = [oriented_row(complete(r, table)) for r in rows]
            links = c.execute(
                sa.select(schema.parents.c.candidate_id, schema.parents.c.parent_fingerprint)
                .join(table, table.c.id == schema.parents.c.candidate_id)
                .where(table.c.run_id == run_id)
                .order_by(schema.parents.c.candidate_id, schema.parents.c.parent_fingerprint)
            ).all()
        parents: dict[int, list[str]] = {}
        for candidate, parent in links:
            parents.setdefault(int(candidate), []).append(str(parent))
        for row in out:
            row["parents"] = parents.get(int(row["id"]), [])
        return out

    def gate_counts(self, run_id: str) -> dict[str | None, int]:
        """Number of trials that each gate stopped; None is those admitted. A row that another completes (`REPEATED`) is
        none of its own."""
        t = schema.candidates
        completes = t.c.extra[REPEATED].as_string().is_not(None)
        completed = sa.select(t.c.fingerprint).where(t.c.run_id == run_id, completes)
        counted = sa.or_(completes, t.c.fingerprint.is_(None), t.c.fingerprint.not_in(completed))
        query = sa.select(t.c.gate, sa.func.count()).where(t.c.run_id == run_id, counted).group_by(t.c.gate)
        with self.transaction() as c:
            rows = c.execute(query)
            return {gate: int(n) for gate, n in rows}

    def starting_factors(self, run_id: str) -> list[StartingFactor]:
        """The library that a run began with, by fingerprint."""
        t = schema.starting_factors
        columns = (t.c.fingerprint, t.c.canonical, t.c.sign, t.c.score)
        with self.transaction() as c:
            rows = c.execute(sa.select(*columns).where(t.c.run_id == run_id)).all()
        named = [(oriented_identity(row.fingerprint, row.canonical, row.sign), row.score) for row in rows]
        return [StartingFactor(*names, score) for names, score in sorted(named, key=lambda n: n[0])]

    def exchanges(self, run_id: str) -> list[dict[str, Any]]:
        """The exchange of each round, what it showed, cost and led to choose, by round, as mappings of the columns."""
        t = schema.exchanges
        with self.transaction() as c:
            rows = c.execute(sa.select(t).where(t.c.run_id == run_id).order_by(t.c.round)).mappings()
            return [complete(r, t) for r in rows]

    def results(self, run_id: str) -> dict[str, dict[str, dict[str, float]]]:
        """Scores by fingerprint (or "pool") and split of a finished run."""
        out: dict[str, dict[str, dict[str, float]]] = {}
        t, c_ = schema.results.c, schema.candidates.c
        proposed = sa.and_(c_.run_id == t.run_id, c_.fingerprint == t.fingerprint, c_.occurrence == 1)
        columns = (t.fingerprint, t.split, t.scores, c_.canonical, c_.sign)
        query = sa.select(*columns).select_from(schema.results.outerjoin(schema.candidates, proposed))
        with self.transaction() as c:
            for fingerprint, split, scores, canonical, sign in c.execute(query.where(t.run_id == run_id)):
                name = oriented_identity(fingerprint, canonical or "", sign)[0]
                out.setdefault(name, {})[split] = oriented_figures(scores, sign)
        return out

    def test_looks(self, data_hash: str) -> list[dict[str, Any]]:
        """Every look at the test dates of some data, oldest first, as mappings of the columns."""
        t = schema.test_looks
        with self.transaction() as c:
            rows = c.execute(sa.select(t).where(t.c.data_hash == data_hash).order_by(t.c.at, t.c.id)).mappings()
            return [dict(row) for row in rows]

    def chain_steps(self, run_id: str) -> list[tuple[int, ChainStep]]:
        """The chain steps of a run, in order of round and step."""
        t = schema.chain_steps
        columns = (t.c.round, t.c.fingerprint, t.c.action, t.c.parent_fingerprint, t.c.chain, t.c.score)
        with self.transaction() as c:
            rows = c.execute(sa.select(*columns).where(t.c.run_id == run_id).order_by(t.c.id)).all()
        return [(int(number), ChainStep(*rest)) for number, *rest in rows]
