"""Finds the columns that hold dates and symbols, by their names alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fama_fast.errors import DataError, listed, nearest_name, quoted
from fama_fast.panel import names as nm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


def key_column(
    names: Collection[str], what: Literal["date", "symbol"], chosen: str | None = None, *, fallbacks: bool = True
) -> str | None:
    """The column that holds the dates or symbols; None where no column is called so, or several are.

    Args:
        chosen: what the caller calls it. fallbacks: an index without a name may hold dates, and a company's name or
            number be its symbol, where there is no better column.
    """
    candidates = _key_columns(names, what, chosen, fallbacks=fallbacks)
    return candidates[0] if len(candidates) == 1 else None


def may_have_key(names: Collection[str], what: Literal["date", "symbol"]) -> bool:
    """Whether some column could hold the dates or symbols, even where several could."""
    return bool(_key_columns(names, what, None, fallbacks=True))


def _key_columns(names: Collection[str], what: str, chosen: str | None, *, fallbacks: bool) -> list[str]:
    """The candidate columns of a key, or the certain one alone."""
    if chosen is not None:
        same = column_called(names, chosen)
        return [] if same is None else [same]
    dates = what == nm.DATE
    # polygon's T is the ticker and its t the time, in one table.
    if nm.is_bar_of_letters(names):
        letter = "t" if dates else "T"
        if letter in names:
            return [letter]
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(nm.plain(name), name)
    first = ("date",) if dates else ("symbol", *nm.SYMBOL_FIRST)
    for name in first:
        if name in spelled:
            return [spelled[name]]
    candidates = [spelled[n] for n in (nm.DATE_NAMES if dates else nm.SYMBOL_NAMES) if n in spelled]
    if not candidates and fallbacks:
        last = (spelled[n] for n in (nm.DATE_FALLBACKS if dates else nm.SYMBOL_FALLBACKS) if n in spelled)
        return list(last)[:1]
    return candidates


def column_called(names: Iterable[str], name: str) -> str | None:
    """The column of this name: exactly, or else ignoring case and spaces around it."""
    have = list(names)
    if name in have:
        return name
    folded = name.strip().lower()
    return next((n for n in have if n.strip().lower() == folded), None)


def find_key(names: Collection[str], what: Literal["date", "symbol"], chosen: str | None, source: str) -> str:
    """The column that holds a key: `chosen` if given; else the column called so, or the one with another name for it.

    Raises:
        DataError: none is present, or several are and none has the name itself.
    """
    candidates = _key_columns(names, what, chosen, fallbacks=True)
    if not candidates:
        raise DataError(no_column(source, what, chosen or what, names))
    if len(candidates) > 1:
        raise DataError(
            f"{source}: which column is the {what}, {' or '.join(map(quoted, candidates))}? "
            f"Rename one to {what!r} or name it with {what}= (on the command line: --columns {what}={candidates[0]})"
        )
    return candidates[0]


def find_column(names: Collection[str], aliases: Sequence[str], what: str, source: str) -> str:
    """The column that has one of these names, of which the first wins over the others.

    Raises:
        DataError: none is present, or several are and the first is not.
    """
    by_name = {nm.plain(n): n for n in names}
    columns = [by_name[a] for a in aliases if a in by_name]
    if not columns:
        raise DataError(no_column(source, what, aliases[0], names))
    if nm.plain(columns[0]) != aliases[0] and len(columns) > 1:
        raise DataError(
            f"{source}: which column is the {what}, {' or '.join(map(quoted, columns))}? Rename one to {aliases[0]!r}"
        )
    return columns[0]


def no_column(source: str, what: str, wanted: str, names: Iterable[str]) -> str:
    """A sentence that there is no such column, with the nearest one."""
    have = list(names)
    near = nearest_name(wanted, have)
    hint = f"; did you mean {quoted(near)}?" if near else ""
    return f"{source}: there is no {what} column {quoted(wanted)} (columns: {listed(have)}){hint}"
