"""A ledger as the first layout wrote it, in SQL of that time: what migrations start from."""

from __future__ import annotations

import json

SCHEMA = """
CREATE TABLE meta ("key" VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE runs (id VARCHAR(64) NOT NULL, started_at VARCHAR(32) NOT NULL, finished_at VARCHAR(32),
  status VARCHAR(16) NOT NULL, version VARCHAR(32) NOT NULL, source TEXT NOT NULL, data_hash VARCHAR(64) NOT NULL,
  seed BIGINT NOT NULL, proposer VARCHAR(64) NOT NULL, config JSON NOT NULL, rounds INTEGER NOT NULL, state JSON,
  test_opened_at VARCHAR(32), verdict JSON, summary JSON, PRIMARY KEY (id));
CREATE TABLE candidates (id SERIAL NOT NULL, run_id VARCHAR(64) NOT NULL, round INTEGER NOT NULL,
  position INTEGER NOT NULL, text TEXT NOT NULL, canonical TEXT, fingerprint VARCHAR(64), proposer VARCHAR(64) NOT NULL,
  origin VARCHAR(64) NOT NULL, hypothesis TEXT NOT NULL, explanation TEXT NOT NULL, prompt_hash VARCHAR(128),
  gate VARCHAR(32), reason TEXT NOT NULL, admitted BOOLEAN NOT NULL, scores JSON NOT NULL, seed BIGINT NOT NULL,
  data_hash VARCHAR(64) NOT NULL, seconds FLOAT NOT NULL, PRIMARY KEY (id),
  CONSTRAINT uq_candidate_place UNIQUE (run_id, round, position),
  FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE INDEX ix_candidates_fingerprint ON candidates (fingerprint);
CREATE TABLE chain_steps (id SERIAL NOT NULL, run_id VARCHAR(64) NOT NULL, round INTEGER NOT NULL,
  fingerprint VARCHAR(64) NOT NULL, action VARCHAR(16) NOT NULL, parent_fingerprint VARCHAR(64), PRIMARY KEY (id),
  FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE INDEX ix_chain_steps_run ON chain_steps (run_id);
CREATE TABLE exchanges (id SERIAL NOT NULL, run_id VARCHAR(64) NOT NULL, round INTEGER NOT NULL,
  proposer VARCHAR(64) NOT NULL, prompt_hashes JSON NOT NULL, exemplars JSON NOT NULL, chain JSON NOT NULL,
  usage JSON NOT NULL, PRIMARY KEY (id), CONSTRAINT uq_exchange_round UNIQUE (run_id, round),
  FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE TABLE results (run_id VARCHAR(64) NOT NULL, fingerprint VARCHAR(64) NOT NULL, split VARCHAR(16) NOT NULL,
  scores JSON NOT NULL, PRIMARY KEY (run_id, fingerprint, split),
  FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE TABLE parents (candidate_id INTEGER NOT NULL, parent_fingerprint VARCHAR(64) NOT NULL, parent_id INTEGER,
  PRIMARY KEY (candidate_id, parent_fingerprint),
  FOREIGN KEY(candidate_id) REFERENCES candidates (id) ON DELETE CASCADE,
  FOREIGN KEY(parent_id) REFERENCES candidates (id) ON DELETE SET NULL)
"""


def _factor(name: str, rank_ic: float, sign: int = 1) -> dict[str, object]:
    text = f"CANON({name})"
    scores = {"train": {"rank_ic": rank_ic}}
    return {"expression": text, "canonical": text, "fingerprint": name, "sign": sign, "scores": scores}


STATE = {
    "library": [
        {"factor": _factor("s1", -0.01, -1), "mined": False},
        {"factor": _factor("a", 0.03), "mined": True},
    ],
    "book": {
        "schema": 1,
        "visit_penalty": 0.25,
        "next_id": 2,
        "chains": [
            {"id": 0, "members": ["s1", "s2", "a"], "visits": 0, "cluster": 0, "parent": None},
            {"id": 1, "members": ["s1", "b"], "visits": 1, "cluster": 0, "parent": 0},
        ],
        "factors": [_factor("s1", -0.01, -1), _factor("s2", 0.02), _factor("a", 0.03), _factor("b", 0.04)],
    },
}


def _candidate(
    number: int, position: int, name: str | None, rank_ic: float | None, gate: str | None, prompt: str | None = None
) -> str:
    scores = json.dumps({} if rank_ic is None else {"train": {"rank_ic": rank_ic}})
    values = (
        f"text {number}.{position}",
        None if name is None else f"CANON({name})",
        name,
        "evolve",
        "",
        "",
        "",
        prompt,
    )
    quoted = ", ".join("NULL" if v is None else f"'{v}'" for v in (*values, gate))
    return (
        "INSERT INTO candidates (run_id, round, position, text, canonical, fingerprint, proposer, origin, hypothesis, "
        "explanation, prompt_hash, gate, reason, admitted, scores, seed, data_hash, seconds) VALUES "
        f"('old', {number}, {position}, {quoted}, '', {'false' if gate else 'true'}, '{scores}', 7, 'd', 0.5)"
    )


def statements(dialect: str) -> list[str]:
    """The whole database: layout, one unfinished run of two rounds."""
    schema = SCHEMA if dialect == "postgresql" else SCHEMA.replace("SERIAL", "INTEGER")
    return [
        *(s.strip() for s in schema.split(";")),
        "INSERT INTO meta VALUES ('name', 'fama_fast ledger')",
        "INSERT INTO meta VALUES ('version', '1')",
        (
            "INSERT INTO runs "
            "(id, started_at, status, version, source, data_hash, seed, proposer, config, rounds, state) VALUES "
            f"('old', '2020-01-01', 'running', '0', 'memory', 'd', 7, 'evolve', '{{}}', 2, '{json.dumps(STATE)}')"
        ),
        _candidate(1, 0, "a", 0.03, None, "p1"),
        _candidate(1, 1, None, None, "answer"),
        _candidate(1, 2, "c", -0.002, "training"),
        _candidate(2, 0, "a", None, "duplicate"),
        _candidate(2, 1, "b", 0.04, None),
        _candidate(2, 2, "a", None, "duplicate"),
        "INSERT INTO parents VALUES (1, 's1', NULL)",
        "INSERT INTO parents VALUES (5, 'a', 1)",
        (
            "INSERT INTO chain_steps (run_id, round, fingerprint, action, parent_fingerprint) "
            "VALUES ('old', 1, 'a', 'extend', 's2')"
        ),
        (
            "INSERT INTO chain_steps (run_id, round, fingerprint, action, parent_fingerprint) "
            "VALUES ('old', 2, 'b', 'split', 's1')"
        ),
        (
            "INSERT INTO exchanges (run_id, round, proposer, prompt_hashes, exemplars, chain, usage) "
            "VALUES ('old', 1, 'evolve', '[]', '[]', '[]', '{}')"
        ),
        "INSERT INTO results VALUES ('old', 'a', 'train', '{}')",
    ]
