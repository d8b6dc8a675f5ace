"""Memory of the virtual machine: aligned arrays, intermediates that are used again, a thread's own registers.

Fresh pages cost more than the kernels that fill them: on a virtual machine filling 60 MB of them took 178 ms (huge
pages were in effect), filling them again 4 ms. So a run uses a buffer again as soon as nobody reads it, and leaves its
buffers in a pool for the next run; the pool keeps an eighth of the machine's memory, at least 512 MB and at most 4 GB,
and work with a memory budget trims it further. Each thread keeps its registers and scratch from call to call. Arrays
start at a cache line: a row of eight symbols is one line.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections import OrderedDict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from fama_fast.types import FloatArray

_LINE = 64
_MEGABYTE = 1 << 20
SPARE_BYTES = 512 * _MEGABYTE
"""What the pool keeps where memory is counted."""


def _memory_bytes() -> int:
    """What the machine has, or the control group that this process runs in; 0 where nobody says."""
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(limit).read_text(encoding="ascii")))
    return max(0, min(limits, default=0))


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> FloatArray:
    """An uninitialised C-contiguous array that starts at a cache line."""
    kind = np.dtype(dtype)
    size, pad = math.prod(shape), _LINE // kind.itemsize
    raw = np.empty(size + pad, kind)
    start = (-raw.ctypes.data % _LINE) // kind.itemsize
    return raw[start : start + size].reshape(shape)


def address(array: NDArray[Any]) -> int:
    """Where the array's first value lies. It takes Python some 3 microseconds to say, so what stays is asked once."""
    return array.ctypes.data


class BufferPool:
    """Arrays given back, by size; when the pool is full, those of the size that was not used for longest go.

    `give` never waits: the garbage collector may call it at any moment, also in a thread that is inside one of the
    other methods and so holds the lock. What comes back then lies in `_returned` until the next call sorts it in.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity  # None: asked of the machine when something is given back
        self._held = 0
        self._free: OrderedDict[int, list[FloatArray]] = OrderedDict()
        self._returned: deque[FloatArray] = deque()
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> FloatArray:
        size = math.prod(shape)
        with self._lock:
            self._sort_in()
            fit = size
            if not self._free.get(size):
                # The last chunk of dates is a few shorter than the others.
                fit = min((s for s, free in self._free.items() if free and _serves(s, size)), default=0)
            if fit:
                self._free.move_to_end(fit)
                self._held -= 8 * fit
                return self._free[fit].pop().reshape(-1)[:size].reshape(shape)
        return aligned(shape)

    def give(self, array: FloatArray) -> None:
        """Return an array that nobody else holds."""
        self._returned.append(array)
        if self._lock.acquire(blocking=False):
            try:
                self._sort_in()
            finally:
                self._lock.release()

    def trim(self, capacity: int) -> None:
        """Let go of what is held beyond so many bytes."""
        with self._lock:
            self._sort_in()
            self._shrink(capacity)

    def keep(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Let go of what serves none of these."""
        sizes = [math.prod(shape) for shape in shapes]
        with self._lock:
            self._sort_in()
            for held in [h for h in self._free if not any(_serves(h, size) for size in sizes)]:
                self._held -= 8 * held * len(self._free.pop(held))

    def clear(self) -> None:
        """Let go of all arrays: what follows needs other sizes, or the memory."""
        self.trim(0)

    def _sort_in(self) -> None:
        if not self._returned:
            return
        if self._capacity is None:
            self._capacity = max(SPARE_BYTES, min(_memory_bytes() // 8, 8 * SPARE_BYTES))
        while self._returned:
            array = self._returned.popleft()
            self._held += array.nbytes
            self._free.setdefault(array.size, []).append(array)
            self._free.move_to_end(array.size)
        self._shrink(self._capacity)

    def _shrink(self, capacity: int) -> None:
        while self._free and (self._held > capacity or capacity == 0):
            size, arrays = next(iter(self._free.items()))
            if arrays:
                self._held -= arrays.pop().nbytes
            if not arrays:
                del self._free[size]


def _serves(held: int, size: int) -> bool:
    """Whether an array of `held` numbers may be used for `size`: little of it would lie idle."""
    return size <= held <= size + size // 64


class _Lease:
    """The owner of a result's memory: when the last array that shows it is gone, the memory returns to the pool."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> None:
        self._array: FloatArray | None = None
        size = math.prod(shape)
        self._pool = POOL
        self._array = self._pool.take((max(-(-size * dtype.itemsize // 8), room),))
        shown = self._array.view(dtype)[:size].reshape(shape)
        self.__array_interface__ = shown.__array_interface__

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if self._array is not None and not ending():  # what the pool is made of may be gone by then
            self._pool.give(self._array)


def leased(shape: tuple[int, ...], dtype: DTypeLike = np.float64, room: int = 0) -> FloatArray:
    """An uninitialised array from the pool, which takes its memory back when nobody refers to it any more.

    room: float64 that the memory has room for, at least what `shape` needs: a buffer's, so that a buffer serves.
    """
    return np.asarray(_Lease(shape, np.dtype(dtype), room))


class Desk(threading.local):
    """A thread's registers and scratch, kept between calls and grown when a stage needs more."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[FloatArray, int]] = {}

    def room(self, name: str, size: int) -> tuple[FloatArray, int]:
        """At least so many float64, and where they lie."""
        found = self._rooms.get(name)
        if found is None or found[0].size < size:
            array = aligned((size,))
            found = self._rooms[name] = array, address(array)
        return found


POOL = BufferPool()
DESK = Desk()
