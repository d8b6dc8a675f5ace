"""What a run on some data computes: compiled expressions, lowered to what has kernels, as one plan and in chunks."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast import passes
from fama_fast.engine.alpha import Alpha, compile
from fama_fast.engine.budget import Demand, Schedule, make_schedule
from fama_fast.errors import UnknownName, nearest_name
from fama_fast.ir import FIELD, GROUP, Node, postorder
from fama_fast.ops.registry import on_unregister
from fama_fast.panel import Panel
from fama_fast.plan import UNIVERSE, make_plan, mask_members, set_min_coverage
from fama_fast.types import derived_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.panel.source import Source
    from fama_fast.plan import Plan


def compiled(items: Sequence[str | Alpha], panel: Source, dialect: str = "fama") -> list[Alpha]:
    """The items as alphas; texts are checked against the fields and groups of the data."""
    fields, groups = panel.fields, panel.groups
    return [i if isinstance(i, Alpha) else compile(i, dialect=dialect, fields=fields, groups=groups) for i in items]


def _check_names(alpha: Alpha, root: Node, panel: Source) -> None:
    for node in postorder(root):
        if node.op == FIELD and node.name not in panel and node.name != UNIVERSE:
            raise UnknownName(
                f"{alpha.text[:80]}: the data has no field {node.name} (it has {', '.join(panel.fields)})",
                suggestion=nearest_name(node.name, panel.fields),
            )
        if node.op == GROUP:
            panel.group(node.name)


@functools.lru_cache(maxsize=16384)
def _lowered_root(root: Node, available: frozenset[str], optimise: bool) -> Node:
    lowered = passes.lower(root, available)
    return passes.share(lowered) if optimise else lowered


@functools.lru_cache(maxsize=256)
def plan_of(roots: tuple[Node, ...], blocked: bool = False) -> Plan:
    """The plan of lowered expressions, made once. blocked: its results are in blocks of eight symbols."""
    return make_plan(roots, blocked=blocked)


on_unregister(_lowered_root.cache_clear)
on_unregister(plan_of.cache_clear)


def lowered_roots(
    alphas: Sequence[Alpha], panel: Source, min_coverage: float | None = None, optimise: bool = True
) -> tuple[Node, ...]:
    """What the engine computes for these alphas on a panel of this kind."""
    # Of float32 prices RET and VWAP are computed by the program, in float64, not rounded on their way.
    available = frozenset(panel.supplied_fields if panel.dtype == np.float32 else panel.fields)
    roots = []
    for alpha in alphas:
        root = _lowered_root(alpha.node, available, optimise)
        _check_names(alpha, root, panel)
        roots.append(root)
    if min_coverage is not None:
        roots = list(set_min_coverage(roots, min_coverage))
    if panel.has_universe:
        roots = list(mask_members(roots))
    return tuple(roots)


def read_names(roots: Sequence[Node], source: Source) -> tuple[list[str], list[str]]:
    """Fields (those that others derive from included) and groups that lowered expressions read from the data."""
    fields: dict[str, None] = {}
    groups: dict[str, None] = {}
    for node in postorder(*roots):
        if node.op == GROUP:
            groups[node.name] = None
        elif node.op == FIELD and node.name != UNIVERSE:
            derived = None if node.name in source.supplied_fields else derived_field(node.name)
            fields.update(dict.fromkeys(derived.inputs if derived else (node.name,)))
    return list(fields), list(groups)


def plan_chunks(
    roots: Sequence[Node],
    source: Source,
    budget: int | None,
    *,
    fields: Sequence[str],
    groups: Sequence[str],
    plan: Callable[[tuple[Node, ...]], Plan] | None = None,
    **needs: Any,
) -> Schedule:
    """Chunks of dates and batches of expressions for a run on `source` (see `engine.budget`; `needs`: of `Demand`)."""
    available = frozenset(source.supplied_fields)
    halos = [passes.lookback(root, available) for root in roots]
    in_memory = isinstance(source, Panel)
    dates, symbols = source.shape
    demand = Demand(
        dates=dates,
        symbols=symbols,
        item=source.dtype.itemsize,
        fields=0 if in_memory else len(fields),
        groups=0 if in_memory else len(groups),
        **{"rows_after": 0, "kept": 0, **needs},
    )
    return make_schedule(roots, halos, plan or plan_of, demand, budget)


def fits(roots: Sequence[Node], panel: Panel, budget: int) -> bool:
    """Whether one pass over a panel in memory stays within the budget."""
    plan = plan_of(tuple(roots))
    t, n = panel.shape
    return 8 * t * (n + 7) * (plan.peak_arrays + len(plan.fields)) <= budget


def lowered(items: Sequence[str | Alpha], panel: Source, min_coverage: float | None = None) -> tuple[Node, ...]:
    """`lowered_roots` of texts or alphas."""
    return lowered_roots(compiled(items, panel), panel, min_coverage)
