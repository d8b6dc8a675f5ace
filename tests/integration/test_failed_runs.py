"""Runs that fail, wherever: the reason is recorded, what was found is kept, the process ends, resuming ends well."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import yaml

from fama_fast.cli import main
from fama_fast.errors import DataError, ParseError, ProposerError, StoreError
from fama_fast.ledger import ownership, schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.ownership import Heartbeat, is_gone, status_now, this_process, why
from fama_fast.ledger.records import RunRecord
from fama_fast.library import FactorSet
from fama_fast.mining.run import background_writer as behind_module
from fama_fast.mining.run.background_writer import BackgroundWriter
from tests.support.mine import result, start, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTROLLED = """
data:
  simulator:
    symbols: 24
    dates: 260
    seed: 3
    signals: [{expression: "RANK(TS_MEAN(VOLUME, 5)) * -1", rank_ic: 0.25}]
k: 4
l: 2
run: {wanted: 1000, rounds: 3, candidates: 6, patience: 100, seed: 2, threads: 1}
paths: {factor_cache: cache.yaml}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "run.yaml").write_text(CONTROLLED, encoding="utf-8")
    before = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        assert main(["mine", "--config", "run.yaml", "--output", "out.yaml", "-q"]) == ENDED
    finally:
        os.chdir(before)
    document = comparable(folder / "out.yaml")
    # The test was opened, and every part of an ending has run.
    assert document["verdict"]["status"] == "found, but no better than random formulas"
    return document


def comparable(path: Path) -> dict[str, Any]:
    document = result(path)
    document["settings"]["paths"].pop("factor_cache")
    return document


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONTROLLED, encoding="utf-8")
    return tmp_path


ENDED = 1  # the exit code of a run to which nothing happened
MINE = ["mine", "--config", "run.yaml", "--output", "out.yaml", "--json"]


def record() -> RunRecord:
    with Ledger.open("runs/ledger.sqlite", create=False) as ledger:
        return ledger.get_run("last")


def fails(monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException, times: int = 1) -> None:
    """From its call number `times` on, what is at `place` raises."""
    module, _, name = place.rpartition(".")
    owner: Any = sys.modules.get(module)
    if owner is None:
        parent, _, kind = module.rpartition(".")
        owner = getattr(sys.modules[parent], kind)
    real, calls = getattr(owner, name), [0]

    def failing(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] >= times:
            raise error
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, failing)


COMMIT = "fama_fast.ledger.ledger.Ledger.commit_round"  # in the writer's thread
SEARCH = [  # what raises, at which call, what, and the rounds that are kept
    (COMMIT, 1, StoreError, 0),
    (COMMIT, 2, RuntimeError, 1),
    (COMMIT, 3, MemoryError, 2),
    (COMMIT, 2, SystemExit, 1),
    (COMMIT, 3, KeyboardInterrupt, 2),
    ("fama_fast.mining.run.contexts.choose_contexts", 2, RuntimeError, 1),
    ("fama_fast.mining.run.steps.pass_gates", 1, MemoryError, 0),
    ("fama_fast.mining.run.steps.pass_gates", 3, KeyboardInterrupt, 2),
    ("fama_fast.mining.run.steps.update_pool", 2, SystemExit, 1),
    ("fama_fast.mining.proposers.kinds.evolve.EvolveProposer.propose", 2, ProposerError, 1),
]
END = [  # what raises, what, and what that is a part of
    ("fama_fast.ledger.ledger.Ledger.candidates", StoreError, "the verdict"),
    ("fama_fast.mining.run.ending.earlier_runs", SystemExit, "the verdict"),
    ("fama_fast.mining.run.ending.judge_factors", MemoryError, "the verdict"),
    ("fama_fast.mining.run.ending.run_controls", ParseError, "the control"),
    ("fama_fast.mining.run.ending.run_controls", KeyboardInterrupt, "the control"),
    ("fama_fast.mining.measure.market.Market.open_test", DataError, "the test"),
    ("fama_fast.mining.run.ending.conclude", RuntimeError, "the verdict"),
    ("fama_fast.ledger.ledger.Ledger.finish_run", StoreError, "the record of the verdict"),
]


