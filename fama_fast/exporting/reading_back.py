"""Holds a text in another language against the formula that it was written for: read back, and computed.

The other system's dialect reads the text as that system does. Both are computed on a simulated market without gaps, so
that what is said of missing days does not hide what is wrong elsewhere; on data of the user besides, where they are
given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fama_fast.engine import evaluate
from fama_fast.engine.alpha import compile_recorded
from fama_fast.evaluation.ic import rank_ic
from fama_fast.panel import GroupField, Panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.types import FloatArray

_SYMBOLS, _DATES = 40, 24
_CLOSE = 1e-9  # relative, and beside the largest value of the date: rounding
_SAME_ORDER = 1.0 - 1e-9


@dataclass(frozen=True)
class Agreement:
    """How far a text read back has the formula's values.

    Attributes:
        cells: how many the formula has. equal: the share of them that are the same but for rounding. added: cells that
            only the text has a value at, beside them. order: mean daily rank correlation of the two, NaN without any.
    """

    cells: int
    equal: float
    added: float
    order: float

    @property
    def same(self) -> bool:
        """Every cell is the same."""
        return self.cells > 0 and self.equal == 1.0

    @property
    def same_order(self) -> bool:
        """Symbols of every date have one order."""
        return self.order >= _SAME_ORDER


def read_back(text: str, dialect: str, fields: Mapping[str, str]) -> Alpha:
    """The alpha that the dialect reads, its fields called as ours.

    Args:
        fields: what the text calls fields and groups of ours, by our name, where the dialect does not know it.

    Raises:
        ExpressionError: the dialect cannot read it.
    """
    from fama_fast.ir import FIELD, GROUP, field, group, rewrite

    alpha = compile_recorded(text, dialect=dialect)
    ours = {other.lstrip("$").upper(): name.upper() for name, other in fields.items()}
    renamed = {FIELD: field, GROUP: group}
    node = rewrite(
        alpha.node,
        lambda n: renamed[n.op](ours[n.name]) if n.op in renamed and n.name in ours else n,
    )
    return type(alpha)(alpha.text, alpha.dialect, node)


def agreements(pairs: Sequence[tuple[Alpha, Alpha]], data: Panel) -> list[Agreement]:
    """How far each formula and the text read back agree on these data."""
    values = evaluate([a for pair in pairs for a in pair], data)
    return [_agreement(values[at], values[at + 1]) for at in range(0, len(values), 2)]


def agreements_on_whole(pairs: Sequence[tuple[Alpha, Alpha]], settled: Sequence[bool]) -> list[Agreement]:
    """How far they agree on a simulated market without gaps.

    Args:
        settled: whether a pair is compared only where every window lies within the data, because it is said
            that other windows differ.
    """
    if not pairs:
        return []
    values = evaluate([a for pair in pairs for a in pair], whole_market([a for pair in pairs for a in pair]))
    found = []
    for at, (pair, late) in enumerate(zip(pairs, settled, strict=True)):
        first = max(a.lookback for a in pair) if late else 0
        found.append(_agreement(values[2 * at][first:], values[2 * at + 1][first:]))
    return found


def _agreement(ours: FloatArray, theirs: FloatArray) -> Agreement:
    known, other = np.isfinite(ours), np.isfinite(theirs)
    cells = int(known.sum())
    if not cells:
        return Agreement(0, float("nan"), float(other.any()), float("nan"))
    scale = np.max(np.abs(np.where(known, ours, 0.0)), axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        near = np.abs(ours - theirs) <= _CLOSE * np.maximum(np.abs(ours), scale)
    daily = rank_ic(theirs, ours)
    order = float(np.nanmean(daily)) if np.isfinite(daily).any() else float("nan")
    return Agreement(cells, float((near & known).sum() / cells), float((other & ~known).sum() / cells), order)


def whole_market(alphas: Iterable[Alpha], seed: int = 7) -> Panel:
    """A simulated market without a gap that has every field and group of these alphas, long enough for all of them."""
    from fama_fast.data import SimulationSpec, simulate

    alphas = list(alphas)
    dates = max(a.lookback for a in alphas) + _DATES
    made = simulate(SimulationSpec(_SYMBOLS, dates, seed, late_listing=0.0, missing=0.0, sectors=4))
    rng = np.random.default_rng(seed)
    fields = {name: made[name] for name in made.supplied_fields}
    groups = {name: made.group(name) for name in made.groups}
    for alpha in alphas:
        for name in alpha.required_fields:
            if name not in fields:
                fields[name] = np.exp(rng.normal(0.0, 0.3, made.shape).cumsum(axis=0) * 0.1)
        for name in alpha.groups:
            if name not in groups:
                codes = np.tile(rng.integers(0, 4, _SYMBOLS).astype(np.float64), (dates, 1))
                groups[name] = GroupField(codes, tuple("ABCD"))
    return Panel(made.dates, made.symbols, fields, groups=groups)
