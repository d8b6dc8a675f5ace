"""Where a program's time goes, kernel by kernel: `python -m benches.profile [--size A] [--what alpha101|seeds]`.

Each instruction runs alone over all tiles, on registers that the whole program filled before, and its times are added
up by kernel. Chains of elementwise steps (`steps.run`) are one instruction; what runs piece by piece beside them is not
any more that way.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import fama_fast as ff
from benches.panels import SIZES, make_panel
from fama_fast.backends.numba_vm import run, run_memory
from fama_fast.engine.prepare import lowered
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from fama_fast.engine import Alpha
    from fama_fast.panel import Panel
    from fama_fast.plan import Stage


def profile(alphas: list[Alpha], panel: Panel) -> tuple[float, dict[str, float], Counter[str]]:
    """Seconds of the whole program on one thread, seconds by kernel, calls by kernel."""
    plan = make_plan(lowered(alphas, panel))
    run.execute(plan, panel, threads=1)
    start = time.perf_counter()
    out = run.execute(plan, panel, threads=1)
    whole = time.perf_counter() - start
    memory = run_memory.RunMemory(plan, panel, out, None)
    cuts = run._Cuts(plan, memory, None, None)
    seconds: dict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for number, stage in enumerate(plan.stages):
        memory.allocate(stage)
        code = run._assemble(stage)
        _run(stage, code, memory, cuts)
        for i, kernel in enumerate(code.kernels):
            alone = replace(code, kernels=(kernel,), rows=code.rows[i : i + 1])
            start = time.perf_counter()
            _run(stage, alone, memory, cuts)
            seconds[kernel] += time.perf_counter() - start
            calls[kernel] += 1
        memory.release(stage, number)
    return whole, seconds, calls


def _run(stage: Stage, code: run._Code, memory: run_memory.RunMemory, cuts: run._Cuts) -> None:
    job = run._job(stage, code, memory, 1, cuts, 0)
    if job is not None:
        run._run(job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="A", choices=sorted(SIZES))
    parser.add_argument("--what", default="alpha101", choices=("alpha101", "seeds"))
    options = parser.parse_args()
    panel = make_panel(options.size)
    if options.what == "seeds":
        alphas = [ff.compile(text) for text in ff.list_seed_alphas()]
    else:
        groups = {"INDUSTRY": panel.group("SECTOR"), "SUBINDUSTRY": panel.group("SECTOR")}
        panel = panel.replace(fields={"CAP": panel["CLOSE"] * 1e6}, groups=groups)
        alphas = [ff.compile(text, dialect="alpha101") for text in ff.alpha101().values()]
    whole, seconds, calls = profile(alphas, panel)
    total = sum(seconds.values())
    print(f"{len(alphas)} expressions, one thread: {whole:.3f} s; its instructions one by one: {total:.3f} s")
    for kernel, spent in sorted(seconds.items(), key=lambda item: -item[1])[:25]:
        each = 1e3 * spent / calls[kernel]
        print(f"  {spent / total:6.1%}  {spent:8.3f} s  {calls[kernel]:4d} x {each:7.2f} ms  {kernel}")


if __name__ == "__main__":
    main()
