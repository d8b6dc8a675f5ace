"""Converts types of Arrow that Polars cannot hold to those that it can.

Decimals of more than 128 bits become float64. Stamps whose zone is a plain offset (`+05:30`) stand at the clock of that
offset, without a zone; or at UTC's, where another zone is asked for and they are to be moved.
"""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from fama_fast.errors import DataError, quoted

_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)\Z")
_PER_MINUTE = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}


def polars_types(schema: Any, name: str, *, universal: bool) -> dict[str, pl.DataType]:
    """Columns and their Polars types of an Arrow schema, in the order of the schema.

    Args:
        name: of the file, for messages. universal: stamps with an offset are wanted as those of UTC.

    Raises:
        DataError: a column of a type that cannot be read.
    """
    import pyarrow as pa

    plain = pa.schema([f.with_type(_plain_type(f.type, universal=universal)) for f in schema])
    try:
        return dict(_to_polars(plain.empty_table()).schema)
    except pl.exceptions.PanicException:
        for field in plain:
            try:
                _to_polars(pa.schema([field]).empty_table())
            except pl.exceptions.PanicException as error:
                kind = quoted(field.type)
                raise DataError(
                    f"{name}: column {quoted(field.name)} has the type {kind}, which cannot be read"
                ) from error
        raise


def polars_table(batch: Any, name: str, *, universal: bool) -> pl.DataFrame:
    """The columns of an Arrow batch as a Polars frame.

    Raises:
        DataError: a column of a type that cannot be read.
    """
    for i, field in enumerate(batch.schema):
        if _plain_type(field.type, universal=universal) != field.type:
            batch = batch.set_column(i, field.name, _plain(batch.column(i), universal=universal))
    try:
        return _to_polars(batch)
    except pl.exceptions.PanicException as error:
        raise DataError(f"{name}: a column has a type that cannot be read: {str(error).splitlines()[0]}") from error


def is_foreign(schema: Any) -> bool:
    """Whether a schema has a type that Polars' own reader cannot read."""
    return any(_plain_type(f.type, universal=False) != f.type for f in schema)


def _to_polars(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    # Polars gives a column without a name one.
    frame.columns = table.schema.names
    return frame


def _plain_type(kind: Any, *, universal: bool) -> Any:
    import pyarrow as pa

    if pa.types.is_decimal256(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind) and kind.tz is not None and _OFFSET.match(kind.tz):
        return pa.timestamp(kind.unit, "UTC" if universal else None)
    return kind


def _plain(column: Any, *, universal: bool) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    want = _plain_type(kind, universal=universal)
    if pa.types.is_decimal256(kind):
        return column.cast(want)
    if universal:
        return column.cast(want)
    offset = _OFFSET.match(kind.tz)
    assert offset is not None
    minutes = int(offset[2]) * 60 + int(offset[3])
    steps = (minutes if offset[1] == "+" else -minutes) * _PER_MINUTE[kind.unit]
    return pc.add(column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.int64()), steps).cast(want)
