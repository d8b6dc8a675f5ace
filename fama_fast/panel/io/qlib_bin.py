"""Reads qlib's folder of `.bin` files.

- `calendars/day.txt`: one market day a line.
- `instruments/all.txt`, `csi300.txt`, ...: a line `SYMBOL<tab>first day<tab>last day` for each spell in the index, both
  days included. `all.txt` lists the symbols and when they trade; the others are universes by date.
- `features/<symbol>/<field>.day.bin`: little-endian float32; the first number is the place in the calendar of the
  first value, the others are the values of the days from there on, NaN where there is none.

As in qlib, what lies outside a symbol's spells in `all.txt` is not read.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import DataError, nearest_name
from fama_fast.panel.io.cells import BLOCK_CELLS, CellSource
from fama_fast.panel.keys import dates_to_numpy, read_dates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fama_fast.types import BoolArray, FloatArray, IntArray

ALL = "all"
_DAY = "day"
_SHOWN = 5
# Names that Windows keeps for itself; qlib writes a prefix before them.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"COM{i}" for i in range(10)), *(f"LPT{i}" for i in range(10))}
_PREFIX = "_qlib_"


@dataclass(frozen=True)
class Spells:
    """The spells of symbols in an index: `first` and `last` of each, both included (datetime64[D]).

    `notes` says which spells hold no day, since they end before they start.
    """

    symbols: tuple[str, ...]
    first: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    last: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    notes: tuple[str, ...] = ()

    @property
    def end(self) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
        """The first day after each spell."""
        return np.maximum(self.last + np.timedelta64(1, "D"), self.first)


def is_qlib(path: str | Path) -> bool:
    """Whether a folder has qlib's layout: `features/` beside `calendars/` or `instruments/`."""
    try:
        place = Path(path).expanduser()
        return (place / "features").is_dir() and any((place / n).is_dir() for n in ("calendars", "instruments"))
    except OSError:
        return False


def qlib_near(path: str | Path) -> Path | None:
    """A qlib folder above or directly below a folder that is not one."""
    place = Path(path).expanduser()
    if not place.is_dir():
        return None
    near = [place.absolute().parent, place.absolute().parent.parent, *sorted(p for p in place.iterdir() if p.is_dir())]
    return next((p for p in near if is_qlib(p)), None)


def indices(path: str | Path) -> dict[str, Path]:
    """The index files of a qlib folder, by their names in lower case."""
    folder = Path(path).expanduser() / "instruments"
    if not folder.is_dir():
        return {}
    return {f.stem.lower(): f for f in sorted(folder.iterdir()) if f.suffix.lower() == ".txt" and f.name[0] not in "._"}


def index_file(path: str | Path, name: str) -> Path | None:
    """The index file that a universe's name stands for, None if there is none of that name."""
    return indices(path).get(name.strip().lower().removesuffix(".txt"))


def is_field(path: str | Path, name: str) -> bool:
    """Whether a symbol of the folder has a file of this field."""
    return any(True for _ in (Path(path).expanduser() / "features").glob(f"*/{glob.escape(name.lower())}.*.bin"))


def no_index(path: str | Path, name: str) -> str:
    """The error message where a universe is neither an index of the folder nor one of its fields."""
    have = list(indices(path))
    near = nearest_name(name.lower(), have)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{path}: there is no index {name!r} in instruments/ (there are {', '.join(have) or 'none'}){hint}"


def read_spells(file: Path) -> Spells:
    """Read an index file.

    Raises:
        DataError: a line that is no spell.
    """
    symbols: list[str] = []
    days: list[list[str]] = [[], []]
    lines: list[int] = []
    for number, line in enumerate(_lines(file), start=1):
        parts = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        if len(parts) < 3 or not parts[0].strip():
            raise DataError(
                f"{file} line {number:,}: {line.strip()!r} is not SYMBOL, first day and last day, with tabs between"
            )
        symbols.append(parts[0].strip().upper())
        for target, text in zip(days, parts[1:3], strict=True):
            target.append(text.strip()[:10])
        lines.append(number)
    if not symbols:
        raise DataError(f"{file}: no symbol is listed")
    first, last = (
        dates_to_numpy(
            read_dates(pl.Series(name, texts), source=str(file), locate=lambda row: f"line {lines[row]:,}")
        ).astype("datetime64[D]")
        for name, texts in zip(("first day", "last day"), days, strict=True)
    )
    # qlib's own index files have such lines, for companies that went out on the day on which they came in.
    none = np.flatnonzero(last < first)
    said = [f"{symbols[r]} (line {lines[r]:,})" for r in none.tolist()]
    noun = "spell ends" if none.size == 1 else "spells end"
    notes = (f"{file.name}: {none.size:,} {noun} before they start and hold no day: {_some(said)}",) if said else ()
    return Spells(tuple(symbols), first, last, notes)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


