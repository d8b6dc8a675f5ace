"""Writes a grammar for the engines that enforce it: Lark (llguidance, OpenAI's custom tools) and GBNF (llama.cpp).

The Lark form keeps to what llguidance and OpenAI accept: no priorities, templates, imports, `%ignore`, look-arounds or
repetition operators; literals and character classes only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fama_fast.llm.decoding.cfg import Prose, Ref, Symbol, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.llm.decoding.cfg import Alternative, Grammar


def lark(grammar: Grammar) -> str:
    """The grammar in Lark. Rules that list literals become terminals, which the engines match in one step."""
    terminals = {n for n, a in grammar.rules.items() if all(len(x) == 1 and not isinstance(x[0], Ref) for x in a)}
    terminals.discard(grammar.start)

    def spelled(name: str) -> str:
        if name == grammar.start:
            return "start"
        return name.upper() if name in terminals else name

    def symbol(s: Symbol) -> str:
        if isinstance(s, Ref):
            return spelled(s.name)
        if isinstance(s, Text):
            return json.dumps(s.value)
        return f'/[^"\\\\\\x00-\\x1f\\x7f]{{1,{s.limit}}}/'

    return _lines(grammar, spelled, symbol, ": ")


def gbnf(grammar: Grammar) -> str:
    """The grammar in GBNF, whose names have no underscores."""

    def spelled(name: str) -> str:
        return "root" if name == grammar.start else name.replace("_", "-")

    def symbol(s: Symbol) -> str:
        if isinstance(s, Ref):
            return spelled(s.name)
        if isinstance(s, Text):
            return json.dumps(s.value)
        assert isinstance(s, Prose)
        return f'[^"\\\\\\x00-\\x1F\\x7F]{{1,{s.limit}}}'

    return _lines(grammar, spelled, symbol, " ::= ")


def _lines(grammar: Grammar, spelled: Callable[[str], str], symbol: Callable[[Symbol], str], between: str) -> str:
    def one(a: Alternative) -> str:
        return " ".join(symbol(s) for s in a)

    names = [grammar.start, *(n for n in grammar.rules if n != grammar.start)]
    return "".join(f"{spelled(n)}{between}{' | '.join(one(a) for a in grammar.rules[n])}\n" for n in names)
