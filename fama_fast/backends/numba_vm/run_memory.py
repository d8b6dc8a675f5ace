"""Buffers of one run of a program: where each slot lies, when it is allocated and when it is free again."""

from __future__ import annotations

import functools
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from fama_fast.backends.numba_vm.memory import POOL, address, leased
from fama_fast.backends.numba_vm.simd import LANES
from fama_fast.backends.numba_vm.stats import find_ties
from fama_fast.errors import DataError
from fama_fast.plan import UNIVERSE, Plan, Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from fama_fast.panel import Panel
    from fama_fast.plan.program import Slot, Stage
    from fama_fast.types import FloatArray, IntArray


_BLOCKED_LOCK = threading.Lock()


_BLOCKED: weakref.WeakKeyDictionary[Panel, dict[str, tuple[FloatArray, int]]] = weakref.WeakKeyDictionary()


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


def blocked(panel: Panel, name: str) -> tuple[FloatArray, int]:
    """The blocked copy of a field (or of "group:NAME", or of the universe as 1 and missing), made once a panel.

    Fields are of the panel's type, groups and the universe float64. With it, where it lies.
    """
    with _BLOCKED_LOCK:
        copies = _BLOCKED.setdefault(panel, {})
        if name not in copies:
            if name == UNIVERSE:
                assert panel.universe is not None
                made = to_blocks(np.where(panel.universe, 1.0, np.nan))
            elif name.startswith("group:"):
                made = to_blocks(panel.group(name.removeprefix("group:")).codes)
            else:
                made = to_blocks(panel.read(name), panel.dtype)
            copies[name] = made, address(made)
        return copies[name]


class RowOrder(Protocol):
    """What a RankIC sink correlates with: values and the order of each date's, such as `evaluation.SortedRows`.

    Attributes:
        values: (T, N) float64. order: (T, N) int32, columns of the known labels in ascending order, first count[t] of
            row t. count: (T,) int64. tied: (T,) float64, 1 where two of a row's values are equal.
    """

    @property
    def values(self) -> FloatArray: ...

    @property
    def order(self) -> NDArray[np.int32]: ...

    @property
    def count(self) -> IntArray: ...

    @property
    def tied(self) -> FloatArray: ...


@dataclass(frozen=True)
class SortedLabels:
    """A `RowOrder` of arrays that somebody sorted."""

    trusted: ClassVar[bool] = True  # nobody need look where its order leads

    values: FloatArray
    order: NDArray[np.int32]
    count: IntArray

    @functools.cached_property
    def tied(self) -> FloatArray:
        out = np.zeros(len(self.values))
        find_ties(
            np.ascontiguousarray(self.values, dtype=np.float64),
            np.ascontiguousarray(self.order, dtype=np.int32),
            self.count.astype(np.int64),
            out,
        )
        return out


class RunMemory:
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
        keeps: bool = False,
        sampled: IntArray | None = None,
    ) -> None:
        t, n = panel.shape
        self.dtype, self.first, self.wanted = np.dtype(dtype), first, wanted
        self.dates, self.columns = t, n
        self.blocks = -(-n // LANES)
        self.fields = [blocked(panel, name) for name in plan.fields]
        # With where each lies.
        self.buffers: dict[int, tuple[FloatArray, int]] = {}
        self.unused: list[tuple[FloatArray, int]] = []  # buffers of earlier stages
        self.keeps = keeps  # whether the run comes again, and needs them all
        self.blocked = plan.blocked
        self.most = plan.most_buffers
        places = np.zeros(0, dtype=np.int64) if sampled is None else sampled
        rows = plan.sink_rows(t, len(places), n)
        self.shape = (
            (rows, plan.figures(n)) if plan.sink else (self.blocks, t, LANES) if plan.blocked else (t - wanted, n)
        )
        self.outputs: dict[int, FloatArray] = {}
        if out is not None:
            if len(out) != plan.n_outputs:
                raise DataError(f"out must hold {plan.n_outputs} arrays, one for each expression, not {len(out)}")
            self.outputs = dict(enumerate(out))
        elif plan.sink:
            self.outputs = {i: np.full(self.shape, np.nan) for i in range(plan.n_outputs)}
        self.external: list[tuple[NDArray[Any], int]] = []
        if plan.sink:
            assert labels is not None
            if labels.values.shape != (t, n):
                raise DataError(f"labels have shape {labels.values.shape}, the panel {(t, n)}")
            order = np.ascontiguousarray(labels.order, dtype=np.int32)
            values = np.ascontiguousarray(labels.values, dtype=np.float64)
            count = labels.count.astype(np.float64)
            place = np.full(t, -1.0)
            place[places] = np.arange(len(places))
            self.external = [(a, address(a)) for a in (values, order, count, labels.tied, place)]
        for array in self.outputs.values():
            plain = isinstance(array, np.ndarray) and array.flags.carray
            if not plain or array.shape != self.shape or array.dtype != self.dtype:
                raise DataError(
                    f"out must hold writable C-contiguous {self.dtype} arrays of shape {self.shape}, one for each "
                    "expression"
                )
        self.groups = max((len(panel.group(f[6:]).labels) for f in plan.fields if f.startswith("group:")), default=0)

    def allocate(self, stage: Stage) -> None:
        for index in stage.allocates:
            if not self.unused:
                taken = POOL.take((self.blocks, self.dates, LANES))
                self.unused.append((taken, address(taken)))
            self.buffers[index] = self.unused.pop()

    def release(self, stage: Stage, number: int) -> None:
        """After stage `number`: what no later stage can need goes to the pool, where a result may take it."""
        for index in stage.releases:
            self.unused.append(self.buffers.pop(index))
        while not self.keeps and self.unused and len(self.unused) + len(self.buffers) > self.most[number + 1]:
            POOL.give(self.unused.pop()[0])

    def close(self) -> None:
        """Buffers go to the pool, which may keep fewer than a run needs at once."""
        for array, _ in (*self.unused, *self.buffers.values()):
            POOL.give(array)
        self.unused, self.buffers = [], {}

    def clear_lanes(self) -> None:
        """Make blocked results missing where there is no symbol."""
        if self.blocked and self.columns % LANES:
            for values in self.outputs.values():
                values[-1, :, self.columns % LANES :] = np.nan

    def locate(self, slot: Slot) -> tuple[int, int, int]:
        """(address, bytes from one symbol block to the next, bytes of a value)."""
        if slot.space is Space.OUTPUT:
            if slot.index not in self.outputs:
                # Not before it is written: the buffers that the run has done with become results.
                # A chunk's, which leave the rows before it out, and those of float32 are too small for that.
                fits = self.wanted == 0 and self.dtype == np.float64
                self.outputs[slot.index] = leased(self.shape, self.dtype, self.blocks * self.dates * LANES * fits)
            array = self.outputs[slot.index]
            return address(array), array.itemsize * self.dates * LANES if self.blocked else 0, array.itemsize
        if slot.space is Space.EXTERNAL:
            return self.external[slot.index][1], 0, 8
        array, at = self.fields[slot.index] if slot.space is Space.FIELD else self.buffers[slot.index]
        return at, array.itemsize * self.dates * LANES, array.itemsize
