"""Operators defined in the language itself: `define("TS_RANGE(x, d) = TS_MAX(x, d) - TS_MIN(x, d)")`.

1. The head gives the name and the parameters, the body is one expression over them (`_split`).
2. What a parameter is follows from where the body uses it (`_kinds`): in a window's place it is a window, in a
   number's place a number, in a group's place a group, anywhere else a series.
3. The body is bound with stand-ins, once with every window that could be too short or too long, so that mistakes show
   now, with their place, and the parameter's range is known (`_range`).
4. It becomes an ordinary `OpSpec` with `lower=`: binding the body to the operands at hand (`_Template`).

Nothing is evaluated as Python.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any, TypeVar

from fama_fast.errors import ArgumentError, ExpressionError, LimitError, ParseError, WindowError
from fama_fast.ir import FIELD, LEAVES, Node, const, field, group, postorder, rewrite
from fama_fast.lang.binder import CONSTANTS, Binder, operands_of
from fama_fast.lang.constants import constant_value
from fama_fast.lang.define_ranges import edge_between, example_of, probe_value
from fama_fast.lang.diagnostics import placed, shown
from fama_fast.lang.dialects.dialect import get_dialect
from fama_fast.lang.parser import parse_syntax
from fama_fast.lang.scope import Scope
from fama_fast.lang.syntax import Call, Expr, Infix, Keyword, Name
from fama_fast.ops import MAX_WINDOW, MIN_PERIODS, OpSpec, Parameter, check_param, find, get, register, unregister
from fama_fast.types import Family, Kind, derived_field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fama_fast.ir import Param
    from fama_fast.lang.dialects.dialect import Dialect

T = TypeVar("T")

SOURCE = "defined in the language"
MAX_LEVELS = 100  # definitions within definitions

_HEAD = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*\([^()]*\)\s*(?==(?!=))")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_RESERVED = frozenset({*CONSTANTS, "NONE"})
_STATIC_KINDS = (Kind.WINDOW, Kind.COUNT, Kind.CHOICE, Kind.FLAG, Kind.NUMBER)
_PROBES = (20, 50, 5, 2, 1, 250)


def define(
    text: str,
    *,
    doc: str | None = None,
    example: str | None = None,
    source: str = SOURCE,
    aliases: Sequence[str] = (),
    notes: str = "",
    dialect: str = "fama",
    replace: bool = False,
) -> OpSpec:
    """Register an operator that is written in the language; it then works like any other, in both back ends.

    Args:
        text: `NAME(parameters) = expression`. Operands (series, groups) come before windows and numbers; a parameter
            may have a default (`d=20`). A last parameter `min_periods=NONE` is passed by name. Other names in the
            expression are fields of the data.
        doc, example, source, aliases, notes: as in `OpSpec`; doc and example are made from the text when left out.
        dialect: in which the expression is written.
        replace: put it in the place of an operator that an earlier `define` made; others cannot be replaced.

    Returns:
        The registered entry. `fama_fast.ops.unregister(name)` removes it.

    Raises:
        ParseError, UnknownName, ArgumentError, WindowError: with line and column in `text`. LimitError: definitions
            within definitions, more than MAX_LEVELS deep.
    """
    head, body, split = _split(text)
    chosen = get_dialect(dialect)
    name = head.name.upper()
    if not _NAME.match(name):
        raise _error(ArgumentError, f"{head.name} cannot be an operator's name", text, head)
    taken = find(name)
    if taken is not None and not (replace and taken.source == SOURCE and taken.name == name):
        raise _error(ArgumentError, f"operator name {name} is taken", text, head, end=head.name_end)
    definition = _Definition(text, body, chosen, _parameters(text, head, body, chosen))
    written = " ".join(text[split + 1 :].split())
    parameters = definition.ranged()
    node = definition.body({p.name: v for p, v in zip(parameters, definition.stand_ins(), strict=True)})
    _check_levels(node, name, text, body)
    inner = [get(n.op) for n in postorder(node) if n.op not in LEAVES]
    # The widest of what the operators inside see.
    family = max((s.family for s in inner), key=list(Family).index, default=Family.ELEMENT)
    windows = any(s.lookback is not None for s in inner) or definition.lookback_of(node) > 0
    spec = OpSpec(
        name=name,
        family=family,
        parameters=parameters,
        doc=doc or f"Short for `{written}`.",
        example=example or example_of(name, parameters),
        source=source,
        missing="as in the operators it is made of",
        aliases=tuple(aliases),
        lookback=definition.lookback if windows else None,
        lower=definition.lower,
        notes=notes,
        boolean=node.op not in LEAVES and get(node.op).boolean,
    )
    if taken is not None:
        unregister(name)
    return register(spec)


@dataclass(frozen=True)
class _Definition:
    """A parsed definition: its body can be bound to any operands and parameters."""

    text: str
    expr: Expr
    dialect: Dialect
    parameters: tuple[Parameter, ...]

    def body(self, values: Mapping[str, Node | Param]) -> Node:
        """The body with these values in the places of the parameters."""
        folded = {name.upper(): v for name, v in values.items()}
        binder = _Template(self.text, self.dialect, Scope(self.dialect, None, None), folded)
        return _located(self.text, self.expr, lambda: binder.series(self.expr))

    def lower(self, *values: Node | Param) -> Node:
        """The rewrite that `OpSpec.lower` is."""
        return self.body({p.name: v for p, v in zip(self.parameters, values, strict=True)})

    def lookback(self, named: Mapping[str, Any]) -> int:
        """Rows before today that the body needs of its operands and fields, from its static parameters."""
        values = {p.name: named[p.name] if p.name in named else _operand(p) for p in self.parameters}
        return self.lookback_of(self.body(values))

    @staticmethod
    def lookback_of(root: Node) -> int:
        rows: dict[Node, int] = {}
        for node in postorder(root):
            if node.op in LEAVES:
                derived = derived_field(node.name) if node.op == FIELD else None
                rows[node] = derived.lookback if derived else 0
            else:
                rows[node] = get(node.op).own_lookback(node.params) + max(rows[a] for a in node.args)
        return rows[root]

    def stand_ins(self) -> list[Node | Param]:
        """Values with which the body can be bound: made-up operands, defaults, and windows that fit together."""
        first: ExpressionError | None = None
        for probe in _PROBES:
            values = [_operand(p) if p.kind.is_operand else probe_value(p, probe) for p in self.parameters]
            try:
                self.body({p.name: v for p, v in zip(self.parameters, values, strict=True)})
            except WindowError as error:
                first = first or error
            else:
                return values
        assert first is not None
        raise first

    def ranged(self) -> tuple[Parameter, ...]:
        """The parameters, windows with the range in which the body can be bound."""
        values = self.stand_ins()

        def fits(i: int, d: int) -> bool:
            trial = [*values[:i], d, *values[i + 1 :]]
            try:
                self.body({p.name: v for p, v in zip(self.parameters, trial, strict=True)})
            except WindowError:
                return False
            return True

        out = []
        for i, p in enumerate(self.parameters):
            if p.kind is not Kind.WINDOW or p is MIN_PERIODS:
                out.append(p)
                continue
            good = values[i]
            assert isinstance(good, int)
            low = edge_between(0, good, functools.partial(fits, i))
            high = MAX_WINDOW if fits(i, MAX_WINDOW) else edge_between(MAX_WINDOW, good, functools.partial(fits, i))
            if not all(fits(i, d) for d in range(low, min(high, low + 3) + 1)):
                raise _error(WindowError, f"not every {p.name} gives whole windows here", self.text, self.expr)
            out.append(changed(p, minimum=low, maximum=high))
        return tuple(out)


class _Template(Binder):
    """Binds a body: a parameter's name stands for its value and hides a field of that name."""

    def __init__(self, text: str, dialect: Dialect, scope: Scope, values: Mapping[str, Node | Param]) -> None:
        super().__init__(text, dialect, scope)
        self._values = values

    def _field(self, expr: Name) -> Node:
        folded = expr.name.upper()
        if folded not in self._values:
            return super()._field(expr)
        value = self._values[folded]
        if isinstance(value, Node):
            return value
        if value is None or isinstance(value, str):
            self._fail(ArgumentError, f"{expr.name} is not a number here", expr)
        return const(float(value))

    def _group(self, expr: Expr, spec: OpSpec) -> Node:
        value = self._values.get(expr.name.upper()) if isinstance(expr, Name) else None
        return value if isinstance(value, Node) else super()._group(expr, spec)

    def _static(self, expr: Expr, spec: OpSpec, p: Parameter) -> Param:
        if isinstance(expr, Name) and expr.name.upper() in self._values:
            value = self._values[expr.name.upper()]
            if value is None or isinstance(value, bool | str):
                return _located(self._text, expr, lambda: check_param(spec, p, value))
        return super()._static(expr, spec, p)

    def uses(self, expr: Expr, place: Parameter | None, found: dict[str, list[Parameter | None]]) -> None:
        """Collect, for each parameter named in `expr`, the static or group parameters in whose place it stands.

        A place is None for a value of a series. Inside a static argument everything is static, so that `d` in
        `TS_MEAN(x, 2 * d)` is a window too.
        """
        match expr:
            case Name():
                if expr.name.upper() in found:
                    found[expr.name.upper()].append(place)
            case Infix():
                for operand in expr.operands:
                    self.uses(operand, place, found)
            case Call():
                spec = self._operator(expr.name.upper())
                if spec is None:
                    self.series(expr)  # says which name is unknown
                    return
                by_name = {p.name: p for p in spec.parameters}
                operands = operands_of(expr)
                if spec.name in self._dialect.chained and len(operands) > 2:
                    for operand in operands[2:]:
                        self.uses(operand, place, found)
                    expr = changed(expr, arguments=(*operands[:2], *expr.arguments[len(operands) :]))
                # What a group is made of is a series, though the call stands in a group's place.
                outer = None if spec.gives_group else place
                for name, argument in self._arguments(spec, expr).items():
                    own = by_name[name]
                    self.uses(argument, outer if own.kind is Kind.SERIES else own, found)
            case _:
                return