@pytest.mark.parametrize(("place", "times", "kind", "rounds"), SEARCH)
def test_a_search_that_fails_is_recorded_and_goes_on_as_if_it_had_not(
    here: Path,
    whole: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    place: str,
    times: int,
    kind: type[BaseException],
    rounds: int,
) -> None:
    error = kind("broken")
    with pytest.MonkeyPatch.context() as patch:
        fails(patch, place, error, times)
        code = main(MINE)
    stopped = isinstance(error, KeyboardInterrupt)
    assert code == (130 if stopped else 2)
    found = record()
    assert (found.status, found.rounds, found.owner) == ("interrupted" if stopped else "failed", rounds, None)
    assert found.reason is not None
    assert "stopped at once" in found.reason if stopped else "broken" in found.reason
    out, err = capsys.readouterr()
    assert out.splitlines(), err
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["run"], last["exit_code"]) == ("error", found.id, code)
    assert last["resume"] == f"fama-fast mine --resume {found.id}"
    assert ("Traceback" in err) == isinstance(error, RuntimeError)
    if not isinstance(error, (SystemExit, KeyboardInterrupt)):
        assert "broken" in last["message"]
        assert f"--resume {found.id}" in err
    assert not (here / "out.yaml").exists()
    assert main(["runs", "list"]) == 0
    assert f"\t{found.status}\t{rounds}\t" in capsys.readouterr().out
    assert main(["mine", "--resume", "last", "--output", "out.yaml", "-q"]) == ENDED
    assert comparable(here / "out.yaml") == whole
    assert status_now(record()) == "finished"


@pytest.mark.parametrize(("place", "kind", "what"), END)
def test_what_fails_after_the_search_never_costs_the_search(
    here: Path,
    whole: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    place: str,
    kind: type[BaseException],
    what: str,
) -> None:
    error = kind("broken")
    with pytest.MonkeyPatch.context() as patch:
        fails(patch, place, error)
        code = main(MINE)
    stopped = isinstance(error, KeyboardInterrupt)
    assert code == (130 if stopped else 2)
    found = record()
    assert (found.status, found.rounds) == ("interrupted" if stopped else "failed", 3)
    assert found.reason is not None
    assert found.reason.startswith(f"{what}: ")
    document = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
    assert document["verdict"]["status"] == "not judged"
    kept = [f["canonical"] for f in document["factors"]]
    assert kept == [f["canonical"] for f in whole["factors"]]
    err = capsys.readouterr().err
    if not isinstance(error, (SystemExit, KeyboardInterrupt)):
        new = f"{len(kept)} new factors in the ledger and in out.yaml"
        assert f"{what}: " in err
        assert f"the search is over and kept, {new}, to go on: fama-fast mine --resume {found.id}" in err
    assert main(["runs", "export", "last", "--output", "set.yaml"]) == 0
    assert [f.canonical for f in FactorSet.from_yaml(here / "set.yaml")] == kept
    assert main(["mine", "--resume", "last", "--output", "out.yaml", "-q"]) == ENDED
    assert comparable(here / "out.yaml") == whole


def test_a_control_that_fails_can_be_left_out(
    here: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, "fama_fast.mining.run.ending.run_controls", StoreError("broken"))
    assert main(MINE) == 2
    assert "'control: {random: false, shuffle: 0}' in the configuration to go on without" in capsys.readouterr().err
    (here / "run.yaml").write_text(CONTROLLED + "control: {random: false}\n", encoding="utf-8")
    assert main(["mine", "--config", "run.yaml", "--resume", "last", "--output", "out.yaml"]) == 0
    document = comparable(here / "out.yaml")
    assert document["factors"] == whole["factors"]
    assert document["verdict"]["control"] == {}
    assert document["settings"]["control"]["random"] is False


