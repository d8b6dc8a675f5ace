"""The ledger: the one store of runs, candidates, parentage, exchanges and chain steps.

One `Ledger` is one database (SQLite by default, any SQLAlchemy URL otherwise). A round is written in one
transaction together with the loop's state, so a killed run has lost nothing that it reported and resumes at a
round's boundary. Every failure is a StoreError that names the place. This module knows tables, not how mining
decides.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fama_fast.errors import StoreError, nearest_name
from fama_fast.mining import schema
from fama_fast.mining.records import CandidateRecord, ChainStep, ExchangeRecord, RunRecord, now, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUSY_TIMEOUT_MS = 30_000


def _on_connect(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


class Ledger:
    """An open ledger. Use `Ledger.open`; close it or use it as a context manager."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self.place = place

    @classmethod
    def open(cls, place: str | Path, *, create: bool = True) -> Ledger:
        """The ledger at a file path or SQLAlchemy URL; made when absent and `create`.

        Raises:
            StoreError: missing (without `create`), unwritable, corrupt, another program's database or another
                version's.
        """
        text = str(place)
        shown = text
        if "://" in text:
            try:
                url = sa.make_url(text)
            except SQLAlchemyError as error:
                raise StoreError(f"ledger: {text!r} is not a database URL") from error
            shown = url.render_as_string(hide_password=True)
        else:
            path = Path(text).expanduser()
            url = sa.URL.create("sqlite", database=str(path))
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            _check_file(Path(str(url.database)), create=create)
        try:
            engine = sa.create_engine(url, poolclass=NullPool)
        except (SQLAlchemyError, ImportError) as error:
            raise StoreError(f"ledger {shown}: {_first_line(error)}") from error
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _on_connect)
        ledger = cls(engine, shown)
        ledger._prepare(create=create)
        return ledger

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"ledger {self.place}: {_first_line(error)}") from error

    def _prepare(self, *, create: bool) -> None:
        with self._begin() as c:
            tables = set(sa.inspect(c).get_table_names())
        if not tables:
            if not create:
                raise StoreError(f"ledger {self.place}: the database is empty, no run was ever recorded in it")
            if self._create():
                return
            with self._begin() as c:  # another process made it just now
                tables = set(sa.inspect(c).get_table_names())
        found: dict[str, str] = {}
        if "meta" in tables:
            try:
                with self._begin() as c:
                    found = {str(k): str(v) for k, v in c.execute(sa.select(schema.meta.c.key, schema.meta.c.value))}
            except StoreError:
                found = {}  # another program's table of that name
        if found.get("name") != schema.SCHEMA_NAME:
            raise StoreError(f"ledger {self.place}: this is a database of something else, not a fama_fast ledger")
        if found.get("version") != str(schema.SCHEMA_VERSION):
            raise StoreError(
                f"ledger {self.place}: its layout is version {found.get('version')}, this program writes "
                f"version {schema.SCHEMA_VERSION}: use another ledger file"
            )
        missing = set(schema.metadata.tables) - tables
        if missing:
            raise StoreError(f"ledger {self.place}: damaged, the tables {', '.join(sorted(missing))} are missing")

    def _create(self) -> bool:
        """Make the tables; False when another process was quicker."""
        if self._engine.dialect.name == "sqlite":
            with self._begin() as c:
                c.exec_driver_sql("PRAGMA journal_mode=WAL")
        entries = [
            {"key": "name", "value": schema.SCHEMA_NAME},
            {"key": "version", "value": str(schema.SCHEMA_VERSION)},
        ]
        try:
            with self._begin() as c:
                schema.metadata.create_all(c)
                c.execute(schema.meta.insert(), entries)
        except StoreError:
            with self._begin() as c:
                if not sa.inspect(c).has_table("meta"):
                    raise
            return False
        return True

    # Writing

    def start_run(self, run: RunRecord) -> None:
        """Record a run before its first round."""
        with self._begin() as c:
            c.execute(
                schema.runs.insert().values(
                    id=run.id,
                    started_at=run.started_at or now(),
                    status="running",
                    version=run.version,
                    source=run.source,
                    data_hash=run.data_hash,
                    seed=run.seed,
                    proposer=run.proposer,
                    config=plain(run.config),
                    rounds=0,
                    state=plain(run.state),
                )
            )

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
        """Write round `number` (from 1) whole: candidates, parents, exchange, chain steps, state after it."""
        with self._begin() as c:
            ids: dict[str, int] = {}
            for record in candidates:
                self._insert_candidate(c, run, number, record, ids)
            c.execute(
                schema.exchanges.insert().values(
                    run_id=run.id,
                    round=number,
                    proposer=run.proposer,
                    prompt_hashes=list(exchange.prompt_hashes),
                    exemplars=list(exchange.exemplars),
                    chain=list(exchange.chain),
                    usage=plain(exchange.usage),
                )
            )
            for step in steps:
                c.execute(
                    schema.chain_steps.insert().values(
                        run_id=run.id,
                        round=number,
                        fingerprint=step.fingerprint,
                        action=step.action,
                        parent_fingerprint=step.parent,
                    )
                )
            c.execute(
                schema.runs.update().where(schema.runs.c.id == run.id).values(rounds=number, state=plain(dict(state)))
            )

    def _insert_candidate(
        self, c: sa.Connection, run: RunRecord, number: int, record: CandidateRecord, ids: dict[str, int]
    ) -> None:
        inserted = c.execute(
            schema.candidates.insert().values(
                run_id=run.id,
                round=number,
                position=record.position,
                text=record.text,
                canonical=record.canonical,
                fingerprint=record.fingerprint,
                proposer=record.proposer,
                origin=record.origin,
                hypothesis=record.hypothesis,
                explanation=record.explanation,
                prompt_hash=record.prompt_hash,
                gate=record.gate,
                reason=record.reason,
                admitted=record.admitted,
                scores=plain(record.scores),
                seed=run.seed,
                data_hash=run.data_hash,
                seconds=record.seconds,
            )
        )
        key = inserted.inserted_primary_key
        assert key is not None
        for parent in dict.fromkeys(record.parents):
            if parent not in ids:
                table = schema.candidates
                found = c.execute(
                    sa.select(sa.func.min(table.c.id)).where(
                        table.c.run_id == run.id, table.c.fingerprint == parent, table.c.admitted
                    )
                ).scalar()
                if found is not None:
                    ids[parent] = int(found)
            c.execute(
                schema.parents.insert().values(
                    candidate_id=int(key[0]), parent_fingerprint=parent, parent_id=ids.get(parent)
                )
            )

    def open_test(self, run: RunRecord) -> int:
        """Log that the run opens its test split. Returns how many other runs have opened it on the same data.

        A run that was killed between opening its test and its end may log it again: it cannot have searched on.
        """
        table = schema.runs
        with self._begin() as c:
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
        return int(others or 0)

    def finish_run(
        self,
        run_id: str,
        *,
        verdict: Mapping[str, Any],
        summary: Mapping[str, Any],
        scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    ) -> None:
        """Close a run: its verdict, its result document and scores by fingerprint (or "pool") and split."""
        with self._begin() as c:
            for fingerprint, by_split in scores.items():
                for split, values in by_split.items():
                    c.execute(
                        schema.results.insert().values(
                            run_id=run_id, fingerprint=fingerprint, split=split, scores=plain(dict(values))
                        )
                    )
            c.execute(
                schema.runs.update()
                .where(schema.runs.c.id == run_id)
                .values(
                    status="finished",
                    finished_at=now(),
                    verdict=plain(dict(verdict)),
                    summary=plain(dict(summary)),
                )
            )

    # Reading

    def list_runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        with self._begin() as c:
            rows = c.execute(sa.select(schema.runs).order_by(schema.runs.c.started_at, schema.runs.c.id)).mappings()
            return [RunRecord(**row) for row in rows]

    def get_run(self, run_id: str) -> RunRecord:
        """The run of this id, or of an unambiguous beginning of it; `last` is the latest.

        Raises:
            StoreError: no such run; names the nearest.
        """
        runs = self.list_runs()
        if run_id == "last" and runs:
            return runs[-1]
        hits = [r for r in runs if r.id == run_id] or [r for r in runs if run_id and r.id.startswith(run_id)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise StoreError(f"ledger {self.place}: {run_id!r} is the beginning of {len(hits)} runs")
        near = nearest_name(run_id, [r.id for r in runs])
        hint = f"; did you mean {near}?" if near else ("" if runs else "; it holds no runs")
        raise StoreError(f"ledger {self.place}: no run {run_id[:80]!r}{hint}")

    def candidates(self, run_id: str) -> list[dict[str, Any]]:
        """Every candidate of a run in the order proposed, as mappings of the columns plus `parents`."""
        table = schema.candidates
        with self._begin() as c:
            rows = c.execute(
                sa.select(table).where(table.c.run_id == run_id).order_by(table.c.round, table.c.position)
            ).mappings()
            out = [dict(r) for r in rows]
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

    def results(self, run_id: str) -> dict[str, dict[str, dict[str, float]]]:
        """Scores by fingerprint (or "pool") and split of a finished run."""
        out: dict[str, dict[str, dict[str, float]]] = {}
        with self._begin() as c:
            rows = c.execute(
                sa.select(schema.results.c.fingerprint, schema.results.c.split, schema.results.c.scores).where(
                    schema.results.c.run_id == run_id
                )
            )
            for fingerprint, split, scores in rows:
                out.setdefault(fingerprint, {})[split] = scores
        return out

    def chain_steps(self, run_id: str) -> list[tuple[int, ChainStep]]:
        """(round, step) in order."""
        t = schema.chain_steps
        with self._begin() as c:
            rows = c.execute(
                sa.select(t.c.round, t.c.fingerprint, t.c.action, t.c.parent_fingerprint)
                .where(t.c.run_id == run_id)
                .order_by(t.c.id)
            ).all()
        return [(int(r), ChainStep(f, a, p)) for r, f, a, p in rows]


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return (str(original).strip() or type(original).__name__).splitlines()[0][:300]


def _check_file(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StoreError(f"ledger {path}: it is a folder, not a file")
    if path.exists():
        return
    if not create:
        raise StoreError(f"ledger {path}: there is no such file; 'fama-fast mine' makes it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"ledger {path}: cannot make its folder: {error.strerror or error}") from error