def _check_levels(root: Node, name: str, text: str, body: Expr) -> None:
    """Nothing unless an operator is defined by itself, or over too many others."""

    def expanded(node: Node) -> Node:
        if node.op == name:
            raise _error(ArgumentError, f"{name} cannot be defined by itself", text, body)
        lower = None if node.op in LEAVES else get(node.op).lower
        return node if lower is None else lower(*node.args, *node.params)

    for _ in range(MAX_LEVELS):
        before, root = root, rewrite(root, expanded)
        if root is before:
            return
    raise _error(LimitError, f"definitions stand within definitions more than {MAX_LEVELS} levels deep", text, body)


def _split(text: str) -> tuple[Call, Expr, int]:
    """Head, body and the place of the sign between them; both keep their places in the text."""
    if not isinstance(text, str):
        raise ParseError(f"a definition is text, not {type(text).__name__}")
    match = _HEAD.match(text)
    if match is None:
        raise ParseError(
            "a definition reads NAME(x, d) = expression", text=text, start=0, end=len(text), expected=("NAME(x, d) =",)
        )
    at = match.end()
    blank = "".join(c if c.isspace() else " " for c in text[: at + 1])
    head = _located(text, None, lambda: parse_syntax(text[:at]))
    body = _located(text, None, lambda: parse_syntax(blank + text[at + 1 :]))
    assert isinstance(head, Call)
    return head, body, at


