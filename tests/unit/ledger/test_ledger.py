"""The ledger: what is written is read back, rounds are whole, what is not a ledger is an error."""

from __future__ import annotations

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from fama_fast.errors import StoreError
from fama_fast.ledger import schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.lineage import Lineage
from fama_fast.ledger.migrations import MIGRATIONS, Migration
from fama_fast.ledger.records import CandidateRecord, ChainStep, ExchangeRecord, RunRecord, StartingFactor, plain
from tests.support import ledger_v1

SELECTION = {"exemplar_correlation": 0.1, "library_correlation": math.nan}


def run_record(name: str = "r1", data_hash: str = "d") -> RunRecord:
    return RunRecord(
        name, "memory", data_hash, 7, "evolve", {"k": 7}, "0", started_at=f"2020-01-0{len(name)}", state={}
    )


def commit(ledger: Ledger, run: RunRecord, number: int, *candidates: CandidateRecord) -> None:
    ledger.commit_round(
        run,
        number,
        candidates,
        exchange=ExchangeRecord(("hash",), ("e",), ("c",), {"requests": 1}, 4, SELECTION),
        steps=[ChainStep("b", "extend", "a")],
        state={"round": number, "value": 0.1 + 0.2},
    )


def candidate(position: int, **rest: object) -> CandidateRecord:
    return CandidateRecord(position, f"RANK(CLOSE) + {position}", "evolve", **rest)  # type: ignore[arg-type]


FIRST = candidate(0, fingerprint="a", canonical="A", admitted=True, nodes=3, scores={"train": {"rank_ic": 0.1 + 0.2}})
SECOND = candidate(
    1,
    fingerprint="b",
    parents=("a", "seed", "a"),
    prompt_hash="hash",
    model="m-1",
    gate="training",
    reason="weak",
    scores={"x": {"y": float("nan")}},
    timings={"gates": 0.25},
    extra={"niche": [1, 2]},
)


def check_roundtrip(ledger: Ledger) -> None:
    run = run_record()
    ledger.start_run(run, start=[StartingFactor("seed", "SEED", 0.01)], steps=[ChainStep("a", "build", None, 0, 0.3)])
    commit(ledger, run, 1, FIRST, SECOND)


def check_read_back(ledger: Ledger) -> None:
    stored = ledger.get_run("r1")
    assert (stored.rounds, stored.status, stored.seed, stored.config) == (1, "running", 7, {"k": 7})
    assert stored.state == {"round": 1, "value": 0.1 + 0.2}
    rows = ledger.candidates("r1")
    assert [r["text"] for r in rows] == [FIRST.text, SECOND.text]
    assert rows[0]["scores"] == FIRST.scores
    assert (rows[0]["sign"], rows[0]["score"], rows[0]["nodes"]) == (1, 0.1 + 0.2, 3)
    assert rows[0]["gate"] is None
    assert rows[0]["admitted"] is True
    assert rows[1]["parents"] == ["a", "seed"]
    assert rows[1]["scores"] == {"x": {"y": None}}
    assert rows[1]["score"] is None
    assert (rows[1]["model"], rows[1]["timings"], rows[1]["extra"]) == ("m-1", {"gates": 0.25}, {"niche": [1, 2]})
    assert rows[1]["data_hash"] == "d"
    assert ledger.chain_steps("r1") == [
        (0, ChainStep("a", "build", None, 0, 0.3)),
        (1, ChainStep("b", "extend", "a")),
    ]
    assert ledger.starting_factors("r1") == [StartingFactor("seed", "SEED", 0.01)]
    (shown,) = ledger.exchanges("r1")
    assert (shown["exemplars"], shown["chain_id"]) == (["e"], 4)
    assert shown["selection"] == {"exemplar_correlation": 0.1, "library_correlation": None}
    assert ledger.gate_counts("r1") == {None: 1, "training": 1}


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "ledger.sqlite"
    with Ledger.open(place) as ledger:
        check_roundtrip(ledger)
    with Ledger.open(place, create=False) as ledger:
        check_read_back(ledger)


