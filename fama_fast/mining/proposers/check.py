"""Whether an expression is one that the language and the data at hand have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from fama_fast.errors import ArgumentError, ExpressionError, WindowError
from fama_fast.ir import FIELD, postorder

if TYPE_CHECKING:
    from fama_fast.ir import Node
    from fama_fast.proposals.protocol import Vocabulary


def compiled(text: str, vocabulary: Vocabulary) -> Node:
    """The canonical node of `text`.

    Raises:
        ExpressionError: of the parser, with position and nearest name; or it uses no field, gives a
            condition, or has a window above `vocabulary.max_window`.
    """
    from fama_fast import ops
    from fama_fast.lang import parse
    from fama_fast.passes import canonicalise
    from fama_fast.types import Kind

    node = parse(text, fields=vocabulary.fields, groups=vocabulary.groups)
    spec = ops.find(node.op)
    if spec is not None and spec.boolean:
        raise ArgumentError("the result is a condition (1 or 0), not a number that ranks", text=text, end=len(text))
    uses_field = False
    for n in postorder(node):
        uses_field = uses_field or n.op == FIELD
        s = ops.find(n.op)
        for p, value in zip(s.statics if s else (), n.params, strict=False):
            if p.kind is Kind.WINDOW and value is not None and float(value) > vocabulary.max_window:
                raise WindowError(
                    f"{n.op}: {p.name} is {value}, the longest window here is {vocabulary.max_window}",
                    text=text,
                    end=len(text),
                )
    if not uses_field:
        raise ArgumentError("it uses no field of the data", text=text, end=len(text))
    return canonicalise(node)


@functools.lru_cache(maxsize=16)
def spelled(vocabulary: Vocabulary) -> bool:
    """Every field and group reads back as itself, so that the text of an expression over them reads back as the node
    that it was written from. False where a column has a name that the language cannot write.
    """
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


def checked(text: str, vocabulary: Vocabulary) -> str:
    """The canonical text of `text`; see `compiled` for the errors."""
    from fama_fast.lang import to_text

    return to_text(compiled(text, vocabulary))
