"""Which column of a long frame is what: the date, the symbol, fields, groups, the universe.

Names are matched case-insensitively. It decides from names and types alone; it reads no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from fama_fast.errors import DataError, UnknownName, nearest_name
from fama_fast.panel.reading import PLAIN, Reading
from fama_fast.types import STANDARD_FIELDS, STANDARD_GROUPS, derived_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DATE_NAMES = ("date", "datetime", "timestamp", "time", "trade_date", "tradedate", "trading_date", "day")
SYMBOL_NAMES = ("symbol", "ticker", "code", "ts_code", "instrument", "asset", "sid", "permno")
UNIVERSE_NAMES = ("universe", "in_universe", "member")
# Text that names or describes a company: one label a symbol, so no group to compare within.
NAME_COLUMNS = ("NAME", "COMPANY", "COMPANY_NAME", "LONG_NAME", "SHORT_NAME", "SECURITY", "DESCRIPTION")
MARKET_FIELDS = frozenset({*STANDARD_FIELDS, "AMOUNT", "TURNOVER"})

_NOT_NAME = re.compile(r"[^A-Z0-9_]+")
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")


@dataclass(frozen=True)
class Columns:
    """Roles of the columns of one frame.

    `fields` and `groups` map the upper-case name used in expressions to the column; `unused` are sentences
    about columns that play no part.
    """

    date: str
    symbol: str
    fields: dict[str, str]
    groups: dict[str, str]
    universe: str | None
    unused: tuple[str, ...]

    @property
    def needed(self) -> list[str]:
        """Columns to collect, each once."""
        extra = [] if self.universe is None else [self.universe]
        return list(dict.fromkeys([self.date, self.symbol, *self.fields.values(), *self.groups.values(), *extra]))


def is_text(dtype: pl.DataType) -> bool:
    """String, Categorical or Enum."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_number(dtype: pl.DataType) -> bool:
    """What can become a field: numbers, booleans (1 and 0), or a column that holds nothing at all."""
    return dtype.is_numeric() or isinstance(dtype, pl.Boolean | pl.Null)


def field_name(column: str) -> str | None:
    """The name under which expressions know a column (`Adj Close` is ADJ_CLOSE), or None when it has none."""
    name = _NOT_NAME.sub("_", column.strip().upper()).strip("_")
    return name if _FIELD_NAME.match(name) and column.isascii() else None


def find_key(names: Iterable[str], aliases: Sequence[str], what: str, chosen: str | None, source: str) -> str:
    """The column that holds a key.

    `chosen` if given; else the first of `aliases`, which wins over the others; else the one alias present.

    Raises:
        DataError: none is present, or several aliases are and the preferred name is not.
    """
    by_lower = {n.lower(): n for n in names}
    if chosen is not None:
        if chosen.lower() not in by_lower:
            raise DataError(_no_column(source, what, chosen, by_lower.values()))
        return by_lower[chosen.lower()]
    found = [by_lower[a] for a in aliases if a in by_lower]
    if not found:
        raise DataError(_no_column(source, what, aliases[0], by_lower.values()))
    if found[0].lower() != aliases[0] and len(found) > 1:
        raise DataError(
            f"{source}: which column is the {what}, {' or '.join(map(repr, found))}? "
            f"Rename one to {aliases[0]!r} or name it with {what}="
        )
    return found[0]


def _no_column(source: str, what: str, wanted: str, names: Iterable[str]) -> str:
    have = list(names)
    near = nearest_name(wanted, have)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{source}: there is no {what} column {wanted!r} (columns: {', '.join(have) or 'none'}){hint}"


