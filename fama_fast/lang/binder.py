"""Syntax tree to checked IR: what each name means, and whether the arguments fit.

Operators come from the registry, fields and groups from the scope, spellings from the dialect. Nothing is
rewritten here (that is the passes' work) except that arithmetic on literals in a static parameter becomes its
value.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from fama_fast.errors import ArgumentError, ExpressionError, LimitError, UnknownName, WindowError, nearest_name
from fama_fast.ir import Node, const, field, group
from fama_fast.lang.constants import constant_value
from fama_fast.lang.diagnostics import placed, shown
from fama_fast.lang.dialects.on_time import against_days
from fama_fast.lang.dialects.operators import apply
from fama_fast.lang.dialects.quotes import quoted
from fama_fast.lang.dialects.sigils import is_marked
from fama_fast.lang.parser import MAX_DEPTH
from fama_fast.lang.syntax import Call, Expr, Infix, Keyword, Name, Number
from fama_fast.ops import MAX_WINDOW, build, check_param, find, get, is_group, names, specs
from fama_fast.types import Kind, adv_window

if TYPE_CHECKING:
    from fama_fast.ir import Param
    from fama_fast.lang.dialects.dialect import Dialect
    from fama_fast.lang.scope import Scope
    from fama_fast.ops import OpSpec, Parameter

CONSTANTS = {"TRUE": 1.0, "FALSE": 0.0, "NAN": math.nan}


@dataclass(frozen=True, slots=True)
class _Bound(Expr):
    """An operand that has its node already."""

    node: Node


class Binder:
    """Binds the trees of one text. `text` is only quoted in errors."""

    def __init__(self, text: str, dialect: Dialect, scope: Scope) -> None:
        self._text = text
        self._dialect = dialect
        self._scope = scope

    def series(self, expr: Expr) -> Node:
        """The node of an expression that stands for a value per (date, symbol).

        Recursion is as deep as the tree, which the parser has bounded.
        """
        match expr:
            case Number():
                return const(expr.value)
            case Name():
                return self._field(expr)
            case _Bound():
                return expr.node
            case Infix():
                spec = infix_spec(expr.symbol, len(expr.operands))
                operands = [self.series(o) for o in expr.operands]
                own = self._dialect.own.get(spec.name)
                if own is not None:
                    return apply(own, dict(zip((p.name for p in own.operands), operands, strict=True)))
                return build(spec.name, *operands)
            case Call():
                return self._call(expr)
            case _:
                raise TypeError(f"{type(expr).__name__} is not a value")

    def _fail(
        self,
        kind: type[ExpressionError],
        message: str,
        at: Expr,
        suggestion: str | None = None,
        end: int | None = None,
    ) -> NoReturn:
        raise kind(message, text=self._text, start=at.start, end=end or at.end, suggestion=suggestion)

    # Names

    def _quoted(self, expr: Expr) -> str | None:
        """What stands in quotes there, in a dialect that has them."""
        return quoted(self._text, expr) if self._dialect.quotes and isinstance(expr, Name) else None

    def _field(self, expr: Name) -> Node:
        folded = expr.name.upper()
        text = self._quoted(expr)
        if text is not None:
            self._fail(
                ArgumentError, "a text in quotes cannot stand here: names are written without quotes", expr, text
            )
        if folded in CONSTANTS:
            return const(CONSTANTS[folded])
        mark = self._dialect.sigil
        if mark and not is_marked(self._text, expr, self._dialect):
            fields = f"fields are written {mark}name in the {self._dialect.name} dialect"
            self._fail(UnknownName, f"unknown name {shown(expr.name)!r}: {fields}", expr, f"{mark}{expr.name}")
        if not self._scope.is_field(folded):
            if self._scope.is_group(folded):
                self._group_as_series(expr, expr.name)
            spec = self._operator(folded)
            if spec is not None:
                self._fail(ArgumentError, f"{expr.name} is an operator: write {_usage(spec)}", expr)
        name = self._scope.field(folded)
        if name is None:
            message, suggestion = self._scope.no_field(shown(expr.name))
            self._fail(UnknownName, message, expr, suggestion)
        if (adv_window(name) or 0) > MAX_WINDOW:
            self._fail(WindowError, f"{name}: the window must be at most {MAX_WINDOW}", expr)
        return field(name)

    def _group_as_series(self, expr: Expr, name: str, spec: OpSpec | None = None) -> NoReturn:
        """A group where numbers are due: probably the operator within groups was meant, or arguments were swapped."""
        within = spec if spec and any(p.kind is Kind.GROUP for p in spec.operands) else None
        if within is None:
            within = (spec and find(f"GROUP_{spec.name}")) or get("GROUP_RANK")
        parts = [name if p.kind is Kind.GROUP else "CLOSE" for p in within.operands]
        parts += [f"{p.minimum or 1:g}" for p in within.statics if p.required]
        message = f"{name} is a group, not a series of numbers"
        self._fail(ArgumentError, message, expr, f"{within.name}({', '.join(parts)})")

    def _group(self, expr: Expr, spec: OpSpec) -> Node:
        if isinstance(expr, Call):
            made = self._call(expr)
            if is_group(made):
                return made
        text = self._quoted(expr)
        if not isinstance(expr, Name) or text is not None:
            message = f"{spec.name} needs the name of a group here, such as SECTOR"
            self._fail(ArgumentError, message, expr, text or "SECTOR")
        if self._scope.is_field(expr.name) and not self._scope.is_group(expr.name):
            self._fail(
                ArgumentError, f"{expr.name} is a field; {spec.name} needs a group here, such as SECTOR", expr, "SECTOR"
            )
        name = self._scope.group(expr.name)
        if name is None:
            message, suggestion = self._scope.no_group(shown(expr.name))
            self._fail(UnknownName, message, expr, suggestion)
        return group(name)

    def _operator(self, folded: str) -> OpSpec | None:
        own = self._dialect.own.get(folded)
        if own is not None:
            return own
        canonical = self._dialect.operators.get(folded)
        return get(canonical) if canonical else find(folded)

    # Calls

    def _operators(self) -> set[str]:
        """Names of operators that a text may have."""
        return {*names(), *self._dialect.operators, *self._dialect.own}

    def _call(self, expr: Call) -> Node:
        refused = self._dialect.refused.get(expr.name.upper())
        if refused is not None:
            self._fail(UnknownName, f"{expr.name} is not supported: {refused}", expr, end=expr.name_end)
        spec = self._operator(expr.name.upper())
        if spec is None and expr.name.upper() == "LEAD":
            message = "LEAD looks ahead: it belongs to the returns of a target, an alpha cannot look ahead"
            self._fail(UnknownName, message, expr, end=expr.name_end)
        if spec is None:
            if self._scope.is_field(expr.name) and not self._scope.recorded:
                message = f"{expr.name} is a field: it takes no arguments"
                self._fail(UnknownName, message, expr, expr.name, expr.name_end)
            suggestion = nearest_name(expr.name, self._operators())
            self._fail(UnknownName, f"unknown operator {shown(expr.name)!r}", expr, suggestion, expr.name_end)
        spec = self._rolling(spec, expr.arguments)
        if spec.name in self._dialect.chained and len(operands_of(expr)) > 2:
            return self._chained(expr)
        arguments = self._arguments(spec, expr)
        values: dict[str, Node | Param] = {}
        against = self._counter(spec, arguments)
        for p in spec.parameters:
            if p.name == against:
                continue
            if p.name not in arguments:
                if p.required:
                    self._fail(ArgumentError, f"{spec.signature} needs {p.name}", expr, spec.example)
                continue
            argument = arguments[p.name]
            if p.kind is Kind.SERIES:
                values[p.name] = self._operand(argument, spec)
            elif p.kind is Kind.GROUP:
                values[p.name] = self._group(argument, spec)
            else:
                values[p.name] = self._static(argument, spec, p)
        if spec.windowed and "min_periods" not in values:
            values["min_periods"] = self._dialect.min_periods
        try:
            if against is not None:
                return self._against_days(spec, against, values)
            return apply(spec, values) if self._dialect.own.get(spec.name) is spec else build(spec.name, **values)
        except ExpressionError as error:
            named = {p.name: values.get(p.name, p.default) for p in spec.statics}
            pair = spec.out_of_order(named) or ("min_periods",)
            at = next((arguments[name] for name in pair if name in arguments), expr)
            raise placed(error, self._text, at.start, at.end) from None

    def _chained(self, call: Call) -> Node:
        """`max(x, y, z)` as `max(max(x, y), z)`."""
        operands = operands_of(call)
        if len(operands) > MAX_DEPTH:
            # What is written out as one call inside another could not be read back.
            message = f"{call.name} takes at most {MAX_DEPTH} operands, not {len(operands)}"
            self._fail(LimitError, message, call, end=call.name_end)
        first, *others = operands
        named = call.arguments[len(operands) :]
        for operand in others:
            node = self._call(replace(call, arguments=(first, operand, *named)))
            first = _Bound(call.start, operand.end, call.depth, call.size, node)
        return node

    def _operand(self, argument: Expr, spec: OpSpec) -> Node:
        """The node of an argument that stands for numbers."""
        name = argument.name if isinstance(argument, Name) and self._quoted(argument) is None else None
        if name is not None and self._scope.is_group(name) and not self._scope.is_field(name):
            self._group_as_series(argument, name, spec)
        return self.series(argument)

    def _counter(self, spec: OpSpec, given: dict[str, Expr]) -> str | None:
        """The operand for which a count of days is given: the x of a regression, or either side of a correlation."""
        for name in {"TS_REGRESSION": ("x",), "CORREL": ("x", "y")}.get(spec.name, ()):
            argument = given.get(name)
            if isinstance(argument, Call) and argument.name.upper() in self._dialect.counters:
                if [constant_value(self.series(a)) for a in argument.arguments] != [1.0]:
                    self._fail(ArgumentError, f"a count of days is written {argument.name}(1)", argument)
                return name
        return None

    @staticmethod
    def _against_days(spec: OpSpec, against: str, values: dict[str, Node | Param]) -> Node:
        (other,) = (values[p.name] for p in spec.operands if p.name != against)
        assert isinstance(other, Node)
        defaults = {p.name: p.default for p in spec.statics if not p.required}
        return against_days(spec.name, other, {**defaults, **values})

    def _rolling(self, spec: OpSpec, arguments: tuple[Expr, ...]) -> OpSpec:
        """`max(x, 5)` where the dialect means the highest of 5 days."""
        rolling = self._dialect.rolling.get(spec.name)
        if rolling and len(arguments) == 2 and isinstance(arguments[1], Number) and arguments[1].value >= 1:
            return get(rolling)
        return spec

    def _arguments(self, spec: OpSpec, call: Call) -> dict[str, Expr]:
        """Arguments by parameter name."""
        positional = [p.name for p in spec.parameters if not p.keyword_only]
        by_folded = {p.name.casefold(): p.name for p in spec.parameters}
        by_name: dict[str, Expr] = {}
        after_keyword = False
        for i, argument in enumerate(call.arguments):
            if isinstance(argument, Keyword):
                after_keyword = True
                name = by_folded.get(argument.name.casefold())
                if name is None:
                    self._fail(
                        UnknownName,
                        f"{spec.signature} has no parameter {shown(argument.name)!r}",
                        argument,
                        nearest_name(argument.name, by_folded.values()),
                        argument.start + len(argument.name),
                    )
                if name in by_name:
                    self._fail(ArgumentError, f"{spec.name}: {name} is given twice", argument)
                by_name[name] = argument.value
            elif after_keyword:
                message = f"{spec.name}: this argument must come before those with a name"
                free = [n for n in positional if n not in by_name]
                meant = f"{free[0]}={self._text[argument.start : argument.end]}" if free else None
                self._fail(ArgumentError, message, argument, meant)
            elif i >= len(positional):
                most = "1 argument" if len(positional) == 1 else f"{len(positional)} arguments"
                named = [p.name for p in spec.parameters if p.keyword_only]
                hint = f" ({', '.join(f'{n}=' for n in named)} by name)" if named else ""
                message = f"{spec.name}({', '.join(positional)}) takes {most}{hint}, not {len(call.arguments)}"
                meant = f"{named[0]}={argument.value:g}" if named and isinstance(argument, Number) else None
                self._fail(ArgumentError, message, argument, meant or self._with_fewer(spec, call, len(positional)))
            else:
                by_name[positional[i]] = argument
        return by_name

    def _with_fewer(self, spec: OpSpec, call: Call, most: int) -> str:
        """The call without what is too much; of RANK(x, 5), the operator over time that has a window."""
        name = call.name
        over_time = find(f"TS_{spec.name}")
        if over_time is not None and most == 1 and len(call.arguments) == 2 and isinstance(call.arguments[1], Number):
            name, most = over_time.name, 2
        written = f"{name}{self._text[call.name_end : call.arguments[most - 1].end]})"
        return written if written.count("(") == written.count(")") else spec.example

    def _static(self, expr: Expr, spec: OpSpec, p: Parameter) -> Param:
        """A constant in its stored form."""
        folded = expr.name.upper() if isinstance(expr, Name) else ""
        if folded == "NONE" and not p.required and p.default is None:
            return None
        text = self._quoted(expr)
        if p.kind is Kind.TEXT:
            return self._checked(text, expr, spec, p)
        if p.kind is Kind.CHOICE:
            name = expr.name if isinstance(expr, Name) else ""
            return self._checked(name if text is None else text.strip(), expr, spec, p)
        value: float | bool | None
        if p.kind is Kind.FLAG and folded in ("TRUE", "FALSE"):
            value = folded == "TRUE"
        else:
            value = constant_value(self.series(expr))
        if value is None:
            what = " number of days" if p.kind is Kind.WINDOW else ""
            self._fail(ArgumentError, f"{spec.name}: {p.name} must be a constant{what}", expr, spec.example)
        if folded in ("TRUE", "FALSE") and p.kind is not Kind.FLAG:
            self._fail(ArgumentError, f"{spec.name}: {p.name} must be a number, not {folded}", expr, spec.example)
        if p.kind is Kind.WINDOW:
            if value < 0:
                message = f"{spec.name}: {p.name} must be at least 1, not {value:g}: an alpha cannot look ahead"
                self._fail(WindowError, message, expr, f"{-value:g}")
            if value == 0 and self._dialect.no_window:
                message = f"{spec.name}: {p.name} must be at least 1: {self._dialect.no_window}"
                self._fail(WindowError, message, expr)
            if self._dialect.whole_windows and math.isfinite(value):
                value = math.floor(value)
        return self._checked(value, expr, spec, p)

    def _checked(self, value: Param, expr: Expr, spec: OpSpec, p: Parameter) -> Param:
        try:
            return check_param(spec, p, value)
        except ExpressionError as error:
            raise placed(error, self._text, expr.start, expr.end) from None


def infix_spec(symbol: str, operands: int) -> OpSpec:
    """The operator that the registry gives to an infix symbol with so many operands."""
    for spec in specs():
        if spec.symbol == symbol and len(spec.operands) == operands:
            return spec
    raise LookupError(f"no operator is registered for {symbol!r} with {operands} operands")


def operands_of(call: Call) -> tuple[Expr, ...]:
    """The arguments before the first that has a name."""
    return tuple(itertools.takewhile(lambda a: not isinstance(a, Keyword), call.arguments))


def _usage(spec: OpSpec) -> str:
    return f"{spec.name}({', '.join(p.name for p in spec.parameters if p.required)})"
