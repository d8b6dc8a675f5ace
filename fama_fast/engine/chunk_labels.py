"""Labels as the engine's sinks take them: of all dates, or made chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from fama_fast.arguments import shown
from fama_fast.backends.numba_vm.orders import checked_order
from fama_fast.errors import DataError

if TYPE_CHECKING:
    from fama_fast.backends.numba_vm.run_memory import RowOrder
    from fama_fast.engine.chunks import Loaded


class ChunkNeeds(Protocol):
    """What must be in memory to make something of a chunk's dates.

    Attributes:
        fields, groups: what it is made of, read with the chunk. rows_before, rows_after: rows around the chunk that it
            needs. cell_bytes: what it takes a cell of the chunk.
    """

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def groups(self) -> tuple[str, ...]: ...

    @property
    def rows_before(self) -> int: ...

    @property
    def rows_after(self) -> int: ...

    @property
    def cell_bytes(self) -> int: ...


class ChunkLabels(ChunkNeeds, Protocol):
    """Where a chunk's labels come from."""

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> RowOrder:
        """The labels of the dates [start, stop), with the order of each date's."""


@dataclass(frozen=True)
class Held:
    """The labels of all dates, sorted already."""

    order: RowOrder
    fields: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    rows_before: int = 0
    rows_after: int = 0
    cell_bytes: int = 0

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> RowOrder:
        del loaded, threads
        return self.order if stop - start == len(self.order.count) else part_of_labels(self.order, start, stop)


def labels_by_chunk(labels: Any, shape: tuple[int, int]) -> ChunkLabels:
    """Labels as chunks ask for them; refuses what is neither a `ChunkLabels` nor sorted rows of this shape."""
    if hasattr(labels, "rows_after"):
        return cast("ChunkLabels", labels)
    if not getattr(labels, "trusted", False):
        from fama_fast.backends.numba_vm.run_memory import SortedLabels

        try:
            arrays = labels.values, labels.order, labels.count
        except AttributeError:
            raise DataError(
                f"labels must be sorted rows, such as evaluation.SortedRows.of(...), not {shown(labels)}"
            ) from None
        labels = SortedLabels(*checked_order(*arrays))
    if labels.values.shape != shape:
        raise DataError(f"labels have shape {labels.values.shape}, the panel {shape}")
    return Held(labels)


def padded_labels(labels: RowOrder, before: int) -> RowOrder:
    """Labels with rows in front that have none: a sink may look at those though nobody asks for their figures."""
    from fama_fast.backends.numba_vm.run_memory import SortedLabels

    if not before:
        return labels
    rows, n = labels.values.shape
    values = np.full((before + rows, n), np.nan)
    order = np.zeros((before + rows, n), dtype=np.int32)
    count = np.zeros(before + rows, dtype=np.int64)
    values[before:], order[before:], count[before:] = labels.values, labels.order, labels.count
    return SortedLabels(values, order, count)


def part_of_labels(labels: RowOrder, start: int, stop: int) -> RowOrder:
    from fama_fast.backends.numba_vm.run_memory import SortedLabels

    return SortedLabels(labels.values[start:stop], labels.order[start:stop], labels.count[start:stop])
