"""Checks that a text is an admissible expression over the fields and groups of the data."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError, ExpressionError
from fama_fast.proposals.admissible import admissible
from fama_fast.proposals.protocol import Limits

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.proposals.protocol import Vocabulary


def compiled(text: str, vocabulary: Vocabulary, limits: Limits | None = None) -> Node:
    """The canonical node of `text`.

    Raises:
        ExpressionError: of the parser, with position and nearest name; or it is not `admissible`.
    """
    from fama_fast.lang import parse
    from fama_fast.passes import canonicalise

    node = canonicalise(parse(text, fields=vocabulary.fields, groups=vocabulary.groups))
    fault = admissible(node, limits or Limits(max_lookback=vocabulary.max_window))
    if fault is not None:
        raise ArgumentError(fault, text=text, end=len(text))
    return node


@functools.lru_cache(maxsize=16)
def spelled(vocabulary: Vocabulary) -> bool:
    """Whether every field and group of the data reads back as itself, so that the text of an expression over them reads
    back as the same node. False where a column has a name that the language cannot write."""
    from fama_fast import lang
    from fama_fast.ir import field, group

    def reads(text: str, wanted: Node) -> bool:
        try:
            return wanted in lang.parse(text, fields=vocabulary.fields, groups=vocabulary.groups).args
        except ExpressionError:
            return False

    return all(reads(f"RANK({name})", field(name)) for name in vocabulary.fields) and all(
        reads(f"GROUP_RANK({vocabulary.fields[0]}, {name})", group(name)) for name in vocabulary.groups
    )


def checked(text: str, vocabulary: Vocabulary, limits: Limits | None = None) -> str:
    """The canonical text of `text`; see `compiled` for the errors."""
    from fama_fast.lang import to_text

    return to_text(compiled(text, vocabulary, limits))
