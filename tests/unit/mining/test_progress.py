"""What a run tells while it goes: lines in a pipe, JSON Lines for machines, a live display that gives the terminal
back."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from fama_fast.cli import main
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.progress.eta import TimeLeft, clock_text
from fama_fast.mining.progress.json_lines import JsonProgress, end_line
from fama_fast.mining.progress.live import RichProgress
from fama_fast.mining.progress.plain import LoggedProgress, PlainProgress, RoundReport, RunStart
from fama_fast.mining.run import steps
from tests.support.mine import ROOT, write_config

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
HOSTILE = "[bold]x[/bold] \x1b[2J\x07 \u202e end"

REPORT = RoundReport(
    number=2,
    of=5,
    proposed=40,
    admitted=2,
    new_factors=3,
    wanted=20,
    funnel={"parse": 3, "training": 30, "size": 0, "admitted": 3},
    best_train=0.0312,
    pool_valid=0.0213,
    seconds=4.0,
    rate=40.0,
    exemplar_correlation=0.21,
    library_correlation=0.42,
    candidates=80,
    tokens=12345,
    cost=0.0421,
    elapsed=65.0,
    left=125.0,
)
START = RunStart(
    run="20260101T000000-abcdef",
    ledger="runs/ledger.sqlite",
    version="0.1.0",
    proposer="evolve",
    seed=1,
    rounds=5,
    wanted=20,
    done=1,
    data={"source": "here\u2028there", "hash": "00", "dates": 10, "symbols": 2},
    settings={},
)


@pytest.mark.parametrize(
    ("config", "elapsed", "left"),
    [
        ({"run": {"rounds": 10}}, 40.0, 80.0),
        ({"run": {"rounds": 10, "max_candidates": 90}}, 40.0, 10.0),  # 30 left at 30 a round
        ({"run": {"rounds": 10, "max_tokens": 1500}}, 40.0, 40.0),  # 1000 left at 250 a round
        ({"run": {"rounds": 10}, "llm": {"max_cost": 0.15, "price_in": 1.0, "price_out": 1.0}}, 40.0, 10.0),
        ({"run": {"rounds": 10, "max_seconds": 45.0}}, 40.0, 5.0),
        ({"run": {"rounds": 10, "max_seconds": 30.0}}, 40.0, 0.0),
        ({"run": {"rounds": 1}}, 40.0, 0.0),  # resumed with fewer rounds than it had
    ],
)
def test_time_left_is_that_of_the_limit_met_first(config: dict[str, Any], elapsed: float, left: float) -> None:
    eta = TimeLeft(config_from_dict(config))
    state: Any = SimpleNamespace(round=2, proposed=60, tokens=500, cost=0.1)
    assert eta.seconds_left(state, elapsed) is None
    for seconds in (400.0, *[10.0] * 5):  # only the latest five count
        eta.round_took(seconds)
    found = eta.seconds_left(state, elapsed)
    assert found == pytest.approx(left)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (7, "0:07"), (59.7, "1:00"), (725, "12:05"), (10800, "3:00:00")]
)
def test_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_a_round_is_one_line_with_everything() -> None:
    assert REPORT.line() == (
        "round 2/5: 40 proposed, 2 admitted, 3 new (20 wanted), best training RankIC 0.0312, pool on validation "
        "+0.0213, exemplars' mean |correlation| 0.21 (library 0.42), 40 candidates/s, 12,345 tokens for 0.0421, "
        "at most 2:05 left; stopped so far: parse 3, training 30"
    )


def test_notes_cannot_steer_the_terminal(tmp_path: Path) -> None:
    stream, live = io.StringIO(), io.StringIO()
    PlainProgress(stream).note(HOSTILE)
    shown = RichProgress(Console(file=live, force_terminal=True, width=100))
    logged = LoggedProgress(shown, tmp_path / "run.log", "INFO")
    logged.note(HOSTILE)
    logged.phase(HOSTILE.replace("\x1b[2J\x07", ""))
    logged.close()
    for text in (stream.getvalue(), live.getvalue(), (tmp_path / "run.log").read_text(encoding="utf-8")):
        assert "[bold]x[/bold]" in text
        assert "\x1b[2J" not in text
        assert "\x07" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_display_shows_it_all_and_fits(width: int) -> None:
    stream = io.StringIO()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=width, height=30, color_system=None))
    progress.run_started(START)
    for number in range(1, 31):
        progress.round_done(RoundReport(number, 30, 40, 2, 3, 20, best_train=0.01))
    progress.round_done(REPORT)
    progress.phase("round 3: 40 candidates at the gates")
    progress.stopping("finishing the batch")
    progress.phase("round 3: 40 candidates at the gates")
    assert stream.getvalue().count(HIDE) == 1
    frame = stream.getvalue().rpartition("round  ")[2]
    for part in ("2/5", "0.0312", "+0.0213", "parse 3", "training 30", "80 candidates", "1:05 gone"):
        assert part in frame
    for part in ("at most 2:05 left", "12,345 tokens for 0.0421", "40 candidates at the gates", "finishing the batch"):
        assert part in " ".join(frame.split())
    assert ("|ρ|" in stream.getvalue()) is (width >= 84)
    assert all(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line)) <= width for line in frame.splitlines())
    progress.close()
    progress.close()
    assert stream.getvalue().rindex(SHOW) > stream.getvalue().rindex(HIDE)
    assert "left" not in stream.getvalue().rpartition("round  ")[2]


def test_json_lines_are_strict_and_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = JsonProgress()
    progress.note("data: here")
    progress.run_started(START)
    progress.round_done(REPORT)
    progress.round_done(RoundReport(3, 5, 0, 0, 0, 20, best_train=float("nan")))
    print(end_line(START.run, {"factors": ["\u2028\ud800"]}, 1))
    out, err = capsys.readouterr()
    assert err == "data: here\n"
    assert out.isascii()
    events = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert [e["event"] for e in events] == ["start", "round", "round", "end"]
    assert {e["run"] for e in events} == {START.run}
    assert events[0]["data"]["source"] == "here\u2028there"
    assert (events[1]["tokens"], events[1]["cost"], events[1]["left"]) == (12345, 0.0421, 125.0)
    assert events[2]["best_train"] is None
    assert events[2]["left"] is None


def test_every_key_of_an_event_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    from fama_fast.mining.progress import json_lines as progress_json

    progress = JsonProgress()
    progress.run_started(START)
    progress.round_done(REPORT)
    print(end_line(START.run, {}, 0))
    words = set(re.findall(r"\w+", progress_json.__doc__ or ""))
    for line in capsys.readouterr().out.splitlines():
        assert set(json.loads(line)) <= words


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, rounds=2)
    return tmp_path


def test_in_a_pipe_exactly_a_line_a_round(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "--config", "run.yaml"]) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    rounds = [i for i, line in enumerate(lines) if line.startswith("round ")]
    assert len(rounds) == 2
    assert rounds[1] == rounds[0] + 1
    assert "left" in lines[rounds[0]]
    assert not [line for line in lines if "\x1b" in line]


def test_json_from_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["mine", "--config", "run.yaml", "--json", "--output", "out.yaml"])
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in events] == ["start", "round", "round", "end"]
    assert events[-1]["exit_code"] == code
    assert events[-1]["result"] == yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
    assert events[0]["data"] == events[-1]["result"]["data"]
    assert events[-2]["funnel"] == events[-1]["result"]["search"]["funnel"]
    assert events[-2]["candidates"] == events[-1]["result"]["search"]["candidates"]
    assert events[-2]["left"] == 0.0
    assert err.splitlines()[0].startswith("data: simulator")
    assert not [line for line in err.splitlines() if line.startswith("round ")]


def test_json_of_a_run_that_was_stopped_and_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = steps.remember_failures

    def then_ctrl_c(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(steps, "remember_failures", then_ctrl_c)
    assert main(["mine", "--config", "run.yaml", "--json"]) == 130
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["start", "round", "end"]
    assert events[-1]["exit_code"] == 130
    assert events[-1]["result"]["verdict"]["status"] == "interrupted"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    code = main(["mine", "--resume", "last", "--json", "--quiet"])
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in again] == ["start", "end"]
    assert again[0]["done"] == 1
    assert {e["run"] for e in again} == {events[0]["run"]}
    assert again[-1]["exit_code"] == code
    # It has ended now: what can be said is how.
    assert main(["mine", "--config", "run.yaml", "--resume", "last", "--json"]) == code
    (end,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert end == again[-1]


def in_a_terminal(folder: Path, presses: int) -> tuple[int, str]:
    """`fama-fast mine` on a terminal of its own, with Ctrl-C pressed so often in its second round."""
    import fcntl
    import pty
    import struct
    import termios

    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "fama_fast", "mine", "--config", "run.yaml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)
    seen, pressed, until = b"", 0, time.monotonic() + 240.0
    try:
        while time.monotonic() < until:
            if not select.select([primary], [], [], 1.0)[0]:
                continue
            try:
                part = os.read(primary, 65536)
            except OSError as error:  # what Linux says when the other side is closed
                if error.errno != errno.EIO:
                    raise
                break
            if not part:
                break
            seen += part
            if pressed == 0 and b"round 2: " in seen:  # its batch is at hand
                process.send_signal(signal.SIGINT)
                pressed = 1
            elif pressed == 1 and presses == 2 and b"finishing the batch" in seen:
                process.send_signal(signal.SIGINT)
                pressed = 2
        return process.wait(timeout=60), seen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(primary)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a Unix thing")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_gives_the_terminal_back(tmp_path: Path, presses: int) -> None:
    write_config(tmp_path, rounds=400, candidates=120)  # a batch outlasts a refresh of the display
    code, seen = in_a_terminal(tmp_path, presses)
    assert code == 130, seen[-2000:]
    assert HIDE in seen
    assert seen.rindex(SHOW) > seen.rindex(HIDE)
    assert "finishing the batch at hand" in seen
    assert "Traceback" not in seen
    assert "--resume" in seen.rpartition(SHOW)[2]
