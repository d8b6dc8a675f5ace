"""Values of many expressions on a panel, with common work done once.

1. Texts are compiled against the panel's fields and groups (`_compiled`).
2. Derived fields that the panel lacks and composite operators are lowered, windows relaxed and members masked as the
   run asks (`lowered_roots`).
3. All expressions become one plan (`fama_fast.plan`), unless results and intermediates would not fit the memory
   budget: then the list is halved until they do (`_run`).
4. The plan runs on all cores (`fama_fast.backends.numba_vm.run`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast import passes
from fama_fast.engine.alpha import Alpha, compile
from fama_fast.errors import ConfigError, UnknownName, nearest_name
from fama_fast.ir import FIELD, GROUP, Node, postorder
from fama_fast.ops.registry import on_unregister
from fama_fast.plan import UNIVERSE, make_plan, mask_members, set_min_coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel import Panel
    from fama_fast.plan import Plan
    from fama_fast.types import FloatArray


def _compiled(items: Sequence[str | Alpha], panel: Panel) -> list[Alpha]:
    return [
        item if isinstance(item, Alpha) else compile(item, fields=panel.fields, groups=panel.groups) for item in items
    ]


def _check_names(alpha: Alpha, root: Node, panel: Panel) -> None:
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
def _plan(roots: tuple[Node, ...]) -> Plan:
    return make_plan(roots)


on_unregister(_lowered_root.cache_clear)
on_unregister(_plan.cache_clear)


def lowered_roots(
    alphas: Sequence[Alpha], panel: Panel, min_coverage: float | None = None, optimise: bool = True
) -> tuple[Node, ...]:
    """What the engine computes for these alphas on a panel of this kind."""
    available = frozenset(panel.fields)
    roots = []
    for alpha in alphas:
        root = _lowered_root(alpha.node, available, optimise)
        _check_names(alpha, root, panel)
        roots.append(root)
    if min_coverage is not None:
        roots = list(set_min_coverage(roots, min_coverage))
    if panel.universe is not None:
        roots = list(mask_members(roots))
    return tuple(roots)


def _run(
    roots: Sequence[Node], panel: Panel, threads: int | None, tile_rows: int | None, memory_budget: int | None
) -> list[FloatArray]:
    from fama_fast.backends.numba_vm.run import execute

    plan = _plan(tuple(roots))
    if memory_budget is not None:
        t, n = panel.shape
        need = 8 * t * (n + 7) * (plan.peak_buffers + len(plan.fields)) + 8 * t * n * plan.n_outputs
        if need > memory_budget and len(roots) > 1:
            half = len(roots) // 2
            return [
                *_run(roots[:half], panel, threads, tile_rows, memory_budget),
                *_run(roots[half:], panel, threads, tile_rows, memory_budget),
            ]
        if need > memory_budget:
            raise ConfigError(
                f"memory_budget of {memory_budget:,} bytes is too small for one expression on this panel: "
                f"it needs {need:,}"
            )
    return execute(plan, panel, threads=threads, tile_rows=tile_rows)


def evaluate(
    items: Sequence[str | Alpha],
    panel: Panel,
    *,
    threads: int | None = None,
    min_coverage: float | None = None,
    memory_budget: int | None = None,
    tile_rows: int | None = None,
    optimise: bool = True,
) -> list[FloatArray]:
    """Values of expressions on a panel, in order, each (T, N) float64 with NaN where missing.

    Common subexpressions are computed once. The bits do not depend on threads, tiles, budget or company.

    Args:
        items: texts in the default dialect, or compiled alphas.
        threads: default `FAMA_THREADS`, else all processors.
        min_coverage: share of a window that must be present where an operator gives no `min_periods` (default: all).
        memory_budget: bytes for fields, intermediates and the results of one pass; results returned are extra.
        tile_rows, optimise: for tests: dates a cross-sectional tile, and whether lowered work is shared again.

    Raises:
        UnknownName: a field or group that the panel lacks. Other ExpressionErrors: from compiling.
    """
    if isinstance(items, str | Alpha):
        raise TypeError("evaluate takes a list of expressions; for one, use Alpha.evaluate or [expression]")
    alphas = _compiled(items, panel)
    if not alphas:
        return []
    return _run(lowered_roots(alphas, panel, min_coverage, optimise), panel, threads, tile_rows, memory_budget)


def compute_factor_values(
    expressions: Sequence[str | Alpha], data: Panel, *, threads: int | None = None
) -> dict[str, FloatArray]:
    """Values by expression text: `{text: (T, N) float64}`, in order; repeated texts appear once."""
    texts = [e.text if isinstance(e, Alpha) else e for e in expressions]
    return dict(zip(texts, evaluate(expressions, data, threads=threads), strict=True))


def lowered(items: Sequence[str | Alpha], panel: Panel, min_coverage: float | None = None) -> tuple[Node, ...]:
    """`lowered_roots` of texts or alphas."""
    return lowered_roots(_compiled(items, panel), panel, min_coverage)
