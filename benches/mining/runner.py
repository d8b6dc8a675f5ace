"""Seeds of a suite in processes of their own; each result is on disk before the next is waited for."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benches.mining.suites import Suite


def finished(path: Path) -> list[dict[str, Any]]:
    """The results in a file. A last line that was cut off by a crash is left out; any other is an error."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    out = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise SystemExit(f"error: {path}, line {number}: not a result: {error}") from error
    return out


def run_suite(suite: Suite, seeds: Iterable[int], arms: Sequence[str], candidates: int, jobs: int, path: Path) -> int:
    """Run what the file does not hold yet. Returns how many seeds failed."""
    done = {(r["suite"], r["arm"], r["seed"], r["candidates_asked"]) for r in finished(path)}
    # Seeds outside, arms inside: a run that is stopped early has compared whole seeds.
    wanted = [(arm, seed) for seed in seeds for arm in arms]
    left = [(arm, seed) for arm, seed in wanted if (suite.name, arm, seed, candidates) not in done]
    print(f"{suite.name}: {len(wanted) - len(left)} of {len(wanted)} are in {path}", file=sys.stderr)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(alone, suite.name, arm, seed, candidates, threads): (arm, seed) for arm, seed in left}
        for future in as_completed(running):
            arm, seed = running[future]
            result = future.result()
            label = f"{suite.name} {arm} seed {seed}".replace("  ", " ")
            if "error" in result:
                failed += 1
                print(f"{label} failed:\n{result['error']}", file=sys.stderr)
                continue
            append(path, result)
            print(f"{label}: {result['seconds']:.0f} s: {result.get('headline', '')}", file=sys.stderr, flush=True)
    return failed


def alone(*seed: Any) -> dict[str, Any]:
    """`one` in a process of its own, whose memory ends with it.

    Not one pool with `max_tasks_per_child`: before Python 3.12.3 it waits for ever once its workers have ended.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)) as process:
        return process.submit(one, *seed).result()


def end_with(parent: int) -> None:
    """This process ends within seconds of the one that waits for its seeds, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2.0)
        os._exit(1)

    threading.Thread(target=watch, name="watch of the parent", daemon=True).start()


def append(path: Path, result: dict[str, Any]) -> None:
    """One line, on disk when this returns; a line that a crash cut off is ended first, so that it stays alone."""
    whole = path.read_bytes() if path.exists() else b""
    if whole and not whole.endswith(b"\n"):
        # What was cut off is no result: it goes.
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
        file.flush()
        os.fsync(file.fileno())


def one(name: str, arm: str, seed: int, candidates: int, threads: int) -> dict[str, Any]:
    """One seed in this process; an error comes back as text, so that the other seeds go on."""
    from benches.mining.suites import SUITES

    began = time.perf_counter()
    try:
        found = SUITES[name].run(arm, seed, candidates, threads)
    except Exception:  # noqa: BLE001  (the parent prints it and counts it)
        return {"error": traceback.format_exc()}
    head = {"suite": name, "arm": arm, "seed": seed, "candidates_asked": candidates, "threads": threads}
    return {**head, "seconds": round(time.perf_counter() - began, 1), **found}


def positive(text: str) -> int:
    """A whole number from 1 on, of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
