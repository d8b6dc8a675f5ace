"""The depth-bounded, typed grammar of expressions over one vocabulary.

Every rule of `alpha.lark` has a copy for each level and kind (number, condition). An operation or a call at level k has
operands of level k - 1, and only the first of them may be as deep as that, so expressions grow in depth rather than in
all directions; a unit production stays at its level. Parentheses hold exactly one operation, so none is idle. A number
stands only beside something that varies: every text uses a field, and none is a condition or a bare field. Windows are
shared out so that nested lookbacks add up to less than the longest window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.errors import ConfigError, FamaError
from fama_fast.ir import FIELD, field
from fama_fast.llm.decoding.calls import CallForm, call_forms
from fama_fast.llm.decoding.cfg import Grammar, Ref, Symbol, Text
from fama_fast.llm.decoding.skeleton import Operation, Skeleton, skeleton
from fama_fast.passes import lookback
from fama_fast.types import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.ops import OpSpec
    from fama_fast.proposals.protocol import Vocabulary

MIN_DEPTH, MAX_DEPTH = 2, 8
_NUMBERS = ("0.1", "0.5", "2", "3", "-1")
_ADV = "ADV20"


def expression_grammar(
    vocabulary: Vocabulary, depth: int, operators: Sequence[str] | None = None, *, infix: bool = True
) -> Grammar:
    """The grammar of expressions of at most `depth` nested operations.

    `operators` limits which; without `infix` all are written as calls.

    Raises:
        ConfigError: the vocabulary has no field that an expression can name, or nothing can be written at all.
    """
    fields = usable_fields(vocabulary)
    groups = usable_groups(vocabulary, fields)
    if not fields:
        raise ConfigError("no field of the data has a name that an expression can use")
    served = type(vocabulary)(fields, groups, vocabulary.max_window)
    leaf = max(lookback(field(f)) for f in fields)
    budget = max(0, (vocabulary.max_window - 1 - leaf) // depth)
    maker = _Maker(skeleton(), served, depth, budget, None if operators is None else tuple(operators), infix=infix)
    grammar = maker.grammar().cleaned()
    if grammar.start not in grammar.rules:
        raise ConfigError("with these operators and fields no expression can be written")
    return grammar


def usable_fields(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Fields that can be written by their bare names, and the mean dollar volume where it derives from them."""
    from fama_fast.lang import parse

    def fits(name: str) -> bool:
        try:
            node = parse(name, fields=vocabulary.fields, groups=vocabulary.groups)
        except FamaError:
            return False
        return node.op == FIELD

    names = [*vocabulary.fields]
    if _ADV not in names and lookback(field(_ADV)) < vocabulary.max_window // 4:
        names.append(_ADV)
    pattern = skeleton().name
    return tuple(dict.fromkeys(n for n in names if pattern.fullmatch(n) and fits(n)))


def usable_groups(vocabulary: Vocabulary, fields: Sequence[str]) -> tuple[str, ...]:
    """Group fields that can be written by their bare names."""
    from fama_fast import ops
    from fama_fast.lang import parse

    user = next((s for s in ops.specs() if [p.kind for p in s.parameters] == [Kind.SERIES, Kind.GROUP]), None)
    pattern = skeleton().name

    def fits(name: str) -> bool:
        if user is None or not fields:
            return False
        try:
            parse(f"{user.name}({fields[0]}, {name})", fields=vocabulary.fields, groups=vocabulary.groups)
        except FamaError:
            return False
        return True

    return tuple(g for g in vocabulary.groups if pattern.fullmatch(g) and fits(g))


def _explodes(spec: OpSpec) -> bool:
    """Whether an operator gives numbers beyond use for ordinary ones, as a power does."""
    return len(spec.operands) == 2 and spec.evaluate is not None and not abs(spec.evaluate(100.0, 100.0)) < 1e9


