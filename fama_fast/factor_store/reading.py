"""Reads a store: its factors, its dates, and values as a lazy frame."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import StoreError, UnknownName, nearest_name
from fama_fast.factor_store.manifest import Manifest, Partition, StoredFactor, read_manifest
from fama_fast.panel.calendar import read_when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.panel.calendar import When


def open_store(path: str | Path) -> FactorStore:
    """Open the factor store in a folder, as it is now: a writer's later commits show when it is opened again.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    root = Path(path).expanduser()
    manifest = read_manifest(root)
    if manifest is None:
        what = "the folder does not exist" if not root.exists() else "nothing was ever stored there"
        raise StoreError(f"{root} is no factor store: {what}")
    return FactorStore(root, manifest)


class FactorStore:
    """One state of a store, for reading.

    Attributes:
        path: its folder. manifest: all that is known of it.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def factors(self) -> tuple[StoredFactor, ...]:
        """The factors, in the order they were added."""
        return self.manifest.factors

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f.name for f in self.manifest.factors)

    @functools.cached_property
    def dates(self) -> Any:
        """(T,) the data's dates, ascending, datetime64."""
        return self.manifest.dates

    def factor(self, name: str) -> StoredFactor:
        """A factor by its name or its fingerprint.

        Raises:
            UnknownName: with the nearest name.
        """
        for stored in self.manifest.factors:
            if name in (stored.name, stored.fingerprint):
                return stored
        raise UnknownName(
            f"{self.path}: the store has no factor {name!r} (it has {len(self.names)}: {_some(self.names)})",
            suggestion=nearest_name(name, self.names),
        )

    def scan(
        self, names: Sequence[str] | None = None, *, start: When | None = None, end: When | None = None
    ) -> pl.LazyFrame:
        """Values as a lazy frame: date, symbol and one Float64 column a factor, by date and symbol; missing is null.

        Rows are where the data have a symbol that date, or a factor has a value. Nothing is read but the columns asked
        for, of the months between `start` and `end` (both included); a filter on `date` skips row groups besides.
        Factors that were added at different times lie in different files, which are joined.

        Args:
            names: names or fingerprints, default all; a column has the name asked for.

        Raises:
            UnknownName: a factor that is not there. DataError: a date that is none.
        """
        if isinstance(names, str):
            raise TypeError("scan takes a list of names; for one, use [name]")
        wanted = list(self.names) if names is None else list(dict.fromkeys(names))
        by_block: dict[str, dict[str, str]] = {}
        for name in wanted:
            factor = self.factor(name)
            by_block.setdefault(factor.block, {})[name] = factor.fingerprint
        low = None if start is None else read_when(start, "start")
        high = None if end is None else read_when(end, "end").astype("datetime64[D]")
        months = [p for p in self.manifest.partitions if _meets(p, low, high)]
        frames = [self._block(block, columns, months, low, high) for block, columns in by_block.items()]
        if not frames:
            raise StoreError(f"{self.path}: no factor was asked for")
        out = frames[0]
        for other in frames[1:]:
            out = out.join(other, on=["date", "symbol"], how="full", coalesce=True)
        if len(frames) > 1:
            out = out.sort("date", "symbol")
        return out.select("date", "symbol", *wanted)

    def _block(
        self, block: str, columns: dict[str, str], months: Sequence[Partition], low: Any, high: Any
    ) -> pl.LazyFrame:
        when = pl.Date() if self.manifest.settings.days else pl.Datetime("us")
        files = [self.path / s.file for p in months for s in p.values.get(block, ())]
        if not files:
            empty = {"date": when, "symbol": pl.String(), **dict.fromkeys(columns, pl.Float64())}
            return pl.LazyFrame(schema=empty)
        frame = pl.scan_parquet(files, hive_partitioning=False)
        if low is not None:
            frame = frame.filter(pl.col("date") >= pl.lit(low.astype("datetime64[us]")).cast(when))
        if high is not None:
            # A plain last date takes in all its hours.
            after = (high + np.timedelta64(1, "D")).astype("datetime64[us]")
            frame = frame.filter(pl.col("date") < pl.lit(after).cast(when))
        return frame.select("date", "symbol", **{name: pl.col(column) for name, column in columns.items()})

    def __repr__(self) -> str:
        days = self.dates
        span = f"{days[0]}..{days[-1]}" if len(days) else "empty"
        return f"FactorStore({self.path}: {len(self.names)} factors, {len(days)} dates, {span})"


def _meets(partition: Partition, low: Any, high: Any) -> bool:
    month = np.datetime64(partition.month, "M")
    return (low is None or month >= low.astype("datetime64[M]")) and (
        high is None or month <= high.astype("datetime64[M]")
    )


def _some(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
