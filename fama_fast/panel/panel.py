"""The dense panel: one array of T dates x N symbols a field (float64, or float32), the universe, the groups.

Missing is NaN, and only NaN: infinities become missing here. RET and VWAP are derived when the data lacks
them.
This module knows nothing of files (see `ingest` and `fama_fast.data`) nor of operators.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fama_fast.arguments import frozen, numbers, shown, truths
from fama_fast.errors import ConfigError, DataError, UnknownName, listed, nearest_name
from fama_fast.panel.axes import by_upper_name, read_panel_dates, read_panel_symbols
from fama_fast.panel.groups import GroupField
from fama_fast.types import DERIVED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    import polars as pl

    from fama_fast.panel.market_data import MarketData
    from fama_fast.types import BoolArray, FloatArray, IntArray


DTYPES = ("float64", "float32")


def read_dtype(dtype: Any) -> np.dtype[Any]:
    """float64 or float32 as a NumPy type.

    Raises:
        ConfigError: another type.
    """
    kind: np.dtype[Any] | None = None
    with contextlib.suppress(TypeError):
        kind = np.dtype(dtype)
    if dtype is None or kind is None or kind.name not in DTYPES:
        raise ConfigError(f"dtype must be {' or '.join(DTYPES)}, not {shown(dtype)}")
    return kind.newbyteorder("=")


def _dense(name: str, values: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> FloatArray:
    # What float32 cannot hold becomes infinite, and so missing.
    array: FloatArray = numbers(values, f"field {name}", dtype=dtype, copy=True)
    _check_shape(name, array, shape)
    array[~np.isfinite(array)] = np.nan
    array.flags.writeable = False
    return array


def _as_it_is(name: str, values: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> FloatArray:
    plain = isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray | np.matrix)
    plain = plain and values.flags.c_contiguous and values.flags.aligned
    if not plain or values.dtype != dtype:
        raise DataError(f"field {name} must be a plain C-contiguous {dtype} array where it is not copied")
    _check_shape(name, values, shape)
    array: FloatArray = values
    return array


def _check_shape(name: str, array: Any, shape: tuple[int, int]) -> None:
    if array.shape != shape:
        raise DataError(f"field {name} has shape {array.shape}, not (dates, symbols) = {shape}")


def derive(name: str, get: Mapping[str, FloatArray]) -> FloatArray:
    """RET or VWAP from prices, computed in float64 and kept in the prices' type; read-only.

    RET is missing where a close is zero or below.
    """
    close = get["CLOSE"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if name == "RET":
            # A price of zero or below is no price.
            price = np.where(close > 0.0, close, np.nan)
            out = np.full(close.shape, np.nan)
            np.divide(price[1:], price[:-1], out=out[1:], dtype=np.float64)
            out[1:] -= 1.0
        else:
            out = np.add(get["HIGH"], get["LOW"], dtype=np.float64)
            out += close
            out /= 3.0
    return _dense(name, out, (len(out), close.shape[1]), close.dtype)


class Panel:
    """Market data as dense arrays.

    Attributes:
        dates: (T,) numpy datetime64, ascending, unique. symbols: (N,) str, unique.
        universe: (T, N) bool, or None when every symbol is always a member.
        dtype: of the fields, float64 or float32. Everything computed from float32 fields is computed in float64;
            what they lose is in the rounding of the data (relative 6e-8).
        warnings: what ingestion counted and let pass.
        source: where the data came from, for reports. layout: how they lay there (`12 files`, `wide tables: close,
            volume`), empty for a plain file. origin: how to load them again, see `data.origin`; None of data that were
            made in memory, or changed since.

    `panel["CLOSE"]` is the (T, N) array of a field, read-only, case-insensitive; RET and VWAP are derived from prices
    when they are not supplied.
    """

    def __init__(
        self,
        dates: Any,
        symbols: Any,
        fields: Mapping[str, Any],
        *,
        universe: Any = None,
        groups: Mapping[str, GroupField] | None = None,
        warnings: Sequence[str] = (),
        source: str = "memory",
        layout: str = "",
        dtype: Any = np.float64,
        copy: bool = True,
    ) -> None:
        """A panel of copies of the arrays given; with `copy=False`, of the arrays themselves: fields must then be
        C-contiguous, of `dtype`, without infinities, and nobody may write to them any more.
        """
        self.dtype = read_dtype(dtype)
        self.dates = read_panel_dates(dates)
        self.symbols = read_panel_symbols(symbols)
        if self.dates.size == 0 or self.symbols.size == 0:
            raise DataError(f"{source}: no rows: a panel needs at least one date and one symbol")
        self._fields: dict[str, FloatArray] = {}
        take = _dense if copy else _as_it_is
        for name, values in by_upper_name(fields, "fields").items():
            self._fields[name] = take(name, values, self.shape, self.dtype)
        self._derived: dict[str, FloatArray] = {}
        self._groups: dict[str, GroupField] = by_upper_name(groups or {}, "groups")
        for name, g in self._groups.items():
            if not isinstance(g, GroupField):
                raise DataError(f"group {name} must be a GroupField of codes and labels, not {shown(g)}")
            if g.codes.shape != self.shape:
                raise DataError(f"group {name} has shape {g.codes.shape}, not (dates, symbols) = {self.shape}")
        self.universe: BoolArray | None = None
        if universe is not None:
            mask = truths(universe, "the universe mask", copy=copy)
            if mask.shape != self.shape:
                raise DataError(f"the universe mask has shape {mask.shape}, not (dates, symbols) = {self.shape}")
            self.universe = frozen(mask)
        self.warnings = tuple(warnings)
        self.source = source
        self.layout = layout
        self.origin: dict[str, Any] | None = None
        self._hash: str | None = None

    @classmethod
    def from_frame(cls, frame: MarketData, **options: Any) -> Panel:
        """A panel from a long frame (`date`, `symbol`, fields), of Polars, pandas or Arrow, or wide frames by field.

        Options and errors: `ingest.panel_from_data`, which also takes a path.
        """
        from fama_fast.panel.ingest import panel_from_data

        return panel_from_data(frame, **options)

    @classmethod
    def from_parquet(cls, path: str | Path, **options: Any) -> Panel:
        """A panel from a long Parquet file, directory or glob; options and errors: `ingest.panel_from_data`."""
        from fama_fast.panel.ingest import panel_from_data

        return panel_from_data(path, **options)

    @property
    def shape(self) -> tuple[int, int]:
        """(T dates, N symbols)."""
        return self.dates.size, self.symbols.size

    @property
    def supplied_fields(self) -> tuple[str, ...]:
        """Numeric fields that the data carries, in its order."""
        return tuple(self._fields)

    @property
    def fields(self) -> tuple[str, ...]:
        """Supplied fields, then those that can be derived from them."""
        extra = (
            d.name
            for d in DERIVED_FIELDS.values()
            if d.name not in self._fields and all(i in self._fields for i in d.inputs)
        )
        return (*self._fields, *extra)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group fields."""
        return tuple(self._groups)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.upper() in self.fields

    def __getitem__(self, name: str) -> FloatArray:
        key = name.upper()
        if key not in self._fields and key not in self._derived:
            self._derived[key] = self.read(key)
        return self._fields[key] if key in self._fields else self._derived[key]

    def read(self, name: str) -> FloatArray:
        """`panel[name]`, without caching a derived field: for callers that make their own copy."""
        key = name.upper()
        if key in self._fields:
            return self._fields[key]
        if key in self._derived:
            return self._derived[key]
        if key not in self.fields:
            raise UnknownName(
                f"the data has no field {name!r} (it has {listed(self.fields)})",
                suggestion=nearest_name(name, self.fields),
            )
        return derive(key, self._fields)

    def group(self, name: str) -> GroupField:
        """Codes and labels of a group field."""
        field = self._groups.get(name.upper())
        if field is None:
            have = f"it has {listed(self.groups)}" if self.groups else "it has none: join a group file"
            raise UnknownName(
                f"the data has no group field {name!r} ({have})", suggestion=nearest_name(name, self.groups)
            )
        return field

    @property
    def data_hash(self) -> str:
        """Hex digest of dates, symbols, supplied fields, groups and universe: equal data, equal hash."""
        if self._hash is None:
            h = hashlib.blake2b(digest_size=16)
            h.update(np.ascontiguousarray(self.dates.astype("datetime64[us]").astype(np.int64)).data)
            h.update("\0".join(self.symbols).encode())
            for name in sorted(self._fields):
                h.update(f"\0field {name}\0".encode())
                h.update(np.add(self._fields[name], 0.0, dtype=np.float64).data)
            for name in sorted(self._groups):
                g = self._groups[name]
                h.update(f"\0group {name}\0{g.labels}".encode())
                h.update(np.ascontiguousarray(g.codes).data)
            if self.universe is not None:
                h.update(self.universe.data)
            self._hash = h.hexdigest()
        return self._hash

    def replace(
        self,
        *,
        fields: Mapping[str, Any] | None = None,
        groups: Mapping[str, GroupField] | None = None,
        universe: Any = None,
        warnings: Iterable[str] | None = None,
    ) -> Panel:
        """A panel with fields and groups added or replaced, or another universe."""
        return Panel(
            self.dates,
            self.symbols,
            {**self._fields, **{k.upper(): v for k, v in (fields or {}).items()}},
            universe=self.universe if universe is None else universe,
            groups={**self._groups, **{k.upper(): v for k, v in (groups or {}).items()}},
            warnings=self.warnings if warnings is None else tuple(warnings),
            source=self.source,
            layout=self.layout,
            dtype=self.dtype,
        )

    def astype(self, dtype: Any) -> Panel:
        """The panel with fields of another type; itself when it has that type already."""
        if read_dtype(dtype) == self.dtype:
            return self
        return Panel(
            self.dates,
            self.symbols,
            self._fields,
            universe=self.universe,
            groups=self._groups,
            warnings=self.warnings,
            source=self.source,
            layout=self.layout,
            dtype=dtype,
        )

    @property
    def has_universe(self) -> bool:
        """Whether members are told apart from others: cross-sections then see members only."""
        return self.universe is not None

    @property
    def sessions(self) -> IntArray:
        """(T,) number of each row's session, from 0 up: rows of one calendar day are a session."""
        days = self.dates.astype("datetime64[D]")
        out: IntArray = np.concatenate(([0], np.cumsum(days[1:] != days[:-1])))
        return out

    def slice_dates(self, start: int, stop: int, *, copy: bool = True) -> Panel:
        """Rows [start, stop) as a panel of their own; with `copy=False` it shares this one's memory."""
        rows = slice(start, stop)
        return Panel(
            self.dates[rows],
            self.symbols,
            {k: v[rows] for k, v in self._fields.items()},
            universe=None if self.universe is None else self.universe[rows],
            groups={k: GroupField.view(g.codes[rows], g.labels) for k, g in self._groups.items()},
            warnings=self.warnings,
            source=self.source,
            layout=self.layout,
            dtype=self.dtype,
            copy=copy,
        )

    @overload
    def to_polars(self, values: Any = ..., *, wide: Literal[False] = ...) -> pl.DataFrame: ...
    @overload
    def to_polars(self, values: None = ..., *, wide: Literal[True]) -> dict[str, pl.DataFrame]: ...
    @overload
    def to_polars(self, values: Mapping[str, Any], *, wide: Literal[True]) -> dict[str, pl.DataFrame]: ...
    @overload
    def to_polars(self, values: Any, *, wide: Literal[True]) -> pl.DataFrame: ...
    def to_polars(self, values: Any = None, *, wide: bool = False) -> pl.DataFrame | dict[str, pl.DataFrame]:
        """The panel, or values computed on it, as a Polars frame with dates and symbols.

        Args:
            values: a (T, N) array, whose column is called `value`, or a mapping from names of columns to such arrays.
                None: the panel's own fields and groups, in lower case, with the universe as `in_universe`.
            wide: False: a row a date and symbol. True: a column a symbol; of one array that frame, otherwise a
                dictionary of such frames by name, which `load_market_data` takes back.

        Returns:
            Long frames sorted by date and symbol; rows are the cells where the data have a symbol or there is a value.
            Missing is null.

        Raises:
            DataError: an array of another shape. ConfigError: names that clash.
        """
        from fama_fast.panel import labelled

        if not wide:
            return labelled.panel_frame(self) if values is None else labelled.values_frame(self, values)
        frames = labelled.wide_frames(self, values)
        return frames if values is None or isinstance(values, Mapping) else frames[labelled.VALUE]

    @overload
    def to_pandas(self, values: Any = ..., *, wide: Literal[False] = ...) -> pd.DataFrame: ...
    @overload
    def to_pandas(self, values: None = ..., *, wide: Literal[True]) -> dict[str, pd.DataFrame]: ...
    @overload
    def to_pandas(self, values: Mapping[str, Any], *, wide: Literal[True]) -> dict[str, pd.DataFrame]: ...
    @overload
    def to_pandas(self, values: Any, *, wide: Literal[True]) -> pd.DataFrame: ...
    def to_pandas(self, values: Any = None, *, wide: bool = False) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """The panel, or values computed on it, as a pandas frame: what `to_polars` gives, with keys in the index.

        Long frames have an index of `date` and `symbol`; wide ones dates in the index and columns called `symbol`.
        Missing is NaN.

        Raises:
            ConfigError: pandas is not installed. Others: as `to_polars`.
        """
        from fama_fast.panel import labelled

        if not wide:
            return labelled.pandas_long(self.to_polars(values))
        named = {name: labelled.pandas_wide(f) for name, f in labelled.wide_frames(self, values).items()}
        return named if values is None or isinstance(values, Mapping) else named[labelled.VALUE]

    def _repr_html_(self) -> str:
        from fama_fast.panel.card import panel_card

        return panel_card(self)

    def __repr__(self) -> str:
        t, n = self.shape
        span = f"{self.dates[0]}..{self.dates[-1]}"
        return f"Panel({t} dates x {n} symbols, {span}, fields {listed(self.fields)})"
