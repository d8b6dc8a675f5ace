"""The ledger: what is written is read back, rounds are whole, what is not a ledger is an error."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fama_fast.errors import StoreError
from fama_fast.mining.ledger import Ledger
from fama_fast.mining.records import CandidateRecord, ChainStep, ExchangeRecord, RunRecord, plain


def run_record(name: str = "r1", data_hash: str = "d") -> RunRecord:
    return RunRecord(
        name, "memory", data_hash, 7, "evolve", {"k": 7}, "0", started_at=f"2020-01-0{len(name)}", state={}
    )


def commit(ledger: Ledger, run: RunRecord, number: int, *candidates: CandidateRecord) -> None:
    ledger.commit_round(
        run,
        number,
        candidates,
        exchange=ExchangeRecord(("hash",), ("e",), ("c",), {"requests": 1}),
        steps=[ChainStep("b", "extend", "a")],
        state={"round": number, "value": 0.1 + 0.2},
    )


def candidate(position: int, **rest: object) -> CandidateRecord:
    return CandidateRecord(position, f"RANK(CLOSE) + {position}", "evolve", **rest)  # type: ignore[arg-type]


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "ledger.sqlite"
    first = candidate(0, fingerprint="a", canonical="A", admitted=True, scores={"train": {"rank_ic": 0.1 + 0.2}})
    second = candidate(
        1,
        fingerprint="b",
        parents=("a", "seed", "a"),
        gate="training",
        reason="weak",
        scores={"x": {"y": float("nan")}},
    )
    with Ledger.open(place) as ledger:
        run = run_record()
        ledger.start_run(run)
        commit(ledger, run, 1, first, second)
    with Ledger.open(place, create=False) as ledger:
        stored = ledger.get_run("r1")
        assert (stored.rounds, stored.status, stored.seed, stored.config) == (1, "running", 7, {"k": 7})
        assert stored.state == {"round": 1, "value": 0.1 + 0.2}
        rows = ledger.candidates("r1")
        assert [r["text"] for r in rows] == [first.text, second.text]
        assert rows[0]["scores"] == first.scores
        assert rows[0]["gate"] is None
        assert rows[0]["admitted"] is True
        assert rows[1]["parents"] == ["a", "seed"]
        assert rows[1]["scores"] == {"x": {"y": None}}
        assert rows[1]["data_hash"] == "d"
        assert ledger.chain_steps("r1") == [(1, ChainStep("b", "extend", "a"))]


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


def test_a_round_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        run = run_record()
        ledger.start_run(run)
        commit(ledger, run, 1, candidate(0))
        with pytest.raises(StoreError):
            commit(ledger, run, 2, candidate(0), candidate(0))
        assert ledger.get_run("r1").rounds == 1
        assert len(ledger.candidates("r1")) == 1
        commit(ledger, run, 2, candidate(0))
        assert ledger.get_run("r1").state == {"round": 2, "value": 0.1 + 0.2}


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
