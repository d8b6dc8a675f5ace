"""Runs that are killed, stopped, or lose what they stand on: nothing committed is lost, and every refusal is clear."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from fama_fast.ledger.ledger import Ledger
from tests.support.mine import ROOT, result, run, start, write_config

KILLS = int(os.environ.get("FAMA_KILLS", "10"))
LLM_KILLS = int(os.environ.get("FAMA_LLM_KILLS", "4"))


def attack(folder: Path, kills: int, *options: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_harness", str(folder), "--kills", str(kills), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_as_if_it_never_was(tmp_path: Path) -> None:
    done = attack(tmp_path, KILLS)
    assert done["kills"] >= KILLS
    assert done["kills with rounds committed"] > 0
    assert done["runs ended"] > 0


@pytest.mark.slow
def test_an_answer_that_was_paid_for_is_never_asked_for_again(tmp_path: Path) -> None:
    done = attack(tmp_path, LLM_KILLS, "--llm")
    assert done["kills"] >= LLM_KILLS
    assert done["runs ended"] > 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = write_config(tmp_path_factory.mktemp("whole")).parent
    done = run("mine", "--config", "run.yaml", "--output", "out.yaml", "-q", folder=folder)
    assert done.returncode in (0, 1), done.stderr
    return folder


def wait_for(stream: IO[str] | None, text: str) -> None:
    """Read the run's lines until one holds `text`."""
    assert stream is not None
    seen = ""
    while text not in (line := stream.readline()):
        assert line, f"the run ended before {text!r}:\n{seen}"
        seen += line


def wait_for_round(process: subprocess.Popen[str], number: int) -> None:
    wait_for(process.stdout, f"round {number}/")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_asked_to_stop_a_run_commits_its_batch_writes_and_says_how_to_go_on(
    tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    write_config(tmp_path)
    process = start("mine", "--config", "run.yaml", "--output", "out.yaml", folder=tmp_path)
    wait_for_round(process, 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "finishing the batch at hand" in err
    document = result(tmp_path / "out.yaml")
    rounds = document["search"]["rounds"]
    assert 1 <= rounds < 5
    assert document["verdict"]["status"] == "interrupted"
    (line,) = [line for line in out.splitlines() if line.startswith("interrupted: ")]
    assert "the test split stays closed" in line
    with Ledger.open(tmp_path / "runs" / "ledger.sqlite", create=False) as ledger:
        record = ledger.get_run("last")
        assert (record.status, record.rounds, record.test_opened_at) == ("interrupted", rounds, None)
        assert document["search"]["candidates"] == len(ledger.candidates(record.id)) == 6 * rounds
    assert f"to go on: fama-fast mine --resume {record.id}" in err

    again = run("mine", "--resume", record.id, "--output", "out.yaml", "-q", folder=tmp_path)
    assert again.returncode in (0, 1), again.stderr
    assert result(tmp_path / "out.yaml") == result(whole / "out.yaml")


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    write_config(tmp_path, candidates=3000)  # a batch that will not end before the second
    process = start("mine", "--config", "run.yaml", folder=tmp_path)
    wait_for(process.stdout, "proposer evolve")
    process.send_signal(signal.SIGINT)
    wait_for(process.stderr, "finishing the batch at hand")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; committed rounds are kept" in err
    assert "Traceback" not in err


def test_a_ctrl_c_that_is_held_down_never_kills_the_way_out(tmp_path: Path) -> None:
    write_config(tmp_path)
    process = start("mine", "--config", "run.yaml", folder=tmp_path)
    wait_for_round(process, 1)
    for _ in range(1000):
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_resuming_a_run_that_had_ended_tells_its_result_again(tmp_path: Path, whole: Path) -> None:
    for name in ("run.yaml", "runs"):
        source = whole / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    done = run("mine", "--config", "run.yaml", "--resume", "last", "--output", "again.yaml", folder=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "had ended already" in done.stderr
    assert result(tmp_path / "again.yaml") == result(whole / "out.yaml")
    longer = run("mine", "--config", "run.yaml", "--resume", "last", "--rounds", "9", folder=tmp_path)
    assert longer.returncode == 2
    assert "is finished" in longer.stderr


def refused(process: subprocess.Popen[str], message: str) -> str:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "Traceback" not in err
    assert err.count("error:") == 1
    assert message in err, err
    return err


def test_a_ledger_that_vanishes_is_a_clear_refusal(tmp_path: Path) -> None:
    write_config(tmp_path)
    process = start("mine", "--config", "run.yaml", "--output", "out.yaml", folder=tmp_path)
    wait_for_round(process, 1)
    shutil.rmtree(tmp_path / "runs")
    refused(process, "the file has gone since the run began")
    assert not (tmp_path / "out.yaml").exists()
    assert not (tmp_path / "runs").exists()


FULL = """
import resource, sys
from fama_fast.cli import main
from fama_fast.mining.run.loop import Miner
round_ = Miner._round
def limited(self, run, state, behind):
    if state.round == 2:  # from here on no file may grow: what a full disk does to a write
        behind.finish()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    round_(self, run, state, behind)
Miner._round = limited
sys.exit(main(["mine", "--config", "run.yaml", "--output", "out.yaml"]))
"""


@pytest.mark.slow
def test_a_full_disk_is_a_clear_refusal_and_the_run_goes_on_when_there_is_room(tmp_path: Path, whole: Path) -> None:
    write_config(tmp_path)
    process = start(folder=tmp_path, code=FULL)
    err = refused(process, "ledger.sqlite: ")
    assert "is the disk full" in err
    assert "the 2 rounds before are kept: --resume" in err
    assert not (tmp_path / "out.yaml").exists()
    done = run("mine", "--config", "run.yaml", "--resume", "last", "--output", "out.yaml", "-q", folder=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert result(tmp_path / "out.yaml") == result(whole / "out.yaml")


@pytest.mark.slow
def test_other_data_or_settings_on_resume_are_refused_by_name(tmp_path: Path) -> None:
    simulate = ("data", "simulate", "-o", "prices.parquet", "--symbols", "24", "--dates", "260", "--seed")
    data = run(*simulate, "1", folder=tmp_path)
    assert data.returncode == 0, data.stderr
    write_config(tmp_path)
    process = start("mine", "--config", "run.yaml", "--data", "prices.parquet", folder=tmp_path)
    wait_for_round(process, 1)
    process.kill()
    process.communicate()
    again = ("mine", "--config", "run.yaml", "--data", "prices.parquet", "--resume", "last")
    refused(start(*again, "--seed", "6", folder=tmp_path), "other settings: run.seed is 6, was 5")
    run(*simulate, "2", folder=tmp_path)
    refused(start(*again, folder=tmp_path), "was made on other data")
    (tmp_path / "prices.parquet").unlink()
    refused(start(*again, folder=tmp_path), "prices.parquet")
