"""The language: text to checked nodes and back. It rewrites nothing and computes nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.errors import ExpressionError
from fama_fast.ir import field
from fama_fast.lang.binder import Binder
from fama_fast.lang.dialects.dialect import DIALECTS, Dialect, get_dialect
from fama_fast.lang.dialects.sigils import syntax_of
from fama_fast.lang.parser import MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse_syntax
from fama_fast.lang.printer import shortened, to_text
from fama_fast.lang.scope import RecordedScope, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.ir import Node

__all__ = [
    "DIALECTS",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_NODES",
    "Dialect",
    "get_dialect",
    "parse",
    "parse_recorded",
    "parse_syntax",
    "shortened",
    "to_text",
    "writable",
]


def parse(
    text: str,
    *,
    dialect: str | Dialect = "fama",
    fields: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
) -> Node:
    """The checked node of an expression, as written (not canonicalised). Nothing is ever evaluated as Python.

    Args:
        text: one expression; names of any case.
        dialect: whose conventions it is written in.
        fields: numeric fields of the data; RET, VWAP and ADV{d} exist as well where they follow from these.
            None: the data is not known, so any name that is not a slip of a standard one may be a column, to
            be resolved when the expression is evaluated.
        groups: group fields of the data, likewise.

    Raises:
        ParseError: not in the language. LimitError: too long, too deep, too many parts. UnknownName: an
            operator, field, group, keyword or dialect. ArgumentError: number or kind of arguments.
            WindowError: a window or lag that is not a whole number in its range. All with line, column and,
            where there is one, a suggestion.
    """
    chosen = get_dialect(dialect)
    return Binder(text, chosen, Scope(chosen, fields, groups)).series(syntax_of(text, chosen))


def parse_recorded(text: str, *, dialect: str | Dialect = "fama") -> Node:
    """The checked node of a text from a ledger, a result or a set of factors, whose data are not at hand.

    Its names were right when it was written, so each is taken as the column that it was then.

    Raises:
        ExpressionError: as `parse`, but for names of fields and groups.
    """
    chosen = get_dialect(dialect)
    return Binder(text, chosen, RecordedScope(chosen)).series(syntax_of(text, chosen))


@functools.lru_cache(maxsize=4096)
def writable(name: str) -> bool:
    """Whether an expression can name this field or group: not one called TRUE or NOT, or with a space in its name."""
    try:
        # Behind it stands what a prefix would take for its operand.
        return parse_recorded(f"{name} - CLOSE").args == (field(name), field("CLOSE"))
    except ExpressionError:
        return False
