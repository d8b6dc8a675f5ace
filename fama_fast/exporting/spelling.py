"""How a system's language writes our operators, as data: a rule an operator, and words for where the two differ.

Rules claim nothing that is not checked: what they wrote is read back by that system's dialect and compared with the
formula (`reading_back`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.exporting.pieces import Piece, call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WINDOWS = "a window with missing days has a value from its first present day on; here it has none until whole"
ROUNDING = "rounding"


@dataclass(frozen=True)
class Rule:
    """How one operator is written.

    Attributes:
        write: takes the operands as pieces, then the static parameters by name (`min_periods` aside), and gives the
            piece; None where these parameters have no counterpart.
        differs: where the other system's values are others, in words.
        needs: operators that not every user of that system has.
        conditions: operands that are true or false, by place. partial: where values are others in a window with missing
            days even if the formula gives it a value too, in words.
    """

    write: Callable[..., Piece | None]
    differs: str = ""
    needs: tuple[str, ...] = ()
    conditions: tuple[int, ...] = ()
    partial: str = ""


def named(name: str, *, differs: str = "", needs: bool = False, boolean: bool = False) -> Rule:
    """An operator that has another name there, the same operands and the same parameters in the same order."""

    def write(*operands: Piece, **statics: float) -> Piece:
        return call(name, *operands, *statics.values(), boolean=boolean)

    return Rule(write, differs, (name,) if needs else ())


# The same signs in every language here.
ARITHMETIC: Mapping[str, Rule] = MappingProxyType(
    {
        "ADD": Rule(lambda x, y: x + y),
        "SUB": Rule(lambda x, y: x - y),
        "MUL": Rule(lambda x, y: x * y),
        "DIV": Rule(lambda x, y: x / y),
        "NEG": Rule(lambda x: -1 * x),
    }
)


@dataclass(frozen=True)
class Spelling:
    """One system's language, for writing.

    Attributes:
        name: of the dialect that reads it. fields, groups: what its data call ours, as they are written.
        rules: by our operator. refused: why an operator has no counterpart, by its name. apart: why it has none that
            compares symbols of a date; empty where it has.
        other_field: what a field of another name is written as, None where that is not known.
        missing: the missing constant, None where there is none. number: what is true or false as a number.
        longest: characters of a text.
    """

    name: str
    fields: Mapping[str, str]
    groups: Mapping[str, str]
    rules: Mapping[str, Rule]
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    apart: str = ""
    other_field: Callable[[str], str | None] = lambda _: None
    missing: str | None = None
    number: Callable[[Piece], Piece] = lambda truth: truth
    longest: int = 10_000
