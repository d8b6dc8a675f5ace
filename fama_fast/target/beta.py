"""Beta: the slope of each symbol's returns on the mean of the members', over the days up to a date.

It is no alpha: in one a cross-section tells non-members nothing, and who joined a universe a week ago would have a beta
of a week. Here the members' mean of a date is known to every symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast import passes
from fama_fast.engine.alpha import compile
from fama_fast.panel import Panel
from fama_fast.plan import make_plan
from fama_fast.target.formulas import Formulas

if TYPE_CHECKING:
    from fama_fast.engine.chunks import Loaded
    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray

RETURNS = ("RET", "CS_MEAN(RET)")
_FIELDS = ("OWN", "MARKET")


@dataclass(frozen=True)
class Beta:
    """Beta made ready for the names of some data.

    Attributes:
        returns: computes a symbol's returns and the members' mean. slope: of the first on the second. days: that it
            looks back to, of which half (two at least) must have both.
    """

    returns: Formulas
    slope: Plan
    days: int

    @classmethod
    def of(cls, days: int, source: Source) -> Beta:
        """For these data.

        Raises:
            UnknownName: they have neither RET nor CLOSE.
        """
        returns = [compile(text, fields=source.fields, groups=source.groups) for text in RETURNS]
        slope = compile(f"TS_BETA({', '.join(_FIELDS)}, {days}, min_periods={max(2, days // 2)})", fields=_FIELDS)
        lowered = passes.share(passes.lower(passes.canonicalise(slope.node), frozenset(_FIELDS)))
        return cls(Formulas.of(returns, source), make_plan((lowered,)), days)

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that it reads."""
        return self.returns.fields

    @property
    def groups(self) -> tuple[str, ...]:
        """None: of the market there is one."""
        return ()

    @property
    def rows_before(self) -> int:
        """Rows before a date that it looks at."""
        return self.returns.rows_before + self.days - 1

    @property
    def cell_bytes(self) -> int:
        """What computing it takes a cell."""
        return self.returns.cell_bytes + 8 * (2 + self.slope.peak_buffers)

    def values(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> FloatArray:
        """(stop - start, N) on the dates [start, stop), which must lie in memory with the rows before them."""
        from fama_fast.backends.numba_vm.run import execute

        begin = max(0, start - self.days + 1)
        view = loaded.rows(begin, stop)
        own, mean = self.returns.values(loaded, begin, stop, threads)
        known = np.isfinite(mean)
        rows, first = np.arange(len(mean)), known.argmax(axis=1)
        market = np.where(known.any(axis=1), mean[rows, first], np.nan)  # every member has the same
        series = dict(zip(_FIELDS, (own, np.repeat(market[:, None], own.shape[1], axis=1)), strict=True))
        panel = Panel(view.dates, view.symbols, series, copy=False)
        (found,) = execute(self.slope, panel, threads=threads, origin=begin, wanted=start - begin)
        return found