def _parameters(text: str, head: Call, body: Expr, dialect: Dialect) -> tuple[Parameter, ...]:
    """The parameters, with the kinds that their uses in the body ask for."""
    named: dict[str, tuple[str, Expr, Expr | None]] = {}
    for argument in head.arguments:
        default = argument.value if isinstance(argument, Keyword) else None
        if not isinstance(argument, Name | Keyword):
            raise _error(ArgumentError, "a parameter is a name, or name=default", text, argument)
        folded = argument.name.upper()
        if folded in _RESERVED or "." in folded:
            raise _error(ArgumentError, f"{argument.name} cannot be a parameter's name", text, argument)
        if folded in named:
            raise _error(ArgumentError, f"{argument.name} is given twice", text, argument)
        named[folded] = (argument.name, argument, default)
    roles: dict[str, list[Parameter | None]] = {folded: [] for folded in named}
    binder = _Template(text, dialect, Scope(dialect, None, None), {})
    _located(text, body, lambda: binder.uses(body, None, roles))
    parameters: list[Parameter] = []
    for folded, (name, where, default) in named.items():
        p = _parameter(text, name, where, roles[folded], default)
        if p.kind.is_operand and any(not q.kind.is_operand for q in parameters):
            raise _error(ArgumentError, f"operand {name} must come before windows and numbers", text, where)
        parameters.append(p)
    if not any(p.kind.is_operand for p in parameters):
        raise _error(ArgumentError, f"{shown(head.name)} needs an operand, such as x", text, head, end=head.name_end)
    if any(p is MIN_PERIODS for p in parameters[:-1]):
        raise _error(ArgumentError, "min_periods comes last", text, head)
    return tuple(parameters)


