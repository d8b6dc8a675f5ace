"""The ledger's tables: what is kept of every run and of every expression ever proposed.

Only table definitions: portable SQL types (SQLite today, PostgreSQL by URL), no queries (see `ledger`) and no
knowledge of mining. `SCHEMA_VERSION` changes whenever a table does.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_NAME = "fama_fast ledger"
SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("started_at", String(32), nullable=False),  # UTC, ISO 8601
    Column("finished_at", String(32)),
    Column("status", String(16), nullable=False),  # running, finished
    Column("version", String(32), nullable=False),
    Column("source", Text, nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("proposer", String(64), nullable=False),
    Column("config", JSON, nullable=False),
    Column("rounds", Integer, nullable=False, default=0),  # rounds committed
    Column("state", JSON),  # the loop's state after `rounds` rounds; what a resumed run starts from
    Column("test_opened_at", String(32)),
    Column("verdict", JSON),
    Column("summary", JSON),  # the result document of a finished run
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("canonical", Text),
    Column("fingerprint", String(64)),
    Column("proposer", String(64), nullable=False),
    Column("origin", String(64), nullable=False, default=""),
    Column("hypothesis", Text, nullable=False, default=""),
    Column("explanation", Text, nullable=False, default=""),
    Column("prompt_hash", String(128)),
    Column("gate", String(32)),  # the gate that stopped it; NULL when it was admitted
    Column("reason", Text, nullable=False, default=""),
    Column("admitted", Boolean, nullable=False, default=False),
    Column("scores", JSON, nullable=False),  # {"screen": {...}, "train": {...}, "valid": {...}}
    Column("seed", BigInteger, nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("seconds", Float, nullable=False, default=0.0),  # its share of the round's evaluation time
    UniqueConstraint("run_id", "round", "position", name="uq_candidate_place"),
    Index("ix_candidates_fingerprint", "fingerprint"),
)

parents = Table(
    "parents",
    metadata,
    Column("candidate_id", Integer, ForeignKey("candidates.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_fingerprint", String(64), primary_key=True),
    # The parent's own row; NULL for a seed or a factor of the cache, which no run proposed.
    Column("parent_id", Integer, ForeignKey("candidates.id", ondelete="SET NULL")),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("proposer", String(64), nullable=False),
    Column("prompt_hashes", JSON, nullable=False),
    Column("exemplars", JSON, nullable=False),  # fingerprints shown
    Column("chain", JSON, nullable=False),  # fingerprints shown, by ascending score
    Column("usage", JSON, nullable=False),
    UniqueConstraint("run_id", "round", name="uq_exchange_round"),
)

chain_steps = Table(
    "chain_steps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("action", String(16), nullable=False),  # extend, split, none
    Column("parent_fingerprint", String(64)),
    Index("ix_chain_steps_run", "run_id"),
)

results = Table(
    "results",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),  # or "pool"
    Column("split", String(16), primary_key=True),
    Column("scores", JSON, nullable=False),
)
