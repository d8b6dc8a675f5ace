"""Node to canonical text: upper-case names, infix with the fewest parentheses, shortest exact numbers.

`parse(to_text(node)) is node` for every checked node whose names the language can write; what is too large to be read
back is an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fama_fast.errors import LimitError
from fama_fast.ir import CONST, FIELD, GROUP, LEAVES, const, count_nodes, postorder
from fama_fast.lang.parser import MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse_syntax
from fama_fast.ops import find, syntax
from fama_fast.ops.registry import on_unregister

if TYPE_CHECKING:
    from fama_fast.ir import Node, Param
    from fama_fast.ops import OpSpec

_REMEMBERED = 1 << 15  # nodes whose text is kept, for the next expression that holds them
_LONGEST = 2000  # characters of a text that is worth keeping

_ATOM = syntax.POWER + 1

# How tightly the operands of each infix form must bind to stand without parentheses, as the grammar has it.
_OPERANDS: dict[tuple[str, int], tuple[int, ...]] = {
    ("?", 3): (syntax.OR, syntax.TERNARY, syntax.TERNARY),
    ("||", 2): (syntax.OR, syntax.AND),
    ("&&", 2): (syntax.AND, syntax.NOT),
    ("!", 1): (_ATOM,),
    **{(s, 2): (syntax.ADDITIVE, syntax.ADDITIVE) for s in ("<", "<=", ">", ">=", "==", "!=")},
    ("+", 2): (syntax.ADDITIVE, syntax.MULTIPLICATIVE),
    ("-", 2): (syntax.ADDITIVE, syntax.MULTIPLICATIVE),
    ("*", 2): (syntax.MULTIPLICATIVE, syntax.UNARY_MINUS),
    ("/", 2): (syntax.MULTIPLICATIVE, syntax.UNARY_MINUS),
    ("-", 1): (syntax.UNARY_MINUS,),
    ("^", 2): (_ATOM, syntax.UNARY_MINUS),
}


_PRINTED: dict[Node, tuple[str, int]] = {}
on_unregister(_PRINTED.clear)


def format_number(value: float) -> str:
    """The shortest text that reads back as exactly this number: 5, 0.001, 1e-5, 1.5e22, NAN."""
    if math.isnan(value):
        return "NAN"
    text = repr(float(value))
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def to_text(node: Node) -> str:
    """The canonical text of an expression, in the `fama` dialect; it can always be read back.

    Raises:
        LimitError: written out as a tree it is deeper, longer or of more parts than the parser reads (nodes share; text
            does not).
    """
    if node.depth > MAX_DEPTH:
        raise LimitError(f"written in our operators the expression is {node.depth} levels deep, at most {MAX_DEPTH}")
    parts = count_nodes(node)
    if parts > MAX_NODES:
        raise LimitError(f"written in our operators the expression has {parts} parts, at most {MAX_NODES}")
    text = _written(node)
    if len(text) > MAX_LENGTH:
        raise LimitError(f"written in our operators the expression has {len(text)} characters, at most {MAX_LENGTH}")
    # Every part takes a character of its own.
    if len(text) > MAX_NODES:
        parse_syntax(text)
    return text


def shortened(node: Node, longest: int) -> str:
    """The canonical text, for messages: cut to so many characters, and of the operator alone where it is very long."""
    if count_nodes(node) > MAX_NODES:
        return f"{node.op}(...)"
    text = _written(node)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _written(node: Node) -> str:
    printed = _PRINTED
    known = printed.get(node)
    if known is not None:
        return known[0]
    if len(printed) > _REMEMBERED:
        printed.clear()
    done: dict[Node, tuple[str, int]] = {}
    for n in postorder(node):
        done[n] = printed.get(n) or _print(n, [done[a] for a in n.args])
        # An operator that the registry lacks may yet come and be written otherwise.
        if n.op in LEAVES or (find(n.op) and len(done[n][0]) <= _LONGEST and all(a in printed for a in n.args)):
            printed[n] = done[n]
    return done[node][0]


def _print(node: Node, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """Text and how tightly it binds."""
    if node.op == CONST:
        return format_number(node.value), syntax.UNARY_MINUS if node.value < 0 else _ATOM
    if node.op in (FIELD, GROUP):
        return node.name, _ATOM
    spec = find(node.op)
    needs = _OPERANDS.get((spec.symbol or "", len(operands))) if spec else None
    # A minus before a literal is part of the literal, so the negation of a constant is written as a call.
    if spec is None or needs is None or (needs == (syntax.UNARY_MINUS,) and node.args[0].is_const):
        return _call(node, spec, [text for text, _ in operands]), _ATOM
    parts = [text if binds >= need else f"({text})" for (text, binds), need in zip(operands, needs, strict=True)]
    if len(parts) == 1:
        return f"{spec.symbol}{parts[0]}", spec.precedence
    if len(parts) == 3:
        return f"{parts[0]} ? {parts[1]} : {parts[2]}", spec.precedence
    blank = "" if spec.symbol == "^" else " "
    return f"{parts[0]}{blank}{spec.symbol}{blank}{parts[1]}", spec.precedence


def _call(node: Node, spec: OpSpec | None, arguments: list[str]) -> str:
    if spec is None:
        return f"{node.op}({', '.join([*arguments, *map(_param, node.params)])})"
    omitted = list(zip(spec.operands, node.args, strict=True))
    while omitted and not omitted[-1][0].required and omitted[-1][1] is const(omitted[-1][0].default):
        omitted.pop()
    # Parameters after an operand left out could only be given by name.
    by_name = len(omitted) < len(arguments)
    arguments = arguments[: len(omitted)]
    statics = list(zip(spec.statics, node.params, strict=True))
    while statics and _is_default(statics[-1][0].default, statics[-1][1]):
        statics.pop()
    for p, value in statics:
        by_name = by_name or p.keyword_only
        if value is None or (by_name and _is_default(p.default, value)):
            by_name = True
            continue
        arguments.append(f"{p.name}={_param(value)}" if by_name else _param(value))
    return f"{node.op}({', '.join(arguments)})"


def _is_default(default: object, value: Param) -> bool:
    return type(default) is type(value) and default == value


def _param(value: Param) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return format_number(value)
    return "NONE" if value is None else str(value)
