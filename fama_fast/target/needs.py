"""What must be loaded for a target, before its data are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fama_fast.engine.alpha import Alpha, compile_recorded
from fama_fast.ir import FIELD, GROUP, postorder
from fama_fast.lang.leads import parse_leading

if TYPE_CHECKING:
    from collections.abc import Iterable


def needs(texts: Iterable[tuple[str, str]], returns: str | None, dialect: str) -> list[Alpha]:
    """Alphas whose fields, groups and lookbacks are what a target reads; every name is taken as a column.

    Args:
        texts: expressions and names, each with its dialect. returns: those of the target, in `dialect`.
    """
    out = [compile_recorded(text, dialect=own) for text, own in texts]
    if returns is not None:
        read = parse_leading(returns, dialect=dialect)
        for node in (*(a.node for a in read.ahead), read.node):
            leaves = [n for n in postorder(node) if n.op == GROUP or (n.op == FIELD and not n.name.startswith("LEAD "))]
            out += [Alpha(returns, dialect, leaf) for leaf in leaves]
    return out
