"""Reads an expression that may look ahead: in a target alone there is `LEAD(x, d)`, the value of x d rows later.

What stands in a LEAD is an alpha of its own. It is taken out of the expression, a name of no data put in its place, and
so again for a LEAD within a LEAD. What is left of each holds no LEAD: operators, windows and cross-sections mean in
a target what they mean in an alpha, and no graph that the rest of the package knows looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError, WindowError
from fama_fast.ir import field
from fama_fast.lang.binder import Binder
from fama_fast.lang.constants import constant_value
from fama_fast.lang.dialects.dialect import get_dialect
from fama_fast.lang.dialects.operators import own
from fama_fast.lang.dialects.sigils import syntax_of
from fama_fast.lang.scope import RecordedScope, Scope
from fama_fast.ops import MAX_WINDOW
from fama_fast.ops.spec import lag, series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.ir import Node
    from fama_fast.lang.dialects.dialect import Dialect
    from fama_fast.lang.syntax import Call, Expr


def _no_operator(*_: object) -> Node:
    raise TypeError("LEAD is taken out of an expression and never built")


_LEAD = own("LEAD", (series("x"), lag("d")), _no_operator, "The value of x d rows later.", "fama_fast")


@dataclass(frozen=True)
class Ahead:
    """A field that stands for `LEAD(x, d)`: its name, x (over fields and earlier names) and d, at least 1."""

    name: str
    node: Node
    days: int


@dataclass(frozen=True)
class LeadingExpression:
    """An expression without LEAD over fields and the names of `ahead`, of which each knows only those before it."""

    node: Node
    ahead: tuple[Ahead, ...]


def parse_leading(
    text: str,
    *,
    dialect: str | Dialect = "fama",
    fields: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
) -> LeadingExpression:
    """The checked parts of an expression that may look ahead, as written (not canonicalised).

    Args:
        text, dialect: as of `lang.parse`; in qlib's, `Ref(x, -2)` is `LEAD(x, 2)`.
        fields, groups: of the data. Without both every name is taken as a column of data not seen yet.

    Raises:
        ExpressionError: as `lang.parse`; WindowError: a lead that is no positive whole number.
    """
    chosen = get_dialect(dialect)
    unknown = fields is None and groups is None
    binder = _LeadBinder(text, chosen, RecordedScope(chosen) if unknown else Scope(chosen, fields, groups))
    node = binder.series(syntax_of(text, chosen))
    return LeadingExpression(node, tuple(binder.ahead))


class _LeadBinder(Binder):
    """A binder that knows LEAD, and collects what stands in it."""

    def __init__(self, text: str, dialect: Dialect, scope: Scope) -> None:
        super().__init__(text, dialect, scope)
        self.ahead: list[Ahead] = []

    def _call(self, expr: Call) -> Node:
        name = expr.name.upper()
        if name == "LEAD":
            return self._lead(expr)
        if name == "REF" and self._dialect.name == "qlib" and len(expr.arguments) == 2:
            days = self._days(expr.arguments[1])
            if days is not None and days < 0:
                return self._moved(expr.arguments[0], -days, expr.arguments[1])
        return super()._call(expr)

    def _operators(self) -> set[str]:
        return {"LEAD", *super()._operators()}

    def _lead(self, expr: Call) -> Node:
        given = self._arguments(_LEAD, expr)
        for name in ("x", "d"):
            if name not in given:
                self._fail(ArgumentError, f"LEAD(x, d) needs {name}", expr, "LEAD(CLOSE, 1)")
        days = self._days(given["d"])
        if days is None:
            self._fail(ArgumentError, "LEAD: d must be a constant number of rows", given["d"], "LEAD(CLOSE, 1)")
        return self._moved(given["x"], days, given["d"])

    def _days(self, expr: Expr) -> float | None:
        return constant_value(self.series(expr))

    def _moved(self, x: Expr, days: float, at: Expr) -> Node:
        if not 1 <= days <= MAX_WINDOW or days != int(days):
            suggestion = f"{-days:g}" if days < 0 else None
            self._fail(
                WindowError,
                f"LEAD: d must be a whole number of rows from 1 to {MAX_WINDOW}, not {days:g}",
                at,
                suggestion,
            )
        node = self._operand(x, _LEAD)
        for known in self.ahead:
            if known.node is node and known.days == int(days):
                return field(known.name)
        # A space in it: no expression can name it.
        name = f"LEAD {len(self.ahead)}"
        self.ahead.append(Ahead(name, node, int(days)))
        return field(name)
