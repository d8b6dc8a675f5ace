"""Reads a text file as a table: every row has as many cells as the header, and columns have the types that their cells
allow.

1. The bytes become UTF-8 (`csv_bytes`), the first line says what the columns are (`csv_header`).
2. Rows are split into cells; one that is too short or too long is refused, with its number.
3. Cells become numbers or stay text (`csv_types`), for which the decimal mark is found if nobody names it.

What a column means is decided elsewhere (`panel.columns`), but for keys, which stay text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from fama_fast.errors import DataError, quoted
from fama_fast.panel import names as nm
from fama_fast.panel.columns import MARKET_FIELDS
from fama_fast.panel.io.asked_rows import asked_rows
from fama_fast.panel.io.csv_bytes import read_text
from fama_fast.panel.io.csv_clock import with_clock
from fama_fast.panel.io.csv_header import Header, read_header
from fama_fast.panel.io.csv_types import as_text, decimal_commas, typed
from fama_fast.panel.io.layout import wide_dates
from fama_fast.panel.io.stacked import read_stacked, unstacked
from fama_fast.panel.key_columns import column_called, key_column
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from fama_fast.panel.io.csv_bytes import Bytes

# ="000001" is how a text is kept from Excel.
_PROTECTED = r'^="(.*)"$'
_BATCH = 400  # columns that become numbers at a time
_CELLS = 4_000_000  # and cells
_HEAD = 1 << 20  # bytes that hold the header
_BLOCK = 1 << 22
_LARGEST_BLOCK = (1 << 31) - 1


def csv_columns(file: Path, reading: Reading = PLAIN) -> tuple[str, ...]:
    """The names of a text file's columns.

    Raises:
        As `read_csv`, as far as its beginning shows.
    """
    data, start = read_text(file, reading.encoding, most=_HEAD)
    stacked = read_stacked(data, start)
    return read_header(data, start, str(file)).names if stacked is None else stacked.columns


def read_csv(file: Path, reading: Reading = PLAIN, *, wide: bool = False) -> pl.DataFrame:
    """The rows of a text file.

    Args:
        reading: names its columns, encoding and decimal mark, where they do not say so themselves.
        wide: it is a wide table: all columns but the dates are symbols, and no other name means anything.

    Raises:
        DataError: a file that cannot be read as text, a row with too few or too many cells.
        ConfigError: an encoding that does not exist.
    """
    data, start = read_text(file, reading.encoding)
    stacked = read_stacked(data, start)
    header = read_header(data, start, str(file)) if stacked is None else stacked.header
    texts = _Texts(_cells(data, header, file), header, protected=data.find(b'="') >= 0)
    _refuse_open_quote(data, file)
    keys: set[str | None]
    market: Collection[str]
    if stacked is not None:
        keys, market = {header.names[0]}, stacked.fields
    elif wide:
        keys, market = {wide_dates(texts.names, reading)}, texts.names
    else:
        keys, market = _keys(texts.names, reading), _market(texts.names, reading)
    rows = _asked(texts, header.names[0] if stacked is not None else _dates(texts.names, reading, wide=wide), reading)
    table = _typed(texts, keys, market, reading.decimal or ".", rows)
    if reading.decimal is None and header.separator != "," and _decimal_comma(texts, keys, table, rows):
        table = _typed(texts, keys, market, ",", rows)
    if stacked is not None:
        return unstacked(table, stacked)
    return table if wide else with_clock(table, reading, str(file))


def _dates(names: Sequence[str], reading: Reading, *, wide: bool) -> str | None:
    return wide_dates(names, reading) if wide else key_column(names, "date", reading.date)


def _asked(texts: _Texts, dates: str | None, reading: Reading) -> pl.Series | None:
    """Mask of the rows that may be asked for; None for all."""
    if dates is None or (reading.start is None and reading.end is None):
        return None
    rows = asked_rows(texts.column(dates), reading)
    return None if rows is None else pl.Series(rows)


def _typed(
    texts: _Texts, keys: Collection[str | None], market: Collection[str], decimal: str, rows: pl.Series | None
) -> pl.DataFrame:
    """Columns with their types; of rows that nobody asks for, only the keys."""
    done: dict[str, pl.Series] = {}
    back = None if rows is None else pl.select(pl.when(rows).then(rows.cum_sum() - 1)).to_series()
    for batch in texts.batches():
        key_cells = as_text(batch.select(n for n in batch.columns if n in keys))
        cells = batch.drop(key_cells.columns)
        if rows is None or back is None:
            columns = typed(cells, decimal=decimal, market=market)
        else:
            columns = typed(cells.filter(rows), decimal=decimal, market=market).select(pl.all().gather(back))
        done |= {n: key_cells[n] if n in keys else columns[n] for n in batch.columns}
    return pl.DataFrame(done)


def _decimal_comma(texts: _Texts, keys: Collection[str | None], table: pl.DataFrame, rows: pl.Series | None) -> bool:
    certain = False
    for batch in texts.batches():
        cells = batch.drop(n for n in batch.columns if n in keys)
        cells = cells if rows is None else cells.filter(rows)
        proven, against = decimal_commas(cells, [table.schema[n] for n in cells.columns])
        if against:
            return False
        certain = certain or proven
    return certain


class _Texts:
    """The cells of a file as columns of text, without blank rows, and without columns that have neither name nor
    content. Few columns are made of them at a time: in all they take several times the file's size.
    """

    def __init__(self, cells: Any, header: Header, *, protected: bool) -> None:
        self._cells = cells
        self._at = {name: i for i, name in enumerate(header.names)}
        self._keep: pl.Series | None = None
        self._protected = protected
        # Lines of bare commas, as spreadsheets leave them, are no rows.
        blank: pl.Series | None = None
        for name in header.names:
            empty = self.column(name) == ""
            blank = empty if blank is None else blank & empty
            if not blank.any():
                break
        else:
            self._keep = None if blank is None else ~blank
        nameless = {n for n in header.unnamed if n and bool((self.column(n) == "").all())}
        self.names = [n for n in header.names if n not in nameless]

    def column(self, name: str) -> pl.Series:
        """One column."""
        texts = pl.from_arrow(self._cells.column(self._at[name]), rechunk=False)
        assert isinstance(texts, pl.Series)
        if self._protected:
            texts = texts.str.replace(_PROTECTED, "${1}")
        return texts if self._keep is None else texts.filter(self._keep)

    def batches(self) -> Iterator[pl.DataFrame]:
        """All columns, some at a time."""
        at_once = max(1, min(_BATCH, _CELLS // max(1, self._cells.num_rows)))
        for start in range(0, len(self.names), at_once):
            part = self.names[start : start + at_once]
            texts = pl.from_arrow(self._cells.select([self._at[n] for n in part]), rechunk=False)
            assert isinstance(texts, pl.DataFrame)
            texts.columns = part
            if self._protected:
                texts = texts.with_columns(pl.all().str.replace(_PROTECTED, "${1}"))
            yield texts if self._keep is None else texts.filter(self._keep)


def _keys(names: Sequence[str], reading: Reading) -> set[str | None]:
    """Columns that hold dates or symbols, or are called so: text."""
    letters = nm.is_bar_of_letters(names)
    named: set[str | None] = {n for n in names if nm.is_key_name(n, letters=letters)}
    keys: tuple[tuple[Literal["date", "symbol"], str | None], ...] = (
        ("date", reading.date),
        ("symbol", reading.symbol),
    )
    for what, chosen in keys:
        key = key_column(names, what, chosen)
        # An index without a name holds dates or numbers the rows: its cells say which.
        if key is not None and (chosen is not None or not nm.is_row_number(key)):
            named.add(key)
    return named


def _market(names: Sequence[str], reading: Reading) -> set[str]:
    """Columns of prices, volumes and the like, as far as their names say."""
    letters = nm.is_bar_of_letters(names)
    asked = {column_called(names, column): role.upper() for role, column in reading.columns.items()}
    fields = {n: asked.get(n) or nm.alias_of(n, letters=letters) or nm.field_name(n) for n in names}
    return {n for n, field in fields.items() if field in MARKET_FIELDS}


def _cells(data: Bytes, header: Header, file: Path) -> Any:
    """All cells as text: a table of Arrow.

    Raises:
        DataError: a row of another length than the header.
    """
    import pyarrow as pa
    from pyarrow import csv

    # Names of the file may be empty, or hold what Arrow takes for an end.
    numbers = [str(i) for i in range(len(header.names))]
    if len(data) == header.start:
        return pa.table([pa.array([], pa.string())] * len(numbers), names=numbers)
    wrong: list[Any] = []

    def judge(row: Any) -> str:
        # Blanks, or separators of a spreadsheet with another number of columns, are no row.
        if not row.text.strip(f"{header.separator} \t\r\n"):
            return "skip"
        wrong.append(row)
        return "error"

    block = _BLOCK
    while True:
        try:
            # One thread: those of the reader may outlive it.
            return csv.read_csv(
                pa.BufferReader(pa.py_buffer(data).slice(header.start)),
                read_options=csv.ReadOptions(column_names=numbers, use_threads=False, block_size=block),
                parse_options=csv.ParseOptions(
                    delimiter=header.separator,
                    newlines_in_values=data.find(b'"', header.start) >= 0,
                    invalid_row_handler=judge,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(numbers, pa.string()), strings_can_be_null=False, check_utf8=False
                ),
            )
        except pa.ArrowInvalid as error:
            if wrong:
                raise DataError(_wrong_row(wrong[0], header, file, last=_is_last(data, wrong[0]))) from error
            if "straddl" in str(error) and block < _LARGEST_BLOCK:
                block = min(block * 16, _LARGEST_BLOCK)
                continue
            raise DataError(f"{file}: cannot be read as CSV: {_first_line(error)}") from error


def _is_last(data: Bytes, row: Any) -> bool:
    text = row.text.encode("utf-8")
    return bool(data[max(0, len(data) - len(text) - 2) :].rstrip(b"\r\n").endswith(text))


def _wrong_row(row: Any, header: Header, file: Path, *, last: bool) -> str:
    have, need = row.actual_columns, len(header.names)
    why = ""
    if have < need:
        why = ": the file is cut short" if last else ": it ends early"
    elif header.separator == ",":
        why = ": a text with commas in it needs quotes, and a decimal comma another separator"
    number = "a row" if row.number is None else f"row {row.number:,}"
    return f"{file}: {number} has {have:,} cells and the header {need:,}{why} ({quoted(row.text)})"


def _refuse_open_quote(data: Bytes, file: Path) -> None:
    """Refuse a file that is cut within a quoted text: its last line has an odd number of quotes, and so has the
    whole."""
    tail = data[max(0, len(data) - (1 << 20)) :]
    line = tail[tail.rfind(b"\n") + 1 :]
    if line.count(b'"') % 2 and bytes(data).count(b'"') % 2:
        raise DataError(
            f"{file}: the last row ends within quotes: the file is cut short ({quoted(line.decode(errors='replace'))})"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
