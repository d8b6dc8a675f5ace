"""Market data larger than memory: the axes are known, rows are read on demand.

1. `Dataset` opens the files, gives columns their roles and reads the keys once: the dates and symbols of the whole
   data, the labels of its groups, and whether rows come in the order of dates (`survey`).
2. A `Reader` gives any dates as a dense `Panel`. Where rows are ordered by date it goes on from where it stopped, so
   that consecutive reads decode each row once, whatever the size of the row groups; otherwise each read decodes the row
   groups that hold its dates.
3. Which rows count is decided from the keys (`choose_parts`); a reader passes over the others.

The panels are those that reading everything at once would give, cut to the dates.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fama_fast.errors import DataError, UnknownName, listed, nearest_name
from fama_fast.panel.choose_parts import choose_keys, dates_of
from fama_fast.panel.columns import assign_columns
from fama_fast.panel.digest import content_hash
from fama_fast.panel.groups import GroupField
from fama_fast.panel.io.open import open_rows
from fama_fast.panel.noticed import Noticed
from fama_fast.panel.panel import Panel, read_dtype
from fama_fast.panel.reader import Reader as Reader  # noqa: PLC0414  (part of this module's interface)
from fama_fast.panel.reading import Reading, ReadingOptions, reading_of
from fama_fast.panel.survey import only_groups
from fama_fast.types import DERIVED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fama_fast.panel.io.source import RowSource
    from fama_fast.panel.reader import Join
    from fama_fast.types import BoolArray, FloatArray, IntArray


_MEMORY = 1 << 30  # for reading everything once, when nobody says how much


class Dataset:
    """A Parquet data set that is read in parts; it has the axes and the names of a `Panel`, and no values.

    Attributes:
        dates, symbols: as of a `Panel`. fields, supplied_fields, groups: names. has_universe: members differ by date.
        ordered: rows come in the order of dates, so that one pass reads them all. rows: how many there are.
        dtype: of the fields of panels that are read. reading: how they are read. source: the path.
        origin: as of a `Panel`.
    """

    def __init__(
        self,
        path: str | Path | RowSource,
        *,
        fields: Iterable[str] | None = None,
        groups: Iterable[str] | None = None,
        universe: str | None = None,
        dtype: Any = np.float64,
        join: Join | None = None,
        reading: Reading | None = None,
        **options: Unpack[ReadingOptions],
    ) -> None:
        """Opens a Parquet file, folder (hive-partitioned or not), glob or URI and reads its keys.

        Args:
            fields, groups, universe, dtype, reading, options: as for `panel_from_frame`.
            join: what to add to each panel that is read (a universe, group fields), on its dates alone.

        Raises:
            DataError: as `panel_from_frame`; text in place of numbers is found when it is read.
        """
        self.dtype = read_dtype(dtype)
        self.reading = reading or reading_of(**options)
        self.files: RowSource = path if not isinstance(path, str | Path) else open_rows(path, self.reading)
        self.source = self.files.source
        names = None if fields is None else tuple(fields)
        group_names = None if groups is None else tuple(groups)
        self.columns = assign_columns(
            self.files.schema,
            fields=names,
            groups=group_names,
            universe=universe,
            reading=self.reading,
            source=self.source,
        )
        if names is None and not self.columns.fields:
            raise DataError(f"{self.source}: there is no column of numbers (columns: {listed(self.files.schema)})")
        chosen = choose_keys(self.files, self.columns, self.reading)
        self.decoder, self.survey, self._said = chosen.decoder, chosen.survey, chosen.warnings
        if group_names is None:
            self.columns = only_groups(self.columns, self.survey)
        self.moments = self.survey.moments
        self.dates = dates_of(self.moments)
        self.symbols = np.asarray(self.survey.symbols.to_list(), dtype=object)
        self.join = join
        self.origin: dict[str, Any] | None = None
        self._hash: str | None = None
        self._noticed, self._first = Noticed(self.dates.size), 0
        self._example: Panel | None = None
        if join is not None:
            blank = np.full((1, self.symbols.size), np.nan)
            own = {g: GroupField.view(blank, self.survey.labels[g]) for g in self.columns.groups}
            empty = Panel(self.dates[:1], self.symbols, {}, groups=own, source=self.source, dtype=self.dtype)
            self._example = join(empty)

    @property
    def layout(self) -> str:
        """The layout of the data at the path, for the first line that is printed; empty for a plain file."""
        return self.files.layout

    @property
    def shape(self) -> tuple[int, int]:
        """(T dates, N symbols)."""
        return self.dates.size, self.symbols.size

    @property
    def rows(self) -> int:
        """Number of rows of the data between the dates asked for."""
        return self.survey.rows

    @property
    def ordered(self) -> bool:
        """Whether rows come in the order of dates."""
        return self.survey.ordered

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last date of each row group of `files`, microseconds since 1970."""
        return self.survey.spans

    @property
    def supplied_fields(self) -> tuple[str, ...]:
        """Numeric fields that the data carries."""
        joined = () if self._example is None else self._example.supplied_fields
        return tuple(dict.fromkeys((*self.columns.fields, *joined)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Supplied fields, then those that can be derived from them."""
        have = self.supplied_fields
        extra = (d.name for d in DERIVED_FIELDS.values() if d.name not in have and all(i in have for i in d.inputs))
        return (*have, *extra)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group fields."""
        joined = () if self._example is None else self._example.groups
        return tuple(dict.fromkeys((*self.columns.groups, *joined)))

    @property
    def has_universe(self) -> bool:
        """Whether there is a universe of members."""
        joined = self._example is not None and self._example.universe is not None
        return self.columns.universe is not None or joined

    @property
    def sessions(self) -> IntArray:
        """(T,) number of each row's session; see `Panel.sessions`."""
        return Panel(self.dates, self.symbols[:1], {}).sessions

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.upper() in self.fields

    def group(self, name: str) -> None:
        """Check that the data have a group field.

        Raises:
            UnknownName: with the nearest one.
        """
        if name.upper() not in self.groups:
            have = f"it has {listed(self.groups)}" if self.groups else "it has none: join a group file"
            raise UnknownName(
                f"the data has no group field {name!r} ({have})", suggestion=nearest_name(name, self.groups)
            )

    def need(self, name: str) -> None:
        """Check that the data have a field.

        Raises:
            UnknownName: with the nearest one.
        """
        if name not in self:
            raise UnknownName(
                f"the data has no field {name!r} (it has {listed(self.fields)})",
                suggestion=nearest_name(name, self.fields),
            )

    def slice_dates(self, start: int, stop: int) -> Dataset:
        """Rows [start, stop) as a data set of their own, of the same symbols and labels; nothing is read.

        Its `rows` and `spans` stay those of the whole.
        """
        part = copy.copy(self)
        part.dates, part.moments = self.dates[start:stop], self.moments[start:stop]
        part._first, part._hash, part.origin = self._first + start, None, None
        return part

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is let pass: of the columns and keys, and of the values that were read so far."""
        joined = () if self._example is None else self._example.warnings
        first, stop = self._first, self._first + self.dates.size
        return (
            *self.files.warnings,
            *self.columns.said,
            *self._said,
            *self._noticed.warnings(self.columns.fields, first, stop),
            *joined,
        )

    @property
    def members(self) -> IntArray:
        """(T,) number of members of the universe on the dates that were read so far, -1 on others."""
        return self._noticed.members[self._first : self._first + self.dates.size]

    def notice_members(self, start: int, universe: BoolArray) -> None:
        """Record a reader's universe (rows, N) on the dates from `start` on."""
        rows = slice(self._first + start, self._first + start + len(universe))
        self._noticed.members[rows] = np.count_nonzero(universe, axis=1)

    def noticed(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The counts of what was let pass on the dates [start, stop) of the data, for `take_notice` of the same data
        elsewhere."""
        return self._noticed.part(self._first + start, self._first + stop)

    def take_notice(self, start: int, part: list[dict[str, Any]]) -> None:
        """Add the counts made elsewhere of the dates from `start` on."""
        self._noticed.merge(self._first + start, part)

    def notice(self, name: str, start: int, values: FloatArray, infinite: IntArray | None) -> None:
        """Count a reader's values (rows, N) of a field from date `start` on, and how many infinite ones each date
        had."""
        self._noticed.take(name, self._first + start, values, infinite)

    def read_through(self, memory: int) -> None:
        """Read every value once, within about `memory` bytes: `data_hash` is known then, and all `warnings`.

        Raises:
            DataError: from reading.
        """
        if self._hash is None:
            self._hash = content_hash(self, memory)

    @property
    def data_hash(self) -> str:
        """The hash that `Panel.data_hash` has of these data in memory; the first time, everything is read.

        Raises:
            DataError: from reading.
        """
        self.read_through(_MEMORY)
        assert self._hash is not None
        return self._hash

    def reader(self, fields: Iterable[str] | None = None, groups: Iterable[str] | None = None) -> Reader:
        """A reader of these fields and groups (None: all) and of the universe."""
        return Reader(
            self, self.supplied_fields if fields is None else fields, self.groups if groups is None else groups
        )

    def panel(self) -> Panel:
        """The whole data as a panel in memory.

        Raises:
            DataError: as `panel_from_frame`.
        """
        whole_panel = self.reader().read(0, len(self.dates))
        whole_panel.warnings = self.warnings
        whole_panel.layout, whole_panel.origin = self.layout, self.origin
        return whole_panel

    def __repr__(self) -> str:
        t, n = self.shape
        return f"Dataset({self.source}: {t} dates x {n} symbols, {self.dates[0]}..{self.dates[-1]})"
