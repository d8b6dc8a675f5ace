"""The ledger on a real PostgreSQL server, which these tests make, start, stop and remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fama_fast.errors import StoreError
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import ExchangeRecord
from tests.support.mine import result, run, start, write_config
from tests.support.postgres_server import Server, binaries
from tests.unit.ledger import test_ledger, test_lineage
from tests.unit.mining import test_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'fama_fast[postgres]')")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (initdb is not found)")
    made = Server(programs)
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_a_run_is_read_back_as_it_was_written(server: Server) -> None:
    with Ledger.open(server.create("roundtrip")) as ledger:
        test_ledger.check_roundtrip(ledger)
    with Ledger.open(server.url("roundtrip"), create=False) as ledger:
        test_ledger.check_read_back(ledger)


def test_what_earlier_runs_did(server: Server) -> None:
    with Ledger.open(server.create("earlier")) as ledger:
        test_verdict.check_earlier_runs(ledger)


def test_every_question_of_descent(server: Server) -> None:
    with Ledger.open(server.create("lineage")) as ledger:
        test_lineage.check_family(test_lineage.family(ledger))


def test_a_database_of_the_first_layout_is_brought_up_to_date(server: Server) -> None:
    url = server.create("first")
    test_ledger.make_first_layout(url.replace("postgresql:", "postgresql+psycopg:"))
    test_ledger.check_migrated(url)


def test_a_round_that_fails_leaves_nothing(server: Server) -> None:
    with Ledger.open(server.create("failing")) as ledger:
        test_ledger.check_failing_round(ledger)


def test_what_a_hostile_model_writes_is_stored(server: Server) -> None:
    with Ledger.open(server.create("hostile")) as ledger:
        test_ledger.check_hostile_text(ledger)


def test_places_that_cannot_be_used(server: Server) -> None:
    with pytest.raises(StoreError, match='database "none" does not exist'):
        Ledger.open(server.url("none"))
    server.create("empty")
    with pytest.raises(StoreError, match="the database is empty"):
        Ledger.open(server.url("empty"), create=False)


@pytest.mark.slow
def test_two_processes_mine_into_one_database_and_a_stopped_server_is_a_clear_refusal(
    server: Server, tmp_path: Path
) -> None:
    url = server.create("two")
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write_config(folder, rounds=3)
    alone = run("mine", "--config", "run.yaml", "--output", "out.yaml", "-q", folder=folders[0])
    assert alone.returncode in (0, 1), alone.stderr
    both = [start("mine", "--config", "run.yaml", "--seed", s, "--ledger", url, "-q", folder=folders[0]) for s in "56"]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode in (0, 1), errors
    with Ledger.open(url, create=False) as ledger:
        runs = ledger.list_runs()
        assert [(r.status, r.rounds) for r in runs] == [("finished", 3)] * 2
        assert {r.seed for r in runs} == {5, 6}
        assert all(len(ledger.candidates(r.id)) == 18 for r in runs)
        one = next(r for r in runs if r.seed == 5)
    assert one.summary is not None
    assert one.summary["factors"]

    lost = server.create("lost")
    with Ledger.open(lost) as ledger:
        record = test_ledger.run_record()
        ledger.start_run(record)
        test_ledger.commit(ledger, record, 1, test_ledger.candidate(0))
        server.stop()
        try:
            with pytest.raises(StoreError, match=r"connection .*failed") as refused:
                ledger.commit_round(record, 2, [], exchange=ExchangeRecord(), state={})
            assert "\n" not in str(refused.value)
            refusal = run("mine", "--config", "run.yaml", "--ledger", lost, folder=folders[1])
            assert refusal.returncode == 2
            assert refusal.stderr.count("error:") == 1
            assert "Traceback" not in refusal.stderr
        finally:
            server.start()
        # Back again, the same open ledger goes on where it was.
        assert ledger.get_run("r1").rounds == 1
        test_ledger.commit(ledger, record, 2, test_ledger.candidate(0))
        assert ledger.get_run("r1").rounds == 2
    assert result(folders[0] / "out.yaml")["search"]["candidates"] == 18
