"""Writes a formula in another system's language, and names every operator and field for which that has no words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.exporting.pieces import Piece, piece
from fama_fast.exporting.spelling import WINDOWS
from fama_fast.ir import CONST, FIELD, GROUP, postorder
from fama_fast.lang import parse, parse_recorded
from fama_fast.ops import get
from fama_fast.types import Family, derived_field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fama_fast.exporting.spelling import Rule, Spelling
    from fama_fast.ir import Node

PARTIAL = "windows: "  # begins what is said of windows with missing days
_FROM_PRICES = "RET"  # the data of no other system have it under this name, and it follows from the close everywhere


@dataclass(frozen=True)
class Writing:
    """A formula in another language, or why it has none.

    Attributes:
        text: empty where something cannot be said. cannot: what cannot be said, "OPERATOR: why" each.
        differs: where values are others though the text is right, "OPERATOR: how" each. needs: operators that not every
            user of that system has.
    """

    text: str
    cannot: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def write(
    node: Node, spelling: Spelling, *, fields: Mapping[str, str] | None = None, derive: Collection[str] = ()
) -> Writing:
    """The formula in that language.

    Args:
        node: canonical.
        fields: what the other system's data call fields and groups, by our name, beside what is known anyway.
        derive: derived fields (VWAP) to write out, though the other system's data may have one of that name.
    """
    return _Writer(spelling, fields or {}, derive).write(node)


class _Writer:
    def __init__(self, spelling: Spelling, fields: Mapping[str, str], derive: Collection[str]) -> None:
        self._spelling, self._derive = spelling, derive
        self._own = {name.upper(): text for name, text in fields.items()}
        self._pieces: dict[Node, Piece | None] = {}
        self._cannot: dict[str, None] = {}
        self._differs: dict[str, None] = {}
        self._needs: dict[str, None] = {}

    def write(self, root: Node) -> Writing:
        written = self._piece(root)
        if written is not None and len(written.text) > self._spelling.longest:
            self._cannot[f"the text has {len(written.text):,} characters, at most {self._spelling.longest:,}"] = None
        if written is None or self._cannot:
            return Writing("", tuple(self._cannot))
        text = self._spelling.number(written).text if written.boolean else written.text
        return Writing(text, (), tuple(self._differs), tuple(self._needs))

    def _piece(self, root: Node) -> Piece | None:
        """The piece of a node, its operands' first; None where something in it cannot be said."""
        for node in postorder(root):
            if node not in self._pieces:
                self._pieces[node] = self._written(node)
        return self._pieces[root]

    def _written(self, node: Node) -> Piece | None:
        if node.op == CONST:
            return self._constant(node.value)
        if node.op == FIELD:
            return self._field(node)
        if node.op == GROUP:
            return self._named(node.name, self._spelling.groups, f"the group {node.name}")
        rule = self._spelling.rules.get(node.op)
        if rule is not None:
            return self._by_rule(node, rule)
        spec = get(node.op)
        if spec.lower is not None:
            return self._piece(spec.lower(*node.args, *node.params))
        self._refuse(node)
        return None

    def _by_rule(self, node: Node, rule: Rule) -> Piece | None:
        spec = get(node.op)
        operands = []
        for at, argument in enumerate(node.args):
            operand = self._pieces[argument]
            if operand is None:
                return None
            number = operand.boolean and at not in rule.conditions
            operands.append(self._spelling.number(operand) if number else operand)
        statics = spec.named(node.params)
        least = statics.pop("min_periods", 1) if spec.windowed else 1
        written = rule.write(*operands, **statics)
        if written is None:
            self._refuse(node)
            return None
        if least != 1 and statics.get("d") != 1:
            self._differs[f"{PARTIAL}{WINDOWS}"] = None
        if rule.partial and spec.windowed and least is not None:
            self._differs[f"{PARTIAL}{node.op}: {rule.partial}"] = None
        if rule.differs:
            self._differs[f"{node.op}: {rule.differs.format(statics.get('d'))}"] = None
        self._needs.update(dict.fromkeys(rule.needs))
        return written

    def _refuse(self, node: Node) -> None:
        spec, spelling = get(node.op), self._spelling
        across = spec.family in (Family.CROSS_SECTION, Family.GROUP)
        why = spelling.refused.get(node.op) or (across and spelling.apart) or f"{spelling.name} has no such operator"
        self._cannot[f"{node.op}: {why}"] = None

    def _constant(self, value: float) -> Piece | None:
        if value == value:  # noqa: PLR0124  (NaN)
            return piece(value)
        if self._spelling.missing is None:
            self._cannot[f"NAN: {self._spelling.name} has no missing constant"] = None
            return None
        return Piece(self._spelling.missing)

    def _field(self, node: Node) -> Piece | None:
        name, known = node.name, {**self._own, **self._spelling.fields}
        derived = derived_field(name)
        if derived is None or (name in known and name not in self._derive):
            return self._named(name, self._spelling.fields, f"the field {name}")
        if name == _FROM_PRICES:
            self._differs[f"{name}: a close of 0 or below counts as a price; here it is none"] = None
            return self._piece(parse("CLOSE / DELAY(CLOSE, 1) - 1"))
        if derived.lookback or name in self._derive:
            return self._piece(parse_recorded(derived.formula))
        other = self._spelling.other_field(name)
        if other is not None:
            self._differs[f"{name}: that of the other system's data; here {derived.formula} where data have none"] = (
                None
            )
        return None if other is None else Piece(other)

    def _named(self, name: str, known: Mapping[str, str], what: str) -> Piece | None:
        text = self._own.get(name) or known.get(name)
        if text is None and what.startswith("the field"):
            text = self._spelling.other_field(name)
        if text is None:
            listed = f"not among {self._spelling.name}'s ({', '.join(known.values())})"
            self._cannot[f"{what}: {listed if known else f'{self._spelling.name} has none in expressions'}"] = None
            return None
        return Piece(text)
