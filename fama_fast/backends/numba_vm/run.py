"""Run a plan on a panel: memory for buffers, registers and results, tiles spread over threads.

The algorithm, stage by stage (`execute`):
1. blocked copies of the panel's fields are made once and kept with the panel (`blocked`);
2. buffers that the stage writes are those of earlier stages that nobody reads any more, or come from a pool
   (`_Memory`);
3. the instructions become rows of integers with kernel addresses (`_assemble`);
4. each thread has registers and scratch of its own and takes tiles until none is left (`_run_stage`);
5. in the end all buffers go back to the pool.

A value depends on its tile alone, and kernels treat every row and symbol alike, so the bits are the same at any number
of threads and any tile size.
"""

from __future__ import annotations

import functools
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama_fast.backends.numba_vm import abi, loop
from fama_fast.backends.numba_vm.compile import kernel_address
from fama_fast.backends.numba_vm.memory import DESK, POOL, leased
from fama_fast.backends.numba_vm.simd import LANES
from fama_fast.backends.numba_vm.stats import find_ties
from fama_fast.backends.numba_vm.threads import default_threads, run_together
from fama_fast.errors import DataError
from fama_fast.plan import UNIVERSE, Axis, Plan, Slot, Space, Stage, narrowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from fama_fast.panel import Panel
    from fama_fast.types import BoolArray, FloatArray, IntArray

# Registers of a date stage should stay in the second-level cache of a core.
_TILE_BYTES = 384 * 1024
_MAX_TILE_ROWS = 32

_BLOCKED: weakref.WeakKeyDictionary[Panel, dict[str, FloatArray]] = weakref.WeakKeyDictionary()
_BLOCKED_LOCK = threading.Lock()


def to_blocks(values: FloatArray, dtype: DTypeLike = np.float64) -> FloatArray:
    """(T, N) as (ceil(N/8), T, 8) of this type; lanes without a symbol are missing."""
    t, n = values.shape
    blocks = -(-n // LANES)
    out = leased((blocks, t, LANES), dtype)
    out[-1] = np.nan
    whole = n // LANES
    if whole:
        out[:whole] = values[:, : whole * LANES].reshape(t, whole, LANES).transpose(1, 0, 2)
    if n % LANES:
        out[whole, :, : n % LANES] = values[:, whole * LANES :]
    return out


def blocked(panel: Panel, name: str) -> FloatArray:
    """The blocked copy of a field (or of "group:NAME", or of the universe as 1 and missing), made once a panel.

    Fields are of the panel's type, groups and the universe float64.
    """
    with _BLOCKED_LOCK:
        copies = _BLOCKED.setdefault(panel, {})
        if name not in copies:
            if name == UNIVERSE:
                assert panel.universe is not None
                copies[name] = to_blocks(np.where(panel.universe, 1.0, np.nan))
            elif name.startswith("group:"):
                copies[name] = to_blocks(panel.group(name.removeprefix("group:")).codes)
            else:
                copies[name] = to_blocks(panel.read(name), panel.dtype)
        return copies[name]


class RowOrder(Protocol):
    """What a RankIC sink correlates with: values and the order of each date's, such as `evaluation.SortedRows`.

    Attributes:
        values: (T, N) float64. order: (T, N) int32, columns of the known labels in ascending order, first count[t] of
            row t. count: (T,) int64.
    """

    @property
    def values(self) -> FloatArray: ...

    @property
    def order(self) -> NDArray[np.int32]: ...

    @property
    def count(self) -> IntArray: ...


@dataclass(frozen=True)
class SortedLabels:
    """A `RowOrder` of arrays that somebody sorted."""

    values: FloatArray
    order: NDArray[np.int32]
    count: IntArray


class _Memory:
    """Addresses of everything a stage's slots can name, shared by all threads."""

    def __init__(
        self,
        plan: Plan,
        panel: Panel,
        out: Sequence[FloatArray] | None,
        labels: RowOrder | None,
        dtype: DTypeLike = np.float64,
        first: int = 0,
        wanted: int = 0,
    ) -> None:
        t, n = panel.shape
        self.dtype, self.first, self.wanted = np.dtype(dtype), first, wanted
        self.dates, self.columns = t, n
        self.blocks = -(-n // LANES)
        self.fields = [blocked(panel, name) for name in plan.fields]
        self.buffers: dict[int, FloatArray] = {}
        self.unused: list[FloatArray] = []  # buffers of earlier stages
        self.blocked = plan.blocked
        # Most buffers that are in use at once from each stage on.
        live, levels = 0, []
        for stage in plan.stages:
            live += len(stage.allocates)
            levels.append(live)
            live -= len(stage.releases)
        self.most = np.maximum.accumulate(np.array([*levels, 0])[::-1])[::-1].tolist()
        self.shape = (t, 2) if plan.sink else (self.blocks, t, LANES) if plan.blocked else (t - wanted, n)
        self.outputs: dict[int, FloatArray] = {}
        if out is not None:
            if len(out) != plan.n_outputs:
                raise DataError(f"out must hold {plan.n_outputs} arrays, one for each expression, not {len(out)}")
            self.outputs = dict(enumerate(out))
        elif plan.sink:
            self.outputs = {i: np.full(self.shape, np.nan) for i in range(plan.n_outputs)}
        self.external: list[NDArray[Any]] = []
        if plan.sink:
            assert labels is not None
            if labels.values.shape != (t, n):
                raise DataError(f"labels have shape {labels.values.shape}, the panel {(t, n)}")
            order = np.ascontiguousarray(labels.order, dtype=np.int32)
            values = np.ascontiguousarray(labels.values, dtype=np.float64)
            count = labels.count.astype(np.int64)
            tied = np.zeros(t)
            find_ties(values, order, count, tied)
            self.external = [values, order, count.astype(np.float64), tied]
        for array in self.outputs.values():
            if array.shape != self.shape or array.dtype != self.dtype or not array.flags.c_contiguous:
                raise DataError(
                    f"out must hold C-contiguous {self.dtype} arrays of shape {self.shape}, one for each expression"
                )
        self.groups = max((len(panel.group(f[6:]).labels) for f in plan.fields if f.startswith("group:")), default=0)

    def allocate(self, stage: Stage) -> None:
        for index in stage.allocates:
            shape = (self.blocks, self.dates, LANES)
            self.buffers[index] = self.unused.pop() if self.unused else POOL.take(shape)

    def release(self, stage: Stage, number: int) -> None:
        """After stage `number`: what no later stage can need goes to the pool, where a result may take it."""
        for index in stage.releases:
            self.unused.append(self.buffers.pop(index))
        while self.unused and len(self.unused) + len(self.buffers) > self.most[number + 1]:
            POOL.give(self.unused.pop())

    def close(self) -> None:
        """Buffers go to the pool, which may keep fewer than a run needs at once."""
        for array in (*self.unused, *self.buffers.values()):
            POOL.give(array)
        self.unused, self.buffers = [], {}

    def locate(self, slot: Slot) -> tuple[int, int, int]:
        """(address, bytes from one symbol block to the next, bytes of a value)."""
        if slot.space is Space.OUTPUT:
            if slot.index not in self.outputs:
                # Not before it is written: the buffers that the run has done with become results.
                # A chunk's, which leave the rows before it out, and those of float32 are too small for that.
                fits = self.wanted == 0 and self.dtype == np.float64
                self.outputs[slot.index] = leased(self.shape, self.dtype, self.blocks * self.dates * LANES * fits)
            array = self.outputs[slot.index]
            return array.ctypes.data, array.itemsize * self.dates * LANES if self.blocked else 0, array.itemsize
        if slot.space is Space.EXTERNAL:
            return self.external[slot.index].ctypes.data, 0, 8
        array = self.fields[slot.index] if slot.space is Space.FIELD else self.buffers[slot.index]
        return array.ctypes.data, array.itemsize * self.dates * LANES, array.itemsize


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


@functools.lru_cache(maxsize=1024)
def _assemble(stage: Stage) -> tuple[IntArray, FloatArray, list[Slot]]:
    """Code rows, parameters, and the distinct slots that the code's slot numbers mean (registers first).

    Kept for the stages of plans that run again, which small panels notice.
    """
    slots = {Slot(Space.REGISTER, i): i for i in range(stage.n_registers)}
    code = np.zeros((len(stage.instructions), loop.INSTRUCTION_WIDTH), dtype=np.int64)
    params: list[float] = []
    for row, instruction, kind in zip(code, stage.instructions, _kinds(stage), strict=True):
        used = (instruction.out, *instruction.inputs)
        if len(used) > loop.MAX_SLOTS:
            raise ValueError(f"{instruction.kernel}: more than {loop.MAX_SLOTS - 1} operands")
        row[loop.KERNEL] = kernel_address(instruction.kernel, instruction.narrow)
        row[loop.KIND] = kind
        row[loop.N_SLOTS] = len(used)
        row[loop.PARAMS] = len(params)
        for j, slot in enumerate(used):
            row[loop.FIRST_SLOT + j] = -1 if slot.space is Space.NUMBER else slots.setdefault(slot, len(slots))
        params.extend(instruction.params)
    return code, np.array([*params, 0.0]), list(slots)


def _scratch_doubles(stage: Stage, memory: _Memory) -> int:
    if stage.axis is Axis.TIME:
        return (stage.max_window + 2) * 6 * LANES + 64
    from fama_fast.backends.numba_vm.kernels.radix import scratch_size

    size: Callable[[int], int] = scratch_size.py_func
    return size(memory.columns) + 8 * (memory.groups + memory.columns + 8)


def _date_tiles(
    memory: _Memory, stage: Stage, tile_rows: int | None, needed: BoolArray | None
) -> tuple[IntArray, IntArray]:
    """First date and number of dates of each tile of a date stage: runs of needed dates, cut to what a cache holds."""
    fit = _TILE_BYTES // max(1, stage.n_registers * memory.blocks * LANES * 8)
    rows = tile_rows or max(1, min(_MAX_TILE_ROWS, fit))
    if needed is None:
        first = np.arange(memory.first, memory.dates, rows, dtype=np.int64)
        return first, np.minimum(rows, memory.dates - first)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], needed, [False])).astype(np.int8)))
    runs = [np.arange(a, b, rows, dtype=np.int64) for a, b in edges.reshape(-1, 2)]
    sizes = [np.minimum(rows, b - run) for run, (_, b) in zip(runs, edges.reshape(-1, 2), strict=True)]
    return np.concatenate([_NO_TILES, *runs]), np.concatenate([_NO_TILES, *sizes])


