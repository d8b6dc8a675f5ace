"""Files of values: one for each month, block of factors and append; merged when there are many.

Rows are in the order of dates and symbols, so that a filter on dates reads few row groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fama_fast.errors import OutputError, StoreError
from fama_fast.factor_store.manifest import Segment
from fama_fast.panel.labelled import long_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fama_fast.types import BoolArray, FloatArray

MANY = 32
"""Files a month and block that are merged at the next append, though the month goes on."""

_GROUP_BYTES = 32 << 20


def months_of(dates: Any) -> Any:
    """(T,) the months of dates, as text."""
    return dates.astype("datetime64[M]").astype(str)


class MonthFiles:
    """Writes values that come in the order of dates, one file a month. Use it as a context manager."""

    def __init__(
        self, root: Path, block: str, columns: Sequence[str], stamp: str, engine: str, days: bool, ending: str = ""
    ) -> None:
        self._root, self._block, self._columns = root, block, tuple(columns)
        self._stamp, self._engine, self._days = stamp, engine, days
        self._month, self._ending = "", ending
        self._file: Path | None = None
        self._writer: Any = None
        self._rows = 0
        self.segments: dict[str, Segment] = {}

    def __enter__(self) -> MonthFiles:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._close()
        elif self._writer is not None:
            self._writer.close()

    def put(self, dates: Any, symbols: Any, values: Sequence[FloatArray], present: BoolArray) -> None:
        """Add values of consecutive dates, (rows, N) each."""
        months = months_of(dates)
        step = max(1, _GROUP_BYTES // (8 * max(1, len(symbols) * (len(values) + 3))))
        at = 0
        while at < len(dates):
            stop = at + 1
            while stop < min(len(dates), at + step) and months[stop] == months[at]:
                stop += 1
            rows = slice(at, stop)
            columns = {c: v[rows] for c, v in zip(self._columns, values, strict=True)}
            self.write(str(months[at]), long_frame(dates[rows], symbols, columns, present[rows], days=self._days))
            at = stop

    def write(self, month: str, frame: pl.DataFrame) -> None:
        """Write rows of one month."""
        if frame.is_empty():
            return
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        try:
            if month != self._month:
                self._close()
                folder = self._root / "values" / self._block / f"month={month}"
                folder.mkdir(parents=True, exist_ok=True)
                self._month, self._rows = month, 0
                self._file = folder / f"{self._stamp}-{month}{self._ending}.parquet"
                self._writer = pq.ParquetWriter(
                    self._file,
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=["date", "symbol"],
                    write_statistics=["date", "symbol"],
                )
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        except OSError as error:
            raise OutputError(f"cannot write {self._root}: {error.strerror or error}") from error
        self._rows += frame.height

    def _close(self) -> None:
        if self._writer is None or self._file is None:
            return
        self._writer.close()
        self.segments[self._month] = Segment(self._file.relative_to(self._root).as_posix(), self._rows, self._engine)
        self._writer = None


def merge(root: Path, block: str, month: str, segments: Sequence[Segment], stamp: str, days: bool) -> Segment:
    """Merge several files of consecutive rows into one.

    Raises:
        StoreError: a file that cannot be read.
    """
    with MonthFiles(root, block, (), stamp, segments[-1].engine, days, "-merged") as files:
        for segment in segments:
            files.write(month, read_segment(root, segment))
    return files.segments[month]


def read_segment(root: Path, segment: Segment, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a file.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        frame = pl.from_arrow(pq.ParquetFile(root / segment.file).read(columns=columns))
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{root / segment.file}: the store is damaged: {str(error).splitlines()[0]}") from error
    assert isinstance(frame, pl.DataFrame)
    return frame
