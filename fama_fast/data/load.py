"""Loads market data as a panel: from files, or from the simulator when asked for no file.

The one door for commands and callers: scan, ingest, universe, groups. A missing file is an error; it never
turns into simulated prices.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from fama_fast.data.origin import remembered
from fama_fast.errors import ConfigError, DataError, FamaError
from fama_fast.panel.reading import ReadingOptions, reading_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fama_fast.data.simulator.simulate import SimulationSpec
    from fama_fast.panel import GroupField, Panel
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.reading import Reading
    from fama_fast.types import FloatArray

_OF_FILES = ("columns", "adjusted", "timezone", "duplicates", "min_symbols", "decimal")


@remembered
def load_market_data(
    path: MarketData | None,
    *,
    fields: Iterable[str] | None = None,
    universe: str | Path | None = None,
    groups: str | Path | Sequence[str | Path] | None = None,
    group_fields: Iterable[str] | None = None,
    static_fields: Sequence[str] | Mapping[str, str] | None = None,
    simulation: SimulationSpec | None = None,
    dtype: Any = "float64",
    **options: Unpack[ReadingOptions],
) -> Panel:
    """Loads a panel from a CSV or Parquet file, directory, glob or URI or a qlib folder, or simulates one.

    Args:
        path: data with one row a date and symbol (see `panel.ingest.panel_from_frame` for the columns), one file a
            symbol, wide tables or a qlib folder (see `panel.io.open`); `Panel.layout` says which it was. Or data in
            memory: a long frame of Polars, of pandas (keys as columns or levels of the index, in either order) or of
            anything with the Arrow PyCapsule interface; or a dict of such frames, wide (dates down, symbols across), by
            the names of their fields.
            None asks for the simulator, and `Panel.source` says so ("simulator (seed ...)"): show it in the
            first line of a run.
        fields: fields to load (RET, VWAP, ADV{d} stand for what they derive from); None loads every numeric
        column.
        universe: a boolean column of the data, or a membership file (symbol, start, end; a name that ends
            in .csv or .parquet is a file); of a qlib folder, the name of an index in `instruments/`, such as csi300.
            See `data.join.membership_mask`.
        groups: CSV or Parquet files with one row a symbol, whose text columns become group fields; they
            replace group fields of the same name in the data. Levels that no file has (INDUSTRY from a file
            of sectors) are not invented.
        group_fields: names of the group fields to load, None for all.
        static_fields: numeric columns of the group files to spread over all dates (name -> column, or just
        columns).
            They are not taken unless asked for: one snapshot of, say, market value knows the future of
            every past date.
        options: how the data are read, see `panel.reading.Reading`: `start` and `end`, the first and last date to keep
            (history before `start` is gone for windows too, but for `history` dates); `date` and `symbol`, the key
            columns, and `columns`, where names do not say what a column is; `adjusted`, `timezone`, `duplicates`,
            `min_symbols`, `encoding`, `decimal`.
        dtype: of the fields, "float64" or "float32" (half the memory).
        simulation: what to simulate when `path` is None; `data.simulator.DEFAULT_SIMULATION` otherwise.

    Returns:
        The panel; `Panel.warnings` counts what was let pass (infinite values, symbols without a group, ...).

    Raises:
        DataError: data that cannot be used; the message names the file, the column and the rows.
        UnknownName: a field or group that is not there.
        ConfigError: options that contradict each other.
    """
    how = reading_of(**options)
    files = [groups] if isinstance(groups, str | Path) else list(groups or ())
    if static_fields and not files:
        raise ConfigError("static_fields are columns of group files: give those with groups=")
    if path is not None and simulation is not None:
        raise ConfigError("give a path or a simulation, not both")
    membership = _membership(path, universe)
    wanted = None if group_fields is None else [g.upper() for g in group_fields]

    if path is None:
        from fama_fast.data.simulator.simulate import DEFAULT_SIMULATION, simulate

        if universe is not None and membership is None:
            raise ConfigError(f"the simulator has no universe column {str(universe)!r}")
        for option in _OF_FILES:
            if option in how.options():
                raise ConfigError(f"{option} says how files are read, and the simulator reads none: give a path")
        panel = _between(simulate(simulation or DEFAULT_SIMULATION), how).astype(dtype)
        in_files = None if wanted is None else [g for g in wanted if g not in panel.groups]
    else:
        from fama_fast.data.join import columns_of_data
        from fama_fast.panel.columns import known_names
        from fama_fast.panel.ingest import collect_schema, panel_from_scan
        from fama_fast.panel.market_data import is_path
        from fama_fast.panel.scan import scan

        scanned = scan(path, how)
        source = str(path) if is_path(path) else "frame"
        schema = collect_schema(scanned.frame, source)
        own = columns_of_data(how, schema, files)
        in_data: list[str] | None = None
        in_files = None
        if wanted is not None:
            columns = known_names(schema, own, source)
            # With no group file, what the data lacks is asked of it all the same: its error names what it
            # has.
            in_data = [g for g in wanted if g in columns or not files]
            in_files = [g for g in wanted if g not in in_data]
        panel = panel_from_scan(
            scanned,
            own,
            fields=fields,
            universe=None if membership is not None or universe is None else str(universe),
            groups=in_data,
            source=source,
            dtype=dtype,
        )

    if not files and membership is None:
        return panel
    return _joined(panel, membership, files, in_files, static_fields, how)


@remembered
def scan_market_data(
    path: str | Path,
    *,
    fields: Iterable[str] | None = None,
    universe: str | Path | None = None,
    groups: str | Path | Sequence[str | Path] | None = None,
    group_fields: Iterable[str] | None = None,
    static_fields: Sequence[str] | Mapping[str, str] | None = None,
    dtype: Any = "float64",
    **options: Unpack[ReadingOptions],
) -> Dataset:
    """Open market data that stay on disk: `evaluate` and `score` read them part by part.

    Args:
        path: a Parquet file, a folder of Parquet or CSV files (hive-partitioned or not), a glob, a URI (`s3://...`),
            wide tables or a qlib folder. Others as for `load_market_data`.

    Returns:
        The data set; its dates, symbols and groups' labels are known, its values are not read yet. Duplicate rows and
        text in place of numbers are found when they are read.

    Raises:
        As `load_market_data`.
    """
    from fama_fast.data.join import columns_of_data
    from fama_fast.panel.columns import known_names
    from fama_fast.panel.dataset import Dataset
    from fama_fast.panel.io.open import open_rows
    from fama_fast.panel.market_data import is_path

    if not is_path(path):
        raise ConfigError("only data on disk can be read part by part: give data in memory to load_market_data")
    how = reading_of(**options)
    files = [groups] if isinstance(groups, str | Path) else list(groups or ())
    if static_fields and not files:
        raise ConfigError("static_fields are columns of group files: give those with groups=")
    membership = _membership(path, universe)
    wanted = None if group_fields is None else [g.upper() for g in group_fields]
    opened = open_rows(path, how)
    own = columns_of_data(how, opened.schema, files)
    in_data: list[str] | None = None
    in_files: list[str] | None = None
    if wanted is not None:
        columns = known_names(opened.schema, own, str(path))
        in_data = [g for g in wanted if g in columns or not files]
        in_files = [g for g in wanted if g not in in_data]

    def join(panel: Panel) -> Panel:
        return _joined(panel, membership, files, in_files, static_fields, how)

    return Dataset(
        opened,
        fields=fields,
        universe=None if membership is not None or universe is None else str(universe),
        groups=in_data,
        reading=own,
        dtype=dtype,
        join=join if files or membership is not None else None,
    )


def _joined(
    panel: Panel,
    membership: str | Path | None,
    files: Sequence[str | Path],
    in_files: Sequence[str] | None,
    static_fields: Sequence[str] | Mapping[str, str] | None,
    reading: Reading,
) -> Panel:
    """A panel with the universe and groups that membership and group files give its symbols."""
    from fama_fast.data.join import membership_mask, symbol_columns

    warnings = list(panel.warnings)
    mask = None
    if membership is not None:
        mask, notes = membership_mask(panel, membership, reading)
        warnings += notes
    joined: dict[str, GroupField] = {}
    static: dict[str, FloatArray] = {}
    notes = []
    if files:
        named = _named(static_fields)
        joined, static, notes = symbol_columns(panel, files, groups=in_files, fields=named, reading=reading)
        replaced = [g for g in joined if g in panel.groups]
        warnings += [f"group {g} of the data is replaced by the group file's" for g in replaced]
    return panel.replace(fields=static, groups=joined, universe=mask, warnings=[*warnings, *notes])


def _membership(path: MarketData | None, universe: str | Path | None) -> str | Path | None:
    """The membership file that a universe names; None where it is a column of the data, or none was asked for.

    Raises:
        DataError: neither an index of a qlib folder nor one of its fields.
    """
    from fama_fast.panel.io.qlib_bin import index_file, is_field, is_qlib, no_index
    from fama_fast.panel.market_data import is_path

    if universe is None:
        return None
    if is_path(path) and is_qlib(path):
        index = index_file(path, str(universe))
        if index is not None:
            return index
        if not _is_file(universe) and not is_field(path, str(universe)):
            raise DataError(no_index(path, str(universe)))
    return universe if _is_file(universe) else None


def _is_file(universe: str | Path) -> bool:
    from fama_fast.panel.io.folder import names_file

    return isinstance(universe, Path) or names_file(universe)


def _named(static_fields: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if static_fields is None:
        return {}
    if isinstance(static_fields, str):
        return {static_fields: static_fields}
    if hasattr(static_fields, "items"):
        return dict(static_fields.items())
    return {name: name for name in static_fields}


def _between(panel: Panel, how: Reading) -> Panel:
    """A simulated panel cut to dates; its source is kept."""
    import numpy as np

    from fama_fast.panel.calendar import no_rows, span_of

    moments = panel.dates.astype("datetime64[us]").astype(np.int64)
    rows = np.flatnonzero(span_of(how, moments).holds(moments))
    if not rows.size:
        raise no_rows(how, panel.source, panel.dates[0], panel.dates[-1])
    return panel if rows.size == moments.size else panel.slice_dates(int(rows[0]), int(rows[-1]) + 1)


def load_origin(origin: Mapping[str, Any], *, parts: bool = False) -> Panel | Dataset:
    """Load the data that an origin describes, as they are now; with `parts`, to be read part by part.

    Raises:
        DataError: they cannot be loaded, or it is no origin. Others: as `load_market_data`.
    """
    from fama_fast.data.load import load_market_data, scan_market_data
    from fama_fast.data.simulator.simulate import PlantedSignal, SimulationSpec

    options = dict(origin)
    try:
        path = options.pop("path")
        spec = options.pop("simulation", None)
        if spec is not None:
            signals = tuple(PlantedSignal(**s) for s in spec["signals"])
            start = dt.date.fromisoformat(spec["start"])
            options["simulation"] = SimulationSpec(**{**spec, "signals": signals, "start": start})
        if parts and path is not None:
            return scan_market_data(path, **options)
        return load_market_data(path, **options)
    except FamaError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"what was recorded of where the data came from is damaged: {error!r}") from error
