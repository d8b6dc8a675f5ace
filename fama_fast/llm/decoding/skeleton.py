"""Reads from `grammar/alpha.lark` the operators with a symbol, their precedence and their operands.

The file is read by Lark itself, so a rule that is added to the language is met here, and one that this module does not
understand is an error rather than left out. It knows no data.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.resources import grammar_dir

if TYPE_CHECKING:
    from fama_fast.ops import OpSpec

_OPERATIONS = frozenset({"binary", "prefix", "choice"})
_ATOMS = frozenset({"number", "name", "call", "parenthesised"})
_OUTSIDE = re.compile(r"start|arguments?|__.*")  # calls are made from the registry, with their own arguments


@dataclass(frozen=True)
class Operation:
    """One infix or prefix form. `parts`: names of rules (operands, lower case) and literal symbols between them."""

    spec: OpSpec
    parts: tuple[str, ...]
    is_operand: tuple[bool, ...]


@dataclass(frozen=True)
class Skeleton:
    """The levels of precedence.

    Attributes:
        top: the loosest rule. chain: rules from `top` down to the atom, each the next one's unit production.
        operations: forms by rule. units: the rule that a rule falls through to. name: pattern of a field's name.
    """

    top: str
    chain: tuple[str, ...]
    operations: dict[str, tuple[Operation, ...]]
    units: dict[str, str]
    name: re.Pattern[str]

    @property
    def names(self) -> frozenset[str]:
        """Operators that have an infix or prefix form."""
        return frozenset(o.spec.name for operations in self.operations.values() for o in operations)

    @property
    def logical(self) -> frozenset[str]:
        """Operators whose operands are conditions."""
        return frozenset(
            o.spec.name
            for operations in self.operations.values()
            for o in operations
            if o.spec.boolean and all(self.may_be_boolean(p) for p, x in zip(o.parts, o.is_operand, strict=True) if x)
        )

    def may_be_boolean(self, rule: str) -> bool:
        """Whether a condition can stand in this rule without parentheses."""
        while True:
            if any(o.spec.boolean for o in self.operations.get(rule, ())):
                return True
            if rule not in self.units:
                return False
            rule = self.units[rule]


@functools.cache
def skeleton() -> Skeleton:
    """Read `alpha.lark`.

    Raises:
        ValueError: it has a rule that is neither an operation, an atom nor a unit production.
    """
    from lark import Lark

    from fama_fast import ops

    text = (grammar_dir() / "alpha.lark").read_text(encoding="utf-8")
    lark = Lark(text, parser="lalr", maybe_placeholders=False)
    patterns = {t.name: re.compile(t.pattern.to_regexp()) for t in lark.terminals}
    operations: dict[str, tuple[Operation, ...]] = {}
    units: dict[str, str] = {}
    top = atom = ""
    for rule in lark.rules:
        origin, symbols = str(rule.origin.name), rule.expansion
        if origin == "start":
            top = symbols[0].name
        if _OUTSIDE.fullmatch(origin):
            continue
        if rule.alias in _ATOMS:
            atom = origin
        elif rule.alias in _OPERATIONS:
            operands = sum(not s.is_term for s in symbols)
            forms = []
            for spec in ops.specs():
                parts = _parts([(s.name, s.is_term) for s in symbols], spec, operands, patterns)
                if parts is not None:
                    forms.append(Operation(spec, parts, tuple(not s.is_term for s in symbols)))
            operations[origin] = (*operations.get(origin, ()), *forms)
        elif rule.alias is None and len(symbols) == 1 and not symbols[0].is_term:
            units[origin] = symbols[0].name
        else:
            raise ValueError(f"alpha.lark: the rule {rule} has no place in a decoding grammar")
    chain = [top]
    while chain[-1] != atom:
        chain.append(units[chain[-1]])
    return Skeleton(top, tuple(chain), operations, units, patterns["NAME"])


def _parts(
    symbols: list[tuple[str, bool]], spec: OpSpec, operands: int, patterns: dict[str, re.Pattern[str]]
) -> tuple[str, ...] | None:
    """The parts of a form if `spec` is its operator: its symbol fits the first terminal, and the arity."""
    if spec.symbol is None or len(spec.operands) != operands:
        return None
    first = next(name for name, is_term in symbols if is_term)
    if not patterns[first].fullmatch(spec.symbol):
        return None
    out = []
    for name, is_term in symbols:
        if not is_term:
            out.append(name)
        elif name == first:
            out.append(spec.symbol)
        else:  # the colon of `condition ? x : y`
            out.append(patterns[name].pattern.replace("\\", ""))
    return tuple(out)
