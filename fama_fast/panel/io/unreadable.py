"""The exceptions with which reading a file may fail, for callers that turn them into a message that names the file."""

import polars as pl

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""Of a damaged Parquet page Polars panics where it should refuse; a panic is no `Exception`."""
