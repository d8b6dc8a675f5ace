"""Calls of operators for a decoding grammar: operators of equal signature together, static arguments spelled out.

Every list of static arguments was accepted by the registry before it is offered, so bounds between parameters (lower
below upper, lag below window) hold without being known here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import FamaError
from fama_fast.ir import field, group
from fama_fast.proposals.operators import WINDOWS, proposable_specs
from fama_fast.types import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fama_fast.ir import Param
    from fama_fast.ops import OpSpec, Parameter
    from fama_fast.proposals.protocol import Vocabulary

_COUNTS = (1, 2, 3, 5, 10, 20, 50)
_BARE = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_MAX_LISTS = 60


@dataclass(frozen=True)
class CallForm:
    """A set of operators that are called alike.

    Attributes:
        gives: number, condition or group. operands: what each operand is. bare: the second and later operands may be
            plain numbers. statics: texts that follow the operands, such as `, 5`; "" for none.
    """

    gives: str
    operands: tuple[str, ...]
    bare: bool
    statics: tuple[str, ...]
    names: tuple[str, ...]


def call_forms(
    vocabulary: Vocabulary,
    budget: int,
    allowed: Sequence[str] | None = None,
    *,
    skip: frozenset[str] = frozenset(),
    logical: frozenset[str] = frozenset(),
) -> tuple[CallForm, ...]:
    """The forms of every proposable operator (of `allowed` only, where given) with a lookback up to `budget` rows.

    `skip` names operators that are written otherwise, as infix; `logical` those whose operands are conditions.
    """
    together: dict[tuple[str, tuple[str, ...], bool, tuple[str, ...]], list[str]] = {}
    for spec in proposable_specs(vocabulary):
        if spec.name in skip or (allowed is not None and spec.name not in allowed):
            continue
        statics = _static_texts(spec, vocabulary, budget)
        if not statics:
            continue
        operands = tuple("condition" if spec.name in logical else _operand(p) for p in spec.operands if p.required)
        gives = "condition" if spec.boolean else "group" if spec.gives_group else "number"
        bare = spec.family is Family.ELEMENT and not spec.boolean
        together.setdefault((gives, operands, bare, statics), []).append(spec.name)
    return tuple(CallForm(*key, tuple(names)) for key, names in together.items())


def _operand(p: Parameter) -> str:
    if p.kind is Kind.GROUP:
        return "group"
    return "condition" if p.is_condition else "number"


def _static_texts(spec: OpSpec, vocabulary: Vocabulary, budget: int) -> tuple[str, ...]:
    """The accepted lists of static arguments: the shortest, and those with one more argument."""
    from fama_fast import ops

    positional = [p for p in spec.statics if not p.keyword_only]
    required = sum(p.required for p in positional)
    some = vocabulary.fields[0]
    operands = [
        group(vocabulary.groups[0]) if p.kind is Kind.GROUP else field(some) for p in spec.operands if p.required
    ]

    def accepted(values: Sequence[Param]) -> bool:
        try:
            node = ops.build(spec.name, *operands, **{p.name: v for p, v in zip(positional, values, strict=False)})
        except FamaError:
            return False
        windows = [v for p, v in zip(spec.statics, node.params, strict=True) if p.kind is Kind.WINDOW and v is not None]
        return spec.own_lookback(node.params) <= budget and all(float(w) <= vocabulary.max_window for w in windows)

    texts: list[str] = []
    lengths_that_worked = 0
    for length in range(required, len(positional) + 1):
        grids = [_grid(p, budget) for p in positional[:length]]
        fits = [_written(v) for v in itertools.islice(itertools.product(*grids), 2_000) if accepted(v)]
        texts += _thinned(fits, _MAX_LISTS)
        lengths_that_worked += bool(fits)
        if lengths_that_worked == 2:
            break
    return tuple(dict.fromkeys(texts))


def _thinned(texts: list[str], limit: int) -> list[str]:
    """At most `limit` of the texts, evenly spaced."""
    if len(texts) <= limit:
        return texts
    return [texts[i * len(texts) // limit] for i in range(limit)]


def _grid(p: Parameter, budget: int) -> tuple[Param, ...]:
    makers: dict[Kind, Callable[[], tuple[Param, ...]]] = {
        Kind.WINDOW: lambda: tuple(w for w in (1, *WINDOWS) if (p.minimum or 1) <= w <= budget + 1),
        Kind.COUNT: lambda: tuple(n for n in _COUNTS if (p.minimum or 1) <= n <= (p.maximum or n)),
        Kind.FLAG: lambda: (True, False),
        Kind.CHOICE: lambda: p.choices,
        Kind.NUMBER: lambda: _numbers(p),
    }
    return makers[p.kind]()


def _numbers(p: Parameter) -> tuple[Param, ...]:
    if p.minimum is not None and p.maximum is not None:
        return tuple(p.minimum + share * (p.maximum - p.minimum) for share in _SHARES)
    if not p.required and isinstance(p.default, (int, float)) and p.default:
        return tuple(float(p.default) * factor for factor in (0.5, 1.0, 2.0))
    return tuple(b for b in _BARE if p.minimum is None or b >= p.minimum)


def _written(values: Sequence[Param]) -> str:
    def one(value: Param) -> str:
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        return value if isinstance(value, str) else f"{value:g}"

    return "".join(f", {one(v)}" for v in values)
