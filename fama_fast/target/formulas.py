"""Values of alphas on some rows of a chunk, with the bits of one run over all dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast import passes
from fama_fast.engine.prepare import lowered_roots, read_names
from fama_fast.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray


@dataclass(frozen=True)
class Formulas:
    """Alphas made ready for the names of some data.

    Attributes:
        plan: the program of all. fields, groups: what it reads. rows_before: rows before a date that it looks at.
    """

    plan: Plan
    count: int
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    rows_before: int

    @classmethod
    def of(cls, alphas: Sequence[Alpha], source: Source) -> Formulas:
        """For these data.

        Raises:
            UnknownName: a field or group that they lack.
        """
        roots = lowered_roots(alphas, source)
        fields, groups = read_names(roots, source)
        available = frozenset(source.supplied_fields)
        before = max((passes.lookback(root, available) for root in roots), default=0)
        return cls(make_plan(roots), len(roots), tuple(fields), tuple(groups), before)

    @property
    def cell_bytes(self) -> int:
        """What computing them takes a cell."""
        return 8 * (len(self.plan.fields) + self.plan.peak_buffers + self.count)

    def values(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> list[FloatArray]:
        """Each (stop - start, N) on the dates [start, stop), which must lie in memory with the rows before them."""
        from fama_fast.backends.numba_vm.run import execute

        begin = max(0, start - self.rows_before)
        view = loaded.rows(begin, stop)
        return execute(self.plan, view, threads=threads, origin=begin, wanted=start - begin)
