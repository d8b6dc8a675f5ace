"""Pieces of a text in another system's language, which put themselves together with the brackets that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.lang.printer import format_number

if TYPE_CHECKING:
    from collections.abc import Callable

LOGICAL, ADDITIVE, MULTIPLICATIVE, UNARY, ATOM = range(5)


@dataclass(frozen=True)
class Piece:
    """A text with how tightly its outermost operation binds, and whether it is true or false."""

    text: str
    binds: int = ATOM
    boolean: bool = False

    def __add__(self, other: Piece | float) -> Piece:
        return infix("+", ADDITIVE, self, piece(other))

    def __radd__(self, other: float) -> Piece:
        return infix("+", ADDITIVE, piece(other), self)

    def __sub__(self, other: Piece | float) -> Piece:
        return infix("-", ADDITIVE, self, piece(other))

    def __rsub__(self, other: float) -> Piece:
        return infix("-", ADDITIVE, piece(other), self)

    def __mul__(self, other: Piece | float) -> Piece:
        return infix("*", MULTIPLICATIVE, self, piece(other))

    def __rmul__(self, other: float) -> Piece:
        return infix("*", MULTIPLICATIVE, piece(other), self)

    def __truediv__(self, other: Piece | float) -> Piece:
        return infix("/", MULTIPLICATIVE, self, piece(other))

    def __rtruediv__(self, other: float) -> Piece:
        return infix("/", MULTIPLICATIVE, piece(other), self)

    def at_least(self, binds: int) -> str:
        """The text, in brackets where it binds less tightly than this."""
        return self.text if self.binds >= binds else f"({self.text})"


def piece(value: Piece | float) -> Piece:
    """A number as a piece; a piece as it is."""
    if isinstance(value, Piece):
        return value
    text = format_number(value)
    return Piece(text, UNARY if text.startswith("-") else ATOM)


def infix(symbol: str, binds: int, left: Piece, right: Piece) -> Piece:
    """`left symbol right`, read from left to right: what is equally tight on the right gets brackets."""
    after = right.at_least(binds + 1)
    after = f"({after})" if after.startswith("-") else after
    return Piece(f"{left.at_least(binds)} {symbol} {after}", binds)


def compared(symbol: str) -> Callable[[Piece, Piece], Piece]:
    """How a comparison or a logical operation is written with a sign between its sides."""

    def write(x: Piece, y: Piece) -> Piece:
        return Piece(f"{x.at_least(ADDITIVE)} {symbol} {y.at_least(ADDITIVE)}", LOGICAL, boolean=True)

    return write


def call(name: str, *arguments: Piece | float | str, boolean: bool = False) -> Piece:
    """`name(a, b, ...)`; a text among the arguments is written as it is."""
    texts = [a if isinstance(a, str) else piece(a).text for a in arguments]
    return Piece(f"{name}({', '.join(texts)})", ATOM, boolean)
