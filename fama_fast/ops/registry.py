"""The one table of operators. Everything that lists, parses, prints, plans or computes operators reads it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ArgumentError, UnknownName, WindowError, nearest_name
from fama_fast.ir import GROUP, LEAVES, Node, const, make
from fama_fast.types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fama_fast.ir import Param
    from fama_fast.ops.spec import OpSpec, Parameter

_SPECS: dict[str, OpSpec] = {}
_NAMES: dict[str, str] = {}  # folded name or alias -> canonical
_LARGEST = 10**300
_CLEARERS: list[Callable[[], None]] = []


def register(spec: OpSpec) -> OpSpec:
    """Add an operator. Its name and aliases must be free; its own definition was checked when it was made."""
    names = (spec.name, *spec.aliases)
    if any(p.kind is Kind.TEXT for p in spec.parameters):
        raise ValueError(f"operator {spec.name}: a text parameter is for operators of dialects, which become others")
    for name in names:
        folded = name.upper()
        if folded in LEAVES or _NAMES.get(folded, spec.name) != spec.name or (name == spec.name and name in _SPECS):
            raise ValueError(f"operator name {name!r} is taken")
    _SPECS[spec.name] = spec
    _NAMES.update({name.upper(): spec.name for name in names})
    return spec


def unregister(name: str) -> None:
    """Remove an operator that was added from outside (tests do this)."""
    spec = _SPECS.pop(name)
    for n in (spec.name, *spec.aliases):
        _NAMES.pop(n.upper(), None)
    for clear in _CLEARERS:
        clear()


def on_unregister(clear: Callable[[], None]) -> None:
    """Have a cache of what names meant cleared whenever a name stops meaning it."""
    _CLEARERS.append(clear)


def find(name: str) -> OpSpec | None:
    """The operator of this name or alias, without regard to case."""
    spec = _SPECS.get(name)
    if spec is not None:
        return spec
    canonical = _NAMES.get(name.upper())
    return _SPECS[canonical] if canonical else None


def get(name: str) -> OpSpec:
    """Like `find`, but an unknown name is an error that carries the nearest one."""
    spec = find(name)
    if spec is None:
        raise UnknownName(f"unknown operator {name[:64]!r}", suggestion=nearest_name(name, _NAMES))
    return spec


def is_group(node: Node) -> bool:
    """The node may stand where a group is asked for: a group field, or an operator that makes groups."""
    if node.op == GROUP:
        return True
    spec = _SPECS.get(node.op)
    return spec is not None and spec.gives_group


def specs() -> Iterator[OpSpec]:
    """All operators in the order of registration (by family module)."""
    return iter(tuple(_SPECS.values()))


def names() -> tuple[str, ...]:
    """Canonical names and aliases, folded to upper case."""
    return tuple(_NAMES)


def _operand(spec: OpSpec, p: Parameter, value: Any) -> Node:
    """An operand as a node: a number becomes a constant."""
    if p.kind is Kind.GROUP:
        if isinstance(value, Node) and is_group(value):
            return value
        raise ArgumentError(f"{spec.name}: {p.name} must be a group, such as group('SECTOR'), not {str(value)[:40]}")
    if isinstance(value, Node) and value.op != GROUP:
        return value
    if isinstance(value, Real):
        return const(float(value))
    raise ArgumentError(f"{spec.name}: {p.name} must be an expression or a number, not {str(value)[:40]!r}")


def check_param(spec: OpSpec, p: Parameter, value: Any) -> Param:
    """A static parameter in its stored form, or an error that says what it must be."""
    if value is None and not p.required and p.default is None:
        return None
    if p.kind is Kind.FLAG:
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise ArgumentError(f"{spec.name}: {p.name} must be TRUE or FALSE", suggestion="TRUE")
    if p.kind is Kind.CHOICE:
        if str(value).casefold() in p.choices:
            return str(value).casefold()
        one = f"{spec.name}: {p.name} must be {', '.join(p.choices[:-1])} or {p.choices[-1]}"
        raise ArgumentError(one, suggestion=nearest_name(str(value), p.choices))
    if p.kind is Kind.TEXT:
        if isinstance(value, str):
            return value
        raise ArgumentError(f'{spec.name}: {p.name} must be a text in quotes, such as {p.name}="..."')
    if not isinstance(value, bool) and isinstance(value, Integral):
        value = int(value)
        if abs(value) > _LARGEST:
            raise ArgumentError(f"{spec.name}: {p.name} is a number of more than {len(str(_LARGEST)) - 1} digits")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentError(f"{spec.name}: {p.name} must be a number")
    if p.kind in (Kind.WINDOW, Kind.COUNT):
        error: type[ArgumentError] = WindowError if p.kind is Kind.WINDOW else ArgumentError
        if value != value or float(value) != int(value if abs(value) < 1e18 else 0):  # noqa: PLR0124  (NaN)
            near = None if value != value else f"{_within(p, value):.0f}"  # noqa: PLR0124  (NaN)
            raise error(f"{spec.name}: {p.name} must be a whole number, not {value}", suggestion=near)
        value = int(value)
    else:
        error = ArgumentError
        value = float(value) + 0.0  # minus zero is zero, as in constants
        if value - value != 0.0:
            raise ArgumentError(f"{spec.name}: {p.name} must be a finite number")
    if p.minimum is not None and value < p.minimum:
        raise error(f"{spec.name}: {p.name} must be at least {p.minimum:g}, not {value:g}", suggestion=f"{p.minimum:g}")
    if p.maximum is not None and value > p.maximum:
        raise error(f"{spec.name}: {p.name} must be at most {p.maximum:g}, not {value:g}", suggestion=f"{p.maximum:g}")
    return value  # type: ignore[no-any-return]


def _within(p: Parameter, value: float) -> float:
    """The nearest number that the parameter may be, but for its fraction."""
    raised = value if p.minimum is None else max(value, p.minimum)
    return raised if p.maximum is None else min(raised, p.maximum)


def check_order(spec: OpSpec, named: Mapping[str, Any]) -> None:
    """An error where two static parameters are the wrong way round, such as min_periods above the window."""
    wrong = spec.out_of_order(named)
    if wrong is None:
        return
    low, high = wrong
    error = WindowError if low == "min_periods" else ArgumentError
    bound = f"the window ({named[high]})" if high == "d" else f"{high} ({named[high]:g})"
    raise error(f"{spec.name}: {low} ({named[low]:g}) is larger than {bound}", suggestion=f"{named[high]:g}")


def build(name: str, *args: Any, **keywords: Any) -> Node:
    """A checked node: `build("TS_MEAN", x, 5, min_periods=3)`. Numbers at series operands become constants.

    Raises:
        UnknownName, ArgumentError, WindowError: without a position; the parser adds one.
    """
    spec = get(name)
    positional = [p for p in spec.parameters if not p.keyword_only]
    if len(args) > len(positional):
        raise ArgumentError(f"{spec.signature} takes at most {len(positional)} arguments, not {len(args)}")
    given: dict[str, Any] = {p.name: a for p, a in zip(positional, args, strict=False)}
    for key, value in keywords.items():
        if all(p.name != key for p in spec.parameters):
            raise ArgumentError(
                f"{spec.signature} has no parameter {key!r}",
                suggestion=nearest_name(key, [p.name for p in spec.parameters]),
            )
        if key in given:
            raise ArgumentError(f"{spec.name}: {key} is given twice")
        given[key] = value
    operands: list[Node] = []
    statics: list[Param] = []
    for p in spec.parameters:
        if p.name not in given:
            if p.required:
                raise ArgumentError(f"{spec.signature} needs {p.name}")
            if p.kind.is_operand:
                operands.append(const(p.default))
            else:
                statics.append(p.default)
        elif p.kind.is_operand:
            operands.append(_operand(spec, p, given[p.name]))
        else:
            statics.append(check_param(spec, p, given[p.name]))
    check_order(spec, spec.named(tuple(statics)))
    return make(spec.name, operands, statics)
