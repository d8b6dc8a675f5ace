"""Joins index membership and group labels, from files with rows about symbols, to a panel.

Both come from small CSV or Parquet files. A symbol that a file does not know is counted, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import DataError, UnknownName, nearest_name, quoted
from fama_fast.panel import GroupField
from fama_fast.panel.columns import field_name, is_number, is_text
from fama_fast.panel.duplicates import Duplicated, Repeated
from fama_fast.panel.io.qlib_bin import days_in_spells, read_spells
from fama_fast.panel.key_columns import column_called, find_column, find_key
from fama_fast.panel.keys import Locate, dates_to_numpy, read_dates, read_symbols
from fama_fast.panel.names import IDENTIFIERS, NAME_COLUMNS, alias_of
from fama_fast.panel.reading import KEYS, PLAIN, Reading
from fama_fast.panel.scan import collect, scan_table
from fama_fast.panel.text_values import labels_of, no_group

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fama_fast.panel import Panel
    from fama_fast.panel.io.source import Scan
    from fama_fast.types import BoolArray, FloatArray, IntArray

START_NAMES = ("start", "start_date", "from", "from_date", "in_date", "date_added", "纳入日期")
END_NAMES = ("end", "end_date", "to", "to_date", "thru", "ending", "out_date", "date_removed", "剔除日期")

_SHOWN = 5


def membership_mask(panel: Panel, path: str | Path, reading: Reading = PLAIN) -> tuple[BoolArray, list[str]]:
    """The universe that a membership file describes.

    The file has one row a spell: symbol, start, end (an empty end: still in; an empty start: since ever); a
    symbol may have several. A symbol is a member on start <= date < end: the end is the first day on which
    it is out, as in index change lists, where a leaver's end is its replacement's start. A name that ends in .txt is
    an index file of qlib (`panel.io.qlib_bin`), where the end is the last day on which it is in.

    Args:
        reading: how the data are read; its encoding, decimal mark, name of the symbols and what it says of duplicates
            hold here too.

    Returns:
        (T, N) bool, and warnings that count symbols without any spell.

    Raises:
        DataError: unreadable file or date, a missing column, an end before its start, spells of a symbol from one start
            with different ends, no symbol in common.
    """
    source = str(path)
    if Path(path).suffix.lower() == ".txt":
        return _index_mask(panel, Path(path))
    scanned = _scan(path, reading)
    table = collect(scanned.frame, source)
    symbol_column = _symbol_column(table.columns, reading, source)
    start_column = find_column(table.columns, START_NAMES, "start", source)
    end_column = find_column(table.columns, END_NAMES, "end", source)
    symbols = read_symbols(table[symbol_column], source=source, locate=scanned.locate)
    first = _open_dates(table[start_column], np.datetime64("0001-01-01"), source)
    last = _open_dates(table[end_column], np.datetime64("9999-12-31"), source)
    wrong = np.flatnonzero(last < first)
    if wrong.size:
        row = int(wrong[0])
        spell = f"ends ({last[row]}) before it starts ({first[row]})"
        raise DataError(f"{source}, {scanned.locate(row)}: {symbols[row]} {spell}")

    keep, warnings = _one_end_each(panel, symbols, first, last, reading, source, scanned.locate)
    mask, notes = _mask(panel, symbols.filter(pl.Series(keep)).to_list(), first[keep], last[keep], path)
    return mask, [*warnings, *notes]


def _one_end_each(
    panel: Panel, symbols: pl.Series, first: Any, last: Any, reading: Reading, source: str, locate: Locate
) -> tuple[BoolArray, list[str]]:
    """The spells to keep: of a symbol one from each start; and sentences about others.

    Raises:
        DataError: spells of a symbol from one start end on different dates.
    """
    keys = pl.DataFrame({"symbol": symbols, "start": pl.Series(first)})
    ours = symbols.is_in(pl.Series([str(s) for s in panel.symbols]).implode())
    rows = (keys.is_duplicated() & ours).arg_true().to_numpy()
    keep: BoolArray = np.ones(len(symbols), dtype=np.bool_)
    if not rows.size:
        return keep, []

    def describe(group: IntArray) -> Repeated:
        at = rows[group].tolist()
        return Repeated(str(first[at[0]]), symbols[at[0]], tuple(locate(r) for r in at))

    duplicated = Duplicated(reading.duplicates, "(start, symbol) key")
    cells = keys[rows].select(pl.struct("symbol", "start").rank("dense")).to_series().to_numpy()
    keep[rows] = duplicated.judge(cells.astype(np.int64), pl.DataFrame({"end": pl.Series(last[rows])}), describe)
    duplicated.refuse(source)
    return keep, _of_file(source, duplicated)


def _of_file(source: str, found: Duplicated) -> list[str]:
    return [f"{Path(source).name}: {text}" for text in found.warnings]


def _index_mask(panel: Panel, path: Path) -> tuple[BoolArray, list[str]]:
    spells = read_spells(path)
    mask, notes = _mask(panel, spells.symbols, spells.first, spells.end, path)
    return mask, [*spells.notes, *notes]


def _mask(panel: Panel, symbols: Sequence[str], first: Any, end: Any, path: str | Path) -> tuple[BoolArray, list[str]]:
    """The mask of members on first <= date < end, for each spell; and how many symbols have none."""
    position = {s: i for i, s in enumerate(panel.symbols)}
    column = np.array([position.get(s, -1) for s in symbols], dtype=np.int64)
    known = column >= 0
    if not known.any():
        raise DataError(f"{path}: no symbol of the data is in this membership file")
    mask = days_in_spells(panel.dates.astype("datetime64[D]"), column[known], first[known], end[known], panel.shape[1])
    listed = set(symbols)
    never = [str(s) for s in panel.symbols if s not in listed]
    return mask, _counted(never, f"symbols are not in {Path(path).name} and never members")


def _scan(path: str | Path, reading: Reading) -> Scan:
    """Open a file with rows about symbols, with the reading options of the data.

    It may be UTF-8 though the data are not.
    """
    named = {} if reading.symbol is None else {"symbol": reading.symbol}
    how = Reading(columns=named, decimal=reading.decimal)
    if reading.encoding is None:
        return scan_table(path, how)
    try:
        return scan_table(path, how)
    except DataError:
        return scan_table(path, replace(how, encoding=reading.encoding))


def columns_of_data(reading: Reading, have: Collection[str], files: Sequence[str | Path]) -> Reading:
    """The reading options of the data without the columns that are not theirs (`have`), but a group file's.

    Raises:
        DataError: a file that cannot be read.
    """
    lacking = [role for role, c in reading.columns.items() if role not in KEYS and column_called(have, c) is None]
    if not lacking or not files:
        return reading
    in_files = {c for f in files for c in _scan(f, reading).frame.collect_schema().names()}
    moved = {role for role in lacking if column_called(in_files, reading.columns[role]) is not None}
    return replace(reading, columns={role: c for role, c in reading.columns.items() if role not in moved})


def _symbol_column(columns: list[str], reading: Reading, source: str) -> str:
    """The name of the column of symbols: as in the data, if that is there."""
    same = None if reading.symbol is None else column_called(columns, reading.symbol)
    return find_key(columns, "symbol", same, source)


def _names(columns: list[str], reading: Reading, source: str) -> dict[str, str | None]:
    """The name that expressions have for each column of a file: as asked for, its own, or the one it stands for."""
    asked = {column_called(columns, c): role.upper() for role, c in reading.columns.items()}
    own = {c: field_name(c) for c in columns}
    taken = {*own.values(), *asked.values()}
    names: dict[str, str | None] = {}
    for column in columns:
        alias = alias_of(column)
        name = asked.get(column) or (own[column] if alias is None or alias in taken else alias)
        other = next((c for c, n in names.items() if n == name and name is not None), None)
        if other is not None:
            raise DataError(f"{source}: columns {quoted(other)} and {quoted(column)} would both be called {name}")
        names[column] = name
    return names


def _open_dates(
    column: pl.Series, empty: np.datetime64, source: str
) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    if is_text(column.dtype):
        column = column.cast(pl.String).str.strip_chars().replace("", None).rename(column.name)
    out = np.full(len(column), empty, dtype="datetime64[D]")
    present = column.is_not_null()
    if present.any():
        rows = present.arg_true().to_list()
        dates = read_dates(column.filter(present), source=source, locate=lambda r: f"row {rows[r] + 1:,}")
        out[rows] = dates_to_numpy(dates).astype("datetime64[D]")
    return out


def symbol_columns(
    panel: Panel,
    paths: Sequence[str | Path],
    *,
    groups: Iterable[str] | None = None,
    fields: Mapping[str, str] | None = None,
    reading: Reading = PLAIN,
) -> tuple[dict[str, GroupField], dict[str, FloatArray], list[str]]:
    """Columns of files with one row a symbol, spread over all dates of a panel.

    Text columns become group fields, except company names. Numeric columns (a market value, a share count)
    are one snapshot, often from after the data; spread over the past they would look ahead, so only those
    named are taken.

    Args:
        groups: group names wanted, None for every text column of the files.
        fields: field name -> column, for numeric columns wanted as fields constant in time.
        reading: how the data are read; its encoding, decimal mark and names of columns hold here too.

    Returns:
        Group fields, static fields (T, N), and warnings that count symbols without a value.

    Raises:
        DataError: unreadable file, two rows that disagree about a symbol, one column in two files.
        UnknownName: a wanted group or column that no file has.
    """
    wanted_groups = None if groups is None else {g.upper() for g in groups}
    wanted_fields = {column.lower(): name.upper() for name, column in (fields or {}).items()}
    shape = panel.shape
    found_groups: dict[str, GroupField] = {}
    found_fields: dict[str, FloatArray] = {}
    origin: dict[str, str] = {}
    warnings: list[str] = []
    seen: list[str] = []
    for path in paths:
        source = str(path)
        rows = _rows_of(path, panel, reading)
        called = _names(rows.table.columns[1:], reading, source)
        seen += called
        used = _used(called, rows.table.schema, wanted_groups, wanted_fields)
        table, notes = _per_symbol(rows, list(used), panel, source, reading)
        warnings += notes
        for column, key in used.items():
            values = table[column]
            if column.lower() in wanted_fields:
                row = _numbers(values, source)
                missing = ~np.isfinite(row)
                found_fields[key] = np.broadcast_to(row, shape)
            else:
                row, labels = _codes(values)
                known = int(np.isfinite(row).sum())
                reason = no_group(key, column, labels, rows=None, symbols=known) if wanted_groups is None else None
                if reason is not None:
                    warnings.append(f"{Path(path).name}: {reason}")
                    continue
                missing = np.isnan(row)
                found_groups[key] = GroupField(np.ascontiguousarray(np.broadcast_to(row, shape)), labels)
            if key in origin:
                raise DataError(f"{source}: {key} is also in {origin[key]}; keep it in one file")
            origin[key] = source
            without = [str(s) for s in panel.symbols[missing]]
            warnings += _counted(without, f"symbols have no {key} in {Path(path).name}")
    for want, have, what in (
        (wanted_groups or set(), {*found_groups}, "group"),
        ({*wanted_fields}, {k for k, v in wanted_fields.items() if v in found_fields}, "column"),
    ):
        for lacking in sorted(want - have):
            raise UnknownName(
                f"{', '.join(map(str, paths))}: no {what} {lacking!r} (columns: {', '.join(seen)})",
                suggestion=nearest_name(lacking, seen),
            )
    return found_groups, found_fields, warnings


def _used(
    called: Mapping[str, str | None],
    schema: Mapping[str, pl.DataType],
    wanted_groups: set[str] | None,
    wanted_fields: Mapping[str, str],
) -> dict[str, str]:
    """The columns that become groups or fields, with their names."""
    used: dict[str, str] = {}
    for column, name in called.items():
        static = wanted_fields.get(column.lower())
        if static is not None:
            used[column] = static
        elif name is not None and _is_group(name, schema[column], wanted_groups):
            used[column] = name
    return used


def _is_group(name: str, dtype: pl.DataType, wanted: set[str] | None) -> bool:
    if wanted is not None:
        return name in wanted
    return is_text(dtype) and name not in NAME_COLUMNS and name not in IDENTIFIERS


@dataclass(frozen=True)
class _FileRows:
    """Rows of a file about symbols of the data: their columns, the symbol first, and their numbers in the file."""

    table: pl.DataFrame
    numbers: IntArray
    locate: Locate


def _rows_of(path: str | Path, panel: Panel, reading: Reading) -> _FileRows:
    source = str(path)
    scanned = _scan(path, reading)
    table = collect(scanned.frame, source)
    key = _symbol_column(table.columns, reading, source)
    if table.is_empty():
        raise DataError(f"{source}: no rows")
    symbols = read_symbols(table[key], source=source, locate=scanned.locate)
    ours = symbols.is_in(pl.Series([str(s) for s in panel.symbols]).implode())
    if not ours.any():
        raise DataError(f"{source}: no symbol of the data is in this file")
    table = table.with_columns(symbols.alias(key)).select(key, pl.exclude(key)).filter(ours)
    return _FileRows(table, ours.arg_true().to_numpy(), scanned.locate)


def _per_symbol(
    rows: _FileRows, used: Sequence[str], panel: Panel, source: str, reading: Reading
) -> tuple[pl.DataFrame, list[str]]:
    """The columns used, in the panel's order of symbols (null where the file has none); and sentences about rows that
    are left out.

    Raises:
        DataError: rows of one symbol that differ.
    """
    key = rows.table.columns[0]
    table = rows.table.select(key, *used)
    shared = table[key].is_duplicated().arg_true().to_numpy()
    notes: list[str] = []
    if shared.size:
        symbols = table[key].gather(shared)

        def describe(group: IntArray) -> Repeated:
            where = tuple(rows.locate(int(rows.numbers[shared[r]])) for r in group)
            return Repeated(None, symbols[int(group[0])], where)

        duplicated = Duplicated(reading.duplicates, "symbol")
        keep: BoolArray = np.ones(table.height, dtype=np.bool_)
        cells = symbols.rank("dense").to_numpy().astype(np.int64)
        keep[shared] = duplicated.judge(cells, table[shared].drop(key), describe)
        duplicated.refuse(source)
        table, notes = table.filter(pl.Series(keep)), _of_file(source, duplicated)
    ours = pl.DataFrame({key: [str(s) for s in panel.symbols]})
    return ours.join(table, on=key, how="left", maintain_order="left"), notes


def _numbers(values: pl.Series, source: str) -> FloatArray:
    if not is_number(values.dtype):
        raise DataError(f"{source}: column {quoted(values.name)} holds {values.dtype}, not numbers")
    return values.cast(pl.Float64).to_numpy()


def _codes(values: pl.Series) -> tuple[FloatArray, tuple[str, ...]]:
    texts = labels_of(values)
    labels = texts.drop_nulls().unique().sort()
    return texts.cast(pl.Enum(labels)).to_physical().cast(pl.Float64).to_numpy(), tuple(labels.to_list())


def _counted(names: list[str], what: str) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > _SHOWN else ""
    return [f"{len(names):,} {what}: {', '.join(names[:_SHOWN])}{more}"]
