"""Converts a dense panel to a long frame, and writes long frames as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.atomic import atomic_write
from fama_fast.errors import OutputError
from fama_fast.panel.labelled import panel_frame

if TYPE_CHECKING:
    import polars as pl

    from fama_fast.panel import Panel


def to_frame(panel: Panel) -> pl.DataFrame:
    """The panel as a long frame: what `Panel.to_polars` gives without values."""
    return panel_frame(panel)


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