def make_first_layout(url: str) -> None:
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as c:
        for statement in ledger_v1.statements(engine.dialect.name):
            c.exec_driver_sql(statement)
    engine.dispose()


def layout(engine: sa.Engine) -> dict[str, object]:
    """Columns (name, type, nullable) and indexes of every table."""
    found = sa.inspect(engine)
    return {
        table: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)),
            sorted((i["name"], tuple(i["column_names"]), bool(i["unique"])) for i in found.get_indexes(table)),
            sorted(tuple(k["constrained_columns"]) for k in found.get_foreign_keys(table)),
        )
        for table in found.get_table_names()
    }


def check_migrated(place: str) -> None:
    with Ledger.open(place, create=False) as ledger:
        rows = ledger.candidates("old")
        assert [(r["fingerprint"], r["occurrence"]) for r in rows] == [
            *(("a", 1), (None, 1), ("c", 1), ("a", 2), ("b", 1), ("a", 3))
        ]
        # What stood beside a sign is read as the negative.
        assert [(r["sign"], r["score"]) for r in rows[:3]] == [(1, 0.03), (None, None), (1, 0.002)]
        assert rows[2]["canonical"].startswith("-")
        assert rows[2]["scores"]["train"]["rank_ic"] == 0.002
        assert ledger.starting_factors("old") == [StartingFactor("s1", "-(CANON(s1))", 0.01)]
        lineage = Lineage(ledger, "old")
        assert [(p.chain, [m.fingerprint for m in p.links]) for p in lineage.chains()] == [
            (0, ["s1", "s2", "a"]),
            (1, ["s1", "b"]),
        ]
        assert [k.fingerprint for k in lineage.path("b")] == ["s1", "a", "b"]
        # And it goes on as a ledger of today.
        run = ledger.get_run("old")
        commit(ledger, run, 3, candidate(0, fingerprint="b", parents=("a",)))
        assert ledger.candidates("old")[-1]["occurrence"] == 2
        assert ledger.get_run("old").rounds == 3


def test_a_database_of_the_first_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    make_first_layout(f"sqlite:///{old}")
    check_migrated(str(old))
    Ledger.open(new).close()
    engines = [sa.create_engine(f"sqlite:///{place}", poolclass=NullPool) for place in (old, new)]
    assert layout(engines[0]) == layout(engines[1])
    assert [m.to for m in MIGRATIONS] == list(range(2, schema.SCHEMA_VERSION + 1))


def test_a_migration_that_is_killed_leaves_the_old_layout_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "old.sqlite"
    make_first_layout(f"sqlite:///{place}")
    before = place.read_bytes()

    def cut(c: sa.Connection) -> None:
        MIGRATIONS[0].apply(c)
        raise KeyboardInterrupt

    monkeypatch.setattr("fama_fast.ledger.store.MIGRATIONS", (Migration(2, "cut", cut),))
    with pytest.raises(KeyboardInterrupt):
        Ledger.open(place)
    assert place.read_bytes() == before
    monkeypatch.undo()
    check_migrated(str(place))


def check_hostile_text(ledger: Ledger) -> None:
    run = run_record()
    ledger.start_run(run)
    evil = "'; DROP TABLE runs; --\0 \ud800 \U0001f600 %s :name"
    hostile = CandidateRecord(
        0, evil, "llm" * 40, hypothesis=evil, reason=evil, origin=evil * 9, extra={evil: [evil]}, model=evil
    )
    commit(ledger, run, 1, hostile)
    (row,) = ledger.candidates("r1")
    assert row["text"] == "'; DROP TABLE runs; --\ufffd ? \U0001f600 %s :name"
    assert row["hypothesis"] == row["model"] == row["text"]
    assert row["extra"] == {row["text"]: [row["text"]]}


