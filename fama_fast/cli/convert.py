"""`fama-fast data convert`: market data of any layout as one Parquet file that is quick to read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fama_fast.cli.common import Groups, Universe, check_ending, note, say_data, say_warnings
from fama_fast.panel.reading import PLAIN, Reading

if TYPE_CHECKING:
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

_CHUNK_CELLS = 2_000_000

OutputPath = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write, .parquet.")]


def convert(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Market data of any layout.")],
    output: OutputPath,
    universe: Universe = None,
    groups: Groups = None,
    *,
    reading: Reading = PLAIN,
) -> None:
    """Write market data of any layout as one Parquet file: a row a date and symbol, in the order of dates.

    That is what is read fastest, whole and in parts. Fields have the names that expressions know, missing is null.
    """
    from fama_fast.atomic import ensure_writable
    from fama_fast.data import load_market_data, scan_market_data
    from fama_fast.panel.io.folder import one_csv

    check_ending(output, (".parquet", ".pq"))
    ensure_writable(output)
    # One CSV file is read whole in any case.
    load = load_market_data if one_csv(path) else scan_market_data
    source = load(path, universe=universe, groups=groups, **reading.options())
    say_data(source)
    rows = _write(source, output)
    say_warnings(source)
    note(f"wrote {output}: {rows:,} rows, {source.shape[0]:,} dates x {source.shape[1]:,} symbols")


def _write(source: Panel | Dataset, output: Path) -> int:
    """Writes the data some dates at a time, a row group each; gives the number of rows."""
    import polars as pl
    import pyarrow.parquet as pq

    from fama_fast.atomic import atomic_write
    from fama_fast.data import to_frame
    from fama_fast.panel import Panel

    dates, symbols = source.shape
    step = max(1, _CHUNK_CELLS // symbols)
    read = source.slice_dates if isinstance(source, Panel) else source.reader().read
    rows = 0
    writer: Any = None
    with atomic_write(output) as temporary:
        try:
            for start in range(0, dates, step):
                table = to_frame(read(start, min(start + step, dates))).to_arrow(compat_level=pl.CompatLevel.oldest())
                if writer is None:
                    texts = [f.name for f in table.schema if f.type in ("string", "large_string")]
                    writer = pq.ParquetWriter(
                        temporary, table.schema, compression="zstd", use_dictionary=["date", "symbol", *texts]
                    )
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows
