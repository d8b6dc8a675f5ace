"""Kills writers of a factor store and checks that what was committed stays readable, whole and right.

    python -m tests.support.store_kill_harness FOLDER [--kills 10] [--seed 0]

One warm process forks a child for every attempt, so that a kill costs a fraction of a second and not an interpreter's
start. A child appends some dates at a time, adds a factor half way, and rebuilds a changed history near the end.
SIGKILL comes after a random time, or, every other time, before a random one of the moments at which the writer puts
something on disk for good. Another child then reads the store: values must be those of `ff.evaluate` on as many dates
as before or more. The attempt that gets to its end must leave no file that no state needs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

# One thread everywhere: a fork copies no others.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "FAMA_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

import fama_fast as ff  # noqa: E402
from fama_fast.data import SimulationSpec, simulate  # noqa: E402
from fama_fast.engine.outputs import long_frame  # noqa: E402
from fama_fast.panel import Panel  # noqa: E402
from fama_fast.panel.presence import trading  # noqa: E402

FIRST = ("TS_MEAN(CLOSE, 20)", "RANK(DELTA(CLOSE, 5))", "GROUP_RANK(VWAP, SECTOR)")
LATER = "CORREL(OPEN, VOLUME, 10)"
DATES, CHANGED = 130, 95


def changed(panel: Panel) -> Panel:
    """The data as they are after a correction."""
    close = panel["CLOSE"].copy()
    close[CHANGED] *= 1.01
    return panel.replace(fields={"CLOSE": close})


def write(store: Path, panel: Panel, after: Panel, rng: random.Random) -> None:
    """Bring a store to its end from wherever it is."""
    from fama_fast.factor_store import open_store, update_store

    try:
        known = len(open_store(store).dates)
    except ff.StoreError:
        update_store(store, panel.slice_dates(0, 20), FIRST, threads=1)
        known = 20
    while known < DATES - 10:
        known = min(known + rng.randint(1, 25), DATES - 10)
        # A store that was rebuilt just before the kill has the corrected history already.
        source = after if rebuilt(store, after) else panel
        more = [LATER] if known > DATES // 2 else []
        update_store(store, source.slice_dates(0, known), more, append=True, threads=1)
    update_store(store, after.slice_dates(0, DATES), [LATER], rebuild=True, threads=1)


def rebuilt(store: Path, after: Panel) -> bool:
    """Whether the store's values are of the corrected data."""
    from fama_fast.factor_store import open_store
    from fama_fast.factor_store.checks import Summer, data_hash

    known = open_store(store).manifest
    last = known.partitions[-1]
    stop = len(known.moments)
    start = stop - len(last.dates)
    moments = known.moments[start:stop]
    sums = Summer(after.symbols)(after, ["CLOSE"], moments, slice(start, stop))
    return stop > CHANGED and data_hash(sums["CLOSE"]) == last.data["CLOSE"] and start <= CHANGED


def read(store: Path, panel: Panel, after: Panel) -> tuple[int, int]:
    """Dates and factors of a store, whose values must be right; (0, 0) before its first commit."""
    from fama_fast.factor_store import open_store

    try:
        opened = open_store(store)
    except ff.StoreError as error:
        if "nothing was ever stored" in str(error) or "does not exist" in str(error):
            return 0, 0
        raise
    known = len(opened.dates)
    found = opened.scan().collect()
    texts = [f.expression for f in opened.factors]
    right = False
    for data in (panel, after):
        part = data.slice_dates(0, known)
        values = dict(zip(opened.names, ff.evaluate(texts, part, threads=1), strict=True))
        expected = long_frame(part.dates, list(part.symbols), values, trading(part), days=True)
        right = right or found.equals(expected)
    assert right, f"other values on {known} dates of {opened.names}"
    return known, len(texts)


def in_child(work: object, seconds: float | None = None) -> int | None:
    """The exit code of a forked child that runs `work`; None when it was killed, after `seconds` or by itself."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = int(work())  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001
            import traceback

            traceback.print_exception(error)
        finally:
            sys.stderr.flush()
            os._exit(code)
    if seconds is not None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return None if code == -signal.SIGKILL else code
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


def dying(step: int) -> None:
    """Kill this process before it puts something on disk for the `step`-th time."""
    left = step

    def counted(name: str) -> None:
        true = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return true(*arguments, **options)

        setattr(os, name, call)

    for name in ("fsync", "link", "unlink"):
        counted(name)


def attack(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill `kills` times; what happened, by name."""
    rng = random.Random(seed)
    panel = simulate(SimulationSpec(n_symbols=12, n_dates=DATES, missing=0.03, late_listing=0.2, seed=3))
    after = changed(panel)
    ff.evaluate([*FIRST, LATER], panel, threads=1)  # the kernels are loaded here: a child inherits them
    state = folder / "state.json"

    def writer(store: Path, seed: int, step: int | None) -> int:
        if step is not None:
            dying(step)
        write(store, panel, after, random.Random(seed))
        return 0

    def reader(store: Path) -> int:
        state.write_text(json.dumps(read(store, panel, after)))
        return 0

    began = time.monotonic()
    assert in_child(lambda: writer(folder / "whole", 1, None)) == 0
    span = time.monotonic() - began
    done = {"kills": 0, "kills with dates stored": 0, "stores ended": 0}
    number = 0
    while done["kills"] < kills:
        number += 1
        store = folder / f"store-{number}"
        before, code = [0, 0], None
        while code is None:
            killing = done["kills"] < kills
            step = rng.randrange(60) if killing and done["kills"] % 2 else None
            wait = rng.uniform(0.0, 0.9 * span) if killing and step is None else None
            code = in_child(lambda: writer(store, rng.randrange(10**6), step), wait)  # noqa: B023
            assert in_child(lambda: reader(store)) == 0, f"{store} after {done['kills']} kills"  # noqa: B023
            now = json.loads(state.read_text())
            assert all(n >= b for n, b in zip(now, before, strict=True)), f"{store}: {before} stored, then {now}"
            before = now
            if code is None:
                done["kills"] += 1
                done["kills with dates stored"] += now[0] > 0
        assert code == 0
        assert before == [DATES, len(FIRST) + 1]
        done["stores ended"] += 1
        assert leftovers(store) == set(), leftovers(store)
    return done


def leftovers(store: Path) -> set[str]:
    """Files that neither the last state nor the one before it consists of."""
    from fama_fast.factor_store.manifest import generations, read_manifest

    latest = generations(store)
    assert len(latest) <= 2, latest
    needed: set[str] = set()
    for generation in latest:
        found = read_manifest(store, generation)
        assert found is not None
        needed |= found.files
    files = {p.relative_to(store).as_posix() for p in store.rglob("*") if p.is_file()}
    assert needed <= files, needed - files
    return files - needed - {f"manifests/{g:08}.json" for g in latest} - {"writer.lock"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    np.seterr(all="ignore")
    print(json.dumps(attack(options.folder, options.kills, options.seed)))


if __name__ == "__main__":
    main()
