"""The ledger's tables: what is kept of every run and of every expression ever proposed.

Only table definitions: portable SQL types (SQLite by default, PostgreSQL by URL), no queries (see `ledger`,
`lineage`) and no knowledge of mining. Whoever changes a table raises `SCHEMA_VERSION` and adds the step that
leads there to `migrations`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, UniqueConstraint

from fama_fast.ledger.column_types import Document, Large, Listed, Name, Number, Whole, Words

SCHEMA_NAME = "fama_fast ledger"
SCHEMA_VERSION = 4

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Name(64), primary_key=True),
    Column("value", Words, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Name(64), primary_key=True),
    Column("started_at", Name(32), nullable=False),  # UTC, ISO 8601
    Column("finished_at", Name(32)),
    # running, interrupted (asked to stop), failed, finished; whether a running one still does is `ownership`'s to say
    Column("status", Name(16), nullable=False),
    Column("version", Name(32), nullable=False),
    Column("source", Words, nullable=False),
    Column("data_hash", Name(64), nullable=False),
    Column("seed", Large, nullable=False),
    Column("proposer", Name(64), nullable=False),
    Column("config", Document, nullable=False),
    Column("rounds", Whole, nullable=False, default=0),  # rounds committed
    Column("state", Document),  # the loop's state after `rounds` rounds; what a resumed run starts from
    Column("test_opened_at", Name(32)),
    Column("verdict", Document),
    Column("summary", Document),  # the result document of a finished run
    Column("data", Document),  # what the run is made on: names of fields and groups, and how to load the data again
    Column("owner", Document),  # the process that works on the run; NULL when none does
    Column("seen_at", Name(32)),  # when that process was last heard of, UTC
    Column("reason", Words),  # why it was interrupted or failed
)

# The library that a run began with: the roots of parentage, which no run proposed.
starting_factors = Table(
    "starting_factors",
    metadata,
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", Name(64), primary_key=True),
    Column("canonical", Words, nullable=False),
    Column("sign", Whole, nullable=False),  # 1; in older runs -1 where low values predict high returns
    Column("score", Number),  # oriented training RankIC on the run's data
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Whole, nullable=False),
    Column("position", Whole, nullable=False),
    Column("text", Words, nullable=False),
    Column("canonical", Words),
    Column("fingerprint", Name(64)),
    # 1 for the row that stands for the expression in its run; 2, 3, ... for every time it was proposed again.
    Column("occurrence", Whole, nullable=False, default=1, server_default="1"),
    Column("proposer", Name(64), nullable=False),
    Column("model", Words),  # the language model that wrote it
    Column("origin", Name(64), nullable=False, default=""),
    Column("hypothesis", Words, nullable=False, default=""),
    Column("explanation", Words, nullable=False, default=""),
    Column("prompt_hash", Name(128)),
    Column("gate", Name(32)),  # the gate that stopped it; NULL when it was admitted
    Column("reason", Words, nullable=False, default=""),
    Column("admitted", Boolean, nullable=False, default=False),
    Column("nodes", Whole),
    # 1: canonical, fingerprint and scores are in the direction of training; NULL before it is measured. In older runs
    # they are as proposed, and this is -1 where low values predict high returns.
    Column("sign", Whole),
    Column("score", Number),  # training RankIC in that direction; NULL before it is measured
    Column("scores", Document, nullable=False),  # {"screen": {...}, "train": {...}, "valid": {...}}
    Column("seed", Large, nullable=False),
    Column("data_hash", Name(64), nullable=False),
    Column("seconds", Number, nullable=False, default=0.0),  # its share of the round's evaluation time
    Column("timings", Document),  # seconds by step, its share of the round's
    Column("extra", Document),  # what is kept beside, by name: the form as proposed of what training turned round
    UniqueConstraint("run_id", "round", "position", name="uq_candidate_place"),
    Index("ix_candidates_fingerprint", "fingerprint"),
    Index("uq_candidate_occurrence", "run_id", "fingerprint", "occurrence", unique=True),
    Index("ix_candidates_prompt", "prompt_hash"),
)

parents = Table(
    "parents",
    metadata,
    Column("candidate_id", Whole, ForeignKey("candidates.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_fingerprint", Name(64), primary_key=True),
    # The parent's own row, always an earlier one; NULL for a factor that no candidate of this run is.
    Column("parent_id", Whole, ForeignKey("candidates.id", ondelete="SET NULL")),
    Index("ix_parents_parent", "parent_id"),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Whole, nullable=False),
    Column("proposer", Name(64), nullable=False),
    Column("prompt_hashes", Listed, nullable=False),
    Column("exemplars", Listed, nullable=False),  # fingerprints shown
    Column("chain", Listed, nullable=False),  # fingerprints shown, by ascending score
    Column("chain_id", Whole),  # of the chain shown
    Column("usage", Document, nullable=False),
    Column(
        "selection", Document
    ),  # Cross-Sample Selection: clusters, mean |correlation| of exemplars and of the library
    Column("extra", Document),
    UniqueConstraint("run_id", "round", name="uq_exchange_round"),
)

# The chains of a run as a forest: each row is a member, and follows the row whose fingerprint is its parent's.
# A chain is the path to its last member; a split shares its prefix with the chain it branched from.
chain_steps = Table(
    "chain_steps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("round", Whole, nullable=False),  # 0: when the chains were built
    Column("fingerprint", Name(64), nullable=False),
    Column("action", Name(16), nullable=False),  # build, start, extend, split
    Column("parent_fingerprint", Name(64)),
    Column("chain", Whole),  # id of the chain that it was added to
    Column("score", Number),  # oriented training RankIC
    Index("ix_chain_steps_run", "run_id"),
    Index("ix_chain_steps_member", "run_id", "fingerprint"),
    Index("ix_chain_steps_parent", "run_id", "parent_fingerprint"),
)

results = Table(
    "results",
    metadata,
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", Name(64), primary_key=True),  # or "pool"
    Column("split", Name(16), primary_key=True),
    Column("scores", Document, nullable=False),
)

# Every look at dates that were held back for the test, of runs and of people.
test_looks = Table(
    "test_looks",
    metadata,
    Column("id", Name(64), primary_key=True),
    Column("data_hash", Name(64), nullable=False),
    Column("run_id", Name(64), ForeignKey("runs.id", ondelete="CASCADE")),  # NULL where no run asked
    Column("at", Name(32), nullable=False),  # UTC, ISO 8601
    Column("who", Words, nullable=False),  # user@host; empty where an earlier version did not say
    Column("command", Words, nullable=False),
    Column("why", Name(32), nullable=False),  # verdict, score, report
    Index("ix_test_looks_data", "data_hash"),
)
