"""What a dialect writes and the grammar does not know: fields with a mark before them (qlib's `$close`), quotes.

Both are taken off before parsing. The mark becomes a blank, which keeps every position; the binder then asks where a
field stood with its mark. Quotes are the business of `quotes`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fama_fast.errors import ExpressionError, ParseError
from fama_fast.lang.diagnostics import placed
from fama_fast.lang.dialects.dialect import DIALECTS
from fama_fast.lang.dialects.quotes import hide
from fama_fast.lang.parser import parse_syntax

if TYPE_CHECKING:
    from fama_fast.lang.dialects.dialect import Dialect
    from fama_fast.lang.syntax import Expr, Name


def syntax_of(text: str, dialect: Dialect) -> Expr:
    """The syntax tree of a text, which may mark its fields as the dialect does.

    Raises:
        ParseError, LimitError: as of `parse_syntax`, over the text as it was written.
    """
    plain = text
    if isinstance(text, str):
        if dialect.quotes:
            plain = hide(plain)
        if dialect.sigil:
            plain = _unmarked(plain, dialect.sigil)
    try:
        return parse_syntax(plain)
    except ExpressionError as error:
        foreign = _with_mark(text, error.start)
        if foreign is not None:
            raise ParseError(
                f"fields are written {foreign.sigil}name in the {foreign.name} dialect, and this is read as "
                f"{dialect.name}: say dialect={foreign.name!r} (on the command line --dialect {foreign.name})",
                text=text,
                start=error.start,
            ) from None
        raise (error if plain is text else placed(error, text, error.start, error.end)) from None


def _with_mark(text: object, at: int | None) -> Dialect | None:
    """The dialect that marks its fields with the character at a place of a text, where a name follows."""
    if not isinstance(text, str) or at is None or not (text[at + 1 : at + 2].isalpha() or text[at + 1 : at + 2] == "_"):
        return None
    return next((d for d in DIALECTS.values() if d.sigil and d.sigil == text[at]), None)


def _unmarked(text: str, mark: str) -> str:
    for match in re.finditer(re.escape(mark), text):
        at = match.start()
        before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
        if not (after.isalpha() or after == "_") or before.isalnum() or before == "_":
            raise ParseError(f"'{mark}' must stand directly before the name of a field", text=text, start=at)
    return text.replace(mark, " ")


def is_marked(text: str, name: Name, dialect: Dialect) -> bool:
    """Whether a name stood in the text with the dialect's mark."""
    # Parentheses around a name belong to its span.
    at = text.find(name.name, name.start)
    return at > 0 and text[at - 1] == dialect.sigil
