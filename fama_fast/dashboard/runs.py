"""Reads runs as the pages show them, without the long documents of their state, which grow with the search.

Pages ask for a few figures of those documents; the database takes them out of the JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fama_fast.dashboard.tallies import Round, Tallies, Totals, totals
from fama_fast.errors import NotRecorded, nearest_name
from fama_fast.ledger import schema
from fama_fast.ledger.ownership import FINISHED, status_now, why
from fama_fast.mining.config_file import leaves
from fama_fast.number_text import typeset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ledger.store import Store


@dataclass(frozen=True)
class Run:
    """A run with the figures of its rounds.

    Attributes:
        pool_valid: validation RankIC of the pool after the last round. pool_test: of the pool on the
            test split; None unless the run opened it. control_valid: validation RankIC of the random control's pool.
        status, owner, seen_at, reason: see `mining.ownership`, which says how the run stands.
        headline: of the verdict; empty before there is one. wanted, rounds_of: what the search was set to; None is no
            bound. tokens, cost: of language models so far. logged_tokens, logged_cost: of these, from the log.
    """

    id: str
    status: str
    started_at: str
    finished_at: str | None
    source: str
    data_hash: str
    seed: int
    proposer: str
    version: str
    committed: int
    config: dict[str, Any]
    test_opened_at: str | None
    verdict: dict[str, Any] = field(default_factory=dict)
    pool_valid: float | None = None
    tokens: int = 0
    logged_tokens: int = 0
    logged_cost: float = 0.0
    cost: float = 0.0
    rounds: tuple[Round, ...] = ()
    totals: Totals = field(default_factory=Totals)
    owner: dict[str, Any] | None = None
    seen_at: str | None = None
    reason: str | None = None

    @property
    def finished(self) -> bool:
        return self.status == FINISHED

    @property
    def status_now(self) -> str:
        """The run's status now: `running` only while its process is there."""
        return status_now(self)

    @property
    def why(self) -> str:
        """The reason why the run is not going on; empty where it is, or ended."""
        return why(self)

    @property
    def headline(self) -> str:
        return str(self.verdict.get("headline", ""))

    @property
    def statements(self) -> tuple[str, ...]:
        recorded = self.verdict.get("statements")
        return tuple(map(str, recorded)) if isinstance(recorded, list) else ()

    @property
    def wanted(self) -> int | None:
        wanted = _whole(_at(self.config, "run", "wanted"))
        return _whole(self.config.get("u")) if wanted is None else wanted  # earlier versions had it there

    @property
    def rounds_of(self) -> int | None:
        return _whole(_at(self.config, "run", "rounds"))

    @property
    def pool_test(self) -> float | None:
        if self.test_opened_at is None:
            return None
        return _figure(self.verdict, "pool", "test", "rank_ic")

    @property
    def control_valid(self) -> float | None:
        return _figure(self.verdict, "control", "random_formulas", "pool", "valid", "rank_ic")

    @property
    def wide_text(self) -> str:
        """The wide pool in words: what it has on validation, and on the test where that was opened."""
        valid, test = (_figure(self.verdict, "wide", split, "rank_ic") for split in ("valid", "test"))
        if valid is None:
            return "none" if self.finished else "at the end"
        opened = self.test_opened_at is not None and test is not None
        return f"{typeset(valid)}, test {typeset(test)}" if opened else typeset(valid)

    @property
    def control_text(self) -> str:
        """The random control's pool in a word."""
        if self.control_valid is None:
            return "not supplied" if self.finished else "at the end"
        return typeset(self.control_valid)

    @property
    def test_text(self) -> str:
        """The test split in a word."""
        if self.test_opened_at is None:
            return "not opened"
        return "opened" if self.pool_test is None else typeset(self.pool_test)

    @property
    def holding(self) -> int | None:
        recorded = self.verdict.get("holding")
        return len(recorded) if isinstance(recorded, list) else None

    def named_gates(self) -> dict[str, int]:
        """Candidates by gate in the gates' order, then those admitted."""
        from fama_fast.mining.library.gates import funnel_of

        return funnel_of(self.totals.stopped)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _at(document: Any, *path: str) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _figure(document: Any, *path: str) -> float | None:
    value = _at(document, *path)
    return float(value) if isinstance(value, int | float) else None