def test_an_output_that_cannot_be_written_costs_neither_the_verdict_nor_the_ledger(
    here: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from fama_fast.errors import OutputError

    with pytest.MonkeyPatch.context() as patch:
        for when in ("loop", "mine"):  # after the search, and at the end
            full = OutputError("cannot write out.yaml: no space left")
            fails(patch, f"fama_fast.mining.run.{when}.write_document", full)
        assert main(MINE) == 2
    found = record()
    assert found.status == "finished"
    out, err = capsys.readouterr()
    assert "warning: cannot write out.yaml: no space left; it is tried again when the run ends" in err
    assert f"the run is kept in the ledger, and fama-fast mine --resume {found.id} --output FILE writes" in err
    assert json.loads(out.splitlines()[-1])["event"] == "error"
    assert main(["mine", "--resume", found.id, "--output", "again.yaml"]) == ENDED
    assert comparable(here / "again.yaml") == whole


def test_a_factor_cache_that_cannot_be_written_costs_neither_the_verdict_nor_the_output(
    here: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, "fama_fast.mining.run.ending.save_factors", StoreError("cache.yaml: broken"))
    assert main(MINE) == 2
    assert record().status == "finished"
    assert comparable(here / "out.yaml") == whole
    err = capsys.readouterr().err
    assert "cache.yaml: broken; the run is finished and kept, but the factor cache lacks its factors" in err


@pytest.mark.parametrize(
    "options",
    [["--rounds", "0"], ["--roundz", "1"], ["--rounds", "x"], ["--data", "no.parquet"], ["--resume", "none"]],
)
def test_whatever_is_wrong_before_the_run_ends_in_an_error_object_too(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["mine", "--json", *options]) == 2
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    told = json.loads(line)
    assert (told["event"], told["run"], told["exit_code"], told["resume"]) == ("error", "", 2, None)
    assert told["message"]
    assert told["message"].splitlines()[0] in err
    assert not (here / "runs").exists()


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure_that_hangs(tmp_path: Path) -> None:
    write_config(tmp_path, rounds=300)
    process = start("mine", "--config", "run.yaml", folder=tmp_path)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("round 1/"):
        pass
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 141
    with Ledger.open(tmp_path / "runs" / "ledger.sqlite", create=False) as ledger:
        assert ledger.get_run("last").status == "failed"


# Processes that say nothing any more


def test_a_killed_run_is_lost_not_running_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, rounds=300)
    process = start("mine", "--config", "run.yaml", folder=tmp_path)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("round 1/"):
        pass
    process.send_signal(signal.SIGSTOP)  # it is there, but does not get to its end before it is killed
    assert main(["runs", "list"]) == 0
    assert "\trunning\t" in capsys.readouterr().out
    assert main(["mine", "--resume", "last"]) == 2
    assert f"is being worked on by process {process.pid} on " in capsys.readouterr().err
    process.kill()
    # Not waited for yet: it becomes a zombie, and is as gone as can be.
    deadline, out = time.monotonic() + 30, ""
    while "\tlost\t" not in out:
        assert time.monotonic() < deadline, out
        assert main(["runs", "list"]) == 0
        out = capsys.readouterr().out
    assert f"process {process.pid} on " in out
    assert "ended without a word" in out
    process.communicate()
    assert main(["runs", "show", "last"]) == 0
    shown = capsys.readouterr().out
    assert ": lost, " in shown
    assert "not finished: go on with --resume" in shown
    assert main(["mine", "--resume", "last", "--rounds", "2", "-q"]) in (0, 1)
    assert status_now(record()) == "finished"