def _needed_dates(plan: Plan, stage: Stage, dates: int, rows: IntArray | None) -> BoolArray | None:
    """Dates that a date stage must compute so that the sinks have `rows`; None for all.

    A stage that only ends in sinks needs those dates; one that later windows read needs their lookback as well.
    """
    if rows is None or stage.axis is Axis.TIME:
        return None
    needed = np.zeros(dates, dtype=bool)
    needed[rows] = True
    if stage.allocates:
        steps = np.zeros(dates + 1, dtype=np.int64)
        np.add.at(steps, np.maximum(0, rows - plan.lookback), 1)
        np.add.at(steps, rows + 1, -1)
        needed = np.cumsum(steps[:-1]) > 0
    return needed


_NO_TILES = np.empty(0, dtype=np.int64)


def _run_stage(
    stage: Stage,
    memory: _Memory,
    threads: int,
    tile_rows: int | None,
    origin: int,
    needed: BoolArray | None,
) -> None:
    code, params, slots = _assemble(stage)
    time_axis = stage.axis is Axis.TIME
    width = LANES if time_axis else memory.blocks * LANES
    if time_axis:
        tile_first, tile_sizes = _NO_TILES, _NO_TILES
    else:
        tile_first, tile_sizes = _date_tiles(memory, stage, tile_rows, needed)
        if tile_first.size == 0:
            return
    rows = memory.dates - memory.first if time_axis else int(tile_sizes.max())
    tiles = memory.blocks if time_axis else tile_first.size
    base = np.zeros(len(slots), dtype=np.int64)
    stride = np.zeros(len(slots), dtype=np.int64)
    item = np.full(len(slots), 8, dtype=np.int64)
    for i, slot in enumerate(slots):
        if slot.space is not Space.REGISTER:
            base[i], step, item[i] = memory.locate(slot)
            stride[i] = step if time_axis else 0
            if time_axis and slot.space is not Space.OUTPUT:
                base[i] += item[i] * LANES * memory.first
    skipped = memory.first if time_axis else 0  # dates before row 0 of a tile
    threads = max(1, min(threads, tiles))
    chunk = max(1, tiles // (threads * 8))
    counter = np.zeros(1, dtype=np.int64)
    scratch_doubles = _scratch_doubles(stage, memory)

    def work() -> None:
        registers = DESK.array("registers", stage.n_registers * rows * width)
        scratch = DESK.array("scratch", scratch_doubles)
        dims = np.zeros(abi.N_DIMS, dtype=np.int64)
        dims[abi.ROWS], dims[abi.WIDTH], dims[abi.COLUMNS] = rows, width, memory.columns
        dims[abi.SCRATCH], dims[abi.DATES], dims[abi.ORIGIN] = scratch.ctypes.data, memory.dates, origin + skipped
        dims[abi.FIRST_RESULT] = memory.wanted - skipped
        mine = base.copy()
        mine[: stage.n_registers] = registers.ctypes.data + 8 * rows * width * np.arange(stage.n_registers)
        desk = np.zeros(loop.MAX_SLOTS + len(slots), dtype=np.int64)
        loop.run_tiles(code, mine, stride, item, params, dims, desk, counter, chunk, tiles, tile_first, tile_sizes)

    run_together(work, threads)


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
) -> list[FloatArray]:
    """The plan's outputs on `panel`, each (T, N) of `dtype` with NaN where missing.

    Of a blocked plan each is (ceil(N / 8), T, 8); of a plan with a sink, (T, 2) float64. Plans do not know of float32:
    what differs for fields or results of that type is put in here (`plan.narrow`).

    Args:
        threads: default `default_threads()`.
        tile_rows: dates of a date-stage tile; it changes speed, never a bit of the result.
        origin: index of the panel's first date in the history it was cut from: windows are anchored there, so that a
            cut gives the bits of the whole.
        out: arrays to write to, one for each output.
        labels: what a sink correlates with. rows: dates that a sink is asked for (default all): cross-sectional work is
            done on those and on what windows above it need, and figures of other dates are not to be read.
        dtype: of the outputs: float64, or float32, to which they are rounded as they are written.
        first: the row that work begins at, as if the panel began there. wanted: the first row of the results, which
            have no row before it; neither a blocked plan nor one with a sink has a use for them.

    Raises:
        DataError: `out` has the wrong shape, type or layout.
    """
    results = np.dtype(np.float64 if plan.sink else dtype)
    if np.float32 in (panel.dtype, results):
        plan = narrowed(plan, fields=panel.dtype == np.float32, results=results == np.float32)
    memory = _Memory(plan, panel, out, labels, results, first, wanted)
    try:
        for number, stage in enumerate(plan.stages):
            memory.allocate(stage)
            needed = _needed_dates(plan, stage, memory.dates, rows)
            _run_stage(stage, memory, threads or default_threads(), tile_rows, origin, needed)
            memory.release(stage, number)
    finally:
        memory.close()
    if plan.blocked and memory.columns % LANES:
        for values in memory.outputs.values():
            values[-1, :, memory.columns % LANES :] = np.nan
    return [memory.outputs[i] for i in range(plan.n_outputs)]
