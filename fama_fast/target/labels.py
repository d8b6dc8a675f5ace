"""The labels of a target, made step by step of the rows at hand.

1. The returns, or the column (`returns`).
2. Only dates that are scored: with enough members of a universe.
3. Only what could be entered (`tradable`).
4. Only members, where a step below compares symbols.
5. Outliers held in, the market's part taken out, then that of groups and controls (`steps`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fama_fast.backends.numba_vm.sorted_rows import SortedRows
from fama_fast.data.labels import unscored
from fama_fast.engine.chunk_labels import ChunkNeeds
from fama_fast.target import steps
from fama_fast.target.rows import LABEL_BYTES, filled_up

if TYPE_CHECKING:
    from fama_fast.engine.chunks import Loaded
    from fama_fast.target.beta import Beta
    from fama_fast.target.formulas import Formulas
    from fama_fast.target.tradable import Tradable
    from fama_fast.types import BoolArray, FloatArray


class Returns(ChunkNeeds, Protocol):
    """What labels are made of before any step."""

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        """(stop - start, N) on the dates [start, stop)."""


@dataclass(frozen=True)
class Neutral:
    """Groups and controls to be neutral to; `formulas` computes the controls."""

    groups: tuple[str, ...]
    formulas: Formulas


@dataclass(frozen=True)
class TargetLabels:
    """Labels of any target (`rows.LabelRows`).

    Attributes:
        returns: what they are made of. dates: of the data. entry_lag: rows from knowing to entering. min_members: see
            `data.labels.only_scored`. tradable, winsorize, beta, neutral: the steps, None for none. ahead: of each date
            the label so many rows later.
    """

    returns: Returns
    dates: int
    entry_lag: int
    min_members: int
    tradable: Tradable | None = None
    winsorize: float | None = None
    beta: Beta | None = None
    neutral: Neutral | None = None
    ahead: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f for part in self._parts() for f in part.fields))

    @property
    def groups(self) -> tuple[str, ...]:
        own = () if self.neutral is None else self.neutral.groups
        return tuple(dict.fromkeys([*own, *(g for part in self._parts() for g in part.groups)]))

    @property
    def rows_before(self) -> int:
        before = [self.returns.rows_before]
        if self.tradable is not None:
            before.append(self.tradable.lookback - self.entry_lag)
        before += [f.rows_before for f in self._formulas()]
        return max(0, max(before) - self.ahead)

    @property
    def rows_after(self) -> int:
        after = self.returns.rows_after
        if self.tradable is not None:
            after = max(after, self.entry_lag)
        return after + self.ahead

    @property
    def cell_bytes(self) -> int:
        return LABEL_BYTES + 16 + sum(part.cell_bytes for part in self._parts())

    def _formulas(self) -> list[Beta | Formulas]:
        own: list[Beta | Formulas] = [] if self.beta is None else [self.beta]
        return own if self.neutral is None else [*own, self.neutral.formulas]

    def _parts(self) -> list[Returns | Tradable | Beta | Formulas]:
        own: list[Returns | Tradable | Beta | Formulas] = [self.returns, *self._formulas()]
        return own if self.tradable is None else [*own, self.tradable]

    def rows(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> FloatArray:
        first, last = min(self.dates, start + self.ahead), min(self.dates, stop + self.ahead)
        made, _ = self.made(loaded, first, last, threads)
        found: FloatArray = filled_up(made, stop - start, np.nan)
        return found

    def made(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> tuple[FloatArray, LeftOut]:
        """(stop - start, N) labels of the dates [start, stop) themselves; and how many could not be entered."""
        symbols = len(loaded.pieces[0][1].symbols)
        if stop <= start:
            return np.empty((0, symbols)), LeftOut()
        labels = np.array(self.returns.rows(loaded, start, stop, threads))
        labels[~np.isfinite(labels)] = np.nan
        members = loaded.rows(start, stop).universe
        if members is not None:
            labels[unscored(members, self.min_members)] = np.nan
        left = LeftOut()
        if self.tradable is not None:
            able = self.enterable(loaded, start, stop, threads)
            known = np.isfinite(labels) if members is None else np.isfinite(labels) & members
            left = LeftOut(int(np.count_nonzero(known & ~able)), int(np.count_nonzero(known)))
            labels[~able] = np.nan
        if members is not None and (self.winsorize or self.beta or self.neutral):
            labels[~members] = np.nan
        if self.winsorize:
            labels = steps.winsorized(labels, self.winsorize)
        if self.beta is not None:
            labels = steps.beyond_market(labels, self.beta.values(loaded, start, stop, threads))
        if self.neutral is not None:
            controls = self.neutral.formulas.values(loaded, start, stop, threads) if self.neutral.formulas.count else []
            view = loaded.rows(start, stop)
            labels = steps.neutralized(labels, controls, [view.group(g) for g in self.neutral.groups], threads)
        return labels, left

    def enterable(self, loaded: Loaded, start: int, stop: int, threads: int | None = None) -> BoolArray:
        """(stop - start, N) whether the bar that the position of each date is entered on can be traded."""
        assert self.tradable is not None
        first, last = min(self.dates, start + self.entry_lag), min(self.dates, stop + self.entry_lag)
        out = np.zeros((stop - start, len(loaded.pieces[0][1].symbols)), dtype=np.bool_)
        if last > first:
            out[: last - first] = self.tradable.bars(loaded, first, last, threads)
        return out

    def sorted(self, loaded: Loaded, start: int, stop: int, threads: int | None) -> SortedRows:
        return SortedRows.of(self.rows(loaded, start, stop, threads), threads=threads)

    def later(self, rows: int) -> TargetLabels:
        return replace(self, ahead=self.ahead + rows)


@dataclass(frozen=True)
class LeftOut:
    """How many labels were `left` out because nobody could have entered, `of` how many that are known."""

    left: int = 0
    of: int = 0

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(self.left + other.left, self.of + other.of)

    def said(self) -> tuple[str, ...]:
        """A sentence, where there are any."""
        if not self.left:
            return ()
        return (f"{self.left:,} of {self.of:,} labels left out: not tradable at entry",)