class QlibFolder(CellSource):
    """Reads a qlib folder as rows of market data; fields have the names of the files, without `$`.

    Attributes: as of `CellSource`; and frequency: the calendar's name, `day`.
    """

    def __init__(self, path: str | Path, *, block_cells: int = BLOCK_CELLS) -> None:
        """Reads the calendar, the list of symbols, and every value once.

        Raises:
            DataError: a part of the folder is missing, a line that is no day or no spell, a `.bin` file that is cut or
                does not fit the calendar.
        """
        self.folder = Path(path).expanduser()
        self.frequency, other_calendars = _frequency(self.folder)
        calendar = _calendar(self.folder / "calendars" / f"{self.frequency}.txt")
        listed, index = _listed(self.folder)
        folders = _feature_folders(self.folder / "features")
        self._notes = listed.notes
        symbols = [s for s in dict.fromkeys(listed.symbols) if s in folders]
        if not symbols:
            raise DataError(f"{path}: no symbol of instruments/{index}.txt has a folder in features/")
        self._files = self._find(folders, symbols, len(calendar))
        self._present = self._find_values(calendar, symbols)
        inside = _inside(listed, calendar, symbols)
        self._outside = int(np.count_nonzero(self._present & ~inside))
        self._present &= inside
        self._lacking = [s for s in dict.fromkeys(listed.symbols) if s not in folders]
        parts = [f"qlib folder, {self.frequency} calendar", f"{len(symbols):,} symbols of instruments/{index}.txt"]
        left_out = [*(f"calendars/{c}.txt" for c in other_calendars)]
        known = set(listed.symbols)
        left_out += [f"features/{f.name}" for s, f in folders.items() if s not in known]
        if left_out:
            parts.append(f"{len(left_out):,} left out ({_some(left_out)})")
        kinds = {field: pl.Float64() for field in sorted(self._files)}
        super().__init__(str(path), "; ".join(parts), calendar, symbols, kinds, block_cells=block_cells)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was let pass."""
        said = [*self._notes]
        if self._lacking:
            said.append(f"{len(self._lacking):,} listed symbols have no folder in features/: {_some(self._lacking)}")
        if self._outside:
            said.append(f"{self._outside:,} days of symbols lie outside their spells in instruments/ and are not read")
        return (*said, *super().warnings)

    def present(self, low: int, high: int) -> BoolArray:
        """(dates, N) mask of the cells of dates [low, high) that are rows."""
        return self._present[low:high]

    def numbers(self, field: str, low: int, high: int) -> FloatArray:
        """(dates, N) values of a field on dates [low, high), NaN where missing."""
        # Filled a symbol at a time, so symbols are the rows here.
        out = np.full((len(self.symbols), high - low), np.nan, dtype=np.float32)
        for at, (file, start, count) in self._files[field].items():
            first, last = max(low, start), min(high, start + count)
            if first < last:
                out[at, first - low : last - low] = _values(file, first - start, last - first)
        return np.ascontiguousarray(out.T, dtype=np.float64)

    def labels(self, field: str, low: int, high: int) -> pl.Series:
        """No labels: a qlib folder has none."""
        raise DataError(f"{self.source}: {field} holds numbers")

    def fingerprint(self) -> Iterator[str]:
        """Hash of all files' bytes."""
        for field, files in self._files.items():
            digest = hashlib.blake2b(field.encode(), digest_size=16)
            for at, (file, _, _) in files.items():
                digest.update(self.symbols[at].encode())
                digest.update(file.read_bytes())
            yield digest.hexdigest()

    def _find(
        self, folders: dict[str, Path], symbols: Sequence[str], days: int
    ) -> dict[str, dict[int, tuple[Path, int, int]]]:
        """The file of each field and number of a symbol, the place of its first value in the calendar, and how many."""
        ending = f".{self.frequency}.bin"
        files: dict[str, dict[int, tuple[Path, int, int]]] = {}
        for at, symbol in enumerate(symbols):
            with os.scandir(folders[symbol]) as entries:
                names = sorted(e.name for e in entries if e.name.lower().endswith(ending) and e.name[0] not in "._")
            for name in names:
                file = folders[symbol] / name
                files.setdefault(name.lower()[: -len(ending)], {})[at] = (file, *_span(file, days))
        if not files:
            raise DataError(
                f"{self.folder}: no file in features/ ends in {ending}, as calendars/{self.frequency}.txt asks for"
            )
        return files

    def _find_values(self, calendar: pl.Series, symbols: Sequence[str]) -> BoolArray:
        """(T, N) mask of the cells that have a value of any field."""
        present: BoolArray = np.zeros((len(symbols), len(calendar)), dtype=np.bool_)
        for files in self._files.values():
            for at, (file, start, count) in files.items():
                present[at, start : start + count] |= ~np.isnan(_values(file, 0, count))
        return np.ascontiguousarray(present.T)


