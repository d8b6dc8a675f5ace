"""Assigns each column of a long frame its role: the date, the symbol, a field, a group, the universe.

1. What the caller names (`Reading.columns`) is what the caller says.
2. A column whose own name is that of a field is this field (`close`, `CLOSE`, `$close`).
3. Another name for one (`vol`, `收盘`: `panel.names`) stands for it where neither of these does; two such columns for
   one field are refused.
4. All others keep their own names.

Names are matched case-insensitively. It decides from names and types alone; it reads no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import ConfigError, DataError, UnknownName, listed, nearest_name, quoted, shortened
from fama_fast.panel import names as nm
from fama_fast.panel.adjust import Adjustment, adjustment_of
from fama_fast.panel.key_columns import column_called, find_key, no_column
from fama_fast.panel.names import DATE_NAMES as DATE_NAMES  # noqa: PLC0414  (part of this module's interface)
from fama_fast.panel.names import SYMBOL_NAMES as SYMBOL_NAMES  # noqa: PLC0414
from fama_fast.panel.names import field_name as field_name  # noqa: PLC0414
from fama_fast.panel.reading import KEYS, PLAIN, Reading
from fama_fast.types import STANDARD_FIELDS, STANDARD_GROUPS, derived_field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

UNIVERSE = "universe"
MARKET_FIELDS = frozenset({*STANDARD_FIELDS, "AMOUNT", "TURNOVER"})


@dataclass(frozen=True)
class Columns:
    """The roles of the columns of one frame.

    `fields` and `groups` map the upper-case name used in expressions to the column; `notes` and `unused` are sentences,
    the latter about columns that play no part. `adjustment` says how prices are adjusted, if they are.
    """

    date: str
    symbol: str
    fields: dict[str, str]
    groups: dict[str, str]
    universe: str | None
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()
    adjustment: Adjustment | None = None

    @property
    def needed(self) -> list[str]:
        """Columns to collect, each once."""
        extra = [] if self.universe is None else [self.universe]
        return list(dict.fromkeys([self.date, self.symbol, *self.read, *self.groups.values(), *extra]))

    @property
    def read(self) -> list[str]:
        """Columns that fields are computed from, each once."""
        adjusting = () if self.adjustment is None else self.adjustment.needed
        return list(dict.fromkeys([*self.fields.values(), *adjusting]))

    @property
    def said(self) -> tuple[str, ...]:
        """Sentences for a reader of the data about their columns."""
        return (*self.notes, *self.unused)


def is_text(dtype: pl.DataType) -> bool:
    """Whether the type is String, Categorical or Enum."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_number(dtype: pl.DataType) -> bool:
    """Whether the type can become a field: numbers, booleans (1 and 0), or a column without any value."""
    return dtype.is_numeric() or isinstance(dtype, pl.Boolean | pl.Null)


