"""Kills mining runs at random moments and checks that nothing that was committed or paid for is lost.

    python -m tests.support.kill_harness FOLDER [--kills 30] [--seed 0] [--llm]

One warm process forks a child for every attempt, so that a kill costs a second and not an interpreter's start. The
child mines (or resumes) through the command line; SIGKILL comes after a random time. After every kill the ledger must
be sound, and must still hold, unchanged, every row that it held before. A run that gets to its end must have the
result of one that was never touched. With --llm the proposals come from a model behind a local HTTP server that
counts what it is asked: an answer that is on disk must not be asked for again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

# One thread everywhere: a fork copies no others.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[_name] = "1"

from tests.support.mine import result, write_config  # noqa: E402

LLM = """
proposer: llm
llm: {model: counted, base_url: "http://127.0.0.1:%d/v1", max_new_factors: 4, max_tries: 2, max_retries: 0}
"""
_FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET")


class Model(http.server.BaseHTTPRequestHandler):
    """Answers every prompt with four expressions that follow from it, and writes down what it was asked."""

    record: Path

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        rng = random.Random(asked)
        alphas = [
            {
                "hypothesis": "h",
                "expression": f"RANK(TS_MEAN({rng.choice(_FIELDS)}, {rng.randint(2, 30)}) / "
                f"TS_STDDEV({rng.choice(_FIELDS)}, {rng.randint(3, 40)}))",
                "explanation": "e",
            }
            for _ in range(4)
        ]
        message = {"role": "assistant", "content": json.dumps({"alphas": alphas})}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "counted",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": usage,
        }
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(body["messages"]) + "\n")
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def serve(record: Path) -> tuple[int, int]:
    """A model in a process of its own: (port, process)."""
    Model.record = record
    server = http.server.HTTPServer(("127.0.0.1", 0), Model)
    child = os.fork()
    if child == 0:
        server.serve_forever()
        os._exit(0)
    server.server_close()
    return server.server_port, child


def mine(folder: Path, *arguments: str) -> int:
    """Fork a child that runs `fama-fast mine` in `folder`; its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("a") as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            from fama_fast.cli import main

            code = main(["mine", "--config", "run.yaml", *arguments])
    finally:
        os._exit(code)


def wait(child: int, seconds: float | None = None) -> int | None:
    """The exit code of a child; None when it was killed, after `seconds`."""
    if seconds is not None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


def committed(folder: Path) -> tuple[int, list[tuple[Any, ...]]]:
    """Runs, and every stored candidate, of a ledger that must be sound."""
    place = folder / "runs" / "ledger.sqlite"
    if not place.exists():
        return 0, []
    with contextlib.closing(sqlite3.connect(place)) as c:
        assert c.execute("pragma integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in c.execute("select name from sqlite_master where type = 'table'")}
        if not tables:
            return 0, []
        assert {"meta", "runs", "candidates"} <= tables, tables
        (runs,) = c.execute("select count(*) from runs").fetchone()
        rows = c.execute(
            "select id, run_id, round, position, text, fingerprint, gate, admitted, scores from candidates order by id"
        ).fetchall()
        (torn,) = c.execute(
            "select count(*) from runs where rounds <> (select count(*) from exchanges where run_id = runs.id)"
        ).fetchone()
        assert torn == 0, "a round is in the ledger by half"
    return int(runs), rows


def answers(folder: Path) -> list[str]:
    """Prompts whose answers are whole on disk."""
    lines = [
        line
        for path in folder.glob("runs/exchanges/*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
    ]
    return [json.dumps(json.loads(line)["request"]["messages"]) for line in lines if line.endswith("\n")]


def attack(folder: Path, kills: int, seed: int, *, llm: bool) -> dict[str, int]:
    """Kill `kills` times; what happened, by name.

    Raises:
        AssertionError: something was lost, or a result differs.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "asked.jsonl"
    asked.touch()
    extra, server = "", None
    if llm:
        os.environ["LLM_API_KEY"] = "not-a-key"
        port, server = serve(asked)
        extra = LLM % port
    try:
        return _attack(folder, kills, rng, extra, asked)
    finally:
        if server is not None:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


def _fresh(folder: Path, extra: str) -> Path:
    config = write_config(folder, clustered=True)
    config.write_text(config.read_text(encoding="utf-8") + extra, encoding="utf-8")
    return folder


def _attack(folder: Path, kills: int, rng: random.Random, extra: str, asked: Path) -> dict[str, int]:
    from fama_fast.cli import main

    whole = _fresh(folder / "whole", extra)
    here = Path.cwd()
    os.chdir(whole)
    with contextlib.redirect_stdout(sys.stderr):
        # All kernels are compiled and loaded here: a child inherits them.
        main(["mine", "--config", "run.yaml", "--ledger", "warm.sqlite", "-q"])
    os.chdir(here)
    began = time.monotonic()
    assert wait(mine(whole, "--output", "result.yaml")) in (0, 1), (whole / "err.txt").read_text()
    span = time.monotonic() - began
    expected, wanted = result(whole / "result.yaml"), Counter(answers(whole))
    done = {"kills": 0, "kills with rounds committed": 0, "kills before the first": 0, "runs ended": 0}
    number = 0

    def enough() -> bool:
        """On a machine that slowed down since `span` was taken, all the kills may have come before the first round."""
        return done["kills"] >= kills and done["kills with rounds committed"] > 0

    while number == 0 or not enough():
        number += 1
        place = _fresh(folder / f"run-{number}", extra)
        code: int | None = None
        rows: list[tuple[Any, ...]] = []
        while code is None:
            runs, _ = committed(place)
            arguments = ["--output", "result.yaml", *(["--resume", "last"] if runs else [])]
            paid, before = Counter(answers(place)), len(asked.read_text(encoding="utf-8").splitlines())
            patience = 300.0 if enough() else rng.uniform(0.0, 0.9 * span)
            code = wait(mine(place, *arguments), patience)
            _, now = committed(place)
            assert now[: len(rows)] == rows, "a committed candidate was lost or changed"
            # One text may be sent more than once: probes of several constraints, a later round's draw.
            since = Counter(asked.read_text(encoding="utf-8").splitlines()[before:])
            again = [text for text in paid if since[text] > wanted[text] - paid[text]]
            assert not again, f"{len(again)} answers on disk were paid for again"
            rows = now
            if code is None:
                done["kills"] += 1
                done["kills with rounds committed" if rows else "kills before the first"] += 1
                assert runs <= committed(place)[0]
        assert code in (0, 1), (place / "err.txt").read_text(encoding="utf-8")
        assert result(place / "result.yaml") == expected, f"{place}: another result than without kills"
        done["runs ended"] += 1
    return done


def command() -> None:
    parser = argparse.ArgumentParser(description="Kill mining runs at random moments.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--llm", action="store_true")
    given = parser.parse_args()
    print(json.dumps(attack(given.folder.absolute(), given.kills, given.seed, llm=given.llm)))


if __name__ == "__main__":
    command()
