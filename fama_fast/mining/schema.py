"""The ledger's tables: what is kept of every run and of every expression ever proposed.

Only table definitions: portable SQL types (SQLite by default, PostgreSQL by URL), no queries (see `ledger`,
`lineage`) and no knowledge of mining. Whoever changes a table raises `SCHEMA_VERSION` and adds the step that
leads there to `migrations`.
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
SCHEMA_VERSION = 3

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
    # running, interrupted (asked to stop), failed, finished; whether a running one still does is `ownership`'s to say
    Column("status", String(16), nullable=False),
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
    Column("data", JSON),  # what the run is made on: names of fields and groups, and how to come by the data again
    Column("owner", JSON),  # the process that works on the run; NULL when none does
    Column("seen_at", String(32)),  # when that process was last heard of, UTC
    Column("reason", Text),  # why it was interrupted or failed
)

# The library that a run began with: the roots of parentage, which no run proposed.
starting_factors = Table(
    "starting_factors",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("canonical", Text, nullable=False),
    Column("sign", Integer, nullable=False),  # 1; in older runs -1 where low values predict high returns
    Column("score", Float),  # oriented training RankIC on the run's data
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
    # 1 for the row that stands for the expression in its run; 2, 3, ... for every time it was proposed again.
    Column("occurrence", Integer, nullable=False, default=1, server_default="1"),
    Column("proposer", String(64), nullable=False),
    Column("model", Text),  # the language model that wrote it
    Column("origin", String(64), nullable=False, default=""),
    Column("hypothesis", Text, nullable=False, default=""),
    Column("explanation", Text, nullable=False, default=""),
    Column("prompt_hash", String(128)),
    Column("gate", String(32)),  # the gate that stopped it; NULL when it was admitted
    Column("reason", Text, nullable=False, default=""),
    Column("admitted", Boolean, nullable=False, default=False),
    Column("nodes", Integer),
    # 1: canonical, fingerprint and scores are in the direction of training; NULL before it is measured. In older runs
    # they are as proposed, and this is -1 where low values predict high returns.
    Column("sign", Integer),
    Column("score", Float),  # training RankIC in that direction; NULL before it is measured
    Column("scores", JSON, nullable=False),  # {"screen": {...}, "train": {...}, "valid": {...}}
    Column("seed", BigInteger, nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("seconds", Float, nullable=False, default=0.0),  # its share of the round's evaluation time
    Column("timings", JSON),  # seconds by step, its share of the round's
    Column("extra", JSON),  # what is kept beside, by name: the form as proposed of what training turned round
    UniqueConstraint("run_id", "round", "position", name="uq_candidate_place"),
    Index("ix_candidates_fingerprint", "fingerprint"),
    Index("uq_candidate_occurrence", "run_id", "fingerprint", "occurrence", unique=True),
    Index("ix_candidates_prompt", "prompt_hash"),
)

parents = Table(
    "parents",
    metadata,
    Column("candidate_id", Integer, ForeignKey("candidates.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_fingerprint", String(64), primary_key=True),
    # The parent's own row, always an earlier one; NULL for a factor that no candidate of this run is.
    Column("parent_id", Integer, ForeignKey("candidates.id", ondelete="SET NULL")),
    Index("ix_parents_parent", "parent_id"),
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
    Column("chain_id", Integer),  # of the chain shown
    Column("usage", JSON, nullable=False),
    Column("selection", JSON),  # Cross-Sample Selection: clusters, mean |correlation| of exemplars and of the library
    Column("extra", JSON),
    UniqueConstraint("run_id", "round", name="uq_exchange_round"),
)

# The chains of a run as a forest: each row is a member, and follows the row whose fingerprint is its parent's.
# A chain is the path to its last member; a split shares its prefix with the chain it branched from.
chain_steps = Table(
    "chain_steps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Integer, nullable=False),  # 0: when the chains were built
    Column("fingerprint", String(64), nullable=False),
    Column("action", String(16), nullable=False),  # build, start, extend, split
    Column("parent_fingerprint", String(64)),
    Column("chain", Integer),  # id of the chain that it was added to
    Column("score", Float),  # oriented training RankIC
    Index("ix_chain_steps_run", "run_id"),
    Index("ix_chain_steps_member", "run_id", "fingerprint"),
    Index("ix_chain_steps_parent", "run_id", "parent_fingerprint"),
)

results = Table(
    "results",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),  # or "pool"
    Column("split", String(16), primary_key=True),
    Column("scores", JSON, nullable=False),
)