class Runs:
    """Queries about runs; counts are kept between them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tallies = Tallies()
        self._listed: dict[tuple[Any, ...], Run] = {}

    def all(self) -> list[Run]:
        """Every run, latest first; only those that changed since they were last listed are read again."""
        t = schema.runs.c
        # Whatever mining changes in a run's row, it changes one of these with it.
        key = sa.select(t.id, t.started_at, t.status, t.rounds, t.test_opened_at, t.seen_at)
        with self.store.transaction() as c:
            keys = [tuple(row) for row in c.execute(key.order_by(t.started_at.desc(), t.id.desc()))]
            listed = {k: self._listed[k] for k in keys if k in self._listed}
            for k in keys:
                if k not in listed:
                    listed[k] = self._run(c, c.execute(_query().where(t.id == k[0])).one())
        self._listed = listed
        return [listed[k] for k in keys]

    def get(self, run_id: str) -> Run:
        """One run by its whole id.

        Raises:
            NotRecorded: there is none; names the nearest.
        """
        with self.store.transaction() as c:
            row = c.execute(_query().where(schema.runs.c.id == run_id)).first()
            if row is not None:
                return self._run(c, row)
            raise self._missing(c, run_id)

    def _missing(self, c: sa.Connection, run_id: str) -> NotRecorded:
        near = nearest_name(run_id, c.scalars(sa.select(schema.runs.c.id)))
        hint = f"; did you mean {near}?" if near else ""
        return NotRecorded(f"ledger {self.store.place}: no run {run_id[:80]!r}{hint}")

    def committed(self, run_id: str) -> tuple[int, str]:
        """Rounds committed and how the run stands, the cheapest way to see whether anything is new.

        Raises:
            NotRecorded: there is no such run; names the nearest.
        """
        t = schema.runs.c
        query = sa.select(t.rounds, t.status, t.owner, t.seen_at, t.reason, t.version).where(t.id == run_id)
        with self.store.transaction() as c:
            row: Any = c.execute(query).first()
            if row is None:
                raise self._missing(c, run_id)
        return int(row.rounds), status_now(row)

    def _run(self, c: sa.Connection, row: Any) -> Run:
        rounds = self._tallies.rounds(c, row.id, row.started_at, row.rounds)
        return Run(
            id=row.id,
            status=row.status,
            started_at=row.started_at,
            finished_at=row.finished_at,
            source=row.source,
            data_hash=row.data_hash,
            seed=row.seed,
            proposer=row.proposer,
            version=row.version,
            committed=row.rounds,
            config=row.config if isinstance(row.config, dict) else {},
            test_opened_at=row.test_opened_at,
            verdict=row.verdict if isinstance(row.verdict, dict) else {},
            pool_valid=None if row.pool_valid is None else float(row.pool_valid),
            tokens=int(row.tokens or 0),
            cost=float(row.cost or 0.0),
            logged_tokens=int(row.logged_tokens or 0),
            logged_cost=float(row.logged_cost or 0.0),
            rounds=rounds,
            totals=totals(rounds),
            owner=row.owner,
            seen_at=row.seen_at,
            reason=row.reason,
        )


def _query() -> sa.Select[Any]:
    t = schema.runs.c
    return sa.select(
        *(t.id, t.status, t.started_at, t.finished_at, t.source, t.data_hash, t.seed, t.proposer, t.version),
        *(t.rounds, t.config, t.test_opened_at, t.verdict, t.owner, t.seen_at, t.reason),
        t.state[("pool", "rank_ic")].as_float().label("pool_valid"),
        t.state["tokens"].as_float().label("tokens"),
        t.state["cost"].as_float().label("cost"),
        t.state["logged_tokens"].as_float().label("logged_tokens"),
        t.state["logged_cost"].as_float().label("logged_cost"),
    )


def differing_settings(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """Settings that differ between the runs, by dotted key; None where a run has no such key."""
    flat = [dict(leaves(run.config)) for run in runs]
    keys = sorted({key for settings in flat for key in settings})
    by_key = {key: tuple(settings.get(key) for settings in flat) for key in keys}
    return {key: values for key, values in by_key.items() if any(v != values[0] for v in values)}