def assign_columns(
    schema: Mapping[str, pl.DataType],
    *,
    fields: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
    universe: str | None = None,
    reading: Reading = PLAIN,
    source: str = "frame",
) -> Columns:
    """Assign each column of `schema` its role.

    Args:
        fields: field names wanted (None: every numeric column). A name that the data lacks but that can be
            derived (RET, VWAP, ADV20) stands for what it is derived from.
        groups: group names wanted (None: every text column that is not a company's name).
        universe: the mask's column; None takes a boolean or whole-number column called `universe`,
            `in_universe` or `member`.
        reading: names the columns whose own names do not say what they are; asks for adjusted prices.
        source: where the data came from, for messages.

    Raises:
        DataError: no date or symbol column, an ambiguous one, two columns of one name, a price column of a
            type that holds no numbers, adjusted prices asked for of data that have none.
        UnknownName: a wanted field or group that is not there.
        ConfigError: a name that no field can have.
    """
    _refuse_twins(schema, source)
    mapped = _mapped(schema, reading, source)
    # Numbers in a column without a name of its own number the rows.
    dated = [c for c in schema if not (nm.is_row_number(c) and schema[c].is_numeric())]
    date_column = find_key(schema if reading.date is not None else dated, "date", reading.date, source)
    symbol_column = find_key(schema, "symbol", reading.symbol, source)
    mask = _mask_column(schema, universe, reading.columns.get(UNIVERSE), source)
    names, unused = _names(schema, mapped, (date_column, symbol_column, mask), source)

    numbers: dict[str, str] = {}
    texts: dict[str, str] = {}
    wanted_names = {n.upper() for n in (*(fields or ()), *(groups or ()))}
    letters = nm.is_bar_of_letters(schema)
    for name, column in names.items():
        dtype = schema[column]
        asked = name in wanted_names or name in mapped
        reason = None if asked else _no_field(column, name, letters=letters, keys=(date_column, symbol_column))
        if reason is not None:
            unused.append(f"column {quoted(column)} is not used: {reason}")
        elif name in MARKET_FIELDS and not (is_text(dtype) or dtype.is_numeric() or isinstance(dtype, pl.Null)):
            raise DataError(f"{source}: column {quoted(column)} has type {dtype}, not numbers")
        elif name in STANDARD_GROUPS and isinstance(dtype, pl.Null):
            unused.append(f"column {quoted(column)} is not used: it holds nothing")
        elif name in STANDARD_GROUPS and (is_text(dtype) or dtype.is_integer()):
            texts[name] = column
        elif is_number(dtype) or name in MARKET_FIELDS:
            numbers[name] = column
        elif is_text(dtype) and (name not in nm.NAME_COLUMNS or asked):
            texts[name] = column
        elif is_text(dtype):
            unused.append(f"column {quoted(column)} is not used: it names companies (ask for it as a group to use it)")
        else:
            unused.append(f"column {quoted(column)} is not used: its type is {dtype}")

    adjustment: Adjustment | None = None
    notes: tuple[str, ...] = ()
    have = numbers
    if reading.adjusted:
        adjustment = adjustment_of(numbers, source)
        # The adjusted close is CLOSE now, with or without a raw one beside it.
        have = dict(numbers)
        adjusted = have.pop(nm.ADJUSTED_CLOSE, None)
        if adjusted is not None:
            have.setdefault("CLOSE", adjusted)
    elif nm.ADJUSTED_CLOSE in numbers and nm.ADJUSTED_CLOSE not in wanted_names:
        notes = (
            f"adjusted close found ({numbers[nm.ADJUSTED_CLOSE]!r}); --adjusted uses it (in Python: adjusted=True)",
        )
    chosen = have if fields is None else _pick_fields(fields, have, source)
    if adjustment is not None:
        notes = (adjustment.described(chosen),)
    price = chosen.get("CLOSE")
    if price is not None and nm.plain(price) == "prc":
        said = (
            f"{quoted(price)} is CRSP's price: a negative one marks the midpoint of bid and ask on a day without "
            "trades, and is no price here; write absolute values to use midpoints"
        )
        notes = (*notes, said)
    return Columns(
        date_column,
        symbol_column,
        chosen,
        texts if groups is None else _pick(groups, {**numbers, **texts}, "group", source),
        mask,
        tuple(unused) if fields is None and groups is None else (),
        notes,
        adjustment,
    )


def known_names(schema: Mapping[str, pl.DataType], reading: Reading, source: str) -> set[str]:
    """All names that expressions could have for columns of `schema`, keys and the universe included."""
    mapped = _mapped(schema, reading, source)
    names, _ = _names(schema, mapped, (), source)
    return {*names, *mapped}


def _mapped(schema: Mapping[str, pl.DataType], reading: Reading, source: str) -> dict[str, str]:
    """The mapping of field or group to column, as the caller has it; keys and the universe are left out."""
    mapped: dict[str, str] = {}
    for role, wanted in reading.columns.items():
        column = column_called(schema, wanted)
        if column is None:
            raise DataError(no_column(source, role, wanted, schema))
        if role in (*KEYS, UNIVERSE):
            continue
        name = role.upper()
        if field_name(name) != name:
            raise ConfigError(f"columns: {role!r} cannot be a field's name: letters, digits and _ only")
        mapped[name] = column
    return mapped


