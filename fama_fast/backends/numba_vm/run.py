"""Run a plan on a panel: memory for buffers, registers and results, tiles spread over threads.

The algorithm, stage by stage (`execute`):
1. blocked copies of the panel's fields are made once and kept with the panel (`blocked`);
2. buffers that the stage writes are those of earlier stages that nobody reads any more, or come from a pool
   (`RunMemory`);
3. the instructions become rows of integers with kernel addresses (`_assemble`);
4. each thread has registers and scratch of its own and takes tiles until none is left (`_job`, `threads`);
5. in the end all buffers go back to the pool.

A value depends on its tile alone, and kernels treat every row and symbol alike, so the bits are the same at any number
of threads and any tile size.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import whole
from fama_fast.backends.numba_vm import abi, chain, loop
from fama_fast.backends.numba_vm.compile import kernel_address, kernel_of
from fama_fast.backends.numba_vm.memory import DESK, address, aligned
from fama_fast.backends.numba_vm.run_memory import RowOrder, RunMemory
from fama_fast.backends.numba_vm.simd import LANES
from fama_fast.backends.numba_vm.threads import HELPERS, ahead, thread_count
from fama_fast.plan import Axis, Plan, Slot, Space, Stage, narrowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike

    from fama_fast.panel import Panel
    from fama_fast.types import FloatArray, IntArray

# Registers of a date stage should stay in the second-level cache of a core.
_TILE_BYTES = 384 * 1024
_MAX_TILE_ROWS = 32
# Cells times instructions of a stage that takes about as long as waking a thread does.
_WORTH_WAKING = 100_000
_LONG = 4  # stages of a plan that another thread assembles while those before them run


_KINDS = {
    "memory.fill": loop.FLAT,
    "memory.copy": loop.FLAT,
    "memory.narrow": loop.FLAT,
    "memory.emit_block": loop.EMIT_BLOCK,
    "memory.emit_block_narrow": loop.EMIT_BLOCK,
    "ts_lag.delay": loop.LAG,
}


def _kind(kernel: str) -> int:
    if kernel.startswith("elementwise."):
        return loop.FLAT
    return _KINDS.get(kernel, loop.WHOLE)


def _kinds(stage: Stage) -> list[int]:
    """How the loop runs each instruction.

    A lag reads rows of earlier pieces, so it joins a run of pieces only if nothing in the run writes its operand:
    neither the operand's own computation nor, later, another value in the same register.
    """
    kinds = [_kind(instruction.kernel) for instruction in stage.instructions]
    while True:
        start = 0
        for i in range(len(kinds) + 1):
            if i < len(kinds) and kinds[i] != loop.WHOLE:
                continue
            written = {instruction.out for instruction in stage.instructions[start:i]}
            for k in range(start, i):
                if kinds[k] == loop.LAG and stage.instructions[k].inputs[0] in written:
                    kinds[k] = loop.WHOLE
                    break
            else:
                start = i + 1
                continue
            break
        else:
            return kinds


@dataclass(frozen=True)
class _Code:
    """A stage as the loop reads it.

    Attributes:
        kernels: of each instruction. rows: (instructions, INSTRUCTION_WIDTH). params: of all instructions.
        slots: what the code's slot numbers mean, the `n_registers` registers first.
        scratch: float64 of scratch memory that its chains need.
    """

    kernels: tuple[str, ...]
    rows: IntArray
    params: FloatArray
    slots: list[Slot]
    n_registers: int
    scratch: int

    @functools.cached_property
    def rows_at(self) -> int:
        return address(self.rows)

    @functools.cached_property
    def params_at(self) -> int:
        return address(self.params)


@functools.lru_cache(maxsize=1024)
def _assemble(stage: Stage) -> _Code:
    """Kept for the stages of plans that run again, which small panels notice."""
    instructions, kinds = chain.chained(stage.instructions, _kinds(stage))
    registers = {s for made in instructions for s in (made.out, *made.inputs) if s.space is Space.REGISTER}
    slots = {slot: i for i, slot in enumerate(sorted(registers, key=lambda slot: slot.index))}
    code: list[list[int]] = []
    params: list[float] = []
    for instruction, kind in zip(instructions, kinds, strict=True):
        row = [0] * loop.INSTRUCTION_WIDTH
        used = (instruction.out, *instruction.inputs)
        if len(used) > loop.MAX_SLOTS:
            raise ValueError(f"{instruction.kernel}: more than {loop.MAX_SLOTS - 1} operands")
        row[loop.KERNEL] = kernel_address(kernel_of(instruction), instruction.narrow)
        row[loop.KIND] = kind
        row[loop.N_SLOTS] = len(used)
        row[loop.PARAMS] = len(params)
        for j, slot in enumerate(used):
            row[loop.FIRST_SLOT + j] = -1 if slot.space is Space.NUMBER else slots.setdefault(slot, len(slots))
        params.extend(instruction.params)
        code.append(row)
    scratch = max([chain.scratch_doubles(made) for made in instructions if made.kernel == chain.KERNEL], default=0)
    kernels = tuple(map(kernel_of, instructions))
    rows = np.array(code, dtype=np.int64).reshape(-1, loop.INSTRUCTION_WIDTH)
    return _Code(kernels, rows, np.array([*params, 0.0]), list(slots), len(registers), scratch)


def _scratch_doubles(stage: Stage, code: _Code, memory: RunMemory) -> int:
    if stage.axis is Axis.TIME:
        return max((stage.max_window + 2) * 6 * LANES + 64, code.scratch)
    from fama_fast.backends.numba_vm.kernels.radix import scratch_size

    size: Callable[[int], int] = scratch_size.py_func
    return max(size(memory.columns) + 8 * (memory.groups + memory.columns + 8), code.scratch)


@dataclass(frozen=True)
class _Tiles:
    """First date and number of dates of each tile of a date stage, where the two arrays lie, and the most dates."""

    first: IntArray
    sizes: IntArray
    first_at: int
    sizes_at: int
    rows: int


_NO_TILES = np.empty(0, dtype=np.int64)


class _Cuts:
    """The tiles of a run's date stages: runs of needed dates, cut to what a cache holds. Most stages share theirs.

    Args:
        rows: dates that the sinks are asked for; None for all. tile_rows: dates of a tile, if not as the cache wants.
    """

    def __init__(self, plan: Plan, memory: RunMemory, tile_rows: int | None, rows: IntArray | None) -> None:
        self._lookback, self._rows, self._tile_rows = plan.lookback, rows, tile_rows
        self._first, self._dates, self._row_bytes = memory.first, memory.dates, memory.blocks * LANES * 8
        self._made: dict[tuple[bool, int], _Tiles] = {}

    def of(self, stage: Stage, n_registers: int) -> _Tiles:
        """A stage that only ends in sinks needs their dates; one that later windows read needs their lookback too."""
        fit = _TILE_BYTES // max(1, n_registers * self._row_bytes)
        key = bool(stage.allocates), self._tile_rows or max(1, min(_MAX_TILE_ROWS, fit))
        if key not in self._made:
            first, sizes = self._tiles(*key)
            rows = int(sizes.max()) if sizes.size else 0
            self._made[key] = _Tiles(first, sizes, address(first), address(sizes), rows)
        return self._made[key]

    def _tiles(self, looks_back: bool, size: int) -> tuple[IntArray, IntArray]:
        if self._rows is None:
            first = np.arange(self._first, self._dates, size, dtype=np.int64)
            return first, np.minimum(size, self._dates - first)
        steps = np.zeros(self._dates + 1, dtype=np.int64)
        np.add.at(steps, np.maximum(0, self._rows - self._lookback * looks_back), 1)
        np.add.at(steps, self._rows + 1, -1)
        needed = np.cumsum(steps[:-1]) > 0
        edges = np.flatnonzero(np.diff(np.concatenate(([False], needed, [False])).astype(np.int8))).reshape(-1, 2)
        runs = [np.arange(a, b, size, dtype=np.int64) for a, b in edges]
        sizes = [np.minimum(size, b - run) for run, (_, b) in zip(runs, edges, strict=True)]
        return np.concatenate([_NO_TILES, *runs]), np.concatenate([_NO_TILES, *sizes])


@dataclass(frozen=True)
class _Job:
    """A stage ready to run: `loop`'s numbers, float64 that a thread needs beside them, and how many threads work on it.

    Attributes:
        wake: whether it is worth waking a thread. holds: arrays whose addresses are among the numbers.
    """

    numbers: list[int]
    doubles: int
    threads: int
    wake: bool
    holds: tuple[object, ...]


def _job(
    stage: Stage,
    code: _Code,
    memory: RunMemory,
    threads: int,
    cuts: _Cuts,
    origin: int,
) -> _Job | None:
    """The stage, of which `code` is the whole or a part, on this memory; None where it has nothing to do."""
    time_axis = stage.axis is Axis.TIME
    dates: _Tiles | None = None
    if time_axis:
        width, rows, tiles = LANES, memory.dates - memory.first, memory.blocks
        skipped = memory.first  # dates before row 0 of a tile
    else:
        dates = cuts.of(stage, code.n_registers)
        if not dates.rows:
            return None
        width, rows, tiles = memory.blocks * LANES, dates.rows, dates.first.size
        skipped = 0
    base, stride, item = [0] * code.n_registers, [0] * code.n_registers, [8] * code.n_registers
    for slot in code.slots[code.n_registers :]:
        at, step, size = memory.locate(slot)
        if time_axis and slot.space is not Space.OUTPUT:
            at += size * LANES * memory.first
        base.append(at)
        stride.append(step if time_axis else 0)
        item.append(size)
    threads = max(1, min(threads, tiles))
    head = [0] * loop.SLOTS
    head[loop.CODE], head[loop.N_CODE], head[loop.CODE_PARAMS] = code.rows_at, len(code.rows), code.params_at
    head[loop.JOB_SLOTS], head[loop.N_REGISTERS] = len(base), code.n_registers
    head[loop.CHUNK], head[loop.TILES] = max(1, tiles // (threads * 16)), tiles
    if dates is not None:
        head[loop.TILE_FIRST], head[loop.TILE_ROWS] = dates.first_at, dates.sizes_at
    registers_at = -(-(abi.N_DIMS + 2 * len(base) + loop.MAX_SLOTS) // LANES) * LANES  # in float64, from a line on
    scratch_at = registers_at + code.n_registers * rows * width
    head[loop.REGISTER_BYTES] = 8 * rows * width
    head[loop.REGISTERS_AT], head[loop.SCRATCH_AT] = 8 * registers_at, 8 * scratch_at
    dims = loop.DIMS
    head[dims + abi.ROWS], head[dims + abi.WIDTH], head[dims + abi.COLUMNS] = rows, width, memory.columns
    head[dims + abi.DATES], head[dims + abi.ORIGIN] = memory.dates, origin + skipped
    head[dims + abi.FIRST_RESULT] = memory.wanted - skipped
    doubles = scratch_at + _scratch_doubles(stage, code, memory)
    wake = memory.dates * memory.blocks * LANES * len(code.rows) >= _WORTH_WAKING
    return _Job([*head, *base, *stride, *item], doubles, threads, wake, (code, dates))


def _run(job: _Job) -> None:
    paper, at = DESK.room("job", len(job.numbers))
    paper.view(np.int64)[: len(job.numbers)] = job.numbers
    HELPERS.run(at, job.doubles, job.threads, job.wake)


def _codes(plan: Plan) -> Iterator[_Code]:
    """Of its stages in turn."""
    # Long plans are those of many expressions, which seldom come again: assembling them took a twentieth of a search.
    return ahead(_assemble, plan.stages) if len(plan.stages) >= _LONG else map(_assemble, plan.stages)


def _jobs(
    plan: Plan,
    codes: Iterator[_Code],
    memory: RunMemory,
    threads: int | None,
    tile_rows: int | None,
    origin: int,
    rows: IntArray | None,
) -> Iterator[_Job]:
    """What is to be run, one job after the other; memory is shared out as they are asked for."""
    cuts = _Cuts(plan, memory, tile_rows, rows)
    workers = thread_count(threads)
    for number, (stage, code) in enumerate(zip(plan.stages, codes, strict=True)):
        memory.allocate(stage)
        job = _job(stage, code, memory, workers, cuts, origin)
        if job is not None:
            yield job
        memory.release(stage, number)


def execute(
    plan: Plan,
    panel: Panel,
    *,
    threads: int | None = None,
    tile_rows: int | None = None,
    origin: int = 0,
    out: Sequence[FloatArray] | None = None,
    labels: RowOrder | None = None,
    rows: IntArray | None = None,
    dtype: DTypeLike = np.float64,
    first: int = 0,
    wanted: int = 0,
    sampled: IntArray | None = None,
) -> list[FloatArray]:
    """The plan's outputs on `panel`, each (T, N) of `dtype` with NaN where missing.

    Of a blocked plan each is (ceil(N / 8), T, 8); of a plan with a sink, (T, `Plan.figures`) float64. Plans do
    not know of float32: what differs for fields or results of that type is put in here (`plan.narrow`).

    Args:
        threads: default `threads.default_threads()`.
        tile_rows: dates of a date-stage tile; it changes speed, never a bit of the result.
        origin: index of the panel's first date in the history it was cut from: windows are anchored there, so that a
            cut gives the bits of the whole.
        out: arrays to write to, one for each output.
        labels: what a sink correlates with. rows: dates that a sink is asked for (default all): cross-sectional work is
            done on those and on what windows above it need, and figures of other dates are not to be read.
        dtype: of the outputs: float64, or float32, to which they are rounded as they are written.
        first: the row that work begins at, as if the panel began there. wanted: the first row of the results, which
            have no row before it; neither a blocked plan nor one with a sink has a use for them.
        sampled: dates whose ranks in 8 bits a plan with `levels` gives, ascending.

    Raises:
        DataError: `out` has the wrong shape, type or layout. ConfigError: `threads` or `tile_rows` is no whole number.
    """
    if tile_rows is not None:
        tile_rows = min(whole(tile_rows, "tile_rows", 1), panel.shape[0])
    results = np.dtype(np.float64 if plan.sink else dtype)
    if np.float32 in (panel.dtype, results):
        plan = narrowed(plan, fields=panel.dtype == np.float32, results=results == np.float32)
    codes = _codes(plan)
    memory = RunMemory(plan, panel, out, labels, results, first, wanted, sampled=sampled)
    try:
        for job in _jobs(plan, codes, memory, threads, tile_rows, origin, rows):
            _run(job)
    finally:
        memory.close()
    memory.clear_lanes()
    return [memory.outputs[i] for i in range(plan.n_outputs)]


class Bound:
    """A plan, a panel and arrays for the results, put together once: to run it again and again.

    On small panels that saves a fifth of the time (docs/decisions/005-time-outside-kernels.md). It keeps its
    intermediates. One thread at a time may run it.
    """

    def __init__(self, plan: Plan, panel: Panel, out: Sequence[FloatArray], threads: int | None = None) -> None:
        """Arguments as of `execute`; the same errors."""
        if panel.dtype == np.float32:
            plan = narrowed(plan, fields=True, results=False)
        self._memory = RunMemory(plan, panel, out, None, keeps=True)
        weakref.finalize(self, self._memory.close)
        self._jobs = []
        for job in _jobs(plan, _codes(plan), self._memory, threads, None, 0, None):
            numbers = aligned((len(job.numbers),)).view(np.int64)
            numbers[:] = job.numbers
            self._jobs.append((numbers, address(numbers), job))

    def run(self) -> None:
        """Write the results once more."""
        for _, at, job in self._jobs:
            HELPERS.run(at, job.doubles, job.threads, job.wake)
        self._memory.clear_lanes()
