"""Run a plan on a panel: memory for buffers, registers and results, tiles spread over threads.

The algorithm, stage by stage (`execute`):
1. blocked copies of the panel's fields are made once and kept with the panel (`blocked`);
2. buffers that the stage writes are allocated (`_Memory`);
3. the instructions become rows of integers with kernel addresses (`_assemble`);
4. each thread gets registers and scratch of its own and takes tiles until none is left (`_run_stage`);
5. buffers that nobody reads any more are dropped.

A value depends on its tile alone, and kernels treat every row and symbol alike, so the bits are the same at any number
of threads and any tile size.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.backends.numba_vm import abi
from fama_fast.backends.numba_vm.compile import kernel_address
from fama_fast.backends.numba_vm.loop import (
    FIRST_SLOT,
    INSTRUCTION_WIDTH,
    KERNEL,
    MAX_SLOTS,
    N_SLOTS,
    PARAMS,
    run_tiles,
)
from fama_fast.backends.numba_vm.simd import LANES
from fama_fast.plan import UNIVERSE, Axis, Plan, Slot, Space, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray, IntArray

# Registers of a date stage should stay in the second-level cache of a core.
_TILE_BYTES = 384 * 1024
_MAX_TILE_ROWS = 32

_BLOCKED: weakref.WeakKeyDictionary[Panel, dict[str, FloatArray]] = weakref.WeakKeyDictionary()
_BLOCKED_LOCK = threading.Lock()


def default_threads() -> int:
    """FAMA_THREADS, else the processors that this process may use."""
    wanted = os.environ.get("FAMA_THREADS")
    if wanted and wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def to_blocks(values: FloatArray) -> FloatArray:
    """(T, N) as (ceil(N/8), T, 8); lanes without a symbol are missing."""
    t, n = values.shape
    blocks = -(-n // LANES)
    out = np.full((blocks, t, LANES), np.nan)
    whole = n // LANES
    if whole:
        out[:whole] = values[:, : whole * LANES].reshape(t, whole, LANES).transpose(1, 0, 2)
    if n % LANES:
        out[whole, :, : n % LANES] = values[:, whole * LANES :]
    return out


def blocked(panel: Panel, name: str) -> FloatArray:
    """The blocked copy of a field (or of "group:NAME", or of the universe as 1 and missing), made once a panel."""
    with _BLOCKED_LOCK:
        copies = _BLOCKED.setdefault(panel, {})
        if name not in copies:
            if name == UNIVERSE:
                assert panel.universe is not None
                values = np.where(panel.universe, 1.0, np.nan)
            elif name.startswith("group:"):
                values = panel.group(name.removeprefix("group:")).codes
            else:
                values = panel[name]
            copies[name] = to_blocks(values)
        return copies[name]


class _Memory:
    """Addresses of everything a stage's slots can name, shared by all threads."""

    def __init__(self, plan: Plan, panel: Panel) -> None:
        t, n = panel.shape
        self.dates, self.columns = t, n
        self.blocks = -(-n // LANES)
        self.fields = [blocked(panel, name) for name in plan.fields]
        self.buffers: dict[int, FloatArray] = {}
        self.outputs = [np.empty((t, n)) for _ in range(plan.n_outputs)]
        self.groups = max((len(panel.group(f[6:]).labels) for f in plan.fields if f.startswith("group:")), default=0)

    def allocate(self, stage: Stage) -> None:
        for index in stage.allocates:
            self.buffers[index] = np.empty((self.blocks, self.dates, LANES))

    def release(self, stage: Stage) -> None:
        for index in stage.releases:
            del self.buffers[index]

    def locate(self, slot: Slot) -> tuple[int, int]:
        """(address, bytes from one symbol block to the next)."""
        if slot.space is Space.OUTPUT:
            return self.outputs[slot.index].ctypes.data, 0
        array = self.fields[slot.index] if slot.space is Space.FIELD else self.buffers[slot.index]
        return array.ctypes.data, 8 * self.dates * LANES


@functools.lru_cache(maxsize=1024)
def _assemble(stage: Stage) -> tuple[IntArray, FloatArray, list[Slot]]:
    """Code rows, parameters, and the distinct slots that the code's slot numbers mean (registers first).

    Kept for the stages of plans that run again, which small panels notice.
    """
    slots = {Slot(Space.REGISTER, i): i for i in range(stage.n_registers)}
    code = np.zeros((len(stage.instructions), INSTRUCTION_WIDTH), dtype=np.int64)
    params: list[float] = []
    for row, instruction in zip(code, stage.instructions, strict=True):
        used = (instruction.out, *instruction.inputs)
        if len(used) > MAX_SLOTS:
            raise ValueError(f"{instruction.kernel}: more than {MAX_SLOTS - 1} operands")
        row[KERNEL] = kernel_address(instruction.kernel)
        row[N_SLOTS] = len(used)
        row[PARAMS] = len(params)
        for j, slot in enumerate(used):
            row[FIRST_SLOT + j] = -1 if slot.space is Space.NUMBER else slots.setdefault(slot, len(slots))
        params.extend(instruction.params)
    return code, np.array([*params, 0.0]), list(slots)


def _scratch_doubles(stage: Stage, memory: _Memory) -> int:
    if stage.axis is Axis.TIME:
        return (stage.max_window + 2) * 6 * LANES + 64
    from fama_fast.backends.numba_vm.kernels.radix import scratch_size

    size: Callable[[int], int] = scratch_size.py_func
    return size(memory.columns) + 8 * (memory.groups + memory.columns + 8)


def _run_stage(stage: Stage, memory: _Memory, threads: int, tile_rows: int | None, origin: int) -> None:
    code, params, slots = _assemble(stage)
    time_axis = stage.axis is Axis.TIME
    width = LANES if time_axis else memory.blocks * LANES
    if time_axis:
        rows, tiles = memory.dates, memory.blocks
    else:
        fit = _TILE_BYTES // max(1, stage.n_registers * width * 8)
        rows = tile_rows or max(1, min(_MAX_TILE_ROWS, fit))
        tiles = -(-memory.dates // rows)
    base = np.zeros(len(slots), dtype=np.int64)
    stride = np.zeros(len(slots), dtype=np.int64)
    for i, slot in enumerate(slots):
        if slot.space is not Space.REGISTER:
            base[i], step = memory.locate(slot)
            stride[i] = step if time_axis else 0
    threads = max(1, min(threads, tiles))
    chunk = max(1, tiles // (threads * 8))
    starts = itertools.count(0, chunk)  # next() on it is atomic
    scratch_doubles = _scratch_doubles(stage, memory)

    def work() -> None:
        registers = np.empty((stage.n_registers, rows * width))
        scratch = np.empty(scratch_doubles)
        dims = np.zeros(abi.N_DIMS, dtype=np.int64)
        dims[abi.ROWS], dims[abi.WIDTH], dims[abi.COLUMNS] = rows, width, memory.columns
        dims[abi.SCRATCH], dims[abi.DATES], dims[abi.ORIGIN] = scratch.ctypes.data, memory.dates, origin
        mine = base.copy()
        for r in range(stage.n_registers):
            mine[r] = registers[r].ctypes.data
        desk = np.zeros(MAX_SLOTS + len(slots), dtype=np.int64)
        for first in starts:
            if first >= tiles:
                return
            last = min(first + chunk, tiles)
            run_tiles(code, mine, stride, params, dims, desk, first, last, 0 if time_axis else rows, memory.dates)

    if threads == 1:
        work()
        return
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()


def execute(
    plan: Plan, panel: Panel, *, threads: int | None = None, tile_rows: int | None = None, origin: int = 0
) -> list[FloatArray]:
    """The plan's outputs on `panel`, each (T, N) float64 with NaN where missing.

    Args:
        threads: default `default_threads()`.
        tile_rows: dates of a date-stage tile; it changes speed, never a bit of the result.
        origin: index of the panel's first date in the history it was cut from: windows are anchored there, so that a
            cut gives the bits of the whole.
    """
    memory = _Memory(plan, panel)
    for stage in plan.stages:
        memory.allocate(stage)
        _run_stage(stage, memory, threads or default_threads(), tile_rows, origin)
        memory.release(stage)
    return memory.outputs