def assign_columns(
    schema: Mapping[str, pl.DataType],
    *,
    fields: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
    universe: str | None = None,
    reading: Reading = PLAIN,
    source: str = "frame",
) -> Columns:
    """Gives each column of `schema` its role.

    Args:
        fields: field names wanted (None: every numeric column). A name that the data lacks but that can be
            derived (RET, VWAP, ADV20) stands for what it is derived from.
        groups: group names wanted (None: every text column that is not a company's name).
        universe: the mask's column; None takes a boolean or whole-number column called `universe`,
            `in_universe` or `member`.
        reading: names the columns whose own names do not say what they are.
        source: where the data came from, for messages.

    Raises:
        DataError: no date or symbol column, an ambiguous one, two columns of one name, a price column of a
            type that holds no numbers.
        UnknownName: a wanted field or group that is not there.
    """
    _refuse_twins(schema, source)
    date_column = find_key(schema, DATE_NAMES, "date", reading.date, source)
    symbol_column = find_key(schema, SYMBOL_NAMES, "symbol", reading.symbol, source)
    mask = _mask_column(schema, universe, source)

    numbers: dict[str, str] = {}
    texts: dict[str, str] = {}
    unused: list[str] = []
    wanted_names = {n.upper() for n in (*(fields or ()), *(groups or ()))}
    taken: dict[str, str] = {}
    for column, dtype in schema.items():
        if column in (date_column, symbol_column, mask):
            continue
        name = field_name(column)
        if name is None:
            unused.append(f"column {column!r} is not used: an expression cannot name it")
            continue
        if name in taken:
            raise DataError(f"{source}: columns {taken[name]!r} and {column!r} would both be called {name}")
        taken[name] = column
        alias = column.lower() in DATE_NAMES or column.lower() in SYMBOL_NAMES or column.startswith("__")
        if alias and name not in wanted_names:
            unused.append(f"column {column!r} is not used: {date_column!r} and {symbol_column!r} are the keys")
        elif name in MARKET_FIELDS and not (is_text(dtype) or dtype.is_numeric() or isinstance(dtype, pl.Null)):
            raise DataError(f"{source}: column {column!r} has type {dtype}, not numbers")
        elif name in STANDARD_GROUPS and (is_text(dtype) or dtype.is_integer()):
            texts[name] = column
        elif is_number(dtype) or name in MARKET_FIELDS:
            numbers[name] = column
        elif is_text(dtype) and (name not in NAME_COLUMNS or name in wanted_names):
            texts[name] = column
        elif is_text(dtype):
            unused.append(f"column {column!r} is not used: it names companies (ask for it as a group to use it)")
        else:
            unused.append(f"column {column!r} is not used: its type is {dtype}")
    return Columns(
        date_column,
        symbol_column,
        numbers if fields is None else _pick_fields(fields, numbers, source),
        texts if groups is None else _pick(groups, {**numbers, **texts}, "group", source),
        mask,
        tuple(unused) if fields is None and groups is None else (),
    )


def _refuse_twins(schema: Iterable[str], source: str) -> None:
    seen: dict[str, str] = {}
    for column in schema:
        other = seen.setdefault(column.lower(), column)
        if other != column:
            raise DataError(f"{source}: columns {other!r} and {column!r} differ only in case")


def _mask_column(schema: Mapping[str, pl.DataType], chosen: str | None, source: str) -> str | None:
    by_lower = {c.lower(): c for c in schema}
    if chosen is not None:
        column = by_lower.get(chosen.lower())
        if column is None:
            raise DataError(_no_column(source, "universe", chosen, schema))
        if not (schema[column].is_numeric() or isinstance(schema[column], pl.Boolean)):
            raise DataError(f"{source}: the universe column {column!r} has type {schema[column]}, not true and false")
        return column
    for name in UNIVERSE_NAMES:
        column = by_lower.get(name)
        if column is not None and (isinstance(schema[column], pl.Boolean) or schema[column].is_integer()):
            return column
    return None


def _pick(wanted: Iterable[str], have: Mapping[str, str], what: str, source: str) -> dict[str, str]:
    picked: dict[str, str] = {}
    for raw in wanted:
        name = raw.upper()
        if name not in have:
            raise UnknownName(
                f"{source}: the data has no {what} {raw!r} (it has {', '.join(have) or 'none'})",
                suggestion=nearest_name(raw, have),
            )
        picked[name] = have[name]
    return picked


def _pick_fields(wanted: Iterable[str], have: Mapping[str, str], source: str) -> dict[str, str]:
    names: list[str] = []
    for raw in wanted:
        derived = derived_field(raw.upper())
        names.extend(derived.inputs if derived is not None and raw.upper() not in have else (raw,))
    return _pick(names, have, "field", source)
