"""Text to syntax tree, within limits, without recursion and without evaluating anything.

The grammar is `grammar/alpha.lark`; its parser is built once, when first needed. Tree nodes are made while
parsing, so the limits hold before anything grows. It knows no operator, field or group.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ExpressionError, LimitError, ParseError
from fama_fast.lang import diagnostics
from fama_fast.lang.syntax import Call, Expr, Infix, Keyword, Name, Number
from fama_fast.resources import grammar_dir

if TYPE_CHECKING:
    from collections.abc import Set

    from lark import Lark, Token

# What people write is far shorter; what operators of other systems stand for in ours is not, and must be read back.
MAX_LENGTH = 100_000
MAX_DEPTH = 100
MAX_NODES = 10_000

_NOT_ZERO = re.compile(r"[0.]*[1-9]")

_OPERANDS = frozenset({"NAME", "NUMBER"})
_PREFIXES = frozenset({"MINUS", "BANG", "NOT"})
_SPELLINGS = {"**": "^", "AND": "&&", "OR": "||", "NOT": "!"}


def _symbol(token: Token) -> str:
    text = str(token).strip().upper()
    return _SPELLINGS.get(text, text)


def _extent(start: int, end: int, *children: Expr) -> dict[str, int]:
    """Place and measures of a node over its children, within the limits."""
    depth = 1 + max((c.depth for c in children), default=0)
    size = 1 + sum(c.size for c in children)
    if depth > MAX_DEPTH:
        raise LimitError(f"the expression is nested more than {MAX_DEPTH} levels deep", start=start, end=end)
    if size > MAX_NODES:
        raise LimitError(f"the expression has more than {MAX_NODES} parts", start=start, end=end)
    return {"start": start, "end": end, "depth": depth, "size": size}


class _Callbacks:
    """One method a rule of the grammar, called as soon as the rule is complete."""

    def number(self, token: Token) -> Expr:
        start, end = token.start_pos or 0, token.end_pos or 0
        value = float(token)
        if math.isinf(value):
            raise ParseError(f"this number is too large: at most {sys.float_info.max}", start=start, end=end)
        if value == 0.0 and _NOT_ZERO.match(token):
            raise ParseError("this number is too small: it would be 0", start=start, end=end, suggestion="0")
        return Number(value=value, **_extent(start, end))

    def name(self, token: Token) -> Expr:
        return Name(name=str(token), **_extent(token.start_pos or 0, token.end_pos or 0))

    def keyword(self, token: Token, _equal: Token, value: Expr) -> Expr:
        # A keyword is not a level of its own, so that how an argument is passed does not change the depth.
        return Keyword(
            name=str(token),
            value=value,
            start=token.start_pos or 0,
            end=value.end,
            depth=value.depth,
            size=value.size,
        )

    def arguments(self, *items: Any) -> list[Expr]:
        return [i for i in items if isinstance(i, Expr)]

    def call(self, token: Token, *rest: Any) -> Expr:
        arguments: tuple[Expr, ...] = tuple(rest[1]) if len(rest) == 3 else ()
        extent = _extent(token.start_pos or 0, rest[-1].end_pos, *arguments)
        return Call(name=str(token), name_end=token.end_pos or 0, arguments=arguments, **extent)

    def parenthesised(self, left: Token, inner: Expr, right: Token) -> Expr:
        return dataclasses.replace(inner, start=left.start_pos or 0, end=right.end_pos or 0)

    def prefix(self, token: Token, operand: Expr) -> Expr:
        symbol, start = _symbol(token), token.start_pos or 0
        if symbol == "-" and isinstance(operand, Number) and math.copysign(1.0, operand.value) > 0:
            return dataclasses.replace(operand, start=start, value=-operand.value)
        return Infix(symbol=symbol, operands=(operand,), **_extent(start, operand.end, operand))

    def binary(self, left: Expr, token: Token, right: Expr) -> Expr:
        extent = _extent(left.start, right.end, left, right)
        return Infix(symbol=_symbol(token), operands=(left, right), **extent)

    def choice(self, condition: Expr, _question: Token, x: Expr, _colon: Token, y: Expr) -> Expr:
        extent = _extent(condition.start, y.end, condition, x, y)
        return Infix(symbol="?", operands=(condition, x, y), **extent)


@functools.cache
def _lark() -> Lark:
    from lark import Lark, Transformer, v_args

    # lark decorates only methods of the class itself, and importing lark waits until something is parsed.
    methods = {name: f for name, f in vars(_Callbacks).items() if not name.startswith("_")}
    callbacks = v_args(inline=True)(type("Callbacks", (Transformer,), methods))
    grammar = (grammar_dir() / "alpha.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=callbacks(), maybe_placeholders=False)


def parse_syntax(text: str) -> Expr:
    """The syntax tree of one expression.

    Raises:
        LimitError: longer than MAX_LENGTH characters, deeper than MAX_DEPTH (operations or parentheses), or
            more than MAX_NODES parts; found before any work grows with the excess.
        ParseError: not in the language, with what was expected.
    """
    if not isinstance(text, str):
        raise ParseError(f"an expression is text, not {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise LimitError(
            f"the expression has {len(text)} characters, more than {MAX_LENGTH}",
            text=text[: MAX_LENGTH + 1],
            start=MAX_LENGTH,
        )
    try:
        return _drive(text)
    except ExpressionError as error:
        # The callbacks know the span but not the text.
        raise (error if error.text else diagnostics.placed(error, text, error.start, error.end)) from None


def _drive(text: str) -> Expr:
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    parser: Any = _lark().parse_interactive(text)
    fed: list[Token] = []
    opened: list[int] = []
    operands = 0
    try:
        for token in parser.lexer_thread.lex(parser.parser_state):
            operands += token.type in _OPERANDS
            _guard(token, text, fed, opened, operands)
            parser.feed_token(token)
            fed.append(token)
        result: Expr = parser.feed_eof()
    except UnexpectedCharacters as error:
        raise diagnostics.unexpected_character(text, error.pos_in_stream or 0, _accepts(fed)) from None
    except UnexpectedToken as error:
        kind, accepts = error.token.type, _accepts(fed)
        if kind == diagnostics.END:
            raise diagnostics.unexpected_end(text, opened, accepts) from None
        start, value = error.token.start_pos or 0, str(error.token)
        raise diagnostics.unexpected_token(text, kind, value, start, accepts, str(fed[-1]) if fed else "") from None
    return result


def _guard(token: Token, text: str, fed: list[Token], opened: list[int], operands: int) -> None:
    """Stop at the first token that is over a limit or runs into the next word, before the parser sees it."""
    start, end = token.start_pos or 0, token.end_pos or 0
    if token.type == "LPAR":
        opened.append(start)
        if len(opened) > MAX_DEPTH:
            raise LimitError(f"parentheses are nested more than {MAX_DEPTH} levels deep", start=start)
    elif token.type == "RPAR" and opened:
        opened.pop()
    elif token.type in ("AND", "OR") and token[0].isalpha() and _is_word(text[end : end + 1]):
        # `a ANDb`: where an operator is due only operators are read, so the lexer took the word's beginning.
        while _is_word(text[end : end + 1]):
            end += 1
        word = text[start:end]
        raise diagnostics.unexpected_token(text, "NAME", word, start, _accepts(fed), str(fed[-1]))
    elif operands > MAX_NODES:
        raise LimitError(f"the expression has more than {MAX_NODES} parts", start=start)
    elif token.type in _PREFIXES and len(fed) >= MAX_DEPTH and all(t.type in _PREFIXES for t in fed[-MAX_DEPTH:]):
        raise LimitError(f"the expression is nested more than {MAX_DEPTH} levels deep", start=start)


def _is_word(c: str) -> bool:
    return c.isalnum() or c == "_"


def _accepts(fed: list[Token]) -> Set[str]:
    """Terminals that may follow these tokens; asked afresh, since a parser that met an error has moved on."""
    parser: Any = _lark().parse_interactive("")
    for token in fed:
        parser.feed_token(token)
    return set(parser.accepts())
