"""The answer contract as a grammar: one JSON object of up to `count` alphas (hypothesis, expression, explanation, and
the label of what it builds on).

The expressions need no escaping inside JSON: their language has neither quotes nor backslashes.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fama_fast.llm.decoding import forms
from fama_fast.llm.decoding.cfg import Grammar, Prose, Ref, Text
from fama_fast.llm.decoding.expressions import MIN_DEPTH, expression_grammar

if TYPE_CHECKING:
    from fama_fast.proposals.protocol import Vocabulary

MAX_PROSE = 200
LABELS = "ASPRI"  # the letters of `experience_text.labelled`
MAX_EXPRESSION = 4_000  # characters; what the answer's reader takes

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["alphas"],
    "properties": {
        "alphas": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                # All are required, for that is what servers take as strict; `builds_on` is empty where there is none.
                "required": ["hypothesis", "expression", "explanation", "builds_on"],
                "properties": {k: {"type": "string"} for k in ("hypothesis", "expression", "explanation", "builds_on")},
            },
        }
    },
}


@dataclass(frozen=True)
class DecodingGrammar:
    """A grammar of answers in the forms that servers take. `depth` is what its expressions are bounded to.

    The GBNF form writes `ADD(x, y)` where the Lark form writes `x + y`: llama.cpp follows every way an infix text could
    go on at once, and calls are decided by their first letters (docs/decisions/008-small-choices-of-speed.md).
    """

    lark: str
    gbnf: str
    depth: int

    @property
    def digest(self) -> str:
        """Hash of the grammar, 16 hex digits: part of a prompt's identity."""
        return hashlib.blake2b(self.lark.encode(), digest_size=8).hexdigest()


def answer_grammar(expressions: Grammar, count: int) -> Grammar:
    """The grammar `expressions` inside the answer contract, 1 to `count` times."""
    out = Grammar("answer")
    out.rules.update(expressions.rules)
    item = (
        Text('{"hypothesis": "'),
        Ref("prose"),
        Text('", "expression": "'),
        Ref(expressions.start),
        Text('", "explanation": "'),
        Ref("prose"),
        Ref("end_of_alpha"),
    )
    digits = [(Text(str(d)),) for d in range(10)]
    out.add("letter", [(Text(letter),) for letter in LABELS])
    out.add("first_digit", digits[1:])
    out.add("digit", digits)
    label = (Ref("letter"), Ref("first_digit"))
    out.add("label", [label, (*label, Ref("digit"))])
    out.add("end_of_alpha", [(Text('"}'),), (Text('", "builds_on": "'), Ref("label"), Text('"}'))])
    out.add("prose", [(Prose(MAX_PROSE),)])
    out.add("alpha", [item])
    # 1 to count items as a chain of optional rests: no repetition operator, whose spelling differs between engines.
    out.add("rest_0", [(Text("]}"),)])
    for n in range(1, count):
        out.add(f"rest_{n}", [(Text("]}"),), (Text(", "), Ref("alpha"), Ref(f"rest_{n - 1}"))])
    out.add("answer", [(Text('{"alphas": ['), Ref("alpha"), Ref(f"rest_{max(0, count - 1)}"))])
    return out


@functools.lru_cache(maxsize=64)
def decoding_grammar(
    vocabulary: Vocabulary, count: int, depth: int, operators: tuple[str, ...] | None = None
) -> DecodingGrammar:
    """The grammar of an answer with up to `count` alphas over `vocabulary`.

    Depth is lessened where very long names would make expressions of more characters than an answer may hold.

    Raises:
        ConfigError: no expression can be written over this vocabulary.
    """
    infix, bounded = bounded_expressions(vocabulary, depth, operators)
    calls, calls_bounded = bounded_expressions(vocabulary, bounded, operators, infix=False)
    lark = forms.lark(answer_grammar(infix, count))
    return DecodingGrammar(lark, forms.gbnf(answer_grammar(calls, count)), calls_bounded)


def bounded_expressions(
    vocabulary: Vocabulary, depth: int, operators: tuple[str, ...] | None = None, *, infix: bool = True
) -> tuple[Grammar, int]:
    """The grammar of expressions, and the depth at which its longest one is within bounds."""
    while True:
        grammar = expression_grammar(vocabulary, depth, operators, infix=infix)
        if grammar.longest() <= MAX_EXPRESSION or depth <= MIN_DEPTH:
            return grammar, depth
        depth -= 1


def literal_grammar(text: str) -> DecodingGrammar:
    """A grammar of one text, to probe whether a server holds its models to grammars."""
    one = Grammar("answer")
    one.add("answer", [(Text(text),)])
    return DecodingGrammar(forms.lark(one), forms.gbnf(one), 0)
