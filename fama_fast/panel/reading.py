"""The reading options of market data, for what their names and values do not say themselves.

`load_market_data`, `scan_market_data`, `Panel.from_frame`, the commands (`cli/reading.py`) and the configuration
(`data:`) all end in a `Reading`. An option is added here, in `ReadingOptions`, in the table of `cli/reading.py` and in
`mining/config.py`; what lies between passes the record on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from fama_fast.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

Duplicates = Literal["error", "first", "last"]

KEYS = ("date", "symbol")


class ReadingOptions(TypedDict, total=False):
    """The keyword arguments that make a `Reading`; each is described there."""

    date: str | None
    symbol: str | None
    start: str | int | dt.date | dt.datetime | None
    end: str | int | dt.date | dt.datetime | None
    columns: Mapping[str, str] | None
    adjusted: bool
    timezone: str | None
    duplicates: Duplicates
    min_symbols: float | None
    encoding: str | None
    decimal: str | None
    history: int


@dataclass(frozen=True)
class Reading:
    """Options of how to read a set of market data.

    Attributes:
        columns: what the data call a key or a field (`{"close": "px_last", "date": "day", "symbol": "code"}`), by the
            lower-case name used here.
        start, end: first and last date to keep, both included; what lies outside is not judged either.
        adjusted: prices are taken adjusted for splits and dividends where the data have an adjusted close.
        timezone: of the market, where stamps of daily bars carry another one's clock.
        duplicates: what to do with rows of one (date, symbol) that differ: refuse them, or keep the first or last.
        min_symbols: dates on which fewer symbols have a row are no market days: a number, or a share below 1 of the
            symbols that are alive, from the first to the last date that they have a row on.
        history: so many dates before `start` are kept too, for windows to look back to.
        encoding: of CSV files (UTF-8 when None). decimal: their decimal mark, `.` or `,` (found when None).
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    start: str | int | dt.date | dt.datetime | None = None
    end: str | int | dt.date | dt.datetime | None = None
    adjusted: bool = False
    timezone: str | None = None
    duplicates: Duplicates = "error"
    min_symbols: float | None = None
    encoding: str | None = None
    decimal: str | None = None
    history: int = 0

    @property
    def date(self) -> str | None:
        """The column of dates, if named."""
        return self.columns.get("date")

    @property
    def symbol(self) -> str | None:
        """The column of symbols, if named."""
        return self.columns.get("symbol")

    def options(self) -> dict[str, Any]:
        """The keyword arguments that make this record again; only what is not the default, as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["columns"] = dict(self.columns)
        return {name: value for name, value in values.items() if value != getattr(PLAIN, name)}


PLAIN = Reading()
"""Everything as the data themselves say."""


def reading_of(
    *,
    date: str | None = None,
    symbol: str | None = None,
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    duplicates: str = "error",
    min_symbols: float | None = None,
    decimal: str | None = None,
    **others: Any,
) -> Reading:
    """The `Reading` that these options ask for.

    Raises:
        ConfigError: an option that does not exist, or a value that it cannot have.
    """
    known = {f.name for f in fields(Reading)}
    for name in others:
        if name not in known:
            near = nearest_name(name, sorted(known))
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"no such option for reading data: {name!r}{hint}")
    named: dict[str, str] = {}
    keys = [(role, column) for role, column in (("date", date), ("symbol", symbol)) if column is not None]
    for role, column in [*dict(columns or {}).items(), *keys]:
        key = str(role).strip().lower()
        if not key or not isinstance(column, str) or not column.strip():
            raise ConfigError(f"columns: {role!r} names no column ({column!r})")
        if named.get(key, column) != column:
            raise ConfigError(f"columns: two columns for {key!r}: {named[key]!r} and {column!r}")
        named[key] = column
    if duplicates not in ("error", "first", "last"):
        raise ConfigError(f"duplicates must be error, first or last, not {duplicates!r}")
    if decimal not in (None, ".", ","):
        raise ConfigError(f"decimal must be '.' or ',', not {decimal!r}")
    if timezone is not None:
        from fama_fast.panel.zones import read_zone

        timezone = read_zone(timezone)
    if min_symbols is not None and not (isinstance(min_symbols, int | float) and 0 < min_symbols < float("inf")):
        raise ConfigError(f"min_symbols must be a number of symbols, or a share below 1, not {min_symbols!r}")
    return Reading(
        columns=named,
        timezone=timezone,
        duplicates=duplicates,  # type: ignore[arg-type]
        min_symbols=min_symbols,
        decimal=decimal,
        **others,
    )


def read_columns(text: str) -> dict[str, str]:
    """Parse `close=px_last,date=day` to a mapping.

    Raises:
        ConfigError: a part that is not NAME=COLUMN, or one name twice.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = part.partition("=")
        name = name.strip().lower()
        if not equals or not name or not column.strip():
            raise ConfigError(f"--columns takes NAME=COLUMN,... such as close=px_last,date=day; {part!r} is not one")
        if columns.get(name, column.strip()) != column.strip():
            raise ConfigError(f"--columns names two columns for {name!r}: {columns[name]!r} and {column.strip()!r}")
        columns[name] = column.strip()
    return columns
