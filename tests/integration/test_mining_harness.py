"""The harness of the mining suites: resuming, tables, planted expressions; one tiny suite end to end."""

from __future__ import annotations

import ctypes
import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from numba import njit
from scipy import stats

import fama_fast as ff
from benches.mining import ablation, intervals, panels, runner, suites, tables
from benches.mining.__main__ import main
from benches.mining.kernel_time import KernelTime, kernel_seconds
from benches.mining.measure import mined
from benches.mining.watched_race import watched_race
from fama_fast.engine import compile as compile_alpha
from fama_fast.ir import count_nodes
from tests.support.paths import ROOT


def test_planted_expressions_have_six_to_nine_nodes_and_follow_from_the_seed() -> None:
    texts = [panels.planted_expression(seed) for seed in range(20)]
    assert all(6 <= count_nodes(compile_alpha(t).node) <= 9 for t in texts)
    assert texts == [panels.planted_expression(seed) for seed in range(20)]
    assert len(set(texts)) >= 18


def test_kernel_time_counts_threads_together_once() -> None:
    sleep = ctypes.CDLL(None).usleep
    sleep.argtypes, sleep.restype = (ctypes.c_uint,), ctypes.c_int

    @njit(nogil=True)
    def work() -> None:
        sleep(200_000)

    spent = KernelTime()
    call = spent.timed(work)
    call()  # compiled
    spent._spans.clear()
    threads = [threading.Thread(target=call) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert 0.2 <= spent.seconds < 0.55  # not the 0.6 of all three
    once = spent.seconds
    time.sleep(0.05)
    call()
    assert spent.seconds - once == pytest.approx(0.2, abs=0.04)


def test_kernel_time_sees_programs_and_row_loops_and_leaves_them_as_they_were() -> None:
    from fama_fast.backends.numba_vm import loop
    from fama_fast.backends.numba_vm import stats as loops

    before = loop.lead, loops.sort_rows
    panel = panels.noise(0, 40, 120)
    with kernel_seconds() as spent:
        assert spent.seconds == 0.0
        (values,) = ff.evaluate(["RANK(TS_MEAN(CLOSE, 20))"], panel)
        programs = spent.seconds
        assert programs > 0.0
        ff.rank_ic(values, ff.forward_returns(panel))
        assert spent.seconds > programs
    assert (loop.lead, loops.sort_rows) == before


def test_a_watched_race_drops_nothing_and_tells_who_lost() -> None:
    watches = {}
    results = {}
    panel = panels.noise(2, 60, 800)
    for arm in ("race", "exact"):
        with watched_race(decides=arm == "race") as watches[arm]:
            results[arm], _ = mined(panel, 2, 150, 1, control={"random": False}, run={"candidates": 30})
    assert results["exact"].funnel["screening"] == 0
    assert results["race"].funnel["screening"] > 0
    assert watches["exact"].raced > 0
    assert watches["exact"].lost
    assert all(w.racing > 0.0 and w.measuring > 0.0 for w in watches.values())


def row(seed: int, **rest: Any) -> dict[str, Any]:
    head = {"suite": "noise", "arm": "", "seed": seed, "candidates_asked": 10, "threads": 1, "seconds": 60.0}
    return {**head, "right": True, "holding": 0, "admitted": 2, **rest}


def test_results_are_appended_whole_and_a_cut_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert runner.finished(path) == []
    runner.append(path, row(0))
    with path.open("a") as file:
        file.write('{"suite": "noi')  # a crash while writing
    assert [r["seed"] for r in runner.finished(path)] == [0]
    runner.append(path, row(1))
    assert [r["seed"] for r in runner.finished(path)] == [0, 1]
    path.write_text("not json\n" + json.dumps(row(2)) + "\n")
    with pytest.raises(SystemExit, match="line 1: not a result"):
        runner.finished(path)


def test_finished_seeds_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.jsonl"
    for seed in range(3):
        runner.append(path, row(seed))
    assert main(["noise", "--seeds", "3", "--candidates", "10", "--out", str(path)]) == 0
    assert "3 of 3 are in" in capsys.readouterr().err


def test_tables_give_wilson_and_t_intervals(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for seed in range(40):
        runner.append(path, row(seed, right=seed != 3))
    text = tables.render([path])
    low, high = stats.binomtest(39, 40).proportion_ci(method="wilson")
    assert f"39 of 40 ({low:.0%} to {high:.0%})" in text
    centre, left, right = intervals.mean_interval([0.1, 0.2, 0.4, None, math.nan])
    want = stats.t.interval(0.95, 2, loc=7 / 30, scale=stats.sem([0.1, 0.2, 0.4]))
    assert (centre, left, right) == pytest.approx((7 / 30, *want))
    assert math.isnan(intervals.mean_interval([0.1])[1])
    assert tables.render([tmp_path / "none.jsonl"]) == "no results yet"


def test_a_seed_that_was_run_again_counts_once(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    runner.append(first, row(0, right=False))
    runner.append(second, row(0))
    assert "1 of 1" in tables.render([first, second])


def test_budgets_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for budget, right in ((10, True), (20, False)):
        runner.append(path, row(0, candidates_asked=budget, right=right))
        speed = {"per_second": 10.0 * budget, "kernel_share": 0.5, "wall": 1.0}
        runner.append(path, row(0, suite="throughput", arm="A", candidates_asked=budget, **speed))
    text = tables.render([path])
    assert ("1 of 1" in text, "0 of 1" in text) == (True, True)
    assert "| A | 10 | 1 | 1 | 100 | 50 | 1 |" in text
    assert "| A | 20 | 1 | 1 | 200 | 50 | 1 |" in text


def real(seed: int, arm: str, pool: float, rival: float = 0.01) -> dict[str, Any]:
    one = {"pool_test": {"ridge": pool, "equal": pool / 2}, "test_over_train": 0.8, "admitted": 5}
    ours = {
        "random_pool_test": {"ridge": rival, "equal": rival},
        "random_test_over_train": 0.5,
        "random_admitted": 3,
        "status": "found",
        "contradicted": False,
    }
    return row(seed, suite="ashare", arm=arm, **one, **(ours if arm == "mine" else {}))


def test_arms_are_compared_within_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for seed, pool in enumerate((0.06, 0.07, 0.08)):
        runner.append(path, real(seed, "mine", pool, rival=pool - 0.02))
        runner.append(path, real(seed, "gplearn", pool - 0.05))
    text = tables.render([path])
    assert "| mined pool less random formulas, ridge | 0.0200 (0.0200 to 0.0200) |" in text
    assert "| mined pool less gplearn, ridge | 0.0500 (0.0500 to 0.0500) |" in text
    assert "| verdicts that the test contradicts | 0 of 3 |" in text


def test_wrong_use_and_missing_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["noise", "--seeds", "0"])
    monkeypatch.setenv("FAMA_DATA", str(tmp_path))
    assert main(["ashare", "--seeds", "1", "--out", str(tmp_path / "o.jsonl")]) == 2
    assert "set FAMA_DATA" in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()


def test_a_seed_that_fails_does_not_stop_the_others() -> None:
    assert "run.max_candidates must be at least 1" in runner.one("noise", "", 0, -1, 1)["error"]


def test_a_small_planted_suite_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = panels.planted
    monkeypatch.setattr(panels, "planted", lambda seed: planted(seed, symbols=40, dates=260))
    found = runner.one("planted", "", 0, 20, 1)
    assert "error" not in found, found.get("error")
    assert found["candidates"] == 20
    assert {"share_of_best", "share_of_first", "signal", "control", "funnel"} <= set(found)
    assert 6 <= count_nodes(compile_alpha(found["signal"]).node) <= 9
    json.dumps(found)
    assert set(suites.SUITES) == set(tables.TABLES)


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_a_worker_ends_with_the_one_that_waits_for_it(tmp_path: Path) -> None:
    """A parent that is killed: its worker, which would go on for minutes, is gone within seconds."""
    told = tmp_path / "pid"
    worker = (
        "import os, sys, time; from pathlib import Path; from benches.mining.runner import end_with\n"
        f"end_with(int(sys.argv[1])); Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(120)"
    )
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}, str(os.getpid())])",
        ],
        cwd=ROOT,
    )
    until = time.monotonic() + 60.0
    while not (told.exists() and told.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    pid = int(told.read_text())
    parent.kill()
    parent.wait()
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]:
            return  # it has ended and waits for somebody to notice
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("proposer", ["evolve", "scripted"])
def test_the_arms_of_an_ablation_differ_in_what_is_shown_and_built_on(
    proposer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ablation, "SYMBOLS", 30)
    monkeypatch.setattr(ablation, "DATES", 300)
    name = f"ablation-simulator-{proposer}"
    gates = {"min_rank_ic": 0.0, "min_t": 0.0}  # so small a market has little that is significant
    run = ablation.ablation(ablation.simulated, proposer, gates=gates, css={"min_t": 0.0})
    out = tmp_path / "ablation.jsonl"
    seen = {}
    for arm in ablation.ARMS:
        found = run(arm, 0, 60, 1)
        seen[arm] = found["shown"]
        runner.append(out, {"suite": name, "arm": arm, "seed": 0, "candidates_asked": 60, **found})
    for arm, (css, coe) in {"neither": (0, 0), "css": (1, 0), "coe": (0, 1), "both": (1, 1)}.items():
        assert bool(seen[arm]["exemplars"]) == bool(css), arm
        assert bool(seen[arm]["steps"]) == bool(coe), arm
        assert bool(seen[arm]["on_chain"]) <= bool(coe), arm
    assert seen["coe"]["on_chain"] > 0
    shown = tables.render([out])
    assert f"{name}, 60 candidates" in shown
    assert [line.split(" | ")[0] for line in shown.splitlines()[2:]] == [f"| {arm}" for arm in ablation.ARMS]
