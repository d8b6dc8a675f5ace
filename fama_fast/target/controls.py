"""What a label is made independent of, made ready for the names of some data: groups and controls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fama_fast.engine.alpha import compile
from fama_fast.errors import UnknownName, listed, nearest_name
from fama_fast.lang import get_dialect
from fama_fast.lang.scope import Scope
from fama_fast.target.formulas import Formulas
from fama_fast.target.labels import Neutral

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine.alpha import Alpha
    from fama_fast.panel.source import Source

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def neutral_of(texts: Sequence[str], dialect: str, source: Source) -> Neutral | None:
    """Groups and controls of these names and expressions; None of none.

    Raises:
        UnknownName: a name that is neither a group nor a field of the data, with the nearest one. ExpressionError: an
        expression that does not compile.
    """
    if not texts:
        return None
    groups: list[str] = []
    controls: list[Alpha] = []
    scope = Scope(get_dialect(dialect), source.fields, source.groups)
    for text in texts:
        group = scope.group(text) if NAME.match(text) else None
        if group is not None:
            groups.append(group)
        elif NAME.match(text) and scope.field(text) is None:
            raise UnknownName(
                f"neutralize: the data has neither a group nor a field {text!r} (groups: {listed(source.groups)}; "
                f"fields: {listed(source.fields)})",
                suggestion=nearest_name(text, [*source.groups, *source.fields]),
            )
        else:
            controls.append(compile(text, dialect=dialect, fields=source.fields, groups=source.groups))
    return Neutral(tuple(dict.fromkeys(groups)), Formulas.of(controls, source))
