"""Grammars for constrained decoding, which a server can hold a model's answer to.

`skeleton` reads the language's own `grammar/alpha.lark`, `calls` the operator registry, `expressions` makes a
depth-bounded typed grammar of both for one vocabulary, `answer` wraps it in the answer contract and `forms`
writes it as Lark or GBNF. Whatever a server does with it, answers are parsed again.
"""

from fama_fast.llm.decoding.answer import DecodingGrammar, decoding_grammar

__all__ = ["DecodingGrammar", "decoding_grammar"]
