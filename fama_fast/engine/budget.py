"""How many dates fit a memory budget, and in which batches expressions are computed.

A chunk of `core` dates is computed on the rows [start - halo, stop), halo being the lookback of the batch at hand:
expressions are taken in the order of their lookbacks, so that a short one does not pay for a long one's halo. Bytes are
counted for what lives at once: the chunk's rows with the halo before and the labels' rows after it, the rows read
meanwhile for the next chunk, blocked copies, intermediates, results. Where values are computed, the copies and
intermediates of all batches have the longest halo's rows, so that each is made in the memory of the one before. What
the interpreter and its libraries take is not counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.arguments import shown
from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Node
    from fama_fast.plan import Plan

DEFAULT_BUDGET = 1 << 30
"""Of data that are read in parts, when none is given."""

MOST_BYTES = 1 << 60
"""More than any machine has."""

_LANES = 8
_SIZES = (8, 4, 2, 1)  # expressions a batch, the most first: more share more work and need more memory
_SINK_SIZES = (64, 32, 16, *_SIZES)  # whose values are never kept
_BATCH_BYTES = 512 * 2**20  # of values at a time where memory is not counted
_FIXED = 24 << 20  # rows being decoded, registers, scratch
_UNIT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(i?)b?\s*\Z", re.IGNORECASE)


def parse_bytes(budget: int | float | str) -> int:
    """Bytes from a number, or from text such as "800MB", "1.5 GB" or "2GiB" (powers of 1000 and of 1024).

    Raises:
        ConfigError: anything else, or nothing left.
    """
    if isinstance(budget, str):
        found = _UNIT.match(budget)
        if not found:
            raise ConfigError(f'memory_budget must be bytes or a text such as "800MB" or "2GiB", not {budget!r}')
        power = " kmgt".index(found[2].lower() or " ")
        budget = float(found[1]) * float(1024 if found[3] else 1000) ** power
    number = isinstance(budget, int | float | np.integer | np.floating) and not isinstance(budget, bool)
    if not number or not 1 <= budget < MOST_BYTES:
        raise ConfigError(f'memory_budget must be bytes or a text such as "800MB" or "2GiB", not {shown(budget)}')
    return int(budget)


def show_bytes(size: int) -> str:
    """Text that `parse_bytes` reads as at least `size`."""
    step, unit = (1_000_000, "MB") if size >= 100_000_000 else (1000, "kB")
    return f"{-(-size // step)}{unit}"


@dataclass(frozen=True)
class Batch:
    """Expressions computed together: their numbers in the list, their program, and the rows before the chunk."""

    indices: tuple[int, ...]
    plan: Plan
    halo: int


@dataclass(frozen=True)
class Schedule:
    """Chunks of `core` dates; `peak` bytes at most are expected, if they are counted.

    `halo` rows before a chunk are for expressions, `rows_before` and `rows_after` rows around it for labels.
    """

    core: int
    halo: int
    rows_after: int
    batches: tuple[Batch, ...]
    peak: int
    counted: bool = True
    rows_before: int = 0


@dataclass(frozen=True)
class Demand:
    """What a run holds besides the engine's own arrays.

    Attributes:
        dates, symbols: of the data. item: bytes of a field's value. fields, groups: how many are read; 0 of data in
            memory, which the budget does not count. rows_before, rows_after: rows around a chunk for its labels. kept:
            results held a chunk, float64, the batch's own among them; 0: of the batch at hand alone.
        extra: further bytes a cell of the chunk; extra_batch: and of each batch's rows.
    """

    dates: int
    symbols: int
    item: int
    fields: int
    groups: int
    rows_after: int
    kept: int
    extra: float = 0.0
    extra_batch: float = 0.0
    warm: int = 0  # rows before the chunk whose results are wanted too
    sink: bool = False  # figures are kept, not values
    figures: float = 0.0  # bytes a cell that those of an expression come to
    walked: int | None = None  # dates that chunks are made of; None: all
    shared: bool = True  # blocked copies serve all batches of a chunk (`chunks.compute`)
    held: int = 0  # bytes that stay in memory beside the chunks, whatever those are
    rows_before: int = 0

    def peak(self, core: int, batches: Sequence[Batch]) -> int:
        """Bytes at most for chunks of `core` dates."""
        names = {name for b in batches for name in b.plan.fields}
        if self.sink or not self.shared:
            result = self.figures / 8.0 if self.sink else 1.0
            arrays = [len(names) + b.plan.peak_buffers + result * len(b.indices) for b in batches]
            return self.bytes_of(core, [(b.halo, n) for b, n in zip(batches, arrays, strict=True)])
        halo = max(b.halo for b in batches)
        results = 0 if self.kept else max(len(b.indices) for b in batches)
        values = 8 * self.symbols * min(core + self.warm, self.dates) * results
        return values + self.bytes_of(core, [(halo, len(names) + max(b.plan.peak_buffers for b in batches))])

    def bytes_of(self, core: int, batches: Sequence[tuple[int, float]]) -> int:
        """The same of batches told by their halo and how many arrays of all their rows live at once."""
        wide = -(-self.symbols // _LANES) * _LANES
        halo = max(h for h, _ in batches)
        before = max(halo, self.rows_before)
        rows = min(core + before, self.dates)
        # This chunk with its halo, the halo being copied for the next one, and the next one being read.
        read = min(2 * core + 2 * before + 2 * self.rows_after, 2 * self.dates)
        resident = self.symbols * read * (self.item * self.fields + 8 * self.groups + (1 if self.fields else 0))
        chunk = self.symbols * core * (8 * self.kept + self.extra)
        # What labels are made of is computed on the rows before the chunk too.
        chunk += self.symbols * self.extra * max(0, min(self.rows_before, self.dates) - self.warm)
        most = 0.0
        for own, arrays in batches:
            here = min(core + own, self.dates)
            most = max(most, here * (8.0 * wide * arrays + self.symbols * self.extra_batch))
        # A field is put together from pieces before it is blocked.
        return int(self.held + (_FIXED if self.fields else 0) + resident + chunk + most + 8 * 2 * self.symbols * rows)


def make_batches(
    roots: Sequence[Node], halos: Sequence[int], plan: Callable[[tuple[Node, ...]], Plan], size: int, warm: int
) -> tuple[Batch, ...]:
    """Expressions in the order of their lookbacks, `size` at a time."""
    order = sorted(range(len(roots)), key=lambda i: (halos[i], i))
    batches = []
    for at in range(0, len(order), size):
        indices = tuple(order[at : at + size])
        batches.append(Batch(indices, plan(tuple(roots[i] for i in indices)), halos[indices[-1]] + warm))
    return tuple(batches)


def make_schedule(
    roots: Sequence[Node],
    halos: Sequence[int],
    plan: Callable[[tuple[Node, ...]], Plan],
    demand: Demand,
    budget: int | None,
) -> Schedule:
    """The chunks and batches that cost least within the budget; None: one chunk of all dates.

    A chunk has at least a quarter of the halo's rows: below that most work would be done again and again.

    Raises:
        ConfigError: the budget is too small; the message says the least that would do.
    """
    best: tuple[float, Schedule] | None = None
    least = 0
    span = demand.dates if demand.walked is None else demand.walked
    if budget is None:
        return _one_chunk(roots, halos, plan, demand, span)
    for size in _SINK_SIZES if demand.sink else _SIZES:
        if size > 1 and size // 2 >= len(roots):
            continue
        batches = make_batches(roots, halos, plan, size, demand.warm)
        halo = max(b.halo for b in batches)
        smallest = min(span, smallest_chunk(halo))
        least = demand.peak(smallest, batches)
        if least > budget:
            continue
        low, high = smallest, span
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if demand.peak(middle, batches) <= budget else (low, middle - 1)
        core = _even(low, span)
        # Work a date, counted in expressions; smaller batches share less.
        cost = sum(len(b.indices) * (1.0 + min(b.halo, demand.dates) / core) for b in batches) * (1.0 + 0.2 / size)
        if best is None or cost < best[0]:
            peak = demand.peak(core, batches)
            best = cost, Schedule(core, halo, demand.rows_after, batches, peak, rows_before=demand.rows_before)
    if best is None:
        raise ConfigError(
            f"memory_budget of {show_bytes(budget)} is too small: one chunk of dates with the "
            f"{max(*halos, demand.rows_before - demand.warm)} rows "
            f"before it needs at least {show_bytes(least)} ({demand.symbols:,} symbols, {max(demand.fields, 1)} fields"
            f"{f', {show_bytes(demand.held)} held besides' if demand.held else ''})"
        )
    return best[1]


def _one_chunk(
    roots: Sequence[Node], halos: Sequence[int], plan: Callable[[tuple[Node, ...]], Plan], demand: Demand, span: int
) -> Schedule:
    """All dates at once, in batches as large as sharing work asks for; nothing is counted."""
    size = _SINK_SIZES[0]
    if not demand.sink:
        size = max(1, min(size, _BATCH_BYTES // (8 * demand.dates * demand.symbols)))
    batches = tuple(
        Batch(tuple(part), plan(tuple(roots[i] for i in part)), max(halos[i] for i in part) + demand.warm)
        for part in (range(len(roots))[at : at + size] for at in range(0, len(roots), size))
    )
    halo = max((b.halo for b in batches), default=0)
    return Schedule(max(1, span), halo, demand.rows_after, batches, 0, counted=False, rows_before=demand.rows_before)


def smallest_chunk(halo: int) -> int:
    """Dates that a chunk has at least: with fewer most work would be done again and again."""
    return max(1, halo // 4)


def _even(core: int, dates: int) -> int:
    """Chunks of about equal size, no larger than `core`."""
    return -(-dates // -(-dates // core))
