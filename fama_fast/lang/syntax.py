"""The syntax tree: what was written, with its place in the text, before any name has a meaning.

It knows no operator, field or group; `binder` gives names their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expr:
    """A piece of syntax over the characters [start, end). `depth` is 1 for a leaf, `size` counts nodes."""

    start: int
    end: int
    depth: int
    size: int


@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A literal; a minus directly before a literal belongs to it."""

    value: float


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A bare name, as written."""

    name: str


@dataclass(frozen=True, slots=True)
class Keyword(Expr):
    """`name=value` among the arguments of a call."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """`name(arguments)`, arguments in the order written; `name_end` is where the name stops."""

    name: str
    name_end: int
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Infix(Expr):
    """A symbol, in its canonical spelling, on one operand (`-x`), two (`x + y`) or three (`?`, for `?:`)."""

    symbol: str
    operands: tuple[Expr, ...]
