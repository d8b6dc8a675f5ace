"""The dashboard: what it reads, what it refuses, and how its pages work in a real browser."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from fama_fast.dashboard import candidates, factor
from fama_fast.dashboard.reading import ReadOnlyLedger
from fama_fast.dashboard.runs import Runs, differing_settings
from fama_fast.dashboard.tallies import curve, totals
from fama_fast.errors import ConfigError, StoreError
from fama_fast.ledger import schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import CandidateRecord, ChainStep, ExchangeRecord, RunRecord, StartingFactor
from tests.support.browser import browser_page, keep_screenshot, needs_browser
from tests.support.paths import ROOT
from tests.support.postgres_server import Server, binaries

BIG, SMALL, LIVE = "20260101T000000-big", "20260102T000000-small", "20260103T000000-live"
MANY = 20_500
HOSTILE = "<script>alert('boo')</script>\"'&lt;{{ 7 * 7 }}</script><img src=x onerror=alert(1)>"
RIGHT_TO_LEFT = "\u202eתשואה הפוכה שוק\u202c"
LONG = "x" * 10_000
GATES = ("parse", "screening", "training", "correlation", None)


def _run(name: str, **more) -> RunRecord:
    base = {
        "source": f"hand-made {HOSTILE}",
        "data_hash": "d" * 32,
        "seed": 5,
        "proposer": "evolve",
        "version": "0",
        "config": {"u": 20, "run": {"wanted": 20, "rounds": 9, "seed": 5}, "gates": {"min_rank_ic": 0.01}},
        "started_at": f"{name[:4]}-{name[4:6]}-{name[6:8]}T00:00:00+00:00",
    }
    return RunRecord(id=name, **(base | more))


def _fingerprint(i: int) -> str:
    return f"{i:032x}"


def _row(i: int, run: str = BIG) -> dict:
    """The i-th candidate of the big run: scores, gates and texts follow from i alone.

    They are as earlier versions wrote them: as proposed, with a sign beside them.
    """
    gate = GATES[i % 5] if i % 50 == 4 or i % 5 != 4 else "admission"
    measured = gate not in ("parse", "screening")
    sign = -1 if i % 3 == 0 else 1
    raw = ((i * 7919) % 10_007) / 200_000 * sign
    train = {"rank_ic": raw, "rank_ic_t": raw * 100, "turnover": (i % 97) / 97, "n_days": 200}
    text = {1: HOSTILE, 2: RIGHT_TO_LEFT, 3: LONG}.get(i, f"RANK(DELTA(CLOSE, {i % 250 + 1})) * {i}")
    return {
        "run_id": run,
        "round": i // 2500 + 1,
        "position": i % 2500,
        "text": text,
        "canonical": None if gate == "parse" or i < 4 else text,
        "fingerprint": None if gate == "parse" else _fingerprint(i),
        "occurrence": 1,
        "proposer": "llm" if i % 7 == 0 else "evolve",
        "origin": ("mutation", "crossover", "fresh")[i % 3],
        "hypothesis": {4: HOSTILE, 5: RIGHT_TO_LEFT, 6: LONG}.get(i, ""),
        "explanation": HOSTILE if i == 4 else "",
        "gate": gate,
        "reason": "" if gate is None else f"stopped by {gate} {HOSTILE if i == 1 else ''}",
        "admitted": gate is None,
        "nodes": i % 40 + 1,
        "sign": sign if measured else None,
        "score": abs(raw) if measured else None,
        "scores": {"train": train, "valid": {"rank_ic": raw * 0.8, "n_days": 60}} if measured else {},
        "seed": 5,
        "data_hash": "d" * 32,
        "seconds": 0.01,
    }


def fill(place, many: int = MANY) -> None:
    """A ledger with a big finished run, a small one that never opened its test, and one that is going on."""
    with Ledger.open(place) as ledger:
        known = [StartingFactor("s" * 32, "RANK(CLOSE)", 0.01)]
        steps = [ChainStep("s" * 32, "build", chain=0, score=0.01)]
        ledger.start_run(_run(BIG, state={"book": None}), start=known, steps=steps)
        rows = [_row(i) for i in range(many)]
        with ledger.transaction(write=True) as c:
            c.execute(schema.candidates.insert(), rows)
            ids = {
                r.fingerprint: r.id
                for r in c.execute(sa.select(schema.candidates.c.fingerprint, schema.candidates.c.id))
            }
            links = [(4, "s" * 32), (54, _fingerprint(4)), (52, _fingerprint(4))]
            c.execute(
                schema.parents.insert(),
                [
                    {"candidate_id": ids[_fingerprint(i)], "parent_fingerprint": p, "parent_id": ids.get(p)}
                    for i, p in links
                ],
            )
            state = {"pool": {"rank_ic": 0.031}, "tokens": 1200, "cost": 0.25}
            rounds = rows[-1]["round"]
            c.execute(schema.runs.update().where(schema.runs.c.id == BIG).values(rounds=rounds, state=state))
        ledger.open_test(_run(BIG))
        verdict = {
            "status": "found",
            "headline": f"found: 1 of 2 holds {HOSTILE}",
            "statements": [RIGHT_TO_LEFT, LONG],
            "holding": [_fingerprint(4)],
            "pool": {"valid": {"rank_ic": 0.031}, "test": {"rank_ic": 0.0291}},
            "control": {"random_formulas": {"pool": {"valid": {"rank_ic": 0.004}}}},
            "wide": {"valid": {"rank_ic": 0.041}, "test": {"rank_ic": 0.0376}},
        }
        listed = [{"fingerprint": _fingerprint(4), "verdict": {"holds": True, "valid_t": 3.25}}]
        test = {_fingerprint(4): {"test": {"rank_ic": 0.0777, "n_days": 60}}}
        ledger.finish_run(BIG, verdict=verdict, summary={"factors": listed}, scores=test)
        small = _run(
            SMALL,
            config={"u": 20, "run": {"wanted": 20, "rounds": 9, "seed": 6}, "gates": {"min_rank_ic": 0.02}},
            seed=6,
        )
        ledger.start_run(small)
        commit(ledger, small, 1, 30)
        empty = {"status": "nothing found", "headline": "nothing found", "holding": []}
        # A figure of the test in a run that never opened it would be a fault elsewhere; here it must stay unseen.
        leak = {_fingerprint(4): {"test": {"rank_ic": 0.0555}}}
        ledger.finish_run(
            SMALL,
            verdict=empty
            | {"pool": leak[_fingerprint(4)], "wide": {"valid": {"rank_ic": 0.02}, **leak[_fingerprint(4)]}},
            summary={},
            scores=leak,
        )
        live = _run(LIVE)
        ledger.start_run(live, start=known, steps=steps)
        commit(ledger, live, 1, 25)


def commit(ledger: Ledger, run: RunRecord, number: int, count: int) -> None:
    """One round, as mining writes it."""
    records = [
        CandidateRecord(
            position=k,
            text=f"RANK(TS_MEAN(CLOSE, {k + 2})) + {number}",
            canonical=f"RANK(TS_MEAN(CLOSE, {k + 2})) + {number}",
            fingerprint=_fingerprint(number * 1000 + k if k != 4 else 4 + (number - 1) * 1000),
            proposer="evolve",
            gate=None if k == 4 else "training",
            admitted=k == 4,
            scores={"train": {"rank_ic": 0.01 + 0.01 * number}},
            seconds=0.02,
        )
        for k in range(count)
    ]
    steps = [ChainStep(records[4].fingerprint, "extend", "s" * 32, 0, 0.01 + 0.01 * number)]
    state = {"pool": {"rank_ic": 0.011 * number}, "tokens": 0, "cost": 0.0}
    ledger.commit_round(run, number, records, exchange=ExchangeRecord(), steps=steps, state=state)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("dashboard") / "ledger.sqlite"
    fill(path)
    return path


@pytest.fixture(scope="module")
def store(place):
    with ReadOnlyLedger.open(place) as opened:
        yield opened


# Reading


def test_the_database_itself_refuses_to_be_written(store):
    with pytest.raises(StoreError, match="for reading only"):
        store.finish_run(LIVE, verdict={}, summary={}, scores={})
    with pytest.raises(StoreError, match="readonly database"), store.transaction() as c:
        c.execute(schema.runs.update().values(status="gone"))


def test_a_reader_never_holds_up_a_mine_and_sees_whole_rounds(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger, ReadOnlyLedger.open(path) as reader:
        ledger.start_run(_run(LIVE))
        count = sa.select(sa.func.count()).select_from(schema.candidates)
        with reader.transaction() as c:
            assert c.execute(count).scalar() == 0
            writer = threading.Thread(target=commit, args=(ledger, _run(LIVE), 1, 10))
            writer.start()
            writer.join(20)
            assert not writer.is_alive()  # it did not wait for the reader
            assert c.execute(count).scalar() == 0
        with reader.transaction() as c:
            assert c.execute(count).scalar() == 10


def test_a_folder_that_cannot_be_written_is_read_all_the_same(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    fill(path, 100)
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA journal_mode=DELETE")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with ReadOnlyLedger.open(path) as reader:
        assert [r.id for r in Runs(reader).all()] == [LIVE, SMALL, BIG]
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_what_a_killed_mine_left_behind_is_read(tmp_path):
    path = tmp_path / "ledger.sqlite"
    fill(path, 100)
    with closing(sqlite3.connect(path)) as open_still:
        open_still.execute("SELECT count(*) FROM runs").fetchone()  # keeps the log from being folded into the file
        with Ledger.open(path) as ledger:
            commit(ledger, _run(LIVE), 2, 25)
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            (killed / name).write_bytes((tmp_path / name).read_bytes())
    assert (killed / "ledger.sqlite-wal").stat().st_size > 0
    with ReadOnlyLedger.open(killed / "ledger.sqlite") as reader:
        assert Runs(reader).get(LIVE).totals.proposed == 50


def test_what_is_no_ledger_of_today_is_refused(tmp_path):
    def refused(path, words):
        with pytest.raises(StoreError, match=words):
            ReadOnlyLedger.open(path)

    refused(tmp_path / "gone.sqlite", "gone.sqlite: there is no such file")
    refused(tmp_path, "it is a folder")
    (tmp_path / "empty.sqlite").touch()
    refused(tmp_path / "empty.sqlite", "the database is empty")
    (tmp_path / "text.sqlite").write_text("a ledger? " * 100)
    refused(tmp_path / "text.sqlite", "not a database")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as c:
        c.execute("CREATE TABLE meta (a)")
    refused(tmp_path / "other.sqlite", "database of something else")
    refused("nonsense://x", "cannot load|Can't load|nonsense")
    path = tmp_path / "old.sqlite"
    Ledger.open(path).close()
    for version, words in (
        ("1", "layout is version 1.*brings it up to date"),
        ("99", "version 99, this program knows"),
    ):
        with closing(sqlite3.connect(path)) as c, c:
            c.execute("UPDATE meta SET value=? WHERE key='version'", (version,))
        refused(path, words)
        with closing(sqlite3.connect(path)) as c:  # looked at, not changed
            assert c.execute("SELECT value FROM meta WHERE key='version'").fetchone() == (version,)


def test_rounds_are_counted_as_the_ledger_counts_them_and_only_once(tmp_path):
    path = tmp_path / "ledger.sqlite"
    fill(path, 6000)
    with ReadOnlyLedger.open(path) as reader, Ledger.open(path) as ledger:
        runs = Runs(reader)
        found = runs.get(BIG)
        assert found.totals.stopped == ledger.gate_counts(BIG)
        assert [r.number for r in found.rounds] == [1, 2, 3]
        assert found.totals.best == max(r["score"] for r in map(_row, range(6000)) if r["gate"] is None)
        rows = curve(found.rounds)
        assert rows[-1] == {
            "tried": 6000,
            "best": found.totals.best,
            "admitted": found.totals.admitted,
            "seconds": pytest.approx(60.0),
        }
        before = runs.get(LIVE)
        # A row of a committed round that changed would be seen only by counting again.
        with ledger.transaction(write=True) as c:
            c.execute(schema.candidates.update().where(schema.candidates.c.run_id == LIVE).values(gate="parse"))
        commit(ledger, _run(LIVE), 2, 25)
        after = runs.get(LIVE)
        assert after.rounds[:1] == before.rounds
        assert after.totals == totals([*before.rounds, after.rounds[1]])
        assert (after.committed, after.pool_valid) == (2, 0.022)
        assert Runs(reader).get(LIVE).totals.stopped == ledger.gate_counts(LIVE)
        assert runs.all() == [runs.get(r) for r in (LIVE, SMALL, BIG)]
        commit(ledger, _run(LIVE), 3, 25)
        assert [r.committed for r in runs.all()] == [3, 1, 3]


def test_runs_tell_of_the_test_only_what_they_opened(store):
    big, small = Runs(store).get(BIG), Runs(store).get(SMALL)
    assert (big.pool_test, big.control_valid, big.holding) == (0.0291, 0.004, 1)
    assert small.pool_test is None
    assert big.wide_text == "+0.0410, test +0.0376"
    assert small.wide_text == "+0.0200"
    assert factor.by_fingerprint(store, BIG, _fingerprint(4)).scores["test"] == {"rank_ic": 0.0777, "n_days": 60}
    closed = factor.by_fingerprint(store, SMALL, _fingerprint(4))
    assert "test" not in closed.scores
    assert not closed.test_opened
    assert not factor.by_fingerprint(store, BIG, _fingerprint(54)).scores.get("test")


def test_a_factor_is_shown_in_its_direction_with_its_kin(store):
    found = factor.by_fingerprint(store, BIG, _fingerprint(54))
    row = _row(54)
    assert (found.turned, found.score) == (True, row["score"])
    assert (found.expression, found.text) == (f"-({row['text']})", row["text"])
    assert found.scores["train"]["rank_ic"] == row["score"]
    assert found.scores["train"]["turnover"] == row["scores"]["train"]["turnover"]
    assert [k.fingerprint for k in found.path] == ["s" * 32, _fingerprint(4), _fingerprint(54)]
    parent = factor.by_fingerprint(store, BIG, _fingerprint(4))
    assert [k.fingerprint for k in parent.children] == [_fingerprint(52), _fingerprint(54)]
    assert parent.verdict == {"holds": True, "valid_t": 3.25}
    start = factor.by_fingerprint(store, BIG, "s" * 32)
    assert (start.fate, start.scores, [k.fingerprint for k in start.children]) == (
        "known before",
        {},
        [_fingerprint(4)],
    )
    with pytest.raises(StoreError, match="has no factor"):
        factor.by_fingerprint(store, BIG, "nobody")
    with pytest.raises(StoreError, match="no run '20260101T000000-bug'; did you mean 20260101T000000-big"):
        Runs(store).get("20260101T000000-bug")


def test_settings_that_differ(store):
    runs = [Runs(store).get(r) for r in (BIG, SMALL)]
    assert differing_settings(runs) == {"gates.min_rank_ic": (0.01, 0.02), "run.seed": (5, 6)}


# The table


def _shown(row: dict) -> dict:
    """What the table has of a row, by an independent way."""
    scores, sign = row["scores"], row["sign"]
    turned = {s: sign * f["rank_ic"] for s, f in scores.items()}
    return {
        "round": row["round"],
        "train": row["score"],
        "train_t": sign * scores["train"]["rank_ic_t"] if scores else None,
        "valid": turned.get("valid"),
        "turnover": scores["train"]["turnover"] if scores else None,
        "nodes": row["nodes"],
        "fate": row["gate"] or "admitted",
        "expression": (f"-({row['text']})" if sign == -1 and row["canonical"] else row["text"])[:400],
        "origin": row["origin"],
        "proposer": row["proposer"],
        "hypothesis": row["hypothesis"][:400],
        "reason": row["reason"][:400],
    }


RECORDED = [_row(i)["canonical"] or _row(i)["text"] for i in range(MANY)]
TABLE = [_shown(_row(i)) | {"i": i} for i in range(MANY)]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, lambda r: True),
        ({"fate": {"type": "equals", "filter": "Admitted"}}, lambda r: r["fate"] == "admitted"),
        ({"fate": {"type": "notContains", "filter": "ing"}}, lambda r: "ing" not in r["fate"]),
        ({"valid": {"type": "greaterThan", "filter": 0.03}}, lambda r: r["valid"] is not None and r["valid"] > 0.03),
        ({"train": {"type": "blank"}}, lambda r: r["train"] is None),
        ({"hypothesis": {"type": "notBlank"}}, lambda r: bool(r["hypothesis"])),
        (
            {
                "nodes": {"type": "inRange", "filter": 3, "filterTo": 5},
                "origin": {"type": "startsWith", "filter": "MUT"},
            },
            lambda r: 3 <= r["nodes"] <= 5 and r["origin"] == "mutation",
        ),
        (
            {
                "nodes": {
                    "operator": "OR",
                    "conditions": [{"type": "equals", "filter": 7}, {"type": "lessThan", "filter": 2}],
                }
            },
            lambda r: r["nodes"] == 7 or r["nodes"] < 2,
        ),
        # What SQL would take as a pattern is text.
        ({"expression": {"type": "contains", "filter": "%"}}, lambda r: False),
        ({"expression": {"type": "contains", "filter": "<script>alert('boo')"}}, lambda r: r["i"] == 1),
    ],
)
def test_filters_keep_what_they_say(store, filters, kept):
    found = candidates.page(store, BIG, end=500, sort=[{"colId": "train", "sort": "desc"}], filters=filters)
    wanted = [r for r in TABLE if kept(r)]
    wanted.sort(key=lambda r: (r["train"] is None, -(r["train"] or 0.0), r["i"]))
    assert found["total"] == len(wanted)
    got = [{k: v for k, v in r.items() if k != "id"} for r in found["rows"]]
    assert got == [{k: v for k, v in r.items() if k != "i"} for r in wanted[:500]]


@pytest.mark.parametrize("column", ["train", "valid", "turnover", "expression", "fate", "round"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_sorting_puts_what_is_missing_last(store, column, direction):
    rows = candidates.page(store, BIG, start=MANY - 200, end=MANY, sort=[{"colId": column, "sort": direction}])["rows"]
    known = [r for r in TABLE if r[column] is not None]
    # The database sorts what it holds, and texts of older runs are as they were proposed.
    known.sort(key=lambda r: RECORDED[r["i"]] if column == "expression" else r[column], reverse=direction == "desc")
    wanted = [r[column] for r in known] + [None] * (MANY - len(known))
    assert [r[column] for r in rows] == wanted[-200:]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"filters": {"secret": {"type": "equals", "filter": 1}}}, "no column 'secret'"),
        ({"sort": [{"colId": "id; DROP TABLE runs"}]}, "no column"),
        ({"filters": {"nodes": {"type": "equals", "filter": "7 OR 1=1"}}}, "not a number"),
        ({"filters": {"nodes": {"type": "contains", "filter": 7}}}, "no filter 'contains'"),
        ({"filters": {"fate": 7}}, "not an object"),
        ({"filters": {"nodes": {"type": "equals", "filter": 10**20}}}, "not a number"),
        ({"filters": {"nodes": {"type": "equals", "filter": float("nan")}}}, "not a number"),
        ({"filters": {"nodes": {"type": "inRange", "filter": 1}}}, "not a number"),
        ({"filters": {"nodes": {"conditions": 5}}}, "conditions are a list"),
        ({"filters": {"nodes": {"conditions": [{"conditions": [{"type": "blank"}]}]}}}, "simple filters"),
        ({"filters": {"nodes": {"conditions": [{"type": "blank"}] * 11}}}, "at most 10"),
        ({"filters": {"expression": {"type": "contains", "filter": {"a": 1}}}}, "not a text"),
        ({"filters": {"expression": {"type": "contains", "filter": "\ud800"}}}, "not a text"),
        ({"filters": {"expression": {"type": "contains", "filter": "a\0"}}}, "not a text"),
        ({"filters": {"expression": {"type": "contains", "filter": "%" * 401}}}, "not a text"),
        ({"sort": [7]}, "list of objects"),
        ({"sort": [None]}, "list of objects"),
        ({"sort": [{"colId": "train", "sort": {}}]}, "list of objects"),
        ({"sort": [{"colId": "train"}] * 50}, "sorted by 50 columns"),
        ({"start": 0, "end": 100_000}, "at most 500"),
        ({"start": -1, "end": 10}, "at most 500"),
        ({"start": 2**63, "end": 2**63 + 1}, "at most 500"),
    ],
)
def test_what_makes_no_sense_is_refused(store, more, words):
    with pytest.raises(ConfigError, match=words):
        candidates.page(store, BIG, **more)


def test_on_postgresql():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (initdb is not found)")
    server = Server(programs)
    try:
        server.start()
        url = server.create("dashboard")
        fill(url, 300)
        with ReadOnlyLedger.open(url) as reader:
            runs = Runs(reader)
            assert [r.id for r in runs.all()] == [LIVE, SMALL, BIG]
            assert (runs.get(BIG).pool_valid, runs.get(BIG).totals.proposed) == (0.031, 300)
            filters = {
                "valid": {"type": "greaterThan", "filter": 0.001},
                "fate": {"type": "contains", "filter": "TRAIN"},
            }
            found = candidates.page(reader, BIG, sort=[{"colId": "valid", "sort": "desc"}], filters=filters)
            wanted = [r for r in TABLE[:300] if r["fate"] == "training" and r["valid"] > 0.001]
            wanted.sort(key=lambda r: -r["valid"])
            assert [r["valid"] for r in found["rows"]] == pytest.approx([r["valid"] for r in wanted])
            assert factor.by_fingerprint(reader, BIG, _fingerprint(54)).path[0].fingerprint == "s" * 32
            with pytest.raises(StoreError, match="read-only transaction"), reader.transaction() as c:
                c.execute(schema.runs.update().values(status="gone"))
    finally:
        server.remove()


# The command


def test_errors_of_the_command(place, tmp_path, capsys, monkeypatch):
    from fama_fast.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["dashboard"]) == 2
    assert "runs/ledger.sqlite: there is no such file" in capsys.readouterr().err
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["dashboard", "--ledger", str(place), "--port", port]) == 2
        assert f"port {port} of 127.0.0.1 is taken" in capsys.readouterr().err
    assert main(["dashboard", "--ledger", str(place), "--host", "192.0.2.1"]) == 2
    assert "cannot listen" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "altair", None)
    assert main(["dashboard", "--ledger", str(place)]) == 2
    assert 'needs the package altair: pip install "fama_fast[dashboard]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _served(*arguments: str, folder) -> tuple[subprocess.Popen, str]:
    """The real command, and the address that it tells."""
    quiet = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}  # NiceGUI behaves otherwise under it
    command = [sys.executable, "-m", "fama_fast", "dashboard", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=quiet, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        if found:
            return process, found.group()
    pytest.fail(f"the dashboard ended: {''.join(lines)}")


@pytest.fixture(scope="module")
def address(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("from-here")
    process, address = _served("--ledger", str(place), folder=folder)
    try:
        yield address
    finally:
        process.send_signal(2)
        told = process.communicate(timeout=30)[1]
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert "ERROR" not in told
    assert list(folder.iterdir()) == []  # it leaves nothing where it was started


def _asked(url: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)


def test_other_names_and_other_hosts_are_refused(address):
    with _asked(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
    with pytest.raises(urllib.error.HTTPError, match="400"):
        _asked(address, Host="rebound.example:80")


def test_rows_are_served_as_json_and_nonsense_is_told(address):
    url = f"{address}dashboard/run/{BIG}/candidates"
    with _asked(f"{url}?start=0&end=3") as answer:
        found = json.load(answer)
    assert (found["total"], len(found["rows"])) == (MANY, 3)
    for query, words in (("sort=7", "not a JSON list"), ("filters=%7B", "is not JSON"), ("end=9999", "at most 500")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            _asked(f"{url}?{query}")
        assert refused.value.code == 400
        assert words in json.load(refused.value)["error"]


NONSENSE = [
    *("start=abc", "start=", "end=1e3", "start=-1", "start=99999999999999999999", "end=%F0%9F%98%80"),
    *("sort=[1]", "sort=[null]", "sort={}", "sort=%ff", "sort=" + "[" * 5000, "sort=" + "[" * 5000 + "]" * 5000),
    *('filters={"train":5}', 'filters={"train":{"conditions":5}}', 'filters={"train":{"type":"equals","filter":NaN}}'),
    'filters={"train":{"type":"equals","filter":' + "9" * 400 + "}}",
    'filters={"train":{"type":"equals","filter":' + "9" * 9000 + "}}",
    'filters={"expression":{"type":"contains","filter":"\\ud800"}}',
    *("strat=0", "start=0&start=1", "%00=1"),
]


@pytest.mark.parametrize("query", NONSENSE, ids=lambda q: q[:40])
def test_nonsense_is_asked_wrongly_and_no_fault_of_the_server(address, query):
    with pytest.raises(urllib.error.HTTPError) as refused:
        _asked(f"{address}dashboard/run/{BIG}/candidates?{quote(query, safe='=&%')}")
    assert refused.value.code == 400
    assert json.load(refused.value)["error"]


@pytest.mark.parametrize(
    ("page", "code", "words"),
    [
        ("compare", 400, "name two to 8 runs"),
        (f"compare?run={BIG}", 400, "name two to 8 runs"),
        (f"compare?run={BIG}&run=%ff", 404, "no run"),
        ("compare?" + "run=a&" * 900, 400, "name two to 8 runs"),
        ("run/nosuch", 404, "no run"),
        ("run/%00%ff", 404, "no run"),
        (f"run/{BIG}/candidate/999999999", 404, "has no candidate"),
        (f"run/{BIG}/candidate/99999999999999999999999", 404, "has no candidate"),
        (f"run/{BIG}/candidate/x", 404, "row_id"),
        (f"run/{BIG}/factor/%ED%A0%80", 404, "has no factor"),
        ("dashboard/run/nosuch/candidates", 404, "no run"),
    ],
)
def test_pages_that_are_not_there_say_so_in_their_status(address, page, code, words):
    with pytest.raises(urllib.error.HTTPError) as refused:
        _asked(f"{address}{page}")
    assert refused.value.code == code
    assert words in refused.value.read().decode()


def _handshake(address: str, **headers: str) -> int:
    """The status of a websocket's opening, as a browser would write it."""
    host = address.removeprefix("http://").rstrip("/")
    name, _, port = host.partition(":")
    lines = [
        "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1",
        *(f"{k}: {v}" for k, v in {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade"}.items()),
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    with closing(socket.create_connection((name, int(port)), timeout=30)) as c:
        c.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(c.recv(200).split()[1])


FOREIGN = [
    "http://evil.example",
    "https://evil.example:{port}",
    "null",
    "http://127.0.0.1:1",
    "http://127.0.0.1",
    "x",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_pages_of_other_origins_may_not_ask(address, origin):
    theirs = origin.format(port=address.rstrip("/").rpartition(":")[2])
    assert _handshake(address, Origin=theirs) == 403
    polling = "_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for page in ("", polling, f"dashboard/run/{BIG}/candidates"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            _asked(f"{address}{page}", Origin=theirs)


def test_the_dashboards_own_pages_and_programs_may_ask(address):
    own = address.rstrip("/")
    assert _handshake(address, Origin=own) == 101
    assert _handshake(address) == 101
    for headers in (
        {"Origin": own},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link that was followed
    ):
        with _asked(address, **headers) as answer:
            assert answer.status == 200
    for site in ("cross-site", "same-site"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            _asked(address, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
    assert _handshake(address, **{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "websocket"}) == 403


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://a.example", "a.example:80", True),
        ("https://a.example:443", "a.example", True),
        ("https://a.example", "A.EXAMPLE", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]:8080", "[::2]:8080", False),
        ("http://a.example:x", "a.example", False),
        ("http://a.example", "", False),
        ("file://", "a.example", False),
    ],
)
def test_an_origin_is_a_host_and_a_port(origin, host, own):
    from starlette.datastructures import Headers

    from fama_fast.dashboard.origin import foreign

    assert foreign(Headers({"origin": origin, "host": host})) is not own


# In a browser


def _sound(heard, address: str) -> None:
    """Nothing wrong was said, nothing was asked of another machine."""
    assert heard.messages == []
    assert heard.requests
    assert [u for u in heard.requests if not u.startswith((address, "data:", "blob:" + address))] == []


def _drawn(page, count: int) -> None:
    page.wait_for_function(
        "n => { const f = [...document.querySelectorAll('.figure')];"
        " return f.length === n && f.every(e => e.dataset.state === 'drawn' && e.querySelector('svg')); }",
        arg=count,
    )


def _column(page, name: str) -> list[str]:
    rows = "[...document.querySelectorAll('.ag-center-cols-container .ag-row')]"
    order = f"{rows}.sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))"
    return page.evaluate(f"{order}.map(r => r.querySelector('[col-id={name}]')?.innerText ?? '')")


@pytest.mark.slow
@needs_browser
def test_runs_are_listed_and_compared(address):
    with browser_page() as (page, heard):
        page.goto(address)
        page.wait_for_selector(".ag-row")
        assert _column(page, "id") == [LIVE, SMALL, BIG]
        assert page.get_by_text("3 runs, 1 of them not finished.").is_visible()
        keep_screenshot(page, "dashboard-runs")
        page.get_by_role("button", name="Compare selected runs").click()
        page.get_by_text("Select two or more runs first").wait_for()
        for i in (1, 2):
            page.locator(
                f".ag-center-cols-container [row-index='{i}'] input, .ag-row[row-index='{i}'] input"
            ).first.click()
        page.get_by_role("button", name="Compare selected runs").click()
        page.wait_for_url("**/compare?*")
        _drawn(page, 1)
        text = page.locator(".page").inner_text()
        assert "min_rank_ic" in text
        assert "+0.0291" in text  # the test that the big run opened
        assert "0.0555" not in text
        assert "not opened" in text
        assert f"found: 1 of 2 holds {HOSTILE}" in text
        keep_screenshot(page, "dashboard-compare")
        _sound(heard, address)
        page.goto(f"{address}compare?run={BIG}")
        assert page.get_by_role("alert").inner_text().startswith("name two to 8 runs")
        page.goto(f"{address}run/nobody")
        assert "no run 'nobody'" in page.get_by_role("alert").inner_text()
        wrong = "error: Failed to load resource: the server responded with a status of"
        assert heard.messages == [f"{wrong} 400 (Bad Request)", f"{wrong} 404 (Not Found)"]


@needs_browser
def test_the_table_of_many_candidates_sorts_filters_and_opens_a_factor_by_keyboard(address):
    with browser_page() as (page, heard):
        page.goto(f"{address}run/{BIG}")
        page.get_by_text(f"{MANY:,} rows").wait_for()
        page.wait_for_selector(".ag-row [col-id=expression] a")
        _drawn(page, 3)
        assert page.locator(".headline").inner_text() == f"found: 1 of 2 holds {HOSTILE}"
        best = sorted((r["train"] for r in TABLE if r["train"] is not None), reverse=True)
        shown = [float(v.replace("−", "-")) for v in _column(page, "train")[:8]]
        assert shown == [round(v, 4) for v in best[:8]]
        keep_screenshot(page, "dashboard-run")
        # Sort by another column, upwards.
        page.locator(".ag-header-cell[col-id=nodes] .ag-header-cell-label").click()
        page.wait_for_function("document.querySelector('[col-id=nodes][aria-sort=ascending]') !== null")
        page.wait_for_function("document.querySelector(\".ag-row[row-index='0'] [col-id=nodes]\").innerText === '1'")
        assert set(_column(page, "nodes")[:8]) == {"1"}
        # Filter: the hostile hypothesis, found by its own text.
        page.locator(".ag-floating-filter input[aria-label*='hypothesis']").fill("<script>alert('boo')")
        page.get_by_text("1 row", exact=True).wait_for()
        page.wait_for_function("document.querySelectorAll('.ag-center-cols-container .ag-row').length === 1")
        assert page.locator(".ag-row script, .ag-row img").count() == 0
        page.locator(".ag-row [col-id=expression]").click(position={"x": 420, "y": 20})
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/run/{BIG}/candidate/*")
        page.get_by_text("It holds.").wait_for()
        text = page.locator(".page").inner_text()
        assert text.count(HOSTILE) == 2  # hypothesis and explanation
        assert "0.0777" in text
        assert "RANK(CLOSE)" in text
        assert page.locator(".page script, .page img").count() == 0
        keep_screenshot(page, "dashboard-factor")
        # By keyboard to a relative: links are in the tab order.
        page.get_by_role("link", name="RANK(CLOSE)").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/factor/ssss*")
        page.get_by_text("known before").first.wait_for()
        _sound(heard, address)


@needs_browser
def test_hostile_texts_on_a_phone_in_the_dark(address):
    with browser_page(width=390, height=800, dark=True) as (page, heard):
        for i, text in ((1, HOSTILE), (2, RIGHT_TO_LEFT)):
            page.goto(f"{address}run/{BIG}/candidate/{i + 1}")
            page.locator(".formula").first.wait_for()
            assert page.locator(".formula").first.inner_text() == text
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.goto(f"{address}run/{BIG}/factor/{_fingerprint(6)}")
        assert page.locator(".words").first.inner_text() == LONG
        page.goto(f"{address}run/{quote(BIG)}")
        page.wait_for_selector(".ag-row a")
        _drawn(page, 3)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(22, 24, 28)"
        keep_screenshot(page, "dashboard-run-phone-dark")
        _sound(heard, address)


_COMMIT = """
import sys
from fama_fast.ledger import ledger as module
from fama_fast.ledger.ledger import Ledger
from tests.unit.report.test_dashboard import LIVE, _run, commit
with Ledger.open(sys.argv[1], create=False) as ledger:
    owner = ledger.get_run(LIVE).owner
    module.this_process = lambda: owner  # the process that began the run, which goes on with it
    commit(ledger, _run(LIVE), int(sys.argv[2]), 25)
"""


@pytest.mark.slow
@needs_browser
def test_a_running_mine_is_followed(address, place):
    with browser_page() as (page, heard):
        page.goto(f"{address}run/{LIVE}")
        page.get_by_text("25 rows").wait_for()
        tiles = page.locator(".tiles").first
        assert "1 of 9" in tiles.inner_text()
        page.locator(".ag-row [col-id=fate]").first.click()
        subprocess.run([sys.executable, "-c", _COMMIT, str(place), "2"], check=True, cwd=ROOT, timeout=120)
        tiles.get_by_text("2 of 9").wait_for()
        page.get_by_text("50 rows").wait_for()
        text = tiles.inner_text()
        assert "+0.0300" in text  # best
        assert "+0.0220" in text  # pool
        assert "50.0" in text  # candidates a second
        # The page was changed, not made again: the focus is where it was.
        assert page.evaluate("document.activeElement.getAttribute('col-id')") == "fate"
        _drawn(page, 3)
        keep_screenshot(page, "dashboard-live")
        # A database that cannot be read is said, and the page goes on when it can be again.
        moved = place.with_name("moved")
        place.rename(moved)
        page.get_by_text("The store cannot be read now").wait_for()
        moved.rename(place)
        page.get_by_text("Not finished: this page follows it").wait_for()
        _sound(heard, address)
