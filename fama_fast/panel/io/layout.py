"""Recognises the layout of the files of a path, by their names and columns alone.

- `rows`: each row has its date and its symbol.
- `symbols`: one file a symbol, without a column that says so; the file's name (without its ending) is the symbol.
- `wide`: one file a field, dates down, a column a symbol; the file's name is the field.

A folder in which two of these could be meant is refused. It reads no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fama_fast.errors import DataError, listed
from fama_fast.panel import names as nm
from fama_fast.panel.columns import MARKET_FIELDS
from fama_fast.panel.key_columns import column_called, key_column

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from fama_fast.panel.io.folder import Listing, Place
    from fama_fast.panel.reading import Reading

Kind = Literal["rows", "symbols", "wide"]

_SHOWN = 5
# Tickers may be called as a column of symbols or dates is (CODE, DAY, T, C): a table this wide is not judged by these.
_MANY = 12
_PAIR = re.compile(r"""\(['"].*['"], ['"].*['"]\)\Z""")
_DATE = re.compile(r"\s*(19|20)\d\d([-/.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(\D|\Z)")
_CERTAIN_SYMBOL = frozenset({"symbol", "ticker", "ts_code", "instrument"})
_CERTAIN_DATE = (*(n for n in nm.DATE_NAMES if n not in ("day", "time", "unix")), "index_level_0")


@dataclass(frozen=True)
class Layout:
    """A layout of files. `text` is its form in the first line that is printed."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Head:
    """The names of one file's columns, those that its folders spell included; `texts` are those known to hold text."""

    place: Place
    columns: Sequence[str]
    texts: Collection[str] = ()


def known_field(name: str, reading: Reading, *, letters: bool = False) -> str | None:
    """The market field (CLOSE, VOLUME, ...) that a column or a file of this name holds, if it says so.

    Args:
        letters: it is a column of a bar in one letter each (`names.is_bar_of_letters`).
    """
    for role, column in reading.columns.items():
        if role not in ("date", "symbol") and column_called([name], column) is not None:
            return role.upper()
    field = nm.alias_of(name, letters=letters) or nm.field_name(name)
    return field if field in MARKET_FIELDS or field == nm.ADJUSTED_CLOSE else None


def wide_dates(columns: Sequence[str], reading: Reading) -> str | None:
    """The column of dates of a wide table: one whose name says so beyond doubt, or the first one."""
    if reading.date is not None:
        return column_called(columns, reading.date)
    spelled = {nm.plain(c): c for c in reversed(columns)}
    return next((spelled[n] for n in _CERTAIN_DATE if n in spelled), columns[0] if columns else None)


def layout_of(listing: Listing, heads: Sequence[Head], reading: Reading) -> Layout:
    """The layout of the files.

    Raises:
        DataError: some files have a symbol column and others have none; no layout fits, or two do.
    """
    # Thousands of files have the same columns, as a rule.
    known: dict[Hashable, tuple[bool, bool, bool]] = {}
    looks: list[tuple[bool, bool, bool]] = []
    for head in heads:
        key = (tuple(head.columns), frozenset(head.texts))
        if key not in known:
            _refuse_sideways(head)
            _refuse_two_levels(head)
            symbol = key_column(head.columns, "symbol", reading.symbol) is not None
            known[key] = _may_be_wide(head, reading), symbol, _is_bars(head.columns, reading)
        looks.append(known[key])
    wide, has_symbol, bars = ([look[i] for look in looks] for i in range(3))
    if all(wide) and any(known_field(h.place.stem, reading) for h in heads):
        return _wide(listing, heads)
    if all(has_symbol) or reading.symbol is not None:
        return Layout("rows", listing.text)
    if any(has_symbol):
        other, odd = heads[has_symbol.index(True)].place.name, heads[has_symbol.index(False)].place.name
        raise DataError(f"{odd}: columns differ from {other}: there is no column of symbols")
    if listing.one:
        raise DataError(_one_file(heads[0], bars[0], reading))
    if not all(bars):
        raise DataError(_unclear(listing, heads, bars))
    _refuse_twins(listing)
    count = f"{len(listing.files):,} file{'s' * (len(listing.files) != 1)}, one a symbol"
    return Layout("symbols", "; ".join(t for t in (count, listing.left_out_text) if t))


def _is_bars(columns: Sequence[str], reading: Reading) -> bool:
    """Whether the columns are fields (of one symbol) rather than symbols (of one field)."""
    letters = len(columns) <= _MANY and nm.is_bar_of_letters(columns)
    date = key_column(columns, "date", reading.date)
    others = [c for c in columns if c != date]
    known = {f for c in others if (f := known_field(c, reading, letters=letters)) is not None}
    few = len(others) <= _MANY or len(known) > 2
    return ("CLOSE" in known and few) or 2 * len(known) >= max(1, len(others))


def _may_be_wide(head: Head, reading: Reading) -> bool:
    """Whether the columns could be symbols of a wide table."""
    if not head.columns or _is_bars(head.columns, reading) or reading.symbol is not None:
        return False
    symbol = key_column(head.columns, "symbol", None)
    if symbol is None:
        return True
    return len(head.columns) > _MANY and symbol not in head.texts and nm.plain(symbol) not in _CERTAIN_SYMBOL


def _refuse_sideways(head: Head) -> None:
    dates = sum(_DATE.match(c) is not None for c in head.columns)
    if dates > 1 and 2 * dates > len(head.columns):
        raise DataError(
            f"{head.place.name}: the columns are dates ({listed(head.columns, 3)}); a wide table has its dates down "
            "and its symbols across: transpose it"
        )


def _refuse_two_levels(head: Head) -> None:
    """Refuse Parquet of a pandas frame with two levels of columns: their names are texts of pairs there."""
    pairs = [c for c in head.columns if _PAIR.match(c)]
    if pairs and len(pairs) >= len(head.columns) - 2:
        raise DataError(
            f"{head.place.name}: the names of columns are pairs such as {pairs[0]}, as pandas writes two levels of "
            "columns: write the frame as CSV (to_csv), or stack() the level of symbols first"
        )


def _wide(listing: Listing, heads: Sequence[Head]) -> Layout:
    fields: dict[str, str] = {}
    for head in heads:
        name = head.place.stem.strip().lower()
        if name in fields:
            raise DataError(f"{head.place.name} and {fields[name]} would both be the field {name.upper()}")
        fields[name] = head.place.name
    shown = ", ".join(h.place.stem for h in heads[:_SHOWN]) + (", ..." if len(heads) > _SHOWN else "")
    text = f"wide table{'s' * (len(heads) != 1)}: {shown}"
    return Layout("wide", "; ".join(t for t in (text, listing.left_out_text) if t))


def _refuse_twins(listing: Listing) -> None:
    """Refuse two files in different folders that stand for one symbol, unless the folders are a partition
    (`year=2020`)."""
    seen: dict[str, Place] = {}
    for place in listing.files:
        other = seen.setdefault(place.stem, place)
        if other is not place and not _partitioned(place, other):
            raise DataError(
                f"{place.name} and {other.name} would both be the symbol {place.stem!r}: "
                "give the rows a symbol column, or each symbol one file"
            )


def _partitioned(one: Place, other: Place) -> bool:
    differ = [(a, b) for a, b in zip(one.below[:-1], other.below[:-1], strict=False) if a != b]
    same_depth = len(one.below) == len(other.below)
    return bool(differ) and same_depth and all("=" in a and "=" in b for a, b in differ)


def _one_file(head: Head, bars: bool, reading: Reading) -> str:
    name, shown = head.place.name, _columns(head.columns)
    if not head.columns:
        return f"{name}: cannot be read: there is no line of column names"
    if bars:
        return (
            f"{name}: there is no symbol column ({shown}), so it is one symbol's: put a column of symbols in, "
            "or give the folder that holds a file for each symbol"
        )
    if key_column(head.columns, "date", reading.date) is not None or len(head.columns) > _MANY:
        return (
            f"{name}: there is no symbol column ({shown}); if its columns are symbols (a wide table), say which field "
            f"it holds: --columns close={head.place.stem} (in Python: columns={{'close': {head.place.stem!r}}})"
        )
    return f"{name}: there is no symbol column 'symbol' ({shown})"


def _unclear(listing: Listing, heads: Sequence[Head], bars: Sequence[bool]) -> str:
    odd = heads[bars.index(False)]
    if any(bars):
        usual = heads[bars.index(True)].place.name
        return (
            f"{odd.place.name}: columns differ from {usual}: there is no close and no column of symbols "
            f"({_columns(odd.columns)}); names that begin with _ are left out of a folder"
        )
    return (
        f"{listing.source}: no file has a column of symbols, and neither the columns ({_columns(odd.columns)}) nor the "
        f"files ({odd.place.name}, ...) are called after a field such as close: name one with --columns "
        "close=NAME (in Python: columns={'close': NAME}), where NAME is a column or, of wide tables, a file"
    )


def _columns(columns: Sequence[str]) -> str:
    return f"columns: {listed(columns)}"


def symbol_constants(layout: Layout, place: Place) -> Mapping[str, str]:
    """The symbol column that a file's name gives."""
    return {"symbol": place.stem} if layout.kind == "symbols" else {}


def key_names(reading: Reading) -> set[str]:
    """Names of columns that hold dates or symbols, as `names.plain` spells them."""
    chosen = (nm.plain(c) for c in (reading.date, reading.symbol) if c is not None)
    return {*nm.DATE_NAMES, *nm.SYMBOL_NAMES, *nm.DATE_FALLBACKS, *chosen}