def test_what_a_hostile_model_writes_is_stored(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        check_hostile_text(ledger)


def test_a_run_that_two_processes_go_on_with_is_refused_to_the_second(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as one, Ledger.open(tmp_path / "l.sqlite") as other:
        run = run_record()
        one.start_run(run)
        commit(one, run, 1, candidate(0))
        with pytest.raises(StoreError, match="is at round 1, not at 0: another process went on with it"):
            commit(other, run, 1, candidate(0))
        one.finish_run("r1", verdict={}, summary={}, scores={})
        with pytest.raises(StoreError, match="is finished: another process"):
            commit(other, run, 2, candidate(0))
        with pytest.raises(StoreError, match="is finished: another process"):
            other.finish_run("r1", verdict={}, summary={}, scores={})


def test_a_file_that_has_gone_or_was_exchanged_is_a_clear_error(tmp_path: Path) -> None:
    place = tmp_path / "l.sqlite"
    with Ledger.open(place) as ledger:
        run = run_record()
        ledger.start_run(run)
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(StoreError, match="the file has gone since the run began"):
            commit(ledger, run, 1, candidate(0))
        assert not place.exists()
        Ledger.open(place).close()
        with pytest.raises(StoreError, match="run r1 is not in it any more"):
            commit(ledger, run, 1, candidate(0))


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Many threads on one file, each its own connection: nothing is lost, nothing refused."""
    place = tmp_path / "l.sqlite"

    def write(name: str) -> None:
        with Ledger.open(place) as ledger:
            run = run_record(name)
            ledger.start_run(run)
            for number in range(1, 6):
                commit(ledger, run, number, *(candidate(i, fingerprint=f"{number}-{i}") for i in range(5)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, ["a", "bb", "ccc", "dddd"]))
    with Ledger.open(place) as ledger:
        assert [(r.rounds, len(ledger.candidates(r.id))) for r in ledger.list_runs()] == [(5, 25)] * 4


def test_a_parent_admitted_earlier_is_linked_to_its_row(tmp_path: Path) -> None:
    place = tmp_path / "l.sqlite"
    with Ledger.open(place) as ledger:
        run = run_record()
        ledger.start_run(run)
        commit(ledger, run, 1, candidate(0, fingerprint="a", admitted=True))
        commit(ledger, run, 2, candidate(0, fingerprint="b", parents=("a", "seed")))
    with closing(sqlite3.connect(place)) as c:
        links = dict(c.execute("select parent_fingerprint, parent_id from parents").fetchall())
    assert links == {"a": 1, "seed": None}


def check_failing_round(ledger: Ledger) -> None:
    run = run_record()
    ledger.start_run(run)
    commit(ledger, run, 1, candidate(0))
    with pytest.raises(StoreError):
        commit(ledger, run, 2, candidate(0), candidate(0))
    assert ledger.get_run("r1").rounds == 1
    assert len(ledger.candidates("r1")) == 1
    commit(ledger, run, 2, candidate(0))
    assert ledger.get_run("r1").state == {"round": 2, "value": 0.1 + 0.2}


def test_a_round_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        check_failing_round(ledger)


def test_the_last_of_runs_that_start_within_a_second(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        for name in ("b", "c", "a"):
            ledger.start_run(replace(run_record(name), started_at=""))
        assert [r.id for r in ledger.list_runs()] == ["b", "c", "a"]
        assert ledger.get_run("last").id == "a"


def test_runs_are_found_by_their_beginning_and_last(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(StoreError, match="holds no runs"):
            ledger.get_run("last")
        for name in ("abc1", "abc22", "xyz333"):
            ledger.start_run(run_record(name))
        assert ledger.get_run("x").id == "xyz333"
        assert ledger.get_run("last").id == "xyz333"
        with pytest.raises(StoreError, match="beginning of 2 runs"):
            ledger.get_run("abc")
        with pytest.raises(StoreError, match=r"no run 'xyz334'; did you mean xyz333\?"):
            ledger.get_run("xyz334")


def test_the_test_split_is_logged_and_earlier_openings_are_counted(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        runs = [run_record("a", "d1"), run_record("bb", "d1"), run_record("ccc", "d2")]
        for run in runs:
            ledger.start_run(run)
        assert [ledger.open_test(r) for r in runs] == [0, 1, 0]
        assert ledger.open_test(runs[0]) == 1  # the other one
        assert ledger.get_run("a").test_opened_at is not None


def test_a_finished_run_has_verdict_summary_and_results(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        ledger.start_run(run_record())
        ledger.finish_run(
            "r1", verdict={"status": "found"}, summary={"x": 1}, scores={"pool": {"valid": {"rank_ic": 0.1}}}
        )
        run = ledger.get_run("r1")
        assert (run.status, run.verdict, run.summary) == ("finished", {"status": "found"}, {"x": 1})
        assert ledger.results("r1") == {"pool": {"valid": {"rank_ic": 0.1}}}


def test_what_is_not_a_ledger_is_an_error(tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.sqlite"
    corrupt.write_bytes(b"this is no database, far from it" * 100)
    with pytest.raises(StoreError, match=r"corrupt\.sqlite: file is not a database"):
        Ledger.open(corrupt)
    assert corrupt.read_bytes().startswith(b"this is no database")

    foreign = tmp_path / "foreign.sqlite"
    with closing(sqlite3.connect(foreign)) as c:
        c.execute("create table meta (a integer)")
        c.commit()
    with pytest.raises(StoreError, match="something else, not a fama_fast ledger"):
        Ledger.open(foreign)

    later = tmp_path / "later.sqlite"
    Ledger.open(later).close()
    with closing(sqlite3.connect(later)) as c:
        c.execute("update meta set value = '99' where key = 'version'")
        c.commit()
    with pytest.raises(StoreError, match="its layout is version 99"):
        Ledger.open(later)

    damaged = tmp_path / "damaged.sqlite"
    Ledger.open(damaged).close()
    with closing(sqlite3.connect(damaged)) as c:
        c.execute("drop table candidates")
        c.commit()
    with pytest.raises(StoreError, match="the tables candidates are missing"):
        Ledger.open(damaged)


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it is a folder"):
        Ledger.open(tmp_path)
    with pytest.raises(StoreError, match="there is no such file"):
        Ledger.open(tmp_path / "none.sqlite", create=False)
    assert not (tmp_path / "none.sqlite").exists()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make its folder"):
        Ledger.open(tmp_path / "file" / "l.sqlite")
    with pytest.raises(StoreError, match="is not a database URL"):
        Ledger.open("://nowhere")
    with pytest.raises(StoreError, match=r"user:\*\*\*@"):
        Ledger.open("nosuchdialect://user:secret@host/db")


def test_plain_is_strict_json() -> None:
    import numpy as np

    assert plain({"a": (1, float("inf")), 2: np.float64(0.5)}) == {"a": [1, None], "2": 0.5}
    texts = ["a", "b"]
    assert plain(texts) == texts
    assert plain(texts) is not texts
    assert plain(["a", "b\0", "\udc80"]) == ["a", "b\ufffd", "?"]
    assert plain(["a", 1, float("nan")]) == ["a", 1, None]


def test_every_look_at_the_test_says_who_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/fama-fast", "mine", "--ledger", "postgresql://me:secret@host/db"])
    monkeypatch.setenv("LOGNAME", "ada")
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        run = run_record()
        ledger.start_run(run)
        assert ledger.test_looks(run.data_hash) == []
        ledger.open_test(run)
        ledger.log_look(run.data_hash, "score")
        ledger.log_look("other data", "report")
        first, second = ledger.test_looks(run.data_hash)
    assert (first["why"], first["run_id"], second["why"], second["run_id"]) == ("verdict", run.id, "score", None)
    assert first["who"].startswith("ada@")
    assert first["command"] == "fama-fast mine --ledger postgresql://***@host/db"
    assert first["at"] <= second["at"]
