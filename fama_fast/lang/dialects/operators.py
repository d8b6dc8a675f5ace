"""How a dialect has an operator of its own: a name and parameters of that system, written in operators of ours.

Such an operator is never in the registry and never in a graph. The binder checks its arguments against the entry as
it does for any operator, then builds what it stands for, so the canonical text, both back ends and the lookback know
nothing of dialects.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fama_fast.ops import OpSpec, build
from fama_fast.types import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fama_fast.ir import Node
    from fama_fast.ops import Parameter


def own(
    name: str,
    parameters: Iterable[Parameter],
    lower: Callable[..., Node],
    doc: str,
    source: str,
    *,
    gives_group: bool = False,
    ordered: tuple[tuple[str, str], ...] = (),
) -> OpSpec:
    """An operator that only a dialect has. `lower` takes operands, then static parameters, in their order.

    The family is a formality here: the entry never becomes a node, only what it is lowered into does.
    """
    parameters = tuple(parameters)
    example = f"{name}({', '.join(p.name for p in parameters if p.required)})"
    return OpSpec(
        name=name,
        family=Family.ELEMENT,
        parameters=parameters,
        doc=doc,
        example=example,
        source=source,
        lower=lower,
        gives_group=gives_group,
        ordered=ordered,
    )


def table(*entries: OpSpec) -> Mapping[str, OpSpec]:
    """Entries by name."""
    return MappingProxyType({e.name: e for e in entries})


def apply(spec: OpSpec, values: Mapping[str, Any]) -> Node:
    """What an operator of a dialect stands for, given checked arguments by name; the others take their defaults."""
    if spec.lower is None:
        raise TypeError(f"{spec.name} is not an operator of a dialect")
    parameters = {p.name: values.get(p.name, None if p.required else p.default) for p in spec.parameters}
    return spec.lower(*(parameters[p.name] for p in (*spec.operands, *spec.statics)))


def present(x: Node) -> Node:
    """1 where x is present, missing where it is not."""
    return build("EQ", x, x)


def days_present(x: Node, d: int, min_periods: int | None) -> Node:
    """How many of the past d days have x; missing when fewer than min_periods do."""
    return build("TS_SUM", present(x), d, min_periods=min_periods)