def _names(
    schema: Mapping[str, pl.DataType], mapped: Mapping[str, str], keys: Collection[str | None], source: str
) -> tuple[dict[str, str], list[str]]:
    """The name that expressions have for each column that is no key, and sentences about those without one."""
    letters = nm.is_bar_of_letters(schema)
    others = [c for c in schema if c not in keys and c not in mapped.values()]
    own = {c: field_name(c) for c in others}
    names = dict(mapped)
    unused: list[str] = []
    by_alias: dict[str, list[str]] = {}
    taken = {*mapped, *own.values()}
    for column in others:
        alias = nm.alias_of(column, letters=letters)
        if alias is not None and alias not in taken:
            by_alias.setdefault(alias, []).append(column)
    for name, columns in by_alias.items():
        if len(columns) > 1:
            raise DataError(
                f"{source}: which column is {name}, {' or '.join(map(quoted, columns))}? Say so with --columns "
                f"{name.lower()}={columns[0]} (in Python: columns={{{name.lower()!r}: {columns[0]!r}}})"
            )
    aliased = {columns[0]: name for name, columns in by_alias.items()}
    for column in others:
        called = aliased.get(column, own[column])
        if called is None:
            if not nm.is_row_number(column):
                way = f"an expression cannot name it; --columns NAME={shortened(column)} gives it a name"
                unused.append(f"column {quoted(column)} is not used: {way}")
        elif called in mapped:
            unused.append(f"column {quoted(column)} is not used: {called} is {quoted(mapped[called])}, as asked for")
        elif called in names:
            raise DataError(
                f"{source}: columns {quoted(names[called])} and {quoted(column)} would both be called {called}"
            )
        else:
            names[called] = column
    order = {c: i for i, c in enumerate(schema)}
    return dict(sorted(names.items(), key=lambda item: order[item[1]])), unused


def _no_field(column: str, name: str, *, letters: bool, keys: tuple[str, str]) -> str | None:
    """The reason why a column is neither field nor group unless it is asked for."""
    if nm.is_key_name(column, letters=letters) or column.startswith("__"):
        return f"{keys[0]!r} and {keys[1]!r} are the keys"
    if nm.is_row_number(column):
        return "it has no name, or numbers the rows"
    if nm.plain(column) in nm.NO_FIELDS:
        return "it is a time"
    if name in nm.IDENTIFIERS:
        return "it says which company it is (ask for it to use it)"
    return None


def _refuse_twins(schema: Collection[str], source: str) -> None:
    seen: dict[str, str] = {}
    letters = nm.is_bar_of_letters(schema)
    for column in schema:
        other = seen.setdefault(column.lower(), column)
        if other != column and not (letters and {column, other} == {"T", "t"}):
            raise DataError(f"{source}: columns {quoted(other)} and {quoted(column)} differ only in case")


def _mask_column(schema: Mapping[str, pl.DataType], chosen: str | None, mapped: str | None, source: str) -> str | None:
    if chosen is not None and mapped is not None and column_called(schema, mapped) != column_called(schema, chosen):
        raise ConfigError(f"two universes: the column {chosen!r}, and {mapped!r} in columns")
    wanted = chosen if chosen is not None else mapped
    if wanted is not None:
        column = column_called(schema, wanted)
        if column is None:
            raise DataError(no_column(source, UNIVERSE, wanted, schema))
        if not (schema[column].is_numeric() or isinstance(schema[column], pl.Boolean)):
            raise DataError(
                f"{source}: the universe column {quoted(column)} has type {schema[column]}, not true and false"
            )
        return column
    for name in nm.UNIVERSE_NAMES:
        column = column_called(schema, name)
        if column is not None and (isinstance(schema[column], pl.Boolean) or schema[column].is_integer()):
            return column
    return None


def _pick(wanted: Iterable[str], have: Mapping[str, str], what: str, source: str) -> dict[str, str]:
    picked: dict[str, str] = {}
    for raw in wanted:
        name = raw.upper()
        if name not in have:
            meant = nm.meant_by(name)
            raise UnknownName(
                f"{source}: the data has no {what} {raw!r} (it has {listed(have)})",
                suggestion=meant if meant in have else nearest_name(raw, have),
            )
        picked[name] = have[name]
    return picked


def _pick_fields(wanted: Iterable[str], have: Mapping[str, str], source: str) -> dict[str, str]:
    names: list[str] = []
    for raw in wanted:
        derived = derived_field(raw.upper())
        names.extend(derived.inputs if derived is not None and raw.upper() not in have else (raw,))
    return _pick(names, have, "field", source)