class _Maker:
    """Builds the rules of one grammar."""

    def __init__(
        self,
        sk: Skeleton,
        vocabulary: Vocabulary,
        depth: int,
        budget: int,
        allowed: tuple[str, ...] | None,
        *,
        infix: bool,
    ) -> None:
        self.sk, self.vocabulary, self.depth, self.allowed, self.infix = sk, vocabulary, depth, allowed, infix
        self.side = max(1, depth - 2)
        skip = sk.names if infix else frozenset[str]()
        self.forms = call_forms(vocabulary, budget, allowed, skip=skip, logical=sk.logical)
        self.out = Grammar("expression")

    def grammar(self) -> Grammar:
        """All rules, unused ones among them."""
        out = self.out
        out.add("field", [(Text(f),) for f in self.vocabulary.fields])
        out.add("number", [(Text(n),) for n in _NUMBERS])
        out.add("group_field", [(Text(g),) for g in self.vocabulary.groups])
        for i, form in enumerate(self.forms):
            out.add(f"names_{i}", [(Text(f"{n}("),) for n in form.names])
            out.add(f"statics_{i}", [(Text(f"{s})"),) for s in form.statics])
        for level in range(self.depth + 1):
            self._level(level)
        out.add("expression", [(Ref(self._infix("number", self.depth)),), (Ref(f"call_number_{self.depth}"),)])
        return out

    def _level(self, level: int) -> None:
        for kind in ("number", "condition"):
            for rule in dict.fromkeys((*self.sk.operations, *self.sk.units)):  # in order: the text has a digest
                own = f"{rule}_{kind}_{level}_operation"
                self.out.add(own, self._operations(rule, kind, level))
                lower = self.sk.units.get(rule)
                through = [(Ref(f"{lower}_{kind}_{level}"),)] if lower else []
                self.out.add(f"{rule}_{kind}_{level}", [(Ref(own),), *through])
            infix = self.out.add(
                self._infix(kind, level), [(Ref(f"{r}_{kind}_{level}_operation"),) for r in self.sk.chain[:-1]]
            )
            atoms: list[tuple[Symbol, ...]] = [(Ref("field"),)] if kind == "number" else []
            atoms += [(Ref(f"call_{kind}_{level}"),), (Text("("), infix, Text(")"))]
            self.out.add(f"{self.sk.chain[-1]}_{kind}_{level}", atoms)
            self._calls(kind, level)
        self.out.add(f"group_{level}", [(Ref("group_field"),)])
        self._calls("group", level)
        self.out.add(f"group_{level}", [(Ref(f"call_group_{level}"),)])

    @staticmethod
    def _infix(kind: str, level: int) -> str:
        return f"infix_{kind}_{level}"

    def _below(self, position: int, level: int) -> int:
        return level - 1 if position == 0 else min(level - 1, self.side)

    def _operations(self, rule: str, kind: str, level: int) -> list[tuple[Symbol, ...]]:
        out: list[tuple[Symbol, ...]] = []
        for operation in self.sk.operations.get(rule, ()) if level and self.infix else ():
            spec = operation.spec
            wanted = self.allowed is None or spec.name in self.allowed
            if wanted and spec.boolean == (kind == "condition"):
                out += self._one_operation(operation, level)
        return out

    def _one_operation(self, operation: Operation, level: int) -> list[tuple[Symbol, ...]]:
        """Forms of an operation with varying operands, and with one plain number among them where numbers are compared
        or joined."""
        spec = operation.spec
        kinds = []
        operands = [p for p, is_operand in zip(operation.parts, operation.is_operand, strict=True) if is_operand]
        for rule, parameter in zip(operands, spec.operands, strict=True):
            logical = spec.boolean and self.sk.may_be_boolean(rule)
            kinds.append("condition" if logical or parameter.is_condition else "number")
        plain = [i for i, k in enumerate(kinds) if k == "number"] if len(kinds) > 1 else []
        if _explodes(spec):  # beyond use unless its exponent is a plain number
            variants: list[int | None] = [plain[-1]]
        else:
            variants = [None, *plain]
        out = []
        for bare in variants:
            symbols: list[Symbol] = []
            position = 0
            for part, is_operand in zip(operation.parts, operation.is_operand, strict=True):
                if not is_operand:
                    symbols.append(Text(part if len(kinds) == 1 else f" {part} "))
                    continue
                if position == bare:
                    symbols.append(Ref("number"))
                else:
                    symbols.append(Ref(f"{part}_{kinds[position]}_{self._below(position, level)}"))
                position += 1
            out.append(tuple(symbols))
        return out

    def _calls(self, kind: str, level: int) -> None:
        calls = [self._call(i, form, level) for i, form in enumerate(self.forms) if form.gives == kind] if level else []
        self.out.add(f"call_{kind}_{level}", calls)

    def _call(self, number: int, form: CallForm, level: int) -> tuple[Symbol, ...]:
        symbols: list[Symbol] = [Ref(f"names_{number}")]
        for position, kind in enumerate(form.operands):
            if position:
                symbols.append(Text(", "))
            below = self._below(position, level)
            if kind == "group":
                symbols.append(Ref(f"group_{below}"))
                continue
            operand = Ref(f"{self.sk.top}_{kind}_{below}")
            if form.bare and position and kind == "number":
                operand = self.out.add(f"operand_{below}", [(operand,), (Ref("number"),)])
            symbols.append(operand)
        symbols.append(Ref(f"statics_{number}"))
        return tuple(symbols)