def _frequency(folder: Path) -> tuple[str, list[str]]:
    """The calendar to read, `day` if there is one, and the names of the others."""
    place = folder / "calendars"
    names = sorted(f.stem for f in place.glob("*.txt") if f.name[0] not in "._") if place.is_dir() else []
    # qlib keeps days to come in a file of their own.
    known = [n for n in names if not n.endswith("_future")]
    if not known:
        raise DataError(f"{folder}: there is no calendars/{_DAY}.txt, which lists the market days")
    if _DAY not in known and len(known) > 1:
        raise DataError(f"{folder}: which calendar, {' or '.join(known)}? There is no calendars/{_DAY}.txt")
    chosen = _DAY if _DAY in known else known[0]
    return chosen, [n for n in known if n != chosen]


def _calendar(file: Path) -> pl.Series:
    lines = [(number, text.strip()) for number, text in enumerate(_lines(file), start=1) if text.strip()]
    if not lines:
        raise DataError(f"{file}: no day is listed")
    # qlib writes a moment with a space or a T.
    texts = pl.Series("date", [text.replace(" ", "T") for _, text in lines])
    dates = read_dates(texts, source=str(file), locate=lambda row: f"line {lines[row][0]:,}")
    steps = dates.to_physical().diff().to_numpy()[1:]
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        row = int(wrong[0]) + 1
        raise DataError(f"{file} line {lines[row][0]:,}: {dates[row]} does not come after {dates[row - 1]}")
    return dates


def _listed(folder: Path) -> tuple[Spells, str]:
    """The list of symbols with their spells, and its name: `all`, or else the only index that there is."""
    have = indices(folder)
    if ALL not in have and len(have) != 1:
        others = f" (there are {', '.join(have)})" if have else ""
        raise DataError(f"{folder}: there is no instruments/{ALL}.txt, which lists the symbols{others}")
    name = ALL if ALL in have else next(iter(have))
    return read_spells(have[name]), name


def _feature_folders(place: Path) -> dict[str, Path]:
    """Folders of features by their symbols, in upper case."""
    folders: dict[str, Path] = {}
    with os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            name = entry.name
            reserved = name.lower().startswith(_PREFIX) and name[len(_PREFIX) :].upper() in _RESERVED
            if not entry.is_dir() or (name[0] in "._" and not reserved):
                continue
            symbol = (name[len(_PREFIX) :] if reserved else name).upper()
            if symbol in folders:
                raise DataError(f"{place}: {folders[symbol].name} and {name} would both be the symbol {symbol!r}")
            folders[symbol] = Path(entry.path)
    return folders


def _span(file: Path, days: int) -> tuple[int, int]:
    """The place in the calendar of a file's first value, and how many values it has."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    if size < 4 or size % 4:
        raise DataError(f"{file}: the file is cut: {size:,} bytes are not a whole number of 4-byte values with a start")
    start = float(np.frombuffer(head, dtype="<f4")[0])
    count = size // 4 - 1
    if not (start >= 0 and start.is_integer()):
        raise DataError(f"{file}: the first number must be a place in the calendar (0, 1, ...), not {start}")
    if int(start) + count > days:
        raise DataError(
            f"{file}: {count:,} values from day {int(start) + 1:,} of the calendar on go beyond its {days:,} days"
        )
    return int(start), count


def _values(file: Path, first: int, count: int) -> Any:
    try:
        values = np.fromfile(file, dtype="<f4", count=count, offset=4 * (1 + first))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    if values.size != count:
        raise DataError(f"{file}: the file has changed while it was read")
    return values


def _inside(spells: Spells, calendar: pl.Series, symbols: Sequence[str]) -> BoolArray:
    """(T, N) mask of the days on which the symbols are listed."""
    position = {s: i for i, s in enumerate(symbols)}
    column = np.array([position.get(s, -1) for s in spells.symbols], dtype=np.int64)
    known = column >= 0
    end = spells.end[known]
    days = dates_to_numpy(calendar).astype("datetime64[D]")
    return days_in_spells(days, column[known], spells.first[known], end, len(symbols))


def days_in_spells(days: Any, column: IntArray, first: Any, end: Any, width: int) -> BoolArray:
    """(T, `width`) mask of the days (datetime64[D], ascending) that lie in a spell [first, end) of the symbol in
    `column`."""
    # +1 where a spell begins and -1 where it ends; the running sum counts the spells that a day lies in.
    steps = np.zeros((len(days) + 1, width), dtype=np.int32)
    np.add.at(steps, (np.searchsorted(days, first), column), 1)
    np.add.at(steps, (np.searchsorted(days, end), column), -1)
    inside: BoolArray = np.cumsum(steps[:-1], axis=0) > 0
    return inside


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