def _parameter(text: str, name: str, where: Expr, uses: list[Parameter | None], default: Expr | None) -> Parameter:
    if not uses:
        raise _error(ArgumentError, f"{name} is not used", text, where)
    places = [p for p in uses if p is not None]
    kinds = {p.kind for p in places}
    if Kind.GROUP in kinds:
        if len(kinds) > 1 or None in uses or default is not None:
            raise _error(ArgumentError, f"{name} is a group in one place and something else in another", text, where)
        return Parameter(name, Kind.GROUP)
    if name.lower() == MIN_PERIODS.name:
        if isinstance(default, Name) and default.name.upper() == "NONE":
            return MIN_PERIODS
        raise _error(ArgumentError, "write min_periods=NONE", text, where)
    kind = next((k for k in _STATIC_KINDS if k in kinds), Kind.SERIES if default is None else Kind.NUMBER)
    if kind is Kind.SERIES:
        return Parameter(name, kind)
    if kind is Kind.CHOICE:
        place = next(p for p in places if p.kind is kind)
        value = place.default if default is None else default.name.casefold() if isinstance(default, Name) else None
        if value not in place.choices:
            raise _error(ArgumentError, f"{name} must be one of {', '.join(place.choices)}", text, where)
        return Parameter(name, kind, value, choices=place.choices, doc=place.doc)
    lows = [p.minimum for p in places if p.minimum is not None and p.kind is kind]
    highs = [p.maximum for p in places if p.maximum is not None and p.kind is kind]
    low, high = max(lows, default=None), min(highs, default=None)
    if kind is Kind.NUMBER and any(p is None for p in uses):
        low = high = None  # also used in arithmetic: the operators inside check what reaches them
    if default is None:
        return Parameter(name, kind, minimum=low, maximum=high)
    return Parameter(name, kind, _default(text, name, kind, default), low, high)


def _default(text: str, name: str, kind: Kind, default: Expr) -> Param:
    dialect = get_dialect("fama")
    integral = kind in (Kind.WINDOW, Kind.COUNT)
    value = constant_value(Binder(text, dialect, Scope(dialect, None, None)).series(default))
    if value is None or not math.isfinite(value) or (integral and value != int(value)):
        what = "a whole number" if integral else "a number"
        raise _error(ArgumentError, f"the default of {name} must be {what}", text, default)
    return bool(value) if kind is Kind.FLAG else int(value) if integral else value


def _operand(p: Parameter) -> Node:
    """A stand-in that no field of the data can be confused with."""
    return group(f"#{p.name}") if p.kind is Kind.GROUP else field(f"#{p.name}")


def _error(kind: type[ExpressionError], message: str, text: str, at: Expr, end: int | None = None) -> ExpressionError:
    return kind(message, text=text, start=at.start, end=end or at.end)


def _located(text: str, at: Expr | None, work: Callable[[], T]) -> T:
    """What `work` gives; an error of it is shown in the whole definition, at `at` where it has no place yet."""
    try:
        return work()
    except ExpressionError as error:
        if error.text or at is None:
            raise placed(error, text, error.start, error.end) from None
        raise placed(error, text, at.start, at.end) from None
