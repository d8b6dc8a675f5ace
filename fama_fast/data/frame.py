"""Converts a dense panel to a long frame, and writes long frames as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fama_fast.atomic import atomic_write
from fama_fast.errors import OutputError

if TYPE_CHECKING:
    from fama_fast.panel import Panel


def to_frame(panel: Panel) -> pl.DataFrame:
    """The panel as a long frame sorted by date and symbol: `date`, `symbol`, supplied fields and groups in lower case.

    Missing is null. Cells in which every supplied field is missing have no row. A universe becomes
    `in_universe`.
    """
    n_dates, n_symbols = panel.shape
    fields = {name: panel[name].ravel() for name in panel.supplied_fields}
    keep = np.ones(n_dates * n_symbols, dtype=bool)
    if fields:
        keep = np.logical_or.reduce([~np.isnan(v) for v in fields.values()])
    row, column = np.divmod(np.flatnonzero(keep), n_symbols)
    data: dict[str, pl.Series] = {
        "date": pl.Series(panel.dates[row]),
        "symbol": pl.Series([str(s) for s in panel.symbols], dtype=pl.String).gather(column),
    }
    for name, values in fields.items():
        data[name.lower()] = pl.Series(values[keep]).fill_nan(None)
    for name in panel.groups:
        group = panel.group(name)
        codes = group.codes.ravel()[keep]
        index = pl.Series(np.where(np.isnan(codes), -1, codes).astype(np.int64))
        labels = pl.Series([*group.labels], dtype=pl.String)
        data[name.lower()] = (
            labels.gather(index.replace(-1, None)) if len(labels) else index.replace(-1, None).cast(pl.String)
        )
    if panel.universe is not None:
        data["in_universe"] = pl.Series(panel.universe.ravel()[keep])
    return pl.DataFrame(data)


def write_frame(frame: pl.DataFrame, path: str | Path) -> None:
    """Writes a frame as Parquet (zstd) or CSV, by the name of the file; whole or not at all.

    Raises:
        OutputError: another kind of name, or a place that cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".parquet", ".pq", ".csv"):
        raise OutputError(f"cannot write {path}: the name must end in .parquet or .csv")
    with atomic_write(path) as temporary:
        if suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary, compression="zstd")
