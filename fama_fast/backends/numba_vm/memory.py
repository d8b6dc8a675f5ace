"""Memory of the virtual machine: aligned arrays, intermediates that are used again, a thread's own registers.

Fresh pages cost more than the kernels that fill them, so buffers go back to a pool of bounded size, and each thread
keeps its registers and scratch from call to call. Arrays start at a cache line: a row of eight symbols is one line.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fama_fast.types import FloatArray

_LINE = 64
_POOL_BYTES = 512 * 1024 * 1024


def aligned(shape: tuple[int, ...]) -> FloatArray:
    """An uninitialised C-contiguous float64 array that starts at a cache line."""
    size = math.prod(shape)
    raw = np.empty(size + _LINE // 8)
    start = (-raw.ctypes.data % _LINE) // 8
    return raw[start : start + size].reshape(shape)


class BufferPool:
    """Arrays given back, by size; the least recently returned ones go when the pool is full."""

    def __init__(self, capacity: int = _POOL_BYTES) -> None:
        self._capacity = capacity
        self._held = 0
        self._free: dict[int, list[FloatArray]] = defaultdict(list)
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> FloatArray:
        size = math.prod(shape)
        with self._lock:
            if self._free[size]:
                self._held -= 8 * size
                return self._free[size].pop().reshape(shape)
        return aligned(shape)

    def give(self, array: FloatArray) -> None:
        """Return an array that nobody else holds."""
        with self._lock:
            if self._held + array.nbytes <= self._capacity:
                self._held += array.nbytes
                self._free[array.size].append(array)

    def clear(self) -> None:
        """Let go of all arrays: what follows needs other sizes, or the memory."""
        with self._lock:
            self._free.clear()
            self._held = 0


class _Lease:
    """The owner of a result's memory: when the last array that shows it is gone, the memory returns to the pool."""

    def __init__(self, array: FloatArray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__

    def __del__(self) -> None:
        POOL.give(self._array)


def leased(shape: tuple[int, ...]) -> FloatArray:
    """An uninitialised array from the pool, which takes its memory back when nobody refers to it any more."""
    return np.asarray(_Lease(POOL.take(shape)))


class Desk(threading.local):
    """A thread's registers and scratch, kept between calls and grown when a stage needs more."""

    def __init__(self) -> None:
        self._arrays: dict[str, FloatArray] = {}

    def array(self, name: str, size: int) -> FloatArray:
        found = self._arrays.get(name)
        if found is None or found.size < size:
            found = self._arrays[name] = aligned((size,))
        return found


POOL = BufferPool()
DESK = Desk()