BLOCKED = """
import sys, threading
from fama_fast.cli import command
from fama_fast.mining.run import background_writer as behind
from fama_fast.ledger.ledger import Ledger
behind.STOPPING = behind._LOOK = 0.2
def commit(*arguments, **named):
    print("blocked", flush=True)
    threading.Event().wait()
Ledger.commit_round = commit
sys.argv = ["fama-fast", "mine", "--config", "run.yaml"]
command()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_writer_that_never_comes_back_does_not_keep_the_process(tmp_path: Path, number: signal.Signals) -> None:
    write_config(tmp_path)
    process = start(folder=tmp_path, code=BLOCKED)
    assert process.stdout is not None
    while process.stdout.readline() != "blocked\n":
        pass
    process.send_signal(number)
    assert process.stderr is not None
    while not process.stderr.readline().startswith("finishing the batch at hand"):
        pass
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


STUCK = """
import hashlib, sys
from fama_fast.cli import command, signals
from fama_fast.mining.run import steps
signals.GRACE = 0.5
def pass_gates(*arguments, **named):
    print("stuck", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # compiled code that hears of no signal
steps.pass_gates = pass_gates
sys.argv = ["fama-fast", "mine", "--config", "run.yaml"]
command()
"""


def test_compiled_code_that_does_not_come_back_does_not_keep_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)
    process = start(folder=tmp_path, code=STUCK)
    assert process.stdout is not None
    while process.stdout.readline() != "stuck\n":
        pass
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # so that the two are not taken for one
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the program does not stop, and is ended; committed rounds are kept" in err
    assert main(["runs", "list"]) == 0
    assert "\tlost\t0\t" in capsys.readouterr().out


def _owned(**changes: Any) -> RunRecord:
    owner = this_process() | changes
    return RunRecord("a", "here", "0" * 32, 1, "evolve", {}, "1.0", owner=owner, seen_at="2026-01-01T00:00:00+00:00")


def test_a_process_is_known_by_more_than_its_number() -> None:
    assert status_now(_owned()) == "running"
    assert status_now(_owned(began="1")) == "lost"  # the number was given to another
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    assert status_now(_owned(pid=other.pid)) == "lost"
    # Another machine, boot or container: nobody has heard of it since January.
    for changes in ({"host": "elsewhere"}, {"boot": "another"}, {"namespace": "pid:[1]"}):
        assert status_now(_owned(**changes)) == "lost"
        heard = RunRecord(**{**vars(_owned(**changes)), "seen_at": schema_now()})
        assert status_now(heard) == "running"
    assert "process 5 on elsewhere ended without a word" in why(_owned(host="elsewhere", pid=5))


def schema_now() -> str:
    from fama_fast.ledger.records import now

    return now()


def test_where_there_is_no_proc_the_system_is_asked_for_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    monkeypatch.setattr(ownership, "_machine", lambda _pid: {"boot": "", "namespace": ""})
    monkeypatch.setattr(ownership, "_began", lambda _pid: "")
    assert is_gone(this_process() | {"pid": other.pid}, schema_now())
    assert not is_gone(this_process(), schema_now())


def test_a_run_of_a_version_that_recorded_no_process_is_unfinished() -> None:
    old = RunRecord("a", "here", "0" * 32, 1, "evolve", {}, "0.9")
    assert status_now(old) == "unfinished"
    assert "version 0.9" in why(old)


def test_a_running_run_is_heard_of(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        ledger.start_run(RunRecord("a", "here", "0" * 32, 1, "evolve", {}, "1.0"))
        with ledger.transaction(write=True) as c:
            c.execute(schema.runs.update().values(seen_at="2026-01-01T00:00:00+00:00"))
        with Heartbeat(lambda: ledger.beat("a"), seconds=0.01):
            deadline = time.monotonic() + 30
            while (ledger.get_run("a").seen_at or "") < "2026-01-02":
                assert time.monotonic() < deadline


def test_a_heart_that_cannot_beat_is_no_failure() -> None:
    calls = []

    def beat() -> None:
        calls.append(1)
        raise StoreError("gone")

    with Heartbeat(beat, seconds=0.001):
        deadline = time.monotonic() + 30
        while len(calls) < 3:
            assert time.monotonic() < deadline


def test_a_run_that_another_process_took_over_is_neither_written_nor_left_nor_finished(tmp_path: Path) -> None:
    from fama_fast.ledger.records import ExchangeRecord

    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        mine = RunRecord("a", "here", "0" * 32, 1, "evolve", {}, "1.0")
        ledger.start_run(mine)
        other = this_process() | {"host": "elsewhere"}
        with ledger.transaction(write=True) as c:
            c.execute(sa.update(schema.runs).values(owner=other, seen_at=schema_now()))
        with pytest.raises(StoreError, match=r"is being worked on by process .* on elsewhere"):
            ledger.commit_round(mine, 1, [], exchange=ExchangeRecord(), state={})
        with pytest.raises(StoreError, match="is being worked on by"):
            ledger.claim_run(mine)
        with pytest.raises(StoreError, match="is being worked on by"):
            ledger.finish_run("a", verdict={}, summary={}, scores={})
        ledger.leave_run("a", "failed", "my fault")
        found = ledger.get_run("a")
        assert (found.status, found.rounds, found.owner, found.reason) == ("running", 0, other, None)


# The writer


def _failing_loop(write: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
    with BackgroundWriter() as behind:
        behind.submit(lambda: write() and None, lambda: then() and None)
        raise ProposerError("no words")


def test_a_loop_that_fails_still_writes_the_round_before_and_keeps_its_own_error() -> None:
    done: list[str] = []
    with pytest.raises(ProposerError, match="no words"):
        _failing_loop(lambda: done.append("written"), lambda: done.append("said"))
    assert done == ["written", "said"]


def test_what_both_the_loop_and_its_writer_raise_is_said() -> None:
    def write() -> None:
        raise StoreError("the disk is full")

    with pytest.raises(ProposerError, match="no words") as caught:
        _failing_loop(write)
    assert caught.value.__notes__ == ["and the round before could not be written: the disk is full"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError(), TimeoutError("of the writer")])
def test_whatever_the_writer_raises_is_raised_where_it_is_waited_for(error: BaseException) -> None:
    def write() -> None:
        raise error

    behind = BackgroundWriter()
    behind.submit(write, lambda: None)
    with pytest.raises(type(error)):
        behind.finish()


def test_a_writer_that_hangs_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(behind_module, "LEAVING", 0.05)
    monkeypatch.setattr(behind_module, "_LOOK", 0.01)
    over = threading.Event()
    with pytest.raises(ProposerError, match="no words") as caught:
        _failing_loop(lambda: over.wait(60))
    over.set()
    (said,) = caught.value.__notes__
    assert "the round before could not be written: the last round was not written within 0 seconds" in said


def test_a_run_that_is_asked_to_stop_waits_less_long_for_a_writer_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(behind_module, "LEAVING", 0.05)
    monkeypatch.setattr(behind_module, "_LOOK", 0.01)
    over, asked = threading.Event(), []
    behind = BackgroundWriter(lambda: bool(asked))
    behind.submit(lambda: over.wait(60) and None, lambda: None)
    behind.begin()
    asked.append("SIGTERM")
    with pytest.raises(StoreError, match="the ledger hangs"):
        behind.finish()
    over.set()


def test_without_a_thread_to_spare_the_round_is_written_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[str] = []
    with BackgroundWriter() as behind:
        behind.submit(lambda: done.append("written"), lambda: done.append("said"))
    assert done == ["written", "said"]


def test_a_full_disk_at_the_verdict_is_said_in_words(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full: Callable[[], OSError] = lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "scratch")  # noqa: E731
    fails(monkeypatch, "fama_fast.mining.run.ending.run_controls", full())
    assert main(MINE) == 2
    err = capsys.readouterr().err
    assert "error: cannot read or write: scratch: No space left on device" in err
    assert "the search is over and kept" in err
    assert "Traceback" not in err
    assert record().reason == "the control: OSError: [Errno 28] No space left on device: 'scratch'"
